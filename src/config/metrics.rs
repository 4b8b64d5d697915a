//! `[metrics]`: figures for Prometheus.

use super::reader::Table;
use crate::metrics::Params;
use std::net::SocketAddr;

const EXPECTED: &str = "an address and a port, as \"127.0.0.1:9188\" or \"[::1]:9188\"";

/// Reads the section, if it is there: nothing is served without it.
pub(super) fn metrics(top: &mut Table<'_, '_>) -> Option<Params> {
    let is_there = top.says("metrics");
    let mut table = top.section("metrics");
    let says_listen = table.says("listen");
    let listen = table.text("listen", EXPECTED).and_then(|text| {
        let address = text.parse(address)?;
        if !address.ip().is_loopback() {
            text.spot.warn(format!(
                "{address} is not on loopback: who reaches it reads names of connectors and how \
                 they are judged; let only Prometheus reach it"
            ));
        }
        Some(address)
    });
    if is_there && !says_listen {
        table.spot.absent(format!("lacks listen; expected {EXPECTED}"));
    }
    listen.map(|listen| Params { listen })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let parsed: Result<SocketAddr, _> = text.parse();
    let parsed = parsed.ok().filter(|address| address.port() != 0);
    parsed.ok_or_else(|| format!("{text:?} is no place to listen; expected {EXPECTED}"))
}
