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
