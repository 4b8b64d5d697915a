//! How each filter is told to count by client, and started. All that they write
//! is in a folder of their own; none of them asks the internet anything.
//!
//! Where there is a choice it is the one in which the filter is fastest: rspamd
//! scans in the processes that take the connections (`self_scan`) with no module
//! but its rate limit, Redis writes nothing to disk, nobody logs messages. postfwd
//! has the request cache of Debian's defaults. policyd-rate-limit is measured with
//! its database in memory, and on disk as Debian has it. connguard is in enforce
//! mode with everything on but the mail log, and keeps its journal on disk.

use crate::{
    Told,
    fence::{Fence, Manner},
    load::{Address, noop},
    peer::{Limit, free_port, listens},
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The client of [`Limit::Near`], and one that is not near it.
pub(crate) const LIMITED: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);
pub(crate) const UNLIMITED: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 2);

/// What a filter is started with.
pub(crate) struct Start<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) address: &'a Address,
    pub(crate) limit: Limit,
}

impl Start<'_> {
    fn messages(&self) -> u64 {
        match self.limit {
            Limit::Near => 3,
            Limit::Far => 1_000_000_000,
        }
    }

    fn port(&self) -> u16 {
        match self.address {
            Address::Tcp(address) => address.port(),
            Address::Unix(_) => 0,
        }
    }

    fn socket(&self) -> String {
        match self.address {
            Address::Unix(path) => path.display().to_string(),
            Address::Tcp(address) => address.to_string(),
        }
    }

    fn file(&self, name: &str, text: &str) -> Told<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Starts the program that listens.
    fn listener(&self, program: &Command, manner: Manner) -> Told<Fence> {
        let mut fence = Fence::start(program, manner, self.folder.join("printed"))?;
        fence.until(|| listens(self.address))?;
        if let Address::Unix(path) = self.address {
            // The smtpd of Postfix is not root.
            let open = fs::Permissions::from_mode(0o777);
            fs::set_permissions(path, open).map_err(|error| format!("a socket: {error}"))?;
        }
        Ok(fence)
    }
}

/// The milter that does nothing: no limit, nothing is counted.
pub(crate) fn noop(start: &Start<'_>) -> Told<Vec<Fence>> {
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut program = Command::new(program);
    program.args([noop::ARGUMENT, &start.socket()]);
    Ok(vec![start.listener(&program, Manner::Stays)?])
}

/// connguard. Who is limited is limited by hand; smtp-source, which is one busy
/// client, is known to be one.
pub(crate) fn connguard(start: &Start<'_>) -> Told<Vec<Fence>> {
    let folder = start.folder.display();
    let limited = match start.limit {
        Limit::Near => format!(
            "[[connector]]\nname = \"limited\"\nclients = [\"{LIMITED}\"]\n\
             limits = {{ messages_per_hour = {} }}\n",
            start.messages()
        ),
        Limit::Far => String::new(),
    };
    let config = format!(
        r#"mode = "enforce"

[milter]
listen = ["unix:{socket}"]
inbound_domains = ["inbound.example"]
relay_networks = ["10.0.0.0/8", "127.0.0.0/8"]
local_transports = []

[state]
directory = "{folder}/state"

[control]
socket = "{folder}/control.sock"

[[organization]]
name = "default"
registered_domains = [".example.org"]

[feedback]
mail_log = "none"

[[connector]]
name = "source"
clients = ["127.0.0.1"]
usual = {{ messages_per_hour = 4294967295, recipients_per_hour = 4294967295 }}

{limited}"#,
        socket = start.socket(),
    );
    let config = start.file("connguard.toml", &config)?;
    let mut program = Command::new(env!("CARGO_BIN_EXE_connguard"));
    program.arg("--config").arg(config).arg("run");
    Ok(vec![start.listener(&program, Manner::Stays)?])
}

/// rspamd as a milter with nothing but its rate limit, and the Redis in which
/// that counts. (Its local networks are empty: it would not limit those. The
/// list of top-level domains is short because rspamd compiles it at its start.)
pub(crate) fn rspamd(start: &Start<'_>, workers: usize) -> Told<Vec<Fence>> {
    let redis = redis(start)?;
    let folder = start.folder.display().to_string();
    start.file("domains", "// names\norg\ntest\n")?;
    start.file("rspamd.lua", "-- no rules\n")?;
    let config = format!(
        r#"options {{
  pidfile = "{folder}/rspamd.pid"; tempdir = "{folder}";
  cache_file = "{folder}/symbols.cache"; dynamic_conf = "{folder}/dynamic";
  history_file = "{folder}/history"; stats_file = "{folder}/stats.ucl";
  rrd = "{folder}/rrd"; hs_cache_dir = "{folder}/";
  control_socket = "{folder}/control.sock mode=0600";
  url_tld = "{folder}/domains";
  filters = ""; explicit_modules = []; local_addrs = [];
  dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; sockets = 1; }}
}}
logging {{ type = "file"; filename = "{folder}/rspamd.log"; level = "error"; }}
worker "rspamd_proxy" {{
  bind_socket = "{socket} mode=0666";
  milter = yes; timeout = 120s; count = {workers};
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
actions {{ reject = 1000; }}
modules {{ path = "/usr/share/rspamd/plugins/ratelimit.lua"; }}
lua = "{folder}/rspamd.lua";
redis {{ servers = "127.0.0.1:{port}"; }}
ratelimit {{
  rates {{ by_client {{ selector = "ip"; bucket {{ burst = {messages}; rate = "{messages} / 1h"; }} }} }}
}}
"#,
        socket = start.socket(),
        port = redis.1,
        messages = start.messages(),
    );
    let config = start.file("rspamd.conf", &config)?;
    give(start.folder, "_rspamd")?;
    let mut program = Command::new("rspamd");
    program.args(["-f", "-u", "_rspamd", "-g", "_rspamd", "-c"]).arg(config);
    Ok(vec![start.listener(&program, Manner::Stays)?, redis.0])
}

/// Redis in memory only, and its port.
fn redis(start: &Start<'_>) -> Told<(Fence, u16)> {
    let port = free_port()?;
    let folder = start.folder.join("redis");
    fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut program = Command::new("redis-server");
    program.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(&folder);
    program.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
    let mut fence = Fence::start(&program, Manner::Stays, folder.join("printed"))?;
    let address = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    fence.until(|| listens(&address))?;
    Ok((fence, port))
}

/// postfwd with one rule. (As root: its parent opens /dev/null, which is not on
/// every machine open to others.)
pub(crate) fn postfwd(start: &Start<'_>) -> Told<Vec<Fence>> {
    let rule = format!(
        "id=CLIENT ; action=rate(client_address/{}/3600/450 4.7.1 too many messages)\n",
        start.messages()
    );
    let rules = start.file("rules", &rule)?;
    let mut program = Command::new("postfwd2");
    program.arg("--file").arg(rules);
    program.args(["--interface", "127.0.0.1", "--port", &start.port().to_string()]);
    program.args(["--user", "root", "--group", "root"]);
    program.arg("--pidfile").arg(start.folder.join("pid"));
    program.args(["--cache_proto", "unix", "--cache_port"]).arg(start.folder.join("cache"));
    program.args(["--nodns", "--perfmon"]);
    program.args(["--cache=600", "--cache-rdomain-only", "--cache-no-size"]);
    Ok(vec![start.listener(&program, Manner::Daemonizes)?])
}

/// policyd-rate-limit on SQLite, which is its default. Its limit is that of a
/// minute: the longer the time, the more rows it counts for each message. On a
/// disk, its database waits for that at each message.
pub(crate) fn policyd(start: &Start<'_>, place: &Path) -> Told<Vec<Fence>> {
    let database = place.join(format!("policyd-{:?}", start.limit).to_lowercase());
    let run = start.folder.join("run");
    let config = format!(
        r#"debug: False
user: "policyd-rate-limit"
group: "policyd-rate-limit"
pidfile: "{run}/pid"
sqlite_config:
    database: "{database}/db.sqlite3"
backend: 0
SOCKET: ["127.0.0.1", {port}]
limits:
    - [{messages}, 60]
limit_by_sasl: False
limit_by_ip: True
limited_networks: ["0.0.0.0/0"]
"#,
        run = run.display(),
        database = database.display(),
        port = start.port(),
        messages = start.messages(),
    );
    let config = start.file("policyd.yaml", &config)?;
    // It hands empty folders to the user as whom it runs.
    for path in [&run, &database] {
        fs::create_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let mut program = Command::new("policyd-rate-limit");
    program.arg("-f").arg(config);
    Ok(vec![start.listener(&program, Manner::Stays)?])
}

/// Hands a folder to a user.
fn give(folder: &Path, user: &str) -> Told<()> {
    let found = nix::unistd::User::from_name(user).ok().flatten();
    let found = found.ok_or_else(|| format!("there is no user {user}"))?;
    std::os::unix::fs::chown(folder, Some(found.uid.as_raw()), Some(found.gid.as_raw()))
        .map_err(|error| format!("{}: {error}", folder.display()))
}
