//! A certificate authority for one test, made with openssl(1).

use std::path::{Path, PathBuf};
use std::process::Command;

use super::run_ok;

/// The common name of the authority: what Postfix hands to a milter as
/// `{cert_issuer}`.
pub(crate) const ISSUER: &str = "Test CA";

/// A certificate and its key, as files.
pub(crate) struct Certificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// The authority and everything it signed, in one directory.
pub(crate) struct Certs {
    dir: PathBuf,
}

impl Certs {
    /// Makes the authority in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        let certs = Self { dir: dir.to_owned() };
        std::fs::create_dir_all(dir).expect("a directory for certificates");
        certs.self_signed("ca", ISSUER);
        certs
    }

    /// What Postfix trusts.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// A certificate signed by the authority. `name` names its files.
    pub(crate) fn issue(&self, name: &str, cn: &str) -> Certificate {
        let made = self.files(name);
        let request = self.dir.join(format!("{name}.csr"));
        let ca = self.files("ca");
        openssl(&["req", "-new", "-subj", &format!("/CN={cn}"), "-out"], &[&request], &made.key);
        run_ok(
            Command::new("openssl")
                .args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"])
                .arg(&request)
                .arg("-CA")
                .arg(&ca.cert)
                .arg("-CAkey")
                .arg(&ca.key)
                .arg("-out")
                .arg(&made.cert),
        );
        made
    }

    /// A certificate that nobody vouches for.
    pub(crate) fn self_signed(&self, name: &str, cn: &str) -> Certificate {
        let made = self.files(name);
        openssl(
            &["req", "-x509", "-days", "2", "-subj", &format!("/CN={cn}")],
            &[Path::new("-out"), &made.cert],
            &made.key,
        );
        made
    }

    fn files(&self, name: &str) -> Certificate {
        Certificate {
            cert: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
        }
    }
}

/// `openssl` with a fresh elliptic-curve key, which takes no time to make.
fn openssl(args: &[&str], files: &[&Path], key: &Path) {
    run_ok(
        Command::new("openssl")
            .args(args)
            .args(files)
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-keyout"])
            .arg(key),
    );
}
