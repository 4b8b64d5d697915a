//! Receivers that behave as a test wants it.

use super::PATIENCE;
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// How a receiver treats the next one that comes; at the end of the list, well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Answer {
    /// With this status.
    Status(u16),
    /// Not at all.
    Hang,
}

/// What a receiver got.
#[derive(Clone, Debug, Default)]
pub(super) struct Got {
    /// HELO name, envelope, or the head of a request, one a line.
    pub(super) head: Vec<String>,
    pub(super) body: String,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) answers: Arc<Mutex<VecDeque<Answer>>>,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Server {
    pub(super) fn http() -> Self {
        Self::start(TcpListener::bind("127.0.0.1:0").unwrap(), http)
    }

    pub(super) fn smtp() -> Self {
        Self::start(TcpListener::bind("127.0.0.1:0").unwrap(), smtp)
    }

    /// A receiver at an address where nobody listened so far.
    pub(super) fn http_at(address: SocketAddr) -> Self {
        Self::start(TcpListener::bind(address).unwrap(), http)
    }

    fn start(listener: TcpListener, serve: fn(TcpStream, Answer) -> Option<Got>) -> Self {
        let address = listener.local_addr().unwrap();
        let answers: Arc<Mutex<VecDeque<Answer>>> = Arc::default();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let (planned, list) = (Arc::clone(&answers), Arc::clone(&got));
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming().flatten() {
                let answer = planned.lock().unwrap().pop_front().unwrap_or(Answer::Status(250));
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                if answer == Answer::Hang {
                    hanging.push(stream);
                } else if let Some(got) = serve(stream, answer) {
                    list.lock().unwrap().push(got);
                }
            }
        });
        Self { address, answers, got }
    }

    pub(super) fn plan(&self, answers: &[Answer]) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

fn http(stream: TcpStream, answer: Answer) -> Option<Got> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = Vec::new();
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        head.push(line.trim_end().to_owned());
        line.clear();
    }
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let Answer::Status(status) = answer else { return None };
    let status = if status == 250 { 200 } else { status };
    let mut stream = stream;
    let location = if status == 302 { "Location: http://127.0.0.1:1/\r\n" } else { "" };
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{location}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    (status == 200).then(|| Got { head, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Refuses the recipient `bad@example.org` for good, `full@example.org` for now,
/// and everybody if so told.
fn smtp(stream: TcpStream, answer: Answer) -> Option<Got> {
    let Answer::Status(status) = answer else { return None };
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    let mut got = Got::default();
    let mut taken = None;
    write!(stream, "220 mx.example.org ESMTP\r\n").ok()?;
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap_or(0) > 0 {
        let command = line.trim_end().to_owned();
        line.clear();
        let verb = command.get(..4).unwrap_or("").to_ascii_uppercase();
        let reply = match &*verb {
            "EHLO" => "250-mx.example.org\r\n250 8BITMIME".to_owned(),
            "RCPT" if command.contains("bad@") => "550 5.1.1 no such user".to_owned(),
            "RCPT" if command.contains("full@") => "452 4.2.2 mailbox full".to_owned(),
            "RCPT" => format!("{status} rcpt"),
            "DATA" => {
                write!(stream, "354 go on\r\n").ok()?;
                let mut body = String::new();
                loop {
                    line.clear();
                    reader.read_line(&mut line).ok()?;
                    if line == ".\r\n" || line.is_empty() {
                        break;
                    }
                    body.push_str(&line);
                }
                line.clear();
                taken = Some(Got { head: got.head.clone(), body });
                "250 2.0.0 queued".to_owned()
            }
            "QUIT" => break,
            _ => "250 ok".to_owned(),
        };
        got.head.push(command);
        write!(stream, "{reply}\r\n").ok()?;
    }
    taken
}
