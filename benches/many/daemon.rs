//! The program, started on a state directory.

use crate::{
    mta::{Mta, Reply},
    state::client,
};
use std::{
    fs::{self, File},
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The program as it was built with this bench.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_connguard");
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running daemon; killed with SIGKILL when it is dropped, so that it leaves the
/// state directory as it is.
pub(crate) struct Daemon {
    child: Child,
    folder: PathBuf,
    notify: UnixDatagram,
    begun: Instant,
}

impl Daemon {
    pub(crate) fn start(folder: &Path, connectors: u32) -> io::Result<Self> {
        let config = folder.join("connguard.toml");
        fs::write(&config, configuration(folder, connectors))?;
        let notify = folder.join("notify.sock");
        let _ = fs::remove_file(&notify);
        let _ = fs::remove_file(folder.join("milter.sock"));
        let socket = UnixDatagram::bind(&notify)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut command = crate::mortal::command(PROGRAM);
        command.arg("run").arg("--config").arg(&config).env("NOTIFY_SOCKET", &notify);
        command.env_remove("JOURNAL_STREAM").env_remove("RUST_LOG");
        command.stdout(Stdio::null()).stderr(File::create(folder.join("log"))?);
        let begun = Instant::now();
        let child = command.spawn()?;
        Ok(Self { child, folder: folder.to_owned(), notify: socket, begun })
    }

    pub(crate) fn milter(&self) -> PathBuf {
        self.folder.join("milter.sock")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    /// Asks for a restricted client as soon as the socket is there; gives how long
    /// after its start the daemon refused it.
    pub(crate) fn first_refusal(&self) -> io::Result<Duration> {
        let mut mta = loop {
            match Mta::connect(&self.milter(), client(7)) {
                Ok(mta) => break mta,
                Err(error) if self.begun.elapsed() > PATIENCE => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        };
        match mta.message("winner@prize.bad.example", "someone@remote.example", 1)? {
            Reply::Code(text) if text.starts_with(['4', '5']) => Ok(self.begun.elapsed()),
            other => Err(io::Error::other(format!("a restricted client is answered {other:?}"))),
        }
    }

    /// Waits for READY; gives how long after its start it came.
    pub(crate) fn ready(&self) -> io::Result<Duration> {
        let mut text = [0; 4096];
        loop {
            let length = self.notify.recv(&mut text)?;
            if String::from_utf8_lossy(&text[..length]).contains("READY=1") {
                return Ok(self.begun.elapsed());
            }
        }
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // The kernel counts in hundredths of a second.
        Duration::from_millis(10 * ticks)
    }

    /// Resident memory in MiB, now and at its peak.
    pub(crate) fn memory(&self) -> (u64, u64) {
        (status(self.child.id(), "VmRSS:"), status(self.child.id(), "VmHWM:"))
    }

    /// Forgets the peak so far.
    pub(crate) fn forget_peak(&self) {
        let _ = fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A field of the status of a process, in MiB.
pub(crate) fn status(process: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

fn configuration(folder: &Path, connectors: u32) -> String {
    let folder = folder.display();
    // All in the history are newcomers, of which a quarter of the cap has room: with
    // less, new clients would be counted together, by their networks.
    let most = u64::from(connectors) * 8;
    format!(
        "mode = \"enforce\"\n\
         [milter]\nlisten = [\"unix:{folder}/milter.sock\"]\n\
         inbound_domains = [\"example.org\"]\nrelay_networks = [\"10.0.0.0/8\"]\n\
         [state]\ndirectory = \"{folder}/state\"\nmax_connectors = {most}\n\
         [control]\nsocket = \"{folder}/control.sock\"\n\
         [[organization]]\nname = \"default\"\nregistered_domains = [\"example.org\"]\n\
         [feedback]\nmail_log = \"none\"\n"
    )
}
