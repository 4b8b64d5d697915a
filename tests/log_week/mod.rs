//! A week of a Postfix log, made up: the same for the same number of lines.
//!
//! 500 people with logins, 20 relay clients, mail from outside that goes through
//! a content filter and back, greylisting, dead addresses, connections that come
//! to nothing; and on the fifth day somebody sends spam with the login of one.

use connguard::timestamp::Timestamp;
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, Write},
};

/// Whose login is taken over.
pub(crate) const TAKEN_OVER: &str = "login:u7@example.org";
/// What the site is.
pub(crate) const CONFIG: &str = r#"
[milter]
inbound_domains = ["example.org"]
relay_networks = ["10.0.0.0/8"]

[[organization]]
name = "default"
registered_domains = ["example.org"]
"#;

/// Monday, 2026-03-02 00:00 UTC.
const START: u64 = 1_772_409_600_000;
const WEEK: u64 = 7 * 86_400_000;
/// Thursday becomes Friday, and it is ten.
const TAKEN_OVER_AT: u64 = START + 4 * 86_400_000 + 10 * 3_600_000;
/// Lines of ten messages, about.
const LINES_OF_TEN: u64 = 73;
const SPAM_MESSAGES: u64 = 400;

/// Writes about `lines` lines.
pub(crate) fn write(lines: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut week = Week::new(out);
    let messages = (lines.saturating_sub(SPAM_MESSAGES * 9) * 10 / LINES_OF_TEN).max(1);
    let mut spam = 0;
    for n in 0..messages {
        let at = START + n * WEEK / messages;
        while spam < SPAM_MESSAGES && TAKEN_OVER_AT + spam * 4000 <= at {
            week.spam(TAKEN_OVER_AT + spam * 4000)?;
            spam += 1;
        }
        match week.draw(10) {
            0..4 => week.of_login(at)?,
            4..7 => week.of_relay(at)?,
            7..9 => week.inbound(at)?,
            _ => week.noise(at)?,
        }
    }
    week.flush_until(u64::MAX)
}

struct Week<'a> {
    out: &'a mut dyn Write,
    state: u64,
    next: u64,
    /// What is to be logged: when, in which order, what.
    waiting: BinaryHeap<Reverse<(u64, u64, String)>>,
}

impl<'a> Week<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self { out, state: 0x9E37_79B9_7F4A_7C15, next: 0, waiting: BinaryHeap::new() }
    }

    /// A number below `end`.
    fn draw(&mut self, end: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % end
    }

    fn queue_id(&mut self) -> String {
        self.next += 1;
        format!("{:010X}", 0xA0_0000_0000_u64 + self.next)
    }

    fn log(&mut self, at: u64, text: String) {
        self.next += 1;
        self.waiting.push(Reverse((at, self.next, text)));
    }

    fn flush_until(&mut self, now: u64) -> io::Result<()> {
        while self.waiting.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((at, _, text))) = self.waiting.pop() else { break };
            writeln!(self.out, "{} mx postfix/{text}", Timestamp::from_millis(at))?;
        }
        Ok(())
    }

    fn of_login(&mut self, at: u64) -> io::Result<()> {
        self.flush_until(at)?;
        let user = self.draw(500);
        let client = format!("home{user}.example.net[198.51.{}.{}]", user / 250, user % 250 + 1);
        let sasl = format!(", sasl_method=PLAIN, sasl_username=u{user}@example.org");
        let count = 1 + self.draw(8) / 7;
        let to = (0..count).map(|_| format!("r{}@d{user}.test", self.draw(20))).collect();
        self.message(at, "submission/smtpd", &client, &sasl, &format!("u{user}@example.org"), to);
        Ok(())
    }

    fn of_relay(&mut self, at: u64) -> io::Result<()> {
        self.flush_until(at)?;
        let relay = self.draw(20);
        let client = format!("erp{relay}.example.org[10.0.0.{}]", relay + 1);
        let sender = format!("app{}@example.org", self.draw(5));
        let to = vec![format!("c{}@shop{relay}.test", self.draw(300))];
        self.message(at, "smtpd", &client, "", &sender, to);
        Ok(())
    }

    fn spam(&mut self, at: u64) -> io::Result<()> {
        self.flush_until(at)?;
        let client = format!("bot.far.test[203.0.113.{}]", self.draw(250) + 1);
        let sasl = ", sasl_method=LOGIN, sasl_username=u7@example.org";
        let sender = format!("info{}@lottery{}.test", self.draw(9), self.draw(9));
        let to = (0..4).map(|_| format!("v{}@victims{}.test", self.draw(1 << 40), self.draw(50)));
        let to = to.collect();
        self.message(at, "submission/smtpd", &client, sasl, &sender, to);
        Ok(())
    }

    fn message(
        &mut self,
        at: u64,
        service: &str,
        client: &str,
        sasl: &str,
        from: &str,
        to: Vec<String>,
    ) {
        let (id, pid) = (self.queue_id(), 1000 + self.draw(200));
        self.log(at, format!("{service}[{pid}]: connect from {client}"));
        self.log(at + 120, format!("{service}[{pid}]: {id}: client={client}{sasl}"));
        self.log(at + 180, format!("cleanup[77]: {id}: message-id=<{id}@example.org>"));
        let count = to.len();
        self.log(
            at + 250,
            format!("qmgr[9]: {id}: from=<{from}>, size=2345, nrcpt={count} (queue active)"),
        );
        self.log(at + 300, format!("{service}[{pid}]: disconnect from {client} mail=1 commands=5"));
        let end = to.into_iter().map(|to| self.delivery(at, &id, &to)).max().unwrap_or(at);
        self.log(end + 1, format!("qmgr[9]: {id}: removed"));
    }

    /// A delivery to the outside; says when it was over.
    fn delivery(&mut self, at: u64, id: &str, to: &str) -> u64 {
        let domain = to.split_once('@').map_or("", |(_, domain)| domain);
        let relay = format!("relay=mx.{domain}[192.0.2.{}]:25", 1 + self.draw(200));
        let head = format!(
            "smtp[{}]: {id}: to=<{to}>, {relay}, delay=2, delays=1/0/1/0",
            3000 + self.draw(50)
        );
        let dead = if domain.starts_with("victims") { 6 } else { 0 };
        let at = at + 900 + self.draw(4000);
        match self.draw(50) {
            0 if dead == 0 => {
                let text = format!(
                    "host mx.{domain}[192.0.2.9] said: 550 5.1.1 <{to}>: User unknown (in reply to RCPT TO command)"
                );
                self.log(at, format!("{head}, dsn=5.1.1, status=bounced ({text})"));
                at
            }
            1..3 => {
                let text = format!(
                    "host mx.{domain}[192.0.2.9] said: 450 4.2.0 <{to}>: Recipient address rejected: Greylisted, try again later (in reply to RCPT TO command)"
                );
                self.log(at, format!("{head}, dsn=4.2.0, status=deferred ({text})"));
                self.log(
                    at + 300_000,
                    format!(
                        "qmgr[9]: {id}: from=<again@example.org>, size=2345, nrcpt=1 (queue active)"
                    ),
                );
                self.log(at + 301_000, format!("{head}, dsn=2.0.0, status=sent (250 2.0.0 Ok)"));
                at + 301_000
            }
            n if n >= 50 - dead * 5 => {
                let text = format!(
                    "host mx.{domain}[192.0.2.9] said: 550 5.7.1 <{to}>: message rejected as spam (in reply to end of DATA command)"
                );
                self.log(at, format!("{head}, dsn=5.7.1, status=bounced ({text})"));
                at
            }
            _ => {
                self.log(
                    at,
                    format!("{head}, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4F{id})"),
                );
                at
            }
        }
    }

    /// Mail from outside, through a filter and back.
    fn inbound(&mut self, at: u64) -> io::Result<()> {
        self.flush_until(at)?;
        let (id, back) = (self.queue_id(), self.queue_id());
        let pid = 1300 + self.draw(200);
        let client = format!("mail.far{}.test[192.0.2.{}]", self.draw(90), 1 + self.draw(250));
        let from = format!("f{}@far{}.test", self.draw(50), self.draw(90));
        let to = format!("u{}@example.org", self.draw(500));
        self.log(at, format!("smtpd[{pid}]: connect from {client}"));
        if self.draw(20) == 0 {
            self.log(at + 50, format!("smtpd[{pid}]: NOQUEUE: reject: RCPT from {client}: 550 5.1.1 <gone@example.org>: Recipient address rejected: User unknown in virtual mailbox table; from=<{from}> to=<gone@example.org> proto=ESMTP helo=<far>"));
        }
        self.log(at + 100, format!("smtpd[{pid}]: {id}: client={client}"));
        self.log(
            at + 200,
            format!("qmgr[9]: {id}: from=<{from}>, size=9000, nrcpt=1 (queue active)"),
        );
        self.log(at + 250, format!("smtpd[{pid}]: disconnect from {client} mail=1 commands=5"));
        self.log(at + 900, format!("smtpd[1600]: {back}: client=localhost[127.0.0.1]"));
        self.log(
            at + 950,
            format!("qmgr[9]: {back}: from=<{from}>, size=9300, nrcpt=1 (queue active)"),
        );
        self.log(at + 960, format!("smtp[3100]: {id}: to=<{to}>, relay=127.0.0.1[127.0.0.1]:10024, delay=0.9, delays=0/0/0/0.9, dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as {back})"));
        self.log(at + 961, format!("qmgr[9]: {id}: removed"));
        self.log(at + 990, format!("lmtp[3200]: {back}: to=<{to}>, relay=mx.example.org[private/dovecot-lmtp], delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent (250 2.0.0 <{to}> Saved)"));
        self.log(at + 991, format!("qmgr[9]: {back}: removed"));
        Ok(())
    }

    /// Somebody who comes to nothing.
    fn noise(&mut self, at: u64) -> io::Result<()> {
        self.flush_until(at)?;
        let address = format!("[203.0.113.{}]:{}", 1 + self.draw(250), 1024 + self.draw(60_000));
        self.log(at, format!("postscreen[50]: CONNECT from {address} to [192.0.2.1]:25"));
        self.log(
            at + 6000,
            format!("postscreen[50]: PREGREET 11 after 0.23 from {address}: EHLO User\\r\\n"),
        );
        self.log(at + 6100, format!("postscreen[50]: DISCONNECT {address}"));
        Ok(())
    }
}
