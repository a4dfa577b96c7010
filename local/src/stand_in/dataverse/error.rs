//! What the stand-in refuses, and with which words.
//!
//! Codes: <https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes>.

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use serde_json::{Number, json};

use super::{answered, schema::Table};

/// The code, none of Dataverse's, of what the stand-in does not model.
pub const NOT_MODELLED: &str = "stand-in";

/// The code of a refusal.
enum Code {
    /// The gateway answers, which sends no body.
    Gateway,
    Dataverse(&'static str),
}

/// An answer that is no success.
pub(super) struct Refusal {
    pub(super) status: u16,
    code: Code,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code: Code::Dataverse(code),
            message: message.into(),
        }
    }

    /// A refusal without a body.
    pub(super) fn gateway(status: u16) -> Refusal {
        Refusal {
            status,
            code: Code::Gateway,
            message: String::new(),
        }
    }

    /// What Dataverse may well take, and nobody can try here.
    pub(super) fn not_modelled(what: &str) -> Refusal {
        let message = format!(
            "The stand-in does not model {what}; whether Dataverse takes it cannot be tried here."
        );
        Refusal::new(501, NOT_MODELLED, message)
    }

    /// A request that cannot be read.
    pub(super) fn malformed(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "0x80060888", message)
    }

    /// A query that names a column which the table does not have.
    pub(super) fn no_property(table: &Table, name: &str) -> Refusal {
        let message = format!(
            "Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{}'.",
            table.logical_name
        );
        Refusal::new(400, "0x0", message)
    }

    /// A value that its column does not take.
    pub(super) fn out_of_range(table: &Table, name: &str, value: &Number) -> Refusal {
        let message = format!(
            "A validation error occurred. The value {value} of '{name}' on record of type '{}' is outside the valid range.",
            table.logical_name
        );
        Refusal::new(400, "0x80044327", message)
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
            Code::Gateway => Response::builder()
                .status(status)
                .body(Body::empty())
                .expect("a status is valid"),
            Code::Dataverse(code) => answered(
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
