//! What the service manager is told (sd_notify(3)): READY, RELOADING, STOPPING,
//! STATUS and WATCHDOG.
//!
//! The socket of the service manager blocks when nobody reads it. So a thread
//! of its own writes to it, and whoever has something to tell never waits.

use crate::fault;
use sd_notify::NotifyState;
use std::{
    io,
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
};

/// Messages that may wait for a service manager that does not read.
const WAITING: usize = 64;

/// One thing to tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum News {
    /// The sockets are open and every restriction is in force.
    Ready,
    /// The configuration is read again; [`News::Ready`] follows.
    Reloading,
    /// The daemon ends.
    Stopping,
    /// It is alive, and this is how it is.
    Alive(String),
}

/// The way to the service manager. Without one, nothing happens.
#[derive(Clone, Debug)]
pub struct Manager(SyncSender<News>);

impl Manager {
    /// Starts the thread that tells.
    ///
    /// # Errors
    /// Where the thread can't be started.
    pub fn start() -> io::Result<Self> {
        let (sender, news) = sync_channel(WAITING);
        std::thread::Builder::new().name("notify".into()).spawn(move || {
            let mut last = String::new();
            for news in news {
                fault::point("notify thread");
                tell(news, &mut last);
            }
        })?;
        Ok(Self(sender))
    }

    /// Tells something. What does not fit is dropped: a service manager that
    /// does not read must not stop us. Gives whether the thread that tells is there.
    pub fn tell(&self, news: News) -> bool {
        !matches!(self.0.try_send(news), Err(TrySendError::Disconnected(_)))
    }
}

/// Tells, the status only where it changed since `last`.
fn tell(news: News, last: &mut String) {
    let result = match news {
        News::Ready => sd_notify::notify(&[NotifyState::Ready]),
        News::Reloading => match NotifyState::monotonic_usec_now() {
            Ok(now) => sd_notify::notify(&[NotifyState::Reloading, now]),
            Err(_) => sd_notify::notify(&[NotifyState::Reloading]),
        },
        News::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        News::Alive(status) if status == *last => sd_notify::notify(&[NotifyState::Watchdog]),
        News::Alive(status) => {
            let result = sd_notify::notify(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
            *last = status;
            result
        }
    };
    if let Err(error) = result {
        tracing::debug!("can't notify the service manager: {error}");
    }
}
