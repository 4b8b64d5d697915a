//! connguard, and the no-op milter, as processes in a folder of their own.

use super::{
    noop::{self, mortal},
    process::Group,
    run::Address,
};
use std::{
    fs, io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A server is up within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: Address,
    folder: TempDir,
    /// On a disk, which the temporary folder of the system may not be.
    state: TempDir,
}

impl Server {
    /// Starts `program` as `connguard run`: enforce, journal on disk, clients in
    /// 10.0.0.0/8 discovered, all signals, those of delivery results only if
    /// there is a `mail_log` to follow. What it logs goes to `log` in its folder.
    ///
    /// # Errors
    /// It can't be started, or does not listen within a minute.
    pub(crate) fn connguard(program: &Path, mail_log: Option<&Path>) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("milter.sock");
        let mail_log = mail_log.map_or("none".into(), |path| path.display().to_string());
        let config = folder.path().join("connguard.toml");
        let state = state()?;
        fs::write(&config, configuration(folder.path(), state.path(), &socket, &mail_log))?;
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = mortal::command(program);
        command.arg("run").arg("--config").arg(&config);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        Self { child, address: Address::Unix(socket), folder, state }.up()
    }

    /// Starts the milter that does nothing.
    ///
    /// # Errors
    /// As of connguard.
    pub(crate) fn noop() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("milter.sock");
        let child = noop::start(&socket)?;
        Self { child, address: Address::Unix(socket), folder, state: state()? }.up()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Its process.
    pub(crate) fn group(&self) -> Group {
        Group::of([self.child.id()])
    }

    /// The folder that goes with it.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn up(mut self) -> io::Result<Self> {
        let began = Instant::now();
        loop {
            if let Address::Unix(path) = &self.address
                && UnixStream::connect(path).is_ok()
            {
                return Ok(self);
            }
            if self.child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("a server did not start: {log}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn state() -> io::Result<TempDir> {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
}

fn configuration(folder: &Path, state: &Path, socket: &Path, mail_log: &str) -> String {
    let (folder, state, socket) = (folder.display(), state.display(), socket.display());
    format!(
        r#"mode = "enforce"

[milter]
listen = ["unix:{socket}"]
inbound_domains = ["inbound.example"]
relay_networks = ["10.0.0.0/8"]

[state]
directory = "{state}"

[control]
socket = "{folder}/control.sock"

[[organization]]
name = "default"
registered_domains = [".example.org"]

[feedback]
mail_log = "{mail_log}"
"#
    )
}
