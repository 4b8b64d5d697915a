//! One connection: negotiation, a session's messages, each reply checked.

use super::{
    figures::Figures,
    frame::{self, Negotiated, Reply, frame},
    mail::{Letter, Mail},
    run::Profile,
    script::{At, Plan, Script, Stop},
};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// A server that answers nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a connection keeps from one session to the next.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    script: Script,
    /// Octets read; those before `used` are done with.
    input: Vec<u8>,
    used: usize,
    plan: Option<(Negotiated, Arc<Plan>)>,
    pub(crate) figures: Figures,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// The next one may follow.
    Done,
    /// Nothing more is told to the server in this session.
    SessionOver,
}

impl Talk {
    /// A session of the next client. `more` says whether another message may
    /// begin.
    pub(crate) async fn session(
        &mut self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        profile: &Profile,
        mail: &Mail,
        more: impl Fn() -> bool,
    ) -> io::Result<()> {
        let began = Instant::now();
        self.input.clear();
        self.used = 0;
        let plan = self.negotiate(&mut stream, profile).await?;
        let client = mail.client();
        let mut first = true;
        for _ in 0..profile.messages_a_session {
            let letter = mail.letter(client);
            self.script.clear(!first);
            if first {
                plan.begin(&mut self.script, letter);
            }
            plan.message(&mut self.script, letter);
            first = false;
            let outcome = self.message(&mut stream, profile, letter).await?;
            if outcome == Outcome::SessionOver || !more() {
                break;
            }
        }
        // Postfix closes without waiting.
        self.script.clear(true);
        frame(&mut self.script.octets, b'Q', |_| {});
        stream.write_all(&self.script.octets).await?;
        stream.shutdown().await?;
        self.figures.session(began.elapsed());
        Ok(())
    }

    async fn negotiate(
        &mut self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        profile: &Profile,
    ) -> io::Result<Arc<Plan>> {
        stream.write_all(&frame::negotiate()).await?;
        let (kind, data) = self.reply(stream).await?;
        if kind != b'O' {
            return Err(odd(&format!("the negotiation was answered with {:?}", char::from(kind))));
        }
        let negotiated = Negotiated::parse(data)?;
        self.figures.negotiations += 1;
        match &self.plan {
            Some((last, plan)) if *last == negotiated => Ok(Arc::clone(plan)),
            _ => {
                let plan = Plan::new(negotiated.clone(), profile.recipients, profile.body);
                self.figures.negotiated = Some(negotiated.clone());
                self.plan = Some((negotiated, Arc::clone(&plan)));
                Ok(plan)
            }
        }
    }

    async fn message(
        &mut self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        profile: &Profile,
        letter: Letter,
    ) -> io::Result<Outcome> {
        let began = Instant::now();
        let (mut written, mut asked, mut accepted, mut at) = (0, false, 0, 0);
        while let Some(&Stop { end, at: what }) = self.script.stops.get(at) {
            at += 1;
            if matches!(what, At::Content | At::End) && asked && accepted == 0 {
                break;
            }
            let octets = self.script.octets.get(written..end).unwrap_or(&[]);
            stream.write_all(octets).await?;
            written = end;
            let reply = self.answer(stream, profile, what).await?;
            self.figures.round_trips += 1;
            if what == At::Recipient {
                asked = true;
                accepted += u64::from(reply.passes());
            }
            match reply {
                Reply::Shutdown => return Ok(Outcome::SessionOver),
                // Nothing more of this message, or of this session.
                Reply::Accept | Reply::Discard | Reply::Tempfail | Reply::Reject
                    if what != At::Recipient =>
                {
                    break;
                }
                Reply::Accept => break,
                _ => {}
            }
        }
        self.figures.message(began.elapsed());
        if let Some(log) = &profile.mail_log
            && accepted > 0
        {
            log.tell(letter, profile.recipients)?;
        }
        Ok(Outcome::Done)
    }

    /// The reply, after the actions on the message that may come before it.
    async fn answer(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        profile: &Profile,
        what: At,
    ) -> io::Result<Reply> {
        loop {
            let (kind, data) = self.reply(stream).await?;
            let reply = Reply::of(kind, data);
            self.figures.reply(what, reply, &profile.expected);
            if reply.is_final() {
                return Ok(reply);
            }
        }
    }

    /// The next frame, as kind and data.
    async fn reply(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, &[u8])> {
        let length = loop {
            let unread = self.input.get(self.used..).unwrap_or(&[]);
            if let Some((_, _, length)) = frame::split(unread) {
                break length;
            }
            if unread.is_empty() {
                self.input.clear();
                self.used = 0;
            }
            self.input.reserve(4096);
            if stream.read_buf(&mut self.input).await? == 0 {
                return Err(odd("the server closed the connection"));
            }
        };
        let start = self.used;
        self.used += length;
        let octets = self.input.get(start..).unwrap_or(&[]);
        frame::split(octets).map(|(kind, data, _)| (kind, data)).ok_or_else(|| odd("no frame"))
    }
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Ends a wait that nothing will end.
pub(crate) async fn patiently<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(odd("the server does not answer")))
}
