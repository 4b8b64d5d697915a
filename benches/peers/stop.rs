//! Ctrl-C and its relatives: they end the bench between two measurements, so
//! that everything it started is ended on the way out.

use crate::Told;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

static WANTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on these signals are waited for, not obeyed at once.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn listen() -> Told<()> {
    let wanted = WANTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(wanted))
            .map_err(|error| format!("signal {signal}: {error}"))?;
    }
    Ok(())
}

/// Whether it is time to end.
pub(crate) fn wanted() -> bool {
    WANTED.get().is_some_and(|wanted| wanted.load(Relaxed))
}

/// An error as soon as it is time to end.
///
/// # Errors
/// It is.
pub(crate) fn check() -> Told<()> {
    if wanted() { Err("interrupted; nothing is written".into()) } else { Ok(()) }
}
