//! A message as its reader sees it: headers unfolded, text decoded.
//!
//! Reads what mail programs write (quoted-printable, base64, encoded words in a
//! header), one part only: alerts are plain text.

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    /// As it was delivered, octet for octet.
    pub(crate) raw: Vec<u8>,
    /// Names and unfolded values, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// What a mail program shows.
    pub(crate) text: String,
}

impl Note {
    /// Takes a message apart. Line ends may be LF or CRLF.
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let whole = String::from_utf8_lossy(raw).replace("\r\n", "\n");
        let (head, body) = whole.split_once("\n\n").unwrap_or((&whole, ""));
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in head.lines() {
            match (line.strip_prefix([' ', '\t']), headers.last_mut(), line.split_once(':')) {
                (Some(more), Some((_, value)), _) => {
                    value.push(' ');
                    value.push_str(more.trim());
                }
                (_, _, Some((name, value))) => {
                    headers.push((name.to_owned(), value.trim().to_owned()));
                }
                _ => panic!("{line:?} is no header line in\n{whole}"),
            }
        }
        let mut note = Self { raw: raw.to_owned(), headers, text: String::new() };
        let encoding = note.header("Content-Transfer-Encoding").unwrap_or_default();
        note.text = match encoding.to_ascii_lowercase().as_str() {
            "quoted-printable" => text(quoted_printable(body)),
            "base64" => text(base64(body)),
            _ => body.to_owned(),
        };
        note.text = note.text.replace("\r\n", "\n");
        note
    }

    /// The value of the first header of this name, as it came.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let is_it = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_it).map(|(_, value)| value.as_str())
    }

    /// The values of all headers of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let is_it = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().filter(is_it).map(|(_, value)| value.as_str()).collect()
    }

    /// The subject, decoded.
    pub(crate) fn subject(&self) -> String {
        words(self.header("Subject").unwrap_or_default())
    }

    /// The Message-ID with its brackets.
    #[track_caller]
    pub(crate) fn id(&self) -> &str {
        self.header("Message-ID").unwrap_or_else(|| panic!("no Message-ID in {:?}", self.headers))
    }

    /// The HELO name with which it was handed to Postfix, and under which it is
    /// for all to read in the Received header.
    #[track_caller]
    pub(crate) fn helo(&self) -> String {
        let received = self.all("Received");
        let first = received.last().expect("a Received header");
        let name = first.strip_prefix("from ").and_then(|rest| rest.split_whitespace().next());
        name.unwrap_or_else(|| panic!("no HELO name in {first:?}")).to_owned()
    }
}

fn text(octets: Vec<u8>) -> String {
    String::from_utf8(octets).expect("text in UTF-8")
}

/// RFC 2045, 6.7.
fn quoted_printable(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for line in text.split_inclusive('\n') {
        let line = line.strip_suffix("=\n").unwrap_or(line);
        let mut rest = line.as_bytes();
        while let [first, more @ ..] = rest {
            rest = more;
            match (first, more) {
                (b'=', [high, low, more @ ..]) => {
                    octets.push(hex(*high) * 16 + hex(*low));
                    rest = more;
                }
                _ => octets.push(*first),
            }
        }
    }
    octets
}

fn hex(digit: u8) -> u8 {
    let digit = char::from(digit);
    let value = digit.to_digit(16).unwrap_or_else(|| panic!("{digit:?} is no hexadecimal digit"));
    u8::try_from(value).expect("a small number")
}

/// RFC 2045, 6.8; line ends and padding are passed over.
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut octets, mut bits, mut n) = (Vec::new(), 0_u32, 0_u32);
    for octet in text.bytes() {
        let Some(value) = ALPHABET.iter().position(|it| *it == octet) else { continue };
        bits = bits << 6 | u32::try_from(value).expect("a small number");
        n += 6;
        if n >= 8 {
            n -= 8;
            octets.push(u8::try_from(bits >> n & 0xFF).expect("an octet"));
        }
    }
    octets
}

/// Encoded words (RFC 2047) in UTF-8, decoded; blanks between them are none.
fn words(value: &str) -> String {
    let mut decoded = String::new();
    let mut was_encoded = false;
    for word in value.split_inclusive(' ') {
        let bare = word.trim_end();
        let inner = bare.strip_prefix("=?").and_then(|rest| rest.strip_suffix("?="));
        let parts: Vec<_> = inner.map(|it| it.splitn(3, '?').collect()).unwrap_or_default();
        if let [_, encoding, content] = parts[..] {
            if was_encoded && decoded.ends_with(' ') {
                decoded.pop();
            }
            let octets = if encoding.eq_ignore_ascii_case("q") {
                quoted_printable(&content.replace('_', " "))
            } else {
                base64(content)
            };
            decoded.push_str(&text(octets));
            decoded.push_str(&word[bare.len()..]);
            was_encoded = true;
        } else {
            decoded.push_str(word);
            was_encoded = false;
        }
    }
    decoded
}
