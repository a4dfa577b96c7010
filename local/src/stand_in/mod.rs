//! Stand-ins for what is not ours: Amazon Connect, Entra ID, Dataverse, Secrets Manager, KMS, STS and S3.
//!
//! They refuse what the real ones refuse and can be told to fail. They are for this machine only:
//! they hold made-up secrets and trust whoever reaches loopback.

pub mod connect;
pub mod dataverse;
pub mod entra;
pub mod fault;
pub mod kms;
pub mod limits;
pub mod pair;
pub mod s3;
pub mod secrets_manager;
pub mod sts;

use axum::{
    body::Body,
    http::{Response, StatusCode, header},
};
use serde_json::Value as Json;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &Json) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(
            header::CONTENT_TYPE,
            "application/json; odata.metadata=minimal",
        )
        .body(Body::from(body.to_string()))
        .expect("status and header are valid")
}
