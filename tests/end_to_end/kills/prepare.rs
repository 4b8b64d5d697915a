//! The site on which daemons are killed.

use super::super::harness::config::Config;
use super::super::harness::postfix::Settings;
use super::known::{Known, Standing};

/// The connectors of an actor that the judgement is to restrict, each two of an
/// organization of their own, for which it takes three to be restricted as a whole.
pub(super) fn connectors(actor: usize, kills: u32) -> Vec<Known> {
    let connector = |n: usize| Known {
        entity: format!("connector:a{actor}n{n}"),
        address: format!("127.{}.0.{}", 10 + actor, 1 + n),
        sender: format!("clerk@a{actor}o{}.test", n / 2),
        judged: Some(["tempfail", "reject"][n % 2]),
        standing: Standing::default(),
        doubt: None,
    };
    let count = 2 * (6 + usize::try_from(kills / 20).unwrap());
    (0..count.min(200)).map(connector).collect()
}

/// Puts one of them into the configuration; it is the `n`th of all.
pub(super) fn declare(config: &mut Config, n: usize, known: &Known) {
    let name = known.entity.trim_start_matches("connector:");
    let (_, domain) = known.sender.split_once('@').expect("an address");
    let organization = domain.trim_end_matches(".test");
    if n.is_multiple_of(2) {
        config.sections.push_str(&format!(
            "\n[[organization]]\nname = {organization:?}\nregistered_domains = [{domain:?}]\n"
        ));
    }
    let action = known.judged.expect("an action");
    config.connector(
        name,
        &format!(
            "clients = [{:?}]\norganization = {organization:?}\naction = {action:?}",
            known.address
        ),
    );
}

/// A second smtpd, at which mail is tempfailed while nobody answers: there a client
/// knows whether it was judged.
pub(super) fn strict_service(settings: &mut Settings, port: u16) {
    let socket = settings.dir().join("milter/milter.sock");
    let milter =
        format!("{{ unix:{}, default_action=tempfail, command_timeout=30s }}", socket.display());
    settings.set("strict_milters", &milter);
    settings.service(&format!(
        "127.0.0.1:{port} inet n - n - 60 smtpd -o smtpd_milters=$strict_milters"
    ));
}
