//! What an answer that is no success means, and what to do about it.
//!
//! Owns the meaning of Dataverse's error codes
//! (<https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes>).
//! An error's text never holds a column's value: Dataverse's own message may, and is kept apart in
//! [`DynamicsError::detail`] for the table.

use std::{fmt, time::Duration};

use serde::Deserialize;

use super::{http::HttpError, request::Request, token::TokenError};

/// How much of Dynamics' own words is kept, in characters: an item of the table holds 400 KB.
const MAX_MESSAGE: usize = 2048;
/// A code longer than this is none.
pub(super) const MAX_CODE: usize = 64;

/// Why a request has no answer, or a bad one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DynamicsError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    NoToken(#[from] TokenError),
    #[error("Dynamics limits our requests (429, {code}){}", retry_text(.retry_after))]
    Throttled {
        code: String,
        retry_after: Option<Duration>,
    },
    #[error(
        "nothing is sent to Dynamics for another {} s, as the last requests failed: {reason}",
        .left.as_secs() + 1
    )]
    Resting {
        left: Duration,
        /// What became of the last request.
        reason: String,
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
    /// Dataverse's own message, its first 2,048 characters. It may quote a column's value.
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
            // Without Dataverse's own code or words the refusal may be anybody's, or cut short on
            // its way.
            DynamicsError::Refused(refusal) => match refusal.status {
                413 | 414 => true,
                400 | 404 | 405 | 409 | 410 | 412 | 415 | 501 => {
                    !refusal.code.is_empty()
                        || is_unknown_property(&refusal.message)
                        || is_state_of_an_action(&refusal.message)
                }
                _ => false,
            },
            DynamicsError::AnswerTooLarge { .. } => true,
            _ => false,
        }
    }

    /// Whether Dynamics may have done what was asked, although it did not say so. If not, the request
    /// has changed nothing, and sending it again is safe whatever it does.
    pub fn may_have_been_done(&self) -> bool {
        match self {
            DynamicsError::Http(error) => error.may_have_been_sent(),
            DynamicsError::NoToken(_)
            | DynamicsError::Throttled { .. }
            | DynamicsError::Resting { .. } => false,
            // 501 says that there is nothing that could do it.
            DynamicsError::Refused(refusal) => refusal.status >= 500 && refusal.status != 501,
            DynamicsError::Unavailable { .. }
            | DynamicsError::AnswerTooLarge { .. }
            | DynamicsError::NotJson { .. } => true,
        }
    }

    /// How long Dynamics, or Entra ID, asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            DynamicsError::Throttled { retry_after, .. }
            | DynamicsError::Unavailable { retry_after, .. }
            | DynamicsError::NoToken(TokenError::Unavailable { retry_after, .. }) => *retry_after,
            DynamicsError::Resting { left, .. } => Some(*left),
            _ => None,
        }
    }

    /// Whether the request was not sent at all for what others have met, or refused unseen for the limits.
    pub fn is_held_back(&self) -> bool {
        matches!(
            self,
            DynamicsError::Resting { .. } | DynamicsError::Throttled { .. }
        )
    }

    /// Dataverse's own words, for the table. They may quote a column's value.
    pub fn detail(&self) -> Option<&str> {
        match self {
            DynamicsError::Refused(refusal) => Some(&refusal.message),
            _ => None,
        }
    }

    /// Whether the request may be sent again soon.
    pub(super) fn is_repeatable(&self, request: &Request) -> bool {
        match self {
            // Refused before it was looked at.
            DynamicsError::Throttled { .. } => true,
            DynamicsError::NoToken(error) => error.may_pass(),
            DynamicsError::Http(HttpError::Unreachable { sent: false, .. }) => true,
            DynamicsError::Unavailable { .. }
            | DynamicsError::Http(HttpError::Unreachable { sent: true, .. }) => {
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

/// The first so many characters.
pub(super) fn shortened(text: &str, characters: usize) -> &str {
    match text.char_indices().nth(characters) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// Reads an answer that is no success.
pub(super) fn refusal(
    request: &Request,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> DynamicsError {
    let (code, message) = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { error }) => (
            shortened(&error.code, MAX_CODE).to_owned(),
            shortened(&error.message, MAX_MESSAGE).to_owned(),
        ),
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
    let entity_set = request.entity_set();
    let field = known_field(request, message);
    // Its code differs from one environment to the next, and is often `0x0` or empty.
    if is_unknown_property(message) {
        return format!(
            "{} is no column of `{entity_set}`; use the logical names of columns, and the navigation property's name with @odata.bind",
            field.map_or_else(
                || "a field of the request".to_owned(),
                |field| format!("`{field}`")
            )
        );
    }
    // No code of it is documented for a case.
    if is_state_of_an_action(message) {
        return "no update takes the record to this state, as a case is resolved by the action CloseIncident alone; leave statecode and statuscode out".into();
    }
    match code.to_ascii_lowercase().as_str() {
        "0x80072560" => "the app registration is no user of this environment; add it as an application user with a security role (Power Platform admin center, Environments, Settings, Users + permissions, Application users)".into(),
        "0x80040220" | "0x80042f09" | "0x8004f510" => format!(
            "the application user lacks {}; add it to the user's security role",
            privilege(message).map_or_else(|| "a privilege".to_owned(), |privilege| format!("the privilege {privilege}"))
        ),
        "0x80040299" => format!(
            "the application user lacks {}, or its access mode does not allow it; add the privilege to the user's security role, and see that the user's access mode is Read-Write or Non-interactive",
            privilege(message).map_or_else(|| "a privilege".to_owned(), |privilege| format!("the privilege {privilege}"))
        ),
        "0x80048306" => "the application user has no access to that record, though it may have to others; let its security role reach further (organization instead of user), or share the record with it".into(),
        "0x8004022e" => "the record is read-only, as one that was completed or deactivated may be; do not update it, or activate it first".into(),
        "0x80040225" | "0x80040219" => "the application user is disabled; enable it in the Power Platform admin center".into(),
        "0x80048d19" | "0x80060888" => format!(
            "{} is not of the column's type, or the request is malformed",
            field.map_or_else(|| "a value".to_owned(), |field| format!("the value of `{field}`"))
        ),
        "0x8006088a" => format!("there is no entity set `{entity_set}` in this environment; an entity set's name is a plural, like phonecalls"),
        "0x80044331" | "0x80044332" => format!(
            "the value of {} is longer than its column; shorten it with `| truncate(200)`",
            field.map_or_else(|| "a field".to_owned(), |field| format!("`{field}`"))
        ),
        "0x80040217" | "0x80060891" => "there is no such record, or a record that a lookup names does not exist".into(),
        "0x80040237" | "0x80060892" | "0x80040333" => "another record has the same key, or a duplicate detection rule forbids it".into(),
        "0x80044410" => "a case needs a customer; set customerid_contact@odata.bind or customerid_account@odata.bind".into(),
        "0x80060882" => "the record was changed by someone else meanwhile".into(),
        _ => match status {
            401 => "the token is not accepted; check that connection.tenantId is the environment's tenant and connection.scope its URI with /.default".into(),
            403 => "the application user may not do this; check its security role".into(),
            404 => format!(
                "nothing is found at this address, or it does not take the method {}; check connection.environmentUri, connection.apiVersion and the step's method and queryString",
                request.method.as_str()
            ),
            413 => "the request is too large".into(),
            300..=399 => "it redirects elsewhere, which is never followed; check connection.environmentUri".into(),
            _ => "the request is not valid; the step's record in the table holds Dynamics' own words".into(),
        },
    }
}

/// Whether Dataverse says that it knows no such column or navigation property.
fn is_unknown_property(message: &str) -> bool {
    [
        "Invalid property",
        "undeclared property",
        "Could not find a property",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// Whether Dataverse says that only an action takes a record to this state, as CloseIncident does a case.
fn is_state_of_an_action(message: &str) -> bool {
    message.contains("can not be used to set the state of")
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
    use crate::dataverse::{Kind, Method};
    use serde_json::json;
    use uuid::Uuid;

    fn request(kind: Kind) -> Request {
        Request {
            method: Method::Patch,
            path: "phonecalls(1)".into(),
            body: json!({"subject": "x", "nope@odata.bind": "/contacts(1)", "other": 1})
                .as_object()
                .cloned(),
            kind,
            primary_key: "activityid".into(),
        }
    }

    fn read(status: u16, code: &str, message: &str) -> DynamicsError {
        let body = json!({"error": {"code": code, "message": message}}).to_string();
        refusal(
            &request(Kind::Update),
            status,
            Some(Duration::from_secs(7)),
            body.as_bytes(),
        )
    }

    #[test]
    fn a_refusal_says_what_to_do_and_quotes_no_value() {
        let no_such_column = "Could not find a property named 'nope' on type 'x'; value secret";
        for (status, code, message, advice, permanent) in [
            (
                403,
                "0x80072560",
                "The user is not a member.",
                "add it as an application user",
                false,
            ),
            (
                403,
                "0x80040220",
                "Principal user (Id=1, type=8) is missing prvCreateActivity privilege",
                "lacks the privilege prvCreateActivity; add it to",
                false,
            ),
            (403, "0x80042F09", "", "lacks a privilege; add it to", false),
            (403, "0x8004f510", "", "lacks a privilege; add it to", false),
            (
                403,
                "0x80040299",
                "Principal is missing prvWriteActivity privilege",
                "lacks the privilege prvWriteActivity, or its access mode",
                false,
            ),
            (
                403,
                "0x80040299",
                "",
                "lacks a privilege, or its access mode",
                false,
            ),
            (
                403,
                "0x80048306",
                "secret",
                "no access to that record",
                false,
            ),
            (400, "0x8004022E", "secret", "the record is read-only", true),
            (
                403,
                "0x80040225",
                "",
                "the application user is disabled",
                false,
            ),
            (
                403,
                "0x80040219",
                "",
                "the application user is disabled",
                false,
            ),
            (
                400,
                "0x80048d19",
                "Invalid property 'nope' was found in entity; value secret",
                "`nope@odata.bind` is no column of `phonecalls`",
                true,
            ),
            (
                400,
                "0x0",
                no_such_column,
                "`nope@odata.bind` is no column",
                true,
            ),
            (
                400,
                "",
                no_such_column,
                "`nope@odata.bind` is no column",
                true,
            ),
            (
                400,
                "0x80060888",
                no_such_column,
                "`nope@odata.bind` is no column",
                true,
            ),
            (
                400,
                "",
                "An undeclared property 'secret' which only has property annotations was found",
                "a field of the request is no column of `phonecalls`",
                true,
            ),
            (
                404,
                "0x8006088a",
                "Resource not found for the segment.",
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
                400,
                "0x80044332",
                "",
                "the value of a field is longer",
                true,
            ),
            (
                404,
                "0x80040217",
                "phonecall With Id = secret Does Not Exist",
                "no such record",
                true,
            ),
            (404, "0x80060891", "", "no such record", true),
            (
                400,
                "0x80044410",
                "You should specify a parent contact or account.",
                "a case needs a customer",
                true,
            ),
            (
                400,
                "",
                "This message can not be used to set the state of incident to Resolved.",
                "no update takes the record to this state",
                true,
            ),
            (
                412,
                "0x80040237",
                "",
                "another record has the same key",
                true,
            ),
            (
                412,
                "0x80060892",
                "",
                "another record has the same key",
                true,
            ),
            (
                412,
                "0x80040333",
                "",
                "another record has the same key",
                true,
            ),
            (412, "0x80060882", "", "changed by someone else", true),
            (
                400,
                "0x80048d19",
                "Cannot convert the literal 'secret' to the expected type 'Edm.Int32'",
                "a value is not of the column's type",
                true,
            ),
            (
                400,
                "0x80060888",
                "'other' secret",
                "the value of `other` is not of the column's type",
                true,
            ),
            (412, "", "", "not valid", false),
            (400, "", "", "not valid", false),
            (400, "0x1", "", "not valid", true),
            (401, "", "", "connection.tenantId", false),
            (403, "", "", "check its security role", false),
            (
                404,
                "",
                "secret",
                "does not take the method PATCH; check connection.environmentUri",
                false,
            ),
            (405, "0x1", "", "not valid", true),
            (408, "0x1", "", "not valid", false),
            (413, "", "", "the request is too large", true),
            (414, "", "", "not valid", true),
            (501, "0x1", "", "not valid", true),
            (501, "", "", "not valid", false),
            (302, "", "", "never followed", false),
            (300, "", "", "never followed", false),
            (399, "", "", "never followed", false),
        ] {
            let error = read(status, code, message);
            let text = error.to_string();
            assert!(
                text.contains(advice) && !text.contains("secret"),
                "{code} {status}: {text}"
            );
            let shown = if code.is_empty() {
                "no error code"
            } else {
                code
            };
            assert!(
                text.contains(&format!("(status {status}, {shown})")),
                "{text}"
            );
            assert_eq!(error.is_permanent(), permanent, "{code} {status}");
            assert_eq!(error.detail(), Some(message));
            assert_eq!(error.retry_after(), None);
            assert!(!error.may_have_been_done(), "{code} {status}");
        }
    }

    #[test]
    fn limits_and_outages_are_told_apart_by_code_and_status() {
        let seven = Some(Duration::from_secs(7));
        for (status, code) in [
            (429, ""),
            (429, "0x80072322"),
            (503, "0x80072321"),
            (400, "0x80072322"),
            (500, "0x80072326"),
        ] {
            let error = read(status, code, "x");
            assert!(matches!(error, DynamicsError::Throttled { .. }), "{error}");
            assert_eq!(error.retry_after(), seven);
            assert!(error.to_string().ends_with("it takes the next in 7 s"));
            assert!(!error.is_permanent() && !error.may_have_been_done());
        }
        assert!(read(429, "", "").to_string().contains("no error code"));
        for status in [500, 502, 503, 504] {
            let error = read(status, "0x80040216", "x");
            assert_eq!(
                error,
                DynamicsError::Unavailable {
                    status,
                    retry_after: seven
                }
            );
            assert_eq!(error.retry_after(), seven);
            assert!(!error.is_permanent() && error.may_have_been_done());
        }
        // An older environment's answer to a key that exists.
        let duplicate = read(500, "0x80040237", "");
        assert!(duplicate.is_duplicate_key() && duplicate.may_have_been_done());
        for (error, is_duplicate_key) in [
            (read(412, "0x80040237", ""), true),
            (read(400, "0X80040237", ""), true),
            (read(412, "", ""), true),
            (read(412, "0x80060882", ""), false),
            (read(400, "", ""), false),
            (read(429, "", ""), false),
        ] {
            assert_eq!(error.is_duplicate_key(), is_duplicate_key, "{error}");
        }
        assert!(read(404, "", "").is_not_found());
        assert!(!read(400, "", "").is_not_found() && !read(503, "", "").is_not_found());
    }

    #[test]
    fn what_may_have_been_done_is_sent_again_only_where_that_is_safe() {
        let unreachable = |sent: bool| HttpError::Unreachable {
            host: "example.com".into(),
            sent,
            reason: "connection closed".into(),
        };
        let after = Some(Duration::from_secs(9));
        let create = Kind::Create {
            record_id: Uuid::nil(),
            record_path: String::new(),
        };
        // The error, whether it may have been done, whether a create is sent again, and an action.
        for (error, done, create_again, action_again) in [
            (DynamicsError::Http(HttpError::Timeout), true, false, false),
            (DynamicsError::Http(unreachable(true)), true, true, false),
            (DynamicsError::Http(unreachable(false)), false, true, true),
            (
                DynamicsError::Http(HttpError::NoTls("x".into())),
                false,
                false,
                false,
            ),
            (read(429, "", ""), false, true, true),
            (read(503, "", ""), true, true, false),
            (read(400, "", ""), false, false, false),
            (read(501, "", ""), false, false, false),
            (
                DynamicsError::AnswerTooLarge { status: 200 },
                true,
                false,
                false,
            ),
            (DynamicsError::NotJson { status: 200 }, true, false, false),
            // Without a token the request was never sent, whatever became of the token's.
            (
                DynamicsError::NoToken(HttpError::Timeout.into()),
                false,
                false,
                false,
            ),
            (
                DynamicsError::NoToken(unreachable(true).into()),
                false,
                true,
                true,
            ),
            (
                DynamicsError::NoToken(TokenError::Unavailable {
                    status: 503,
                    retry_after: after,
                }),
                false,
                true,
                true,
            ),
            (
                DynamicsError::NoToken(TokenError::Refused {
                    code: "x".into(),
                    advice: "y".into(),
                }),
                false,
                false,
                false,
            ),
            (
                DynamicsError::NoToken(TokenError::Credential(
                    super::super::CredentialError::NoRandomness,
                )),
                false,
                false,
                false,
            ),
        ] {
            assert_eq!(error.may_have_been_done(), done, "{error:?}");
            assert_eq!(
                error.is_repeatable(&request(create.clone())),
                create_again,
                "{error:?}"
            );
            assert_eq!(
                error.is_repeatable(&request(Kind::Action)),
                action_again,
                "{error:?}"
            );
        }
        let busy = TokenError::Unavailable {
            status: 503,
            retry_after: after,
        };
        assert_eq!(DynamicsError::NoToken(busy).retry_after(), after);
        assert!(DynamicsError::AnswerTooLarge { status: 200 }.is_permanent());
        assert!(!DynamicsError::NotJson { status: 200 }.is_permanent());
        assert_eq!(DynamicsError::NotJson { status: 200 }.detail(), None);
    }

    #[test]
    fn dynamics_words_are_cut_where_a_character_ends() {
        let error = read(400, &"c".repeat(100), &"\u{e9}".repeat(450_000));
        let DynamicsError::Refused(refusal) = &error else {
            panic!("{error}")
        };
        assert_eq!(refusal.message, "\u{e9}".repeat(2048));
        assert_eq!(refusal.code, "c".repeat(64));
        assert_eq!(shortened("ab", 2), "ab");
        assert_eq!(shortened("abc", 2), "ab");
    }
}
