//! Text that is parsed: lines of a mail log, From headers.

/// What Postfix logs of one message, with the lines that say nothing of it.
pub(crate) const LOG: [&str; 10] = [
    "Nov 22 06:25:01 mx postfix/smtpd[714]: connect from client.example.org[10.0.0.7]",
    "Nov 22 06:25:01 mx postfix/smtpd[714]: 4Abc7d0fzXz1xy: client=client.example.org[10.0.0.7], sasl_method=PLAIN, sasl_username=alice@example.org",
    "Nov 22 06:25:01 mx postfix/cleanup[715]: 4Abc7d0fzXz1xy: message-id=<20261122062501.4711@client.example.org>",
    "Nov 22 06:25:01 mx postfix/qmgr[716]: 4Abc7d0fzXz1xy: from=<alice@example.org>, size=2314, nrcpt=2 (queue active)",
    "Nov 22 06:25:01 mx postfix/smtpd[714]: disconnect from client.example.org[10.0.0.7] ehlo=2 starttls=1 auth=1 mail=1 rcpt=2 data=1 quit=1 commands=9",
    "Nov 22 06:25:02 mx postfix/smtp[717]: 4Abc7d0fzXz1xy: to=<bob@remote.test>, relay=mx.remote.test[192.0.2.25]:25, delay=0.84, delays=0.05/0.01/0.4/0.38, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4Def5g0hzXz2ab)",
    "Nov 22 06:25:02 mx postfix/smtp[718]: 4Abc7d0fzXz1xy: to=<carol@other.test>, relay=mx.other.test[192.0.2.26]:25, delay=1.2, delays=0.05/0.02/0.8/0.33, dsn=4.7.1, status=deferred (host mx.other.test[192.0.2.26] said: 450 4.7.1 <carol@other.test>: Recipient address rejected: Greylisted, see http://postgrey.test/help (in reply to RCPT TO command))",
    "Nov 22 06:30:02 mx postfix/smtp[719]: 4Abc7d0fzXz1xy: to=<carol@other.test>, relay=mx.other.test[192.0.2.26]:25, delay=301, delays=300/0.02/0.8/0.33, dsn=5.1.1, status=bounced (host mx.other.test[192.0.2.26] said: 550 5.1.1 <carol@other.test>: Recipient address rejected: User unknown (in reply to RCPT TO command))",
    "Nov 22 06:30:02 mx postfix/qmgr[716]: 4Abc7d0fzXz1xy: removed",
    "Nov 22 06:30:03 mx dovecot: imap(alice): Logged out in=12 out=345",
];

/// A From header as most are.
pub(crate) const FROM: &str = " \"Alice Example\" <alice@example.org>";

/// From headers that hide what they say: many routes, quotes, comments, encoded
/// words and members of a group.
pub(crate) const AWKWARD_FROM: [&str; 6] = [
    " \"boss@example.org\" <@a.test,@b.test:mallory@remote.test>",
    " =?utf-8?Q?boss=40example=2Eorg?= (a \\(nested (comment)\\)) <mallory@remote.test>",
    " Team: a@x.test, \"b c\"@y.test, d . e @ z(office).test;",
    " \"never closed <alice@example.org>",
    " <alice@example.org> <mallory@remote.test>, bob@remote.test carol@remote.test",
    " alice at example dot org, who@has@two.test\r\n\t, =?utf-8?B?w7w=?=@b\u{fc}cher.test",
];
