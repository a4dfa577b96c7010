//! Reading a request: the record that a path names, the query options, the headers and the body.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, header};
use connect_dynamics::dataverse::columns::KnownTable;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::error::{Refusal, refuse};

/// A record's key: its id, or columns that identify it together.
pub(super) enum RecordKey {
    Id(Uuid),
    Columns(Vec<(String, Json)>),
}

/// Query options by their names, parameter aliases (`@p`) among them.
pub(super) type Options = BTreeMap<String, String>;

/// The entity set and the key of `phonecalls(<key>)`.
pub(super) fn read_path(path: &str) -> Result<(String, Option<RecordKey>), Refusal> {
    let decoded = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| syntax())?
        .into_owned();
    let Some((set, rest)) = decoded.split_once('(') else {
        // An entity set has no capital letters: `CloseIncident` is an action.
        let has_capitals = decoded.contains(|c: char| c.is_ascii_uppercase());
        if decoded.contains('/') || has_capitals && KnownTable::meant_by(&decoded).is_none() {
            return Err(Refusal::not_modelled(
                "actions, functions and paths below an entity set",
            ));
        }
        return Ok((decoded, None));
    };
    let end = end_of_key(rest).ok_or_else(syntax)?;
    match &rest[end + 1..] {
        "" => {}
        below if below.starts_with('/') => {
            return Err(Refusal::not_modelled(
                "actions, functions and paths below a record",
            ));
        }
        _ => return Err(syntax()),
    }
    let key = &rest[..end];
    if let Ok(id) = Uuid::try_parse(key) {
        return Ok((set.to_owned(), Some(RecordKey::Id(id))));
    }
    let columns = split_outside(key, ',', '\'').map(key_column);
    let columns = columns.collect::<Result<_, _>>()?;
    Ok((set.to_owned(), Some(RecordKey::Columns(columns))))
}

/// The record and the list of `emails(<key>)/email_activity_parties`.
pub(super) fn parties_of(path: &str) -> Option<(&str, &str)> {
    let (record, list) = path.rsplit_once('/')?;
    list.ends_with("_activity_parties")
        .then_some((record, list))
}

fn syntax() -> Refusal {
    Refusal::malformed("Bad Request - Error in query syntax.")
}

/// Where the parenthesis closes that stands before this text. Those between single quotes are text.
fn end_of_key(text: &str) -> Option<usize> {
    let mut is_quoted = false;
    let mut at = text.char_indices();
    at.find_map(|(at, c)| {
        is_quoted ^= c == '\'';
        (c == ')' && !is_quoted).then_some(at)
    })
}

fn split_outside(text: &str, separator: char, quote: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |c| {
        is_quoted ^= c == quote;
        c == separator && !is_quoted
    })
}

/// `<column>=<value>` of a key.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/use-alternate-key-reference-record>
fn key_column(part: &str) -> Result<(String, Json), Refusal> {
    let (column, value) = part.split_once('=').ok_or_else(syntax)?;
    let text = value
        .strip_prefix('\'')
        .and_then(|value| value.strip_suffix('\''));
    let value = match text {
        Some(text) if text.replace("''", "").contains('\'') => return Err(syntax()),
        Some(text) => text.replace("''", "'").into(),
        None => match (Uuid::try_parse(value), value.parse::<i64>()) {
            (Ok(id), _) => id.to_string().into(),
            (_, Ok(number)) => number.into(),
            _ => return Err(syntax()),
        },
    };
    Ok((column.trim().to_owned(), value))
}

/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview#odata-query-options>
pub(super) fn read_options(query: &str) -> Result<Options, Refusal> {
    let mut options = Options::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (name, value) = (decode(name), decode(value));
        match name.as_str() {
            "$select" | "$filter" | "$top" | "$orderby" | "$count" => {}
            alias if alias.starts_with('@') => {}
            "$expand" | "$apply" => return Err(Refusal::not_modelled(&name)),
            _ if ["fetchxml", "savedquery", "userquery"]
                .contains(&name.to_lowercase().as_str()) =>
            {
                return Err(Refusal::not_modelled(&name));
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

/// What the `Prefer` headers ask for.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors#prefer-headers>
#[derive(Default)]
pub(super) struct Preferences {
    /// Whether a create or an update asks for the record.
    pub(super) representation: bool,
    /// The annotations that are asked for, as they are written.
    pub(super) annotations: Option<String>,
}

impl Preferences {
    pub(super) fn of(headers: &HeaderMap) -> Preferences {
        let mut preferences = Preferences::default();
        let written = headers.get_all("Prefer").iter();
        for part in written
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| split_outside(value, ',', '"'))
        {
            match part.trim() {
                "return=representation" => preferences.representation = true,
                part => {
                    if let Some(names) = part.strip_prefix("odata.include-annotations=") {
                        preferences.annotations = Some(names.trim_matches('"').to_owned());
                    }
                }
            }
        }
        preferences
    }

    /// Whether an annotation is asked for; `*` stands for the rest of a name.
    pub(super) fn wants(&self, annotation: &str) -> bool {
        let names = self.annotations.iter().flat_map(|names| names.split(','));
        names
            .map(str::trim)
            .any(|name| match name.strip_suffix('*') {
                Some(start) => annotation.starts_with(start),
                None => annotation == name,
            })
    }
}

/// A header's value, where it is text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
