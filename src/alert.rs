//! Alerts: what is due to be told, once, and the channels that tell it (mail,
//! webhook, command).
//!
//! One thread, the herald's, looks once a second at the cases, the restriction
//! table and the clock, and finds what is due: what a case holds that its list
//! of what was told lacks. So nothing hangs on a queue, and nothing is told
//! again because of a restart. Things that leave no trace (a new connector, a
//! change, a silence, a trouble of our own) wait in a bounded list.
//!
//! - At most one alert a minute: the first goes at once; what comes within the
//!   minute goes as itself if it is one, and as one digest if it is several.
//! - An alert is written to the outbox first, then noted in its case, then sent.
//!   After a crash the outbox puts right what a case lacks and sends what was not
//!   sent; only an alert that a receiver had accepted and whose note was not yet
//!   on disk is sent twice, with the same Message-ID.
//! - Every channel has a thread, a queue and a backoff of its own. None delays
//!   mail, the engine, or another channel.

mod bare;
mod channel;
mod command;
mod due;
mod herald;
mod mail;
mod outbox;
mod params;
mod post;
mod silent;
mod tested;
#[cfg(test)]
mod tests;
mod trouble;
mod webhook;

pub use channel::Outcome;
pub use outbox::{Listed, Sent};
pub use params::{Channel, Command, Mail, Params, Secret, Webhook, address, url};
pub use post::ChannelStatus;
pub use tested::Tested;
pub use trouble::Trouble;

use crate::{
    engine::{Engine, Notice},
    fault,
    timestamp::Timestamp,
};
use herald::Herald;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How often the herald looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Notices that may wait for a herald that a slow disk holds up.
const MOST_NOTICES: usize = 10_000;
/// How long a test of the channels may take.
pub const TEST_TAKES: Duration = Duration::from_secs(20);

/// What is said when a look fails.
const FAULT: &str =
    "what is due could not be told, which is a fault of connguard: please report it";

/// What the herald is told.
enum Message {
    Notices(Vec<Notice>),
    Troubles(Vec<Trouble>),
    Reconfigure(Box<Params>),
    /// A channel is done with an alert.
    Outcome(Outcome),
    Test(Sender<Vec<Tested>>),
    Stop,
}

/// How alerts are doing.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Status {
    /// Alerts that a channel took, since the start; each channel counts.
    pub sent: u64,
    /// Alerts that a channel gave up, since the start.
    pub failed: u64,
    /// Alerts that wait for a channel.
    pub queued: u64,
    /// Each channel.
    pub channels: Vec<ChannelStatus>,
    /// Why the outbox can't be written.
    #[serde(skip)]
    pub error: Option<String>,
    /// The outbox.
    #[serde(skip)]
    pub path: PathBuf,
    /// The last look failed by our own fault.
    #[serde(skip)]
    pub faulty: bool,
}

impl Status {
    /// What an operator should know, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let failing = |channel: &ChannelStatus| {
            let error = channel.error.as_ref()?;
            Some(format!(
                "alerts by {} fail ({error}): {} wait; put it right, and try it with `connguard alerts test`",
                channel.channel, channel.queued
            ))
        };
        let outbox = self.error.as_ref().map(|error| {
            format!(
                "what was told can't be written to {} ({error}): a restart may tell it again; free space or mend the disk",
                self.path.display()
            )
        });
        let fault = self.faulty.then(|| format!("alerts: {FAULT}"));
        self.channels.iter().filter_map(failing).chain(outbox).chain(fault).collect()
    }
}

/// What the threads share with whoever asks.
#[derive(Default)]
struct Shared {
    status: Mutex<Status>,
    listed: Mutex<Vec<Listed>>,
    /// Notices that were sent and not taken yet, and whether troubles were.
    notices: AtomicUsize,
    troubles: AtomicBool,
}

/// The running alerts. Dropping it is [`stop`](Self::stop).
pub struct Handle {
    shared: Arc<Shared>,
    running: Mutex<Option<(JoinHandle<()>, Sender<Message>)>>,
}

/// Starts the herald and its channels. To be called once the cases are restored.
/// `folder` is the state directory, `down` how long nobody ran before this start,
/// as far as that is known; `now` is engine time.
///
/// # Errors
/// Where a thread can't be started.
pub fn spawn(
    params: Params,
    engine: Arc<Engine>,
    folder: &Path,
    down: Duration,
    now: impl Fn() -> Timestamp + Send + Sync + 'static,
) -> io::Result<Handle> {
    let now: Arc<dyn Fn() -> Timestamp + Send + Sync> = Arc::new(now);
    let (sender, messages) = channel();
    let shared = Arc::new(Shared::default());
    let herald = Herald::start(params, engine, folder, down, Arc::clone(&now), &sender)?;
    shared.note(&herald);
    let run = {
        let shared = Arc::clone(&shared);
        move || run(herald, &messages, &shared, &*now)
    };
    let thread = std::thread::Builder::new().name("alert".into()).spawn(run)?;
    Ok(Handle { shared, running: Mutex::new(Some((thread, sender))) })
}

impl Shared {
    fn note(&self, herald: &Herald) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = herald.status();
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = herald.list();
    }

    /// A look failed.
    fn failed(&self) {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).faulty = true;
    }

    /// Makes room for what comes behind this message.
    fn taken(&self, message: &Message) {
        match message {
            Message::Notices(notices) => {
                self.notices.fetch_sub(notices.len(), Relaxed);
            }
            Message::Troubles(_) => self.troubles.store(false, Relaxed),
            _ => {}
        }
    }
}

impl Handle {
    /// Tells what the engine had to tell. What finds no room is left out.
    pub fn hear(&self, notices: Vec<Notice>) {
        let count = notices.len();
        if count == 0 {
            return;
        }
        if self.shared.notices.fetch_add(count, Relaxed) >= MOST_NOTICES {
            self.shared.notices.fetch_sub(count, Relaxed);
            tracing::warn!("alerts: {count} notices were left out, because alerts are held up");
            return;
        }
        self.send(Message::Notices(notices));
    }

    /// Tells all troubles that there are at present. One that lasts is alerted
    /// once.
    pub fn troubles(&self, troubles: Vec<Trouble>) {
        // Who did not look at the last ones yet finds the next ones, too.
        if !self.shared.troubles.swap(true, Relaxed) {
            self.send(Message::Troubles(troubles));
        }
    }

    /// Puts new parameters in force. What waits for a channel goes where that
    /// leads now.
    pub fn reconfigure(&self, params: Params) {
        self.send(Message::Reconfigure(Box::new(params)));
    }

    /// How alerts are doing.
    pub fn status(&self) -> Status {
        self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was told, newest first.
    pub fn list(&self) -> Vec<Listed> {
        self.shared.listed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends an alert through every channel at once, and waits for what comes of
    /// it, [`TEST_TAKES`] at the most. Empty where no channel is configured,
    /// nothing where nobody answers any more. Blocks.
    pub fn test(&self) -> Option<Vec<Tested>> {
        let (sender, results) = channel();
        self.send(Message::Test(sender));
        // The herald answers in time; a little later it never will.
        results.recv_timeout(TEST_TAKES + 5 * LOOK_EVERY).ok()
    }

    /// Whether the threads run, or were told to stop.
    pub fn is_alive(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().is_none_or(|(thread, _)| !thread.is_finished())
    }

    /// Ends the threads. What a channel sends at this moment it may finish; what
    /// still waits is sent after the next start. Blocks for a few seconds at the
    /// most.
    pub fn stop(&self) {
        // Not under the lock: whoever tells something meanwhile must not wait.
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((thread, sender)) = running {
            let _ = sender.send(Message::Stop);
            // Panics are caught there.
            let _ = thread.join();
        }
    }

    fn send(&self, message: Message) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sender)) = &*running {
            // A herald that ended tells nothing any more.
            let _ = sender.send(message);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Looks, until nobody can tell it anything any more.
fn run(
    mut herald: Herald,
    messages: &Receiver<Message>,
    shared: &Shared,
    now: &(dyn Fn() -> Timestamp + Send + Sync),
) {
    let mut failed = false;
    loop {
        let message = match messages.recv_timeout(LOOK_EVERY) {
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(message) => {
                shared.taken(&message);
                Some(message)
            }
            Err(RecvTimeoutError::Timeout) => None,
        };
        fault::point("alert thread");
        // Alerts must not end because one look failed.
        let look = catch_unwind(AssertUnwindSafe(|| {
            fault::point("alert");
            if let Some(message) = message {
                herald.take(message, now());
            }
            herald.look(now());
            shared.note(&herald);
        }));
        if look.is_err() {
            shared.failed();
            if !std::mem::replace(&mut failed, true) {
                tracing::error!("alerts: {FAULT}; it is tried again");
            }
        }
    }
    herald.stop(now());
    for message in messages.try_iter() {
        herald.take(message, now());
    }
    shared.note(&herald);
}
