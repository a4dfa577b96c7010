//! Reading a request: the record that a path names, the query options, the headers and the body.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::error::{Refusal, refuse};

/// A record's key: its id, or a column that identifies it.
pub(super) enum RecordKey {
    Id(Uuid),
    Column(String, String),
}

/// Query options by their names.
pub(super) type Options = BTreeMap<String, String>;

/// The entity set and the key of `phonecalls(<key>)`.
pub(super) fn read_path(path: &str) -> Result<(String, Option<RecordKey>), Refusal> {
    let syntax = || Refusal::malformed("Bad Request - Error in query syntax.");
    let decoded = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| syntax())?
        .into_owned();
    let Some((set, key)) = decoded.split_once('(') else {
        if decoded.contains('/') {
            return refuse(
                501,
                "0x80060888",
                "The stand-in knows no paths below an entity set.",
            );
        }
        return Ok((decoded, None));
    };
    let key = key.strip_suffix(')').ok_or_else(syntax)?;
    if let Ok(id) = Uuid::try_parse(key) {
        return Ok((set.to_owned(), Some(RecordKey::Id(id))));
    }
    let (column, value) = key.split_once('=').ok_or_else(syntax)?;
    let column = column.to_owned();
    if let Ok(id) = Uuid::try_parse(value) {
        return Ok((
            set.to_owned(),
            Some(RecordKey::Column(column, id.to_string())),
        ));
    }
    let value = value
        .strip_prefix('\'')
        .and_then(|value| value.strip_suffix('\''))
        .ok_or_else(syntax)?;
    if value.replace("''", "").contains('\'') {
        return Err(syntax());
    }
    let key = RecordKey::Column(column, value.replace("''", "'"));
    Ok((set.to_owned(), Some(key)))
}

/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview#odata-query-options>
pub(super) fn read_options(query: &str) -> Result<Options, Refusal> {
    let mut options = Options::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (name, value) = (decode(name), decode(value));
        match name.as_str() {
            "$select" | "$filter" | "$top" | "$orderby" => {}
            "$expand" | "$count" | "$apply" => {
                return refuse(
                    501,
                    "0x80060888",
                    format!("The stand-in does not know {name}."),
                );
            }
            name => return Err(unsupported(name)),
        }
        if options.insert(name.clone(), value).is_some() {
            return Err(Refusal::malformed(format!(
                "Query option '{name}' was specified more than once."
            )));
        }
    }
    Ok(options)
}

/// A query option that the request cannot have.
pub(super) fn unsupported(option: &str) -> Refusal {
    Refusal::malformed(format!("The query parameter {option} is not supported."))
}

/// The fields of a create's or an update's body.
pub(super) fn read_body(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Json>, Refusal> {
    let is_json = text(headers, &header::CONTENT_TYPE)
        .is_some_and(|text| text.starts_with("application/json"));
    if !is_json {
        return refuse(
            415,
            "0x80060888",
            "A supported MIME type could not be found that matches the content type of the request.",
        );
    }
    match serde_json::from_slice(body) {
        Ok(Json::Object(fields)) => Ok(fields),
        _ => refuse(
            400,
            "0x80048d19",
            "Error identified in Payload provided by the user: the body is no JSON object.",
        ),
    }
}

/// Whether a create or an update asks for the record.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-entity-web-api#create-with-data-returned>
pub(super) fn wants_representation(headers: &HeaderMap) -> bool {
    let prefer = headers.get("Prefer").and_then(|value| value.to_str().ok());
    prefer.is_some_and(|prefer| {
        prefer
            .split(',')
            .any(|part| part.trim() == "return=representation")
    })
}

/// A header's value, where it is text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
