//! connguard(1), from the same definitions as `--help`.

use super::{
    super::{ENTITIES, EXAMPLES, EXITS},
    roff::Page,
};
use clap::{Arg, Command};

/// The source of the page. `command` is built.
pub(super) fn page(command: &Command, date: &str) -> String {
    let about = "commands around the milter that stops relay clients which were taken over";
    let mut page = Page::new("connguard", 1, date, about);
    page.heading("Synopsis");
    page.first("`connguard` [`--config` FILE] [`--socket` PATH] COMMAND [OPTION...]");
    page.heading("Description");
    page.first(&format!("{} {}", sentence(command.get_about()), DESCRIPTION));
    page.heading("Commands");
    subcommands(&mut page, command, "");
    page.heading("Options");
    page.first("With every command:");
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        option(&mut page, argument);
    }
    page.heading("Entities and cases");
    page.first("ENTITY is one of:");
    for (form, means) in ENTITIES {
        page.term(&format!("`{form}`"), &format!("{means}."));
    }
    page.paragraph(
        "A bare name, address or login is enough where only one matches. In names every octet \
         outside printable ASCII, blanks, and %, comma and / are written as %XX, as all output \
         has them. CASE is as C-000017.",
    );
    page.heading("Exit status");
    for (code, means) in EXITS {
        page.term(&format!("`{code}`"), &format!("{means}."));
    }
    page.heading("Environment");
    for (name, means) in ENVIRONMENT {
        page.term(&format!("`{name}`"), means);
    }
    page.heading("Files");
    for (path, means) in [
        (super::super::CONFIG, "The configuration: `connguard.toml`(5)."),
        (super::super::SOCKET, "The daemon's control socket, where no other is configured."),
        ("/var/lib/connguard/", "What the daemon keeps."),
    ] {
        page.term(path, means);
    }
    page.heading("Examples");
    for (line, means) in EXAMPLES {
        page.term(&format!("`{line}`"), &format!("{means}."));
    }
    page.heading("See also");
    page.first("`connguard-milter`(8), `connguard.toml`(5), `postqueue`(1), `postsuper`(1)");
    page.finish()
}

const DESCRIPTION: &str = "This page is about the commands by which operators look at the daemon, \
    lift and make restrictions, and try configurations on old logs; what the daemon does in \
    Postfix stands in `connguard-milter`(8). Most commands ask the daemon on its control socket, \
    which is for root and members of the group connguard-admin; who changed what stands in \
    `connguard history`.";

const ENVIRONMENT: [(&str, &str); 4] = [
    ("NO_COLOR", "Has nothing to switch off: connguard prints no colours."),
    ("RUST_LOG", "Overrides log.level of the configuration for `connguard run`."),
    ("MAIL_CONFIG", "The Postfix that `connguard suggest` asks, as for Postfix's own commands."),
    (
        "SOURCE_DATE_EPOCH",
        "The date that `connguard man` puts into pages, in seconds, instead of the release's.",
    ),
];

/// Each command with its arguments, and those below it.
fn subcommands(page: &mut Page, command: &Command, before: &str) {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("{before}{}", command.get_name());
        page.subheading(&synopsis(command, &name));
        page.first(&sentence(command.get_about()));
        for argument in own(command) {
            option(page, argument);
        }
        subcommands(page, command, &format!("{name} "));
    }
}

/// Arguments that are not those of every command.
fn own(command: &Command) -> impl Iterator<Item = &Arg> {
    let common = |argument: &&Arg| {
        !argument.is_global_set() && !argument.is_hide_set() && argument.get_id() != "help"
    };
    command.get_arguments().filter(common)
}

/// A command with what goes behind it.
fn synopsis(command: &Command, name: &str) -> String {
    let mut words = vec![name.to_owned()];
    let (positionals, options): (Vec<&Arg>, Vec<&Arg>) =
        own(command).partition(|argument| argument.is_positional());
    for argument in positionals.into_iter().chain(options) {
        let mut word = spelling(argument, false).replace('`', "");
        if argument.get_num_args().is_some_and(|count| count.max_values() > 1) {
            word.push_str("...");
        }
        words.push(if argument.is_required_set() { word } else { format!("[{word}]") });
    }
    words.join(" ")
}

/// How an argument is written: `-n`, `--lines` N. Both names where `all` are wanted.
fn spelling(argument: &Arg, all: bool) -> String {
    let short = argument.get_short().map(|short| format!("`-{short}`"));
    let long = argument.get_long().map(|long| format!("`--{long}`"));
    let names: Vec<String> = match (short, long) {
        (Some(short), Some(long)) if all => vec![short, long],
        (short, long) => long.or(short).into_iter().collect(),
    };
    let value = argument.get_action().takes_values().then(|| {
        let names = argument.get_value_names().unwrap_or_default();
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    });
    let names = names.join(", ");
    match value {
        Some(value) if names.is_empty() => value,
        Some(value) => format!("{names} {value}"),
        None => names,
    }
}

fn option(page: &mut Page, argument: &Arg) {
    let mut text = sentence(argument.get_long_help().or(argument.get_help()));
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if argument.get_action().takes_values() && !values.is_empty() {
        text.push_str(&format!(" One of {}.", values.join(", ")));
    }
    let defaults = argument.get_default_values().iter().map(|value| value.to_string_lossy());
    let defaults: Vec<String> = defaults.map(|value| format!("`{value}`")).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        text.push_str(&format!(" Default: {}.", defaults.join(", ")));
    }
    page.term(&spelling(argument, true), &text);
}

/// A help text with its full stop.
fn sentence(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    let text = text.trim().trim_end_matches('.');
    format!("{text}.")
}
