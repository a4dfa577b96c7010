//! The pages below `/stand-in/`, which Dataverse does not have: what the stand-in holds, what it was
//! sent, and how to make it fail.

use axum::{
    Json as JsonBody, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use serde_json::{Map, Value as Json, json};

use super::{Dataverse, schema::TABLES};
use crate::stand_in::fault::Fault;

pub(super) fn router() -> Router<Dataverse> {
    Router::new()
        .route("/stand-in/records", get(records))
        .route("/stand-in/exchanges", get(exchanges))
        .route("/stand-in/faults", post(add_fault).delete(clear_faults))
}

async fn records(State(dataverse): State<Dataverse>) -> JsonBody<Json> {
    let records: Map<String, Json> = TABLES
        .iter()
        .map(|table| {
            (
                table.entity_set.to_owned(),
                json!(dataverse.records(table.entity_set)),
            )
        })
        .collect();
    JsonBody(records.into())
}

async fn exchanges(State(dataverse): State<Dataverse>) -> JsonBody<Json> {
    JsonBody(json!(dataverse.lock().exchanges))
}

async fn add_fault(
    State(dataverse): State<Dataverse>,
    JsonBody(fault): JsonBody<Fault>,
) -> StatusCode {
    dataverse.faults.add(fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(dataverse): State<Dataverse>) -> StatusCode {
    dataverse.faults.clear();
    StatusCode::NO_CONTENT
}
