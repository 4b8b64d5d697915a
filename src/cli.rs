//! The command line: arguments to exit code. Each subcommand has its file.

mod alerts;
mod ask;
mod check;
mod complete;
mod explain;
mod hold;
mod list;
mod man;
mod output;
mod replay;
mod run;
mod show;
mod status;
mod suggest;
mod top;

use crate::{
    command::{Command as Request, FailureKind},
    config,
    control::AskError,
    timestamp::parse_span,
    verdict::Action,
};
use clap::{
    Args, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use std::{io, path::PathBuf, process::ExitCode, time::Duration};

/// Where the configuration is, unless `--config` says otherwise.
const CONFIG: &str = "/etc/connguard/connguard.toml";
/// Where the control socket is usually.
const SOCKET: &str = "/run/connguard/control.sock";

/// Exit codes.
mod exit {
    /// Done.
    pub(super) const DONE: u8 = 0;
    /// The answer is no.
    pub(super) const NO: u8 = 1;
    /// The command line can't be understood.
    pub(super) const USAGE: u8 = 2;
    /// The daemon can't be reached.
    pub(super) const UNREACHABLE: u8 = 3;
    /// The daemon refused.
    pub(super) const REFUSED: u8 = 4;
    /// Ctrl-C, as shells have it.
    pub(super) const INTERRUPTED: u8 = 130;
}

/// What the exit codes mean, for help and manual.
const EXITS: [(u8, &str); 5] = [
    (exit::DONE, "Done; an empty list is done too"),
    (exit::NO, "The answer is no: not restricted, nothing found, faults found"),
    (exit::USAGE, "The command line can't be understood"),
    (exit::UNREACHABLE, "The daemon can't be reached"),
    (exit::REFUSED, "The daemon refused to do it, or could not"),
];

/// The forms of an ENTITY, for help and manual.
const ENTITIES: [(&str, &str); 7] = [
    ("connector:NAME", "A [[connector]] of the configuration"),
    ("login:LOGIN", "Who authenticated, login:alice@example.org"),
    ("client:ADDRESS", "An address; of IPv6 its /64, client:2001:db8::/64"),
    ("cert:SUBJECT/ISSUER", "Names in a certificate that Postfix verified"),
    ("local", "Mail handed in on this host without SMTP"),
    ("sender:ADDRESS,via=CONNECTOR", "One sender of it, as via=connector:erp"),
    ("organization:NAME", "Its mail from domains that are not registered"),
];

/// What is typed most, for help and manual.
const EXAMPLES: [(&str, &str); 6] = [
    ("connguard check", "See what is wrong with the configuration, or what it means"),
    ("connguard list --all", "See who is restricted, suspicious, trusted or in grace"),
    ("connguard show C-000017", "See all about a case: why, what was seen, what to do"),
    ("connguard unblock C-000017 --reason 'password changed'", "Let it relay again"),
    ("connguard trust connector:erp --for 24h --reason 'planned mailing'", "Exempt it for a day"),
    ("connguard replay /var/log/mail.log*", "See whom this configuration would have restricted"),
];

/// What `--help` says last.
fn after_help() -> String {
    let rows = |title: &str, rows: &[(String, &str)]| {
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let lines = rows.iter().map(|(name, means)| format!("  {name:width$}  {means}\n"));
        format!("{title}\n{}", lines.collect::<String>())
    };
    let owned = |(name, means): &(&str, &'static str)| ((*name).to_owned(), *means);
    let entities: Vec<_> = ENTITIES.iter().map(owned).collect();
    let exits: Vec<_> = EXITS.iter().map(|(code, means)| (code.to_string(), *means)).collect();
    let mut text = rows("An ENTITY is", &entities);
    text.push_str(
        "A bare name, address or login is enough where only one matches. A CASE is as C-000017.\n\n",
    );
    text.push_str(&rows("Exit codes:", &exits));
    text.push_str("\nExamples:\n");
    for (line, means) in EXAMPLES {
        text.push_str(&format!("  {line}\n      {means}\n"));
    }
    text.push_str("\nManuals: connguard(1), connguard.toml(5), connguard-milter(8).");
    text
}

/// Stops the mail of relay clients that have been taken over.
#[derive(Debug, Parser)]
#[command(
    name = "connguard",
    version,
    about = "Notices when a client that Postfix relays mail for has been taken over, and stops its mail",
    after_help = after_help(),
    disable_help_subcommand = true,
    max_term_width = 100
)]
struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// The control socket of the daemon, if not the one that the configuration
    /// names (/run/connguard/control.sock where that can't be read).
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground, as systemd does. SIGHUP reads the configuration
    /// again; SIGTERM finishes what is in hand and stops.
    Run,
    /// Read the configuration; print every fault, or ok and what it means.
    Check {
        #[command(flatten)]
        output: Output,
    },
    /// Show how the daemon is: mode, counts, health of its files, the mail log and alerts.
    Status {
        #[command(flatten)]
        output: Output,
    },
    /// List whose mail is refused or held now (in observe mode: would be), with case and reason.
    List {
        /// Trusted, in grace and suspicious ones too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Show an entity or a case in full: findings, samples, history, what to do.
    Show {
        /// An entity or a case.
        #[arg(value_name = "ENTITY|CASE")]
        what: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show how an entity is judged: every signal with its score, what is usual, and what it
    /// would take to be suspicious or compromised.
    Explain {
        /// Whom.
        #[arg(value_name = "ENTITY")]
        entity: String,
        #[command(flatten)]
        output: Output,
    },
    /// Declare what a connector sends now to be usual, as a first newsletter or a new billing run;
    /// ends its suspicion.
    Normal {
        /// Which connector's.
        #[arg(value_name = "ENTITY")]
        entity: String,
        /// Why, for the history.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        output: Output,
    },
    /// Refuse or hold what an entity relays, by hand. Not in observe mode.
    Block {
        /// Whom.
        #[arg(value_name = "ENTITY")]
        entity: String,
        /// Why, for the history.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For how long, as 90s, 10m, 2h or 3d; until an unblock where absent.
        #[arg(long = "for", value_name = "SPAN", value_parser = parse_span)]
        span: Option<Duration>,
        /// What its mail meets, if not what is configured: tempfail (451, the client keeps it),
        /// reject (550, it bounces) or hold (taken into Postfix's hold queue).
        #[arg(long, value_parser = action())]
        action: Option<Action>,
        #[command(flatten)]
        output: Output,
    },
    /// Let an entity relay again; takes effect at the next command of a running session.
    Unblock {
        /// An entity or a case.
        #[arg(value_name = "ENTITY|CASE")]
        what: String,
        /// Why, for the history.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For how long it takes more to restrict it again, except on what made the case; as
        /// 24h, if not what is configured.
        #[arg(long, value_name = "SPAN", value_parser = parse_span)]
        grace: Option<Duration>,
        /// The block was wrong: for 90 days it takes one and a half times as much to suspect or
        /// restrict this entity, twice as much where that was so already.
        #[arg(long)]
        false_positive: bool,
        /// Lift it although it still sends bad mail.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Exempt an entity from being judged for a time, as for a planned mailing. Lifts no
    /// restriction.
    Trust {
        /// Whom.
        #[arg(value_name = "ENTITY")]
        entity: String,
        /// For how long, as 24h or 3d.
        #[arg(long = "for", value_name = "SPAN", value_parser = parse_span)]
        span: Duration,
        /// Why, for the history.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        output: Output,
    },
    /// End an exemption.
    Untrust {
        /// Whose.
        #[arg(value_name = "ENTITY")]
        entity: String,
        /// Why, for the history.
        #[arg(long, value_name = "TEXT", default_value = "no longer needed")]
        reason: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show connectors by what they send, the busiest first.
    Top(top::Options),
    /// Put what an entity has in the queue of Postfix on hold. Only root may.
    Hold(hold::Options),
    /// Let what was put on hold go again. Only root may.
    Release(hold::Options),
    /// List what administrators were told, newest first.
    #[command(args_conflicts_with_subcommands = true)]
    Alerts {
        #[command(subcommand)]
        what: Option<alerts::What>,
        #[command(flatten)]
        output: Output,
    },
    /// Show who did what, when and why, oldest first.
    History {
        /// Of this entity only.
        #[arg(value_name = "ENTITY")]
        entity: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Show what this configuration would have done with old logs of Postfix.
    Replay(replay::Options),
    /// Write a configuration learned from old mail logs, and from Postfix where it runs.
    Suggest(suggest::Options),
    /// Let the daemon read its configuration again: all of it, or nothing on a fault.
    Reload {
        #[command(flatten)]
        output: Output,
    },
    /// Print what lets a shell complete commands, options, and the entities and cases that the
    /// daemon knows.
    Completions {
        /// Which shell.
        shell: complete::Shell,
    },
    /// Print what may stand at the cursor, for the scripts of `completions`.
    #[command(hide = true)]
    Complete(complete::Options),
    /// Write the manual pages into a folder: connguard.1, connguard.toml.5, connguard-milter.8.
    Man {
        /// Where to; it is made if it is not there.
        #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
        folder: PathBuf,
    },
}

#[derive(Args, Clone, Copy, Debug)]
struct Output {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The words of `--action`, which help and completion show.
fn action() -> impl TypedValueParser<Value = Action> {
    PossibleValuesParser::new(["tempfail", "reject", "hold"]).try_map(|word| word.parse::<Action>())
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("can't write to standard output: {0}")]
    Output(#[from] io::Error),
    #[error(
        "the daemon's answer can't be understood ({0}); is another version of connguard running? Restart it"
    )]
    Answer(#[from] serde_json::Error),
    #[error("{0}")]
    No(String),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Daemon(#[from] crate::daemon::Error),
    /// All is said already.
    #[error("")]
    Said(u8),
}

impl Error {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Ask(AskError::Failed(failure)) => match failure.kind {
                FailureKind::No => exit::NO,
                FailureKind::Usage => exit::USAGE,
                FailureKind::Refused => exit::REFUSED,
            },
            Self::Ask(AskError::Output(_)) | Self::Output(_) | Self::No(_) | Self::Daemon(_) => {
                exit::NO
            }
            Self::Usage(_) => exit::USAGE,
            Self::Said(code) => *code,
            Self::Ask(_) | Self::Answer(_) => exit::UNREACHABLE,
        }
    }
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    match Cli::try_parse().map_err(say).and_then(|cli| dispatch(&cli)) {
        Ok(()) | Err(Error::Said(exit::DONE)) => ExitCode::SUCCESS,
        Err(Error::Said(code)) => ExitCode::from(code),
        // Whoever reads our output has had enough: nothing is wrong.
        Err(Error::Output(error) | Error::Ask(AskError::Output(error)))
            if error.kind() == io::ErrorKind::BrokenPipe =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::complain(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints what the command line says by itself: help, the version, or what is wrong.
fn say(message: clap::Error) -> Error {
    let printed = message.print().and_then(|()| io::Write::flush(&mut io::stdout()));
    match printed {
        // There is nowhere else to complain of its own standard error.
        Err(error) if !message.use_stderr() => Error::Output(error),
        _ => Error::Said(if message.use_stderr() { exit::USAGE } else { exit::DONE }),
    }
}

/// The control socket: as told, else as configured, else where it is usually.
/// Members of the group connguard-admin need not be able to read the file.
fn socket(cli: &Cli) -> PathBuf {
    let configured = || config::control_socket(&cli.config);
    cli.socket.clone().or_else(configured).unwrap_or_else(|| SOCKET.into())
}

fn dispatch(cli: &Cli) -> Result<(), Error> {
    let socket = &match &cli.command {
        Command::Run
        | Command::Check { .. }
        | Command::Replay(_)
        | Command::Suggest(_)
        | Command::Completions { .. }
        | Command::Complete(_)
        | Command::Man { .. } => PathBuf::new(),
        _ => socket(cli),
    };
    let seconds = |span: &Duration| span.as_secs();
    match &cli.command {
        Command::Run => run::run(&cli.config),
        Command::Check { output } => check::check(&cli.config, *output),
        Command::Status { output } => status::status(socket, *output),
        Command::List { all, output } => list::list(socket, *all, *output),
        Command::Show { what, output } => show::show(socket, what, *output),
        Command::Explain { entity, output } => explain::explain(socket, entity, *output),
        Command::Normal { entity, reason, output } => {
            let request = Request::Normal { entity: entity.clone(), reason: reason.clone() };
            ask::act(socket, request, *output)
        }
        Command::Block { entity, reason, span, action, output } => {
            let request = Request::Block {
                entity: entity.clone(),
                reason: reason.clone(),
                span_s: span.as_ref().map(seconds),
                action: *action,
            };
            ask::act(socket, request, *output)
        }
        Command::Unblock { what, reason, grace, false_positive, force, output } => {
            let request = Request::Unblock {
                what: what.clone(),
                reason: reason.clone(),
                grace_s: grace.as_ref().map(seconds),
                false_positive: *false_positive,
                force: *force,
            };
            ask::act(socket, request, *output)
        }
        Command::Trust { entity, span, reason, output } => {
            let request = Request::Trust {
                entity: entity.clone(),
                span_s: span.as_secs(),
                reason: reason.clone(),
            };
            ask::act(socket, request, *output)
        }
        Command::Untrust { entity, reason, output } => {
            let request = Request::Untrust { entity: entity.clone(), reason: reason.clone() };
            ask::act(socket, request, *output)
        }
        Command::Top(options) => top::top(socket, options),
        Command::Hold(options) => hold::hold(socket, options, hold::Do::Hold),
        Command::Release(options) => hold::hold(socket, options, hold::Do::Release),
        Command::Alerts { what: None, output } => alerts::list(socket, *output),
        Command::Alerts { what: Some(alerts::What::Test { output }), .. } => {
            alerts::test(socket, *output)
        }
        Command::History { entity, output } => list::history(socket, entity.clone(), *output),
        Command::Replay(options) => replay::replay(&cli.config, options),
        Command::Suggest(options) => suggest::suggest(options),
        Command::Reload { output } => ask::reload(socket, *output),
        Command::Completions { shell } => complete::script(*shell),
        Command::Complete(options) => complete::complete(options),
        Command::Man { folder } => man::man(folder),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// All alerts as they are read.
    fn alerts() -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/view/alert/snapshots");
        let files = std::fs::read_dir(folder).unwrap();
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn configuration_in_alerts_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connguard.toml");
        let mut count = 0;
        for text in alerts() {
            let mut rest = text.as_str();
            while let Some((_, block)) = rest.split_once("     [[connector]]\n") {
                let is_of_it = |line: &&str| {
                    line.starts_with("     ") && (line.contains(" = ") || line.contains("# "))
                };
                let lines: Vec<&str> = block.lines().take_while(is_of_it).collect();
                std::fs::write(&path, format!("[[connector]]\n{}\n", lines.join("\n"))).unwrap();
                let loaded = config::load(&path, &[]);
                assert!(loaded.is_ok(), "{lines:#?}: {}", loaded.unwrap_err());
                count += 1;
                rest = block;
            }
        }
        assert!(count > 5, "{count}");
    }

    #[test]
    fn commands_in_alerts_are_ours() {
        let mut count = 0;
        for text in alerts() {
            let text = text.replace("\\\n", " ");
            for line in text.lines().filter(|line| line.starts_with("     connguard ")) {
                // As a shell reads it: quotes, and a comment behind.
                let command = line.split("  #").next().unwrap();
                let mut words = Vec::new();
                for (at, part) in command.split('\'').enumerate() {
                    if at % 2 == 1 {
                        words.push(part.to_owned());
                    } else {
                        words.extend(part.split_whitespace().map(str::to_owned));
                    }
                }
                let parsed = Cli::try_parse_from(&words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                count += 1;
            }
        }
        assert!(count > 50, "{count}");
    }

    #[test]
    fn explain_and_normal_take_an_entity() {
        let parse = |line: &str| {
            Cli::try_parse_from(line.split_whitespace())
                .map(|cli| cli.command)
                .map_err(|error| error.kind())
        };
        assert!(matches!(
            parse("connguard explain connector:erp --json"),
            Ok(Command::Explain { entity, output }) if entity == "connector:erp" && output.json
        ));
        assert!(matches!(
            parse("connguard normal erp --reason newsletter"),
            Ok(Command::Normal { entity, reason, .. }) if entity == "erp" && reason == "newsletter"
        ));
        use clap::error::ErrorKind::MissingRequiredArgument;
        for line in ["explain", "normal erp", "normal --reason newsletter"] {
            let kind = parse(&format!("connguard {line}")).err();
            assert_eq!(kind, Some(MissingRequiredArgument), "{line}");
        }
    }
}
