//! The pages below `/stand-in/`, which Dataverse does not have: what the stand-in holds, what it was
//! sent, and how to make it fail.

use std::collections::BTreeSet;

use axum::{
    Json as JsonBody, Router,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
    routing::{get, post, put},
};
use connect_dynamics::dataverse::columns::TABLES;
use serde_json::{Value as Json, json};

use super::Dataverse;
use crate::stand_in::fault::Fault;

pub(super) fn router() -> Router<Dataverse> {
    Router::new()
        .route("/stand-in/records", get(records))
        .route("/stand-in/records/{entity_set}", post(add_records))
        .route("/stand-in/exchanges", get(exchanges))
        .route("/stand-in/faults", post(add_fault).delete(clear_faults))
        .route("/stand-in/missing-privilege", put(miss_privilege))
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

/// Puts a record in, or a list of them; answers with their ids.
async fn add_records(
    State(dataverse): State<Dataverse>,
    Path(entity_set): Path<String>,
    body: Result<JsonBody<Json>, JsonRejection>,
) -> Result<(StatusCode, JsonBody<Json>), Refused> {
    let records = match body.map_err(unreadable)?.0 {
        Json::Array(records) => records,
        record => vec![record],
    };
    let mut ids = Vec::new();
    for (index, record) in records.into_iter().enumerate() {
        let id = dataverse.insert(&entity_set, record);
        let place = |error| {
            (
                StatusCode::BAD_REQUEST,
                format!("record {index}: {error}\n"),
            )
        };
        ids.push(id.map_err(place)?);
    }
    Ok((StatusCode::CREATED, JsonBody(json!(ids))))
}

async fn add_fault(
    State(dataverse): State<Dataverse>,
    body: Result<JsonBody<Fault>, JsonRejection>,
) -> Result<StatusCode, Refused> {
    let fault = body.map_err(unreadable)?.0;
    let wrong = |error| (StatusCode::BAD_REQUEST, format!("{error}\n"));
    fault.check().map_err(wrong)?;
    dataverse.faults.add(fault);
    Ok(StatusCode::NO_CONTENT)
}

/// A status, and words that say what to do.
pub(super) type Refused = (StatusCode, String);

pub(super) fn unreadable(rejection: JsonRejection) -> Refused {
    (
        StatusCode::BAD_REQUEST,
        format!("{}\n", rejection.body_text()),
    )
}

async fn clear_faults(State(dataverse): State<Dataverse>) -> StatusCode {
    dataverse.faults.clear();
    StatusCode::NO_CONTENT
}

/// Takes a privilege from the application user (`"prvCreateActivity"`), or gives it back (`null`).
async fn miss_privilege(
    State(dataverse): State<Dataverse>,
    body: Result<JsonBody<Option<String>>, JsonRejection>,
) -> Result<StatusCode, Refused> {
    let privilege = body.map_err(unreadable)?.0;
    dataverse.set_missing_privilege(privilege.as_deref());
    Ok(StatusCode::NO_CONTENT)
}
