//! A load of the policy protocol of Postfix: a request for each recipient,
//! attributes as the smtpd of Postfix 3.7 sends them, each answer checked.
//!
//! Postfix keeps its connections to a policy server from one SMTP session to
//! the next, so they are kept here, whatever the number of messages a session.

use crate::{
    Told,
    load::{Figures, Mail, mail::address},
};
use std::{
    fmt::Write as _,
    io::{Read, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// A server that does not answer for so long never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks over so many connections at once, for so long; a client has so many
/// messages before the next one has its turn.
///
/// # Errors
/// It can't be reached, ends a connection, or refuses.
pub(crate) fn run(
    server: SocketAddr,
    connections: usize,
    messages_a_session: usize,
    mail: &Mail,
    time: Duration,
) -> Told<Figures> {
    let begun = Instant::now();
    let end = begun + time;
    let latencies = thread::scope(|scope| {
        let one = || ask(server, messages_a_session, mail, end);
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        let joined = threads.into_iter().map(|it| it.join().map_err(|_| "a thread".to_owned())?);
        joined.collect::<Told<Vec<_>>>()
    })?;
    Ok(Figures::of_latencies(latencies.concat(), begun.elapsed()))
}

fn ask(server: SocketAddr, messages: usize, mail: &Mail, end: Instant) -> Told<Vec<u64>> {
    let told = |error: std::io::Error| format!("policy server {server}: {error}");
    let mut stream = TcpStream::connect(server).map_err(told)?;
    stream.set_nodelay(true).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    let (mut latencies, mut request, mut answer) = (Vec::new(), Request::default(), Vec::new());
    while Instant::now() < end {
        let client = mail.client();
        for _ in 0..messages {
            let text = request.of(mail, client);
            let begun = Instant::now();
            stream.write_all(text.as_bytes()).map_err(told)?;
            receive(&mut stream, &mut answer).map_err(told)?;
            latencies.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
            if !answer.eq_ignore_ascii_case(b"action=dunno\n\n") {
                let answer = String::from_utf8_lossy(&answer).trim().to_owned();
                return Err(format!("policy server {server} answers {answer:?}"));
            }
            if Instant::now() >= end {
                break;
            }
        }
    }
    Ok(latencies)
}

fn receive(stream: &mut TcpStream, answer: &mut Vec<u8>) -> std::io::Result<()> {
    answer.clear();
    let mut octets = [0; 512];
    while !answer.ends_with(b"\n\n") {
        let received = stream.read(&mut octets)?;
        if received == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(octets.get(..received).unwrap_or_default());
    }
    Ok(())
}

/// The text of requests, whose memory is used again.
#[derive(Default)]
struct Request {
    text: String,
    sender: Vec<u8>,
    recipient: Vec<u8>,
}

impl Request {
    fn of(&mut self, mail: &Mail, client: u64) -> &str {
        let letter = mail.letter(client);
        self.sender.clear();
        letter.sender(&mut self.sender);
        self.recipient.clear();
        letter.recipient(&mut self.recipient, 0);
        let (sender, recipient) =
            (String::from_utf8_lossy(&self.sender), String::from_utf8_lossy(&self.recipient));
        let (address, number) = (address(client), letter.number);
        self.text.clear();
        // A string takes whatever is written.
        let _ = write!(
            self.text,
            "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
             client_address={address}\nclient_name=client{client}.example.org\n\
             client_port=40000\nreverse_client_name=client{client}.example.org\n\
             server_address=192.0.2.1\nserver_port=25\nhelo_name=client{client}.example.org\n\
             sender={sender}\nrecipient={recipient}\nrecipient_count=0\nqueue_id=\n\
             instance=1f2e.{number:x}.0\nsize=4300\netrn_domain=\nstress=\nsasl_method=\n\
             sasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\n\
             ccert_pubkey_fingerprint=\nencryption_protocol=\nencryption_cipher=\n\
             encryption_keysize=0\npolicy_context=\n\n"
        );
        &self.text
    }
}
