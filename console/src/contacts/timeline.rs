//! What became of one contact: its events as they came, and each request that follows from them.
//!
//! Owns how a history and its integration are told as a story. What is told of a request's method, address and
//! body is what it would be now: what was sent is not kept.

use std::sync::Arc;

use connect_dynamics::{
    configuration::Connection,
    contact::Attributes,
    dataverse::{Kind, Request},
    history::{History, RequestHistory, RequestKey, State},
    integration::{Integration, RenderError, Sending},
    recording::RecordedObject,
    step::Step,
    store::{StoreError, recent::Recent},
};
use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{
    Integrations, Record, has_doubt,
    reason::{self, Explanation},
};
use crate::deployment::Deployment;

/// One contact's story.
#[derive(Debug)]
pub struct Timeline {
    /// What the list says of it.
    pub contact: Recent,
    /// Whether a request has failed that may have been carried out.
    pub has_doubt: bool,
    /// Why its integration cannot be worked with; nothing can be said of what requests send then.
    pub no_integration: Option<String>,
    /// The contact's page in Amazon Connect.
    pub contact_url: Option<String>,
    /// The record of `contact-start`.
    pub record: Option<Record>,
    /// When the contact is looked at again.
    pub wake_at: Option<Timestamp>,
    /// Until when a worker has the contact for itself.
    pub in_use_until: Option<Timestamp>,
    /// As they came.
    pub events: Vec<Event>,
}

/// What was told of a contact, and what was to be done for it.
#[derive(Debug)]
pub struct Event {
    pub step: Step,
    /// The object that it is about.
    pub object: Option<RecordedObject>,
    /// When it came first; none where it has left no request.
    pub at: Option<Timestamp>,
    /// What it told of the contact.
    pub attributes: Option<Attributes>,
    pub requests: Vec<RequestStory>,
}

/// One request of a contact.
#[derive(Debug)]
pub struct RequestStory {
    pub key: RequestKey,
    pub history: RequestHistory,
    /// What it does, as it would be done now.
    pub would_send: WouldSend,
    pub record: Option<Record>,
    /// Its reason, without Dynamics' own words.
    pub reason: Option<String>,
    /// Dynamics' own words, which may quote a value.
    pub words: Option<String>,
    pub explanation: Option<Explanation>,
}

/// What a request would be, were it made now.
#[derive(Debug)]
pub enum WouldSend {
    Requests(Vec<Request>),
    /// None, and why.
    Nothing(String),
}

impl Timeline {
    /// The story of a contact; none where nothing is known of it.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn of(deployment: &Deployment, id: Uuid) -> Result<Option<Timeline>, StoreError> {
        let Some(stored) = deployment.store.load(id).await? else {
            return Ok(None);
        };
        let history = stored.history;
        let mut integrations = Integrations::of(deployment);
        let integration = integrations.get(history.integration()).await?;
        Ok(Timeline::tell(&history, integration, Timestamp::now()))
    }

    fn tell(
        history: &History,
        integration: Result<Arc<Integration>, String>,
        now: Timestamp,
    ) -> Option<Timeline> {
        let (integration, no_integration) = match integration {
            Ok(integration) => (Some(integration), None),
            Err(reason) => (None, Some(reason)),
        };
        let integration = integration.as_deref();
        let connection: Option<&Connection> = integration.map(Integration::connection);
        let start = RequestKey::of(Step::ContactStart);
        let lease = history.lease().filter(|lease| lease.until > now);
        Some(Timeline {
            contact: Recent::of(history)?,
            has_doubt: has_doubt(history),
            no_integration,
            contact_url: connection.and_then(|it| it.contact_url(history.contact_id())),
            record: record(&start, history, integration),
            wake_at: history.wake_at(),
            in_use_until: lease.map(|lease| lease.until),
            events: events(history, integration, now),
        })
    }

    /// All records in Dynamics that the contact's requests have made, changed or found.
    pub fn records(&self) -> Vec<&Record> {
        let requests = self.events.iter().flat_map(|event| &event.requests);
        let mut records: Vec<&Record> = Vec::new();
        for record in requests.filter_map(|request| request.record.as_ref()) {
            match records.iter_mut().find(|known| known.id == record.id) {
                Some(known) if known.url.is_none() => *known = record,
                Some(_) => {}
                None => records.push(record),
            }
        }
        records
    }

    /// The story as JSON; attributes, bodies, answers and Dynamics' own words only `with_values`.
    pub fn to_json(&self, with_values: bool) -> Json {
        let events: Vec<Json> = self
            .events
            .iter()
            .map(|event| {
                let mut told = json!({
                    "step": event.step,
                    "at": event.at,
                    "attributes": event.attribute_names(),
                    "requests": event.requests.iter().map(|it| it.to_json(with_values)).collect::<Vec<_>>(),
                });
                if let Some(object) = &event.object {
                    told["object"] = json!({"kind": object.kind, "bucket": object.bucket, "key": object.key, "url": object.url});
                }
                if with_values {
                    told["attributes"] = json!(event.attributes);
                }
                told
            })
            .collect();
        let mut told = json!(self.contact);
        told["contactUrl"] = json!(self.contact_url);
        told["record"] = json!(self.record);
        told["wakeAt"] = json!(self.wake_at);
        told["inUseUntil"] = json!(self.in_use_until);
        told["noIntegration"] = json!(self.no_integration);
        told["events"] = events.into();
        told
    }
}

fn record(
    key: &RequestKey,
    history: &History,
    integration: Option<&Integration>,
) -> Option<Record> {
    let id = history.request(key)?.record_id?;
    let known = integration.and_then(|integration| integration.record_of(key, history));
    let (table, url) = known.map(|(_, table, url)| (table.to_owned(), url)).unzip();
    Some(Record { id, table, url })
}

/// A history's events, as they came.
fn events(history: &History, integration: Option<&Integration>, now: Timestamp) -> Vec<Event> {
    let mut requests = history.in_order();
    // The order in which steps are delivered is not that in which their events came.
    requests.sort_by_key(|(key, request)| (request.sequence, request.place, (*key).clone()));
    let mut events: Vec<(RequestKey, Event)> = Vec::new();
    for (key, request) in requests {
        let story = RequestStory::of(key, request, history, integration, now);
        let main = key.main();
        match events.iter_mut().find(|(of, _)| *of == main) {
            Some((_, event)) => event.requests.push(story),
            None => {
                let at = history.request(&main).unwrap_or(request).intended_at;
                let event = Event {
                    step: key.step(),
                    object: history.object(key).cloned(),
                    at: Some(at),
                    attributes: None,
                    requests: vec![story],
                };
                events.push((main, event));
            }
        }
    }
    let mut events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
    for (step, attributes) in history.told() {
        let attributes = Some(attributes.clone());
        match events.iter_mut().find(|event| event.step == step) {
            Some(event) => event.attributes = attributes,
            // What completes a contact tells of steps that were not asked for.
            None => events.push(Event {
                step,
                object: None,
                at: None,
                attributes,
                requests: Vec::new(),
            }),
        }
    }
    events
}

impl Event {
    /// What the event is, in words.
    pub fn title(&self) -> String {
        match (self.step, &self.object) {
            (Step::ContactStart, _) => "The contact starts".into(),
            (Step::ContactAnswered, _) => "An agent answers".into(),
            (Step::ContactEnd, _) => "The contact ends".into(),
            (Step::ContactCompleted, _) => "The contact is complete".into(),
            (Step::RecordingAvailable, Some(object)) => {
                format!(
                    "A file is there: {}",
                    object.kind.as_str().replace('-', " ")
                )
            }
            (Step::RecordingAvailable, None) => "A file is there".into(),
        }
    }

    /// The names of the attributes that it told.
    pub fn attribute_names(&self) -> Vec<String> {
        let Some(Json::Object(maps)) = self.attributes.as_ref().map(|it| json!(it)) else {
            return Vec::new();
        };
        let names = maps.into_iter().flat_map(|(map, fields)| {
            let prefix = if map == "user" { "Attributes." } else { "" };
            let fields: Map<String, Json> = serde_json::from_value(fields).unwrap_or_default();
            let names = fields.into_iter().map(|(name, _)| name);
            names
                .map(|name| format!("{prefix}{name}"))
                .collect::<Vec<_>>()
        });
        names.collect()
    }
}

impl RequestStory {
    fn of(
        key: &RequestKey,
        request: &RequestHistory,
        history: &History,
        integration: Option<&Integration>,
        now: Timestamp,
    ) -> RequestStory {
        let told = request.reason.as_deref();
        let (reason, words) = match told.and_then(|it| it.split_once("\nDynamics says: ")) {
            Some((reason, words)) => (Some(reason.to_owned()), Some(words.to_owned())),
            None => (told.map(str::to_owned), None),
        };
        let reason = reason.or_else(|| waits_for(key, request, history, integration, now));
        RequestStory {
            key: key.clone(),
            would_send: would_send(key, history, integration),
            record: record(key, history, integration),
            explanation: reason
                .as_deref()
                .map(|reason| reason::explain(request.state, reason)),
            history: request.clone(),
            reason,
            words,
        }
    }

    /// What the request is for, in words.
    pub fn title(&self) -> String {
        match self.key.request() {
            None => "Main request".into(),
            Some("customer") => "Look-up of the customer".into(),
            Some("new-customer") => "New customer".into(),
            Some("agent") => "Look-up of the agent".into(),
            Some("link") => "Link to the customer".into(),
            Some("link-parties") => "Parties of the activity".into(),
            Some(name) => format!("Request {name}"),
        }
    }

    /// Whether it has failed and may have been carried out.
    pub fn is_in_doubt(&self) -> bool {
        self.history.state == State::Failed && self.history.sent_at.is_some()
    }

    fn to_json(&self, with_values: bool) -> Json {
        let request = &self.history;
        let mut told = json!({
            "request": self.key,
            "state": request.state,
            "intendedAt": request.intended_at,
            "firstTriedAt": request.first_tried_at,
            "updatedAt": request.updated_at,
            "dueAt": request.due_at,
            "attempts": request.attempts,
            "reason": self.reason,
            "whatToDo": self.explanation.as_ref().and_then(|it| it.fix.as_deref()),
            "inDoubt": self.is_in_doubt(),
            "record": self.record,
        });
        match &self.would_send {
            WouldSend::Requests(requests) => {
                let requests = requests.iter().map(|request| {
                    let mut told =
                        json!({"method": request.method, "address": address(request, with_values)});
                    if with_values {
                        told["body"] = json!(request.body);
                    }
                    told
                });
                told["wouldSend"] = requests.collect();
            }
            WouldSend::Nothing(reason) => told["wouldSendNothing"] = reason.as_str().into(),
        }
        if with_values {
            told["answer"] = json!(request.response);
            told["dynamicsSays"] = json!(self.words);
        }
        told
    }
}

/// Why a pending request has not been tried.
fn waits_for(
    key: &RequestKey,
    request: &RequestHistory,
    history: &History,
    integration: Option<&Integration>,
    now: Timestamp,
) -> Option<String> {
    if request.state != State::Pending {
        return None;
    }
    let missing = history.absent(key, integration?, now)?;
    Some(format!(
        "it waits for {missing}, which has not run for this contact"
    ))
}

/// What follows the service's root. With its values it may hold a number, or what a template has put there.
pub fn address(request: &Request, with_values: bool) -> &str {
    if with_values {
        &request.path
    } else {
        request.path.split(['(', '?']).next().unwrap_or_default()
    }
}

/// What a request does, in words.
pub fn does(request: &Request) -> &'static str {
    match request.kind {
        Kind::Create { .. } => "creates a record",
        Kind::Update => "updates a record",
        Kind::Read => "reads",
        Kind::Replace => "replaces a list of a record",
        Kind::Delete => "deletes a record",
        Kind::Action => "carries out an action",
    }
}

fn would_send(key: &RequestKey, history: &History, integration: Option<&Integration>) -> WouldSend {
    let nothing = |reason: &str| WouldSend::Nothing(reason.to_owned());
    let Some(integration) = integration else {
        return nothing("Nobody can say while the integration cannot be loaded.");
    };
    match integration.render(key, history, None) {
        Ok(rendered) => match rendered.sending {
            Sending::Request(request) => WouldSend::Requests(vec![request]),
            Sending::Customer(query) => WouldSend::Requests(query.requests().cloned().collect()),
            Sending::Agent(query) => WouldSend::Requests(vec![query.request]),
            Sending::Nothing => nothing("Nothing would be sent: there is nothing to do."),
        },
        // A condition may be made of values; its reason tells the condition only.
        Err(RenderError::NotConfigured(reason) | RenderError::NotWanted(reason)) => {
            nothing(&format!("Nothing would be sent: {reason}."))
        }
        Err(error) => nothing(&format!("It cannot be written: {error}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_2b1c4d6e8f90);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + second).unwrap()
    }

    fn story() -> Timeline {
        let reference = include_str!("../../../local/reference-integration.json");
        let integration = Integration::load(reference).unwrap();
        let mut history = History::new(ID, "default", at(0));
        let told: Attributes = serde_json::from_value(json!({
            "record": {"CustomerEndpoint": {"Address": "+15555550100"}, "Channel": "VOICE", "InitiationMethod": "INBOUND"},
            "user": {"secret": "tells"},
        }))
        .unwrap();
        // The end comes first.
        let [start, end] = [Step::ContactStart, Step::ContactEnd].map(RequestKey::of);
        history.intend(&end, at(5));
        history.learn(Step::ContactStart, &told);
        history.intend(&start, at(7));
        let reason = "Dynamics refused the request (status 403, 0x80040220): the application user lacks the privilege prvCreateActivity; add it to the user's security role\nDynamics says: +15555550100 may not";
        history.failed(&start, reason.into(), at(8));
        Timeline::tell(&history, Ok(Arc::new(integration)), at(9)).unwrap()
    }

    #[test]
    fn events_are_told_as_they_came_and_requests_with_their_reasons() {
        let story = story();
        let steps: Vec<_> = story.events.iter().map(|event| event.step).collect();
        assert_eq!(steps, [Step::ContactEnd, Step::ContactStart]);
        let start = &story.events[1];
        assert_eq!(start.at, Some(at(7)));
        assert_eq!(
            start.attribute_names(),
            [
                "CustomerEndpoint",
                "Channel",
                "InitiationMethod",
                "Attributes.secret"
            ]
        );
        let request = &start.requests[0];
        assert_eq!(request.words.as_deref(), Some("+15555550100 may not"));
        let explanation = request.explanation.as_ref().unwrap();
        assert!(explanation.what.contains("prvCreateActivity"));
        assert!(
            matches!(&request.would_send, WouldSend::Requests(sent) if sent[0].path.starts_with("phonecalls"))
        );
    }

    #[test]
    fn json_holds_values_only_when_they_are_asked_for() {
        let story = story();
        let hidden = story.to_json(false);
        let mut shown = hidden["events"].to_string();
        for value in ["+15555550100", "tells"] {
            assert!(!shown.contains(value), "{value}: {shown}");
        }
        shown = story.to_json(true)["events"].to_string();
        for value in ["+15555550100", "tells"] {
            assert!(shown.contains(value), "{value}: {shown}");
        }
    }
}
