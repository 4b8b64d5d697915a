//! connguard.toml(5), from the table of keys.

use super::roff::Page;
use crate::config::keys::{Absent, Key, SECTIONS, Taken};

/// The source of the page.
pub(super) fn page(date: &str) -> String {
    let mut page = Page::new("connguard.toml", 5, date, "configuration of connguard");
    page.heading("Synopsis");
    page.first("`/etc/connguard/connguard.toml`");
    page.heading("Description");
    page.first(
        "The file is TOML. All keys may be absent: an empty file observes with all defaults, and \
         refuses nothing. What is not known is a fault, never ignored. `connguard check` prints \
         every fault with file, line, column and key, or what it understood. A change takes effect \
         at `connguard reload`, as a whole or not at all, except where a key says that it needs a \
         restart; reload names those.",
    );
    page.paragraph(
        "Durations are a whole number with s, m, h or d, as in \"90s\", \"10m\", \"6h\", \"2d\". \
         Networks are addresses with or without a prefix, as in \"192.0.2.0/24\". Domains are \
         written in either spelling (\"xn\\-\\-\" or not). Paths are absolute."
            .replace("\\-", "-")
            .as_str(),
    );
    page.paragraph(
        "Two things decide how good the judgement is: `milter.inbound_domains` and \
         `milter.relay_networks` must be what Postfix has, and `organization.registered_domains` \
         should list every domain that connectors send from. contrib/postfix/enable and \
         `connguard suggest` write them.",
    );
    for section in SECTIONS {
        page.heading(&match section.name {
            "" => "Top of the file".to_owned(),
            name => format!("Section {name}"),
        });
        let heading = section.heading();
        page.first(&match section.name {
            "" => section.text.to_owned(),
            _ => format!("`{heading}`: {}", first_small(section.text)),
        });
        for key in section.keys {
            row(&mut page, key);
        }
    }
    page.heading("Files");
    page.term("/etc/connguard/connguard.toml", "Read where `--config` names no other.");
    page.heading("Examples");
    page.first("A site that observes first:");
    page.example(EXAMPLE);
    page.heading("See also");
    page.first("`connguard`(1), `connguard-milter`(8)");
    page.finish()
}

/// A site as most are.
const EXAMPLE: &str = r#"mode = "observe"

[milter]
inbound_domains = ["example.org"]
relay_networks = ["127.0.0.0/8", "::1/128", "192.0.2.0/24"]

[[organization]]
name = "default"
registered_domains = ["example.org", ".example.net"]

[[connector]]
name = "erp"
clients = ["192.0.2.10"]
registered_domains = ["shop.example"]
profile = "bulk"
usual = { messages_per_hour = 800, recipients_per_hour = 2000 }

[alert]
to = ["postmaster@example.org"]"#;

fn row(page: &mut Page, key: &Key) {
    page.term(&format!("`{}` = {}", key.name, key.takes), key.text);
    let absent = match key.default {
        Absent::Value(value) => format!("Default: `{value}`."),
        Absent::Words(words) => format!("Where absent: {words}."),
        Absent::Required => "The section needs it.".to_owned(),
    };
    let taken = match key.taken {
        Taken::Reload => "",
        Taken::Restart => " A change needs a restart of the daemon.",
    };
    page.more(&format!("{absent} Example: `{} = {}`.{taken}", key.name, key.example));
}

/// A sentence as it goes on behind a colon.
fn first_small(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_is_accepted() {
        let parsed = crate::config::keys::config_of(super::EXAMPLE);
        assert!(
            parsed.is_ok(),
            "{}",
            parsed.map_or_else(|faults| faults.to_string(), |_| "".into())
        );
    }
}
