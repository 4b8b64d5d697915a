//! Feedback: follows Postfix's log and tells the engine what became of mail.
//!
//! - A thread of its own looks for new lines four times a second, and reads on at
//!   once while there are any. Each line is handled when it is read: however many
//!   come, memory stays bounded, and no message waits for it.
//! - Each line is read once, across rotation, truncation and restarts (`file`),
//!   as far as it can still be found. The place up to which all was told is kept
//!   with the history.
//! - What can't be read is never a reason to stop: it is told, tried again, and
//!   the engine goes without delivery results meanwhile.

mod choose;
mod feeder;
mod file;
#[doc(hidden)]
pub mod fuzz;
mod journal;
mod lines;
mod program;
mod proof;
mod reader;
mod source;
mod waiting;

pub use choose::{Found, MailLog, Outlook, Tools, outlook};
pub use program::Program;

use crate::{
    engine::{Engine, Feedback},
    fault,
    timestamp::Timestamp,
};
use feeder::{Feeder, Place};
use reader::Moment;
use serde::Serialize;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How often is looked for new lines.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What is said when the log may be another one's.
const DOUBT: &str = "it says nothing of the messages that were accepted here: is it the log of this Postfix, in the time zone of this host? Name the right one in feedback.mail_log";

/// What is said when it fails by our own fault.
const FAULT: &str = "a look at it failed, which is a fault of connguard: please report it";

/// What feedback is told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Params {
    /// Which log.
    pub mail_log: MailLog,
    /// How it is found and read.
    pub tools: Tools,
}

/// How feedback is doing.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Status {
    /// `file`, `journal`, or `none`.
    pub kind: &'static str,
    /// The file, where it is one.
    pub file: Option<PathBuf>,
    /// Whether the log is read, or none was wanted.
    pub healthy: bool,
    /// What the engine was told.
    pub state: Feedback,
    /// How old the newest line was when it was read, in seconds; 0 while there is
    /// nothing new.
    pub lag_s: u64,
    /// Lines that were read since the start.
    pub lines: u64,
    /// Of these, those that were not understood.
    pub skipped: u64,
    /// Delivery results of messages that are known here.
    pub results: u64,
    /// Those of other messages: inbound mail, mail of the host itself.
    pub unknown: u64,
    /// Lines that the reader failed at.
    pub panics: u64,
    /// It says nothing of our messages.
    pub doubtful: bool,
    /// What is wrong, and what to do.
    pub error: Option<String>,
}

impl Status {
    /// What an operator should know, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let trouble = self.error.as_ref().map(|why| {
            let so =
                if self.state == Feedback::Off { ": delivery results are not known" } else { "" };
            format!("the mail log can't be read{so}: {why}")
        });
        let doubt = self.doubtful.then(|| format!("the mail log: {DOUBT}"));
        trouble.into_iter().chain(doubt).collect()
    }
}

/// The running thread. Dropping it is [`stop`](Self::stop).
pub struct Handle {
    shared: Arc<Mutex<Shared>>,
    running: Mutex<Option<(JoinHandle<()>, Sender<MailLog>)>>,
}

struct Shared {
    status: Status,
    place: Option<Place>,
}

/// Takes a first look, so that what is logged from now on is read, and starts the
/// thread. `place` is what [`Handle::place`] gave at the end of the
/// last run; what can't be understood of it is none. `now` is engine time, `wall`
/// the wall clock.
///
/// # Errors
/// Where the thread can't be started.
pub fn spawn(
    params: Params,
    engine: Arc<Engine>,
    place: Option<&[u8]>,
    now: impl Fn() -> Timestamp + Send + 'static,
    wall: impl Fn() -> Timestamp + Send + 'static,
) -> io::Result<Handle> {
    let place = place.and_then(|bytes| postcard::from_bytes(bytes).ok());
    let moment = move || Moment { now: now(), wall: wall() };
    let mut feeder = Feeder::new(params, Arc::clone(&engine), place, moment());
    let _ = catch_unwind(AssertUnwindSafe(|| feeder.turn(moment())));
    let shared = Arc::new(Mutex::new(Shared { status: feeder.status(), place: feeder.place() }));
    let (sender, wishes) = channel();
    let run = {
        let shared = Arc::clone(&shared);
        move || run(feeder, &engine, &wishes, &shared, moment)
    };
    let thread = std::thread::Builder::new().name("feedback".into()).spawn(run)?;
    Ok(Handle { shared, running: Mutex::new(Some((thread, sender))) })
}

impl Handle {
    /// How it is doing.
    pub fn status(&self) -> Status {
        self.lock().status.clone()
    }

    /// Up to where the log was read and all results were told, to be kept.
    pub fn place(&self) -> Option<Vec<u8>> {
        postcard::to_stdvec(self.lock().place.as_ref()?).ok()
    }

    /// Reads another log from now on.
    pub fn reconfigure(&self, mail_log: MailLog) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, wishes)) = &*running {
            // A thread that ended reads nothing any more.
            let _ = wishes.send(mail_log);
        }
    }

    /// Whether the thread runs, or was told to stop.
    pub fn is_alive(&self) -> bool {
        // Locked, or nothing: it is being stopped.
        let running = self.running.try_lock().ok();
        let running = running.as_ref().and_then(|running| running.as_ref());
        running.is_none_or(|(thread, _)| !thread.is_finished())
    }

    /// Ends the thread. What it has read is told and [`place`](Self::place) says
    /// where that ends.
    pub fn stop(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((thread, wishes)) = running.take() {
            drop(wishes);
            // Panics are caught there.
            let _ = thread.join();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Looks, until nobody can wish anything any more.
fn run(
    mut feeder: Feeder,
    engine: &Engine,
    wishes: &Receiver<MailLog>,
    shared: &Mutex<Shared>,
    moment: impl Fn() -> Moment,
) {
    let mut failed = false;
    let mut wish: Option<MailLog> = None;
    // Looks that panicked.
    let mut panics = 0;
    loop {
        fault::point("feedback thread");
        // Results must not end because one look failed.
        let look = catch_unwind(AssertUnwindSafe(|| {
            fault::point("feedback");
            if let Some(mail_log) = wish.take() {
                feeder.reconfigure(mail_log, moment());
            }
            let busy = feeder.turn(moment());
            let mut status = feeder.status();
            status.panics += panics;
            let now = Shared { status, place: feeder.place() };
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = now;
            busy
        }));
        if look.is_err() {
            // What is not heard says nothing.
            engine.set_feedback(Feedback::Off);
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            panics += 1;
            shared.status.panics += 1;
            shared.status.healthy = false;
            shared.status.state = Feedback::Off;
            shared.status.error = Some(FAULT.to_owned());
            if !std::mem::replace(&mut failed, true) {
                tracing::error!("mail log: {FAULT}; it is tried again");
            }
        }
        let busy = look.unwrap_or(false);
        let next = if busy {
            wishes.try_recv().map_err(|error| error == TryRecvError::Disconnected)
        } else {
            let timeout = wishes.recv_timeout(LOOK_EVERY);
            timeout.map_err(|error| error == RecvTimeoutError::Disconnected)
        };
        match next {
            Ok(mail_log) => wish = Some(mail_log),
            Err(true) => return,
            Err(false) => {}
        }
    }
}
