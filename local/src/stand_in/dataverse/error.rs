//! What the stand-in refuses, and with which words.
//!
//! Codes: <https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes>.

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use serde_json::json;

use super::{answered, schema::Table};

/// An answer that is no success.
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Empty where the gateway answers, which sends no body.
    code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code,
            message: message.into(),
        }
    }

    /// A request that cannot be read.
    pub(super) fn malformed(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "0x80060888", message)
    }

    /// A body that does not fit its table.
    pub(super) fn payload(table: &Table, message: &str) -> Refusal {
        let message = format!(
            "Error identified in Payload provided by the user for Entity :'{}' ----> InnerException : {message}",
            table.entity_set
        );
        Refusal::new(400, "0x80048d19", message)
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let status =
            StatusCode::from_u16(self.status).expect("a refusal's status is one of HTTP's");
        match self.code {
            "" => Response::builder()
                .status(status)
                .body(Body::empty())
                .expect("a status is valid"),
            code => answered(
                status,
                json!({"error": {"code": code, "message": self.message}}),
            ),
        }
    }
}

pub(super) fn refuse<T>(
    status: u16,
    code: &'static str,
    message: impl Into<String>,
) -> Result<T, Refusal> {
    Err(Refusal::new(status, code, message))
}

/// What Dataverse says of a column in a query that the table does not have.
pub(super) fn no_property(table: &Table, name: &str) -> String {
    format!(
        "Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{}'.",
        table.logical_name
    )
}
