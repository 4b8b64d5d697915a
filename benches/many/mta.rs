//! The MTA's side of the milter protocol, as frames: a length of four bytes (big
//! end first), a command, its data.

use std::{
    io::{self, Read, Write},
    net::IpAddr,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Steps that a milter may leave out, each with the bit that leaves it out and the
/// one that leaves out its reply.
const STEPS: [(u8, u32, u32); 8] = [
    (b'C', 0x1, 0x1000),
    (b'H', 0x2, 0x2000),
    (b'M', 0x4, 0x4000),
    (b'R', 0x8, 0x8000),
    (b'T', 0x200, 0x1_0000),
    (b'L', 0x20, 0x80),
    (b'N', 0x40, 0x4_0000),
    (b'B', 0x10, 0x8_0000),
];

/// What a milter answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reply {
    /// Go on, or accept.
    Pass,
    /// A code and its text.
    Code(String),
    Other(u8),
}

/// One connection.
pub(crate) struct Mta {
    stream: UnixStream,
    protocol: u32,
}

impl Mta {
    /// Connects, negotiates, and presents an SMTP client.
    pub(crate) fn connect(socket: &Path, client: IpAddr) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let mut mta = Self { stream, protocol: 0 };
        let mut offer = 6_u32.to_be_bytes().to_vec();
        offer.extend(0x1ff_u32.to_be_bytes());
        offer.extend(0x1f_ffff_u32.to_be_bytes());
        mta.send(b'O', &offer)?;
        let (command, data) = mta.receive()?;
        assert!(command == b'O' && data.len() >= 12, "the milter does not negotiate");
        mta.protocol = u32::from_be_bytes(data[8..12].try_into().unwrap());
        let address = client.to_string();
        mta.macros(b'C', &[("j", "mx.example.org"), ("{client_addr}", &address)])?;
        mta.step(b'C', format!("client.example\x004\0\x19{address}\0").as_bytes())?;
        mta.step(b'H', b"client.example\0")?;
        Ok(mta)
    }

    /// One message with one recipient; gives the first reply that is no pass, or that
    /// at its end.
    pub(crate) fn message(&mut self, sender: &str, recipient: &str, id: u64) -> io::Result<Reply> {
        self.macros(b'M', &[("{mail_addr}", sender)])?;
        self.step(b'M', format!("<{sender}>\0").as_bytes())?;
        let host = recipient.split_once('@').map_or("", |(_, host)| host);
        let macros = [("{rcpt_mailer}", "smtp"), ("{rcpt_host}", host), ("{rcpt_addr}", recipient)];
        self.macros(b'R', &macros)?;
        let reply = self.step(b'R', format!("<{recipient}>\0").as_bytes())?;
        if reply != Reply::Pass {
            self.send(b'A', b"")?;
            return Ok(reply);
        }
        let queue_id = format!("4b{id:011}");
        self.macros(b'T', &[("i", &queue_id)])?;
        self.step(b'T', b"")?;
        for (name, value) in [("From", sender), ("To", recipient), ("Subject", "hello")] {
            self.step(b'L', format!("{name}\0{value}\0").as_bytes())?;
        }
        self.macros(b'N', &[("i", &queue_id)])?;
        self.step(b'N', b"")?;
        self.macros(b'E', &[("i", &queue_id)])?;
        self.send(b'E', b"")?;
        self.reply()
    }

    fn step(&mut self, command: u8, data: &[u8]) -> io::Result<Reply> {
        let (_, skip, silent) = STEPS.into_iter().find(|step| step.0 == command).unwrap();
        if self.protocol & skip != 0 {
            return Ok(Reply::Pass);
        }
        self.send(command, data)?;
        if self.protocol & silent != 0 { Ok(Reply::Pass) } else { self.reply() }
    }

    fn macros(&mut self, stage: u8, macros: &[(&str, &str)]) -> io::Result<()> {
        let mut data = vec![stage];
        for (name, value) in macros {
            data.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        self.send(b'D', &data)
    }

    fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let (command, data) = self.receive()?;
            return Ok(match command {
                b'c' | b'a' => Reply::Pass,
                b'y' => Reply::Code(String::from_utf8_lossy(&data).into_owned()),
                // Progress, or a change of the message.
                b'p' | b'h' | b'i' | b'm' => continue,
                other => Reply::Other(other),
            });
        }
    }

    fn send(&mut self, command: u8, data: &[u8]) -> io::Result<()> {
        let mut frame = (data.len() as u32 + 1).to_be_bytes().to_vec();
        frame.push(command);
        frame.extend_from_slice(data);
        self.stream.write_all(&frame)
    }

    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        let mut data = vec![0; length.saturating_sub(1)];
        self.stream.read_exact(&mut data)?;
        Ok((head[4], data))
    }
}
