//! Takes the mail that Postfix sends out, and remembers each envelope.
//!
//! Own code, since tests ask for exact counts and envelopes while mail flows.
//! It treats recipients as their addresses say ([`super::conduct`]), and it can
//! play a content filter that hands each message back to Postfix before it says
//! yes.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::conduct::{Conduct, Treatment};
use super::smtp::SmtpClient;

/// One message that the sink accepted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) rcpts: Vec<String>,
    /// The header as it came, unfolded nowhere.
    pub(crate) header: String,
    /// The whole message as it came.
    pub(crate) content: String,
}

impl Mail {
    /// The value of the first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.header.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Shared {
    fn wait(&self) {
        while !self.goes_on.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How a content filter hands mail back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandBack {
    /// To 127.0.0.1 at this port.
    pub(crate) port: u16,
    /// Its yes tells what Postfix said: under which queue id the mail is back.
    pub(crate) tells_queue_id: bool,
    /// It passes on who sent the mail and under which queue id it came.
    pub(crate) xforward: bool,
}

#[derive(Default)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    refused: Mutex<HashSet<String>>,
    conduct: Conduct,
    /// Recipients that stall wait no more.
    goes_on: AtomicBool,
    /// Hand each message back before accepting it.
    forward: Option<HandBack>,
    stop: AtomicBool,
}

/// The running sink; it stops when dropped.
pub(crate) struct Sink {
    port: u16,
    addresses: Vec<Ipv4Addr>,
    shared: Arc<Shared>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// A sink that plays a content filter and returns mail to this port, and
    /// says no more of it than that all is well.
    pub(crate) fn start_filter(back_to: u16) -> Self {
        Self::start_hand_back(HandBack { port: back_to, tells_queue_id: false, xforward: false })
    }

    /// A sink that plays a content filter.
    pub(crate) fn start_hand_back(how: HandBack) -> Self {
        Self::start_with(Some(how))
    }

    fn start_with(forward: Option<HandBack>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for the sink");
        let port = listener.local_addr().expect("the sink's port").port();
        let shared = Arc::new(Shared { forward, ..Shared::default() });
        serve(listener, &shared);
        Self { port, addresses: vec![Ipv4Addr::LOCALHOST], shared }
    }

    /// Listens at another loopback address, too, at the same port: another mail
    /// provider, as far as Postfix can tell.
    pub(crate) fn also_at(&mut self, address: Ipv4Addr) {
        if self.addresses.contains(&address) {
            return;
        }
        let listener = TcpListener::bind((address, self.port)).expect("the sink's port again");
        serve(listener, &self.shared);
        self.addresses.push(address);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on this recipient gets `550 5.1.1`.
    pub(crate) fn refuse(&self, rcpt: &str) {
        lock(&self.shared.refused).insert(rcpt.to_owned());
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        lock(&self.shared.mails).clone()
    }

    /// What has arrived since this was last asked; the sink forgets it.
    pub(crate) fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut *lock(&self.shared.mails))
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.shared.mails).len()
    }

    /// How many messages came from this envelope sender.
    pub(crate) fn count_from(&self, from: &str) -> usize {
        let mails = lock(&self.shared.mails);
        mails.iter().filter(|mail| mail.from == from).count()
    }

    /// How many messages came for this recipient.
    pub(crate) fn count_to(&self, to: &str) -> usize {
        let mails = lock(&self.shared.mails);
        let is_to = |mail: &&Mail| mail.rcpts.iter().any(|rcpt| rcpt == to);
        mails.iter().filter(is_to).count()
    }

    /// Answers for recipients that stall.
    pub(crate) fn go_on(&self) {
        self.shared.goes_on.store(true, Ordering::Relaxed);
    }

    /// How often a delivery to this recipient was tried.
    pub(crate) fn attempts(&self, to: &str) -> usize {
        self.shared.conduct.attempts(to)
    }

    /// Waits until `n` messages have arrived; more are a failure.
    pub(crate) fn wait_for(&self, n: usize, deadline: Duration) {
        let count = super::wait_for(
            &format!("{n} messages at the sink"),
            deadline,
            || format!("{} came", self.count()),
            || Some(self.count()).filter(|count| *count >= n),
        );
        assert_eq!(count, n, "more messages than were accepted");
    }

    /// Waits until `n` messages for this recipient have arrived; more are a
    /// failure.
    pub(crate) fn wait_for_to(&self, to: &str, n: usize, deadline: Duration) {
        let count = super::wait_for(
            &format!("{n} messages for {to} at the sink"),
            deadline,
            || format!("{} came", self.count_to(to)),
            || Some(self.count_to(to)).filter(|count| *count >= n),
        );
        assert_eq!(count, n, "more messages for {to} than were accepted");
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Wakes the listeners, which then end.
        for address in &self.addresses {
            drop(TcpStream::connect((*address, self.port)));
        }
    }
}

/// Takes connections until the sink stops.
fn serve(listener: TcpListener, shared: &Arc<Shared>) {
    let of_thread = Arc::clone(shared);
    thread::spawn(move || {
        for stream in listener.incoming() {
            if of_thread.stop.load(Ordering::Relaxed) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let shared = Arc::clone(&of_thread);
            // A session that breaks off is the client's affair.
            thread::spawn(move || drop(session(stream, &shared)));
        }
    });
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn session(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(300)))?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    answer(&mut stream, "220 sink.test ESMTP")?;
    let mut taken = Taken::default();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" if shared.forward.is_some_and(|it| it.xforward) => {
                let can = "250-sink.test\r\n\
                           250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT\r\n250 8BITMIME";
                answer(&mut stream, can)?;
            }
            "EHLO" => answer(&mut stream, "250-sink.test\r\n250 8BITMIME")?,
            "XFOR" => {
                taken.xforward.push(line.to_owned());
                answer(&mut stream, "250 2.0.0 Ok")?;
            }
            "MAIL" => {
                let mail = Mail { from: address(line), ..Mail::default() };
                taken = Taken { mail, fate: Treatment::Accept, ..taken };
                answer(&mut stream, "250 2.1.0 Ok")?;
            }
            "RCPT" => match recipient(shared, &address(line)) {
                Treatment::Refuse(reply) => answer(&mut stream, reply)?,
                Treatment::Drop => return Ok(()),
                Treatment::Stall => {
                    shared.wait();
                    taken.mail.rcpts.push(address(line));
                    answer(&mut stream, "250 2.1.5 Ok")?;
                }
                treatment => {
                    if taken.fate == Treatment::Accept {
                        taken.fate = treatment;
                    }
                    taken.mail.rcpts.push(address(line));
                    answer(&mut stream, "250 2.1.5 Ok")?;
                }
            },
            "DATA" => {
                answer(&mut stream, "354 Go on")?;
                let body = read_content(&mut stream)?;
                let reply = match taken.fate {
                    Treatment::Cut => return Ok(()),
                    Treatment::RefuseContent(reply) => reply.to_owned(),
                    _ => accept(shared, std::mem::take(&mut taken), &body),
                };
                taken = Taken::default();
                answer(&mut stream, &reply)?;
            }
            "QUIT" => return answer(&mut stream, "221 2.0.0 Bye"),
            _ => answer(&mut stream, "250 2.0.0 Ok")?,
        }
    }
}

/// A transaction so far.
struct Taken {
    mail: Mail,
    /// What the whole message meets at its end.
    fate: Treatment,
    /// The lines that say who sent it, and under which queue id.
    xforward: Vec<String>,
}

impl Default for Taken {
    fn default() -> Self {
        Self { mail: Mail::default(), fate: Treatment::Accept, xforward: Vec::new() }
    }
}

/// What a recipient meets. A content filter looks at no recipient.
fn recipient(shared: &Shared, address: &str) -> Treatment {
    if shared.forward.is_some() {
        return Treatment::Accept;
    }
    if lock(&shared.refused).contains(address) {
        return Treatment::Refuse("550 5.1.1 No such user");
    }
    shared.conduct.at_recipient(address)
}

fn answer(stream: &mut BufReader<TcpStream>, reply: &str) -> std::io::Result<()> {
    let reply = format!("{reply}\r\n");
    stream.get_mut().write_all(reply.as_bytes())
}

/// Everything up to the line that holds only a dot, as text.
fn read_content(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut content = Vec::new();
    loop {
        let start = content.len();
        if stream.read_until(b'\n', &mut content)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if &content[start..] == b".\r\n" {
            content.truncate(start);
            return Ok(String::from_utf8_lossy(&content).into_owned());
        }
    }
}

/// Remembers the message; a content filter hands it back to Postfix first.
fn accept(shared: &Shared, taken: Taken, content: &str) -> String {
    let Taken { mut mail, xforward, .. } = taken;
    let mut answer = "250 2.0.0 Ok".to_owned();
    if let Some(how) = shared.forward {
        let mut client = SmtpClient::open("127.0.0.1", how.port);
        for line in &xforward {
            client.expect(line, 250);
        }
        client.expect(&format!("MAIL FROM:<{}>", mail.from), 250);
        for rcpt in &mail.rcpts {
            client.expect(&format!("RCPT TO:<{rcpt}>"), 250);
        }
        client.expect("DATA", 354);
        let reply = client.say(&format!("{content}."));
        if !reply.agrees() {
            return reply.to_string();
        }
        if how.tells_queue_id {
            let port = how.port;
            answer = format!("250 2.0.0 from MTA(smtp:[127.0.0.1]:{port}): {reply}");
        }
    }
    mail.header = content.split("\r\n\r\n").next().unwrap_or("").to_owned();
    content.clone_into(&mut mail.content);
    lock(&shared.mails).push(mail);
    answer
}

/// The address between the angle brackets of MAIL or RCPT.
fn address(line: &str) -> String {
    let start = line.find('<').map_or(0, |at| at + 1);
    let end = line.rfind('>').unwrap_or(line.len());
    line.get(start..end).unwrap_or("").to_owned()
}
