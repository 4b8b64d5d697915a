//! Faults on demand: tests let a named place of the running daemon fail. Only builds
//! with debug assertions have any of it; in a release all of this is empty, and the
//! name of the variable is not in the program.
//!
//! `CONNGUARD_FAULTS` names a folder. A place fails for as long as a file of its name
//! is there, as the file says:
//!
//! | content | what happens |
//! |---|---|
//! | `panic` | the place panics |
//! | `hang` | it waits until the file is gone |
//! | `EIO`, `ENOSPC` | the call fails with that error, where it is one that can |
//! | a number | the place goes by that number, where it is one that does |
//!
//! With `once` behind it, the file is removed first: so a test sees that the place was
//! reached. Places are named where they are: look for `fault::`.

use std::io;

/// A place that may panic or hang.
#[inline(always)]
pub fn point(place: &str) {
    #[cfg(debug_assertions)]
    let _ = armed::meet(place);
    #[cfg(not(debug_assertions))]
    let _ = place;
}

/// A call that may fail, too.
///
/// # Errors
/// The one that a test asked for; never in a release.
#[inline(always)]
pub fn call(place: &str) -> io::Result<()> {
    #[cfg(debug_assertions)]
    return armed::meet(place);
    #[cfg(not(debug_assertions))]
    {
        let _ = place;
        Ok(())
    }
}

/// A number that a place goes by instead of its own; none in a release.
#[inline(always)]
pub fn number(place: &str) -> Option<i64> {
    #[cfg(debug_assertions)]
    return armed::wish(place)?.1.trim().parse().ok();
    #[cfg(not(debug_assertions))]
    {
        let _ = place;
        None
    }
}

#[cfg(debug_assertions)]
mod armed {
    use nix::errno::Errno;
    use std::{
        fs, io,
        path::{Path, PathBuf},
        sync::OnceLock,
        thread,
        time::Duration,
    };

    /// How often a place that hangs looks whether it still has to.
    const LOOK_EVERY: Duration = Duration::from_millis(10);

    fn folder() -> Option<&'static Path> {
        static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
        FOLDER.get_or_init(|| std::env::var_os("CONNGUARD_FAULTS").map(PathBuf::from)).as_deref()
    }

    /// The file of a place, and what it says.
    pub(super) fn wish(place: &str) -> Option<(PathBuf, String)> {
        let path = folder()?.join(place);
        let wish = fs::read_to_string(&path).ok()?;
        Some((path, wish))
    }

    #[expect(clippy::panic, reason = "that is what was asked for")]
    pub(super) fn meet(place: &str) -> io::Result<()> {
        let Some((path, wish)) = wish(place) else { return Ok(()) };
        let mut words = wish.split_whitespace();
        let what = words.next();
        // Of several threads that come here at once, one meets it.
        if words.next() == Some("once") && fs::remove_file(&path).is_err() {
            return Ok(());
        }
        match what {
            Some("panic") => panic!("a fault on demand: {place}"),
            Some("hang") => {
                while path.exists() {
                    thread::sleep(LOOK_EVERY);
                }
                Ok(())
            }
            Some("EIO") => Err(Errno::EIO.into()),
            Some("ENOSPC") => Err(Errno::ENOSPC.into()),
            _ => Ok(()),
        }
    }
}
