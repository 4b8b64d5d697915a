//! SMTP sessions of a scenario: what a client does and what it is answered.

use crate::{
    fates::{Fate as Wanted, Fates},
    words::{Outcome, Words, expand, has_words, parse},
};
use connguard::{
    connector::{ConnectorKey, Identities, fold_address, fold_login},
    engine::{Engine, Session, Transaction},
    message::{Fate, Message, Recipient, Sender},
    timestamp::Timestamp,
    verdict::{Reply, Verdict},
};

/// An SMTP session, with the transaction that is open in it.
#[derive(Default)]
pub(crate) struct Client {
    session: Session,
    open: Option<Open>,
}

struct Open {
    transaction: Transaction,
    sender: String,
    qualified: bool,
    size: Option<u64>,
    from: Vec<String>,
    spam: Option<bool>,
    report: bool,
    queue_id: Option<String>,
    wanted: Option<Wanted>,
    accepted: Vec<String>,
}

/// What a recipient was answered.
enum Answer {
    Accepted,
    Refused(Reply),
    /// Postfix had refused it before.
    NotAsked,
}

/// What became of the mail of a scenario, counted by the client.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Sent {
    pub(crate) messages: u64,
    pub(crate) recipients: u64,
    pub(crate) refused: u64,
    pub(crate) held: u64,
}

/// Where and when mail is sent.
pub(crate) struct Scene<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) now: Timestamp,
    pub(crate) host: &'a str,
    pub(crate) sent: &'a mut Sent,
    pub(crate) fates: &'a mut Fates,
}

impl Client {
    /// Reads who it is, as far as the words say so.
    pub(crate) fn identify(&mut self, words: &mut Words<'_>) -> Outcome {
        let mut identities = Identities::default();
        loop {
            if words.skip("client") {
                identities.client = Some(fold_address(words.parse("an address")?));
            } else if words.skip("login") {
                identities.login = Some(fold_login(words.next("a login")?, None));
            } else if words.skip("cert") {
                let name = format!("cert:{}", words.next("SUBJECT/ISSUER")?);
                if let ConnectorKey::Certificate(name) = parse(&name)? {
                    identities.certificate = Some(name);
                }
            } else if words.skip("local") {
                identities.local = true;
            } else if words.skip("ignored") {
                self.session.ignore();
            } else {
                self.session.identify(identities);
                return Ok(());
            }
        }
    }

    /// Does what the words say; gives what the client was answered, where
    /// there is an answer: the first word of what must be expected.
    pub(crate) fn act(
        &mut self,
        scene: &mut Scene<'_>,
        action: &str,
        outcome: Option<&str>,
    ) -> Outcome<Option<String>> {
        let (head, recipients) = match action.split_once("rcpt ") {
            Some((head, recipients)) => (head, Some(recipients)),
            None => (action, None),
        };
        let words = &mut Words::new(head);
        let begun = words.skip("mail");
        if begun {
            self.mail(scene, words)?;
        }
        let ended = words.skip("end");
        if words.skip("abort") {
            let open = self.open.take().ok_or("no transaction is open")?;
            scene.engine.at_abandon(&self.session, &open.transaction, scene.now);
        }
        words.end()?;
        let Some(recipients) = recipients else {
            return if ended { self.end(scene).map(Some) } else { Ok(None) };
        };
        let (mut accepted, mut refused) = (false, None);
        for recipient in expand(recipients)? {
            match self.recipient(scene, &recipient, outcome)? {
                Answer::Accepted => accepted = true,
                Answer::Refused(reply) => refused = Some(reply),
                Answer::NotAsked => {}
            }
        }
        match (accepted, refused) {
            (false, refused) => {
                if begun {
                    let open = self.open.take().ok_or("no transaction is open")?;
                    scene.engine.at_abandon(&self.session, &open.transaction, scene.now);
                }
                Ok(Some(match refused {
                    Some(reply) => format!("{reply} at rcpt"),
                    None => "no recipient".into(),
                }))
            }
            _ if begun => self.end(scene).map(Some),
            (_, Some(reply)) => Ok(Some(format!("{reply} at rcpt"))),
            (_, None) => Ok(Some("pass".into())),
        }
    }

    fn mail(&mut self, scene: &Scene<'_>, words: &mut Words<'_>) -> Outcome {
        let sender = words.next("a sender")?;
        let qualified = sender.contains('@') || sender == "<>";
        let sender = if qualified { sender.to_owned() } else { format!("{sender}@{}", scene.host) };
        self.session.serve(scene.host);
        let transaction = scene.engine.begin(&mut self.session, &envelope(&sender, qualified));
        let mut open = Open {
            transaction,
            sender,
            qualified,
            size: None,
            from: Vec::new(),
            spam: None,
            report: false,
            queue_id: None,
            wanted: None,
            accepted: Vec::new(),
        };
        loop {
            if words.skip("size") {
                open.size = Some(words.parse("octets")?);
            } else if words.skip("from") {
                let list = words.next("addresses")?.split(',');
                open.from = list.map(str::to_owned).collect();
            } else if words.skip("spam") {
                open.spam = Some(match words.next("yes or no")? {
                    "yes" => true,
                    "no" => false,
                    word => return Err(format!("{word:?} is neither yes nor no")),
                });
            } else if words.skip("report") {
                open.report = true;
            } else if words.skip("id") {
                open.queue_id = Some(words.next("a queue id")?.to_owned());
            } else if words.skip("fate") {
                open.wanted = Some(Wanted::read(words)?);
            } else {
                self.open = Some(open);
                return Ok(());
            }
        }
    }

    fn recipient(
        &mut self,
        scene: &mut Scene<'_>,
        text: &str,
        outcome: Option<&str>,
    ) -> Outcome<Answer> {
        let (text, own) = match text.split_once('[') {
            Some((text, own)) => (text, Some(own.strip_suffix(']').ok_or("[ without ]")?)),
            None => (text, None),
        };
        let words = &mut Words::new(text);
        let address = words.next("a recipient")?;
        let mut transport = None;
        let mut fate = Fate::Accepted;
        while let Some(word) = words.any() {
            match word {
                "via" => transport = Some(words.next("a transport")?),
                "unknown" => fate = Fate::Unknown,
                "refused" => fate = Fate::Refused,
                _ => return Err(format!("{word:?} is not understood of a recipient")),
            }
        }
        let recipient = Recipient { address, transport, fate };
        let open = self.open.as_mut().ok_or("no transaction is open")?;
        let verdict = scene.engine.at_recipient(
            &mut self.session,
            &mut open.transaction,
            &recipient,
            scene.now,
        );
        // What is expected of every recipient where nothing is of this one.
        let of_all = outcome.and_then(|outcome| outcome.strip_suffix(" at rcpt"));
        match (verdict, own.or(of_all)) {
            (Verdict::Pass, expected) => {
                if fate != Fate::Accepted {
                    return Ok(Answer::NotAsked);
                }
                if let Some(expected) = expected {
                    return Err(format!(
                        "{address}: expected {expected}, but it was accepted: pass"
                    ));
                }
                open.accepted.push(address.to_owned());
                Ok(Answer::Accepted)
            }
            (Verdict::Refuse(reply), Some(expected)) if has_words(&reply.to_string(), expected) => {
                scene.sent.refused += 1;
                Ok(Answer::Refused(reply))
            }
            (Verdict::Refuse(reply), expected) => Err(format!(
                "{address}: expected {}, but it was answered {reply}",
                expected.unwrap_or("it to be accepted")
            )),
            (Verdict::Hold(_), _) => Err(format!("{address}: a recipient can't be held")),
        }
    }

    fn end(&mut self, scene: &mut Scene<'_>) -> Outcome<String> {
        let open = self.open.take().ok_or("no transaction is open")?;
        let queue_id = open.queue_id.unwrap_or_else(|| scene.fates.next_queue_id());
        let message = Message {
            sender: envelope(&open.sender, open.qualified),
            queue_id: Some(&queue_id),
            message_id: None,
            from: &open.from,
            spam: open.spam,
            report: open.report,
            size: open.size,
            host: Some(scene.host),
        };
        let verdict = scene.engine.at_end(&mut self.session, open.transaction, &message, scene.now);
        let counted = !self.session.is_ignored();
        let accepted = open.accepted.len() as u64;
        if let (Verdict::Pass, Some(wanted)) = (&verdict, open.wanted) {
            scene.fates.promise(&queue_id, open.accepted, wanted, scene.now);
        }
        let sent = &mut *scene.sent;
        Ok(match verdict {
            Verdict::Pass => {
                sent.messages += u64::from(counted);
                sent.recipients += if counted { accepted } else { 0 };
                "pass".into()
            }
            Verdict::Refuse(reply) => {
                sent.refused += accepted;
                format!("{reply} at end")
            }
            Verdict::Hold(reason) => {
                sent.held += 1;
                format!("hold {reason}")
            }
        })
    }
}

fn envelope(address: &str, qualified: bool) -> Sender<'_> {
    match address {
        "<>" => Sender::Null,
        _ => Sender::Address { address, qualified },
    }
}
