//! Reads an answer of the Web API.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{
    DynamicsError,
    error::refusal,
    http::Answer,
    request::{Kind, Request},
};

/// No wait and no life is longer than a day, whatever an answer says.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// What Dynamics answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub status: u16,
    /// The record, or the list of them. Of a record that was created it holds at least the id, under
    /// the table's primary key.
    pub body: Map<String, Json>,
    /// The record's id, from the answer or because we chose it.
    pub record_id: Option<Uuid>,
    /// How often the request was sent.
    pub attempts: u32,
    /// Whether a create met the record that one before it had made. What that one said of the record, nobody
    /// knows here.
    pub was_there: bool,
}

/// Reads the answer to a request.
///
/// # Errors
/// [`DynamicsError`] for an answer that is no success, or that cannot be read.
pub(super) fn read(request: &Request, answer: Answer) -> Result<Response, DynamicsError> {
    let Answer {
        status,
        headers,
        body,
        is_too_large,
    } = answer;
    if !status.is_success() {
        return Err(refusal(
            request,
            status.as_u16(),
            retry_after(&headers),
            &body,
        ));
    }
    let status = status.as_u16();
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"));
    let is_create = matches!(request.kind, Kind::Create { .. });
    let is_written =
        is_create || matches!(request.kind, Kind::Update | Kind::Replace | Kind::Delete);
    // Of what was written, Dynamics has done what it was asked; only what it says of it is lost.
    if is_too_large && !(is_json && is_written) {
        return Err(DynamicsError::AnswerTooLarge { status });
    }
    let mut body = if body.is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(&body) {
            Ok(Json::Object(body)) => body,
            _ => return Err(DynamicsError::NotJson { status }),
        }
    };
    // A query answers with a list; the first record found is the one that templates name.
    let first = body.get("value").and_then(|records| records.get(0));
    let in_body = id_in(&body, &request.primary_key)
        .or_else(|| id_in(first?.as_object()?, &request.primary_key));
    // Dataverse names the record here where it sends none back:
    // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-entity-web-api
    let in_header = headers
        .get("OData-EntityId")
        .and_then(|id| id.to_str().ok())
        .and_then(|uri| {
            let (_, key) = uri.rsplit_once('(')?;
            Uuid::try_parse(key.strip_suffix(')')?).ok()
        });
    let record_id = in_body.or(in_header).or(request.record_id());
    if let Some(record_id) = record_id
        && is_create
        && in_body.is_none()
    {
        // Later steps name the record by it. It is missing where there is no body, or where the
        // address selects other columns.
        body.insert(request.primary_key.clone(), record_id.to_string().into());
    }
    Ok(Response {
        status,
        body,
        record_id,
        attempts: 1,
        was_there: false,
    })
}

fn id_in(record: &Map<String, Json>, primary_key: &str) -> Option<Uuid> {
    Uuid::try_parse(record.get(primary_key)?.as_str()?).ok()
}

/// The seconds of `Retry-After`, a day at the most. Dataverse sends no dates there:
/// <https://learn.microsoft.com/power-apps/developer/data-platform/api-limits#retry-operations>
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than a number takes are a day, too.
    Some(seconds.parse().map_or(DAY, Duration::from_secs).min(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataverse::Method;
    use reqwest::{StatusCode, header::HeaderValue};
    use serde_json::json;

    const OURS: Uuid = Uuid::from_u128(0x5d3f_6a1e);
    const OTHER: Uuid = Uuid::from_u128(0x0bad_cafe);

    fn request(kind: Kind) -> Request {
        Request {
            method: Method::Post,
            path: "phonecalls?$select=subject".into(),
            body: None,
            kind,
            primary_key: "activityid".into(),
        }
    }

    fn create() -> Request {
        request(Kind::Create {
            record_id: OURS,
            record_path: format!("phonecalls({OURS})"),
        })
    }

    fn answer(status: u16, entity_id: Option<&str>, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(id) = entity_id {
            headers.insert("OData-EntityId", HeaderValue::from_str(id).unwrap());
        }
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: body.as_bytes().to_vec(),
            is_too_large: false,
        }
    }

    #[test]
    fn what_was_created_always_has_its_id() {
        let other = format!("https://example.crm.dynamics.com/api/data/v9.2/phonecalls({OTHER})");
        for (answer, expected) in [
            (answer(204, None, ""), json!({"activityid": OURS})),
            (answer(204, Some(&other), ""), json!({"activityid": OTHER})),
            (
                answer(201, None, r#"{"subject": "x"}"#),
                json!({"subject": "x", "activityid": OURS}),
            ),
            (
                answer(201, None, r#"{"activityid": null}"#),
                json!({"activityid": OURS}),
            ),
            (
                answer(201, Some(&other), &json!({"activityid": OURS}).to_string()),
                json!({"activityid": OURS}),
            ),
        ] {
            let response = read(&create(), answer).unwrap();
            assert_eq!(Json::from(response.body.clone()), expected);
            assert_eq!(
                response.record_id.map(|id| id.to_string()).as_deref(),
                expected["activityid"].as_str()
            );
        }
    }

    #[test]
    fn what_was_not_created_gets_no_id_but_the_one_answered() {
        for (kind, answer, body, record_id) in [
            (Kind::Update, answer(204, None, ""), json!({}), None),
            (
                Kind::Read,
                answer(200, None, r#"{"value": []}"#),
                json!({"value": []}),
                None,
            ),
            (
                Kind::Read,
                answer(
                    200,
                    None,
                    &json!({"value": [{"activityid": OTHER}]}).to_string(),
                ),
                json!({"value": [{"activityid": OTHER}]}),
                Some(OTHER),
            ),
            (
                Kind::Action,
                answer(204, Some(&format!("phonecalls({OTHER})")), ""),
                json!({}),
                Some(OTHER),
            ),
            (
                Kind::Action,
                answer(204, Some("phonecalls(5"), ""),
                json!({}),
                None,
            ),
        ] {
            let response = read(&request(kind.clone()), answer).unwrap();
            assert_eq!(Json::from(response.body), body, "{kind:?}");
            assert_eq!(response.record_id, record_id, "{kind:?}");
        }
    }

    #[test]
    fn an_answer_too_large_is_an_error_unless_json_of_what_was_written() {
        let large = |is_json: bool| {
            let mut answer = answer(200, None, "");
            answer.is_too_large = true;
            if !is_json {
                let html = HeaderValue::from_static("text/html");
                answer.headers.insert(CONTENT_TYPE, html);
            }
            answer
        };
        let created = read(&create(), large(true)).unwrap();
        assert_eq!(Json::from(created.body), json!({"activityid": OURS}));
        for kind in [Kind::Update, Kind::Replace] {
            let updated = read(&request(kind), large(true)).unwrap();
            assert!(updated.body.is_empty());
        }
        for (request, is_json) in [
            (create(), false),
            (request(Kind::Update), false),
            (request(Kind::Read), true),
            (request(Kind::Action), true),
        ] {
            let error = read(&request, large(is_json)).unwrap_err();
            assert_eq!(error, DynamicsError::AnswerTooLarge { status: 200 });
        }
        for body in ["<html>", "[]", "{\"a\":"] {
            let error = read(&create(), answer(200, None, body)).unwrap_err();
            assert_eq!(error, DynamicsError::NotJson { status: 200 });
        }
    }

    #[test]
    fn retry_after_is_seconds_and_a_day_at_the_most() {
        for (value, expected) in [
            ("0", Some(0)),
            ("17", Some(17)),
            (" 300 ", Some(300)),
            ("86400", Some(86_400)),
            ("86401", Some(86_400)),
            ("18446744073709551615", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("", None),
            ("Wed, 04 Feb 2026 00:00:00 GMT", None),
        ] {
            let headers =
                HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())]);
            assert_eq!(
                retry_after(&headers),
                expected.map(Duration::from_secs),
                "{value}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
