//! Real traffic: every edge list in a folder.
//!
//! An edge list is a gzipped CSV whose header is `epoch_seconds,sender,recipient`,
//! perhaps with `message_id` behind it. A row is a recipient; a message is one
//! sender in one second. Of a newsletter run
//! (`attempt_epoch,…,rcpt,…,result,dsn`) only the pattern of bounces is taken:
//! which recipient, in the order of first attempts, was refused.

use flate2::read::GzDecoder;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io::Read,
    path::Path,
};

/// One message of a trace.
#[derive(Clone, Debug)]
pub(crate) struct TraceMail {
    /// Second since 1970.
    pub(crate) at: u64,
    /// Numbers of its recipients.
    pub(crate) to: Vec<u32>,
}

/// One organization's mail.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// Name of the file.
    pub(crate) name: String,
    /// The messages of each sender, by time.
    pub(crate) senders: Vec<Vec<TraceMail>>,
}

impl Trace {
    pub(crate) fn messages(&self) -> usize {
        self.senders.iter().map(Vec::len).sum()
    }

    /// Sum of the senders' times from first to last message, in years.
    pub(crate) fn sender_years(&self) -> f64 {
        self.senders.iter().map(|mails| years(mails)).sum()
    }

    /// Time from first to last message of anybody, in years.
    pub(crate) fn years(&self) -> f64 {
        let first = self.senders.iter().filter_map(|mails| mails.first()).map(|mail| mail.at).min();
        let last = self.senders.iter().filter_map(|mails| mails.last()).map(|mail| mail.at).max();
        first.zip(last).map_or(0.0, |(first, last)| (last - first) as f64 / YEAR)
    }
}

/// Time from first to last of these messages, in years.
pub(crate) fn years(mails: &[TraceMail]) -> f64 {
    mails.first().zip(mails.last()).map_or(0.0, |(first, last)| (last.at - first.at) as f64 / YEAR)
}

const YEAR: f64 = 365.25 * 86_400.0;

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Its edge lists, by name.
    pub(crate) traces: Vec<Trace>,
    /// Of a real newsletter: for each recipient whether it was refused.
    pub(crate) newsletter: Option<Vec<bool>>,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
}

/// Reads all of `folder`. A folder that is not there is an empty one with a
/// note; a file that can't be read is an error.
pub(crate) fn read(folder: &Path) -> Result<Found, String> {
    let mut found = Found::default();
    let Ok(entries) = folder.read_dir() else {
        found.notes.push(
            "THE FOLDER OF TRACES IS NOT THERE: everything that needs real mail is left out. \
             Say where it is with `--traces DIR`."
                .into(),
        );
        return Ok(found);
    };
    let names: BTreeSet<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".csv.gz"))
        .collect();
    for name in names {
        let text = unpack(&folder.join(&name)).map_err(|error| format!("{name}: {error}"))?;
        let (header, rows) = text.split_once('\n').unwrap_or((&text, ""));
        match header.trim_end() {
            "epoch_seconds,sender,recipient" | "epoch_seconds,sender,recipient,message_id" => {
                let senders = edges(rows).map_err(|error| format!("{name}: {error}"))?;
                let name = name.trim_end_matches(".csv.gz").to_owned();
                found.traces.push(Trace { name, senders });
            }
            header if header.starts_with("attempt_epoch,delay,sender,rcpt,") => {
                found.newsletter = Some(bounces(rows));
                found.notes.push(format!("{name}: its bounces are used, its times are not"));
            }
            _ => found.notes.push(format!("{name} is no edge list: left out")),
        }
    }
    Ok(found)
}

fn unpack(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    GzDecoder::new(File::open(path)?).read_to_string(&mut text)?;
    Ok(text)
}

fn edges(rows: &str) -> Result<Vec<Vec<TraceMail>>, String> {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut messages: BTreeMap<(u32, u64), BTreeSet<u32>> = BTreeMap::new();
    for (number, row) in rows.lines().enumerate() {
        let mut columns = row.split(',');
        let (Some(at), Some(sender), Some(recipient)) =
            (columns.next(), columns.next(), columns.next())
        else {
            return Err(format!("line {}: three columns are needed", number + 2));
        };
        let at = at.parse().map_err(|_| format!("line {}: {at:?} is no time", number + 2))?;
        let mut of = |name| {
            let next = numbers.len() as u32;
            *numbers.entry(name).or_insert(next)
        };
        let (sender, recipient) = (of(sender), of(recipient));
        messages.entry((sender, at)).or_default().insert(recipient);
    }
    let mut senders: BTreeMap<u32, Vec<TraceMail>> = BTreeMap::new();
    for ((sender, at), to) in messages {
        let mail = TraceMail { at, to: to.into_iter().collect() };
        senders.entry(sender).or_default().push(mail);
    }
    Ok(senders.into_values().collect())
}

fn bounces(rows: &str) -> Vec<bool> {
    let mut attempts: Vec<(&str, &str, bool)> = rows
        .lines()
        .filter_map(|row| {
            let columns: Vec<&str> = row.split(',').collect();
            let [at, _, _, recipient, _, _, result, dsn] = columns[..] else { return None };
            Some((at, recipient, result == "bounced" || dsn.starts_with('5')))
        })
        .collect();
    attempts.sort_by_key(|(at, ..)| *at);
    let mut seen = BTreeSet::new();
    attempts.retain(|(_, recipient, _)| seen.insert(*recipient));
    attempts.into_iter().map(|(_, _, refused)| refused).collect()
}
