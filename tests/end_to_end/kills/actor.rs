//! An operator, and the clients that keep them busy: blocks, unblocks, trusts, and
//! lets clients be taken over, one step after another, until the daemon is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use serde_json::Value;

use super::super::harness::daemon::Answer;
use super::super::harness::site::{OURS, REMOTE, Site};
use super::super::harness::smtp::case_in;
use super::super::harness::{SOON, wait_for};
use super::super::under_load::{Fate, Ledger, Mailer, Rng};
use super::known::{Doubt, Known, Standing};

/// From so many clients that nobody configured on, new ones are rare.
const MOST_DISCOVERED: usize = 25;
const ACTIONS: [&str; 3] = ["tempfail", "reject", "hold"];

/// What all actors of a life of the daemon share.
pub(super) struct Scene<'a> {
    pub(super) site: &'a Site,
    /// Where mail is tempfailed while the daemon is dead.
    pub(super) port: u16,
    /// Nobody answers any more, or will soon not.
    pub(super) dead: &'a AtomicBool,
    /// Told of each step that begins, and of each bad message.
    pub(super) begins: Sender<()>,
}

impl Scene<'_> {
    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn dead_or(&self, condition: bool) -> Option<()> {
        (condition || self.is_dead()).then_some(())
    }
}

/// One operator.
#[derive(Debug)]
pub(super) struct Actor {
    number: usize,
    rng: Rng,
    ledger: Arc<Ledger>,
    pub(super) known: Vec<Known>,
    /// Connectors that did nothing yet.
    fresh: Vec<Known>,
    serial: u32,
    discovered: usize,
    /// Reasons of commands that were acknowledged, or that turned out to be done.
    pub(super) done: Vec<String>,
    /// Reasons of those that turned out not to be.
    pub(super) undone: Vec<String>,
    /// Messages that were accepted from restricted clients whose mail is held.
    pub(super) held: Vec<String>,
}

impl Actor {
    /// Operator number so-and-so, and the connectors that they look after.
    pub(super) fn new(number: usize, rng: Rng, ledger: &Arc<Ledger>, fresh: Vec<Known>) -> Self {
        Self {
            number,
            rng,
            ledger: Arc::clone(ledger),
            known: Vec::new(),
            fresh,
            serial: 0,
            discovered: 0,
            done: Vec::new(),
            undone: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Works until the daemon is dead.
    pub(super) fn work(&mut self, scene: &Scene<'_>) {
        while !scene.is_dead() {
            let at = self.choose();
            if self.known[at].doubt.is_none() {
                let _ = scene.begins.send(());
                self.step(scene, at);
            }
        }
    }

    fn choose(&mut self) -> usize {
        let is_new = self.known.len() < 4 || self.rng.percent(6);
        if let Some(fresh) = self.fresh.pop_if(|_| is_new) {
            self.known.push(fresh);
            return self.known.len() - 1;
        }
        let chance = if self.discovered < MOST_DISCOVERED { 25 } else { 4 };
        if self.rng.percent(chance) {
            self.discovered += 1;
            let n = self.discovered;
            let address = format!("127.{}.{}.{}", 40 + self.number, n / 250, 1 + n % 250);
            self.known.push(Known::discovered(&address));
            return self.known.len() - 1;
        }
        self.rng.index(self.known.len())
    }

    fn step(&mut self, scene: &Scene<'_>, at: usize) {
        let chance = self.rng.below(100);
        let Known { standing, judged, .. } = &self.known[at];
        match (standing, judged) {
            (Standing { restriction: Some(_), .. }, _) => match chance {
                0..60 => self.unblock(scene, at),
                _ => self.probe(scene, at),
            },
            (Standing { trust: true, .. }, _) => match chance {
                0..60 => self.untrust(scene, at),
                60..80 => self.block(scene, at),
                _ => self.send_odd_in_trust(scene, at),
            },
            (_, Some(_)) if chance < 45 => self.take_over(scene, at),
            _ if chance < 75 => self.block(scene, at),
            _ if chance < 90 => self.trust(scene, at),
            _ => self.probe(scene, at),
        }
    }

    fn block(&mut self, scene: &Scene<'_>, at: usize) {
        let action = ACTIONS[self.rng.index(ACTIONS.len())];
        let after = Standing::restricted(None, action);
        let doubt = Doubt::new("restricted", after, &scene.site.daemon);
        let answer = self.command(scene, at, "block", &["--action", action], doubt);
        if let Some(answer) = answer {
            let case = answer["result"]["case"].as_str().expect("a case").to_owned();
            self.known[at].standing = Standing::restricted(Some(case), action);
        }
    }

    fn unblock(&mut self, scene: &Scene<'_>, at: usize) {
        let grace = ["0s", "6h"][self.rng.index(2)];
        let after = self.known[at].standing.lifted(grace != "0s");
        let doubt = Doubt::new("lifted", after, &scene.site.daemon);
        self.command(scene, at, "unblock", &["--force", "--grace", grace], doubt);
    }

    fn trust(&mut self, scene: &Scene<'_>, at: usize) {
        let after = Standing { trust: true, ..self.known[at].standing.clone() };
        let doubt = Doubt::new("trusted", after, &scene.site.daemon);
        self.command(scene, at, "trust", &["--for", "24h"], doubt);
    }

    fn untrust(&mut self, scene: &Scene<'_>, at: usize) {
        let after = Standing { trust: false, ..self.known[at].standing.clone() };
        let doubt = Doubt::new("untrusted", after, &scene.site.daemon);
        self.command(scene, at, "untrust", &[], doubt);
    }

    fn reason(&mut self) -> String {
        self.serial += 1;
        format!("operator {} step {}.", self.number, self.serial)
    }

    /// Gives a command. Where it is acknowledged, what was in doubt is certain.
    fn command(
        &mut self,
        scene: &Scene<'_>,
        at: usize,
        verb: &str,
        options: &[&str],
        doubt: Doubt,
    ) -> Option<Value> {
        let reason = self.reason();
        let known = &mut self.known[at];
        let what = [verb, &known.entity, "--json", "--reason", &reason];
        let answer = scene.site.daemon.cli(&[&what, options].concat());
        if answer.code != 0 {
            let Answer { code, stderr, .. } = &answer;
            assert!(scene.is_dead() && *code == 3, "{what:?}: {code} {stderr}, with {known:?}");
            known.doubt = Some(Doubt { reason: Some(reason), ..doubt });
            return None;
        }
        let answer = answer.json();
        assert_eq!(answer["durable"], true, "{answer}");
        known.standing = doubt.after;
        self.done.push(reason);
        Some(answer)
    }

    /// Bad mail, until it is refused with a case.
    fn take_over(&mut self, scene: &Scene<'_>, at: usize) {
        let action = self.known[at].judged.expect("a connector that is judged");
        let mailer = self.mailer(scene, at);
        let doubt = Doubt::new("restricted", Standing::default(), &scene.site.daemon);
        let mut session = mailer.open();
        for _ in 0..=10 {
            let _ = scene.begins.send(());
            self.serial += 1;
            let from = format!("win@odd{}-{}.test", self.number, self.serial);
            let fate = mailer.send_in(&mut session, &from, &[REMOTE]);
            let case = case_in(&fate.reply().text);
            if let (Fate::Refused(_), Some(_)) = (&fate, &case) {
                // In force; announced when it is on disk, as the log tells.
                let after = Standing::restricted(case, action);
                self.known[at].doubt = Some(Doubt { after, ..doubt });
                return self.wait_until_announced(scene, at);
            }
            if !fate.accepted() {
                // It may have been this message that tipped the scale.
                assert!(scene.is_dead(), "{fate:?}: nobody answers Postfix");
                let after = Standing::restricted(None, action);
                self.known[at].doubt = Some(Doubt { after, ..doubt });
                return;
            }
        }
        panic!("eleven odd messages of {:?} have passed", self.known[at]);
    }

    /// The restriction that answered a client is announced when it is on disk.
    /// Half of the time nobody waits for that, and it stays in doubt.
    fn wait_until_announced(&mut self, scene: &Scene<'_>, at: usize) {
        if self.rng.percent(50) {
            return;
        }
        let known = &mut self.known[at];
        let doubt = known.doubt.clone().expect("a doubt");
        let is_announced = || scene.dead_or(doubt.is_announced(&scene.site.daemon, &known.entity));
        wait_for("the log line of a restriction", SOON, || format!("{doubt:?}"), is_announced);
        if doubt.is_announced(&scene.site.daemon, &known.entity) {
            known.standing = doubt.after;
            known.doubt = None;
        }
    }

    fn send_odd_in_trust(&mut self, scene: &Scene<'_>, at: usize) {
        self.serial += 1;
        let from = format!("win@odd{}-{}.test", self.number, self.serial);
        let fate = self.mailer(scene, at).send(&from, &[REMOTE]);
        assert!(fate.accepted() || scene.is_dead(), "{fate:?} for {:?}", self.known[at]);
    }

    fn mailer(&self, scene: &Scene<'_>, at: usize) -> Mailer {
        Mailer::new(&self.known[at].address, scene.port, &self.ledger)
    }

    /// Mail from this entity meets what is in force for it.
    pub(super) fn probe(&mut self, scene: &Scene<'_>, at: usize) {
        let mailer = self.mailer(scene, at);
        let known = &self.known[at];
        let from = if known.judged.is_some() { known.sender.as_str() } else { OURS };
        let fate = mailer.send(from, &[REMOTE]);
        if scene.is_dead() && !fate.accepted() {
            return;
        }
        let reply = fate.reply();
        let meets = |code: u16, case: &Option<String>| {
            assert_eq!((reply.code, &case_in(&reply.text)), (code, case), "{reply} for {known:?}");
        };
        match &known.standing.restriction {
            Some(held) => match held.action.as_str() {
                "tempfail" => meets(451, &held.case),
                "reject" => meets(550, &held.case),
                _ => {
                    assert!(fate.accepted(), "{reply} for {known:?}");
                    let id = reply.text.rsplit(' ').next().expect("a queue id");
                    self.held.push(id.to_owned());
                }
            },
            None => assert!(fate.accepted(), "{reply} for {known:?}"),
        }
    }
}
