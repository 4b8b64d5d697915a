//! The smtpd services of master.cf: which take mail back from a content filter,
//! and which let others relay.
//!
//! A service that takes mail back would count each message a second time, as the
//! filter's. One that clients reach from outside is never taken for such a
//! service: ignoring it would make connguard blind there.

use super::{
    Commands, PostfixError, is_loopback,
    list::{note, split},
};
use std::collections::BTreeMap;

/// Overrides of services, by `service/type` and parameter.
struct Overrides(BTreeMap<String, BTreeMap<String, String>>);

/// Loopback addresses of services that take mail back, and remarks.
pub(super) fn ways_back(
    commands: &Commands,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, PostfixError> {
    let overrides = Overrides::parse(&commands.postconf(&["-P"])?);
    let proxy = commands.value("smtpd_proxy_filter")?;
    let listed = commands.postconf(&["-F", "*/*/command"])?;
    let services: Vec<&str> = listed.lines().filter_map(smtpd_service).collect();
    let is_proxied =
        |service: &str| !overrides.get(service, "smtpd_proxy_filter").unwrap_or(&proxy).is_empty();
    let proxied = services.iter().any(|service| is_proxied(service));
    let mut found = Vec::new();
    for service in services {
        if let Some(own) = overrides.get(service, "mynetworks") {
            note(
                notes,
                format!(
                    "{service} lets {} relay by its own mynetworks: add what is not there to \
                 relay_networks by hand.",
                    split(own).join(" ")
                ),
            );
        }
        if let Some(address) = way_back(service, &overrides, proxied, notes) {
            found.push(address);
        }
    }
    Ok(found)
}

fn way_back(
    service: &str,
    overrides: &Overrides,
    proxied: bool,
    notes: &mut Vec<String>,
) -> Option<String> {
    // Nobody asks connguard there anyway.
    let options = overrides.get(service, "receive_override_options").unwrap_or("");
    if options.contains("no_milters") || overrides.get(service, "smtpd_milters").is_some() {
        return None;
    }
    let address = loopback_address(service);
    let turns_off = overrides.get(service, "content_filter") == Some("");
    let is_customary = address.as_deref().is_some_and(|address| {
        address
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.len() == 5 && port.starts_with("1002"))
    });
    if !turns_off && !is_customary {
        return None;
    }
    let Some(address) = address else {
        note(
            notes,
            format!(
                "{service} turns the content filter off and listens on more than loopback, so it is \
             not taken for a filter's way back. If it is one, add its address to ignore_daemons \
             by hand."
            ),
        );
        return None;
    };
    if proxied {
        note(
            notes,
            format!(
                "{service} looks like the way back from smtpd_proxy_filter: it is not put into \
             ignore_daemons, because connguard sees whole messages only there."
            ),
        );
        return None;
    }
    Some(address)
}

/// `NAME/TYPE` of a line `NAME/TYPE/command = smtpd ...`.
fn smtpd_service(line: &str) -> Option<&str> {
    let (service, command) = line.split_once("/command = ")?;
    (command.split_whitespace().next() == Some("smtpd")).then_some(service)
}

/// HOST:PORT of an inet service that listens on loopback only.
fn loopback_address(service: &str) -> Option<String> {
    let (name, _) = service.rsplit_once('/')?;
    let (host, port) = name.rsplit_once(':')?;
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port: u16 = port.parse().ok()?;
    is_loopback(bare).then(|| format!("{host}:{port}"))
}

impl Overrides {
    /// From lines `NAME/TYPE/PARAMETER = VALUE`.
    fn parse(text: &str) -> Self {
        let mut overrides: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for line in text.lines() {
            let Some((place, value)) = line.split_once(" =") else { continue };
            let Some((service, parameter)) = place.rsplit_once('/') else { continue };
            let values = overrides.entry(service.to_owned()).or_default();
            values.insert(parameter.to_owned(), value.trim().to_owned());
        }
        Self(overrides)
    }

    fn get(&self, service: &str, parameter: &str) -> Option<&str> {
        self.0.get(service)?.get(parameter).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways_back_of(services: &[&str], overrides: &str, proxied: bool) -> (Vec<String>, usize) {
        let overrides = Overrides::parse(overrides);
        let mut notes = Vec::new();
        let found = services
            .iter()
            .filter_map(|service| way_back(service, &overrides, proxied, &mut notes))
            .collect();
        (found, notes.len())
    }

    #[test]
    fn services_on_loopback_are_ways_back() {
        let services =
            ["smtp/inet", "127.0.0.1:10025/inet", "localhost:2525/inet", "[::1]:10026/inet"];
        let overrides = "localhost:2525/inet/content_filter = \nsmtp/inet/content_filter = x:1\n";
        let expected = ["127.0.0.1:10025", "127.0.0.1:2525", "[::1]:10026"].map(str::to_owned);
        assert_eq!(ways_back_of(&services, overrides, false), (expected.into(), 0));
        assert_eq!(ways_back_of(&services, overrides, true), (vec![], 3));
    }

    #[test]
    fn others_are_not() {
        let overrides = "192.0.2.1:2525/inet/content_filter =\n\
                         127.0.0.1:10025/inet/smtpd_milters =\n\
                         127.0.0.1:10026/inet/receive_override_options = no_milters\n";
        let services = [
            "192.0.2.1:2525/inet",
            "127.0.0.1:10025/inet",
            "127.0.0.1:10026/inet",
            "127.0.0.1:25/inet",
        ];
        assert_eq!(ways_back_of(&services, overrides, false), (vec![], 1));
    }

    #[test]
    fn only_smtpd_is_looked_at() {
        assert_eq!(smtpd_service("smtp/inet/command = smtpd -o a=b"), Some("smtp/inet"));
        assert_eq!(smtpd_service("smtp/unix/command = smtp"), None);
    }
}
