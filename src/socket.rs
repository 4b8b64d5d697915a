//! Unix sockets that others connect to: the milter socket and the control socket.
//!
//! - **Nobody connects who may not, at no moment.** The file gets its group and its
//!   mode before the socket listens.
//! - **No path is followed twice.** What was bound is opened once, without following
//!   links, and checked to be a socket of ours; owner and mode are changed through
//!   that. So whoever swaps the file for a link changes nothing of what it points to.
//! - **Nobody swaps it** but the owner of its folder, who is trusted: one in which others
//!   may rename and remove files is refused (a sticky one, as /tmp, is not: there they
//!   may only add).
//! - **What is not ours stays.** A file left behind by a daemon that died is removed;
//!   one on which somebody answers, and anything that is no socket, is left alone. At
//!   the end the file is removed only if it is still ours (same device and inode:
//!   while the socket is open its inode can't be given to another file).

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
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
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
        let (file, group) = publish(&socket, path, group, access).map_err(failed)?;
        listen(&socket, Backlog::MAXCONN).map_err(|errno| failed(errno.into()))?;
        // Another one that starts now may have taken it for left behind, until it listened.
        if !file.is_there() {
            return Err(Error::InUse(path.into()));
        }
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
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
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
            fs::remove_file(path).map_err(failed)?;
            tracing::info!(path = %path.display(), "removed a socket that was left behind");
            Ok(())
        }
        Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
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

/// Gives the socket its name, then the file its group and its mode.
fn publish(
    socket: &OwnedFd,
    path: &Path,
    group: Option<Gid>,
    access: Access,
) -> io::Result<(SocketFile, Option<Gid>)> {
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let handle = File::from(open(path, flags, Mode::empty())?);
    let found = handle.metadata()?;
    if !found.file_type().is_socket() || found.uid() != Uid::effective().as_raw() {
        return Err(io::Error::other("somebody put another file in its place"));
    }
    let file = SocketFile { path: path.into(), device: found.dev(), inode: found.ino() };
    let group = group.filter(|group| give(&handle, path, *group, access.group));
    let mode = if group.is_some() { 0o660 } else { access.otherwise };
    // Such a handle knows no chmod of its own; its entry in /proc is no link that
    // could lead elsewhere.
    let entry = format!("/proc/self/fd/{}", handle.as_raw_fd());
    fs::set_permissions(entry, Permissions::from_mode(mode))?;
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
    use std::os::unix::{fs::symlink, net::UnixStream};

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
