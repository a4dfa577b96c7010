//! The pages below `/stand-in/`, for the switchboard, the control panel, the workspace and tests: what there is to
//! see, and what can be done. Bodies and answers are JSON.
//!
//! | request | body | does |
//! |---|---|---|
//! | `GET contacts` | | all there is to see: the agent, the selected contact, the contacts |
//! | `GET events` | | the same, now and after each change, as server-sent events |
//! | `POST contacts` | [`NewContact`] | lets a contact come; answers when its flow has run |
//! | `DELETE contacts` | | forgets all contacts, and lets the agent be as at the beginning |
//! | `GET contacts/{id}` | | a contact |
//! | `POST contacts/{id}/{action}` | [`How`], or none | one of the contact's [`Action`]s; answers when the functions have done their work |
//! | `PUT contacts/{id}/attributes` | names and values | sets attributes at once; null takes one away |
//! | `POST calls` | `{"number"}` | the agent calls a customer |
//! | `PUT dial-error` | `{"dialError"}` | what becomes of the agent's next calls: a [`DialError`], or null |
//! | `PUT agent` | `{"availability"}` | the agent chooses an [`Availability`] |
//! | `PUT session` | `{"signedIn", "how"}` | the agent's session begins, or ends in a way of [`SessionEnd`] |
//! | `PUT approved-origins` | a list | whose pages may show the control panel |
//!
//! With `"wait": false` the functions are not waited for. What is refused has an `error` with `type` and `message`.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use axum::{
    Json as JsonBody, Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post, put},
};
use futures_util::{Stream, stream};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use uuid::Uuid;

use super::{
    Action, Availability, Connect, DialError, How, NewContact, Refused, Rest, SessionEnd,
    no_contact,
};

pub(super) fn router() -> Router<Connect> {
    Router::new()
        .route(
            "/stand-in/contacts",
            get(state).post(place).delete(begin_anew),
        )
        .route("/stand-in/contacts/{id}", get(contact))
        .route("/stand-in/contacts/{id}/attributes", put(set_attributes))
        .route("/stand-in/contacts/{id}/{action}", post(act))
        .route("/stand-in/calls", post(dial))
        .route("/stand-in/dial-error", put(set_dial_error))
        .route("/stand-in/agent", put(set_agent))
        .route("/stand-in/session", put(set_session))
        .route("/stand-in/approved-origins", put(approve))
        .route("/stand-in/events", get(events))
        .route_layer(middleware::from_fn(only_own_pages))
}

/// Lets in the instance's own pages, and whoever is no page. A browser would let any other site's page ask as well.
async fn only_own_pages(request: Request, next: Next) -> Response {
    if is_foreign(request.headers()) {
        let message = "only the pages of this instance may ask for this";
        return Refused::new(StatusCode::FORBIDDEN, "AccessDeniedException", message)
            .into_response();
    }
    next.run(request).await
}

fn is_foreign(headers: &HeaderMap) -> bool {
    let of = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let own = of(header::HOST).map(|host| format!("http://{host}"));
    of(header::ORIGIN).is_some_and(|origin| Some(origin) != own.as_deref())
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let error = json!({"error": {"type": self.kind, "message": self.message}});
        (self.status, JsonBody(error)).into_response()
    }
}

type Answer = Result<(StatusCode, JsonBody<Json>), Refused>;

/// A body; none stands for `{}`.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    let body = if body.trim_ascii().is_empty() {
        b"{}"
    } else {
        body.as_ref()
    };
    serde_json::from_slice(body).map_err(|error| Refused::wrong(error.to_string()))
}

/// The id of a contact. There is no contact of what is none.
fn id(text: &str) -> Result<Uuid, Refused> {
    Uuid::try_parse(text).map_err(|_| {
        Refused::new(
            StatusCode::NOT_FOUND,
            "ResourceNotFoundException",
            format!("there is no contact `{text}`: its id is a GUID"),
        )
    })
}

/// Lets the functions do their work, which goes on also when nobody waits for it.
async fn finish(rest: Rest, is_awaited: Option<bool>) {
    let work = tokio::spawn(rest);
    if is_awaited.unwrap_or(true) {
        // It can only fail by a panic, which is printed.
        let _ = work.await;
    }
}

fn shown(connect: &Connect, id: Uuid, status: StatusCode) -> Answer {
    let contact = connect.contact(id).ok_or_else(|| no_contact(id))?;
    Ok((status, JsonBody(contact.json())))
}

async fn state(State(connect): State<Connect>) -> JsonBody<Json> {
    JsonBody(connect.state())
}

async fn contact(State(connect): State<Connect>, Path(text): Path<String>) -> Answer {
    shown(&connect, id(&text)?, StatusCode::OK)
}

async fn place(State(connect): State<Connect>, body: Bytes) -> Answer {
    let new: NewContact = read(&body)?;
    let wait = new.wait;
    let (id, rest) = connect.place(new)?;
    finish(rest, wait).await;
    if connect.contact(id).is_none() {
        // The second leg of a call that another agent has had begins when the first has run.
        return Ok((StatusCode::ACCEPTED, JsonBody(json!({"id": id}))));
    }
    shown(&connect, id, StatusCode::CREATED)
}

/// Forgets all contacts, and lets the agent be signed in and available: for the next test.
async fn begin_anew(State(connect): State<Connect>) -> StatusCode {
    connect.begin_anew();
    StatusCode::NO_CONTENT
}

async fn act(
    State(connect): State<Connect>,
    Path((text, action)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let id = id(&text)?;
    let action: Action = serde_json::from_value(Json::String(action)).map_err(|error| {
        Refused::new(
            StatusCode::NOT_FOUND,
            "InvalidParameterException",
            error.to_string(),
        )
    })?;
    let how: How = read(&body)?;
    let rest = connect.act(id, action, how)?;
    finish(rest, how.wait).await;
    shown(&connect, id, StatusCode::OK)
}

async fn set_attributes(
    State(connect): State<Connect>,
    Path(text): Path<String>,
    body: Bytes,
) -> Answer {
    let id = id(&text)?;
    let attributes: BTreeMap<String, Option<String>> = read(&body)?;
    connect.set_attributes(id, attributes)?;
    shown(&connect, id, StatusCode::OK)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    number: String,
    #[serde(default)]
    wait: Option<bool>,
}

async fn dial(State(connect): State<Connect>, body: Bytes) -> Answer {
    let Call { number, wait } = read(&body)?;
    match connect.dial(&number)? {
        Some((id, rest)) => {
            finish(rest, wait).await;
            shown(&connect, id, StatusCode::CREATED)
        }
        None => Ok((StatusCode::ACCEPTED, JsonBody(json!({"dropped": true})))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewDialError {
    dial_error: Option<DialError>,
}

async fn set_dial_error(
    State(connect): State<Connect>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let NewDialError { dial_error } = read(&body)?;
    connect.change(|instance| instance.dial_error = dial_error);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAvailability {
    availability: Availability,
}

async fn set_agent(State(connect): State<Connect>, body: Bytes) -> Result<StatusCode, Refused> {
    let NewAvailability { availability } = read(&body)?;
    connect.choose(availability)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Session {
    signed_in: bool,
    /// How it ends.
    #[serde(default)]
    how: SessionEnd,
}

async fn set_session(State(connect): State<Connect>, body: Bytes) -> Result<StatusCode, Refused> {
    let Session { signed_in, how } = read(&body)?;
    connect.change(|instance| {
        instance.is_signed_in = signed_in;
        instance.session_end = how;
    });
    Ok(StatusCode::NO_CONTENT)
}

/// The origins whose pages may show the control panel, in place of those that there were.
async fn approve(State(connect): State<Connect>, body: Bytes) -> Result<StatusCode, Refused> {
    let origins: Vec<String> = read(&body)?;
    connect.lock().approved_origins = super::pages::sources(origins)?;
    Ok(StatusCode::NO_CONTENT)
}

/// All there is to see, now and after each change.
/// <https://html.spec.whatwg.org/multipage/server-sent-events.html>
async fn events(
    State(connect): State<Connect>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (first, changes) = {
        // No change comes between what is seen first and the changes after it.
        let instance = connect.lock();
        let first: Arc<str> = instance.json().to_string().into();
        (first, connect.changes.subscribe())
    };
    let told = stream::unfold(
        (Some(first), changes, connect),
        |(first, mut changes, connect)| async move {
            let state = match first {
                Some(first) => first,
                None => next(&mut changes, &connect).await?,
            };
            let event = Event::default().data(&*state);
            Some((Ok(event), (None, changes, connect)))
        },
    );
    Sse::new(told).keep_alive(KeepAlive::default())
}

async fn next(changes: &mut Receiver<Arc<str>>, connect: &Connect) -> Option<Arc<str>> {
    match changes.recv().await {
        Ok(state) => Some(state),
        Err(RecvError::Lagged(_)) => {
            *changes = changes.resubscribe();
            Some(connect.state().to_string().into())
        }
        Err(RecvError::Closed) => None,
    }
}
