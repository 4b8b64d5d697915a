//! A Postfix of its own for each test: configuration, queue, data, log and
//! ports in a temporary directory and on 127.0.0.1, no DNS, no chroot.
//!
//! Its site receives mail for example.org (handed inwards over the transport
//! `smtp`, as in front of another mail server); every other domain is relayed
//! to the sink for clients of the relay networks, with a login, or with a
//! certificate that the test's authority signed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::certs::{Certificate, Certs};
use super::sink::Sink;
use super::{free_port, run, run_ok, set_mode, wait_for};

/// Services besides smtpd. The transports `slow` and `filter` are there for
/// tests of direction.
const SERVICES: &str = "\
pickup    unix  n - n 60    1 pickup
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
verify    unix  - - n -     1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
smtp      unix  - - n -     - smtp
slow      unix  - - n -     1 smtp -o syslog_name=postfix/slow
filter    unix  - - n -     - smtp
error     unix  - - n -     - error
retry     unix  - - n -     - error
discard   unix  - - n -     - discard
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
showq     unix  n - n -     - showq
postlog   unix-dgram n - n - 1 postlogd
";

/// What a test may change before Postfix starts.
pub(crate) struct Settings {
    dir: PathBuf,
    port: u16,
    main: BTreeMap<String, String>,
    services: String,
    milter: String,
    smtpd_processes: u32,
    smtpd_options: String,
    sink_port: u16,
    /// More routes than there are, each with the address of the sink that takes
    /// the mail.
    routes: Vec<(String, Ipv4Addr)>,
}

impl Settings {
    /// Settings of a site whose files are below `dir` and whose mail, inwards
    /// and outwards, goes to the sink at this port.
    pub(crate) fn new(dir: &Path, sink_port: u16) -> Self {
        let mut settings = Self {
            dir: dir.to_owned(),
            port: free_port(),
            main: BTreeMap::new(),
            services: SERVICES.to_owned(),
            milter: String::new(),
            smtpd_processes: 120,
            smtpd_options: String::new(),
            sink_port,
            routes: Vec::new(),
        };
        settings.set_basics();
        settings.set_routes();
        settings
    }

    /// Where the files of the site are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where clients will reach its smtpd on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Sets a main.cf parameter.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.main.insert(name.to_owned(), value.to_owned());
    }

    /// Adds a line to master.cf.
    pub(crate) fn service(&mut self, line: &str) {
        self.services.push_str(line);
        self.services.push('\n');
    }

    /// Adds ` -o name=value` to the smtpd that clients reach.
    pub(crate) fn smtpd_option(&mut self, name: &str, value: &str) {
        write!(self.smtpd_options, " -o {name}={value}").expect("a string takes it");
    }

    /// At most this many smtpd processes, hence sessions at a time.
    pub(crate) fn smtpd_processes(&mut self, most: u32) {
        self.smtpd_processes = most;
    }

    /// Calls this milter. Where it fails, mail is tempfailed without a case
    /// id: a test then sees that nobody judged its mail.
    pub(crate) fn milter(&mut self, endpoint: &str) {
        self.milter = endpoint.to_owned();
        self.milter_fails_to("tempfail");
    }

    /// What happens to mail where the milter fails.
    pub(crate) fn milter_fails_to(&mut self, action: &str) {
        let milter = format!("{{ {}, default_action={action}, command_timeout=30s }}", self.milter);
        self.set("smtpd_milters", &milter);
    }

    /// Calls this milter, too, before the one that is there.
    pub(crate) fn milter_before(&mut self, endpoint: &str) {
        let milters = format!("{endpoint}, {}", self.main["smtpd_milters"]);
        self.set("smtpd_milters", &milters);
    }

    /// Calls the same milter for mail handed in with sendmail(1).
    pub(crate) fn milter_for_local_mail(&mut self) {
        self.set("non_smtpd_milters", "$smtpd_milters");
    }

    /// Offers STARTTLS and asks clients for a certificate.
    pub(crate) fn tls(&mut self, certs: &Certs, server: &Certificate) {
        let shown = |path: &Path| path.display().to_string();
        self.set("smtpd_tls_security_level", "may");
        self.set("smtpd_tls_cert_file", &shown(&server.cert));
        self.set("smtpd_tls_key_file", &shown(&server.key));
        self.set("smtpd_tls_CAfile", &shown(&certs.ca_file()));
        self.set("smtpd_tls_ask_ccert", "yes");
        self.set("smtpd_tls_loglevel", "1");
    }

    /// Where Postfix logs.
    pub(crate) fn log_file(&self) -> PathBuf {
        log_file(&self.dir)
    }

    /// Lets a provider of its own, at this loopback address, have the mail for
    /// this domain.
    pub(crate) fn provider(&mut self, domain: &str, address: &str) {
        let address = address.parse().expect("a loopback address");
        self.routes.push((domain.to_owned(), address));
    }

    /// Where the sink must listen for the providers.
    pub(crate) fn provider_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.routes.iter().map(|(_, address)| *address)
    }

    /// Tries again within seconds what could not be delivered.
    ///
    /// The queue manager counts whole seconds: after a backoff of one it may look
    /// at a message of which the delivery agent has not yet let go, and then
    /// leaves it alone for a minute.
    pub(crate) fn quick_retries(&mut self) {
        self.set("queue_run_delay", "1s");
        self.set("minimal_backoff_time", "2s");
        self.set("maximal_backoff_time", "2s");
    }

    /// Sends everything through a content filter, which hands it back at this
    /// port.
    pub(crate) fn content_filter(&mut self, filter: &Sink, back: u16) {
        self.service(&format!(
            "127.0.0.1:{back} inet n - n - - smtpd -o content_filter= \
             -o smtpd_authorized_xforward_hosts=127.0.0.0/8"
        ));
        let to_filter = format!("filter:[127.0.0.1]:{}", filter.port());
        self.smtpd_option("content_filter", &to_filter);
    }

    fn transport_maps(&self) -> String {
        let port = self.sink_port;
        let mut maps = format!(
            "inline:{{ {{example.org=smtp:[127.0.0.1]:{port}}}, \
             {{slow.test=slow:[127.0.0.1]:{port}}}"
        );
        for (domain, address) in &self.routes {
            write!(maps, ", {{{domain}=smtp:[{address}]:{port}}}").expect("a string takes it");
        }
        maps.push_str(" }");
        maps
    }

    fn set_basics(&mut self) {
        let dir = self.dir.display().to_string();
        self.set("compatibility_level", "3.6");
        self.set("config_directory", &format!("{dir}/etc"));
        self.set("queue_directory", &format!("{dir}/spool"));
        self.set("data_directory", &format!("{dir}/data"));
        let log = self.log_file().display().to_string();
        self.set("maillog_file", &log);
        self.set("maillog_file_prefixes", &dir);
        self.set("syslog_name", "postfix");
        self.set("inet_interfaces", "127.0.0.1");
        self.set("inet_protocols", "ipv4");
        self.set("myhostname", "mx.test");
        self.set("notify_classes", "");
        self.set("smtpd_peername_lookup", "no");
        self.set("smtp_dns_support_level", "disabled");
        self.set("smtp_tls_security_level", "none");
        self.set("in_flow_delay", "0");
        self.set("smtpd_client_connection_count_limit", "0");
        self.set("smtpd_authorized_xclient_hosts", "0.0.0.0/0 [::]/0");
    }

    fn set_routes(&mut self) {
        let sink = format!("smtp:[127.0.0.1]:{}", self.sink_port);
        self.set("mynetworks", "127.0.0.0/8");
        self.set("mydestination", "");
        self.set("local_recipient_maps", "");
        self.set("alias_maps", "");
        self.set("relay_domains", "example.org");
        self.set("default_transport", &sink);
        self.set(
            "smtpd_relay_restrictions",
            "permit_mynetworks permit_tls_all_clientcerts reject_unauth_destination",
        );
    }

    /// Writes the files and starts it.
    pub(crate) fn start(self) -> Postfix {
        for name in ["etc", "spool", "data", "log"] {
            let path = self.dir.join(name);
            std::fs::create_dir_all(&path).expect("a directory for Postfix");
            set_mode(&path, 0o755);
        }
        let postfix = nix::unistd::User::from_name("postfix")
            .expect("the user database")
            .expect("a user called postfix (is Postfix installed?)");
        let (uid, gid) = (postfix.uid.as_raw(), postfix.gid.as_raw());
        std::os::unix::fs::chown(self.dir.join("data"), Some(uid), Some(gid))
            .expect("chown to postfix: these tests need root, as Postfix does");

        let mut main = format!("transport_maps = {}\n", self.transport_maps());
        for (name, value) in &self.main {
            writeln!(main, "{name} = {value}").expect("a string takes it");
        }
        let master = format!(
            "127.0.0.1:{} inet n - n - {} smtpd{}\n{}",
            self.port, self.smtpd_processes, self.smtpd_options, self.services
        );
        std::fs::write(self.dir.join("etc/main.cf"), main).expect("main.cf");
        std::fs::write(self.dir.join("etc/master.cf"), master).expect("master.cf");
        let started = Postfix { dir: self.dir, port: self.port };
        started.start();
        started
    }
}

/// A running Postfix; it is stopped when dropped.
pub(crate) struct Postfix {
    dir: PathBuf,
    port: u16,
}

impl Postfix {
    /// Where clients reach its smtpd on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What MAIL_CONFIG or `-C` of a Postfix command takes.
    pub(crate) fn config_directory(&self) -> PathBuf {
        self.dir.join("etc")
    }

    /// Where it logs.
    pub(crate) fn log_file(&self) -> PathBuf {
        log_file(&self.dir)
    }

    /// Everything in its log file.
    pub(crate) fn log(&self) -> String {
        std::fs::read(self.log_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last lines of the log, for messages about failures.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Waits for a line that has all these parts, and returns it.
    pub(crate) fn wait_log(&self, parts: &[&str], deadline: Duration) -> String {
        let find = || {
            let log = self.log();
            let mut lines = log.lines();
            lines.find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
        };
        let what = format!("a line with {parts:?} in the mail log");
        wait_for(&what, deadline, || self.log_tail(), find)
    }

    /// The queue as `postqueue -j` prints it, one object a message.
    pub(crate) fn queue(&self) -> Vec<Value> {
        let mut postqueue = Command::new("postqueue");
        let out = run_ok(postqueue.arg("-c").arg(self.config_directory()).arg("-j"));
        out.lines().map(|line| serde_json::from_str(line).expect("JSON of postqueue -j")).collect()
    }

    /// The queue as an administrator reads it.
    pub(crate) fn queue_text(&self) -> String {
        run_ok(Command::new("postqueue").arg("-c").arg(self.config_directory()).arg("-p"))
    }

    /// How many messages the queue of this name holds.
    pub(crate) fn queued_in(&self, name: &str) -> usize {
        let queue = self.queue();
        let in_queue = |message: &&Value| message["queue_name"] == name;
        queue.iter().filter(in_queue).count()
    }

    /// Lets go of everything in the hold queue, as an administrator does.
    pub(crate) fn release_held(&self) {
        let command = |name| {
            let mut command = Command::new(name);
            command.arg("-c").arg(self.config_directory());
            command
        };
        run_ok(command("postsuper").args(["-H", "ALL"]));
        run_ok(command("postqueue").arg("-f"));
    }

    /// Hands in a message with sendmail(1), as programs on the host do.
    pub(crate) fn sendmail(&self, from: &str, to: &str) {
        use std::io::Write as _;
        let mut child = Command::new("/usr/sbin/sendmail")
            .arg("-C")
            .arg(self.config_directory())
            .args(["-i", "-f", from, to])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sendmail");
        let message = format!("From: {from}\nTo: {to}\nSubject: test\n\nHello.\n");
        let mut stdin = child.stdin.take().expect("the input of sendmail");
        stdin.write_all(message.as_bytes()).expect("sendmail reads");
        drop(stdin);
        let status = child.wait().expect("sendmail ends");
        assert!(status.success(), "sendmail: {status}");
    }

    pub(super) fn command(&self, what: &str) -> Command {
        let mut command = Command::new("postfix");
        command.arg("-c").arg(self.config_directory()).arg(what);
        command.env_remove("MAIL_CONFIG");
        command
    }

    fn start(&self) {
        let output = run(&mut self.command("start"));
        assert!(
            output.status.success(),
            "postfix start: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.log_tail()
        );
    }
}

fn log_file(dir: &Path) -> PathBuf {
    dir.join("log/mail.log")
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // Nothing sensible can be done about a Postfix that does not stop.
        let _ = self.command("stop").stdin(Stdio::null()).output();
    }
}
