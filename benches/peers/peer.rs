//! One filter that runs: its programs, where it listens, what it takes.

use crate::{
    Told,
    fence::Fence,
    filters,
    load::{Address, process},
};
use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

/// The filters that are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Name {
    Noop,
    Connguard,
    Rspamd,
    Postfwd,
    /// With its database in memory.
    Policyd,
    /// With its database on disk, as Debian configures it.
    PolicydOnDisk,
}

/// How far a client may go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit {
    /// Three messages: to see that it counts.
    Near,
    /// So far that nothing is refused; it counts all the same.
    Far,
}

impl Name {
    pub(crate) const ALL: [Self; 6] = [
        Self::Noop,
        Self::Connguard,
        Self::Rspamd,
        Self::Postfwd,
        Self::Policyd,
        Self::PolicydOnDisk,
    ];

    /// As it is typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Connguard => "connguard",
            Self::Rspamd => "rspamd",
            Self::Postfwd => "postfwd",
            Self::Policyd => "policyd-rate-limit",
            Self::PolicydOnDisk => "policyd-rate-limit-on-disk",
        }
    }

    /// Whether it is a milter; else it speaks the policy protocol.
    pub(crate) fn is_milter(self) -> bool {
        matches!(self, Self::Noop | Self::Connguard | Self::Rspamd)
    }

    fn at(self) -> usize {
        Self::ALL.iter().position(|name| *name == self).unwrap_or(0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Noop => "milter that does nothing",
            Self::Connguard => "connguard",
            Self::Rspamd => "rspamd, ratelimit on Redis",
            Self::Postfwd => "postfwd, rate()",
            Self::Policyd => "policyd-rate-limit, SQLite in memory",
            Self::PolicydOnDisk => "policyd-rate-limit, SQLite on disk",
        })
    }
}

/// Where filters have their files and listen: the same places each time one of
/// them is started, which a Postfix can be told beforehand.
#[derive(Debug)]
pub(crate) struct Site {
    folder: PathBuf,
    memory: PathBuf,
    ports: Vec<u16>,
    pub(crate) rspamd_workers: usize,
}

impl Site {
    /// A site below this folder; what would wait for the disk is below `memory`.
    ///
    /// # Errors
    /// There are no free ports.
    pub(crate) fn new(folder: &Path, memory: &Path, rspamd_workers: usize) -> Told<Self> {
        let ports = Name::ALL.iter().map(|_| free_port()).collect::<Told<Vec<u16>>>()?;
        let (folder, memory) = (folder.to_owned(), memory.to_owned());
        Ok(Self { folder, memory, ports, rspamd_workers })
    }

    /// The folder that all others are in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder that is in memory, where this machine has one.
    pub(crate) fn memory(&self) -> &Path {
        &self.memory
    }

    /// Milters are asked over a unix socket, policy servers over TCP.
    pub(crate) fn address(&self, name: Name) -> Address {
        if name.is_milter() {
            Address::Unix(self.folder.join(format!("{}.sock", name.word())))
        } else {
            let port = self.ports.get(name.at()).copied().unwrap_or(0);
            Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        }
    }

    /// A new folder for one start of a filter.
    fn folder_of(&self, name: Name, limit: Limit) -> Told<PathBuf> {
        let folder = self.folder.join(format!("{}-{limit:?}", name.word()).to_lowercase());
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(folder)
    }
}

/// A filter that runs; its processes end with this value.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: Name,
    pub(crate) address: Address,
    fences: Vec<Fence>,
}

impl Peer {
    /// Starts it; returns when it listens.
    ///
    /// # Errors
    /// It does not start; with the last lines of its log.
    pub(crate) fn start(name: Name, site: &Site, limit: Limit) -> Told<Self> {
        let folder = site.folder_of(name, limit)?;
        let address = site.address(name);
        if let Address::Unix(path) = &address {
            // Left by one that was killed, or not there.
            let _ = fs::remove_file(path);
        }
        let start = filters::Start { folder: &folder, address: &address, limit };
        let fences = match name {
            Name::Noop => filters::noop(&start)?,
            Name::Connguard => filters::connguard(&start)?,
            Name::Rspamd => filters::rspamd(&start, site.rspamd_workers)?,
            Name::Postfwd => filters::postfwd(&start)?,
            Name::Policyd => filters::policyd(&start, site.memory())?,
            Name::PolicydOnDisk => filters::policyd(&start, &folder)?,
        };
        Ok(Self { name, address, fences })
    }

    /// Its processes now.
    pub(crate) fn group(&self) -> process::Group {
        process::Group::of(self.processes())
    }

    /// What its processes have in memory now, in KiB; what several of them share
    /// is counted once.
    pub(crate) fn memory_kib(&self) -> u64 {
        self.processes().into_iter().map(share).sum()
    }

    fn processes(&self) -> Vec<u32> {
        self.fences.iter().flat_map(Fence::processes).collect()
    }
}

/// Whether somebody listens there.
pub(crate) fn listens(address: &Address) -> bool {
    match address {
        Address::Unix(path) => UnixStream::connect(path).is_ok(),
        Address::Tcp(address) => TcpStream::connect(address).is_ok(),
    }
}

/// A loopback port that nobody uses now, below the range of outgoing
/// connections, so that none of those takes it before its listener does.
///
/// # Errors
/// There is none.
pub(crate) fn free_port() -> Told<u16> {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..10_000 {
        let step = std::process::id() + NEXT.fetch_add(1, Relaxed);
        let port = 20_000 + u16::try_from(step % 10_000).unwrap_or(0);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port between 20000 and 30000 on 127.0.0.1".into())
}

/// The part of the memory that is this process's (PSS), in KiB.
fn share(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
