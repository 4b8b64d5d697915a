//! swaks(1), for what the small client does not speak: TLS.

use std::process::Command;

use super::certs::Certificate;
use super::run;

/// How a swaks run ended, and its dialog.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) exit: i32,
    pub(crate) transcript: String,
}

impl Dialog {
    /// Whether the whole message was accepted.
    pub(crate) fn accepted(&self) -> bool {
        self.exit == 0
    }

    #[track_caller]
    pub(crate) fn assert_accepted(&self) {
        assert!(self.accepted(), "refused: {self:#?}");
    }

    #[track_caller]
    pub(crate) fn assert_tempfail(&self) {
        assert!(!self.accepted(), "accepted: {self:#?}");
        assert!(self.transcript.contains(" 451 4.7.1 "), "{self:#?}");
        let case = super::smtp::case_in(&self.transcript);
        assert!(case.is_some(), "no case id: {self:#?}");
    }
}

/// Runs swaks with these arguments.
pub(crate) fn swaks(args: &[&str]) -> Dialog {
    let output = run(Command::new("swaks").args(args));
    let mut transcript = String::from_utf8_lossy(&output.stdout).into_owned();
    transcript.push_str(&String::from_utf8_lossy(&output.stderr));
    Dialog { exit: output.status.code().unwrap_or(-1), transcript }
}

/// One message over TLS from this loopback address, with a certificate where
/// there is one.
pub(crate) fn send_tls(
    client: &str,
    port: u16,
    certificate: Option<&Certificate>,
    from: &str,
    to: &str,
) -> Dialog {
    let server = format!("127.0.0.1:{port}");
    let mut args = vec!["--server", &server, "--local-interface", client];
    args.extend(["--ehlo", "client.test", "--tls", "--timeout", "30"]);
    args.extend(["--from", from, "--to", to]);
    let files = certificate.map(|it| [&it.cert, &it.key].map(|path| path.display().to_string()));
    if let Some([cert, key]) = &files {
        args.extend(["--tls-cert", cert, "--tls-key", key]);
    }
    swaks(&args)
}
