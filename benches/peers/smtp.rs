//! An SMTP session of a client whose address is told with XCLIENT, and a load
//! of such sessions.

use crate::{
    Told,
    load::{Figures, Mail, mail::address},
};
use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpStream},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// About as much as the milter load sends.
const LINES: usize = 50;

/// A reply: its code, and the text of its last line.
pub(crate) type Reply = (u16, String);

/// A session after EHLO.
pub(crate) struct Session {
    stream: BufReader<TcpStream>,
    message: String,
}

impl Session {
    /// Connects to this port of 127.0.0.1 as this client.
    ///
    /// # Errors
    /// It can't be reached, or does not believe the address.
    pub(crate) fn open(port: u16, client: Ipv4Addr) -> Told<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
        let line = "All work and no play makes a dull test of a mail filter, they say.\r\n";
        let message = format!(
            "From: a client <user@example.org>\r\nTo: somebody <person@example.net>\r\n\
             Subject: one of many\r\nDate: Mon, 01 Jun 2026 12:00:00 +0000\r\n\
             Message-ID: <{client}.{port}@example.org>\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\r\n{}.\r\n",
            line.repeat(LINES)
        );
        let mut session = Self { stream: BufReader::new(stream), message };
        session.wants(220, None)?;
        session.wants(250, Some("EHLO client.example.org"))?;
        session.wants(220, Some(&format!("XCLIENT ADDR={client} NAME=client.example.org")))?;
        session.wants(250, Some("EHLO client.example.org"))?;
        Ok(session)
    }

    /// Sends a message; what the server says to it in the end, or at the first
    /// command that it refuses.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) fn send(&mut self, sender: &str, recipient: &str) -> Told<Reply> {
        let commands =
            [format!("MAIL FROM:<{sender}>"), format!("RCPT TO:<{recipient}>"), "DATA".to_owned()];
        for command in commands {
            let reply = self.command(&command)?;
            if reply.0 >= 400 {
                self.wants(250, Some("RSET"))?;
                return Ok(reply);
            }
        }
        let message = std::mem::take(&mut self.message);
        let written = self.stream.get_mut().write_all(message.as_bytes());
        self.message = message;
        written.map_err(told)?;
        self.reply()
    }

    /// Ends it.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) fn quit(mut self) -> Told<()> {
        self.wants(221, Some("QUIT"))
    }

    fn command(&mut self, command: &str) -> Told<Reply> {
        self.stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).map_err(told)?;
        self.reply()
    }

    fn wants(&mut self, code: u16, command: Option<&str>) -> Told<()> {
        let reply = match command {
            Some(command) => self.command(command)?,
            None => self.reply()?,
        };
        if reply.0 == code { Ok(()) } else { Err(format!("SMTP: {command:?}: {}", reply.1)) }
    }

    fn reply(&mut self) -> Told<Reply> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).map_err(told)? == 0 {
                return Err(told(io::ErrorKind::UnexpectedEof.into()));
            }
            if line.get(3..4) != Some("-") {
                let code = line.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
                return Ok((code, line.trim_end().to_owned()));
            }
        }
    }
}

/// Sends for so long over so many sessions at once, one message each; latencies
/// are those from MAIL to the last reply.
///
/// # Errors
/// A message is refused, a connection breaks.
pub(crate) fn load(port: u16, sessions: usize, mail: &Mail, time: Duration) -> Told<Figures> {
    let begun = Instant::now();
    let one = || {
        let mut latencies = Vec::new();
        while begun.elapsed() < time {
            let client = mail.client();
            let letter = mail.letter(client);
            let (mut sender, mut recipient) = (Vec::new(), Vec::new());
            letter.sender(&mut sender);
            letter.recipient(&mut recipient, 0);
            let mut session = Session::open(port, address(client))?;
            let sent = Instant::now();
            let reply = session
                .send(&String::from_utf8_lossy(&sender), &String::from_utf8_lossy(&recipient))?;
            latencies.push(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
            if reply.0 != 250 {
                return Err(format!("SMTP: a message is refused: {}", reply.1));
            }
            session.quit()?;
        }
        Ok(latencies)
    };
    let latencies = thread::scope(|scope| {
        let threads: Vec<_> = (0..sessions).map(|_| scope.spawn(one)).collect();
        let joined = threads.into_iter().map(|it| it.join().map_err(|_| "a thread".to_owned())?);
        joined.collect::<Told<Vec<_>>>()
    })?;
    Ok(Figures::of_latencies(latencies.concat(), begun.elapsed()))
}

fn told(error: io::Error) -> String {
    format!("SMTP: {error}")
}
