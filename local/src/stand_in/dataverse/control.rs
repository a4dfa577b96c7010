//! The pages below `/stand-in/`, which Dataverse does not have: what the stand-in holds, what it was
//! sent, and how to make it fail.

use std::collections::BTreeSet;

use axum::{
    Json as JsonBody, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use connect_dynamics::dataverse::columns::TABLES;
use serde_json::{Value as Json, json};

use super::Dataverse;
use crate::stand_in::fault::Fault;

pub(super) fn router() -> Router<Dataverse> {
    Router::new()
        .route("/stand-in/records", get(records))
        .route("/stand-in/exchanges", get(exchanges))
        .route("/stand-in/faults", post(add_fault).delete(clear_faults))
}

async fn records(State(dataverse): State<Dataverse>) -> JsonBody<Json> {
    let sets: BTreeSet<String> = {
        let inner = dataverse.lock();
        let held = inner.records.entity_sets().map(str::to_owned);
        let known = TABLES.iter().map(|table| table.entity_set.to_owned());
        held.chain(known).collect()
    };
    let records = sets.into_iter().map(|set| {
        let records = json!(dataverse.records(&set));
        (set, records)
    });
    JsonBody(Json::Object(records.collect()))
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
