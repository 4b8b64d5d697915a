//! A command line up to the cursor, and what may stand there.

use super::{Candidate, Shell};
use clap::{Arg, Command, ValueHint};
use std::{borrow::Cow, path::PathBuf};

/// What a shell should offer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Wanted {
    /// Nothing: it is free text, or all is said.
    Nothing,
    /// Paths of files.
    Files,
    /// Paths of directories.
    Directories,
    /// One of these.
    Words(Vec<Candidate>),
    /// Entities, and cases with `cases`, that this command is about.
    Entities {
        /// The name of the command.
        command: String,
        /// Whether a case can be given as well.
        cases: bool,
    },
}

/// A command line up to the cursor.
#[derive(Debug)]
pub(super) struct Line {
    /// What the word at the cursor may become.
    pub(super) wanted: Wanted,
    /// What is typed of it.
    pub(super) prefix: String,
    /// What stands before it in the same word, as `--action=`.
    pub(super) before: String,
    /// What `--socket` said.
    pub(super) socket: Option<PathBuf>,
    /// What `--config` said.
    pub(super) config: Option<PathBuf>,
    /// The word at the cursor as it was typed.
    typed: String,
}

impl Line {
    /// Reads the words of a line, the program first; `command` is built. bash gives words
    /// as they were typed, fish the last one, zsh none.
    pub(super) fn read(command: &Command, words: &[String], shell: Shell) -> Self {
        let is_raw = shell == Shell::Bash;
        let plain = |word: &String| if is_raw { unquoted(word) } else { word.clone() };
        let (last, earlier) = match words.split_last() {
            Some((last, earlier)) => (last.as_str(), earlier),
            None => ("", words),
        };
        let mut line = Self {
            wanted: Wanted::Nothing,
            prefix: if shell == Shell::Zsh { last.to_owned() } else { unquoted(last) },
            before: String::new(),
            socket: None,
            config: None,
            typed: last.to_owned(),
        };
        let mut state = State::new(command);
        for word in earlier.iter().skip(1).map(plain) {
            state.pass(&word, &mut line);
        }
        line.settle(&state);
        line
    }

    /// Finds what may stand at the cursor.
    fn settle(&mut self, state: &State<'_>) {
        if let Some(argument) = state.pending {
            self.wanted = of(argument, state);
            return;
        }
        if !state.only_positionals
            && self.prefix.starts_with("--")
            && let Some((name, value)) = self.prefix.split_once('=')
        {
            let argument = state.long(name);
            self.before = format!("{name}=");
            self.prefix = value.to_owned();
            self.wanted = argument.map_or(Wanted::Nothing, |argument| of(argument, state));
            return;
        }
        if !state.only_positionals && self.prefix.starts_with('-') && self.prefix != "-" {
            self.wanted = Wanted::Words(state.options());
            return;
        }
        let mut words = state.subcommands();
        if let Some(argument) = state.positional() {
            match of(argument, state) {
                Wanted::Words(more) => words.extend(more),
                other => {
                    self.wanted = other;
                    return;
                }
            }
        }
        if words.is_empty() && !state.only_positionals {
            words = state.options();
        } else if self.prefix == "-" {
            words.extend(state.options());
        }
        self.wanted = Wanted::Words(words);
    }

    /// A candidate as bash is to insert it: in the quotes that were begun, or escaped.
    /// Nothing where the quotes can't hold it.
    pub(super) fn for_bash<'a>(&self, text: &'a str) -> Option<Cow<'a, str>> {
        match self.typed.chars().next() {
            Some('\'') => (!text.contains('\'')).then_some(Cow::Borrowed(text)),
            Some('"') => {
                (!text.contains(['"', '$', '`', '\\', '!'])).then_some(Cow::Borrowed(text))
            }
            _ => Some(escaped(text)),
        }
    }
}

/// Where the words so far led to.
struct State<'c> {
    command: &'c Command,
    /// Whose value comes next.
    pending: Option<&'c Arg>,
    /// Behind `--`.
    only_positionals: bool,
    /// Positional arguments that were given.
    given: usize,
    /// Options that were given.
    said: Vec<&'c str>,
}

impl<'c> State<'c> {
    fn new(command: &'c Command) -> Self {
        Self { command, pending: None, only_positionals: false, given: 0, said: Vec::new() }
    }

    /// Goes on by one word that is complete.
    fn pass(&mut self, word: &str, line: &mut Line) {
        if let Some(argument) = self.pending.take() {
            line.keep(argument, word);
        } else if self.only_positionals {
            self.given += 1;
        } else if word == "--" {
            self.only_positionals = true;
        } else if word.starts_with("--") {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let Some(argument) = self.long(name) else {
                return;
            };
            self.said.push(argument.get_id().as_str());
            match value {
                Some(value) => line.keep(argument, value),
                None if argument.get_action().takes_values() => self.pending = Some(argument),
                None => {}
            }
        } else if let Some(shorts) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            let first = shorts.chars().next();
            let is_it = |argument: &&Arg| argument.get_short() == first;
            if let Some(argument) = self.command.get_arguments().find(is_it) {
                self.said.push(argument.get_id().as_str());
                if argument.get_action().takes_values() && shorts.chars().count() == 1 {
                    self.pending = Some(argument);
                }
            }
        } else if let Some(command) = self.command.find_subcommand(word).filter(|_| self.given == 0)
        {
            self.command = command;
        } else {
            self.given += 1;
        }
    }

    fn long(&self, name: &str) -> Option<&'c Arg> {
        let name = name.trim_start_matches('-');
        self.command.get_arguments().find(|argument| argument.get_long() == Some(name))
    }

    /// The positional argument at the cursor.
    fn positional(&self) -> Option<&'c Arg> {
        let mut all = self.command.get_positionals();
        let last = self.command.get_positionals().last();
        let repeats =
            |argument: &&Arg| argument.get_num_args().is_some_and(|count| count.max_values() > 1);
        all.nth(self.given).or_else(|| last.filter(repeats))
    }

    fn subcommands(&self) -> Vec<Candidate> {
        if self.given > 0 || self.only_positionals {
            return Vec::new();
        }
        let all = self.command.get_subcommands().filter(|command| !command.is_hide_set());
        all.map(|command| Candidate {
            text: command.get_name().to_owned(),
            explanation: command.get_about().map(ToString::to_string).unwrap_or_default(),
        })
        .collect()
    }

    /// Options that can still be given.
    fn options(&self) -> Vec<Candidate> {
        let several = |argument: &Arg| matches!(argument.get_action(), clap::ArgAction::Append);
        let open = |argument: &&Arg| {
            !argument.is_hide_set()
                && (several(argument) || !self.said.contains(&argument.get_id().as_str()))
        };
        let long = |argument: &Arg| {
            Some(Candidate {
                text: format!("--{}", argument.get_long()?),
                explanation: argument.get_help().map(ToString::to_string).unwrap_or_default(),
            })
        };
        self.command.get_arguments().filter(open).filter_map(long).collect()
    }
}

impl Line {
    /// Keeps what was said of the daemon's place.
    fn keep(&mut self, argument: &Arg, value: &str) {
        let path = || match (value.strip_prefix("~/"), std::env::home_dir()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => value.into(),
        };
        match argument.get_id().as_str() {
            "socket" => self.socket = Some(path()),
            "config" => self.config = Some(path()),
            _ => {}
        }
    }
}

/// What the value of an argument may be.
fn of(argument: &Arg, state: &State<'_>) -> Wanted {
    let values = argument.get_possible_values();
    if !values.is_empty() && argument.get_action().takes_values() {
        let candidate = |value: &clap::builder::PossibleValue| Candidate {
            text: value.get_name().to_owned(),
            explanation: value.get_help().map(ToString::to_string).unwrap_or_default(),
        };
        return Wanted::Words(values.iter().map(candidate).collect());
    }
    let command = || state.command.get_name().to_owned();
    let name = argument.get_value_names().unwrap_or_default().first();
    match name.map(|name| name.as_str()) {
        Some("ENTITY") => Wanted::Entities { command: command(), cases: false },
        Some("ENTITY|CASE") => Wanted::Entities { command: command(), cases: true },
        _ => match argument.get_value_hint() {
            ValueHint::AnyPath | ValueHint::FilePath => Wanted::Files,
            ValueHint::DirPath => Wanted::Directories,
            _ => Wanted::Nothing,
        },
    }
}

/// A word without the quotes and backslashes that a shell takes away. Nothing is replaced.
fn unquoted(word: &str) -> String {
    let mut text = String::new();
    let mut quote = None;
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    text
}

/// A text as a word outside of quotes, of which a shell reads nothing but the text.
fn escaped(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "@%+=:,./_-".contains(c);
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut word = String::new();
    for c in text.chars() {
        if !plain(c) {
            word.push('\\');
        }
        word.push(c);
    }
    Cow::Owned(word)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests fail by panicking")]
    use super::*;
    use clap::CommandFactory;

    fn read(text: &str) -> Line {
        let mut command = crate::cli::Cli::command();
        command.build();
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        Line::read(&command, &words, Shell::Bash)
    }

    fn words(text: &str) -> Vec<String> {
        let line = read(text);
        let Wanted::Words(words) = line.wanted else {
            panic!("{text}: {:?}", line.wanted);
        };
        let matching = words.into_iter().filter(|word| word.text.starts_with(&line.prefix));
        matching.map(|word| format!("{}{}", line.before, word.text)).collect()
    }

    #[test]
    fn each_place_has_its_words() {
        assert_eq!(words("connguard unt"), ["untrust"]);
        assert_eq!(words("connguard --socket /x unb"), ["unblock"]);
        assert_eq!(words("connguard comp"), ["completions"], "what is hidden stays so");
        assert_eq!(words("connguard block erp --action "), ["tempfail", "reject", "hold"]);
        assert_eq!(words("connguard block erp --action=re"), ["--action=reject"]);
        assert_eq!(words("connguard unblock --fo"), ["--force"]);
        assert_eq!(words("connguard unblock --force --fo"), Vec::<String>::new());
        assert_eq!(words("connguard completions "), ["bash", "zsh", "fish"]);
        assert_eq!(words("connguard alerts t"), ["test"]);
        assert!(words("connguard ").contains(&"status".to_owned()));
        assert!(words("connguard list ").contains(&"--all".to_owned()));
        assert!(words("connguard replay --set a=b --s").contains(&"--set".to_owned()));
    }

    #[test]
    fn each_place_has_its_kind() {
        let entities =
            |command: &str, cases| Wanted::Entities { command: command.to_owned(), cases };
        for (text, wanted) in [
            ("connguard show con", entities("show", true)),
            ("connguard explain ", entities("explain", false)),
            ("connguard block --reason x ", entities("block", false)),
            ("connguard unblock --force -- ", entities("unblock", true)),
            ("connguard hold -c /etc/postfix ", entities("hold", true)),
            ("connguard release ", entities("release", true)),
            ("connguard history ", entities("history", false)),
            ("connguard trust erp --for ", Wanted::Nothing),
            ("connguard trust erp --reason ", Wanted::Nothing),
            ("connguard --config ", Wanted::Files),
            ("connguard show --config=/et", Wanted::Files),
            ("connguard replay ", Wanted::Files),
            ("connguard replay a b ", Wanted::Files),
            ("connguard suggest ", Wanted::Files),
            ("connguard replay --learn ", Wanted::Directories),
            ("connguard hold -c ", Wanted::Directories),
            ("connguard man ", Wanted::Directories),
            ("connguard nosuch x --what ", Wanted::Words(Vec::new())),
        ] {
            let found = read(text).wanted;
            match wanted {
                Wanted::Words(_) => assert!(matches!(found, Wanted::Words(_)), "{text}"),
                wanted => assert_eq!(found, wanted, "{text}"),
            }
        }
    }

    #[test]
    fn the_place_of_the_daemon_is_read_wherever_it_was_said() {
        for text in [
            "connguard --socket /a\\ b --config=/c show x",
            "connguard show --config '/c' \"--socket=/a b\" x",
        ] {
            // The blank is within a word.
            let text = text.replace("\\ b", "\\\u{1}b").replace("/a b", "/a\u{1}b");
            let line = read(&text);
            assert_eq!(line.socket, Some(PathBuf::from("/a\u{1}b")), "{text}");
            assert_eq!(line.config, Some(PathBuf::from("/c")), "{text}");
        }
    }

    #[test]
    fn bash_gets_words_that_are_only_text() {
        let hostile = "login:a;b$(touch)'\"`x`&|<>*?[]{}~#!\\";
        let word = read("connguard show ").for_bash(hostile).map(Cow::into_owned);
        assert_eq!(word.as_deref().map(unquoted).as_deref(), Some(hostile));
        assert_eq!(
            read("connguard show ").for_bash("login:a;$(x)").as_deref(),
            Some("login:a\\;\\$\\(x\\)")
        );
        assert_eq!(read("connguard show 'l").for_bash("login:$(x)").as_deref(), Some("login:$(x)"));
        assert_eq!(read("connguard show 'l").for_bash("login:'x"), None);
        assert_eq!(read("connguard show \"l").for_bash("login:$(x)"), None);
        assert_eq!(read("connguard show ").for_bash("erp:a@b").as_deref(), Some("erp:a@b"));
    }
}
