//! What the trade of an identity is, by its figures: its profile, what is usual
//! for it, and whether it looks taken over.
//!
//! | | needs |
//! |---|---|
//! | taken over | a day on which 40 % of 20 or more recipients were refused; or one with five or more sender domains, over three times what is usual for it; or 20 unknown recipients that are 30 % of all |
//! | forwarder | three days; a third of its senders rewritten by SRS, or foreign and of ten or more domains on most days; under 20 % refused |
//! | bulk | bursts (50 messages or 100 recipients an hour) that came back, and: a third of its messages to crowds, or half with VERP, or most of a day's mail in one hour on most days |
//! | usual | bulk, or an hour beyond what is nothing for its kind, that came back |
//!
//! What looks taken over is nothing else. Nor is anybody but a forwarder of whose
//! mail a third comes from domains that are not registered: it may be taken over.

use super::{
    days::{Day, Hour},
    domains::Registered,
    figures::{Figures, share},
};
use crate::{
    connector::{ConnectorKey, Profile},
    model::Model,
    timestamp::Timestamp,
};

/// Results of a day that tell something, and the share of refused ones that is
/// too much.
const RESULTS: u32 = 20;
const BAD_SHARE: f64 = 0.4;
/// Unknown recipients, and their share, that are too many.
const UNKNOWN: u64 = 20;
const UNKNOWN_SHARE: f64 = 0.3;
/// Sender domains of a day, and how many times the usual number.
const DOMAINS: u32 = 5;
const TIMES_DOMAINS: u32 = 3;
/// Days to tell what is usual of one identity.
const FEW_DAYS: u32 = 3;
/// A forwarder: share of foreign senders, their domains, domains of a day, and
/// the share of refused recipients that it may have.
const FOREIGN: f64 = 0.3;
const FOREIGN_DOMAINS: usize = 10;
const DAILY_DOMAINS: u32 = 3;
const GOOD_DELIVERY: f64 = 0.2;
/// A burst.
const BURST: Hour = Hour { messages: 50, recipients: 100 };
/// Bulk: share of messages to crowds, messages to crowds, share of VERP, share
/// of a day's messages in one hour.
const CROWDED: f64 = 0.3;
const CROWDS: u64 = 10;
const VERP: f64 = 0.5;
const AT_ONCE: f64 = 0.5;

/// Why an identity looks taken over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Trouble {
    /// From which day on, since 1970-01-01.
    pub(super) day: u32,
    /// In words.
    pub(super) why: String,
}

/// Its trade.
#[derive(Clone, Debug, Default)]
pub(super) struct Trade {
    /// Where it is not that of its key.
    pub(super) profile: Option<Profile>,
    /// Its busiest hour, where that has to be said.
    pub(super) usual: Option<Hour>,
    /// What else is to be told, a sentence each.
    pub(super) notes: Vec<String>,
}

/// Why it looks taken over, if it does.
pub(super) fn trouble(figures: &Figures) -> Option<Trouble> {
    let days = figures.days.list();
    let refused = days.iter().find(|day| {
        let all = day.delivered + day.refused;
        all >= RESULTS && share(day.refused.into(), all.into()) >= BAD_SHARE
    });
    let refused = refused.map(|day| Trouble {
        day: day.number,
        why: format!(
            "on {} the servers of {} of {} recipients refused them",
            date(day.number),
            day.refused,
            day.delivered + day.refused
        ),
    });
    refused.or_else(|| many_domains(days)).or_else(|| many_unknown(figures))
}

fn many_domains(days: &[Day]) -> Option<Trouble> {
    if days.len() < FEW_DAYS as usize {
        return None;
    }
    let mut counts: Vec<u32> = days.iter().map(|day| day.domains).collect();
    counts.sort_unstable();
    let usual = counts.get((counts.len() - 1) / 2).copied().unwrap_or(0).max(1);
    let odd =
        days.iter().find(|day| day.domains >= DOMAINS && day.domains > TIMES_DOMAINS * usual)?;
    Some(Trouble {
        day: odd.number,
        why: format!(
            "on {} it sent as {} domains, on other days as {usual}",
            date(odd.number),
            odd.domains
        ),
    })
}

fn many_unknown(figures: &Figures) -> Option<Trouble> {
    let Figures { unknown, recipients, .. } = *figures;
    let is_bad = unknown >= UNKNOWN && share(unknown, unknown + recipients) >= UNKNOWN_SHARE;
    is_bad.then(|| Trouble {
        day: figures.days.list().first().map_or(0, |day| day.number),
        why: format!("{unknown} of its {} recipients do not exist", unknown + recipients),
    })
}

/// The trade of an identity with these keys that does not look taken over.
pub(super) fn trade(keys: &[ConnectorKey], figures: &Figures, registered: &Registered) -> Trade {
    let mut trade = Trade::default();
    let repeated = figures.days.repeated();
    let foreign = registered.foreign_share(keys, figures);
    if is_forwarder(figures, foreign) {
        trade.profile = Some(Profile::Forwarder);
    } else if foreign > FOREIGN {
        // The volume of what may be somebody else's is no usual one.
        trade.notes.push(foreign_note(figures, foreign));
        return trade;
    } else if is_bulk(figures, repeated) {
        trade.profile = Some(Profile::Bulk);
    }
    let nothing = nothing_for(keys);
    let is_beyond =
        repeated.messages > nothing.messages || repeated.recipients > nothing.recipients;
    if trade.profile == Some(Profile::Bulk) || is_beyond {
        let messages = rounded_up(repeated.messages);
        let recipients = rounded_up(repeated.recipients).max(messages);
        trade.usual = Some(Hour { messages, recipients });
    }
    trade.notes.extend(burst_note(figures, repeated, nothing));
    trade
}

fn is_forwarder(figures: &Figures, foreign: f64) -> bool {
    let days = figures.days.list();
    let mixed = days.iter().filter(|day| day.domains >= DAILY_DOMAINS).count();
    let rewrites = share(figures.srs, figures.messages) >= FOREIGN;
    let mixes = foreign > FOREIGN
        && figures.senders.distinct() >= FOREIGN_DOMAINS
        && 2 * mixed >= days.len();
    figures.active_days() >= FEW_DAYS
        && (rewrites || mixes)
        && figures.refused_share().is_none_or(|refused| refused < GOOD_DELIVERY)
}

fn is_bulk(figures: &Figures, repeated: Hour) -> bool {
    if repeated.messages < BURST.messages && repeated.recipients < BURST.recipients {
        return false;
    }
    let days = figures.days.list();
    let at_once = days.iter().filter(|day| {
        let busiest = day.busiest;
        busiest.messages >= BURST.messages
            && share(busiest.messages.into(), day.all.messages.into()) >= AT_ONCE
    });
    let crowded = figures.crowds >= CROWDS && share(figures.crowds, figures.messages) >= CROWDED;
    let verp = share(figures.verp, figures.messages) >= VERP;
    crowded || verp || 2 * at_once.count() >= days.len()
}

fn foreign_note(figures: &Figures, foreign: f64) -> String {
    let domains = match figures.senders.distinct() {
        1 => "a domain that is".to_owned(),
        many => format!("{many} domains, of which some are"),
    };
    let what = if figures.active_days() < FEW_DAYS {
        "Its days are too few to tell whether these are yours, whether it is a forwarder \
         (profile = \"forwarder\"), or taken over"
    } else {
        "If these are yours, register them; if it forwards mail, set profile = \"forwarder\""
    };
    format!("{} of its messages came from {domains} not registered. {what}.", percent(foreign))
}

/// A burst that did not come back.
fn burst_note(figures: &Figures, repeated: Hour, nothing: Hour) -> Option<String> {
    let busiest = figures.days.busiest();
    let is_burst = |one: u32, usual: u32, nothing: u32| one > nothing && one / 2 >= usual.max(1);
    if !is_burst(busiest.messages, repeated.messages, nothing.messages)
        && !is_burst(busiest.recipients, repeated.recipients, nothing.recipients)
    {
        return None;
    }
    let day = figures.days.list().iter().max_by_key(|day| (day.busiest.recipients, day.number))?;
    Some(format!(
        "Its busiest hour, on {}, did not come back, so it is not taken for usual. If it was a \
         mailing of yours that will: profile = \"bulk\" and usual = {{ messages_per_hour = {}, \
         recipients_per_hour = {} }}.",
        date(day.number),
        rounded_up(busiest.messages),
        rounded_up(busiest.recipients).max(rounded_up(busiest.messages)),
    ))
}

/// What is no volume for a client of this kind, whatever its history.
fn nothing_for(keys: &[ConnectorKey]) -> Hour {
    let volume = Model::default().volume;
    let [messages, recipients, _] = volume.prior;
    let class = if matches!(keys, [ConnectorKey::Login(_)]) { 1.0 } else { volume.class };
    Hour { messages: whole(class * messages), recipients: whole(class * recipients) }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the whole number below it"
)]
fn whole(count: f32) -> u32 {
    count as u32
}

/// To two digits, upwards.
fn rounded_up(count: u32) -> u32 {
    let mut unit = 1;
    while count / unit >= 100 {
        unit *= 10;
    }
    count.div_ceil(unit).saturating_mul(unit)
}

/// A day as it is written in comments.
pub(super) fn date(day: u32) -> String {
    let text = Timestamp::from_seconds(u64::from(day) * 86_400).to_string();
    text.split('T').next().unwrap_or("").to_owned()
}

/// A share as it is written in comments.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".into(),
        small if small < 0.1 => "under 0.1 %".into(),
        small if small < 9.95 => format!("{small:.1} %"),
        large => format!("{large:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_up() {
        for (count, expected) in [(0, 0), (7, 7), (99, 99), (100, 100), (101, 110), (1234, 1300)] {
            assert_eq!(rounded_up(count), expected);
        }
        assert_eq!(rounded_up(u32::MAX), u32::MAX);
    }

    #[test]
    fn shares_are_readable() {
        for (part, expected) in
            [(0.0, "0 %"), (0.0004, "under 0.1 %"), (0.021, "2.1 %"), (0.4, "40 %"), (1.0, "100 %")]
        {
            assert_eq!(percent(part), expected);
        }
        assert_eq!(date(20_000), "2024-10-04");
    }
}
