//! The worker: takes an event, and replies.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{
    DeliveryError, Invocation,
    progress::{Caller, Progress},
    task::{Refusal, Task},
    visit::{Visit, Visited, count},
};
use crate::{
    history::{History, State},
    integrations::{Integrations, IntegrationsError, Loaded},
    metrics,
    objects::Objects,
    recording::Folders,
    reply::{Reply, Status},
    store::{Line, Store, StoreError, Stored},
};

/// How long a contact waits for an integration that cannot be loaded, and how long it is kept then. A
/// loaded configuration says both.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(72);
pub(super) const RETENTION_DAYS: u32 = 30;

/// Delivers the steps of contacts.
#[derive(Debug)]
pub struct Worker {
    pub(super) store: Arc<Store>,
    pub(super) integrations: Arc<Integrations>,
    /// The integration of an event that names none.
    pub(super) default_integration: String,
    /// None where the function may not read objects.
    pub(super) objects: Option<Arc<dyn Objects>>,
    folders: Folders,
}

/// What became of looking for a contact's integration.
pub(super) enum Found {
    Loaded(Arc<Loaded>),
    /// The contact belongs to this other one.
    BelongsTo(String),
    /// It cannot be loaded: the contact waits in the table, like this, until somebody mends it.
    Parked(IntegrationsError, Box<Stored>),
}

/// How the work on an event ended.
enum Ended {
    /// What is to be replied stands in the history.
    Visited,
    /// The contact waits for its integration, and the event's step is in this state.
    Parked(IntegrationsError, State),
}

impl Worker {
    pub fn new(
        store: Arc<Store>,
        integrations: Arc<Integrations>,
        default_integration: &str,
    ) -> Worker {
        Worker {
            store,
            integrations,
            default_integration: default_integration.to_owned(),
            objects: None,
            folders: Folders::default(),
        }
    }

    /// Lets the worker read the recording bucket's objects, where its function may.
    #[must_use]
    pub fn with_objects(self, objects: Option<Arc<dyn Objects>>) -> Worker {
        Worker { objects, ..self }
    }

    /// Lets the worker know where the Amazon Connect instance stores what.
    #[must_use]
    pub fn with_folders(self, folders: Folders) -> Worker {
        Worker { folders, ..self }
    }

    /// Loads the default integration and fetches a token, so that the first contact need not wait.
    pub async fn warm_up(&self, deadline: Instant) {
        let warm_up = async {
            let loaded = self.integrations.get(&self.default_integration).await;
            let loaded = loaded.map_err(|error| error.to_string())?;
            let token = loaded.dynamics.warm_up(deadline).await;
            token.map_err(|error| error.to_string())
        };
        match timeout_at(deadline, warm_up).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error, "the function starts cold"),
            Err(_) => tracing::warn!("the function starts cold: the time for warming up was over"),
        }
    }

    /// Does what an event asks for and replies. A flow is always answered, and in time.
    ///
    /// # Errors
    /// [`DeliveryError`] when an event that no flow sent could not be stored, so that AWS sends it again.
    pub async fn handle(&self, invocation: Invocation) -> Result<Reply, DeliveryError> {
        let began = Instant::now();
        let step = invocation.step;
        let task = match Task::read(step, invocation.payload.clone(), &self.folders) {
            Ok(task) => task,
            Err(Refusal::Malformed(reason)) => {
                if invocation.is_queued {
                    metrics::not_stored();
                }
                tracing::error!(%step, request_id = invocation.request_id, outcome = "failed", reason, "the event cannot be read");
                return Ok(Reply::new(Status::Failed).message(reason));
            }
            Err(Refusal::Ignored(reason)) => {
                tracing::info!(%step, outcome = "ignored", reason, "the event is not for this step");
                return Ok(Reply::new(Status::Ignored).message(reason));
            }
        };
        let is_flow = task.is_flow && !invocation.is_queued;
        let caller = if is_flow { Caller::Flow } else { Caller::Event };
        let mut progress = Progress::new(invocation.started, invocation.deadline, caller);
        let result = self.work(&task, &invocation, &mut progress).await;
        let reply = reply(&task, &invocation, result, &progress)?;
        tracing::info!(
            contact_id = %task.contact.id,
            %step,
            outcome = reply.status().as_str(),
            total_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "the event is answered"
        );
        Ok(reply)
    }

    async fn work(
        &self,
        task: &Task,
        invocation: &Invocation,
        progress: &mut Progress,
    ) -> Result<Ended, DeliveryError> {
        let holder = holder(&invocation.request_id);
        let contact_id = task.contact.id;
        let default = &self.default_integration;
        let mut name = task.integration.clone().unwrap_or_else(|| default.clone());
        loop {
            let intend = |history: &mut History, now| {
                task.belong(history, now);
                task.intend(history, now);
            };
            let find = self.find_integration(&name, contact_id, &intend);
            let loaded = match timeout_at(progress.deadline(), find).await?? {
                Found::Loaded(loaded) => loaded,
                Found::Parked(error, stored) => {
                    let state = stored.history.state(&task.key).unwrap_or(State::Pending);
                    return Ok(Ended::Parked(error, state));
                }
                Found::BelongsTo(other) => {
                    name = other;
                    continue;
                }
            };
            progress.load(&loaded);
            let deadline = progress.deadline();
            let visit = Visit::new(self, loaded, &holder, contact_id, progress);
            match timeout_at(deadline, visit.event(task)).await?? {
                Visited::Done => return Ok(Ended::Visited),
                Visited::BelongsTo(other) => name = other,
            }
        }
    }

    /// The integration of this name, loaded. When it does not exist or is not valid, somebody will mend
    /// it: until then the contact is parked in the table, with what `change` adds to its history.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer or take it.
    pub(super) async fn find_integration(
        &self,
        name: &str,
        contact_id: Uuid,
        change: &dyn Fn(&mut History, Timestamp),
    ) -> Result<Found, StoreError> {
        let error = match self.integrations.get(name).await {
            Ok(loaded) => return Ok(Found::Loaded(loaded)),
            Err(IntegrationsError::Store(error)) => return Err(error),
            Err(error) => error,
        };
        loop {
            let now = Timestamp::now();
            let stored = self.store.load(contact_id).await?;
            let stored = stored.unwrap_or_else(|| Stored::new(History::new(contact_id, name, now)));
            let mut parked = stored.clone();
            change(&mut parked.history, now);
            if parked.history.integration() != name {
                return Ok(Found::BelongsTo(parked.history.integration().to_owned()));
            }
            parked.history.park(&error.to_string(), GIVE_UP_AFTER, now);
            if parked == stored {
                return Ok(Found::Parked(error, Box::new(stored)));
            }
            // A name that nobody has configured gets no line of its own: a flow may make up one a call.
            let line = match &error {
                IntegrationsError::Unknown(_) => Line::of_nobody(),
                _ => Line::of(name),
            };
            let saved = self.store.save_in_line(&mut parked, line, RETENTION_DAYS);
            match saved.await {
                Err(StoreError::Conflict) => {}
                saved => {
                    saved?;
                    count(&stored.history, &parked.history);
                    return Ok(Found::Parked(error, Box::new(parked)));
                }
            }
        }
    }
}

/// Who holds a lease. Lambda tries an event again under the same request id, so that alone would let a
/// second try take the first one's lease for its own.
pub(super) fn holder(request_id: &str) -> String {
    format!("{request_id}/{:08x}", fastrand::u32(..))
}

fn reply(
    task: &Task,
    invocation: &Invocation,
    result: Result<Ended, DeliveryError>,
    progress: &Progress,
) -> Result<Reply, DeliveryError> {
    let contact_id = task.contact.id;
    let step = invocation.step;
    let error = match (result, progress.stored()) {
        (Ok(Ended::Parked(error, state)), _) => {
            tracing::error!(%contact_id, %step, outcome = state.as_str(), %error, "the contact is kept until its integration can be loaded");
            if state == State::Pending {
                metrics::step(step, State::Pending);
            }
            return Ok(Reply::new(state.into()).message(error.to_string()));
        }
        (result, Some((history, loaded))) => {
            // The time is up, or the table is gone meanwhile: redelivery goes on from here.
            if result.is_err() && history.state(&task.key) == Some(State::Pending) {
                metrics::step(step, State::Pending);
            }
            return Ok(Reply::of(&task.key, history, &loaded.integration));
        }
        (Ok(Ended::Visited), None) => DeliveryError::Timeout,
        (Err(error), None) => error,
    };
    if !task.is_flow || invocation.is_queued {
        tracing::error!(%contact_id, %step, outcome = "failed", %error, "the event was not stored; it comes again");
        return Err(error);
    }
    metrics::not_stored();
    // Nobody sends a flow's event again. This is the one place where attributes reach the log: without
    // them the contact would be lost.
    tracing::error!(%contact_id, %step, request_id = invocation.request_id, outcome = "failed", %error, event = invocation.payload.to_string(), "the event was not stored; invoke the function with this event to replay it");
    Ok(Reply::new(Status::Failed).message(error.to_string()))
}
