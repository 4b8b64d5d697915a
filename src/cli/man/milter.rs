//! connguard-milter(8): the daemon, as a Postfix operator meets it.

use super::roff::Page;

/// The line in main.cf, as `contrib/postfix/enable` writes it.
const LINE: &str = "smtpd_milters = ...,\n    { unix:connguard/milter.sock, default_action=accept,\n      connect_timeout=3s, command_timeout=5s }";

/// The source of the page.
pub(super) fn page(date: &str) -> String {
    let about = "milter for Postfix that stops relay clients which were taken over";
    let mut page = Page::new("connguard-milter", 8, date, about);
    page.heading("Synopsis");
    page.first("`connguard run`");
    page.heading("Description");
    page.first(
        "Postfix relays mail for clients that it trusts: those in mynetworks, with a client \
         certificate, or with a password. These are connectors. `connguard run` is a milter that \
         Postfix asks about each recipient and each message. It compares what a connector sends \
         with its own history, notices when it sends what it never sent, and in enforce mode \
         refuses or holds the mail that it relays, until an operator lifts that with `connguard \
         unblock`. It sees no bodies, is no spam filter, and judges no mail that only comes in.",
    );
    page.paragraph(
        "It starts in observe mode, in which it judges, marks and alerts, and refuses nothing: see \
         mode in `connguard.toml`(5).",
    );
    page.heading("Hooking it into Postfix");
    page.first("contrib/postfix/enable shows what it changes in main.cf and asks; by hand it is:");
    page.example(LINE);
    page.term(
        "Order",
        "As the last milter: milters are asked in order, so that connguard sees the headers in which \
         a spam filter before it tells its verdict, and is not told of mail that another milter \
         refused.",
    );
    page.term(
        "`default_action=accept`",
        "A connguard that is down must not stop mail. Without it milter_default_action applies, \
         which is tempfail.",
    );
    page.term(
        "`connect_timeout`, `command_timeout`",
        "connguard answers within milliseconds. With the 30 s of Postfix's defaults a daemon that \
         hangs keeps all processes of smtpd waiting.",
    );
    page.term(
        "The path",
        "It is relative to queue_directory, so that a chrooted smtpd reaches the same socket as one \
         that is not. The socket is for the group postfix.",
    );
    page.term(
        "Services with milters of their own",
        "One in master.cf with -o smtpd_milters=... asks connguard only if the entry stands there \
         too. One that takes mail back from a content filter should say -o smtpd_milters=, or stand \
         in milter.ignore_daemons: else a message counts twice.",
    );
    page.term(
        "Mail of this host",
        "non_smtpd_milters = $smtpd_milters shows connguard what sendmail(1) takes as well. It is \
         the connector `local`, whose mail is held and never refused while restriction.hold_limit \
         has room.",
    );
    page.heading("Connectors");
    page.first(
        "A session is the connector that is configured for it; else its login; else the subject and \
         issuer of a certificate that Postfix verified; else its address, if that is in \
         milter.relay_networks (an IPv6 client is its /64). Clients that only deliver to inbound \
         domains are no connectors. A restriction is met by every identity that a session shows.",
    );
    page.heading("What is refused");
    page.first(
        "In enforce mode, relayed recipients of what is restricted, at RCPT TO, with the number of \
         the case. Mail of the same client to inbound domains passes, unless restriction.scope is \
         all. restriction.action, or that of the connector, says how:",
    );
    page.term(
        "`tempfail`: 451 4.7.1 Relaying is suspended, case C-000017: ...",
        "The client's queue keeps the mail and tries again; it flows after an unblock. Clients \
         without a queue lose it.",
    );
    page.term("`reject`: 550 5.7.1 ...", "The client returns the mail to its sender.");
    page.term(
        "`hold`: 250",
        "The message goes into Postfix's hold queue. `connguard release` lets it go.",
    );
    page.paragraph(
        "After eight refusals in a session without an accepted recipient the answer is 421. A \
         connector that is only suspicious is slowed down: what is too much is tempfailed, or held \
         for logins and mail of this host.",
    );
    page.heading("When it is down");
    page.first(
        "Mail passes, unwatched, with default_action=accept; Postfix logs that it can't connect to \
         the milter. Restrictions are on disk, and hold again from the first command of the first \
         new session on after a start. The unit starts the daemon again whenever it ends by \
         itself, and when it does not answer for 30 s.",
    );
    page.heading("Signals");
    page.term(
        "SIGHUP",
        "Read the configuration again: all of it, or nothing on a fault, which is logged. \
         `connguard reload` does the same and prints what came of it.",
    );
    page.term(
        "SIGTERM, SIGINT",
        "Stop: no new connections, messages in hand finish, what is known is written, within 25 s.",
    );
    page.heading("The unit");
    page.first(
        "connguard.service is of Type=notify with a watchdog of 30 s, runs as the user connguard, \
         starts before Postfix and writes to its own directories only. LimitNOFILE= has to fit \
         milter.max_connections, and MemoryMax= state.max_connectors. The user connguard must be \
         able to read the mail log: see feedback.mail_log in `connguard.toml`(5).",
    );
    page.heading("Log lines");
    page.first(
        "An event is one line of words as key=value, to journald under systemd, else to standard \
         error. What outsiders chose is escaped, and lines that a client can cause are limited. A \
         restriction is logged when it is on disk:",
    );
    page.example(
        "restricted entity=connector:erp case=C-000017 action=tempfail\n    \
         signal=unregistered_sender bad=9 of=9 usual=0.01 score=15.2 limit=14",
    );
    page.heading("Exit status");
    page.first(
        "0 after a signal to stop, 1 if it could not start or a part of it ended by itself.",
    );
    page.heading("Environment");
    page.term("`RUST_LOG`", "Overrides log.level, also for single parts of the program.");
    page.heading("Files");
    for (path, text) in [
        ("/etc/connguard/connguard.toml", "The configuration: `connguard.toml`(5)."),
        ("/var/lib/connguard/", "Restrictions, history, cases and alerts; for the daemon alone."),
        ("/run/connguard/control.sock", "Where `connguard`(1) asks it."),
        ("/var/spool/postfix/connguard/milter.sock", "Where Postfix asks it."),
    ] {
        page.term(path, text);
    }
    page.heading("See also");
    page.first("`connguard`(1), `connguard.toml`(5), `postconf`(5), `smtpd`(8), `postsuper`(1)");
    page.finish()
}
