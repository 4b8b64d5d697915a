//! What is measured: cells, and how each is run.

use crate::{
    args::Args,
    load::{
        Address, Figures, Mail, Profile, Until,
        daemon::Server,
        mail_log::MailLog,
        pairs::{Pair, alternate},
        process::Group,
        run,
    },
};
use std::{io, path::Path, sync::Arc, time::Duration};

/// One row of the tables.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) connections: usize,
    pub(crate) messages: usize,
    pub(crate) recipients: usize,
    /// A mail log is written, and connguard follows its own.
    pub(crate) logged: bool,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) cell: Cell,
    pub(crate) pairs: Vec<Pair>,
}

impl Cell {
    /// Its name, which `--only` looks into.
    pub(crate) fn name(&self) -> String {
        let recipients = if self.recipients == 1 {
            String::new()
        } else {
            format!(", {} recipients", self.recipients)
        };
        let log = if self.logged { ", mail log" } else { "" };
        format!("{} connections, {} a session{recipients}{log}", self.connections, self.messages)
    }

    fn profile(&self) -> Profile {
        Profile {
            connections: self.connections,
            messages_a_session: self.messages,
            recipients: self.recipients,
            ..Profile::default()
        }
    }

    /// Whether the targets are for it.
    pub(crate) fn has_target(&self) -> bool {
        self.recipients == 1 && !self.logged
    }
}

/// All of them: those with a target first.
pub(crate) fn all() -> Vec<Cell> {
    let cell = |connections, messages| Cell { connections, messages, recipients: 1, logged: false };
    vec![
        cell(8, 1),
        cell(8, 100),
        cell(64, 1),
        cell(64, 100),
        Cell { recipients: 10, ..cell(8, 1) },
        Cell { recipients: 10, ..cell(8, 100) },
        Cell { logged: true, ..cell(8, 1) },
        Cell { logged: true, ..cell(8, 100) },
    ]
}

/// A server with the mail that it gets.
struct Side {
    server: Server,
    mail: Arc<Mail>,
    log: Option<Arc<MailLog>>,
}

impl Side {
    fn run(&self, profile: &Profile, until: Until) -> Result<Figures, String> {
        let profile = Profile { mail_log: self.log.clone(), ..profile.clone() };
        let figures = run(self.server.address(), &self.server.group(), &profile, &self.mail, until);
        let figures = figures.map_err(|error| error.to_string())?;
        match figures.complaint() {
            None => Ok(figures),
            Some(complaint) => Err(format!("replies that ordinary mail must not get: {complaint}")),
        }
    }
}

/// Sends one slice of each cell to a server that somebody else started.
pub(crate) fn send(cells: &[Cell], args: &Args, address: &Address) -> Result<(), String> {
    // Ids that no other run had.
    let mail = Arc::new(Mail::new(args.clients, std::process::id().to_le_bytes()[0]));
    for cell in cells {
        let until = Until::Elapsed(args.slice);
        let figures = run(address, &Group::default(), &cell.profile(), &mail, until);
        let figures = figures.map_err(|error| error.to_string())?;
        println!(
            "{}: {} messages, {:.0}/s, p50 {:.0} µs, p99 {:.0} µs{}",
            cell.name(),
            figures.messages,
            figures.rate(),
            figures.latency(0.5),
            figures.latency(0.99),
            figures.complaint().unwrap_or_default(),
        );
    }
    Ok(())
}

/// Measures these cells with one start of both servers; all are logged, or none.
pub(crate) fn measure(cells: &[Cell], args: &Args, daemon: &Path) -> Result<Vec<Row>, String> {
    let Some(first) = cells.first() else { return Ok(Vec::new()) };
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let logs = first.logged.then_some(folder.path());
    let started = start(logs, args, daemon).map_err(|error| error.to_string())?;
    let [ours, other] = &started;
    eprintln!("making {} connectors known", args.clients);
    // To all recipients that they will write to.
    let known = Profile { connections: 32, recipients: 12, ..Profile::default() };
    ours.run(&known, Until::Sessions(args.clients))?;
    let rows = cells.iter().map(|cell| {
        eprintln!("{}", cell.name());
        let profile = cell.profile();
        for side in &started {
            side.run(&profile, Until::Elapsed(args.slice.min(Duration::from_millis(500))))?;
        }
        let slice = |side: &Side| side.run(&profile, Until::Elapsed(args.slice));
        let pairs = alternate(args.pairs, || slice(ours), || slice(other))?;
        Ok(Row { cell: cell.clone(), pairs })
    });
    rows.collect()
}

/// Starts both; mail logs are kept in the folder `logs`, if there is one.
fn start(logs: Option<&Path>, args: &Args, daemon: &Path) -> io::Result<[Side; 2]> {
    let side = |name: &str, mark| {
        let file = logs.map(|folder| folder.join(name));
        let log = file.as_deref().map(MailLog::create).transpose()?.map(Arc::new);
        let server = match mark {
            1 => Server::connguard(daemon, file.as_deref())?,
            _ => Server::noop()?,
        };
        Ok::<_, io::Error>(Side { server, mail: Arc::new(Mail::new(args.clients, mark)), log })
    };
    Ok([side("ours.log", 1)?, side("other.log", 2)?])
}
