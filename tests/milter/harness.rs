//! A milter in a temporary folder, and an MTA that talks to it as Postfix
//! does.

use connguard::{
    connector::{ConnectorKey, Entity},
    directory::{self, Terms},
    domain::DomainSet,
    engine::{Blocked, Directions, Engine, ReplyText, RestrictionTerms, Settings},
    header::{DEFAULT_SPAM_HEADERS, SpamHeaders},
    milter::{Handle, Milter, Params},
    record::Actor,
    socket::{Inherited, Listen},
    tally::{Tally, Totals},
    timestamp::Timestamp,
    verdict::{Action, Mode},
};
use indymilter_test::{EomActions, MacroStage, Status, TestConnection};
use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
/// A condition that is to come true does so within this, or the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn domains(names: &[&str]) -> DomainSet {
    let mut set = DomainSet::default();
    for name in names {
        set.insert(name).unwrap();
    }
    set
}

pub(crate) fn settings() -> Settings {
    let terms =
        Terms { registered: domains(&["example.org"]), mode: Mode::Enforce, ..Terms::default() };
    Settings {
        directions: Directions {
            inbound_domains: domains(&["inbound.example"]),
            local_transports: ["local", "virtual", "error"].map(Into::into).into(),
        },
        restriction: RestrictionTerms {
            reply: ReplyText::new("100% stopped, case {case}").unwrap(),
            ..RestrictionTerms::default()
        },
        ..Settings::with_directory(directory::Params {
            discovered: Arc::new(terms),
            relay_networks: vec!["127.0.0.0/8".parse().unwrap()],
            discover: true,
            ..directory::Params::default()
        })
    }
}

/// A running milter.
pub(crate) struct Daemon {
    folder: TempDir,
    pub(crate) engine: Arc<Engine>,
    pub(crate) handle: Handle,
    pub(crate) params: Params,
    /// The clock panics as long as this is set, and with it every callback
    /// that asks it.
    pub(crate) broken_clock: Arc<AtomicBool>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) running: JoinHandle<std::io::Result<()>>,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {}, PATIENCE)
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Params), deadline: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = Params {
            listen: vec![Listen::Unix(folder.path().join("milter.sock"))],
            max_connections: 100,
            ignore_daemons: Vec::new(),
            login_realm: Some("example.org".into()),
            spam_headers: SpamHeaders::parse(&DEFAULT_SPAM_HEADERS).unwrap(),
        };
        change(&mut params);
        let engine = Arc::new(Engine::new(settings(), 1000, NOW));
        let broken_clock = Arc::new(AtomicBool::new(false));
        let broken = Arc::clone(&broken_clock);
        let clock = move || {
            assert!(!broken.load(Relaxed), "the clock is broken, as this test wants it");
            NOW
        };
        let milter =
            Milter::bind(params.clone(), Arc::clone(&engine), clock, &mut Inherited::none())
                .unwrap();
        let handle = milter.handle();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(milter.run(stopped, deadline));
        Self { folder, engine, handle, params, broken_clock, stop: Some(stop), running }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("milter.sock")
    }

    /// An MTA that has negotiated.
    pub(crate) async fn open(&self) -> Mta {
        let conn = TestConnection::configure()
            .read_timeout(PATIENCE)
            .open_unix(self.socket())
            .await
            .unwrap();
        Mta { conn, messages: 0 }
    }

    /// An MTA with an SMTP client at `address`.
    pub(crate) async fn client(&self, address: &str) -> Mta {
        let mut mta = self.open().await;
        mta.connect(address, ("127.0.0.1", "25")).await;
        mta.helo(None).await;
        mta
    }

    pub(crate) fn block(&self, entity: &str, action: Action) {
        let blocked = Blocked {
            entity: entity.parse().unwrap(),
            action: Some(action),
            span: None,
            reason: "test".into(),
        };
        let by = Actor::Operator("root".into());
        self.engine.block(blocked, by, NOW).unwrap();
    }

    /// Restricts the organization that all clients here belong to.
    pub(crate) fn block_organization(&self) {
        let blocked = Blocked {
            entity: Entity::Organization("".into()),
            action: None,
            span: None,
            reason: "test".into(),
        };
        self.engine.block(blocked, Actor::Operator("root".into()), NOW).unwrap();
    }

    pub(crate) fn unblock(&self, entity: &str) {
        let entity: Entity = entity.parse().unwrap();
        let by = Actor::Operator("root".into());
        self.engine.unblock(&entity, "test", None, by, NOW).unwrap();
    }

    pub(crate) fn tally(&self, connector: &str) -> Option<Arc<Tally>> {
        let key: ConnectorKey = connector.parse().unwrap();
        self.engine.roster().get(&key)
    }

    /// Totals of a connector, all zero where there is none.
    pub(crate) fn totals(&self, connector: &str) -> Totals {
        let tally = self.tally(connector);
        tally.map_or_else(Totals::default, |tally| tally.counters.totals())
    }

    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let in_time = timeout(PATIENCE, waiting).await;
        assert!(in_time.is_ok(), "{what}: {:?}", self.handle.status());
    }
}

/// The MTA's side of one connection. Macros are sent as Postfix does: those
/// that are empty are left out.
pub(crate) struct Mta {
    pub(crate) conn: TestConnection,
    messages: u32,
}

impl Mta {
    pub(crate) async fn connect(&mut self, address: &str, daemon: (&str, &str)) {
        let macros = [
            ("j", "mx.example.org"),
            ("{daemon_addr}", daemon.0),
            ("{daemon_port}", daemon.1),
            ("{client_addr}", address),
        ];
        self.macros(MacroStage::Connect, &macros).await;
        let address: IpAddr = address.parse().unwrap();
        let status = self.conn.connect("client.example", address).await.unwrap();
        assert_eq!(status, Status::Noreply);
    }

    /// HELO, with common names of subject and issuer where TLS gave them.
    pub(crate) async fn helo(&mut self, certificate: Option<(&str, &str)>) {
        self.greet("client", certificate).await;
    }

    /// The same, with this name.
    pub(crate) async fn greet(&mut self, name: &str, certificate: Option<(&str, &str)>) {
        let (subject, issuer) = certificate.unwrap_or_default();
        let macros =
            [("j", "mx.example.org"), ("{cert_subject}", subject), ("{cert_issuer}", issuer)];
        self.macros(MacroStage::Helo, &macros).await;
        assert_eq!(self.conn.helo(name).await.unwrap(), Status::Noreply);
    }

    pub(crate) async fn mail(&mut self, sender: &str, login: &str) {
        let resolved = if sender.is_empty() || sender.contains('@') {
            sender.to_owned()
        } else {
            format!("{sender}@mx.example.org")
        };
        let macros =
            [("j", "mx.example.org"), ("{mail_addr}", resolved.as_str()), ("{auth_authen}", login)];
        self.macros(MacroStage::Mail, &macros).await;
        let argument = format!("<{sender}>");
        let status = self.conn.mail([argument.as_str(), "SIZE=1000"]).await;
        assert_eq!(status.unwrap(), Status::Noreply);
    }

    /// A recipient that Postfix accepts, over the transport smtp.
    pub(crate) async fn rcpt(&mut self, recipient: &str) -> Status {
        let domain = recipient.split_once('@').map_or("", |(_, domain)| domain);
        self.rcpt_with(recipient, ("smtp", domain, recipient)).await
    }

    pub(crate) async fn rcpt_with(
        &mut self,
        recipient: &str,
        macros: (&str, &str, &str),
    ) -> Status {
        let macros = [
            ("j", "mx.example.org"),
            ("{rcpt_mailer}", macros.0),
            ("{rcpt_host}", macros.1),
            ("{rcpt_addr}", macros.2),
        ];
        self.macros(MacroStage::Rcpt, &macros).await;
        self.conn.rcpt([format!("<{recipient}>")]).await.unwrap()
    }

    pub(crate) async fn header(&mut self, name: &str, value: &str) {
        let status = self.conn.header(name, value).await.unwrap();
        assert_eq!(status, Status::Noreply);
    }

    /// End of message. Postfix lets an ABORT follow.
    pub(crate) async fn end(&mut self) -> (EomActions, Status) {
        let answer = self.end_without_abort().await;
        self.conn.abort().await.unwrap();
        answer
    }

    pub(crate) async fn end_without_abort(&mut self) -> (EomActions, Status) {
        self.messages += 1;
        let id = format!("4Xyz{}", self.messages);
        self.macros(MacroStage::Eom, &[("j", "mx.example.org"), ("i", &id)]).await;
        self.conn.eom().await.unwrap()
    }

    /// A whole message to one recipient; the first refusal, or how its end
    /// was answered.
    pub(crate) async fn send(&mut self, sender: &str, recipient: &str) -> Status {
        self.mail(sender, "").await;
        let status = self.rcpt(recipient).await;
        if status != Status::Continue {
            self.conn.abort().await.unwrap();
            return status;
        }
        self.header("From", &format!("Somebody <{sender}>")).await;
        self.end().await.1
    }

    pub(crate) async fn macros(&mut self, stage: MacroStage, macros: &[(&str, &str)]) {
        let given = macros.iter().filter(|(_, value)| !value.is_empty());
        self.conn.macros(stage, given.copied()).await.unwrap();
    }
}

/// The text of a refusal, with its codes.
pub(crate) fn refusal(status: Status) -> String {
    match status {
        Status::Tempfail { message } | Status::Reject { message } => {
            message.expect("a text").into_string().unwrap()
        }
        other => panic!("{other:?} is no refusal"),
    }
}
