//! The values that a configuration is made of, each from the text that was
//! written to what it means, or to a sentence about what is wrong with it.

use super::{
    fault::Lines,
    files::{self, FileError},
    reader::{Item, Reader, Spot, Text},
};
use crate::{connector::fold_address, domain::DomainSet, timestamp::parse_span};
use ipnet::IpNet;
use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use toml::de::DeValue;

/// Octets of the longest path that a unix socket can have (unix(7)).
pub(super) const MAX_SOCKET_PATH: usize = 107;

/// Lines of one list of domains that are complained about one by one.
const MAX_BAD_LINES: usize = 10;

/// An address or network; IPv4 in IPv6 is IPv4.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let malformed = || {
        let brackets = if text.contains('[') { ", without brackets" } else { "" };
        format!(
            "{text:?} is no address or network; \
             expected 192.0.2.10, 192.0.2.0/24, 2001:db8::7 or 2001:db8::/48{brackets}"
        )
    };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let written: IpAddr = address.parse().map_err(|_| malformed())?;
    let folded = fold_address(written);
    let Some(length) = length else {
        return Ok(IpNet::from(folded));
    };
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let length: u8 = length.parse().map_err(|_| malformed())?;
    let (address, length) = match (written, length.checked_sub(96)) {
        (IpAddr::V6(_), Some(short)) if folded.is_ipv4() => (folded, short),
        _ => (written, length),
    };
    let network = IpNet::new(address, length).map_err(|_| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        format!("{text:?} has a prefix that is too long; expected at most /{most}")
    })?;
    if network.network() == address {
        Ok(network)
    } else {
        Err(format!(
            "{text:?} has bits set behind its prefix; \
             expected {} for the network, or {address} for the one address",
            network.trunc()
        ))
    }
}

/// A list of networks, each once; a malformed one is a fault.
pub(super) fn networks<'r, 't>(texts: Vec<Text<'r, 't>>) -> Vec<(IpNet, Spot<'r, 't>)> {
    let mut seen = HashSet::new();
    let mut networks = Vec::new();
    for text in texts {
        if let Some(network) = text.parse(network) {
            if seen.insert(network) {
                networks.push((network, text.spot));
            } else {
                text.spot.warn(format!("{network} is listed twice"));
            }
        }
    }
    networks
}

/// Warns of networks so wide that they can't be meant.
pub(super) fn warn_of_wide(networks: &[(IpNet, Spot<'_, '_>)], consequence: &str) {
    for (network, spot) in networks {
        let narrowest_wide = match network {
            IpNet::V4(_) => 7,
            // fc00::/7 are the private networks of IPv6.
            IpNet::V6(_) => 6,
        };
        if network.prefix_len() <= narrowest_wide {
            spot.warn(format!("{network} is a large part of the Internet: {consequence}"));
        }
    }
}

/// An address with a port.
pub(super) fn service(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        format!("{text:?} is no address with a port; expected 127.0.0.1:10025 or [::1]:10025")
    })?;
    Ok(SocketAddr::new(fold_address(address.ip()), address.port()))
}

/// An absolute path.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.contains('\0') {
        Err(format!("{text:?} has a NUL, which no path can have"))
    } else if text.starts_with('/') {
        Ok(text.into())
    } else {
        Err(format!("{text:?} is not an absolute path; expected one that begins with /"))
    }
}

/// The absolute path of a socket.
pub(super) fn socket(text: &str) -> Result<PathBuf, String> {
    let path = path(text)?;
    if text.len() > MAX_SOCKET_PATH {
        return Err(format!(
            "has {} octets, which is too long for a socket; expected at most {MAX_SOCKET_PATH}",
            text.len()
        ));
    }
    Ok(path)
}

/// A span that may be `never`.
pub(super) fn span_or_never(text: &str) -> Result<Option<Duration>, String> {
    if text == "never" {
        return Ok(None);
    }
    let span = parse_span(text).map_err(|error| format!("{error}; or never"))?;
    Ok(Some(span))
}

/// A text that names something: not empty, no control characters.
pub(super) fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("is empty; expected a name".into())
    } else if text.trim().len() != text.len() || text.chars().any(char::is_control) {
        Err(format!(
            "{text:?} has blanks at its ends or control characters; expected a name without"
        ))
    } else {
        Ok(text.into())
    }
}

/// A number of octets: an integer, or text with a decimal unit.
pub(super) fn size(item: Item<'_, '_>) -> Option<u64> {
    if matches!(item.value, DeValue::Integer(_)) {
        return item.number(1..=1_000_000_000_000_000);
    }
    if !matches!(item.value, DeValue::String(_)) {
        return item.mismatch("a size, as \"200MB\", or an integer of octets");
    }
    item.text("a size")?.parse(|text| {
        let error = || {
            format!(
                "{text:?} is no size; expected a whole number above 0 and kB, MB or GB, as \"200MB\""
            )
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(error)?;
        let unit: u64 = match unit {
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(error()),
        };
        let number: u64 = number.parse().map_err(|_| error())?;
        let size = number.checked_mul(unit).ok_or_else(error)?;
        if size == 0 { Err(error()) } else { Ok(size) }
    })
}

/// Domains, inline.
pub(super) fn domains(texts: Vec<Text<'_, '_>>, files_allowed: bool) -> DomainSet {
    let mut set = DomainSet::default();
    for text in texts {
        if files_allowed && text.text.contains('/') {
            domains_of_file(&text, &mut set);
        } else if !text.text.starts_with('/') {
            text.parse(|name| set.insert(name));
        } else {
            text.spot.fault(format!(
                "{:?} is a path; expected a domain here, and a file of domains in \
                 registered_domains_file",
                text.text
            ));
        }
    }
    set
}

/// Domains of a file, one a line, with `#` comments.
pub(super) fn domains_of_file(text: &Text<'_, '_>, set: &mut DomainSet) {
    let Some(path) = text.parse(path) else {
        return;
    };
    let reader = text.spot.reader;
    let read = reader.read_file(&path);
    let parsed = read.as_deref().map(files::text_of);
    let error = match parsed {
        Ok(Ok(list)) => return read_list(reader, &path, list, set),
        Ok(Err(error)) => error,
        Err(FileError::Missing) => {
            let path = path.display();
            return text.spot.fault(format!(
                "there is no file {path}; expected a list of domains there, one a line"
            ));
        }
        Err(FileError::Unreadable(why)) => {
            return text.spot.fault(format!("{} {why}", path.display()));
        }
        Err(FileError::NotText(..)) => return,
    };
    if let FileError::NotText(position, why) = error {
        reader.fault_elsewhere(&path, position, why);
    }
}

fn read_list(reader: &Reader<'_>, path: &Path, list: &str, set: &mut DomainSet) {
    let lines = Lines::new(list);
    let (mut offset, mut bad) = (0, 0);
    for line in list.split_inclusive('\n') {
        let entry = line.split('#').next().unwrap_or("");
        let entry = entry.trim_start_matches('\u{feff}').trim();
        if !entry.is_empty()
            && let Err(error) = set.insert(entry)
        {
            bad += 1;
            let indent = line.find(entry).unwrap_or(0);
            if bad <= MAX_BAD_LINES {
                let position = lines.position(offset + indent);
                reader.fault_elsewhere(path, position, error.to_string());
            }
        }
        offset += line.len();
    }
    if bad > MAX_BAD_LINES {
        let more = bad - MAX_BAD_LINES;
        let message = format!("{more} more lines are no domain names; expected one a line");
        reader.fault_elsewhere(path, lines.position(offset), message);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn networks_fold() {
        for (text, expected) in [
            ("192.0.2.10", "192.0.2.10/32"),
            ("192.0.2.10/32", "192.0.2.10/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::ffff:192.0.2.10", "192.0.2.10/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("::1", "::1/128"),
            ("2001:DB8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(network(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn malformed_networks_are_refused() {
        for text in [
            "",
            "/",
            "/24",
            "192.0.2.0/",
            "192.0.2.0/-1",
            "192.0.2.0/999",
            "192.0.2.0/24/24",
            "192.0.2.010",
            "::ffff:192.0.2.0/129",
            "fe80::1%eth0",
            "1",
        ] {
            assert!(network(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn paths_and_names() {
        assert!(path("/a b").is_ok());
        assert!(path("a").is_err() && path("").is_err() && path("/a\0").is_err());
        assert!(socket(&format!("/{}", "a".repeat(106))).is_ok());
        assert!(socket(&format!("/{}", "a".repeat(107))).is_err());
        assert!(name("Example CA").is_ok());
        assert!(name(" a").is_err() && name("a\nb").is_err() && name("").is_err());
    }
}
