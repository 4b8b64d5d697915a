//! Sessions without a socket, for the fuzz target of milter events: the dialogue
//! and the engine as in the daemon, without the library that reads frames.

use super::{
    Params,
    dialogue::{Dialogue, Macros},
    shared::Shared,
};
use crate::{engine::Engine, timestamp::Timestamp, verdict::Verdict};
use indymilter::{ProtoOpts, SocketInfo};
use std::{
    ffi::{CStr, CString},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// A milter that nobody connects to.
#[derive(Debug)]
pub struct Host {
    shared: Arc<Shared>,
    now: Arc<AtomicU64>,
}

/// A session with it.
pub struct Client(Dialogue);

/// Macros as names and values.
#[derive(Debug, Default)]
pub struct Values(pub Vec<(&'static CStr, CString)>);

impl Macros for Values {
    fn get(&self, name: &CStr) -> Option<&CStr> {
        self.0.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }
}

impl Host {
    /// A milter before this engine, at this time.
    pub fn new(params: Params, engine: Arc<Engine>, now: Timestamp) -> Self {
        let millis = Arc::new(AtomicU64::new(now.as_millis()));
        let clock = Arc::clone(&millis);
        let clock = Box::new(move || Timestamp::from_millis(clock.load(Relaxed)));
        Self { shared: Arc::new(Shared::new(params, engine, clock)), now: millis }
    }

    /// Sets the time.
    pub fn set_now(&self, now: Timestamp) {
        self.now.store(now.as_millis(), Relaxed);
    }

    /// A session that has not said anything.
    pub fn client(&self) -> Client {
        Client(Dialogue::new(Arc::clone(&self.shared), ProtoOpts::empty()))
    }

    /// Callbacks that panicked.
    pub fn panics(&self) -> u64 {
        self.shared.panics.load(Relaxed)
    }
}

impl Client {
    /// CONNECT; without an address it comes from a place that the library does not know.
    pub fn connect(&mut self, from: Option<SocketAddr>, macros: &Values) {
        let from = from.map_or(SocketInfo::Unknown, SocketInfo::Inet);
        self.0.tell(ProtoOpts::empty(), |it| it.meet(&from, macros));
        self.0.tell(ProtoOpts::empty(), |it| it.connect(macros));
    }

    /// HELO.
    pub fn helo(&mut self, name: &CStr) {
        self.0.tell(ProtoOpts::empty(), |it| it.helo(name));
    }

    /// MAIL.
    pub fn mail(&mut self, arguments: &[CString], macros: &Values) {
        self.0.tell(ProtoOpts::empty(), |it| it.mail(arguments, macros));
    }

    /// RCPT.
    pub fn rcpt(&mut self, arguments: &[CString], macros: &Values) -> Verdict {
        self.0.ask(|it| it.rcpt(arguments, macros))
    }

    /// A header.
    pub fn header(&mut self, name: &CStr, value: &CStr) {
        self.0.tell(ProtoOpts::empty(), |it| it.header(name, value));
    }

    /// The end of the message.
    pub fn end(&mut self, macros: &Values) -> Verdict {
        self.0.ask(|it| it.end(macros))
    }

    /// ABORT.
    pub fn abort(&mut self) {
        self.0.tell(ProtoOpts::empty(), Dialogue::abandon);
    }
}
