//! How Dataverse reads a value in a URL.
//!
//! Owns OData's literals (<https://docs.oasis-open.org/odata/odata/v4.0/odata-v4.0-part2-url-conventions.html>),
//! their quoting and encoding, and which properties of a body hold the URL of a record.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

/// The service accepts URLs up to this long.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors#maximum-url-length>
pub(crate) const MAX_URL_LENGTH: usize = 32_768;

/// RFC 3986's unreserved characters: these never need encoding and nothing else is left in a value.
pub(crate) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A value, percent-encoded whole.
pub(crate) fn encode(value: &str) -> String {
    utf8_percent_encode(value, UNRESERVED).to_string()
}

/// A value that stands between single quotes: its own quotes are doubled, then all is encoded.
pub(crate) fn encode_quoted(value: &str) -> String {
    encode(&value.replace('\'', "''"))
}

/// A text as OData writes it: between single quotes, with its own doubled.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What needs no encoding in the value of a query option.
const KEEP_IN_OPTION: &AsciiSet = &UNRESERVED
    .remove(b'(')
    .remove(b')')
    .remove(b'\'')
    .remove(b',')
    .remove(b'*')
    .remove(b'/')
    .remove(b':');

/// The value of a query option that is written here, and not by a template: encoded so that it stays one
/// value and can still be read.
pub(crate) fn encode_option(value: &str) -> String {
    utf8_percent_encode(value, KEEP_IN_OPTION).to_string()
}

/// A value that stands in FetchXML, in an attribute's quotes or between two tags: it is escaped, so
/// that it ends neither, and then encoded.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/overview>
pub(crate) fn encode_xml(value: &str) -> String {
    let escaped = value
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&apos;");
    encode(&escaped)
}

/// Whether a query option holds FetchXML. The case of its letters is of no account.
pub(crate) fn is_fetch_xml(option: &str) -> bool {
    option.trim().eq_ignore_ascii_case("fetchXml")
}

/// The property that says which record an object stands for.
pub(crate) const RECORD_URL: &str = "@odata.id";

/// Whether a property of a body holds the URL of a record, or a list of them.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api>
pub(crate) fn is_reference_property(name: &str) -> bool {
    name.ends_with("@odata.bind") || name.ends_with(RECORD_URL)
}

/// Whether a value is an OData literal that stands without quotes: a GUID, a number, a boolean, a
/// date or a date with time and offset.
/// <https://docs.oasis-open.org/odata/odata/v4.0/odata-v4.0-part2-url-conventions.html> (5.1.1.6)
pub(crate) fn is_plain_literal(value: &str) -> bool {
    let is_guid = value.len() == 36 && Uuid::try_parse(value).is_ok();
    let is_number = {
        let digits = value.strip_prefix('-').unwrap_or(value);
        let mut parts = digits.splitn(2, '.');
        let digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        parts.next().is_some_and(digits) && parts.next().is_none_or(digits)
    };
    let is_date = value.bytes().all(|byte| {
        byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b'+' | b'T' | b'Z')
    }) && (value.parse::<jiff::civil::Date>().is_ok() && value.len() == 10
        || value.parse::<jiff::Timestamp>().is_ok());
    is_guid || is_number || is_date || matches!(value, "true" | "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_quotes_only_plain_literals_stand() {
        for good in [
            "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90",
            "0",
            "61",
            "-12.5",
            "true",
            "false",
            "2026-02-04",
            "2026-02-04T21:14:16Z",
            "2026-02-04T21:14:16.123+01:00",
        ] {
            assert!(is_plain_literal(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "null",
            "1 or 1 eq 1",
            "1)",
            "'a'",
            "1.",
            ".5",
            "-",
            "--1",
            "1.a",
            "a.1",
            "1.2.3",
            "+15550100",
            "1e5",
            "2026-02-04 21:14",
            "2026-02-04 21:14:16Z",
            "2026-02-04T21:14:16",
            "2026-13-04",
            "12:34:56.7",
            "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f9x",
            "5d3f6a1e9c7b4e528f0a2b1c4d6e8f90",
            "{5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90}",
            "TRUE",
            "٣",
        ] {
            assert!(!is_plain_literal(bad), "{bad}");
        }
    }

    #[test]
    fn a_value_is_encoded_by_where_it_stands() {
        assert_eq!(
            encode("a-b_c.d~e f/g'h+é"),
            "a-b_c.d~e%20f%2Fg%27h%2B%C3%A9"
        );
        assert_eq!(encode_quoted("o'hara & co"), "o%27%27hara%20%26%20co");
        assert_eq!(
            encode_xml("'/><a b=\"c\">&lt;"),
            encode("&apos;/&gt;&lt;a b=&quot;c&quot;&gt;&amp;lt;")
        );
    }

    #[test]
    fn fetch_xml_and_references_are_known_by_their_names() {
        for (name, expected) in [("fetchXml", true), ("FETCHXML", true), ("$filter", false)] {
            assert_eq!(is_fetch_xml(name), expected, "{name}");
        }
        for (name, expected) in [
            ("regardingobjectid_contact@odata.bind", true),
            ("@odata.id", true),
            ("@odata.type", false),
            ("subject", false),
        ] {
            assert_eq!(is_reference_property(name), expected, "{name}");
        }
    }
}
