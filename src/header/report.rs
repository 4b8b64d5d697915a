//! Whether a message says of itself that it is a delivery report.

/// Whether this value of a Content-Type header is that of a delivery report
/// (RFC 3464) or a disposition notification (RFC 8098): `multipart/report` with
/// the parameter `report-type=delivery-status` or `disposition-notification`.
///
/// White space, folds and comments may stand between all parts, letter case
/// makes no difference, a value may be quoted. What can't be a parameter is
/// skipped to the next semicolon. Of two report types with different values
/// neither is believed; parameters in parts (RFC 2231) are not put together.
pub fn is_delivery_report(value: &[u8]) -> bool {
    let mut rest = Rest(value);
    if !(rest.word_is(b"multipart") && rest.mark(b'/') && rest.word_is(b"report")) {
        return false;
    }
    let mut report = None;
    while rest.goes_to_parameter() {
        let is_type = rest.word_is(b"report-type");
        if !(is_type && rest.mark(b'=')) {
            continue;
        }
        let is = rest.value_is_one_of(&[b"delivery-status", b"disposition-notification"]);
        report = Some(is && report != Some(false));
    }
    report == Some(true)
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Takes the next word; says whether it is this one, in any case.
    fn word_is(&mut self, wanted: &[u8]) -> bool {
        self.word().eq_ignore_ascii_case(wanted)
    }

    /// The next token (RFC 2045), empty where there is none.
    fn word(&mut self) -> &'a [u8] {
        self.skip_gap();
        let is_special =
            |byte: &u8| !byte.is_ascii_graphic() || b"()<>@,;:\\\"/[]?=".contains(byte);
        let end = self.0.iter().position(is_special).unwrap_or(self.0.len());
        self.take(end)
    }

    /// Takes a token, or a quoted string without its quotes; says whether it is
    /// one of these, in any case.
    fn value_is_one_of(&mut self, wanted: &[&[u8]]) -> bool {
        self.skip_gap();
        if self.0.first() != Some(&b'"') {
            let word = self.word();
            return wanted.iter().any(|wanted| word.eq_ignore_ascii_case(wanted));
        }
        let text = self.take(quoted(self.0));
        let is = |wanted: &[u8]| {
            inside(text)
                .map(|byte| byte.to_ascii_lowercase())
                .eq(wanted.iter().map(u8::to_ascii_lowercase))
        };
        wanted.iter().any(|wanted| is(wanted))
    }

    /// Takes this mark, if it is next.
    fn mark(&mut self, wanted: u8) -> bool {
        self.skip_gap();
        let is_next = self.0.first() == Some(&wanted);
        if is_next {
            self.take(1);
        }
        is_next
    }

    /// Goes behind the next semicolon; says whether there was one.
    fn goes_to_parameter(&mut self) -> bool {
        loop {
            self.skip_gap();
            match self.0.first() {
                None => return false,
                Some(b';') => {
                    self.take(1);
                    return true;
                }
                Some(b'"') => drop(self.take(quoted(self.0))),
                Some(_) => drop(self.take(1)),
            }
        }
    }

    /// Skips white space, control characters and comments.
    fn skip_gap(&mut self) {
        loop {
            match self.0.first() {
                Some(b'(') => {
                    let length = comment(self.0);
                    self.take(length);
                }
                Some(byte) if *byte <= b' ' || *byte == 0x7f => drop(self.take(1)),
                _ => return,
            }
        }
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }
}

/// Length of the comment that begins here, nested ones included; one without an
/// end takes all.
fn comment(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut bytes = text.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'(' => depth += 1,
            b')' if depth <= 1 => return at + 1,
            b')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of the quoted string that begins here; one without an end takes all.
fn quoted(text: &[u8]) -> usize {
    let mut bytes = text.iter().enumerate().skip(1);
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => return at + 1,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    text.len()
}

/// What a quoted string says: folds in it are closed.
fn inside(quoted: &[u8]) -> impl Iterator<Item = u8> {
    let mut bytes = quoted.iter().copied().skip(1);
    std::iter::from_fn(move || {
        loop {
            match bytes.next()? {
                b'"' => return None,
                b'\\' => return bytes.next(),
                b'\r' | b'\n' => {}
                byte => return Some(byte),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reports_are_known_in_every_spelling() {
        for value in [
            &b" multipart/report; report-type=delivery-status;\r\n\tboundary=\"a/b\""[..],
            b"Multipart/Report; boundary=\"x;y\\\";report-type=none\"; Report-Type=\"Delivery-Status\"",
            b"multipart/report;\n report-type=disposition-notification",
            b"multipart (a \\) comment (in one)) / report ;report-type = (really) delivery-status ;",
            b"multipart/report; boundary==; report-type=delivery-status",
        ] {
            assert!(is_delivery_report(value), "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for value in [
            &b""[..],
            b"multipart/report",
            b"multipart/report; report-type=",
            b"multipart/report; report-type=feedback-report",
            b"multipart/mixed; report-type=delivery-status",
            b"multipart/reports; report-type=delivery-status",
            b"text/plain; x=\"multipart/report; report-type=delivery-status\"",
            b"multipart/report; boundary=\"; report-type=delivery-status",
            b"multipart/report; boundary=\"; report-type=delivery-status\"",
            b"multipart/report (; report-type=delivery-status",
            b"multipart/report; report-type=delivery-status; report-type=x",
            b"multipart/report; report-type=x; report-type=delivery-status",
            b"multipart/report; report-type*0=delivery-; report-type*1=status",
            b"\xff\xfe\x00(((((",
        ] {
            assert!(!is_delivery_report(value), "{}", String::from_utf8_lossy(value));
        }
    }

    proptest! {
        #[test]
        fn any_input_has_an_answer(value in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut text = b"multipart/report;".to_vec();
            text.extend(&value);
            is_delivery_report(&value);
            is_delivery_report(&text);
        }
    }
}
