//! The table of delivery texts: the first row that fits gives the class.
//!
//! A row fits by who speaks, by the first digit of the reply, by its code, by the
//! enhanced code (whole, or its beginning where it ends in a dot) and by words
//! (between `|`), one of which stands in the text; what a row leaves open fits
//! always. Rows that mean nothing stand before rows that speak against a client,
//! rows that may mean this host before those that can only mean the client.

use super::{Answer, By, Class};
use regex::{RegexSet, RegexSetBuilder, SetMatches};
use std::sync::LazyLock;

struct Row {
    by: &'static [By],
    digit: Option<u8>,
    codes: &'static [u16],
    dsn: &'static [&'static str],
    words: &'static str,
    class: Class,
    why: &'static str,
}

const ANY: Row = Row {
    by: &[By::Greeting, By::Sender, By::Mail],
    digit: None,
    codes: &[],
    dsn: &[],
    words: "",
    class: Class::Other,
    why: "nothing in it is known",
};

/// Postfix speaks for itself.
const OWN: Row = Row { by: &[By::Postfix], ..ANY };
/// Try again.
const TEMPORARY: Row = Row { digit: Some(4), ..ANY };
/// Never.
const PERMANENT: Row = Row { digit: Some(5), ..ANY };
/// Never, of the recipient or the message.
const OF_MAIL: Row = Row { by: &[By::Mail], ..PERMANENT };

/// The class of an answer, and why.
pub(super) fn look_up(answer: &Answer) -> (Class, &'static str) {
    if let Some(found) = no_such_domain(answer) {
        return found;
    }
    let said = WORDS.matches(&answer.text);
    let fits = |(at, row): &(usize, &Row)| row.fits(answer) && row.says(*at, &said);
    let row = TABLE.iter().enumerate().find(fits).map_or(&ANY, |(_, row)| row);
    (row.class, row.why)
}

/// The words of each row, looked for all at once: one by one they took four times as
/// many instructions, 3 of 100 of a whole replay.
static WORDS: LazyLock<RegexSet> = LazyLock::new(|| {
    let pattern = |row: &Row| match row.words {
        "" => NOTHING.to_owned(),
        words => words.split('|').map(regex::escape).collect::<Vec<_>>().join("|"),
    };
    let set = RegexSetBuilder::new(TABLE.iter().map(pattern)).unicode(false).build();
    set.unwrap_or_else(|_| RegexSet::empty())
});
/// Fits no text.
const NOTHING: &str = "[a&&b]";

/// The one thing that Postfix says itself and that is about the recipient. The
/// domain must be the recipient's: a next hop that nobody can look up is a
/// mistake in the configuration, and would blame every client.
fn no_such_domain(answer: &Answer) -> Option<(Class, &'static str)> {
    const WORDS: [&str; 3] = ["host not found", "no data record", "does not accept mail"];
    let says = answer.by == By::Postfix
        && answer.digit == 5
        && answer.own_domain
        && WORDS.iter().any(|words| answer.text.contains(words))
        && !answer.text.contains("try again");
    says.then_some((
        Class::UnknownRecipient,
        "the recipient's domain does not exist or takes no mail, as DNS says for sure",
    ))
}

impl Row {
    fn fits(&self, answer: &Answer) -> bool {
        self.digit.is_none_or(|digit| digit == answer.digit)
            && self.by.contains(&answer.by)
            && (self.codes.is_empty() || self.codes.contains(&answer.code))
            && (self.dsn.is_empty() || self.dsn.iter().any(|dsn| same_code(dsn, &answer.dsn)))
    }

    /// Whether its words, as it is the row `at`, are among what was said.
    fn says(&self, at: usize, said: &SetMatches) -> bool {
        self.words.is_empty() || said.matched(at)
    }
}

fn same_code(row: &str, code: &str) -> bool {
    if row.ends_with('.') { code.starts_with(row) } else { code == row }
}

const TABLE: &[Row] = &[
    // What Postfix says itself.
    Row {
        words: "delivery temporarily suspended",
        class: Class::Connection,
        why: "the host was in trouble with another message; this one was not tried",
        ..OWN
    },
    Row {
        words: "name service error|host or domain name not found|unable to look up host",
        class: Class::Resolver,
        why: "a name could not be looked up, or the next hop is not known",
        ..OWN
    },
    Row {
        words: "connect to |lost connection|timed out|conversation with|unreachable|\
            no route to host|connection refused|tls|certificate",
        class: Class::Connection,
        why: "the host was not reached, or the connection broke",
        ..OWN
    },
    Row {
        words: "quota|mailbox size|no space left",
        class: Class::Full,
        why: "a mailbox of this host is full",
        ..OWN
    },
    Row {
        class: Class::Own,
        why: "Postfix decided it: a loop, a size, an alias, a program of this host",
        ..OWN
    },
    // Full: before the rows whose words it shares.
    Row {
        words: "sending quota|sending limit|user sending|relay sending|exceeded threshold|\
            exceeded the threshold",
        class: Class::RateLimit,
        why: "the next hop lets this account or host send no more",
        ..ANY
    },
    Row {
        dsn: &["4.2.2", "5.2.2", "4.2.3", "5.2.3", "4.3.1", "5.3.1", "4.3.4", "5.3.4"],
        class: Class::Full,
        why: "the mailbox is full or the message too large",
        ..ANY
    },
    Row {
        words: "over quota|overquota|over-quota|out of quota|quota exceed|exceeded quota|\
            exceeded its quota|exceeded storage|storage allocation|\
            insufficient system storage|insufficient disk|not enough space|\
            mailbox full|mailbox is full|mailbox size limit|inbox is full|\
            message size|message too large|message is too large|message too big|\
            too large|size limit",
        class: Class::Full,
        why: "the mailbox is full or the message too large",
        ..ANY
    },
    Row {
        words: "receiving mail too quickly|receiving mail at a rate",
        class: Class::Full,
        why: "all of the recipient's mail is too much, not this client's",
        ..ANY
    },
    // Ours.
    Row {
        codes: &[530, 534, 535, 538],
        class: Class::Own,
        why: "the next hop wants a login or TLS of this host (RFC 4954)",
        ..ANY
    },
    Row {
        dsn: &["5.7.8", "5.7.9", "4.7.8", "5.7.64", "5.7.10", "5.7.11", "5.7.25", "4.7.25"],
        words: "authentica|credential|tenantattribution|encrypt|starttls|ptr|reverse dns",
        class: Class::Own,
        why: "this host lacks a login, TLS or a name there",
        ..ANY
    },
    Row {
        words: "relay access denied|relaying denied|relay denied|relay not permitted|\
            relaying not permitted|not permitted to relay|not allowed to relay|\
            unable to relay|do not relay|does not relay|authentication required|\
            authentication is required|must authenticate|not authenticated to|\
            authentication failed|authentication unsuccessful|must issue a starttls",
        class: Class::Own,
        why: "the next hop does not take this mail from this host: configuration",
        ..ANY
    },
    Row {
        words: "helo command rejected|cannot find your hostname|\
            cannot find your reverse hostname|reverse dns|reverse lookup|ptr record|\
            rdns|too many hops|mail loop|loops back|routing loop|hop count",
        class: Class::Own,
        why: "this host's name or routing is wrong",
        ..ANY
    },
    Row {
        words: "not authenticated for|sendernotauthenticated",
        class: Class::Other,
        why: "the recipient takes mail only from its own organization",
        ..ANY
    },
    // Greylisting: only a temporary reply can be that.
    Row {
        words: "greylist|graylist|grey list|grey-list|postgrey|greylst|gray-list",
        class: Class::Greylisted,
        why: "it says so; the retry gets through",
        ..TEMPORARY
    },
    Row {
        words: "too many connections|too many concurrent|too many simultaneous|\
            concurrent connection|too many sessions|connection limit|\
            too many recipients",
        class: Class::Connection,
        why: "this host opened too many connections at once; Postfix comes back",
        ..TEMPORARY
    },
    // Rate.
    Row {
        dsn: &["4.7.28", "5.7.28", "4.7.650", "4.7.651", "4.7.652"],
        class: Class::RateLimit,
        why: "its code says that the rate is unusual",
        ..ANY
    },
    Row {
        dsn: &["4.7.5", "4.7.500", "4.7.501", "4.7.502", "4.7.510", "4.7.550", "4.7.600"],
        words: "server busy|access denied|suspicious",
        class: Class::RateLimit,
        why: "Microsoft slows down an address whose mail looks suspicious",
        ..TEMPORARY
    },
    Row {
        words: "rate limit|rate-limit|ratelimit|rate exceeded|unusual rate|sending rate|\
            message rate|excessive rate|too fast|too many messages|too many mails|\
            too many emails|too much mail|too many e-mails|messages per hour|\
            messages per day|frequency limit|throttl|unexpected volume|\
            excessive volume|mail volume|unusual volume|user complaints|[tss0|[ts0|4.16.5|\
            temporarily deferred due to|slow down",
        class: Class::RateLimit,
        why: "too much mail at once, or too many complaints about it",
        ..ANY
    },
    // Reputation. Before unknown recipients: it may mean this host.
    Row {
        words: "blocked using|spamhaus|spamcop|barracudacentral|barracuda reputation|\
            sorbs.net|dnsbl|dnswl|rbl |rbl.|blacklist|black list|black-list|blocklist|\
            block list|block-list|denylist|is blocked|access from ip|was blocked|has been blocked|\
            host blocked|blocked by|blocked for|blocked because|blocked due|\
            blocked from sending|banned|reputation|[bl2|ip address is listed|\
            traffic not accepted",
        class: Class::Policy,
        why: "the address, a domain or the content is on a list",
        ..ANY
    },
    // The sender.
    Row {
        words: "sender verif|sender domain|sender address rejected|verification failed for|\
            could not verify sender|spf|dkim|dmarc|unauthenticated email|\
            unauthenticated mail|not accepted from this sender|bad outbound sender|\
            invalid dns mx",
        class: Class::Policy,
        why: "the sender is not believed",
        ..PERMANENT
    },
    Row {
        dsn: &["5.1.7", "5.1.8", "5.7.26", "5.7.23", "5.7.27", "5.7.509", "5.7.515"],
        class: Class::Policy,
        why: "the sender is not believed, says its code",
        ..PERMANENT
    },
    Row {
        by: &[By::Sender],
        words: "user unknown|unknown user|no such user|does not exist|unrouteable|\
            unroutable|domain not found",
        class: Class::Policy,
        why: "the sender does not exist",
        ..PERMANENT
    },
    Row {
        dsn: &["4.1.7", "4.1.8"],
        class: Class::Resolver,
        why: "the sender's domain could not be looked up there just now",
        ..TEMPORARY
    },
    Row {
        dsn: &["4.7.26", "4.7.27", "4.7.32"],
        class: Class::Policy,
        why: "the sender is not believed for the time being",
        ..TEMPORARY
    },
    // Spam: where the code does not say that it is about the recipient.
    Row {
        words: "content denied|content rejected|content refused|virus|malware|phish|\
            infected|trojan|spam message|spam content|spam detected|detected as spam|\
            classified as spam|considered spam|considered as spam|looks like spam|\
            identified as spam|likely spam|suspected spam|rejected as spam|\
            marked as spam|probability of spam|because of spam|is spam|unsolicited|\
            suspicious|junk mail|dt:spm",
        class: Class::Spam,
        why: "it is spam or a virus, says the other host",
        ..ANY
    },
    // Nobody there.
    Row {
        dsn: &["5.4.1"],
        words: "recipient address rejected",
        class: Class::UnknownRecipient,
        why: "Microsoft answers so where its directory has no such recipient",
        ..OF_MAIL
    },
    Row {
        words: "or access denied",
        class: Class::RateLimit,
        why: "QQ answers so where the recipient gets much mail at once, among other reasons",
        ..OF_MAIL
    },
    Row {
        dsn: &["5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"],
        class: Class::UnknownRecipient,
        why: "the recipient does not exist or is disabled, says its code",
        ..OF_MAIL
    },
    Row {
        words: "user unknown|unknown user|unknown recipient|recipient unknown|\
            unknown mailbox|unknown address|address unknown|unknown local|\
            no such user|no such recipient|no such mailbox|no such address|\
            no such account|no such person|no such local|no mailbox|no account|\
            does not exist|doesn't exist|not exist|doesn't have a|does not have a|\
            invalid recipient|invalid mailbox|invalid address|invalid user|\
            user invalid|not a valid|user not found|user is not found|\
            mailbox not found|recipient not found|address not found|account not found|\
            mailbox unavailable|mailbox is unavailable|mailbox not available|\
            mailbox disabled|mailbox is disabled|mailbox is inactive|account disabled|\
            account is disabled|account has been disabled|\
            account that you tried to reach is disabled|account inactive|\
            account is inactive|account suspended|user is terminated|user suspended|\
            no longer exist|no longer active|no longer valid|no longer here|\
            no longer accepts mail|unrouteable address|unroutable address|\
            undeliverable address|recipient rejected|not our customer",
        class: Class::UnknownRecipient,
        why: "the recipient does not exist or is disabled",
        ..OF_MAIL
    },
    // Policy, by its words or its code.
    Row {
        words: "spam|policy|policies|administrative prohibition|\
            administratively prohibited|not accepted|access denied|not authorized|\
            prohibited",
        class: Class::Policy,
        why: "the other host does not want this mail",
        ..PERMANENT
    },
    Row {
        dsn: &["5.7."],
        class: Class::Policy,
        why: "security or policy, says its code",
        ..PERMANENT
    },
    // Nothing against anybody.
    Row {
        dsn: &["4.4.", "5.4."],
        class: Class::Connection,
        why: "network and routing, says its code",
        ..ANY
    },
    Row {
        dsn: &["4.7."],
        class: Class::Greylisted,
        why: "try again later, without a reason: that is how greylisting often looks",
        ..TEMPORARY
    },
    Row { class: Class::Connection, why: "the other host has trouble of its own", ..TEMPORARY },
    Row {
        by: &[By::Greeting],
        class: Class::Connection,
        why: "the other host takes no mail at all just now",
        ..PERMANENT
    },
    Row {
        class: Class::Other,
        why: "no known text or code: too little to stop a client for",
        ..PERMANENT
    },
];

#[cfg(test)]
mod tests;
