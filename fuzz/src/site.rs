//! The site that hostile input meets: an engine that enforces, with a registered
//! domain, an inbound one, a named connector and two organizations.

use connguard::{
    config,
    connector::Entity,
    engine::{Engine, Settings},
    record::{Live, Standing},
    timestamp::Timestamp,
};
use std::{
    cell::RefCell,
    collections::HashMap,
    env,
    ffi::OsString,
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

/// When every input begins.
pub const START: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// Connectors that it holds.
pub const MOST: usize = 64;

/// Its settings; the variants differ in what a reload may change.
pub fn settings(variant: u8) -> Settings {
    thread_local! {
        static MADE: RefCell<HashMap<u8, Settings>> = RefCell::default();
    }
    MADE.with_borrow_mut(|made| made.entry(variant).or_insert_with(|| make(variant)).clone())
}

fn make(variant: u8) -> Settings {
    let mode = if variant & 1 == 0 { "enforce" } else { "observe" };
    let action = ["tempfail", "reject", "hold", "tempfail"][usize::from(variant >> 1 & 3)];
    let scope = if variant & 8 == 0 { "relayed" } else { "all" };
    let erp = if variant & 16 == 0 { "192.0.2.9" } else { "192.0.2.0/28" };
    let text = format!(
        r#"
mode = "{mode}"
[milter]
relay_networks = ["192.0.2.0/24", "2001:db8::/32", "127.0.0.0/8"]
inbound_domains = ["in.example"]
login_realm = "example.org"
[restriction]
action = "{action}"
scope = "{scope}"
[[organization]]
name = "default"
registered_domains = ["example.org"]
[[organization]]
name = "other"
registered_domains = ["example.net"]
[[connector]]
name = "erp"
clients = ["{erp}"]
logins = ["erp"]
profile = "bulk"
[[connector]]
name = "lists"
organization = "other"
logins = ["lists"]
profile = "forwarder"
limits = {{ messages_per_hour = 3 }}
"#
    );
    let parsed = config::fuzz::parse(Path::new("/site.toml"), text.as_bytes(), |_| None);
    match parsed {
        Ok(config) => config.settings,
        Err(faults) => panic!("{faults}"),
    }
}

/// A new engine of this site.
pub fn engine() -> Arc<Engine> {
    Arc::new(Engine::new(settings(0), MOST, START))
}

/// Inputs that share one engine: to make one takes longer than most inputs do. What
/// they see of one another is what clients of one daemon do.
const SHARED: usize = 1000;

/// Something that inputs share, and a new one after a while.
///
/// An input that fails may not do so alone. With `FUZZ_SHARED=FOLDER` each is written
/// there before it runs, and a new beginning writes over the old one: give the target
/// these files in the order of their names.
pub struct Shared<T> {
    make: fn() -> T,
    made: Option<T>,
    inputs: usize,
}

impl<T> Shared<T> {
    /// Something that `make` makes.
    pub const fn new(make: fn() -> T) -> Self {
        Self { make, made: None, inputs: 0 }
    }

    /// Runs one input with it. After one that panicked there is a new one.
    pub fn run(&mut self, input: &[u8], run: impl FnOnce(&mut T)) {
        if self.inputs == SHARED {
            // The old one goes first, so that there are never two.
            self.made = None;
        }
        if self.made.is_none() {
            self.inputs = 0;
        }
        keep(self.inputs, input);
        self.inputs += 1;
        let mut one = self.made.take().unwrap_or_else(self.make);
        run(&mut one);
        self.made = Some(one);
    }
}

fn keep(number: usize, input: &[u8]) {
    static FOLDER: LazyLock<Option<OsString>> = LazyLock::new(|| env::var_os("FUZZ_SHARED"));
    let Some(folder) = &*FOLDER else { return };
    if number == 0 {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).expect("FUZZ_SHARED names a folder that can be made");
    }
    fs::write(Path::new(folder).join(format!("{number:04}")), input)
        .expect("FUZZ_SHARED names a folder that can be written");
}

/// What is in force at `now`, in an order of its own.
pub fn live(mut all: Vec<Live>, now: Timestamp) -> Vec<(Entity, Standing)> {
    for Live { standing, .. } in &mut all {
        standing.restriction.take_if(|it| it.until.is_some_and(|until| until <= now));
        standing.trust.take_if(|it| it.until <= now);
        standing.grace.take_if(|it| it.until <= now);
        standing.raised.take_if(|it| it.until <= now);
    }
    let mut live: Vec<_> = all
        .into_iter()
        .filter(|live| !live.standing.is_empty())
        .map(|live| (live.entity, live.standing))
        .collect();
    live.sort_by(|a, b| a.0.cmp(&b.0));
    live
}
