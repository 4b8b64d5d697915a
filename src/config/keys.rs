//! Every key of the configuration file in one table, from which connguard.toml(5) is made.
//!
//! What the reader takes is settled where each section is read; tests here hold the table
//! against that: no key is missing or made up, each default is what the file without the
//! key means, each example is accepted and means something else. So whoever adds a key
//! adds its row here, in the order in which README shows the keys.

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Its name; empty for the keys above the first section.
    pub name: &'static str,
    /// Whether it may be there more than once, as `[[name]]`.
    pub repeats: bool,
    /// What it is for.
    pub text: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name, with the inline table around it where it is in one, as
    /// `limits.messages_per_hour`.
    pub name: &'static str,
    /// Type, values and unit.
    pub takes: &'static str,
    /// What holds where it is absent.
    pub default: Absent,
    /// Another value than the default, as TOML.
    pub example: &'static str,
    /// When a change of it takes effect.
    pub taken: Taken,
    /// What it does.
    pub text: &'static str,
}

/// What holds where a key is absent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Absent {
    /// This value, as TOML.
    Value(&'static str),
    /// What these words say.
    Words(&'static str),
    /// A fault: the section needs it.
    Required,
}

/// When a change of a key takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// At `connguard reload`.
    Reload,
    /// At the next start of the daemon.
    Restart,
}

impl Section {
    /// As it is written: `[milter]`, `[[connector]]`, or nothing for the top.
    pub fn heading(&self) -> String {
        match (self.name, self.repeats) {
            ("", _) => String::new(),
            (name, true) => format!("[[{name}]]"),
            (name, false) => format!("[{name}]"),
        }
    }
}

use Absent::{Required, Value, Words};
use Taken::{Reload, Restart};

/// All sections with their keys.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "",
        repeats: false,
        text: "What stands above the first section.",
        keys: &[Key {
            name: "mode",
            takes: "observe or enforce",
            default: Value("\"observe\""),
            example: "\"enforce\"",
            taken: Reload,
            text: "observe judges, marks and alerts, and refuses nothing. enforce refuses or holds \
                   the mail of what is restricted. Going from observe to enforce restricts nobody \
                   for what was observed before.",
        }],
    },
    Section {
        name: "milter",
        repeats: false,
        text: "How Postfix reaches connguard, and which mail is relayed.",
        keys: &[
            Key {
                name: "listen",
                takes: "an array of places: unix:PATH, inet:ADDRESS:PORT, inet6:[ADDRESS]:PORT",
                default: Value("[\"unix:/var/spool/postfix/connguard/milter.sock\"]"),
                example: "[\"inet:127.0.0.1:8895\"]",
                taken: Restart,
                text: "Where Postfix asks. A chrooted smtpd(8) sees a socket below the queue \
                       directory only: there the path in main.cf is unix:connguard/milter.sock. With \
                       policy.role = \"judge\" there is no milter unless this key is set.",
            },
            Key {
                name: "max_connections",
                takes: "an integer from 1 to 100000",
                default: Value("5000"),
                example: "200",
                taken: Reload,
                text: "Connections of Postfix at a time. One beyond it is closed at once, and Postfix \
                       does what default_action says. It holds for the policy service too.",
            },
            Key {
                name: "inbound_domains",
                takes: "an array of domains, and of absolute paths of files with one domain a line; \
                        a leading dot means the domain and all below it",
                default: Value("[]"),
                example: "[\"example.org\", \"/etc/connguard/inbound\"]",
                taken: Reload,
                text: "What this site receives mail for. Mail to these domains is not relayed, \
                       wherever it goes from here. While it is empty, all mail over a transport that \
                       is not local counts as relayed. contrib/postfix/enable and connguard suggest \
                       take them from Postfix.",
            },
            Key {
                name: "local_transports",
                takes: "an array of names of transports in master.cf",
                default: Value(
                    "[\"local\", \"virtual\", \"lmtp\", \"discard\", \"error\", \"retry\"]",
                ),
                example: "[\"local\", \"cyrus\"]",
                taken: Reload,
                text: "Mail over one of these is never relayed, whatever its domain.",
            },
            Key {
                name: "relay_networks",
                takes: "an array of addresses and networks",
                default: Value("[\"127.0.0.0/8\", \"::1/128\"]"),
                example: "[\"127.0.0.0/8\", \"192.0.2.0/24\"]",
                taken: Reload,
                text: "Who may relay without login and certificate: the same as mynetworks in \
                       Postfix. A client outside of them that shows neither is no connector.",
            },
            Key {
                name: "ignore_daemons",
                takes: "an array of addresses with ports",
                default: Value("[]"),
                example: "[\"127.0.0.1:10025\"]",
                taken: Reload,
                text: "Services of this Postfix that take mail back from a content filter: their \
                       mail was counted when it came in first and is not counted again.",
            },
            Key {
                name: "login_realm",
                takes: "what stands behind the @ of a login",
                default: Words("bare logins stay as they are"),
                example: "\"example.org\"",
                taken: Reload,
                text: "Appended to logins without an @, so that alice and alice@example.org are one.",
            },
        ],
    },
    Section {
        name: "policy",
        repeats: false,
        text: "The policy delegation protocol (check_policy_service), beside the milter or instead \
               of it. Where the section is absent, it is off.",
        keys: &[
            Key {
                name: "listen",
                takes: "an array of places, as milter.listen",
                default: Value("[\"unix:/var/spool/postfix/connguard/policy.sock\"]"),
                example: "[\"inet:127.0.0.1:8896\"]",
                taken: Restart,
                text: "Where Postfix asks. Another place than milter.listen.",
            },
            Key {
                name: "role",
                takes: "identity or judge",
                default: Required,
                example: "\"judge\"",
                taken: Restart,
                text: "identity hands the fingerprint of a client's certificate to the milter, which \
                       judges. judge judges and refuses by itself, for sites that can't use a milter.",
            },
        ],
    },
    Section {
        name: "state",
        repeats: false,
        text: "What is kept on disk and in memory.",
        keys: &[
            Key {
                name: "directory",
                takes: "an absolute path",
                default: Value("\"/var/lib/connguard\""),
                example: "\"/srv/connguard\"",
                taken: Restart,
                text: "Restrictions, history and cases. It belongs to the daemon's account alone; \
                       one that others could change is refused.",
            },
            Key {
                name: "max_connectors",
                takes: "an integer from 16 to 10000000",
                default: Value("1000000"),
                example: "200000",
                taken: Restart,
                text: "Connectors that are held in memory. Each takes 1.2 KiB, a login 1.5: \
                       MemoryMax= of the unit has to fit. Beyond it the oldest discovered ones are \
                       forgotten.",
            },
        ],
    },
    Section {
        name: "control",
        repeats: false,
        text: "How operators reach the daemon.",
        keys: &[Key {
            name: "socket",
            takes: "an absolute path of at most 107 octets",
            default: Value("\"/run/connguard/control.sock\""),
            example: "\"/srv/connguard.sock\"",
            taken: Restart,
            text: "The socket that the commands of connguard(1) use: for root and members of the \
                   group connguard-admin.",
        }],
    },
    Section {
        name: "organization",
        repeats: true,
        text: "Connectors that belong together, with the domains that they send from. Where there \
               is none, there is one called default.",
        keys: &[
            Key {
                name: "name",
                takes: "a name that no other organization has",
                default: Required,
                example: "\"branch\"",
                taken: Reload,
                text: "What connectors call it by. Those that name none, and discovered ones, belong \
                       to default, or to the only one.",
            },
            Key {
                name: "registered_domains",
                takes: "an array of domains; a leading dot means the domain and all below it",
                default: Value("[]"),
                example: "[\"example.org\", \".example.net\"]",
                taken: Reload,
                text: "Every domain that its connectors send from. Mail from another one speaks \
                       against the connector. This host's own names count beside them. While there \
                       are none, unregistered senders are not judged.",
            },
            Key {
                name: "registered_domains_file",
                takes: "an absolute path",
                default: Words("no file"),
                example: "\"/etc/connguard/domains\"",
                taken: Reload,
                text: "A file with more of them, one a line; # begins a comment. It is read again at \
                       a reload.",
            },
        ],
    },
    Section {
        name: "connector",
        repeats: true,
        text: "A client with a name, and with terms of its own. At least one of clients, certificate \
               and logins is needed, and each of their values is in one connector only.",
        keys: &[
            Key {
                name: "name",
                takes: "a name that no other connector has",
                default: Required,
                example: "\"erp\"",
                taken: Reload,
                text: "It is connector:NAME in commands, alerts and the log.",
            },
            Key {
                name: "clients",
                takes: "an array of addresses and networks",
                default: Words("not known by its address"),
                example: "[\"192.0.2.11\", \"2001:db8:1::/48\"]",
                taken: Reload,
                text: "Where it comes from. These may relay, as those of milter.relay_networks.",
            },
            Key {
                name: "certificate.subject",
                takes: "a common name",
                default: Words("not known by these names; needed where issuer is there"),
                example: "\"erp.example.org\"",
                taken: Reload,
                text: "The subject of its client certificate, which Postfix must have verified. It \
                       counts together with the issuer only.",
            },
            Key {
                name: "certificate.issuer",
                takes: "a common name",
                default: Words("not known by these names; needed where subject is there"),
                example: "\"Example CA\"",
                taken: Reload,
                text: "Who issued that certificate.",
            },
            Key {
                name: "certificate.fingerprint",
                takes: "a fingerprint as sha256:AB:CD:..., sha384: or sha512:, or an array of them",
                default: Words("not known by a fingerprint"),
                example: "\"sha256:00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\"",
                taken: Reload,
                text: "Of its certificate or of the public key in it, whether or not a CA vouches for \
                       it. Needs the section [policy], as Postfix tells milters no fingerprints.",
            },
            Key {
                name: "logins",
                takes: "an array of SASL logins",
                default: Words("not known by a login"),
                example: "[\"erp@example.org\"]",
                taken: Reload,
                text: "The logins that are this connector.",
            },
            Key {
                name: "organization",
                takes: "the name of an [[organization]]",
                default: Words("default, or the only one"),
                example: "\"branch\"",
                taken: Reload,
                text: "Whose it is.",
            },
            Key {
                name: "registered_domains",
                takes: "an array of domains; a leading dot means the domain and all below it",
                default: Value("[]"),
                example: "[\"shop.example\"]",
                taken: Reload,
                text: "Domains that it sends from, besides those of its organization.",
            },
            Key {
                name: "mode",
                takes: "observe or enforce",
                default: Words("as mode at the top of the file"),
                example: "\"enforce\"",
                taken: Reload,
                text: "As at the top of the file, for this connector.",
            },
            Key {
                name: "action",
                takes: "tempfail, reject or hold",
                default: Words("as restriction.action"),
                example: "\"reject\"",
                taken: Reload,
                text: "As restriction.action, for this connector.",
            },
            Key {
                name: "reject_after",
                takes: "a duration of at least 3d, or never",
                default: Words("as restriction.reject_after"),
                example: "\"5d\"",
                taken: Reload,
                text: "As restriction.reject_after, for this connector.",
            },
            Key {
                name: "limits.messages_per_hour",
                takes: "an integer from 1 to 4294967295",
                default: Words("no limit"),
                example: "5000",
                taken: Reload,
                text: "A hard limit besides the judgement. Mail beyond it is tempfailed, or held \
                       where the connector's action is hold.",
            },
            Key {
                name: "limits.recipients_per_hour",
                takes: "an integer from 1 to 4294967295",
                default: Words("no limit"),
                example: "20000",
                taken: Reload,
                text: "The same for recipients.",
            },
            Key {
                name: "profile",
                takes: "login, relay, bulk or forwarder",
                default: Words("login where logins are all it has, else relay"),
                example: "\"bulk\"",
                taken: Reload,
                text: "Its trade. login: a person or program that logs in. relay: a host that relays \
                       for several. bulk: newsletters and billing runs. forwarder: foreign senders \
                       are usual for it, and for its first seven days it is only watched.",
            },
            Key {
                name: "usual.messages_per_hour",
                takes: "an integer from 1 to 4294967295",
                default: Words("what is learned"),
                example: "800",
                taken: Reload,
                text: "Messages of its busiest usual hour, with which its volume is compared, instead \
                       of waiting until that is learned.",
            },
            Key {
                name: "usual.recipients_per_hour",
                takes: "an integer from 1 to 4294967295, not below usual.messages_per_hour",
                default: Words("what is learned"),
                example: "2000",
                taken: Reload,
                text: "The same for recipients.",
            },
            Key {
                name: "throttle",
                takes: "tempfail, hold or off",
                default: Words("hold for logins and mail of this host, tempfail for all others"),
                example: "\"off\"",
                taken: Reload,
                text: "What mail meets that is too much while the connector is suspicious.",
            },
        ],
    },
    Section {
        name: "trust",
        repeats: false,
        text: "Who is never judged and never restricted. Keep it short: who is trusted can be taken \
               over as well. connguard trust exempts for a time.",
        keys: &[
            Key {
                name: "clients",
                takes: "an array of addresses and networks",
                default: Value("[]"),
                example: "[\"192.0.2.200\"]",
                taken: Reload,
                text: "Only sessions from there that show neither login nor certificate.",
            },
            Key {
                name: "logins",
                takes: "an array of SASL logins",
                default: Value("[]"),
                example: "[\"monitoring@example.org\"]",
                taken: Reload,
                text: "Sessions with one of these logins.",
            },
        ],
    },
    Section {
        name: "restriction",
        repeats: false,
        text: "What the mail of a restricted entity meets.",
        keys: &[
            Key {
                name: "action",
                takes: "tempfail, reject or hold",
                default: Value("\"tempfail\""),
                example: "\"hold\"",
                taken: Reload,
                text: "tempfail answers 451 4.7.1: a client with a queue keeps its mail and tries \
                       again. reject answers 550 5.7.1: the mail goes back to its sender. hold answers \
                       250 and puts the message into Postfix's hold queue: for clients without a queue \
                       of their own, as mail programs, printers and web applications.",
            },
            Key {
                name: "scope",
                takes: "relayed or all",
                default: Value("\"relayed\""),
                example: "\"all\"",
                taken: Reload,
                text: "relayed lets mail to inbound domains pass; all refuses that as well.",
            },
            Key {
                name: "reject_after",
                takes: "a duration of at least 3d, or never",
                default: Value("\"never\""),
                example: "\"3d\"",
                taken: Reload,
                text: "After this time a tempfail turns into a reject, so that mail which waits at the \
                       client goes back to its senders.",
            },
            Key {
                name: "hold_limit.messages",
                takes: "an integer from 1 to 1000000000",
                default: Value("1000"),
                example: "10",
                taken: Reload,
                text: "Messages of an entity that action hold puts on hold; beyond it mail is \
                       tempfailed.",
            },
            Key {
                name: "hold_limit.bytes",
                takes: "an integer of octets, or a whole number with kB, MB or GB",
                default: Value("\"200MB\""),
                example: "\"5GB\"",
                taken: Reload,
                text: "The same for the sum of their sizes as clients declare them, 100 kB where they \
                       don't.",
            },
            Key {
                name: "expire_after",
                takes: "a duration, or never",
                default: Value("\"never\""),
                example: "\"30d\"",
                taken: Reload,
                text: "A restriction ends by itself after this time.",
            },
            Key {
                name: "grace",
                takes: "a duration",
                default: Value("\"24h\""),
                example: "\"12h\"",
                taken: Reload,
                text: "For so long after an unblock it takes twice as much to restrict again, except \
                       by the very finding that made the case.",
            },
            Key {
                name: "reply",
                takes: "printable ASCII, at most 200 octets, with {case} in it",
                default: Value("\"Relaying is suspended, case {case}: contact your postmaster\""),
                example: "\"Relaying is suspended, case {case}: contact postmaster@example.org\"",
                taken: Reload,
                text: "What a refused client reads behind the codes. {case} becomes the case's number.",
            },
        ],
    },
    Section {
        name: "judgement",
        repeats: false,
        text: "What is judged. There are no thresholds to tune: connguard explain shows them.",
        keys: &[
            Key {
                name: "spam_headers",
                takes: "an array of \"NAME: REGEX\"",
                default: Value(
                    "[\"X-Spam-Flag: YES\", \"X-Spam: Yes\", \"X-Spam-Status: Yes\", \
                     \"X-Rspamd-Action: (reject|add header|rewrite subject)\"]",
                ),
                example: "[\"X-Verdict: spam\"]",
                taken: Reload,
                text: "Header fields that a spam filter before connguard adds to what it takes for \
                       spam. Such a verdict is one signal of several.",
            },
            Key {
                name: "throttle",
                takes: "true or false",
                default: Value("true"),
                example: "false",
                taken: Reload,
                text: "In enforce mode a suspicious connector is slowed down, so that delivery results \
                       can catch up.",
            },
            Key {
                name: "discover",
                takes: "true or false",
                default: Value("true"),
                example: "false",
                taken: Reload,
                text: "Clients that relay and are no [[connector]] become connectors by themselves. \
                       With false only configured ones are watched.",
            },
            Key {
                name: "new_connector_alert",
                takes: "true or false",
                default: Value("true"),
                example: "false",
                taken: Reload,
                text: "Tell when one does.",
            },
        ],
    },
    Section {
        name: "feedback",
        repeats: false,
        text: "What became of relayed mail.",
        keys: &[Key {
            name: "mail_log",
            takes: "auto, journal, none or an absolute path",
            default: Value("\"auto\""),
            example: "\"/var/log/postfix.log\"",
            taken: Reload,
            text: "Where Postfix logs. auto is what it logs to on this host, a file or the journal; \
                   connguard check says which that is.",
        }],
    },
    Section {
        name: "alert",
        repeats: false,
        text: "Who is told, and how. Where nothing is set, alerts are only in the log. connguard \
               alerts test tries it.",
        keys: &[
            Key {
                name: "to",
                takes: "an array of addresses",
                default: Value("[]"),
                example: "[\"postmaster@example.org\"]",
                taken: Reload,
                text: "Who gets alerts by mail.",
            },
            Key {
                name: "from",
                takes: "an address",
                default: Words("connguard@ and this host's name"),
                example: "\"guard@mx.example.org\"",
                taken: Reload,
                text: "Their sender.",
            },
            Key {
                name: "repeat",
                takes: "a duration of at least 1m, or never",
                default: Value("\"1h\""),
                example: "\"6h\"",
                taken: Reload,
                text: "How often one is reminded while something is restricted.",
            },
            Key {
                name: "webhook",
                takes: "an http or https URL",
                default: Words("no webhook"),
                example: "\"https://hooks.example.org/connguard\"",
                taken: Reload,
                text: "Gets each alert as JSON by POST.",
            },
            Key {
                name: "webhook_secret_file",
                takes: "an absolute path",
                default: Words("not signed"),
                example: "\"/etc/connguard/webhook.secret\"",
                taken: Reload,
                text: "A file with the secret by which the webhook's posts are signed (HMAC-SHA-256), \
                       in one line. Only the daemon's account should be able to read it.",
            },
            Key {
                name: "command",
                takes: "an array: the absolute path of a program, and its arguments",
                default: Words("no program"),
                example: "[\"/usr/local/bin/page-me\"]",
                taken: Reload,
                text: "Run for each alert, which it gets as JSON on standard input. No shell is \
                       between.",
            },
            Key {
                name: "smtp",
                takes: "a host with a port",
                default: Value("\"127.0.0.1:25\""),
                example: "\"127.0.0.1:10587\"",
                taken: Reload,
                text: "The Postfix that takes alerts by mail: that of this host, which lets them \
                       through whatever is restricted.",
            },
        ],
    },
    Section {
        name: "metrics",
        repeats: false,
        text: "Figures for Prometheus, over HTTP. Where the section is absent, there are none.",
        keys: &[Key {
            name: "listen",
            takes: "an address and a port, as \"127.0.0.1:9188\" or \"[::1]:9188\"",
            default: Required,
            example: "\"127.0.0.1:9188\"",
            taken: Restart,
            text: "Where figures are served, at /metrics. Who reaches it reads the names of \
                   connectors, among them logins: leave it on loopback, or let only Prometheus \
                   reach it.",
        }],
    },
    Section {
        name: "log",
        repeats: false,
        text: "What the daemon writes about itself.",
        keys: &[
            Key {
                name: "level",
                takes: "error, warn, info, debug or trace",
                default: Value("\"info\""),
                example: "\"debug\"",
                taken: Restart,
                text: "The variable RUST_LOG overrides it.",
            },
            Key {
                name: "format",
                takes: "auto, text or json",
                default: Value("\"auto\""),
                example: "\"json\"",
                taken: Restart,
                text: "auto writes to journald under systemd and text elsewhere; text and json go to \
                       standard error.",
            },
        ],
    },
];

/// A file in which this key has this value, beside what it needs to be one; without a
/// value the same file without the key.
#[cfg(test)]
pub(crate) fn file_with(section: &Section, key: &Key, value: Option<&str>) -> String {
    use std::fmt::Write as _;
    // What goes before the section, and what is needed in it.
    let (before, needed): (&str, &[(&str, &str)]) = match (section.name, key.name) {
        ("organization", _) => ("", &[("name", "\"default\"")]),
        ("connector", "certificate.fingerprint") => (
            "[policy]\nrole = \"identity\"\n",
            &[("name", "\"a\""), ("clients", "[\"192.0.2.10\"]")],
        ),
        ("connector", "organization") => (
            "[[organization]]\nname = \"default\"\n[[organization]]\nname = \"branch\"\n",
            &[("name", "\"a\""), ("clients", "[\"192.0.2.10\"]")],
        ),
        ("connector", "certificate.subject" | "certificate.issuer") => (
            "",
            &[
                ("name", "\"a\""),
                ("clients", "[\"192.0.2.10\"]"),
                ("certificate.subject", "\"x\""),
                ("certificate.issuer", "\"y\""),
            ],
        ),
        ("connector", "clients") => ("", &[("name", "\"a\""), ("logins", "[\"a\"]")]),
        ("connector", _) => ("", &[("name", "\"a\""), ("clients", "[\"192.0.2.10\"]")]),
        ("policy", _) => ("", &[("role", "\"identity\"")]),
        ("metrics", _) => ("", &[("listen", "\"[::1]:9188\"")]),
        ("alert", "from" | "smtp") => ("", &[("to", "[\"postmaster@example.org\"]")]),
        ("alert", "webhook_secret_file") => ("", &[("webhook", "\"https://hooks.example.org/\"")]),
        _ => ("", &[]),
    };
    let mut text = format!("{before}{}\n", section.heading());
    for (name, value) in needed.iter().filter(|(name, _)| value.is_none() || *name != key.name) {
        let _ = writeln!(text, "{name} = {value}");
    }
    if let Some(value) = value {
        let _ = writeln!(text, "{} = {value}", key.name);
    }
    text
}

/// The configuration that `text` is; files that it names are there.
#[cfg(test)]
pub(crate) fn config_of(text: &str) -> Result<super::Config, super::Faults> {
    super::parse_with(std::path::Path::new("connguard.toml"), text.as_bytes(), &[], FILES)
}

#[cfg(test)]
const FILES: super::Files<'static> =
    super::Files(&|path| match path.file_name().and_then(std::ffi::OsStr::to_str) {
        Some("webhook.secret") => Ok(b"0123456789abcdef0123456789abcdef".to_vec()),
        _ => Ok(b"listed.example\n".to_vec()),
    });

#[cfg(test)]
mod tests;
