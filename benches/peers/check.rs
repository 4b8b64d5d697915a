//! Whether a filter counts by client: what it costs to count is no figure of
//! one that does not.

use crate::{
    Told,
    filters::{LIMITED, UNLIMITED},
    peer::{Limit, Name, Peer, Site},
    postfix::Postfix,
    smtp::Session,
};

/// With a limit of three messages, it takes no more than these.
const MOST: usize = 8;

/// Starts it with a limit that is near, sends beyond it through Postfix, and
/// sees who is refused.
///
/// # Errors
/// It does not start, refuses nobody, or somebody else too.
pub(crate) fn counts(name: Name, site: &Site, postfix: &Postfix) -> Told<()> {
    if name == Name::Noop {
        return Ok(());
    }
    let _peer = Peer::start(name, site, Limit::Near)?;
    let port = postfix.port(Some(name))?;
    let mut limited = Session::open(port, LIMITED)?;
    let mut accepted = 0;
    let refusal = loop {
        let recipient = format!("person{accepted}@example.net");
        let (code, text) = limited.send("user@example.org", &recipient)?;
        if code >= 400 {
            break text;
        }
        accepted += 1;
        if accepted > MOST {
            return Err(format!("it does not count: {accepted} messages passed a limit of 3"));
        }
    };
    if accepted == 0 {
        return Err(format!("it refused the first message: {refusal}"));
    }
    limited.quit()?;
    let mut other = Session::open(port, UNLIMITED)?;
    let (code, text) = other.send("user@example.org", "person@example.net")?;
    if code >= 400 {
        return Err(format!("it does not count by client: another one was refused, too: {text}"));
    }
    eprintln!("{name}: counts by client; after {accepted} messages: {refusal}");
    other.quit()
}
