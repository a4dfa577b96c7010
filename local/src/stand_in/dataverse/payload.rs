//! A body's fields held against their table: names, types, lengths, options.
//!
//! Lookups are the business of [`super::records`], which knows the records that they name.

use jiff::Timestamp;
use serde_json::Value as Json;
use uuid::Uuid;

use super::{
    error::{Refusal, refuse},
    schema::{Access, Kind, Table, is_own_option},
};

/// Checks the value of a column; returns it as it is stored. What cannot be checked is held as it is,
/// and `notes` says so.
pub(super) fn check(
    table: &Table,
    name: &str,
    value: Json,
    notes: &mut Vec<String>,
) -> Result<Json, Refusal> {
    let Some(kind) = table.kind(name) else {
        return unchecked(table, name, value, notes);
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
        (Kind::Integer(_) | Kind::Choice(_), Json::Number(number)) => {
            let whole = number.as_i64().unwrap_or(-1);
            if kind.has_in_range(whole) {
                return Ok(value);
            }
            let is_choice = matches!(kind, Kind::Choice(_)) && name != "statecode";
            if !is_choice || !is_own_option(whole) {
                return Err(Refusal::out_of_range(table, name, number));
            }
            notes.push(format!(
                "the stand-in does not know the environment's own options: {whole} of `{name}` was not checked"
            ));
            Ok(value)
        }
        (Kind::DateTime, Json::String(text)) => Ok(whole_seconds(text).into()),
        (Kind::Guid, Json::String(text)) => {
            let id = Uuid::try_parse(text);
            Ok(id.map_or_else(|_| value.clone(), |id| id.to_string().into()))
        }
        _ => Ok(value),
    }
}

/// Takes the value of a column that is not described, if the table may have it.
fn unchecked(
    table: &Table,
    name: &str,
    value: Json,
    notes: &mut Vec<String>,
) -> Result<Json, Refusal> {
    // Of a table that is not known, this is said once, not for each column.
    let Some(known) = table.known else {
        return Ok(value);
    };
    if known.has_lookup(name) {
        return Err(Refusal::payload(
            table,
            "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead.",
        ));
    }
    if known.may_have(name) {
        notes.push(format!(
            "the stand-in does not know the column `{name}` of {}: it was not checked",
            known.logical_name
        ));
        return Ok(value);
    }
    if value.is_object() && known.may_bind(name) {
        return Err(Refusal::not_modelled("a record inside of another's body"));
    }
    Err(Refusal::payload(
        table,
        &format!(
            "Invalid property '{name}' was found in entity 'Microsoft.Dynamics.CRM.{}'.",
            table.logical_name
        ),
    ))
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
