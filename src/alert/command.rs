//! Alerts by a program: no shell, an environment of `PATH` alone, the alert as
//! JSON on its standard input. Exit code 0 is done, anything else is tried again.
//! What it writes goes to the log, cut. After 30 seconds it is killed, with
//! whatever it started.

use super::{channel::Failure, params};
use crate::{fault, view::Alert};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, TryRecvError, channel},
    thread,
    time::Duration,
};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long it may take, in looks and in the time between two of them.
const LOOKS: u32 = 600;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Octets of its output that are read, and of these what is logged.
const MOST_OUTPUT: u64 = 2048;

/// Runs the program with an alert.
pub(super) fn run(command: &params::Command, alert: &Alert) -> Result<(), Failure> {
    let mut input = serde_json::to_vec(alert).map_err(|error| Failure::Never(error.to_string()))?;
    input.push(b'\n');
    let Some((program, arguments)) = command.argv.split_first() else {
        return Err(Failure::Never("no program is named".into()));
    };
    let later = |what: String| Failure::Later(format!("{program}: {what}"));
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| later(format!("can't be run: {error}")))?;
    let Talk { told, outputs } = match talk(&mut child, input) {
        Ok(talk) => talk,
        Err(error) => {
            end(&mut child);
            return Err(later(format!("can't be talked to: {error}")));
        }
    };
    let ended = wait(&mut child);
    if ended.is_none() {
        end(&mut child);
    }
    let said = outputs.map(|output| output.recv_timeout(LOOK_EVERY).unwrap_or_default()).concat();
    let said = said.trim();
    if !said.is_empty() {
        tracing::info!("alerts: {program} says {said:?}");
    }
    match ended {
        Some(_) if told.try_recv() == Err(TryRecvError::Disconnected) => {
            Err(later("was not told all, a fault of connguard, please report it".into()))
        }
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            Err(later(format!("{status}{}{said}", if said.is_empty() { "" } else { ": " })))
        }
        None => Err(later("did not end within 30 seconds and was killed".into())),
    }
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..LOOKS {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::sleep(LOOK_EVERY),
            Err(_) => return None,
        }
    }
    None
}

/// What goes on with a program.
struct Talk {
    /// Hears when all was written, or is not wanted.
    told: Receiver<()>,
    outputs: [Receiver<String>; 2],
}

/// Gives it its input and takes its outputs, on threads: whoever does not read or write
/// must not make us wait for ever.
fn talk(child: &mut Child, input: Vec<u8>) -> io::Result<Talk> {
    let (tell, told) = channel();
    if let Some(mut stdin) = child.stdin.take() {
        on_thread(move || {
            fault::point("alert command input");
            let _ = stdin.write_all(&input);
            let _ = tell.send(());
        })?;
    }
    let outputs = [collect(child.stdout.take())?, collect(child.stderr.take())?];
    Ok(Talk { told, outputs })
}

fn on_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("alert-program".into()).spawn(work).map(drop)
}

/// Ends it and what it started.
fn end(child: &mut Child) {
    if let Ok(id) = i32::try_from(child.id()) {
        // An error says that nobody is left.
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
    // It was killed: this takes no time.
    let _ = child.wait();
}

/// The beginning of an output, once it ends.
fn collect(output: Option<impl Read + Send + 'static>) -> io::Result<Receiver<String>> {
    let (sender, receiver) = channel();
    if let Some(mut output) = output {
        on_thread(move || {
            fault::point("alert command output");
            let mut read = Vec::new();
            let _ = output.by_ref().take(MOST_OUTPUT).read_to_end(&mut read);
            // The rest is read so that it does not wait for us.
            let _ = std::io::copy(&mut output, &mut std::io::sink());
            let _ = sender.send(String::from_utf8_lossy(&read).into_owned());
        })?;
    }
    Ok(receiver)
}
