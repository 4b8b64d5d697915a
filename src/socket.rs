//! Unix sockets that others connect to: the milter socket and the control socket.
//!
//! - **Nobody connects who may not, at no moment.** The file gets its group and its
//!   mode before the socket listens, and its name after that.
//! - **No path is followed twice.** What was bound has a name that nobody else uses, is
//!   opened once, without following links, and checked to be a socket of ours; owner and
//!   mode are changed through that. So whoever swaps the file for a link changes nothing
//!   of what it points to.
//! - **Nobody swaps it** but the owner of its folder, who is trusted: one in which others
//!   may rename and remove files is refused (a sticky one, as /tmp, is not: there they
//!   may only add).
//! - **What is not ours stays.** A file left behind by a daemon that died is removed;
//!   one on which somebody answers, and anything that is no socket, is left alone. At
//!   the end the file is removed only if it is still ours (same device and inode:
//!   while the socket is open its inode can't be given to another file).
//! - **Of two that start at once, one listens** or none does, and none on a socket
//!   whose file the other one removed.

mod inherited;
mod listen;

pub use inherited::Inherited;
pub use listen::{BindError, Listen, ListenError, Listening, Socket};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, open},
    sys::{
        socket::{
            AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
        },
        stat::Mode,
    },
    unistd::{Gid, Group, Uid, fchownat},
};
use std::{
    fs::{self, File, Metadata, Permissions},
    io, mem,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Why we can't listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process listens there.
    #[error("another process answers on unix:{0}: is another connguard running? stop it first")]
    InUse(PathBuf),
    /// Something else has this name.
    #[error("{0} exists and is no socket: move it away")]
    NoSocket(PathBuf),
    /// Others could put a socket of theirs there.
    #[error(
        "the folder of unix:{path} is writable by its group or by everybody (mode {mode:04o}), who could put a socket of their own there: run `chmod go-w {folder}`"
    )]
    Exposed {
        /// The socket.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
        /// Permission bits of the folder.
        mode: u32,
    },
    /// The socket can't be made.
    #[error(
        "can't listen on unix:{path}: {source}: its folder must exist and be writable for this user"
    )]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Who may connect beside our own account and root.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Members of this group.
    pub group: &'static str,
    /// Mode of the file where it can't be given to that group. It has our group
    /// then, or that of a folder which gives its own.
    pub otherwise: u32,
}

/// A socket that listens, and does not block.
#[derive(Debug)]
pub struct Bound {
    /// Its file; it goes first, while its inode is still taken.
    pub file: SocketFile,
    /// Where clients come from.
    pub listener: UnixListener,
    /// The group that may connect, if there is one and it has the file.
    pub group: Option<Gid>,
}

impl Bound {
    /// Listens at `path`.
    ///
    /// # Errors
    /// If somebody else answers there, if there is something else, if others may
    /// write in the folder, or if the system refuses.
    pub fn new(path: &Path, access: Access) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Io { path: path.into(), source };
        look_at_folder(path)?;
        // Where accounts come from a server this may take seconds.
        let group = group(path, access.group);
        make_room(path)?;
        let socket = stream_socket().map_err(|errno| failed(errno.into()))?;
        let (mut file, group) = make(&socket, path, group, access).map_err(failed)?;
        listen(&socket, Backlog::MAXCONN).map_err(|errno| failed(errno.into()))?;
        file.publish(path)?;
        Ok(Self { file, listener: socket.into(), group })
    }
}

/// The file of a unix socket that we made; removed when dropped, if it is
/// still ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn is_there(&self) -> bool {
        let is_it = |found: Metadata| (found.dev(), found.ino()) == (self.device, self.inode);
        fs::symlink_metadata(&self.path).is_ok_and(is_it)
    }

    /// Gives it the name by which clients know it, in place of nothing. (By a link:
    /// some file systems know no rename that replaces nothing.)
    fn publish(&mut self, path: &Path) -> Result<(), Error> {
        let failed = |source: io::Error| match source.kind() {
            // Since we made room.
            io::ErrorKind::AlreadyExists => Error::InUse(path.into()),
            _ => Error::Io { path: path.into(), source },
        };
        fs::hard_link(&self.path, path).map_err(failed)?;
        let unpublished = mem::replace(&mut self.path, path.into());
        fs::remove_file(unpublished).map_err(failed)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "can't remove our socket");
        }
    }
}

/// Refuses a folder in which others may rename and remove files.
fn look_at_folder(path: &Path) -> Result<(), Error> {
    let folder = folder_of(path);
    let failed = |source| Error::Io { path: path.into(), source };
    let mode = fs::metadata(folder).map_err(failed)?.mode() & 0o7777;
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(Error::Exposed { path: path.into(), folder: folder.into(), mode });
    }
    Ok(())
}

/// Removes a socket file on which nobody answers.
fn make_room(path: &Path) -> Result<(), Error> {
    let failed = |source: io::Error| Error::Io { path: path.into(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !found.file_type().is_socket() {
        return Err(Error::NoSocket(path.into()));
    }
    match answers(path) {
        // Its queue of connections is full.
        Ok(()) | Err(Errno::EAGAIN) => Err(Error::InUse(path.into())),
        Err(Errno::ECONNREFUSED) => {
            if remove_left_behind(path).map_err(failed)? {
                tracing::info!(path = %path.display(), "removed a socket that was left behind");
                return Ok(());
            }
            Err(Error::InUse(path.into()))
        }
        Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}

/// Removes a socket file on which nobody answered; false if somebody does by now.
///
/// Since it was asked, another start may have put its own there. So it is moved aside
/// first, asked once more, and put back where somebody answers (with three starts at once
/// the third may lose its file by that).
fn remove_left_behind(path: &Path) -> io::Result<bool> {
    let aside = unused(path);
    match fs::rename(path, &aside) {
        Ok(()) => {}
        // Another start removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    }
    let answer = open_file(&aside).and_then(|handle| answers(&entry(&handle)));
    if answer == Err(Errno::ECONNREFUSED) {
        fs::remove_file(&aside)?;
        return Ok(true);
    }
    fs::rename(&aside, path)?;
    Ok(false)
}

/// A file in the folder of `path` that nobody else uses. Its path may be longer than an
/// address can be.
fn unused(path: &Path) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{}.{number}", process::id()))
}

/// A handle of a file itself, whatever it is.
fn open_file(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

/// The same file by its handle: a short path, and no link that could lead elsewhere.
fn entry(handle: &impl AsRawFd) -> PathBuf {
    format!("/proc/self/fd/{}", handle.as_raw_fd()).into()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Connects without waiting.
fn answers(path: &Path) -> Result<(), Errno> {
    let socket = stream_socket()?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)
}

fn stream_socket() -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

/// Makes the file of a socket that is to have the name `path`, under another one yet,
/// with its group and its mode.
fn make(
    socket: &OwnedFd,
    path: &Path,
    group: Option<Gid>,
    access: Access,
) -> io::Result<(SocketFile, Option<Gid>)> {
    let unpublished = unused(path);
    let folder = open(folder_of(path), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let name = unpublished.file_name().unwrap_or_default();
    bind(socket.as_raw_fd(), &UnixAddr::new(&entry(&folder).join(name))?)?;
    let handle = File::from(open_file(&unpublished)?);
    let found = handle.metadata()?;
    if !found.file_type().is_socket() || found.uid() != Uid::effective().as_raw() {
        return Err(io::Error::other("somebody put another file in its place"));
    }
    let file = SocketFile { path: unpublished, device: found.dev(), inode: found.ino() };
    let group = group.filter(|group| give(&handle, path, *group, access.group));
    let mode = if group.is_some() { 0o660 } else { access.otherwise };
    // Such a handle knows no chmod of its own.
    fs::set_permissions(entry(&handle), Permissions::from_mode(mode))?;
    Ok((file, group))
}

/// The group of this name, if there is one.
fn group(path: &Path, name: &str) -> Option<Gid> {
    let path = path.display();
    match Group::from_name(name) {
        Ok(Some(group)) => Some(group.gid),
        Ok(None) => {
            tracing::warn!("there is no group {name}, whose members are to use {path}");
            None
        }
        Err(error) => {
            tracing::warn!(
                "can't look up the group {name}, whose members are to use {path}: {error}"
            );
            None
        }
    }
}

/// Gives the file to `group`; says whether it has it now.
fn give(handle: &File, path: &Path, group: Gid, name: &str) -> bool {
    let given = fchownat(handle, "", None, Some(group), AtFlags::AT_EMPTY_PATH);
    if let Err(error) = given {
        let path = path.display();
        tracing::warn!(
            "can't give {path} to the group {name}, whose members are to use it: {error}: make our account a member of that group"
        );
    }
    given.is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use std::{
        os::unix::{fs::symlink, net::UnixStream},
        sync::Barrier,
        thread,
    };

    /// One that every system has.
    const GROUP: Access = Access { group: "daemon", otherwise: 0o600 };

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        (folder, path)
    }

    #[test]
    fn only_the_owner_and_the_group_may_connect() {
        let (_folder, path) = folder();
        let bound = Bound::new(&path, GROUP).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.mode() & 0o777, 0o660);
        assert_eq!(Some(Gid::from_raw(found.gid())), bound.group);
        assert_eq!(bound.group, Group::from_name(GROUP.group).unwrap().map(|group| group.gid));
        UnixStream::connect(&path).unwrap();
        drop(bound);
        assert!(!path.exists(), "the file goes with the socket");
    }

    #[test]
    fn without_the_group_the_other_mode_decides() {
        let (_folder, path) = folder();
        for otherwise in [0o600, 0o660] {
            let bound = Bound::new(&path, Access { group: "no-such-group", otherwise }).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, otherwise);
            assert_eq!(bound.group, None);
        }
    }

    #[test]
    fn a_socket_left_behind_is_replaced() {
        let (_folder, path) = folder();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _bound = Bound::new(&path, GROUP).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn of_many_that_start_at_once_none_listens_without_a_file() {
        let (folder, path) = folder();
        let mut started = 0;
        for round in 0..500 {
            drop(UnixListener::bind(&path).unwrap());
            let at_once = Barrier::new(2);
            let bound: Vec<_> = thread::scope(|scope| {
                let start = || {
                    at_once.wait();
                    Bound::new(&path, GROUP)
                };
                let starts: Vec<_> = (0..2).map(|_| scope.spawn(start)).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            for error in bound.iter().filter_map(|bound| bound.as_ref().err()) {
                assert!(matches!(error, Error::InUse(_)), "round {round}: {error}");
            }
            let listening: Vec<_> = bound.iter().flatten().collect();
            assert!(listening.len() <= 1, "round {round}: {listening:?}");
            for bound in listening {
                UnixStream::connect(&path).unwrap();
                bound.listener.accept().unwrap();
                started += 1;
            }
            drop(bound);
            // All may have been in each other's way.
            let _ = fs::remove_file(&path);
            let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
            assert!(left.is_empty(), "round {round}: {left:?}");
        }
        assert!(started > 250, "{started} of 500 rounds had one that runs");
    }

    #[test]
    fn a_socket_that_came_meanwhile_is_put_back() {
        let (_folder, path) = folder();
        let other = UnixListener::bind(&path).unwrap();
        assert!(!remove_left_behind(&path).unwrap());
        UnixStream::connect(&path).unwrap();
        other.accept().unwrap();
        drop(other);
        assert!(remove_left_behind(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_path_may_be_as_long_as_an_address() {
        let (folder, _) = folder();
        let room = 107 - folder.path().as_os_str().len() - "//s".len();
        let long = folder.path().join("a".repeat(room));
        fs::create_dir(&long).unwrap();
        let path = long.join("s");
        assert_eq!(path.as_os_str().len(), 107);
        // One is left behind.
        drop(UnixListener::bind(&path).unwrap());
        let bound = Bound::new(&path, GROUP).unwrap();
        UnixStream::connect(&path).unwrap();
        bound.listener.accept().unwrap();
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let (_folder, path) = folder();
        let other = UnixListener::bind(&path).unwrap();
        let error = Bound::new(&path, GROUP).unwrap_err();
        assert!(matches!(error, Error::InUse(_)), "{error}");
        drop(other);
        fs::remove_file(&path).unwrap();

        fs::write(&path, "text").unwrap();
        let error = Bound::new(&path, GROUP).unwrap_err();
        assert!(matches!(error, Error::NoSocket(_)), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        fs::remove_file(&path).unwrap();

        let bound = Bound::new(&path, GROUP).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists(), "another one's socket stays");
    }

    #[test]
    fn a_link_is_not_followed() {
        let (folder, path) = folder();
        let target = folder.path().join("target");
        symlink(&target, &path).unwrap();
        let error = Bound::new(&path, GROUP).unwrap_err();
        assert!(matches!(error, Error::NoSocket(_)), "{error}");
        assert!(!target.exists(), "nothing is made where the link points");

        fs::write(&target, "text").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Bound::new(&path, GROUP), Err(Error::NoSocket(_))));
        let found = fs::metadata(&target).unwrap();
        assert_eq!(found.mode() & 0o777, 0o600, "what it points to stays as it is");
        assert_eq!(fs::read_to_string(&target).unwrap(), "text");
    }

    #[test]
    fn a_folder_in_which_others_write_is_refused() {
        let (folder, path) = folder();
        let mode = |mode| {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        };
        for writable in [0o770, 0o702, 0o2775] {
            mode(writable);
            let text = Bound::new(&path, GROUP).unwrap_err().to_string();
            assert!(text.contains(&format!("{writable:04o}")), "{text}");
            assert!(text.contains(&format!("`chmod go-w {}`", folder.path().display())), "{text}");
            assert!(!path.exists());
        }
        for fine in [0o1777, 0o2750, 0o755] {
            mode(fine);
            drop(Bound::new(&path, GROUP).unwrap());
        }
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        let text = Bound::new(Path::new("/nowhere/a.sock"), GROUP).unwrap_err().to_string();
        assert!(text.contains("unix:/nowhere/a.sock"), "{text}");
        assert!(text.contains("its folder must exist"), "{text}");
    }
}
