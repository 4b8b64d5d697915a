//! Takes the mail that Postfix sends out, and remembers each envelope.
//!
//! Own code, since tests ask for exact counts and envelopes while mail flows.
//! It can refuse recipients, and it can play a content filter that hands
//! each message back to Postfix before it says yes.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::smtp::SmtpClient;

/// One message that the sink accepted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) rcpts: Vec<String>,
    /// The header as it came, unfolded nowhere.
    pub(crate) header: String,
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

#[derive(Default)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    refused: Mutex<HashSet<String>>,
    /// Hand each message to 127.0.0.1 at this port before accepting it.
    forward: Option<u16>,
    stop: AtomicBool,
}

/// The running sink; it stops when dropped.
pub(crate) struct Sink {
    port: u16,
    shared: Arc<Shared>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// A sink that plays a content filter and returns mail to this port.
    pub(crate) fn start_filter(back_to: u16) -> Self {
        Self::start_with(Some(back_to))
    }

    fn start_with(forward: Option<u16>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for the sink");
        let port = listener.local_addr().expect("the sink's port").port();
        let shared = Arc::new(Shared { forward, ..Shared::default() });
        let of_thread = Arc::clone(&shared);
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
        Self { port, shared }
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
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Wakes the listener, which then ends.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn session(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(300)))?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    answer(&mut stream, "220 sink.test ESMTP")?;
    let mut mail = Mail::default();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => answer(&mut stream, "250-sink.test\r\n250 8BITMIME")?,
            "MAIL" => {
                mail = Mail { from: address(line), ..Mail::default() };
                answer(&mut stream, "250 2.1.0 Ok")?;
            }
            "RCPT" if lock(&shared.refused).contains(&address(line)) => {
                answer(&mut stream, "550 5.1.1 No such user")?;
            }
            "RCPT" => {
                mail.rcpts.push(address(line));
                answer(&mut stream, "250 2.1.5 Ok")?;
            }
            "DATA" => {
                answer(&mut stream, "354 Go on")?;
                let body = read_content(&mut stream)?;
                mail.header = body.split("\r\n\r\n").next().unwrap_or("").to_owned();
                let reply = accept(shared, std::mem::take(&mut mail), &body);
                answer(&mut stream, &reply)?;
            }
            "QUIT" => return answer(&mut stream, "221 2.0.0 Bye"),
            _ => answer(&mut stream, "250 2.0.0 Ok")?,
        }
    }
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

/// Remembers the message, or hands it back to Postfix first.
fn accept(shared: &Shared, mail: Mail, content: &str) -> String {
    if let Some(port) = shared.forward {
        let mut client = SmtpClient::open("127.0.0.1", port);
        client.expect(&format!("MAIL FROM:<{}>", mail.from), 250);
        for rcpt in &mail.rcpts {
            client.expect(&format!("RCPT TO:<{rcpt}>"), 250);
        }
        client.expect("DATA", 354);
        let reply = client.say(&format!("{content}."));
        if !reply.agrees() {
            return format!("{} {}", reply.code, reply.text);
        }
    }
    lock(&shared.mails).push(mail);
    "250 2.0.0 Ok".to_owned()
}

/// The address between the angle brackets of MAIL or RCPT.
fn address(line: &str) -> String {
    let start = line.find('<').map_or(0, |at| at + 1);
    let end = line.rfind('>').unwrap_or(line.len());
    line.get(start..end).unwrap_or("").to_owned()
}
