//! A load: so many connections to one server at once, on one thread.
//!
//! One thread with an event loop, not a blocking thread a connection: it wakes up
//! once for many replies. Against the no-op it cost 0.33 to 0.49 processor seconds
//! for 10,000 messages of sessions of one, 0.14 to 0.19 of sessions of 100; threads
//! cost 0.39 to 0.80 and 0.17 to 0.34 (8 and 64 connections, 3 runs each by turns).

use super::{
    Figures,
    frame::Reply,
    mail::Mail,
    mail_log::MailLog,
    process::{Group, own_cpu},
    talk::{Talk, patiently},
};
use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::net::{TcpStream, UnixStream};

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl FromStr for Address {
    type Err = String;

    /// `unix:/path` or `inet:address:port`, as [`Address`] is shown.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            Some(("inet", rest)) => {
                rest.parse().map(Self::Tcp).map_err(|it| format!("{text}: {it}"))
            }
            _ => Err(format!("{text} is neither unix:/path nor inet:address:port")),
        }
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Connections at once, at least 1.
    pub(crate) connections: usize,
    /// Messages of a session, at least 1.
    pub(crate) messages_a_session: usize,
    /// Recipients of a message, 1 to 12.
    pub(crate) recipients: usize,
    /// Octets of the body, at most 65,535; sent only where it is asked for.
    pub(crate) body: usize,
    /// Replies that are no fault, beside to continue and to accept.
    pub(crate) expected: Vec<Reply>,
    /// Where the lines that Postfix would log of each message are written.
    pub(crate) mail_log: Option<Arc<MailLog>>,
}

impl Default for Profile {
    /// 8 connections, one message a session to one recipient, 4,000 octets.
    fn default() -> Self {
        Self {
            connections: 8,
            messages_a_session: 1,
            recipients: 1,
            body: 4_000,
            expected: Vec::new(),
            mail_log: None,
        }
    }
}

/// When no new session and no new message begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After so many sessions.
    Sessions(u64),
    /// After so long.
    Elapsed(Duration),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "inet:{address}"),
        }
    }
}

/// Sends `mail` to the server at `address`, and measures its processes.
///
/// # Errors
/// The server can't be reached, ends a connection, does not answer for 30 s, or
/// does not speak the protocol. (A reply that is not expected is no error: see
/// [`Figures::complaint`].)
pub(crate) fn run(
    address: &Address,
    server: &Group,
    profile: &Profile,
    mail: &Arc<Mail>,
    until: Until,
) -> io::Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cpu = server.cpu();
    let own = own_cpu();
    let began = Instant::now();
    let mut figures = runtime.block_on(connections(address, profile, mail, until))?;
    figures.elapsed = began.elapsed();
    figures.own_cpu = own_cpu().saturating_sub(own);
    figures.cpu = server.cpu().saturating_sub(cpu);
    figures.peak_kib = server.peak_kib();
    figures.finish();
    Ok(figures)
}

async fn connections(
    address: &Address,
    profile: &Profile,
    mail: &Arc<Mail>,
    until: Until,
) -> io::Result<Figures> {
    let (sessions, time) = match until {
        Until::Sessions(sessions) => (sessions, None),
        Until::Elapsed(time) => (u64::MAX, Some(time)),
    };
    let left = Arc::new(AtomicU64::new(sessions));
    let end = time.map(|time| Instant::now() + time);
    let tasks: Vec<_> = (0..profile.connections)
        .map(|_| {
            let (address, profile) = (address.clone(), profile.clone());
            let (mail, left) = (Arc::clone(mail), Arc::clone(&left));
            tokio::spawn(async move {
                let mut talk = Talk::default();
                let in_time = || end.is_none_or(|end| Instant::now() < end);
                let take = |left| u64::checked_sub(left, 1);
                while in_time() && left.fetch_update(Relaxed, Relaxed, take).is_ok() {
                    let session = one(&mut talk, &address, &profile, &mail, in_time);
                    patiently(session).await?;
                }
                Ok::<_, io::Error>(talk.figures)
            })
        })
        .collect();
    let mut all = Figures::default();
    for task in tasks {
        all.absorb(task.await??);
    }
    Ok(all)
}

async fn one(
    talk: &mut Talk,
    address: &Address,
    profile: &Profile,
    mail: &Mail,
    more: impl Fn() -> bool,
) -> io::Result<()> {
    match address {
        Address::Unix(path) => {
            talk.session(UnixStream::connect(path).await?, profile, mail, more).await
        }
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            talk.session(stream, profile, mail, more).await
        }
    }
}
