//! The lines that Postfix 3.7 would log of each message, delivered at once.

use super::{
    macros::{client_address, client_name},
    mail::Letter,
};
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Lines wait for so many octets, or for so long: as a log daemon's do.
const FULL: usize = 64 << 10;
const STALE: Duration = Duration::from_millis(100);

/// A log that is written to.
#[derive(Debug)]
pub(crate) struct MailLog(Mutex<Log>);

#[derive(Debug)]
struct Log {
    file: File,
    lines: Vec<u8>,
    /// Time and host, as every line begins.
    prefix: String,
    since: Instant,
}

impl MailLog {
    /// A log in this file, which is made.
    ///
    /// # Errors
    /// The file can't be made.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        let (lines, prefix) = (Vec::with_capacity(2 * FULL), prefix());
        Ok(Self(Mutex::new(Log { file, lines, prefix, since: Instant::now() })))
    }

    pub(super) fn tell(&self, letter: Letter, recipients: usize) -> io::Result<()> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.message(letter, u64::try_from(recipients).unwrap_or(1));
        if log.lines.len() >= FULL || log.since.elapsed() >= STALE {
            log.flush()?;
        }
        Ok(())
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// The disk is full.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

impl Log {
    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.lines)?;
        self.lines.clear();
        self.since = Instant::now();
        self.prefix = prefix();
        Ok(())
    }

    fn message(&mut self, letter: Letter, recipients: u64) {
        let mut client = Vec::new();
        client_name(&mut client, letter.client);
        client.push(b'[');
        client_address(&mut client, letter.client);
        client.push(b']');
        let mut sender = Vec::new();
        letter.sender(&mut sender);
        self.line("smtpd[4711]", Some(letter), &[b"client=", &client]);
        self.line("cleanup[4712]", Some(letter), &[b"message-id=<4711@dept.example.org>"]);
        let size = format!(">, size=4711, nrcpt={recipients} (queue active)");
        self.line("qmgr[811]", Some(letter), &[b"from=<", &sender, size.as_bytes()]);
        for nth in 0..recipients {
            let mut to = Vec::new();
            letter.recipient(&mut to, nth);
            let rest = b">, relay=mx.example.net[192.0.2.25]:25, delay=0.51, \
                delays=0.1/0/0.2/0.21, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4bXyZ12Kz)";
            self.line("smtp[4713]", Some(letter), &[b"to=<", &to, rest]);
        }
        self.line("qmgr[811]", Some(letter), &[b"removed"]);
    }

    fn line(&mut self, service: &str, letter: Option<Letter>, parts: &[&[u8]]) {
        let lines = &mut self.lines;
        lines.extend_from_slice(self.prefix.as_bytes());
        lines.extend_from_slice(service.as_bytes());
        lines.extend_from_slice(b": ");
        if let Some(letter) = letter {
            letter.queue_id(lines);
            lines.extend_from_slice(b": ");
        }
        lines.extend(parts.iter().copied().flatten());
        lines.push(b'\n');
    }
}

fn prefix() -> String {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00");
    format!("{now} mx postfix/")
}
