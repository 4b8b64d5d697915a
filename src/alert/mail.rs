//! Alerts by mail: over SMTP to Postfix, with a HELO name that is a pass of our
//! own milter. Plain text; a case is one thread.

use super::{channel::Failure, params::Mail};
use crate::{timestamp::Timestamp, view::Alert};
use lettre::{
    Address, Message, SmtpTransport, Transport,
    address::Envelope,
    message::{
        Body, Mailbox,
        header::{ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue},
    },
    transport::smtp::extension::ClientId,
};
use std::{
    error::Error,
    time::{Duration, SystemTime},
};

/// How long the server may take for each step.
const PATIENCE: Duration = Duration::from_secs(30);
/// Octets of a line of a mail, without its end (RFC 5322).
const MOST_OCTETS: usize = 998;

/// Sends an alert to the mailboxes that are `left`, and takes out those that
/// have it. Each try greets with a name of its own from `helo`.
pub(super) fn send(
    mail: &Mail,
    helo: impl Fn() -> String,
    alert: &Alert,
    left: &mut Vec<String>,
) -> Result<(), Failure> {
    let text = message(mail, alert).map_err(Failure::Never)?;
    let Err((error, refused)) = transfer(mail, helo(), left, &text) else {
        left.clear();
        return Ok(());
    };
    if !refused || left.len() < 2 {
        return Err(Failure::Later(error));
    }
    // One bad mailbox must not keep it from the others, nor one that is full or
    // can't be looked up for now.
    let mut last = None;
    left.retain(|mailbox| {
        let result = transfer(mail, helo(), std::slice::from_ref(mailbox), &text);
        last = result.as_ref().err().map(|(error, _)| error.clone()).or(last.take());
        result.is_err()
    });
    last.map_or(Ok(()), |error| Err(Failure::Later(error)))
}

/// One session. On failure says why, and whether it was a refusal of the server.
fn transfer(mail: &Mail, helo: String, to: &[String], text: &[u8]) -> Result<(), (String, bool)> {
    let unfit = |error: &dyn Error| (error.to_string(), false);
    let addresses: Result<Vec<Address>, _> = to.iter().map(|to| to.parse()).collect();
    let from: Address = mail.from.parse().map_err(|error| unfit(&error))?;
    let envelope = Envelope::new(Some(from), addresses.map_err(|error| unfit(&error))?);
    let envelope = envelope.map_err(|error| unfit(&error))?;
    let server = SmtpTransport::builder_dangerous(mail.host.as_str())
        .port(mail.port)
        .hello_name(ClientId::Domain(helo))
        .timeout(Some(PATIENCE))
        .build();
    server.send_raw(&envelope, text).map(drop).map_err(|error| {
        let place = format!("{}:{}", mail.host, mail.port);
        (format!("{place}: {}", chain(&error)), error.is_permanent() || error.is_transient())
    })
}

fn message(mail: &Mail, alert: &Alert) -> Result<Vec<u8>, String> {
    let mailbox = |address: &str| -> Result<Mailbox, String> {
        let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
        Ok(Mailbox::new(None, address))
    };
    let mut from = mailbox(&mail.from)?;
    from.name = Some("connguard".into());
    let mut builder = Message::builder()
        .from(from)
        .subject(one_line(&alert.subject))
        .date(date(alert.at))
        .message_id(Some(format!("<{}>", alert.id)))
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN);
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    if let Some(first) = &alert.in_reply_to {
        builder = builder.in_reply_to(format!("<{first}>")).references(format!("<{first}>"));
    }
    if let Some(case) = alert.case {
        builder = builder.header(Case(case.to_string()));
    }
    let message = builder.body(body(&alert.text)).map_err(|error| error.to_string())?;
    Ok(message.formatted())
}

/// The text as it is wherever it can be: commands are there to be copied, and logs
/// of mail to be searched.
fn body(text: &str) -> Body {
    let fits = |line: &str| {
        line.len() <= MOST_OCTETS && line.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
    };
    if text.lines().all(fits) {
        let lines: String = text.lines().flat_map(|line| [line, "\r\n"]).collect();
        Body::dangerous_pre_encoded(lines.into_bytes(), ContentTransferEncoding::SevenBit)
    } else {
        Body::new(text.to_owned())
    }
}

fn date(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.as_millis())
}

fn one_line(subject: &str) -> String {
    subject.split(char::is_control).collect::<Vec<_>>().join(" ")
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = next.source();
    }
    text
}

/// Makes the head `Name: value` of a type.
macro_rules! header {
    ($name:literal, $header:ty, $value:expr) => {
        impl Header for $header {
            fn name() -> HeaderName {
                HeaderName::new_from_ascii_str($name)
            }

            fn parse(_: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
                Err("is only written".into())
            }

            fn display(&self) -> HeaderValue {
                let value: fn(&Self) -> String = $value;
                HeaderValue::new(Self::name(), value(self))
            }
        }
    };
}

/// So that nobody answers with an absence note (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;
header!("Auto-Submitted", AutoSubmitted, |_| "auto-generated".into());

/// The case.
#[derive(Clone)]
struct Case(String);
header!("X-Connguard-Case", Case, |case| case.0.clone());
