//! A private Postfix: everything in a temporary folder and on loopback ports,
//! an smtpd for each filter and one without any, all mail discarded.
//!
//! Its queue is in memory, so that the disk does not hide what a filter costs.

use crate::{
    Told,
    fence::{Fence, Manner},
    load::Address,
    peer::{Name, Site, free_port, listens},
    stop,
};
use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const SERVICES: &str = "\
pickup    unix  n - n 60    1 pickup
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
error     unix  - - n -     - error
retry     unix  - - n -     - error
discard   unix  - - n -     - discard
anvil     unix  - - n -     1 anvil
showq     unix  n - n -     - showq
postlog   unix-dgram n - n - 1 postlogd
";

/// Mail is out of the queue within this.
const PATIENCE: Duration = Duration::from_secs(120);

/// The running Postfix.
#[derive(Debug)]
pub(crate) struct Postfix {
    ports: Vec<(Option<Name>, u16)>,
    queue: PathBuf,
    _fence: Fence,
}

impl Postfix {
    /// Starts it, with an smtpd for each of these filters.
    ///
    /// # Errors
    /// It does not start; with the last lines that it printed.
    pub(crate) fn start(site: &Site, names: &[Name]) -> Told<Self> {
        let shown = |error: std::io::Error| format!("a folder for Postfix: {error}");
        let (folder, queue) = (site.folder().join("postfix"), site.memory().join("queue"));
        for path in [folder.join("etc"), folder.join("data"), queue.clone()] {
            fs::create_dir_all(path).map_err(shown)?;
        }
        let user = nix::unistd::User::from_name("postfix").ok().flatten();
        let user = user.ok_or("there is no user postfix (is Postfix installed?)")?;
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        std::os::unix::fs::chown(folder.join("data"), Some(uid), Some(gid)).map_err(shown)?;

        let with = std::iter::once(None).chain(names.iter().copied().map(Some));
        let ports = with.map(|name| Ok((name, free_port()?))).collect::<Told<Vec<_>>>()?;
        let mut master = String::new();
        for (name, port) in &ports {
            let option = name.map(|name| option(name, &site.address(name))).unwrap_or_default();
            // A string takes whatever is written.
            let _ = writeln!(master, "127.0.0.1:{port} inet n - n - 50 smtpd {option}");
        }
        master.push_str(SERVICES);
        fs::write(folder.join("etc/master.cf"), master).map_err(shown)?;
        fs::write(folder.join("etc/main.cf"), main(&folder, &queue)).map_err(shown)?;

        let mut program = Command::new("postfix");
        program.arg("-c").arg(folder.join("etc")).arg("start-fg");
        let mut fence = Fence::start(&program, Manner::Stays, folder.join("printed"))?;
        let local = |port: u16| Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        fence.until(|| ports.iter().all(|(_, port)| listens(&local(*port))))?;
        Ok(Self { ports, queue, _fence: fence })
    }

    /// Where mail goes through this filter, or through none.
    ///
    /// # Errors
    /// Postfix was started without it.
    pub(crate) fn port(&self, name: Option<Name>) -> Told<u16> {
        let found = self.ports.iter().find(|(with, _)| *with == name);
        found.map(|(_, port)| *port).ok_or_else(|| format!("no smtpd for {name:?}"))
    }

    /// Waits until the queue is empty: what is delivered late would be paid for
    /// by whom comes next.
    ///
    /// # Errors
    /// It is not empty for two minutes.
    pub(crate) fn drained(&self) -> Told<()> {
        let end = Instant::now() + PATIENCE;
        let left =
            || ["maildrop", "incoming", "active", "deferred"].map(|it| files(&self.queue.join(it)));
        while left().iter().any(|files| *files > 0) {
            stop::check()?;
            if Instant::now() > end {
                return Err(format!("Postfix keeps mail in its queue: {:?}", left()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

fn option(name: Name, address: &Address) -> String {
    match address {
        Address::Unix(path) => format!("-o smtpd_milters=unix:{}", path.display()),
        Address::Tcp(server) if !name.is_milter() => {
            format!("-o {{ smtpd_recipient_restrictions = check_policy_service inet:{server} }}")
        }
        Address::Tcp(server) => {
            format!("-o smtpd_milters=inet:{}:{}", server.ip(), server.port())
        }
    }
}

fn main(folder: &Path, queue: &Path) -> String {
    let (folder, queue) = (folder.display(), queue.display());
    format!(
        "compatibility_level = 3.6
config_directory = {folder}/etc
queue_directory = {queue}
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.test
mydestination =
local_recipient_maps =
alias_maps =
mynetworks = 10.0.0.0/8 127.0.0.0/8
default_transport = discard
relay_transport = discard
smtpd_relay_restrictions = permit_mynetworks reject
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
milter_default_action = tempfail
notify_classes =
in_flow_delay = 0
qmgr_clog_warn_time = 0
default_process_limit = 200
"
    )
}

/// Files in a folder and below it.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let one = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files(&entry.path()),
        _ => 1,
    };
    entries.map(one).sum()
}
