//! `top`: connectors by what they send.

use super::{Error, list::state, output};
use crate::{
    command::Command,
    control,
    text::cut,
    view::{State, TOP_MOST, TopView},
};
use clap::Args;
use std::{
    io::{IsTerminal, Write, stdout},
    path::Path,
    process::{self, Stdio},
    time::Duration,
};

/// Lines of a screen that are no connectors: title, heading and prompt.
const AROUND: usize = 4;
/// Where nobody knows the size of the terminal.
const SIZE: (usize, usize) = (24, 200);
/// Moves to the upper left corner and clears what is below it.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// What can be said behind `top`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Draw it again and again, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Seconds between two drawings.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, requires = "watch", value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Connectors that are shown; where absent as many as the terminal has room for, else 20.
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..=500))]
    lines: Option<u64>,
    /// Print JSON.
    #[arg(long, conflicts_with = "watch")]
    json: bool,
}

/// Prints the busiest connectors.
pub(super) fn top(socket: &Path, options: &Options) -> Result<(), Error> {
    let given = options.lines.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX));
    if options.json {
        let mut array = output::JsonArray::new(stdout().lock());
        let mut left = given.unwrap_or(usize::MAX);
        control::ask(socket, Command::Top, |item| {
            if left > 0 {
                left -= 1;
                array.push(&item)?;
            }
            Ok(())
        })?;
        return Ok(array.finish()?);
    }
    let on_terminal = stdout().is_terminal();
    if options.watch && !on_terminal {
        return Err(Error::Usage(
            "--watch draws on a terminal, and standard output is none: leave it out".to_owned(),
        ));
    }
    loop {
        let views = ask(socket)?;
        let size = if on_terminal { terminal() } else { None };
        let (rows, columns) = size.unwrap_or(SIZE);
        let lines =
            given.unwrap_or(if size.is_some() { rows.saturating_sub(AROUND).max(1) } else { 20 });
        let text = page(&views, lines);
        let mut out = stdout().lock();
        if !options.watch {
            out.write_all(text.as_bytes())?;
            return Ok(());
        }
        let mut screen = String::from(CLEAR);
        for line in text.lines() {
            screen.push_str(&cut(line, columns));
            screen.push('\n');
        }
        out.write_all(screen.as_bytes())?;
        out.flush()?;
        drop(out);
        std::thread::sleep(Duration::from_secs(options.interval));
    }
}

fn ask(socket: &Path) -> Result<Vec<TopView>, Error> {
    let mut views = Vec::new();
    control::ask(socket, Command::Top, |item| {
        views.push(serde_json::from_value(item)?);
        Ok(())
    })?;
    Ok(views)
}

/// The table, with a line about all of them above it.
fn page(views: &[TopView], lines: usize) -> String {
    if views.is_empty() {
        return "no connector sent anything in the last hour\n".to_owned();
    }
    let sum = |of: fn(&TopView) -> u64| views.iter().map(of).sum::<u64>();
    let is = |wanted| views.iter().filter(|view| view.state == Some(wanted)).count();
    // Who is beyond that is not in the sums.
    let of = if views.len() < TOP_MOST { "" } else { "the busiest " };
    let mut text = format!(
        "last hour: {of}{} connectors, {} messages, {} recipients; {} restricted, {} marked, {} suspicious\n",
        views.len(),
        sum(|view| view.messages),
        sum(|view| view.recipients),
        is(State::Restricted),
        is(State::Marked),
        is(State::Suspicious),
    );
    let head = ["CONNECTOR", "MESSAGES", "RCPTS", "REFUSED", "SCORE", "STATE", "WHY"];
    let rows = views.iter().take(lines).map(|view| {
        vec![
            view.entity.to_string(),
            view.messages.to_string(),
            view.recipients.to_string(),
            view.refused.to_string(),
            format!("{:.1} of {:.0}", view.score, view.limit),
            view.state.map_or("-", state).to_owned(),
            view.finding.as_ref().map_or_else(|| "-".to_owned(), |finding| finding.text.clone()),
        ]
    });
    text.push_str(&output::table(&head, rows.collect()));
    text
}

/// Rows and columns of the terminal, if it says how many.
pub(super) fn terminal() -> Option<(usize, usize)> {
    let mut stty = process::Command::new("stty");
    let said = stty.arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (rows, columns) = said.trim().split_once(' ')?;
    let size: (usize, usize) = (rows.parse().ok()?, columns.parse().ok()?);
    (size.0 > 0 && size.1 > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;
    use crate::{record::Finding, timestamp::Timestamp, view::FindingView};

    fn view(entity: &str, messages: u64, state: Option<State>) -> TopView {
        let finding =
            Finding { score: 9.1, limit: 14.0, bad: 9, of: 9, distinct: 3, ..Finding::default() };
        TopView {
            entity: entity.parse().unwrap(),
            organization: "default".into(),
            state,
            messages,
            recipients: messages * 2,
            refused: 7,
            score: 9.14,
            limit: 14.0,
            finding: state.map(|_| FindingView::from(&finding)),
            last_seen: Timestamp::default(),
        }
    }

    #[test]
    fn the_busiest_are_shown() {
        let views = [
            view("connector:erp", 412, Some(State::Suspicious)),
            view("login:a%1B[31mb", 31, None),
            view("client:192.0.2.7", 1, None),
        ];
        let text = page(&views, 2);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].starts_with("last hour: 3 connectors, 444 messages, 888 recipients;"));
        assert!(lines[2].starts_with("connector:erp"), "{text}");
        assert!(lines[2].contains("9.1 of 14") && lines[2].contains("suspicious"), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains("192.0.2.7"), "{text}");
        let many: Vec<_> = (0..TOP_MOST).map(|_| view("connector:erp", 1, None)).collect();
        let text = page(&many, 1);
        assert!(text.starts_with("last hour: the busiest 500 connectors, 500 messages"), "{text}");
        assert_eq!(page(&[], 5), "no connector sent anything in the last hour\n");
    }
}
