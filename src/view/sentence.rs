//! A finding in one plain sentence with measured and usual values.

use crate::record::{Finding, SignalName, Unit};

/// A finding in one plain sentence with measured and usual values.
pub fn sentence(finding: &Finding) -> String {
    let Finding { bad, of, distinct, .. } = *finding;
    let usual = share(finding.usual);
    match finding.signal {
        SignalName::UnregisteredSender => {
            let domains = several(distinct, "sender domain that is", "sender domains that are");
            format!("{} came from {domains} not registered; usual: {usual}", messages(bad, of))
        }
        SignalName::ForeignFrom => {
            let domains = several(distinct, "domain that is", "domains that are");
            format!("{} had a From header of {domains} foreign; usual: {usual}", messages(bad, of))
        }
        SignalName::NewNetworks => {
            let networks = several(distinct, "network", "networks");
            format!(
                "{networks} that this login never used, since {}; usual: {usual} of the messages",
                finding.since.local()
            )
        }
        SignalName::ShiftedNetworks => format!(
            "{bad} of the {of} messages of the last hour came from networks first seen today; usual: {usual}"
        ),
        SignalName::UnknownCrowds => format!(
            "{} went to many recipients that it never wrote to; usual: {usual}",
            messages(bad, of)
        ),
        SignalName::MostRefused | SignalName::ManyRefused => {
            format!("{} refused; usual: {usual}", recipients(bad, of))
        }
        SignalName::UnknownRecipients => {
            format!("{} unknown to this server; usual: {usual}", recipients(bad, of))
        }
        SignalName::SpamVerdict => {
            format!("{} called spam by the filter before; usual: {usual}", were(&messages(bad, of)))
        }
        SignalName::Volume => volume(finding),
    }
}

/// A share in percent.
pub(super) fn share(share: f32) -> String {
    let percent = share * 100.0;
    if percent < 1.0 { "under 1 %".into() } else { format!("{percent:.0} %") }
}

fn volume(finding: &Finding) -> String {
    let Finding { bad, of, distinct, .. } = *finding;
    let what = match finding.unit.unwrap_or_default() {
        Unit::Messages => several(bad, "message", "messages"),
        Unit::Recipients => several(bad, "recipient", "recipients"),
        Unit::NewRecipients => {
            several(bad, "recipient that it never wrote to", "recipients that it never wrote to")
        }
    };
    let history = if of == 0 {
        format!("no history yet; up to {distinct} are usual for such a client")
    } else {
        format!("busiest hour so far: {of}")
    };
    format!("{what} in the last hour; {history}")
}

fn messages(bad: u32, of: u32) -> String {
    part(bad, of, "message", "messages")
}

fn recipients(bad: u32, of: u32) -> String {
    were(&part(bad, of, "recipient", "recipients"))
}

/// "all of the last 9 messages", "1 of the last 9 messages", "the last message".
fn part(bad: u32, of: u32, one: &str, many: &str) -> String {
    match (bad, of) {
        (1, 1) => format!("the last {one}"),
        _ if bad == of => format!("all of the last {of} {many}"),
        _ => format!("{bad} of the last {of} {many}"),
    }
}

/// With the verb behind it.
fn were(part: &str) -> String {
    let is_one = part.starts_with("the last ") || part.starts_with("1 of ");
    format!("{part} {}", if is_one { "was" } else { "were" })
}

fn several(count: u32, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    fn finding(signal: SignalName, bad: u32, of: u32, distinct: u32, usual: f32) -> Finding {
        Finding {
            signal,
            score: 15.24,
            limit: 14.0,
            bad,
            of,
            distinct,
            usual,
            ..Finding::default()
        }
    }

    #[test]
    fn findings_are_sentences() {
        use SignalName::{
            ForeignFrom, ManyRefused, ShiftedNetworks, SpamVerdict, UnknownCrowds,
            UnknownRecipients, UnregisteredSender, Volume,
        };
        for (finding, text) in [
            (
                finding(UnregisteredSender, 9, 9, 7, 0.005),
                "all of the last 9 messages came from 7 sender domains that are not registered; usual: under 1 %",
            ),
            (
                finding(UnregisteredSender, 9, 12, 1, 0.126),
                "9 of the last 12 messages came from 1 sender domain that is not registered; usual: 13 %",
            ),
            (
                finding(ForeignFrom, 1, 1, 1, 0.005),
                "the last message had a From header of 1 domain that is foreign; usual: under 1 %",
            ),
            (
                finding(ShiftedNetworks, 9, 10, 0, 0.02),
                "9 of the 10 messages of the last hour came from networks first seen today; usual: 2 %",
            ),
            (
                finding(UnknownCrowds, 6, 8, 0, 0.005),
                "6 of the last 8 messages went to many recipients that it never wrote to; usual: under 1 %",
            ),
            (
                finding(ManyRefused, 37, 40, 0, 0.02),
                "37 of the last 40 recipients were refused; usual: 2 %",
            ),
            (
                finding(UnknownRecipients, 16, 16, 0, 0.05),
                "all of the last 16 recipients were unknown to this server; usual: 5 %",
            ),
            (
                finding(SpamVerdict, 1, 3, 0, 0.01),
                "1 of the last 3 messages was called spam by the filter before; usual: 1 %",
            ),
            (
                finding(Volume, 412, 31, 47, 0.0),
                "412 messages in the last hour; busiest hour so far: 31",
            ),
            (
                Finding { unit: Some(Unit::NewRecipients), ..finding(Volume, 80, 0, 20, 0.0) },
                "80 recipients that it never wrote to in the last hour; no history yet; up to 20 are usual for such a client",
            ),
        ] {
            assert_eq!(sentence(&finding), text);
        }
    }

    #[test]
    fn new_networks_are_told_with_their_beginning() {
        let since = Timestamp::from_seconds(1_795_000_000);
        let finding = Finding { since, ..finding(SignalName::NewNetworks, 14, 15, 14, 0.01) };
        let text = sentence(&finding);
        assert!(text.starts_with("14 networks that this login never used, since "), "{text}");
    }
}
