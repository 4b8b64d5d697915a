//! What is known for certain of one entity, and what is in doubt: the outcome of what
//! was in hand when the daemon was killed.

use serde_json::Value;

use super::super::harness::daemon::Daemon;
use super::super::harness::site::OURS;

/// What is in force for an entity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) restriction: Option<Held>,
    pub(super) trust: bool,
    /// The case that was lifted.
    pub(super) grace: Option<String>,
}

/// A restriction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Not known where its message got no answer.
    pub(super) case: Option<String>,
    pub(super) action: String,
}

/// What `list --all` says of an entity: state, case, action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) state: String,
    pub(super) case: Option<String>,
    pub(super) action: Option<String>,
}

impl Shown {
    /// Gives the entity and what is listed of it. Who is only suspicious is free.
    pub(super) fn of(item: &Value) -> (String, Option<Self>) {
        let text = |field: &str| item[field].as_str().map(str::to_owned);
        let entity = text("entity").expect("an entity");
        let state = text("state").expect("a state");
        let shown = Self { case: text("case"), action: text("action"), state };
        (entity, (shown.state != "suspicious").then_some(shown))
    }
}

impl Standing {
    /// Whether this may be what is listed.
    pub(super) fn is(&self, shown: Option<&Shown>) -> bool {
        let Some(shown) = shown else { return *self == Self::default() };
        match self {
            Self { restriction: Some(held), .. } => {
                shown.state == "restricted"
                    && shown.action.as_deref() == Some(&held.action)
                    && (held.case.is_none() || held.case == shown.case)
            }
            Self { trust: true, .. } => shown.state == "trusted",
            Self { grace: Some(case), .. } => {
                shown.state == "grace" && shown.case.as_ref() == Some(case)
            }
            Self { .. } => false,
        }
    }

    pub(super) fn restricted(case: Option<String>, action: &str) -> Self {
        let held = Held { case, action: action.to_owned() };
        Self { restriction: Some(held), ..Self::default() }
    }

    /// What follows an unblock.
    pub(super) fn lifted(&self, has_grace: bool) -> Self {
        let case = self.restriction.as_ref().and_then(|held| held.case.clone());
        Self { grace: case.filter(|_| has_grace), ..Self::default() }
    }
}

/// What is in doubt.
#[derive(Debug, Clone)]
pub(super) struct Doubt {
    pub(super) after: Standing,
    /// The word of the log line that would announce it.
    pub(super) announced_as: &'static str,
    /// How long the log was before.
    pub(super) log_from: usize,
    /// The operator's reason, by which the audit trail names it.
    pub(super) reason: Option<String>,
}

impl Doubt {
    /// What is about to be tried.
    pub(super) fn new(announced_as: &'static str, after: Standing, daemon: &Daemon) -> Self {
        Self { after, announced_as, log_from: daemon.log().len(), reason: None }
    }

    /// Whether the log says that it is done.
    pub(super) fn is_announced(&self, daemon: &Daemon, entity: &str) -> bool {
        let line = format!(" {} entity={entity} ", self.announced_as);
        daemon.log().get(self.log_from..).is_some_and(|log| log.contains(&line))
    }
}

/// An entity, the client that is meant by it, and the truth about it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) entity: String,
    pub(super) address: String,
    /// A sender of its own, whose domain is registered.
    pub(super) sender: String,
    /// What the judgement restricts it with; nothing where only operators do.
    pub(super) judged: Option<&'static str>,
    pub(super) standing: Standing,
    pub(super) doubt: Option<Doubt>,
}

impl Known {
    /// A client that nobody configured.
    pub(super) fn discovered(address: &str) -> Self {
        Self {
            entity: format!("client:{address}"),
            address: address.to_owned(),
            sender: OURS.to_owned(),
            judged: None,
            standing: Standing::default(),
            doubt: None,
        }
    }

    /// Settles what is in doubt by what is listed. Gives what became true.
    pub(super) fn settle(&mut self, shown: Option<&Shown>, was_announced: bool) -> Settled {
        let before = self.standing.clone();
        let Some(doubt) = self.doubt.take() else {
            assert!(before.is(shown), "{}: {before:?} for certain, {shown:?} listed", self.entity);
            return Settled::Nothing;
        };
        let happened = doubt.after.is(shown);
        assert!(
            happened || (before.is(shown) && !was_announced),
            "{}: before {before:?}, in doubt {doubt:?} (announced: {was_announced}), \
             {shown:?} listed",
            self.entity
        );
        if !happened {
            return Settled::Undone(doubt);
        }
        self.standing = doubt.after.clone();
        if let (Some(held), Some(shown)) = (&mut self.standing.restriction, shown) {
            held.case.clone_from(&shown.case);
        }
        Settled::Done(doubt)
    }
}

/// What became of a doubt.
#[derive(Debug)]
pub(super) enum Settled {
    Nothing,
    Done(Doubt),
    Undone(Doubt),
}
