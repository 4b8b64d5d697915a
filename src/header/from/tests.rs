//! What a From header is read as: by table, then by property.

use proptest::prelude::*;

use super::*;

const EMPTY: &str = "empty";
const BROKEN: &str = "broken";

#[test]
fn plain() {
    check(" a@b.test", "a@b.test");
    check(" Jane Doe <a@b.test>", "a@b.test");
    check("<a@b.test>\r\n", "a@b.test");
    check("Jane.Q.Doe <A@B.test>", "A@B.test");
    check("a@b.test (Jane)", "a@b.test");
    check("root@localhost", "root@localhost");
    check("Jane <a+x=y_z@b-c.test>", "a+x=y_z@b-c.test");
}

#[test]
fn lists_and_groups() {
    check("a@b.test, Jane <c@d.test>", "a@b.test c@d.test");
    check("a@b.test,, <c@d.test>,", "a@b.test c@d.test");
    check("Team: a@x.test, B <b@y.test>;", "a@x.test b@y.test");
    check("T: a@x.test;, U: b@y.test; c@z.test", "a@x.test b@y.test c@z.test");
    check("\"T: t@t.test\": a@x.test;", "a@x.test");
    check("undisclosed-recipients:;", EMPTY);
}

#[test]
fn folds_comments_and_space() {
    check("Jane\r\n Doe\r\n\t<a@b.test>\r\n", "a@b.test");
    check("Jane\n <a@b\n .test>", "a@b.test");
    check("jane . doe @ x(off(ic)e).test", "jane.doe@x.test");
    check("(x@y.test) Jane (z@z.test) <a(c)@(c)b.test> (c)", "a@b.test");
    check("(\\) <x@y.test>) <a@b.test>", "a@b.test");
    check("", EMPTY);
    check(" \r\n ", EMPTY);
    check("(a@b.test)", EMPTY);
    check("<>", EMPTY);
}

#[test]
fn white_space_of_any_kind_is_around_the_parts_and_not_in_them() {
    check("a@\u{a0}x.test", "a@x.test");
    check("\u{2003}a\u{a0}@\u{3000}x.test\u{a0}", "a@x.test");
    check("\"\u{a0}\"@x.test", "\"\u{a0}\"@x.test");
    check("\u{a0}@x.test b@x.test", "b@x.test");
}

#[test]
fn apostrophes_around_an_address_are_no_part_of_it() {
    check("'jane@x.test'", "jane@x.test");
    check("''jane@x.test''", "jane@x.test");
    check("'\u{a0}'jane@x.test'", "jane@x.test");
    check("'jane@x.test'.", "jane@x.test");
    check("jane@x.test'", "jane@x.test");
    check("'jane@x.test", "'jane@x.test");
    check("o'hara@x.test", "o'hara@x.test");
    check("''@x.test'", "'@x.test");
}

#[test]
fn quotes() {
    check("\"x@y.test\" <z@w.test>", "z@w.test");
    check("\"<x@y.test>\" <z@w.test>", "z@w.test");
    check("\"Doe, \\\"J\\\" <x@y.test>, \" <z@w.test>", "z@w.test");
    check("\"ab@c\"@x.test", "\"ab@c\"@x.test");
    check("<\"a>b\"@x.test>", "\"a>b\"@x.test");
    check("<a.\"b,c\".d@x.test>", "a.\"b,c\".d@x.test");
    check("\"Jane\"a@b.test", "a@b.test");
    check("'x@y.test' <z@w.test>", "z@w.test");
    check("'a@b.test'", "a@b.test");
    check("'t.hooft@b.test", "'t.hooft@b.test");
    let FromField::Addresses(list) = from_addresses(b"\"a b@c\"@x.test") else {
        return assert_eq!(EMPTY, "an address");
    };
    let parts: Vec<_> = list.iter().filter_map(|address| address.rsplit_once('@')).collect();
    assert_eq!(parts, [("\"a b@c\"", "x.test")]);
}

#[test]
fn the_angle_address_counts() {
    check("x@y.test <z@w.test>", "z@w.test");
    check("ceo@bank.test via List <l@w.test>", "l@w.test");
    check("<z@w.test> x@y.test", "z@w.test");
    check("<z@w.test> x@y.test, <a@b.test>", "z@w.test a@b.test");
    check("<a@b.test> <c@d.test>", "a@b.test c@d.test");
}

#[test]
fn encoded_words_are_never_addresses() {
    check("=?utf-8?Q?J=C3=A4ne?= <a@b.test>", "a@b.test");
    check("=?utf-8?B?PGFAYi50ZXN0Pg==?= <z@w.test>", "z@w.test");
    check("=?utf-8?Q?=3Cx=40y.test=3E?= <z@w.test>", "z@w.test");
    check("=?utf-8?Q?<x@y.test>,?= <z@w.test>", "z@w.test");
    check("=?utf-8?Q?x,_y?= =?utf-8?Q?\"(?= <z@w.test>", "z@w.test");
    check("=?utf-8?q?a@b.test?=", BROKEN);
    check("\"=?utf-8?q?a@b.test?=\"", BROKEN);
    check("x=?utf-8?q?<a@b.test>?=", BROKEN);
    check("<=?utf-8?q?a=40b.test?=>", BROKEN);
    check("<x@=?utf-8?q?b.test?=>", BROKEN);
    check("<=?utf-8?q?x@y.test,?=@b.test>", BROKEN);
    // Plain text in an address, so it stays what it is.
    check("<=?utf-8?q?=61?=@b.test>", "=?utf-8?q?=61?=@b.test");
    // Not encoded words.
    check("=?utf-8?q? <a@b.test>", "a@b.test");
    check("=??q?x?= =?u?x?y?= =?u?q?x <a@b.test>", "a@b.test");
}

#[test]
fn domains() {
    check("a@[192.0.2.7]", "a@[192.0.2.7]");
    check("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]");
    check("[List] Jane <a@b.test>", "a@b.test");
    check("[a@b.test]", "a@b.test");
    check("a@[192.0.2.7", "a@192.0.2.7");
    check("a@b.test.", "a@b.test");
    check("<a@b.test..>", "a@b.test");
    check("a@.", BROKEN);
    check("<@a.test,@b.test:u@c.test>", "u@c.test");
    check("<@a.test:u@c.test>", "u@c.test");
    check("a@b@c.test", "a@b@c.test");
    check("jäne@bücher.test", "jäne@bücher.test");
    check("<mailto:a@b.test>", "a@b.test");
    check("EXAMPLE\\jane@b.test", "EXAMPLE\\jane@b.test");
}

#[test]
fn broken() {
    check("Jane Doe", BROKEN);
    check("\"Jane\" <>", BROKEN);
    check("<jane>", BROKEN);
    check("@b.test", BROKEN);
    check("a@", BROKEN);
    check("<@>", BROKEN);
    check("\"Jane <a@b.test>", "a@b.test");
    check("Jane\" <a@b.test>", "a@b.test");
    check("<a@b.test", "a@b.test");
    check("<<a@b.test>>", "a@b.test");
    check("a@b.test>", "a@b.test");
    check("Jane <a@b.test, Joe <c@d.test>", "a@b.test c@d.test");
    check("I <3 mail <a@b.test>", "a@b.test");
    check("Jane (at work <a@b.test>", "a@b.test");
    check("Jane) <a@b.test>", "a@b.test");
    check("Jane a@b.test", "a@b.test");
    check("\"a@b.test\"", "a@b.test");
    check("\"a@b.test\" <>", "a@b.test");
    check("a@b.test <>", "a@b.test");
    check("a@b.test; c@d.test", "a@b.test c@d.test");
    check("a@b.test:", "a@b.test");
}

#[test]
fn control_and_8_bit_bytes() {
    check("<a\0b@c.test>", "b@c.test");
    check("Jane\0<a@b.test\x7f>\0", "a@b.test");
    check("\"a\x1b\u{9b}\r\n b\"@x.test", "\"a\u{fffd}\u{fffd} b\"@x.test");
    check("a@b.test\u{a0}", "a@b.test");
    let value = b"J\xe4ne <j\xe4ne@b.test>";
    assert_eq!(read(value), "j\u{fffd}ne@b.test");
}

#[test]
fn long_values_are_read_to_the_end_and_cut() {
    let long = "x".repeat(5000);
    // Cut off it would be another domain.
    let hidden = format!("a@{}shop.test.evil.test", "\u{a0}".repeat(123));
    assert_eq!(from_addresses(hidden.as_bytes()), FromField::Broken);
    check(&format!("{long} \"{long}\" ({long}) <a@b.test>"), "a@b.test");
    let cut = format!("{}@b.test", "x".repeat(MAX_LOCAL));
    check(&format!("<{long}@b.test>"), &cut);
    check(&format!("<a@{long}>"), BROKEN);
    let dots = ".".repeat(300);
    check(&format!("<a@good.test{dots}bad.test>"), BROKEN);
    let many = "a@b.test,".repeat(1000);
    assert_eq!(from_addresses(many.as_bytes()).addresses().len(), MAX_ADDRESSES);
    let many = "\"a@b.test\"".repeat(1000);
    assert_eq!(from_addresses(many.as_bytes()).addresses().len(), MAX_ADDRESSES);
}

/// What would take minutes if the time grew with the square of the length.
#[test]
fn hostile_values_take_linear_time() {
    for part in [
        "(", "((a)", "\"\\\"", "<", "@[", "=?", "=?u?q?", "@", ".", "\"", "a@", "[", "(\"",
        "=?u?q?x", "\\", "x ", ":", "\"a\"",
    ] {
        let value = part.repeat(300_000 / part.len());
        let found = from_addresses(value.as_bytes());
        assert!(found.addresses().len() <= MAX_ADDRESSES, "{part:?}");
    }
}

/// Bytes of which most mean something to the parser.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let meaning = proptest::sample::select(b"\"\\()<>@,;:.[]=?q \r\n\0ab\xc3\xa4".to_vec());
    proptest::collection::vec(prop_oneof![8 => meaning, 1 => any::<u8>()], 0..300)
}

/// White space, folds and comments.
fn space() -> impl Strategy<Value = String> {
    "([ \t]|\r\n |\\([a-z<@,\" ]{0,5}(\\([a-z>]{0,3}\\))?\\)){0,3}"
}

/// A display name that ends in white space, or none.
fn name() -> impl Strategy<Value = String> {
    let atoms = "([A-Za-z0-9!#'*+/^_`{|}~-]{1,8} ){0,3}";
    let quoted = "\"([ !#-\\[\\]-~äß]|\\\\[\"\\\\a]){0,20}\" ";
    let encoded = "(=\\?(utf-8|iso-8859-1)\\?[qQbB]\\?[!->@-~]{0,20}\\?= ){1,2}";
    prop_oneof![atoms, quoted, encoded]
}

fn addr_spec() -> impl Strategy<Value = (String, String)> {
    let local = prop_oneof![
        "[A-Za-z0-9!#$%&*+/=^_`{|}~-]{1,8}(\\.[a-z0-9]{1,5}){0,2}",
        "\"([ !#-\\[\\]-~]|\\\\[\"\\\\]){0,10}\"",
    ];
    let domain = "[a-z0-9]{1,8}(\\.[a-z0-9-]{1,6}[a-z]){0,3}|\\[[0-9.:]{1,12}\\]";
    (local, domain)
}

proptest! {
    #[test]
    fn any_bytes_give_bounded_addresses(value in prop_oneof![
        hostile(),
        proptest::collection::vec(any::<u8>(), 0..300),
    ]) {
        let field = from_addresses(&value);
        prop_assert!(field.addresses().len() <= MAX_ADDRESSES);
        for address in field.addresses() {
            let (local, domain) = address.rsplit_once('@').unwrap_or_default();
            prop_assert!((1..=MAX_LOCAL).contains(&local.len()));
            prop_assert!((1..=MAX_DOMAIN).contains(&domain.len()));
            prop_assert!(!address.contains(char::is_control));
        }
    }

    #[test]
    fn buffers_that_are_used_again_hold_the_same(
        values in proptest::collection::vec(hostile(), 1..6),
        messages in 1usize..4,
    ) {
        let mut addresses = Addresses::default();
        for _ in 0..messages {
            addresses.clear();
            let mut expected = Vec::new();
            for value in &values {
                addresses.add(value);
                expected.extend_from_slice(from_addresses(value).addresses());
            }
            expected.truncate(MAX_ADDRESSES);
            prop_assert_eq!(addresses.as_slice(), expected);
        }
    }

    #[test]
    fn mailboxes_give_their_addr_spec(
        boxes in proptest::collection::vec((name(), addr_spec(), any::<bool>()), 1..5),
        space in proptest::collection::vec(space(), 7),
        group in proptest::option::of(name()),
    ) {
        let [s0, s1, s2, s3, s4, s5, s6] = <[String; 7]>::try_from(space).unwrap_or_default();
        let mut written = Vec::new();
        let mut expected = Vec::new();
        for (name, (local, domain), bare) in boxes {
            expected.push(format!("{local}@{domain}"));
            written.push(if bare {
                format!("{s0}{local}{s1}@{s2}{domain}{s3}")
            } else {
                format!("{s4}{name}{s5}<{s0}{local}{s1}@{s2}{domain}{s3}>{s6}")
            });
        }
        let list = written.join(",");
        let value = match group {
            Some(name) => format!("{s1}{name}{s2}:{list};{s3}"),
            None => list,
        };
        prop_assert_eq!(read(value.as_bytes()), expected.join(" "), "{}", value);
    }

    #[test]
    fn what_an_encoded_word_says_changes_nothing(text in "[!->@-~]{0,40}", local in "[a-z]{1,5}") {
        let word = format!("=?utf-8?Q?{text}?=");
        prop_assert_eq!(read(format!("{word} <{local}@b.test>").as_bytes()), format!("{local}@b.test"));
        prop_assert_eq!(read(word.as_bytes()), BROKEN);
    }
}

fn read(value: &[u8]) -> String {
    match from_addresses(value) {
        FromField::Addresses(list) => list.join(" "),
        FromField::Empty => EMPTY.to_owned(),
        FromField::Broken => BROKEN.to_owned(),
    }
}

#[track_caller]
fn check(value: &str, expected: &str) {
    assert_eq!(read(value.as_bytes()), expected, "{value:?}");
}
