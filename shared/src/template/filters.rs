//! The filters that the product adds to minijinja's.

use minijinja::{Error, ErrorKind, value::Value};
use serde_json::Value as Json;

use super::values::to_json;

/// `int`: a whole number. Other than minijinja's own it keeps what is missing missing, rather than
/// write a zero that nobody measured.
pub(super) fn int(value: &Value, default: Option<Value>) -> Result<Value, Error> {
    number(value, default, "a whole number", |number| {
        // Within what a JSON reader can hold exactly; what is behind the point goes.
        #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
        (number.abs() < 9e15).then(|| Value::from(number as i64))
    })
}

/// `float`: a number; see [`int`].
pub(super) fn float(value: &Value, default: Option<Value>) -> Result<Value, Error> {
    number(value, default, "a number", |number| {
        number.is_finite().then(|| Value::from(number))
    })
}

fn number(
    value: &Value,
    default: Option<Value>,
    wanted: &str,
    convert: impl Fn(f64) -> Option<Value>,
) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() || value.as_str() == Some("") {
        return Ok(default.unwrap_or(Value::UNDEFINED));
    }
    let number = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => f64::try_from(value.clone()).ok(),
    };
    number.and_then(convert).or(default).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("the value is not {wanted}"),
        )
    })
}

/// `truncate(length)`: what fits into a column of that length. Dataverse counts in UTF-16 code
/// units, of which an emoji has two or more.
pub(super) fn truncate(value: &Value, length: usize) -> Value {
    let Json::String(text) = to_json(value) else {
        return value.clone();
    };
    let mut left = length;
    let fits = |c: &char| match left.checked_sub(c.len_utf16()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    Value::from(text.chars().take_while(fits).collect::<String>())
}

/// `DisconnectTimestamp | minutes_since(InitiationTimestamp)`: whole minutes, rounded up as a
/// phone bill does; missing when one of the two is.
pub(super) fn minutes_since(later: &Value, earlier: &Value) -> Result<Value, Error> {
    let (Some(later), Some(earlier)) = (later.as_str(), earlier.as_str()) else {
        return Ok(Value::UNDEFINED);
    };
    let timestamp = |text: &str| {
        text.parse::<jiff::Timestamp>().map_err(|_| {
            Error::new(
                ErrorKind::InvalidOperation,
                "the value is no ISO 8601 timestamp",
            )
        })
    };
    let seconds = timestamp(later)?.as_second() - timestamp(earlier)?.as_second();
    Ok(Value::from(seconds.max(0).cast_unsigned().div_ceil(60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: Result<Value, Error>) -> Result<Json, String> {
        value
            .map(|value| to_json(&value))
            .map_err(|error| error.detail().unwrap_or_default().to_owned())
    }

    #[test]
    fn truncate_keeps_what_fits_into_a_column() {
        for (text, length, expected) in [
            ("abc", 0, ""),
            ("abc", 2, "ab"),
            ("abc", 3, "abc"),
            ("abc", 4, "abc"),
            // An emoji is two UTF-16 code units, and is never cut in half.
            ("ab📞d", 3, "ab"),
            ("ab📞d", 4, "ab📞"),
            ("ab📞d", 5, "ab📞d"),
            ("📞", 1, ""),
            ("äöü", 2, "äö"),
            ("", 1, ""),
        ] {
            assert_eq!(
                to_json(&truncate(&text.into(), length)),
                expected,
                "{text} {length}"
            );
        }
        assert_eq!(to_json(&truncate(&12345.into(), 2)), 12345);
        assert!(truncate(&Value::UNDEFINED, 2).is_undefined());
    }

    #[test]
    fn minutes_are_rounded_up_and_never_negative() {
        let start = "2026-02-04T21:00:00Z";
        for (end, minutes) in [
            ("2026-02-04T20:59:59Z", 0),
            ("2026-02-04T20:00:00Z", 0),
            ("2026-02-04T21:00:00Z", 0),
            ("2026-02-04T21:00:01Z", 1),
            ("2026-02-04T21:00:59Z", 1),
            ("2026-02-04T21:01:00Z", 1),
            ("2026-02-04T21:01:01Z", 2),
            ("2026-02-04T23:00:00+01:00", 60),
            ("2026-02-05T21:00:00Z", 1440),
        ] {
            let value = minutes_since(&end.into(), &start.into());
            assert_eq!(json(value), Ok(minutes.into()), "{end}");
        }
        for (later, earlier) in [
            (Value::UNDEFINED, start.into()),
            (start.into(), Value::UNDEFINED),
        ] {
            assert!(minutes_since(&later, &earlier).unwrap().is_undefined());
        }
        for (later, earlier) in [("soon", start), (start, "2026-02-04 21:00")] {
            assert_eq!(
                json(minutes_since(&later.into(), &earlier.into())),
                Err("the value is no ISO 8601 timestamp".into())
            );
        }
    }

    #[test]
    fn a_number_is_one_that_json_holds_exactly_or_the_default() {
        let nothing = || [Value::UNDEFINED, Value::from(()), Value::from("")];
        for value in nothing() {
            assert!(int(&value, None).unwrap().is_undefined());
            assert_eq!(json(int(&value, Some(7.into()))), Ok(7.into()));
        }
        for (value, expected) in [
            (Value::from(" 61 "), 61),
            (Value::from("-3.9"), -3),
            (Value::from(3.9), 3),
            (Value::from("8999999999999999"), 8_999_999_999_999_999_i64),
            (Value::from("-8999999999999999"), -8_999_999_999_999_999),
        ] {
            assert_eq!(json(int(&value, None)), Ok(expected.into()));
        }
        for text in ["9000000000000000", "-9000000000000000", "x", "inf", "NaN"] {
            assert_eq!(
                json(int(&text.into(), None)),
                Err("the value is not a whole number".into()),
                "{text}"
            );
            assert_eq!(json(int(&text.into(), Some(7.into()))), Ok(7.into()));
        }
        assert_eq!(json(float(&"6.5".into(), None)), Ok(6.5.into()));
        for text in ["inf", "NaN", "x"] {
            assert_eq!(
                json(float(&text.into(), None)),
                Err("the value is not a number".into())
            );
        }
    }
}
