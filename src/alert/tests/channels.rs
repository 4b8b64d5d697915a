//! What channels make of receivers that fail.

use super::{
    servers::{Answer, Server},
    *,
};

fn mail(server: &Server, to: &[&str]) -> Params {
    let mail = Mail {
        to: to.iter().map(|to| (*to).to_owned()).collect(),
        from: "connguard@mx.example.org".into(),
        host: "127.0.0.1".into(),
        port: server.address.port(),
    };
    Params { mail: Some(mail), ..quiet() }
}

fn webhook(server: &Server) -> Params {
    let url = format!("http://{}/connguard?key=T0KEN", server.address);
    let webhook = Webhook { url: url.as_str().into(), secret: Some("sixteen octets !".into()) };
    Params { webhook: Some(webhook), ..quiet() }
}

fn script(folder: &TempDir, text: &str) -> Params {
    let path = folder.path().join("page-me");
    std::fs::write(&path, text).unwrap();
    let argv = vec!["/bin/sh".into(), path.to_str().unwrap().into(), "a b".into()];
    Params { command: Some(Command { argv }), ..quiet() }
}

/// So many were sent, and the outbox knows.
fn sent(count: usize) -> impl Fn(&Herald) -> bool {
    move |herald| {
        let listed = herald.list();
        let sent = listed.iter().flat_map(|alert| &alert.channels);
        sent.filter(|sent| sent.state == "sent").count() == count
    }
}

#[test]
fn a_mail_is_one_of_its_case_and_greets_with_a_pass() {
    let server = Server::smtp();
    let mut site = Site::new(mail(&server, &["postmaster@example.org", "noc@example.net"]));
    site.block("client:127.0.0.8", None);
    site.until("the mail is sent", sent(1));
    site.pass(MINUTE);
    site.unblock("client:127.0.0.8");
    site.until("the second mail is sent", sent(2));
    let [first, second] = &server.got()[..] else { panic!("{:?}", server.got()) };
    assert!(first.head[0].starts_with("EHLO pass-"), "{:?}", first.head);
    assert!(first.head[0].ends_with(".mx.example.org"), "{:?}", first.head);
    assert_ne!(first.head[0], second.head[0]);
    let pass = first.head[0].trim_start_matches("EHLO ");
    assert!(site.engine.passes().redeem(pass, site.now()), "our milter knows it");
    assert!(first.head[1].starts_with("MAIL FROM:<connguard@mx.example.org>"), "{:?}", first.head);
    assert_eq!(first.head[3], "RCPT TO:<noc@example.net>");
    let told = site.herald.list();
    for (line, mail) in [
        (format!("Message-ID: <{}>", told[1].id), first),
        ("Auto-Submitted: auto-generated".into(), first),
        ("X-Connguard-Case: C-000001".into(), first),
        (format!("In-Reply-To: <{}>", told[1].id), second),
        (format!("References: <{}>", told[1].id), second),
    ] {
        assert!(mail.body.contains(&format!("{line}\r\n")), "{line}: {}", mail.body);
    }
    assert!(!first.body.contains("In-Reply-To"));
    let text = first.body.split_once("\r\n\r\n").unwrap().1;
    assert!(text.contains("connguard unblock client:127.0.0.8 --reason "), "{text}");
    assert!(text.lines().all(|line| line.len() < 100 && !line.ends_with('=')), "{text}");
    assert_eq!(site.states(), ["mail sent", "mail sent"]);
}

#[test]
fn a_mailbox_that_is_refused_does_not_keep_the_alert_from_the_others() {
    for (refused, why) in [("bad@example.org", "no such user"), ("full@example.org", "452")] {
        let server = Server::smtp();
        let mut site = Site::new(mail(&server, &[refused, "noc@example.net"]));
        site.block("client:127.0.0.8", None);
        site.until("the mail fails", |herald| !herald.status().channels[0].healthy);
        assert_eq!(server.got().len(), 1, "{refused}");
        let error = site.herald.status().channels[0].error.clone().unwrap();
        assert!(error.contains(why) || error.contains("550"), "{error}");
        // The next try is for the other one alone.
        site.pass(6 * Duration::from_secs(1));
        site.pass(30 * Duration::from_secs(1));
        assert_eq!(server.got().len(), 1, "nobody gets it twice");
    }
}

#[test]
fn a_webhook_that_fails_gets_everything_in_the_end() {
    let server = Server::http();
    let refuses = [Answer::Status(500), Answer::Status(503), Answer::Status(429)];
    server.plan(&refuses);
    let mut site = Site::new(webhook(&server));
    site.block("client:127.0.0.8", None);
    site.until("it failed", |herald| !herald.status().channels[0].healthy);
    assert_eq!(site.states(), ["webhook waiting"]);
    assert_eq!(site.herald.status().queued, 1);
    let error = site.herald.status().channels[0].error.clone().unwrap();
    assert!(error.contains("answered 50") && !error.contains("T0KEN"), "{error}");
    site.until_in(Duration::from_millis(100), "it is sent", sent(1));
    assert!(site.now() >= START.plus(Duration::from_secs(5 + 10 + 20)), "after three pauses");
    let [got] = &server.got()[..] else { panic!("{:?}", server.got()) };
    let header = got.head.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("x-connguard-signature").then_some(value)
    });
    let signature =
        super::super::webhook::signature(&"sixteen octets !".into(), got.body.as_bytes());
    assert_eq!(header, Some(&*signature));
    let body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!(body["kind"], "restricted");
    assert_eq!(body["entity"], "client:127.0.0.8");
    assert_eq!(body["case"], "C-000001");
    assert!(site.herald.status().channels[0].healthy);
}

#[test]
fn a_receiver_that_hangs_keeps_nobody_waiting() {
    let server = Server::http();
    server.plan(&[Answer::Hang]);
    let smtp = Server::smtp();
    let params = Params { webhook: webhook(&server).webhook, ..mail(&smtp, &["a@example.org"]) };
    let mut site = Site::new(params);
    site.block("client:127.0.0.8", None);
    site.until("the mail is sent", sent(1));
    assert_eq!(site.states(), ["mail sent, webhook waiting"]);
    site.pass(MINUTE);
    site.block("client:127.0.0.9", None);
    site.until("the second mail is sent", |herald| herald.status().channels[0].sent == 2);
    assert_eq!(server.got().len(), 0, "it still hangs");
    site.until_in(Duration::from_millis(10), "both arrive in the end", sent(4));
    assert_eq!(server.got().len(), 2);
}

#[test]
fn nothing_is_lost_while_the_receiver_is_down_and_we_restart() {
    // A port at which nobody listens.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/");
    let hook = Webhook { url: url.as_str().into(), secret: None };
    let mut site = Site::new(Params { webhook: Some(hook), ..quiet() });
    site.block("client:127.0.0.8", None);
    site.until("it fails", |herald| !herald.status().channels[0].healthy);
    site.restart(HOUR / 2);
    site.until("it fails again", |herald| !herald.status().channels[0].healthy);
    let server = Server::http_at(address);
    site.until_in(Duration::from_millis(100), "it is sent", sent(1));
    site.restart(MINUTE);
    site.pass(MINUTE);
    assert_eq!(server.got().len(), 1);
    assert_eq!(site.states(), ["webhook sent"]);
}

#[test]
fn what_never_works_is_given_up() {
    let server = Server::http();
    server.plan(&[Answer::Status(404), Answer::Status(302)]);
    let mut site = Site::new(webhook(&server));
    for (count, client) in ["client:127.0.0.7", "client:127.0.0.8"].into_iter().enumerate() {
        site.block(client, None);
        let failed = |herald: &Herald| {
            let listed = herald.list();
            let sent = listed.iter().flat_map(|alert| &alert.channels);
            sent.filter(|sent| sent.state == "failed").count() == count + 1
        };
        site.until("it is given up", failed);
        // That it fails is in the log alone: there is no other channel.
        site.pass(2 * MINUTE);
    }
    let told = site.herald.list();
    let errors =
        told.iter().flat_map(|alert| &alert.channels).filter_map(|sent| sent.error.clone());
    let errors = errors.collect::<Vec<_>>().join("; ");
    assert!(errors.contains("404") && errors.contains("redirects are not followed"), "{errors}");
    assert_eq!(site.herald.status().failed, 2);
}

#[test]
fn an_outage_of_a_day_ends_in_giving_up() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/");
    let hook = Webhook { url: url.as_str().into(), secret: None };
    let mut site = Site::new(Params { webhook: Some(hook), repeat: None, ..quiet() });
    site.block("client:127.0.0.8", None);
    site.until("it fails", |herald| !herald.status().channels[0].healthy);
    let failed = |herald: &Herald| {
        let listed = herald.list();
        listed.iter().flat_map(|alert| &alert.channels).any(|sent| sent.state == "failed")
    };
    site.until_in(HOUR, "it is given up", failed);
    assert!(site.now() >= START.plus(DAY));
}

#[test]
fn a_channel_that_fails_is_told_through_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let text = format!("cat >> {}\necho >> {}\n", out.display(), out.display());
    let command = script(&folder, &text).command;
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/");
    let hook = Webhook { url: url.as_str().into(), secret: None };
    let mut site = Site::new(Params { command, webhook: Some(hook), repeat: None, ..quiet() });
    site.block("client:127.0.0.8", None);
    site.until("the webhook fails", |herald| !herald.status().channels[0].healthy);
    site.until("the command has run", sent(1));
    site.pass(2 * MINUTE);
    site.until("the command has run again", sent(2));
    assert_eq!(site.told(), [AlertKind::Restricted, AlertKind::Trouble]);
    assert_eq!(site.states(), ["webhook waiting, command sent", "command sent"]);
    let said = std::fs::read_to_string(out).unwrap();
    assert!(said.contains("webhook"), "{said}");
}

#[test]
fn a_command_gets_the_alert_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let text = format!("(cat; env; echo \"1=$1\") > {}\n", out.display());
    let mut site = Site::new(script(&folder, &text));
    site.block("client:127.0.0.8", None);
    site.until("the command has run", sent(1));
    let said = std::fs::read_to_string(out).unwrap();
    let (json, rest) = said.split_once('\n').unwrap();
    let alert: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(alert["entity"], "client:127.0.0.8");
    assert!(rest.contains("PATH=") && rest.contains("1=a b"), "{rest}");
    assert!(!rest.contains("HOME=") && !rest.contains("CARGO"), "{rest}");
}

#[test]
fn a_command_that_fails_is_run_again_and_its_words_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let text = format!(
        "[ -e {0} ] && exit 0\ntouch {0}\necho \"no modem\nat all\" >&2\nexit 7\n",
        mark.display()
    );
    let mut site = Site::new(script(&folder, &text));
    site.block("client:127.0.0.8", None);
    site.until("it fails", |herald| !herald.status().channels[0].healthy);
    let error = site.herald.status().channels[0].error.clone().unwrap();
    assert!(error.contains("exit status: 7: no modem at all"), "{error}");
    site.until_in(Duration::from_millis(100), "it has run", sent(1));
}

#[test]
fn a_test_goes_through_every_channel_at_once() {
    let (http, smtp) = (Server::http(), Server::smtp());
    http.plan(&[Answer::Status(404)]);
    let params = Params { webhook: webhook(&http).webhook, ..mail(&smtp, &["a@example.org"]) };
    let folder = tempfile::tempdir().unwrap();
    let handle = spawn(params, engine(START), folder.path(), Duration::ZERO, || START).unwrap();
    let tested = handle.test().unwrap();
    let [mail, hook] = &tested[..] else { panic!("{tested:?}") };
    assert_eq!((mail.channel, mail.ok), (Channel::Mail, true));
    assert_eq!((hook.channel, hook.ok), (Channel::Webhook, false));
    assert!(hook.error.as_ref().unwrap().contains("404"), "{hook:?}");
    assert_eq!(smtp.got().len(), 1);
    handle.reconfigure(Params::default());
    assert_eq!(handle.test(), Some(Vec::new()), "no channel is left");
    handle.stop();
    assert_eq!(handle.test(), None);
}

#[test]
fn a_channel_that_is_configured_anew_sends_what_waited_for_it() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/");
    let hook = Webhook { url: url.as_str().into(), secret: None };
    let mut site = Site::new(Params { webhook: Some(hook), ..quiet() });
    site.block("client:127.0.0.8", None);
    site.until("it fails", |herald| !herald.status().channels[0].healthy);
    let server = Server::http();
    let now = site.now();
    site.herald.take(Message::Reconfigure(Box::new(webhook(&server))), now);
    site.until("it is sent", sent(1));
    site.herald.take(Message::Reconfigure(Box::new(quiet())), now);
    assert_eq!(site.herald.status().channels, []);
}
