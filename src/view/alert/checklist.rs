//! What to do: a list made for this case, with the commands to paste.

use super::{
    Facts,
    facts::shown,
    page::{Page, other},
    parts::{is_queue_id, listed, network},
};
use crate::{
    case::AlertKind,
    connector::{CertificateDigest, CertificateName, ConnectorKey, Entity},
    record::{SignalName, Unit},
    text::{is_harmless, shell_word},
};

/// The list, and how to write on it.
struct List<'p> {
    page: &'p mut Page,
    steps: usize,
}

impl List<'_> {
    fn step(&mut self, text: &str) {
        self.steps += 1;
        self.page.step(self.steps, text);
    }

    fn command(&mut self, command: &str, does: &str) {
        self.page.command(command, does);
    }
}

/// What to do about a suspicion or restriction.
pub(super) fn checklist(page: &mut Page, facts: &Facts<'_>) {
    let Some(entity) = facts.entity() else { return };
    page.heading("What to do");
    let mut list = List { page, steps: 0 };
    queue(&mut list, facts);
    look(&mut list, facts);
    who(&mut list, facts, entity);
    innocent(&mut list, facts);
    over(&mut list, facts);
}

/// What is in the queue.
fn queue(list: &mut List<'_>, facts: &Facts<'_>) {
    list.step("Stop what it already has in the queue of Postfix.");
    list.command("postqueue -p", "all that is in the queue");
    if let Some(entity) = facts.typed() {
        list.command(&format!("connguard hold {entity}"), "stop its messages there");
        list.command(&format!("connguard release {entity}"), "let them go, later");
    }
}

/// What it sent.
fn look(list: &mut List<'_>, facts: &Facts<'_>) {
    let ids = |passed: bool| {
        let samples = facts.samples().into_iter().filter(move |sample| sample.passed == passed);
        samples.filter_map(|sample| sample.queue_id.as_deref()).find(|id| is_queue_id(id))
    };
    if let Some(id) = ids(true) {
        list.step("Look at what it sent.");
        list.command(&format!("postcat -q {id}"), "the message, while it is there");
        list.command(
            &format!("grep {id} /var/log/mail.log"),
            "what became of it; without that file:",
        );
        list.command(&format!("journalctl -g {id}"), "");
        list.command(&format!("postsuper -h {id}"), "stop this one message");
    } else if let Some(id) = ids(false) {
        list.step("Look at what it tried to send.");
        list.command(&format!("grep {id} /var/log/mail.log"), "in the log; without that file:");
        list.command(&format!("journalctl -g {id}"), "");
    }
    if let Some(case) = facts.case_id() {
        list.command(&format!("connguard show {case}"), "the whole case");
    }
    if let Some(entity) = facts.typed_itself() {
        list.command(&format!("connguard explain {entity}"), "how it is judged now");
    }
}

/// Who or what sends it.
fn who(list: &mut List<'_>, facts: &Facts<'_>, entity: &Entity) {
    match entity {
        Entity::Connector(key) => connector(list, facts, key),
        Entity::Sender { address, via } => {
            list.step(&format!(
                "Find out whose account or program sends as {} behind {}: ask them, change the password of that account, and look for a web form or a virus. The other senders there are not affected.",
                other(address),
                shown(&via.clone().into())
            ));
            if let ConnectorKey::Login(login) = via {
                by_login(list, facts, login);
            }
        }
        Entity::Organization(name) => {
            let (named, _) = facts.connectors_of(name);
            list.step(&format!(
                "Several of its connectors send what they never sent: look for what they have in common, as one administrator's password, one web hosting panel, one network. Its connectors in the configuration: {}.",
                if named.is_empty() { "none".to_owned() } else { listed(named.iter().map(String::as_str), 8) }
            ));
            list.command("connguard list --all", "which of them are bad");
            list.step("If one of the unregistered domains is yours: add it to registered_domains of this organization, then reload.");
            list.command("connguard reload", "");
        }
    }
}

fn connector(list: &mut List<'_>, facts: &Facts<'_>, key: &ConnectorKey) {
    match key {
        ConnectorKey::Login(login) => by_login(list, facts, login),
        ConnectorKey::Certificate(name) => by_certificate(list, name),
        ConnectorKey::Client(host) => by_address(list, &network(host), facts),
        ConnectorKey::Local => by_program(list),
        ConnectorKey::Named(_) => {
            let Some(named) = facts.named() else { return };
            if let Some(login) = named.logins.first().filter(|_| named.logins.len() == 1) {
                by_login(list, facts, login);
            } else if !named.logins.is_empty() {
                list.step("Which of its logins was it? The address of the client tells. Change the password of that account and end its sessions (Dovecot: doveadm kick LOGIN).");
            }
            if let Some(certificate) = &named.certificate {
                by_certificate(list, certificate);
            }
            if let Some(digest) = named.digests.first() {
                by_fingerprint(list, digest);
            }
            if let Some(first) = named.clients.first() {
                let hosts = match named.clients.len() {
                    1 => network(first),
                    more => format!("{} (or of {} more networks)", network(first), more - 1),
                };
                by_address(list, &hosts, facts);
            }
        }
        ConnectorKey::Overflow => {
            list.step("These are clients that found no room in memory, and can't be restricted: raise state.max_connectors, and look who they are.");
        }
    }
}

fn by_login(list: &mut List<'_>, facts: &Facts<'_>, login: &str) {
    list.step(&format!(
        "Was it the owner of the account {}? Ask by phone, not by mail. If not: change its password now, and end its open sessions (SMTP, IMAP, webmail).",
        other(login)
    ));
    if login.chars().all(is_harmless) {
        let (account, logged) = (shell_word(login), format!("sasl_username={login}"));
        list.command(&format!("doveadm kick {account}"), "end its sessions, with Dovecot");
        let logged = shell_word(&logged);
        list.command(&format!("grep -F {logged} /var/log/mail.log"), "from where it came");
    }
    clients(list, facts, "Are they where its owner is?");
}

/// The addresses that it came from.
fn clients(list: &mut List<'_>, facts: &Facts<'_>, ask: &str) {
    let counts = facts.material.clients.counts.iter().take(6);
    let clients: Vec<String> = counts.map(|count| other(&count.name)).collect();
    if !clients.is_empty() {
        list.step(&format!(
            "Look at these client addresses, from which it came: {}. {ask}",
            listed(clients.iter().map(String::as_str), 6)
        ));
    }
}

fn by_certificate(list: &mut List<'_>, name: &CertificateName) {
    list.step(&format!(
        "Whoever holds the key of the client certificate with CN {}, issued by {}, can send: revoke it there, give the host a new key, and take the old one out of relay_clientcerts of Postfix if it is listed.",
        other(name.subject()),
        other(name.issuer())
    ));
    list.command("postconf relay_clientcerts smtpd_tls_CAfile", "who is trusted by certificate");
}

fn by_fingerprint(list: &mut List<'_>, digest: &CertificateDigest) {
    list.step(&format!(
        "Whoever holds the key of the client certificate with the fingerprint {digest} can send: give the host a new key and certificate, and take the old fingerprint out of relay_clientcerts of Postfix and out of the configuration.",
    ));
    list.command("postconf relay_clientcerts", "who may relay by fingerprint");
}

fn by_address(list: &mut List<'_>, network: &str, facts: &Facts<'_>) {
    list.step(&format!(
        "On the host {network}: which process sends? Look for an open relay, a web form, a script with a stolen password, a virus. On that host:"
    ));
    list.command("ss -tnp '( dport = :25 or dport = :587 )'", "processes that send mail");
    list.command("mailq", "what waits there");
    list.step("Should it be allowed to relay at all? Compare what Postfix allows with relay_networks and [[connector]] in the configuration of connguard.");
    list.command("postconf mynetworks smtpd_relay_restrictions", "who may relay");
    if facts.material.clients.counts.len() > 1 {
        clients(list, facts, "Are all of them yours?");
    }
}

fn by_program(list: &mut List<'_>) {
    list.step("Find the program on this host: the log tells the user under which it runs; then look at its processes, its crontab and, if it is a web server's user, at forms and uploaded scripts.");
    list.command("grep -E 'postfix/pickup.* uid=' /var/log/mail.log", "which users submit mail");
    list.command("ps -fu USER", "what runs as that user");
    list.command("mailq", "what waits in the queue");
}

/// What may be behind it and is no attack.
fn innocent(list: &mut List<'_>, facts: &Facts<'_>) {
    let has = |signals: &[SignalName]| {
        facts.findings.iter().any(|finding| signals.contains(&finding.signal))
    };
    let is_organization = matches!(facts.entity(), Some(Entity::Organization(_)));
    if has(&[SignalName::UnregisteredSender, SignalName::ForeignFrom]) && !is_organization {
        list.step("If these sender domains are yours: add them to registered_domains, then connguard reload.");
        list.step(if facts.key() == Some(&ConnectorKey::Local) {
            "If it runs mailing lists or sends as the visitors of a web form: let it send by SMTP with a login of its own, which can be given profile = \"forwarder\". Until then:"
        } else {
            "If it forwards mail, runs mailing lists or sends as the visitors of a web form, foreign senders are its trade: say so in the configuration, then connguard reload:"
        });
        stanza(list, facts, "profile = \"forwarder\"");
    }
    if has(&[SignalName::UnknownCrowds, SignalName::Volume]) && !is_organization {
        let usual = facts
            .findings
            .iter()
            .find(|finding| {
                finding.signal == SignalName::Volume && finding.unit != Some(Unit::NewRecipients)
            })
            .map_or_else(
                || "profile = \"bulk\"".to_owned(),
                |finding| {
                    let what = if finding.unit == Some(Unit::Recipients) {
                        "recipients"
                    } else {
                        "messages"
                    };
                    format!(
                        "profile = \"bulk\"\n     usual = {{ {what}_per_hour = {} }}",
                        finding.bad
                    )
                },
            );
        list.step(if facts.key() == Some(&ConnectorKey::Local) {
            "If that is a newsletter or a run of invoices:"
        } else {
            "If it sends newsletters or invoices: say so in the configuration, then connguard reload; for one planned mailing use connguard trust instead:"
        });
        stanza(list, facts, &usual);
    }
    if has(&[SignalName::NewNetworks, SignalName::ShiftedNetworks]) {
        list.step("If its owner travels, or a program of theirs moved to another host: have them confirm it before you let it go on.");
    }
    if has(&[SignalName::MostRefused, SignalName::ManyRefused, SignalName::UnknownRecipients]) {
        list.step("If its list of recipients is old: have the list cleaned.");
    }
    if has(&[SignalName::SpamVerdict]) {
        list.step("See what the spam filter found: its headers in the message above.");
    }
}

/// The lines of configuration that say what it is, to be pasted.
fn stanza(list: &mut List<'_>, facts: &Facts<'_>, says: &str) {
    if facts.key() == Some(&ConnectorKey::Local) {
        // It has no key by which a [[connector]] could name it.
        if facts.held.as_ref().is_some_and(|held| !held.restriction.mark) {
            list.command(
                "connguard unblock local --reason 'a mailing'",
                "who is restricted can't be trusted",
            );
        }
        list.command("connguard trust local --for 24h --reason 'a mailing'", "exempt it for a day");
        return;
    }
    let toml = |text: &str| {
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\') || c == ' ';
        (text.len() <= 60 && text.chars().all(plain)).then(|| format!("\"{text}\""))
    };
    let lines = match (facts.named(), facts.key()) {
        (Some(named), _) => {
            let name = toml(&named.name).unwrap_or_else(|| "...".to_owned());
            Some(format!("# in the [[connector]] with name = {name}"))
        }
        (None, Some(ConnectorKey::Login(login))) => toml(login).map(|login| {
            format!("[[connector]]\n     name = \"NAME\"\n     logins = [{login}]")
        }),
        (None, Some(ConnectorKey::Certificate(name))) => {
            toml(name.subject()).zip(toml(name.issuer())).map(|(subject, issuer)| {
                format!("[[connector]]\n     name = \"NAME\"\n     certificate = {{ subject = {subject}, issuer = {issuer} }}")
            })
        }
        (None, Some(ConnectorKey::Client(host))) => Some(format!(
            "[[connector]]\n     name = \"NAME\"\n     clients = [\"{}\"]",
            network(host)
        )),
        _ => None,
    };
    let lines = lines.unwrap_or_else(|| "# in a [[connector]] of its own".to_owned());
    for line in format!("     {lines}\n     {says}").lines() {
        list.page.row(line);
    }
}

/// How to restrict it by hand: not before something is refused at all.
fn stop(list: &mut List<'_>, facts: &Facts<'_>, when: &str, reason: &str) {
    if facts.observe {
        list.step(&format!("{when} in observe mode connguard can't stop it. Close the account, take its network out of mynetworks of Postfix, or set mode = \"enforce\" in the configuration (for all, or in its [[connector]]) and then:"));
        list.command("connguard reload", "");
    } else {
        list.step(when);
    }
    if let Some(entity) = facts.typed_itself() {
        list.command(&format!("connguard block {entity} --reason '{reason}'"), "restrict it");
    }
}

/// How to end it.
fn over(list: &mut List<'_>, facts: &Facts<'_>) {
    let Some(entity) = facts.typed() else { return };
    if facts.due.kind == AlertKind::Suspicious {
        wanted(list, facts);
        stop(list, facts, "If it is an attack, do not wait:", "what it was");
        return;
    }
    if facts.observe {
        stop(list, facts, "If it is an attack:", "what it was");
    }
    let restricted = facts.held.as_ref().is_some_and(|held| !held.restriction.mark);
    list.step(if restricted {
        "Once the cause is gone, let it relay again:"
    } else {
        "Once the cause is gone, take the mark away:"
    });
    unblock(list, &entity);
}

/// How to end a suspicion.
fn wanted(list: &mut List<'_>, facts: &Facts<'_>) {
    let Some(entity) = facts.typed_itself() else { return };
    match facts.entity() {
        Some(Entity::Connector(_)) => {
            list.step("If what it sends is wanted, or once the cause is gone:");
            let command = format!("connguard normal {entity} --reason 'what it was'");
            list.command(&command, "end the suspicion");
        }
        // What is usual is learned of connectors only.
        Some(Entity::Sender { .. }) => {
            list.step("If what it sends is wanted, exempt it for as long as it takes; otherwise the suspicion fades by itself once the cause is gone.");
            let command = format!("connguard trust {entity} --for 24h --reason 'what it was'");
            list.command(&command, "exempt it for a day");
        }
        _ => {}
    }
}

fn unblock(list: &mut List<'_>, entity: &str) {
    list.command(&format!("connguard unblock {entity} --reason 'what was done'"), "");
    list.step("If nothing was wrong at all, say so: it takes more to restrict it again then.");
    list.command(
        &format!("connguard unblock {entity} --false-positive --reason 'what it was'"),
        "",
    );
}

/// The exact command that lifts its restriction.
pub(super) fn unblock_command(facts: &Facts<'_>) -> Option<String> {
    let restricted = facts.held.is_some();
    let entity = facts.typed().filter(|_| restricted)?;
    Some(format!("connguard unblock {entity} --reason 'what was done'"))
}

/// What to do about something that is told of and no attack.
pub(super) fn about_a_change(page: &mut Page, facts: &Facts<'_>) {
    let Some(entity) = facts.typed() else { return };
    page.heading("What to do");
    let mut list = List { page, steps: 0 };
    match facts.due.kind {
        AlertKind::NewConnector => {
            list.step("If it is yours: nothing has to be done. With a name its alerts are easier to read, and its limits can be set; say so in the configuration, then connguard reload:");
            stanza(
                &mut list,
                facts,
                "# profile = \"login\", \"relay\", \"bulk\" (newsletters) or \"forwarder\"",
            );
            stop(
                &mut list,
                facts,
                "If nobody knows it: stop it, and take away what lets it relay (its account, its certificate, or its network in mynetworks of Postfix).",
                "unknown client",
            );
            if let Some(entity) = facts.typed_itself() {
                list.command(&format!("connguard explain {entity}"), "how it is judged now");
            }
            list.step("If you do not want to be told of new connectors: new_connector_alert = false in [judgement].");
        }
        AlertKind::ConnectorChanged => {
            list.step("Ask whoever runs it whether that is meant: a moved or renewed host looks like this, and so does a stolen key or password.");
            list.command(&format!("connguard show {entity}"), "all that is known of it");
            list.step("If nobody knows of it: stop it.");
            if let Some(entity) = facts.typed_itself() {
                let why = "--reason 'changed, and nobody knows why'";
                list.command(&format!("connguard block {entity} {why}"), "");
            }
        }
        AlertKind::ConnectorSilent => {
            list.step("Ask whoever runs it: is the host up, does its queue move, do its password and certificate still work? Mail may be waiting there.");
            list.command(&format!("connguard show {entity}"), "all that is known of it");
            if facts.named().is_some() {
                list.step("If it is out of service: take it out of the configuration, so that nobody else can use its rights.");
            } else {
                list.step("If it is out of service: take away what lets it relay, so that nobody else can use it.");
            }
        }
        _ => {}
    }
}
