//! `list` and `history`.

use super::{Error, Output, output};
use crate::{
    command::Command,
    control,
    view::{HistoryView, ListView, State},
};
use serde_json::Value;
use std::{
    io::{self, BufWriter, stdout},
    panic::resume_unwind,
    path::Path,
    sync::mpsc,
    thread,
};

/// Prints what is restricted.
pub(super) fn list(socket: &Path, all: bool, options: Output) -> Result<(), Error> {
    let head = if all {
        &["ENTITY", "STATE", "SINCE", "ACTION", "CASE", "WHY"][..]
    } else {
        &["ENTITY", "SINCE", "ACTION", "CASE", "WHY"][..]
    };
    let row = |value: Value| {
        let view: ListView = serde_json::from_value(value)?;
        let mut row = list_row(&view);
        if all {
            row.insert(1, state(view.state).to_owned());
        }
        Ok(row)
    };
    rows(socket, Command::List { all }, options, head, "nothing is restricted", row)
}

/// Prints the audit trail.
pub(super) fn history(socket: &Path, entity: Option<String>, options: Output) -> Result<(), Error> {
    let row = |value: Value| {
        let view: HistoryView = serde_json::from_value(value)?;
        Ok(vec![
            view.at.local(),
            view.by.to_string(),
            view.what,
            view.entity.to_string(),
            view.case.map_or_else(|| "-".into(), |case| case.to_string()),
            view.why,
        ])
    };
    let head = ["TIME", "BY", "WHAT", "ENTITY", "CASE", "WHY"];
    rows(socket, Command::History { entity }, options, &head, "nothing happened yet", row)
}

/// Prints items as the rows of a table as they come, or `none` where there are none.
pub(super) fn rows(
    socket: &Path,
    command: Command,
    options: Output,
    head: &[&str],
    none: &str,
    row: impl Fn(Value) -> Result<Vec<String>, serde_json::Error>,
) -> Result<(), Error> {
    let out = BufWriter::new(stdout().lock());
    let read = |give: &mut dyn FnMut(Value) -> io::Result<()>| {
        control::ask(socket, command, give).map(drop)
    };
    if options.json {
        let mut array = output::JsonArray::new(out);
        apart(read, |item| array.push(&item))??;
        return Ok(array.finish()?);
    }
    let mut rows = output::Rows::new(head, out);
    apart(read, |item| rows.push(row(item)?))??;
    Ok(rows.finish(none)?)
}

/// Reads an answer as fast as it comes, while printing takes its time: who looks at a
/// long list in a pager may print nothing for minutes, and the daemon waits for no
/// client so long. What is read and not printed is kept.
fn apart<T: Send, E: Send>(
    read: impl FnOnce(&mut dyn FnMut(T) -> io::Result<()>) -> Result<(), E> + Send,
    print: impl FnMut(T) -> io::Result<()>,
) -> io::Result<Result<(), E>> {
    let (sender, items) = mpsc::channel();
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            // Where printing failed nobody takes it.
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            read(&mut |item| sender.send(item).map_err(gone))
        });
        let printed = items.into_iter().try_for_each(print);
        let read = reading.join().unwrap_or_else(|panic| resume_unwind(panic));
        printed.map(|()| read)
    })
}

fn list_row(view: &ListView) -> Vec<String> {
    let dash = || "-".to_owned();
    let action = match (view.state, view.action) {
        (State::Idle, Some(_)) => "none (observe mode)".to_owned(),
        (State::Marked, Some(action)) => format!("none (would {action})"),
        (_, Some(action)) => action.to_string(),
        (_, None) => dash(),
    };
    let mut why = view.reason.clone();
    if let (State::Trusted | State::Grace, Some(until)) = (view.state, view.until) {
        why = format!("until {}: {why}", until.local());
    }
    vec![
        view.entity.to_string(),
        view.since.map_or_else(dash, |since| since.local()),
        action,
        view.case.map_or_else(dash, |case| case.to_string()),
        why,
    ]
}

pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Restricted => "restricted",
        State::Marked => "marked",
        State::Idle => "idle",
        State::Trusted => "trusted",
        State::Grace => "grace",
        State::Suspicious => "suspicious",
        State::Raised => "raised",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_answer_is_read_to_its_end_while_the_first_page_is_looked_at() {
        let (sender, end) = mpsc::channel();
        let mut printed = Vec::new();
        let result = apart(
            |give: &mut dyn FnMut(u32) -> io::Result<()>| -> io::Result<()> {
                for number in 0..10_000 {
                    give(number)?;
                }
                sender.send(()).map_err(io::Error::other)
            },
            |number| {
                if number == 0 {
                    end.recv_timeout(Duration::from_secs(10)).map_err(io::Error::other)?;
                }
                printed.push(number);
                Ok(())
            },
        );
        assert!(matches!(result, Ok(Ok(()))), "{result:?}");
        assert!(printed.into_iter().eq(0..10_000));
    }

    #[test]
    fn nothing_more_is_read_when_printing_failed() {
        let result = apart(
            |give: &mut dyn FnMut(u32) -> io::Result<()>| -> io::Result<()> {
                loop {
                    give(0)?;
                }
            },
            |_| Err(io::ErrorKind::BrokenPipe.into()),
        );
        assert!(result.is_err());
    }
}
