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

/// Whether a property of a body holds the URL of a record.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api>
pub(crate) fn is_reference_property(name: &str) -> bool {
    name.ends_with("@odata.bind")
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
    let is_date = value.len() <= 40
        && value.bytes().all(|byte| {
            byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b'+' | b'T' | b'Z')
        })
        && (value.parse::<jiff::civil::Date>().is_ok() && value.len() == 10
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
            "-12.5",
            "true",
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
            "--1",
            "+15550100",
            "1e5",
            "2026-02-04 21:14",
            "5d3f6a1e9c7b4e528f0a2b1c4d6e8f90",
            "{5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90}",
            "TRUE",
            "٣",
        ] {
            assert!(!is_plain_literal(bad), "{bad}");
        }
    }
}
