//! What Postfix says of itself, through `postconf`: what it receives mail for, who
//! may relay, and which services take mail back from a content filter.
//!
//! The rules are those of `contrib/postfix/enable`, which writes the same into a
//! configuration that is there already. Nothing is changed and nothing started;
//! tables are read from their source files, or listed by `postmap -s`. What can't
//! be listed is told of.

mod list;
mod services;

use crate::{config, domain::DomainSet};
use ipnet::IpNet;
use list::Lists;
use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// What Postfix says.
#[derive(Clone, Debug, Default)]
pub struct Postfix {
    /// `myhostname`.
    pub host: String,
    /// What it receives mail for, in the order of its parameters; with a leading
    /// dot for a domain and all below it.
    pub inbound: Vec<String>,
    /// Who may relay without login.
    pub networks: Vec<IpNet>,
    /// Services that take mail back from a content filter, as `127.0.0.1:10025`.
    pub ways_back: Vec<String>,
    /// What whoever uses this should know, a sentence or two each.
    pub notes: Vec<String>,
}

/// Why Postfix can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum PostfixError {
    /// There is no postconf.
    #[error("postconf is not here: {0}")]
    Missing(io::Error),
    /// It said no.
    #[error("postconf {arguments}: {said}")]
    Failed {
        /// What it was asked.
        arguments: String,
        /// What it said, in one line.
        said: String,
    },
}

/// The commands of one instance of Postfix.
#[derive(Debug)]
struct Commands {
    directory: Option<PathBuf>,
    postconf: &'static str,
    postmap: &'static str,
}

impl Postfix {
    /// Asks the Postfix whose main.cf and master.cf are in `directory`; without one
    /// that which the environment (`MAIL_CONFIG`) or Postfix itself chooses.
    ///
    /// # Errors
    /// There is no postconf, or it can't read that configuration.
    pub fn ask(directory: Option<&Path>) -> Result<Self, PostfixError> {
        let mut postfix = Self::default();
        let commands = Commands::find(directory)?;
        postfix.host = commands.value("myhostname")?.to_ascii_lowercase();
        postfix.inbound = postfix.inbound(&commands)?;
        postfix.networks = postfix.networks(&commands)?;
        postfix.ways_back = services::ways_back(&commands, &mut postfix.notes)?;
        Ok(postfix)
    }

    /// As a set.
    pub fn inbound_set(&self) -> DomainSet {
        let mut set = DomainSet::default();
        for name in &self.inbound {
            // They were put into one to see whether they can be.
            let _ = set.insert(name);
        }
        set
    }

    fn inbound(&mut self, commands: &Commands) -> Result<Vec<String>, PostfixError> {
        let subdomains = commands.value("parent_domain_matches_subdomains")?;
        let trees = list::split(&subdomains).contains(&"relay_domains");
        let mut names: Vec<String> = Vec::new();
        for parameter in
            ["mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains"]
        {
            let value = commands.value(parameter)?;
            let lists = Lists { commands, parameter, key: "inbound_domains" };
            let dot = if parameter == "relay_domains" && trees { "." } else { "" };
            for entry in lists.expand(&value, &mut self.notes) {
                let name = entry.to_lowercase();
                if name.is_empty() || name.contains('@') || name.starts_with('[') {
                    continue; // Addresses and literals are no domains.
                }
                if DomainSet::default().insert(&name).is_err() {
                    self.note(format!(
                        "{parameter} holds {entry}, which is no domain: if it is one to you, add \
                         it to inbound_domains by hand."
                    ));
                    continue;
                }
                // A map of addresses also has plain user names.
                if parameter.starts_with("virtual_") && !name.contains('.') {
                    continue;
                }
                names.push(format!("{dot}{}", name.strip_prefix(dot).unwrap_or(&name)));
            }
        }
        Ok(without_covered(names))
    }

    fn networks(&mut self, commands: &Commands) -> Result<Vec<IpNet>, PostfixError> {
        let lists = Lists { commands, parameter: "mynetworks", key: "relay_networks" };
        let value = commands.value("mynetworks")?;
        let mut networks = Vec::new();
        for entry in lists.expand(&value, &mut self.notes) {
            let bare = entry.replacen(['[', ']'], "", 2);
            match config::network(&bare) {
                Ok(network) if !networks.contains(&network) => networks.push(network),
                Ok(_) => {}
                Err(_) => self.note(format!(
                    "mynetworks holds {entry}, which is no network: add the addresses behind it \
                     to relay_networks by hand."
                )),
            }
        }
        Ok(networks)
    }

    fn note(&mut self, note: String) {
        list::note(&mut self.notes, note);
    }

    /// Whether a log was written by this host, by the name that syslog has of it.
    pub(super) fn is_host(&self, name: &str) -> bool {
        let first = |name: &str| name.split('.').next().unwrap_or("").to_ascii_lowercase();
        first(name) == first(&self.host)
    }
}

/// Each name once, and none twice that a tree has.
fn without_covered(names: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for name in &names {
        let is_tree = names.iter().any(|other| other.strip_prefix('.') == Some(name));
        if !is_tree && !kept.contains(name) {
            kept.push(name.clone());
        }
    }
    kept
}

impl Commands {
    fn find(directory: Option<&Path>) -> Result<Self, PostfixError> {
        let mut why = io::Error::from(io::ErrorKind::NotFound);
        for (postconf, postmap) in
            [("postconf", "postmap"), ("/usr/sbin/postconf", "/usr/sbin/postmap")]
        {
            let commands = Self { directory: directory.map(Path::to_owned), postconf, postmap };
            match commands.postconf(&["-d", "-h", "mail_version"]) {
                Err(PostfixError::Missing(error)) => why = error,
                _ => return Ok(commands),
            }
        }
        Err(PostfixError::Missing(why))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        if let Some(directory) = &self.directory {
            command.arg("-c").arg(directory);
        }
        command
    }

    /// What postconf prints for these arguments.
    fn postconf(&self, arguments: &[&str]) -> Result<String, PostfixError> {
        let output = self.command(self.postconf).args(arguments).output();
        let output = output.map_err(PostfixError::Missing)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(PostfixError::Failed {
            arguments: arguments.join(" "),
            said: said.lines().next().unwrap_or("failed").to_owned(),
        })
    }

    /// A parameter with macros expanded.
    fn value(&self, parameter: &str) -> Result<String, PostfixError> {
        Ok(self.postconf(&["-xh", parameter])?.trim().to_owned())
    }

    /// The keys of a table as postmap lists them.
    fn table(&self, table: &str) -> Option<String> {
        let output = self.command(self.postmap).args(["-s", table]).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }
}

/// Whether this is an address of the host itself.
fn is_loopback(host: &str) -> bool {
    host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
