//! Behind Sendmail's own MTA, which speaks the same protocol: see docs/sendmail.md.

use super::harness::config::Config;
use super::harness::sendmail::Sendmail;
use super::harness::site::{INBOUND, OURS, REMOTE, Site, take_over};
use super::harness::smtp::{SmtpClient, case_in};
use super::harness::{SOON, free_port};
use serde_json::Value;

/// A site that Sendmail asks instead of Postfix.
fn site(change: impl FnOnce(&mut Config)) -> (Site, Sendmail) {
    let port = free_port();
    let site = Site::with(|config, _| {
        config.listen.push(format!("inet:127.0.0.1:{port}"));
        change(config);
    });
    let sendmail = Sendmail::start(site.dir(), port, &site.sink);
    (site, sendmail)
}

#[test]
fn a_takeover_is_stopped_and_lifted_behind_sendmail() {
    let (site, sendmail) = site(|_| {});
    let send = |client: &str, from: &str, to: &str| {
        SmtpClient::open(client, sendmail.port()).send(from, to)
    };
    let client = "127.0.0.9";
    send(client, OURS, REMOTE).assert_accepted();
    let caught = take_over(|from| send(client, from, REMOTE));
    assert!(caught.passed < 6, "{caught:?}");
    assert_eq!(caught.outcome.reply.code, 451, "{caught:?}");
    let case = case_in(&caught.outcome.reply.text).expect("a case in the reply");
    assert_eq!(send(client, OURS, REMOTE).reply.code, 451);
    send(client, OURS, INBOUND).assert_accepted();
    send("127.0.0.10", OURS, REMOTE).assert_accepted();
    assert!(site.daemon.listed("client:127.0.0.9").is_some());
    // The samples can be found in its log.
    let shown = site.daemon.json(&["show", &case]);
    let samples = shown.pointer("/case/material/samples").and_then(Value::as_array);
    let samples = samples.unwrap_or_else(|| panic!("no samples in {shown:#}"));
    let ids: Vec<_> = samples.iter().filter_map(|sample| sample["queue_id"].as_str()).collect();
    assert_eq!(ids.len(), samples.len(), "{shown:#}");
    assert!(ids.iter().all(|id| id.len() == 14), "as Sendmail writes them: {ids:?}");
    let unblock = ["unblock", &case, "--reason", "cleaned", "--force"];
    site.daemon.cli(&unblock).done();
    send(client, OURS, REMOTE).assert_accepted();
    site.sink.wait_for(caught.passed + 4, SOON);
}

#[test]
fn sendmail_rejects_and_holds_as_it_is_told_and_goes_on_without() {
    let (mut site, sendmail) = site(|config| {
        config.connector("erp", "clients = [\"127.0.0.12\"]\naction = \"reject\"");
        config.connector("printer", "clients = [\"127.0.0.13\"]\naction = \"hold\"");
    });
    let send = |client: &str| SmtpClient::open(client, sendmail.port()).send(OURS, REMOTE);
    site.block("connector:erp");
    site.block("connector:printer");
    let refused = send("127.0.0.12");
    assert_eq!(refused.reply.code, 550, "{refused:?}");
    assert!(refused.reply.text.contains("Relaying is suspended"), "{refused:?}");
    send("127.0.0.13").assert_accepted();
    assert_eq!(sendmail.quarantined(), 1);
    assert_eq!(site.sink.count(), 0);
    // Without F= its mail passes while nobody answers.
    site.daemon.kill9();
    send("127.0.0.12").assert_accepted();
    site.sink.wait_for(1, SOON);
    site.daemon.start_again();
    assert_eq!(send("127.0.0.12").reply.code, 550);
}
