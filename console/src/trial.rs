//! A test contact: its way through the functions, and what is deleted of it afterwards.
//!
//! Owns what was tried. A test contact goes the way of a real one: its events are sent to the functions, with the
//! configuration in force.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use connect_dynamics::{
    history::{RequestKey, State as RequestState},
    integration::Integration,
    recording::{ObjectKind, RecordedObject},
    step::Step,
    store::{Stored, recent::Forgotten},
};
use jiff::Timestamp;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    deployment::Deployment,
    environment::Environment,
    sample::{Changes, Life},
};

/// The test contacts that were placed.
#[derive(Debug, Default)]
pub(crate) struct Trials(Mutex<BTreeMap<Uuid, Arc<Mutex<Run>>>>);

/// No more of them are remembered.
const MOST_RUNS: usize = 50;

/// A test contact. Its id is the contact's.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) contact_id: Uuid,
    /// The leg before it, where it is a later leg.
    pub(crate) first_leg: Option<Uuid>,
    /// What was in force when it was placed, and where its records are looked for afterwards.
    pub(crate) integration: Arc<Integration>,
    pub(crate) title: &'static str,
    /// When that was published.
    pub(crate) published_at: Option<Timestamp>,
    pub(crate) started_at: Timestamp,
    pub(crate) events: Vec<Sent>,
    pub(crate) is_over: bool,
    pub(crate) cleans_up: bool,
    /// What was deleted, or why something was not.
    pub(crate) cleaned: Vec<Result<String, String>>,
}

/// An event of a test contact.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) step: Step,
    pub(crate) event: Json,
    pub(crate) reply: Option<Result<Json, String>>,
    pub(crate) took: Duration,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trials {
    pub(crate) fn get(&self, id: Uuid) -> Option<Arc<Mutex<Run>>> {
        lock(&self.0).get(&id).cloned()
    }

    pub(crate) fn add(&self, run: Run) -> Arc<Mutex<Run>> {
        let mut runs = lock(&self.0);
        while runs.len() >= MOST_RUNS {
            let oldest = runs.iter().min_by_key(|(_, run)| lock(run).started_at);
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                break;
            };
            runs.remove(&oldest);
        }
        let id = run.contact_id;
        let run = Arc::new(Mutex::new(run));
        runs.insert(id, run.clone());
        run
    }
}

/// The events of a test contact. Files of what was said are not there, so events of objects whose step reads one
/// are left out.
pub(crate) fn events(
    life: &Life,
    contact_id: Uuid,
    integration: &Integration,
    changes: &Changes,
    now: Timestamp,
) -> Vec<Sent> {
    let mut events = Vec::new();
    let first_leg = life.first_leg_of(contact_id, now);
    for (step, mut event) in first_leg.into_iter().chain(life.events_of(contact_id, now)) {
        changes.apply(&mut event);
        if let Some(parameters) = event.pointer_mut("/Details/Parameters")
            && let Some(parameters) = parameters.as_object_mut()
        {
            parameters.insert("integration".into(), integration.name().into());
        }
        if let Some(bucket) = &integration.connection().recording_bucket
            && let Some(name) = event.pointer_mut("/detail/bucket/name")
        {
            *name = bucket.as_str().into();
        }
        if step == Step::RecordingAvailable {
            let object = RecordedObject {
                kind: ObjectKind::Recording,
                bucket: String::new(),
                key: String::new(),
                url: String::new(),
            };
            let key = RequestKey::of_object(step, &object);
            let names = integration.configuration().steps.get(step);
            let names = names.into_iter().flat_map(|view| view.requests);
            let named = names.filter_map(|(_, request)| Some(key.named(request.name.as_ref()?)));
            let reads = |key: &RequestKey| integration.reads_conversation(key);
            if reads(&key) || named.into_iter().any(|key| reads(&key)) {
                continue;
            }
        }
        events.push(Sent {
            step,
            event,
            reply: None,
            took: Duration::ZERO,
        });
    }
    events
}

/// Sends a test contact's events, one after the other, and deletes what it has made if that is asked for.
pub(crate) async fn carry_out(
    deployment: &Deployment,
    environment: &Environment,
    run: &Mutex<Run>,
) {
    let number = lock(run).events.len();
    for index in 0..number {
        let sent = lock(run).events[index].clone();
        let began = Instant::now();
        let reply = deployment.invoke(sent.step.as_str(), &sent.event).await;
        let mut run = lock(run);
        run.events[index].took = began.elapsed();
        run.events[index].reply = Some(reply.map_err(|error| error.to_string()));
    }
    let cleans_up = lock(run).cleans_up;
    if cleans_up {
        delete(deployment, environment, run).await;
    }
    lock(run).is_over = true;
}

/// Deletes what a test contact has made: its records in Dynamics, the last one first, and its history.
///
/// Only records are deleted whose id is made of this contact's id. What was found or updated stays. A customer who
/// was created, and a record that is another contact's, stay and are named.
pub(crate) async fn delete(deployment: &Deployment, environment: &Environment, run: &Mutex<Run>) {
    let (ids, integration) = {
        let run = lock(run);
        let ids: Vec<Uuid> = [Some(run.contact_id), run.first_leg]
            .into_iter()
            .flatten()
            .collect();
        (ids, run.integration.clone())
    };
    let mut cleaned = Vec::new();
    // What is pending of one contact may need the other's record.
    for id in &ids {
        let stored = deployment.store.load(*id).await;
        let is_pending = |stored: Stored| stored.history.count(RequestState::Pending) > 0;
        if stored.is_ok_and(|stored| stored.is_some_and(is_pending)) {
            let why = "something of the contact is still pending, and would be made after all; delete it when everything is delivered or has failed";
            lock(run).cleaned = vec![Err(why.to_owned())];
            return;
        }
    }
    for id in &ids {
        delete_contact(
            deployment,
            environment,
            &integration,
            *id,
            &ids,
            &mut cleaned,
        )
        .await;
    }
    if cleaned.is_empty() {
        cleaned.push(Ok("nothing is known of the contact any more".to_owned()));
    }
    lock(run).cleaned = cleaned;
}

/// Deletes what a contact has made. Records of the other contacts of the same test are theirs to delete.
async fn delete_contact(
    deployment: &Deployment,
    environment: &Environment,
    integration: &Integration,
    contact_id: Uuid,
    of_test: &[Uuid],
    cleaned: &mut Vec<Result<String, String>>,
) {
    let stored = match deployment.store.load(contact_id).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return,
        Err(error) => {
            cleaned.push(Err(error.to_string()));
            return;
        }
    };
    let history = &stored.history;
    let mut is_all_gone = true;
    for (key, request) in history.in_order().into_iter().rev() {
        let own = integration.own_record_id(contact_id, key);
        let is_delivered = request.state == RequestState::Delivered;
        let (Some(id), Some(table)) = (own, integration.table(key)) else {
            if key.request() == Some("new-customer") && is_delivered {
                let id = request.record_id.unwrap_or_default();
                cleaned.push(Ok(format!(
                    "the customer {id}, who was created, stays: other contacts of the same number share this record"
                )));
            }
            continue;
        };
        if is_delivered && request.record_id != Some(id) {
            let is_of_test =
                |other: &Uuid| integration.own_record_id(*other, key) == request.record_id;
            if !of_test.iter().any(is_of_test) {
                cleaned.push(Ok(format!(
                    "the record of {key} stays: it is another contact's, or was there before"
                )));
            }
            continue;
        }
        let name = &table.logical_name;
        match environment.delete(&table.entity_set, id).await {
            Ok(true) => cleaned.push(Ok(format!("{name} {id} is deleted in Dynamics"))),
            // What has failed was not made as a rule.
            Ok(false) if !is_delivered => {}
            Ok(false) => {
                is_all_gone = false;
                cleaned.push(Err(format!(
                    "there is no {name} {id} in Dynamics: it was deleted by somebody, or a function has made it by a configuration that is not in force any more"
                )));
            }
            Err(error) => {
                is_all_gone = false;
                cleaned.push(Err(format!("{name} {id} is still in Dynamics: {error}")));
            }
        }
    }
    if !is_all_gone {
        cleaned.push(Err(
            "what is remembered of the contact was kept, so that it can be tried again".into(),
        ));
        return;
    }
    cleaned.push(match deployment.store.forget(contact_id).await {
        Ok(Forgotten::Gone(_) | Forgotten::Unknown) => Ok(format!(
            "what was remembered of the contact {contact_id} is deleted"
        )),
        Ok(Forgotten::InUse(until)) => Err(format!(
            "the contact is still remembered: a function is at work on it until {until}"
        )),
        Err(error) => Err(format!("the contact is still remembered: {error}")),
    });
}
