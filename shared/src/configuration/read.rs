//! Reading a configuration document so that every mistake in its shape is told at once.
//!
//! serde stops at the first mistake. So what is missing or wrong is replaced by what an example has in
//! that place, an unknown field is taken out, and the document is read again. A document that had
//! mistakes is never used: what comes of it only serves to find the mistakes that lie behind them.

use serde_json::Value as Json;
use serde_path_to_error::{Path, Segment};

use super::Configuration;

/// A document that has every field which must not be missing, and those whose value may be of the wrong
/// type. It is valid but for one thing: it names every credential, of which a valid one names one.
const EXAMPLE: &str = include_str!("example.json");
/// More mistakes than this are a document of another kind.
const MAX_MISTAKES: usize = 100;

/// What reading a document came to.
pub(crate) struct Reading {
    /// What it says, with the example's values where it says nothing valid; none of a document that is
    /// no JSON.
    pub(crate) configuration: Option<Configuration>,
    /// What is wrong with its shape, each with its place.
    pub(crate) mistakes: Vec<String>,
    /// The places that are the example's, or that were taken out, as JSON pointers.
    pub(crate) mended: Vec<String>,
}

/// Reads a document.
pub(crate) fn read(document: &str) -> Reading {
    let mut reading = Reading {
        configuration: None,
        mistakes: Vec::new(),
        mended: Vec::new(),
    };
    let mut document: Json = match serde_json::from_str(document) {
        Ok(document) => document,
        Err(error) => {
            reading.mistakes.push(format!("this is no JSON: {error}"));
            return reading;
        }
    };
    let example: Json = serde_json::from_str(EXAMPLE).expect("the example is JSON");
    loop {
        let error = match serde_path_to_error::deserialize(&document) {
            Ok(configuration) => {
                reading.configuration = Some(configuration);
                return reading;
            }
            Err(error) => error,
        };
        let path = error.path();
        let mut message = error.inner().to_string();
        let place = path.to_string();
        if message.contains("expected newtype variant") {
            let variant = place.rsplit('.').next().unwrap_or_default();
            message =
                format!("it says nothing alone; write what belongs to it: {{\"{variant}\": ...}}");
        }
        reading.mistakes.push(match place.as_str() {
            "." => message.clone(),
            path => format!("{path}: {message}"),
        });
        match mend(&mut document, &example, path, &message) {
            Some(place) if reading.mistakes.len() < MAX_MISTAKES => reading.mended.push(place),
            _ => return reading,
        }
    }
}

/// Changes the document so that it is not this mistake that reading it finds next; tells where, if it
/// could.
fn mend(document: &mut Json, example: &Json, path: &Path, message: &str) -> Option<String> {
    let mut place: Vec<String> = path.iter().filter_map(name).collect();
    if let Some(missing) = quoted(message, "missing field `") {
        place.push(missing.to_owned());
    }
    let unknown = quoted(message, "unknown field `");
    if let Some(unknown) = unknown
        && place.last().is_none_or(|last| last != unknown)
    {
        place.push(unknown.to_owned());
    }
    let field = place.pop()?;
    let parent: String = place.iter().map(|name| pointer(name)).collect();
    let mended = format!("{parent}{}", pointer(&field));
    let replacement = example
        .pointer(&in_example(&place))
        .and_then(|parent| parent.get(&field).cloned())
        .filter(|_| unknown.is_none());
    let is_mended = match document.pointer_mut(&parent) {
        Some(Json::Object(fields)) => {
            let before = fields.get(&field).cloned();
            match &replacement {
                Some(value) => fields.insert(field, value.clone()),
                None => fields.shift_remove(&field),
            };
            before != replacement
        }
        Some(Json::Array(values)) => match field.parse::<usize>() {
            Ok(index) if index < values.len() => {
                values.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    };
    is_mended.then_some(mended)
}

/// The place in the example that has what another place may have: one request, one table and one customer
/// serve for all.
fn in_example(place: &[String]) -> String {
    let names: Vec<&str> = place.iter().map(String::as_str).collect();
    let names = match names.as_slice() {
        ["steps", _, "requests", _, rest @ ..] | ["steps", _, "request", rest @ ..] => {
            [&["steps", "contact-start", "request"], rest].concat()
        }
        ["steps", _, "customer", "tables", _, rest @ ..] => {
            [&["steps", "contact-start", "customer", "tables", "0"], rest].concat()
        }
        ["steps", _, "customer", rest @ ..] => {
            [&["steps", "contact-start", "customer"], rest].concat()
        }
        names => names.to_vec(),
    };
    names.into_iter().map(pointer).collect()
}

fn name(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// One name of a JSON pointer. <https://www.rfc-editor.org/rfc/rfc6901>
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn quoted<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    message.strip_prefix(before)?.split('`').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_example_has_no_mistake() {
        let reading = read(EXAMPLE);
        assert!(reading.configuration.is_some());
        assert_eq!((reading.mistakes, reading.mended), (vec![], vec![]));
    }

    #[test]
    fn every_mistake_in_the_shape_is_told_at_once_and_the_rest_is_read() {
        let mut document: Json = serde_json::from_str(EXAMPLE).unwrap();
        let connection = document["connection"].as_object_mut().unwrap();
        connection.remove("tenantId");
        connection["appId"] = "not a GUID".into();
        connection.insert("environmentURI".into(), "https://example.com".into());
        document["steps"]["contact-start"]["request"]["method"] = "PUT".into();
        document["steps"]["contact-end"]["request"] = json!(7);
        document["steps"]["contact-strat"] = json!({});
        document["steps"]["recording-available"]["objectKinds"] =
            json!(["recording", "video", "film"]);
        document["retentionDays"] = "long".into();
        document["withoutStart"] = json!({"action": "guess", "afterMinuts": 1});
        document["name"] = "kept".into();
        let Reading {
            configuration,
            mistakes,
            mended,
        } = read(&document.to_string());
        for expected in [
            "connection: missing field `tenantId`",
            "connection.appId: ",
            "connection.environmentURI: unknown field `environmentURI`",
            "steps.contact-start.request.method: unknown variant `PUT`",
            "steps.contact-end.request: invalid type",
            "steps.contact-strat: unknown field `contact-strat`",
            "steps.recording-available.objectKinds[1]: unknown variant `video`",
            "unknown variant `film`",
            "retentionDays: invalid type",
            "withoutStart.action: unknown variant `guess`",
            "withoutStart.afterMinuts: unknown field `afterMinuts`",
        ] {
            assert!(
                mistakes.iter().any(|mistake| mistake.starts_with(expected)
                    || mistake.ends_with(expected)
                    || mistake.contains(expected)),
                "{expected}: {mistakes:#?}"
            );
        }
        assert_eq!(mistakes.len(), 11, "{mistakes:#?}");
        assert_eq!(configuration.unwrap().name, "kept");
        for place in [
            "/connection/tenantId",
            "/connection/environmentURI",
            "/steps/contact-end/request",
            "/steps/recording-available/objectKinds/1",
        ] {
            assert!(mended.iter().any(|mended| mended == place), "{mended:?}");
        }
    }

    #[test]
    fn mistakes_in_customers_and_in_lists_of_requests_are_told_at_once() {
        let mut document: Json = serde_json::from_str(EXAMPLE).unwrap();
        document["agent"] = json!({"colum": "x", "defaultOwner": {"group": "x"}});
        document["steps"]["contact-end"] = json!({
            "customer": {
                "tables": [{"entityset": "contacts"}, {"entitySet": 5}],
                "none": "creat", "many": {"order": "x"}, "valeu": "x"
            },
            "requests": [
                {"name": "a", "methd": "GET", "entitySet": "contacts"},
                {"name": "b", "method": "PUT", "entitySet": "contacts"},
                {"name": "c", "method": "GET", "entitySet": "contacts", "when": 5}
            ]
        });
        document["steps"]["contact-answered"]["screenPop"]["open"] = json!(["custmer"]);
        let reading = read(&document.to_string());
        assert!(reading.configuration.is_some(), "{:#?}", reading.mistakes);
        for expected in [
            "agent.colum: unknown field `colum`",
            "agent.defaultOwner: unknown variant `group`",
            "steps.contact-end.customer.tables[0].entityset: unknown field `entityset`",
            "steps.contact-end.customer.tables[0]: missing field `entitySet`",
            "steps.contact-end.customer.tables[1].entitySet: invalid type",
            "steps.contact-end.customer.none: unknown variant `creat`, expected `skip` or `create`",
            "steps.contact-end.customer.many: unknown variant `order`",
            "steps.contact-end.customer.valeu: unknown field `valeu`",
            "steps.contact-end.requests[0].methd: unknown field `methd`",
            "steps.contact-end.requests[0]: missing field `method`",
            "steps.contact-end.requests[1].method: unknown variant `PUT`",
            "steps.contact-end.requests[2].when: invalid type",
            "steps.contact-answered.screenPop.open[0]: unknown variant `custmer`",
        ] {
            let is_told = |mistake: &String| mistake.starts_with(expected);
            assert!(
                reading.mistakes.iter().any(is_told),
                "{expected}: {:#?}",
                reading.mistakes
            );
        }
    }

    #[test]
    fn what_says_nothing_alone_is_told_by_its_name() {
        let mut document: Json = serde_json::from_str(EXAMPLE).unwrap();
        document["agent"] = json!({"defaultOwner": "team"});
        document["steps"]["contact-end"]["customer"] =
            json!({"tables": [{"entitySet": "contacts"}], "none": "create", "many": "orderby"});
        let mistakes = read(&document.to_string()).mistakes;
        for variant in ["team", "create", "orderby"] {
            let expected = format!("{{\"{variant}\": ...}}");
            let is_told = |mistake: &String| mistake.contains(&expected);
            assert!(mistakes.iter().any(is_told), "{expected}: {mistakes:#?}");
        }
    }

    #[test]
    fn a_document_of_another_kind_is_refused() {
        for document in ["", "[]", "7", "{", "null", "\"text\""] {
            let reading = read(document);
            assert!(
                reading.configuration.is_none() && !reading.mistakes.is_empty(),
                "{document}"
            );
        }
        let many: serde_json::Map<String, Json> = (0..2 * MAX_MISTAKES)
            .map(|index| (format!("field{index}"), Json::Null))
            .collect();
        let reading = read(&Json::from(many).to_string());
        assert!(reading.configuration.is_none() && reading.mistakes.len() == MAX_MISTAKES);
    }
}
