//! Debian's packages of the filters: installed where they are missing, in the
//! way of contrib/postfix/packages.sh, which starts no service.

use crate::{Told, peer::Name};
use std::process::Command;

/// Postfix, for the second part and for the check that filters count.
///
/// # Errors
/// It is missing and can't be installed.
pub(crate) fn postfix() -> Told<()> {
    ensure(&["postfix=postfix", "smtp-source=postfix"])
}

/// What this filter needs.
///
/// # Errors
/// It is missing and can't be installed.
pub(crate) fn packages(name: Name) -> Told<()> {
    match name {
        Name::Noop | Name::Connguard => Ok(()),
        Name::Rspamd => ensure(&["rspamd=rspamd", "redis-server=redis-server"]),
        Name::Postfwd => ensure(&["postfwd2=postfwd"]),
        Name::Policyd | Name::PolicydOnDisk => ensure(&["policyd-rate-limit=policyd-rate-limit"]),
    }
}

/// Versions of what is installed.
pub(crate) fn versions() -> String {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\n"]);
    query.args(["postfix", "postfwd", "policyd-rate-limit", "redis-server", "rspamd"]);
    let out = query.output().map(|output| output.stdout).unwrap_or_default();
    let out = String::from_utf8_lossy(&out).into_owned();
    let installed = out.lines().filter_map(|line| line.strip_prefix("ii "));
    installed.map(str::trim).collect::<Vec<_>>().join(", ")
}

fn ensure(pairs: &[&str]) -> Told<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/postfix/packages.sh");
    let mut bash = Command::new("bash");
    bash.args(["-c", r#". "$0" && ensure_packages "$@""#, script]).args(pairs);
    let path = std::env::var("PATH").unwrap_or_default();
    bash.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    let status = bash.status().map_err(|error| format!("bash: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("not installed: {}", pairs.join(", "))) }
}
