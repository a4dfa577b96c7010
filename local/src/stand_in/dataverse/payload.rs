//! A body's fields held against their table: names, types, lengths, options.
//!
//! Lookups are the business of [`super::records`], which knows the records that they name.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::{
    error::{Refusal, refuse},
    schema::{Access, Kind, Table},
};

/// Checks the value of a column; returns it as it is stored.
pub(super) fn check(table: &Table, name: &str, value: Json) -> Result<Json, Refusal> {
    let Some(kind) = table.kind(name) else {
        return Err(Refusal::payload(
            table,
            &format!(
                "Invalid property '{name}' was found in entity 'Microsoft.Dynamics.CRM.{}'.",
                table.logical_name
            ),
        ));
    };
    let is_read_only = table
        .column(name)
        .is_some_and(|column| column.access == Access::ReadOnly);
    if is_read_only || name.starts_with('_') {
        return Err(Refusal::payload(
            table,
            &format!("The property '{name}' is read-only."),
        ));
    }
    if !kind.accepts(&value) {
        let literal = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        return Err(Refusal::payload(
            table,
            &format!(
                "Cannot convert the literal '{literal}' of the property '{name}' to the expected type '{}'.",
                kind.edm()
            ),
        ));
    }
    match (kind, &value) {
        (Kind::Text(max), Json::String(text)) if text.encode_utf16().count() > max => refuse(
            400,
            "0x80044331",
            format!(
                "A validation error occurred. The length of the '{name}' attribute of the '{}' entity exceeded the maximum allowed length of '{max}'.",
                table.logical_name
            ),
        ),
        (Kind::Integer(max), Json::Number(number))
            if number
                .as_i64()
                .is_none_or(|number| !(0..=max).contains(&number)) =>
        {
            Err(Refusal::out_of_range(table, name, number))
        }
        (Kind::Choice(options), Json::Number(number))
            if !options.contains(&number.as_i64().unwrap_or(-1)) =>
        {
            Err(Refusal::out_of_range(table, name, number))
        }
        (Kind::DateTime, Json::String(text)) => Ok(whole_seconds(text).into()),
        _ => Ok(value),
    }
}

/// Dataverse keeps whole seconds, in UTC.
fn whole_seconds(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => Timestamp::from_second(time.as_second())
            .unwrap_or(time)
            .to_string(),
        Err(_) => format!("{text}T00:00:00Z"),
    }
}
