//! What an answer that is no success means, and what to do about it.
//!
//! Owns the meaning of Dataverse's error codes
//! (<https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes>).
//! An error's text never holds a column's value: Dataverse's own message may, and is kept apart in
//! [`DynamicsError::detail`] for the table.

use std::{fmt, time::Duration};

use serde::Deserialize;

use crate::{request::Request, secret::SecretError};

/// Why a request has no answer, or a bad one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DynamicsError {
    #[error("there was no answer within the time")]
    Timeout,
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        host: String,
        /// Whether the request may have arrived all the same.
        sent: bool,
        reason: String,
    },
    #[error("Dynamics limits our requests (429, {code}){}", retry_text(.retry_after))]
    Throttled {
        code: String,
        retry_after: Option<Duration>,
    },
    #[error("Dynamics is not available at the moment (status {status})")]
    Unavailable {
        status: u16,
        retry_after: Option<Duration>,
    },
    #[error("{0}")]
    Refused(Refusal),
    #[error(
        "the answer (status {status}) is larger than 1 MB; name the columns you need with $select"
    )]
    AnswerTooLarge { status: u16 },
    #[error(
        "the answer (status {status}) is no JSON object; a proxy or a sign-in page may stand between, check connection.environmentUri"
    )]
    NotJson { status: u16 },
    #[error("no client secret: {0}")]
    Secret(#[from] SecretError),
    #[error("Entra ID refused to give a token ({code}): {advice}")]
    TokenRefused { code: String, advice: String },
}

fn retry_text(retry_after: &Option<Duration>) -> String {
    match retry_after {
        Some(delay) => format!("; it takes the next in {} s", delay.as_secs()),
        None => String::new(),
    }
}

/// A refusal by Dataverse.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub status: u16,
    /// Dataverse's error code, `0x80040217`; empty when it gave none.
    pub code: String,
    /// Dataverse's own message. It may quote a column's value.
    pub message: String,
    /// What it means and what to do.
    pub advice: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = if self.code.is_empty() {
            "no error code"
        } else {
            &self.code
        };
        write!(
            f,
            "Dynamics refused the request (status {}, {code}): {}",
            self.status, self.advice
        )
    }
}

impl DynamicsError {
    /// Whether Dynamics will never take this request, whatever anyone does but change the
    /// configuration. All else - outages, limits, secrets, permissions - may pass or be mended.
    pub fn is_permanent(&self) -> bool {
        match self {
            // Without Dataverse's own code the refusal may be anybody's, or cut short on its way.
            DynamicsError::Refused(refusal) => match refusal.status {
                413 | 414 => true,
                400 | 404 | 405 | 409 | 410 | 412 | 415 | 501 => !refusal.code.is_empty(),
                _ => false,
            },
            DynamicsError::AnswerTooLarge { .. } => true,
            _ => false,
        }
    }

    /// Whether the request may have been carried out all the same.
    pub fn may_have_been_done(&self) -> bool {
        match self {
            DynamicsError::Timeout
            | DynamicsError::Unreachable { sent: true, .. }
            | DynamicsError::Unavailable { .. }
            | DynamicsError::AnswerTooLarge { .. }
            | DynamicsError::NotJson { .. } => true,
            DynamicsError::Unreachable { sent: false, .. }
            | DynamicsError::Throttled { .. }
            | DynamicsError::Refused(_)
            | DynamicsError::Secret(_)
            | DynamicsError::TokenRefused { .. } => false,
        }
    }

    /// How long Dynamics asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            DynamicsError::Throttled { retry_after, .. }
            | DynamicsError::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Dataverse's own words, for the table. They may quote a column's value.
    pub fn detail(&self) -> Option<&str> {
        match self {
            DynamicsError::Refused(refusal) => Some(&refusal.message),
            _ => None,
        }
    }

    pub(super) fn is_repeatable(&self, request: &Request) -> bool {
        match self {
            // Refused before it was looked at.
            DynamicsError::Throttled { .. } | DynamicsError::Unreachable { sent: false, .. } => {
                true
            }
            DynamicsError::Unavailable { .. } | DynamicsError::Unreachable { sent: true, .. } => {
                request.is_repeatable()
            }
            _ => false,
        }
    }

    /// Whether a create met a key that exists: by its code or, where an answer was cut short and
    /// holds none, by its status.
    pub(super) fn is_duplicate_key(&self) -> bool {
        matches!(self, DynamicsError::Refused(refusal)
            if refusal.code.eq_ignore_ascii_case(DUPLICATE_KEY)
                || refusal.code.is_empty() && refusal.status == 412)
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, DynamicsError::Refused(refusal) if refusal.status == 404)
    }
}

/// "Cannot insert duplicate key", with status 412 or, by older environments, 400 or 500. The code
/// decides.
const DUPLICATE_KEY: &str = "0x80040237";

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorFields,
}

#[derive(Deserialize)]
struct ErrorFields {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Reads an answer that is no success.
pub(super) fn refusal(
    request: &Request,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> DynamicsError {
    let (code, message) = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => (body.error.code, body.error.message),
        Err(_) => (String::new(), String::new()),
    };
    let is_dataverse = |known: &[&str]| known.iter().any(|known| code.eq_ignore_ascii_case(known));
    // Service protection limits:
    // https://learn.microsoft.com/power-apps/developer/data-platform/api-limits#service-protection-api-limit-errors-returned
    if status == 429 || is_dataverse(&["0x80072321", "0x80072322", "0x80072326"]) {
        return DynamicsError::Throttled {
            code: if code.is_empty() {
                "no error code".into()
            } else {
                code
            },
            retry_after,
        };
    }
    if status >= 500 && status != 501 && !is_dataverse(&[DUPLICATE_KEY]) {
        return DynamicsError::Unavailable {
            status,
            retry_after,
        };
    }
    let advice = advice(request, status, &code, &message);
    DynamicsError::Refused(Refusal {
        status,
        code,
        message,
        advice,
    })
}

fn advice(request: &Request, status: u16, code: &str, message: &str) -> String {
    let entity_set = request.path.split(['(', '?']).next().unwrap_or_default();
    match code.to_ascii_lowercase().as_str() {
        "0x80072560" => "the app registration is no user of this environment; add it as an application user with a security role (Power Platform admin center, Environments, Settings, Users + permissions, Application users)".into(),
        "0x80040220" | "0x80042f09" | "0x8004f510" => format!(
            "the application user lacks {}; add it to the user's security role",
            privilege(message).map_or_else(|| "a privilege".to_owned(), |privilege| format!("the privilege {privilege}"))
        ),
        "0x80040225" | "0x80040219" => "the application user is disabled; enable it in the Power Platform admin center".into(),
        "0x80048d19" | "0x80060888" | "0x80060889" if is_unknown_property(message) => format!(
            "{} is no column of `{entity_set}`; use the logical names of columns, and the navigation property's name with @odata.bind",
            known_field(request, message).map_or_else(|| "a field of the request".to_owned(), |field| format!("`{field}`"))
        ),
        "0x80048d19" | "0x80060888" => format!(
            "{} is not of the column's type, or the request is malformed",
            known_field(request, message).map_or_else(|| "a value".to_owned(), |field| format!("the value of `{field}`"))
        ),
        "0x8006088a" => format!("there is no entity set `{entity_set}` in this environment; an entity set's name is a plural, like phonecalls"),
        "0x80044331" | "0x80044332" => format!(
            "the value of {} is longer than its column; shorten it with `| truncate(200)`",
            known_field(request, message).map_or_else(|| "a field".to_owned(), |field| format!("`{field}`"))
        ),
        "0x80040217" | "0x80060891" => "there is no such record, or a record that a lookup names does not exist".into(),
        "0x80040237" | "0x80060892" | "0x80040333" => "another record has the same key, or a duplicate detection rule forbids it".into(),
        "0x80060882" => "the record was changed by someone else meanwhile".into(),
        _ => match status {
            401 => "the token is not accepted; check that connection.tenantId is the environment's tenant and connection.scope its URI with /.default".into(),
            403 => "the application user may not do this; check its security role".into(),
            404 => "nothing is found at this address; check connection.environmentUri and connection.apiVersion".into(),
            413 => "the request is too large".into(),
            300..=399 => "it redirects elsewhere, which is never followed; check connection.environmentUri".into(),
            _ => "the request is not valid; the step's record in the table holds Dynamics' own words".into(),
        },
    }
}

fn is_unknown_property(message: &str) -> bool {
    [
        "Invalid property",
        "undeclared property",
        "Could not find a property",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// `prvCreateActivity` in "Principal user (...) is missing prvCreateActivity privilege".
fn privilege(message: &str) -> Option<&str> {
    let start = message.find("prv")?;
    let length = message[start..]
        .bytes()
        .take_while(u8::is_ascii_alphanumeric)
        .count();
    Some(&message[start..start + length])
}

/// The field of the request that a message speaks of: a name of the configuration's, never a value.
fn known_field<'a>(request: &'a Request, message: &str) -> Option<&'a str> {
    let fields = request.body.as_ref()?;
    fields.keys().map(String::as_str).find(|field| {
        let bare = field.split('@').next().unwrap_or(field);
        message.contains(&format!("'{bare}'"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{configuration::Method, request::Kind};
    use serde_json::json;

    fn read(status: u16, code: &str, message: &str) -> DynamicsError {
        let request = Request {
            method: Method::Patch,
            path: "phonecalls(1)".into(),
            body: json!({"subject": "x", "nope": 1}).as_object().cloned(),
            kind: Kind::Update,
            primary_key: "activityid".into(),
        };
        let body = json!({"error": {"code": code, "message": message}}).to_string();
        refusal(&request, status, None, body.as_bytes())
    }

    #[test]
    fn a_refusal_says_what_to_do_and_quotes_no_value() {
        for (status, code, message, advice, permanent) in [
            (
                403,
                "0x80072560",
                "The user is not a member of the organization.",
                "add it as an application user",
                false,
            ),
            (
                403,
                "0x80040220",
                "Principal user (Id=1, type=8) is missing prvCreateActivity privilege",
                "the privilege prvCreateActivity",
                false,
            ),
            (
                400,
                "0x80048d19",
                "Invalid property 'nope' was found in entity; value secret",
                "`nope` is no column of `phonecalls`",
                true,
            ),
            (
                404,
                "0x8006088a",
                "Resource not found for the segment 'phonecals'.",
                "no entity set `phonecalls`",
                true,
            ),
            (
                400,
                "0x80044331",
                "The length of the 'subject' attribute ... secret",
                "the value of `subject` is longer",
                true,
            ),
            (
                404,
                "0x80040217",
                "phonecall With Id = secret Does Not Exist",
                "no such record",
                true,
            ),
            (
                400,
                "0x80048d19",
                "Cannot convert the literal 'secret' to the expected type 'Edm.Int32'",
                "not of the column's type",
                true,
            ),
            (412, "", "", "not valid", false),
            (400, "", "", "not valid", false),
            (401, "", "", "connection.tenantId", false),
            (404, "", "", "connection.environmentUri", false),
            (302, "", "", "never followed", false),
        ] {
            let error = read(status, code, message);
            let text = error.to_string();
            assert!(
                text.contains(advice) && !text.contains("secret"),
                "{code}: {text}"
            );
            assert_eq!(error.is_permanent(), permanent, "{code} {status}");
        }
        assert!(matches!(
            read(503, "", ""),
            DynamicsError::Unavailable { status: 503, .. }
        ));
        assert!(matches!(
            read(429, "0x80072322", ""),
            DynamicsError::Throttled { .. }
        ));
        assert!(read(500, "0x80040237", "").is_duplicate_key());
    }
}
