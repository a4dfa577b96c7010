//! The way of one event through the product: read, remember, deliver, reply.
//!
//! Owns the order of it. An event's intent is stored before Dynamics is called; whoever holds the
//! contact's lease delivers what is pending, in the contact's order; a flow is answered within its
//! budget whatever hangs. What moves a step from state to state is [`crate::history`]'s.

use std::{
    collections::BTreeSet,
    fmt::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use uuid::Uuid;

use crate::{
    contact::Contact,
    crash,
    dataverse::Response,
    event::{Event, EventError},
    history::{History, Next, State, StepKey, backoff},
    integration::{Integration, Step, StepName},
    integrations::{Integrations, IntegrationsError, Loaded},
    metrics,
    recording::{ObjectError, RecordedObject},
    reply::{Reply, Status},
    request::record_id,
    store::{Store, StoreError, Stored},
};

/// A flow's budget until its integration, which may give another, is loaded.
const DEFAULT_FLOW_BUDGET: Duration = Duration::from_secs(3);
/// How much of an invocation's time is kept for storing what Dynamics answered.
const RESERVE: Duration = Duration::from_millis(400);
/// With less time than this left, the next step is left to another invocation.
const MIN_DELIVERY: Duration = Duration::from_millis(100);
/// When a contact whose integration cannot be loaded is looked at again, and when it is given up: what a
/// configuration would say, it cannot.
const UNLOADABLE: SignedDuration = SignedDuration::from_mins(1);
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(72);
const RETENTION_DAYS: u32 = 30;
/// Larger responses are reduced to what templates use.
const MAX_RESPONSE_BYTES: usize = 100 * 1024;

/// Delivers the steps of contacts.
#[derive(Debug)]
pub struct Worker {
    pub(crate) store: Arc<Store>,
    pub(crate) integrations: Arc<Integrations>,
    /// The integration of an event that names none.
    pub(crate) default_integration: String,
}

/// One invocation of a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub step: StepName,
    pub payload: Json,
    /// Tells this invocation's lease from others'.
    pub request_id: String,
    /// When the function is stopped.
    pub deadline: Instant,
}

/// Why an event could not even be stored. Whoever sent it must send it again.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum DeliveryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Integrations(#[from] IntegrationsError),
    #[error("the time was up before the event was stored")]
    Timeout,
}

/// What an event asks for.
struct Task {
    contact: Contact,
    key: StepKey,
    object: Option<RecordedObject>,
    integration: Option<String>,
    is_flow: bool,
}

/// Why there is nothing to do for an event.
enum Refusal {
    /// The event is none that the function can read.
    Malformed(String),
    /// It can, and the event is not for it.
    Ignored(String),
}

/// What is known of a running invocation, for the reply when its time is up.
#[derive(Default)]
struct Progress {
    loaded: Option<Arc<Loaded>>,
    history: Option<History>,
    is_stored: bool,
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
        }
    }

    /// Loads the default integration and fetches a token, so that the first contact need not wait.
    pub async fn warm_up(&self, deadline: Instant) {
        let warm_up = async {
            let loaded = self
                .integrations
                .get(&self.default_integration)
                .await
                .map_err(|error| error.to_string())?;
            loaded
                .dynamics
                .warm_up(deadline)
                .await
                .map_err(|error| error.to_string())
        };
        match tokio::time::timeout_at(deadline, warm_up).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error, "the function starts cold"),
            Err(_) => tracing::warn!("the function starts cold: the time for warming up was over"),
        }
    }

    /// Does what an event asks for and replies. A flow is always answered, and in time.
    ///
    /// # Errors
    /// [`DeliveryError`] when an EventBridge event could not be stored, so that AWS sends it again.
    pub async fn handle(&self, invocation: Invocation) -> Result<Reply, DeliveryError> {
        let started = Instant::now();
        let step = invocation.step;
        let payload = invocation.payload.to_string();
        let task = match Task::read(step, invocation.payload) {
            Ok(task) => task,
            Err(Refusal::Malformed(reason)) => {
                tracing::error!(%step, outcome = "failed", reason, "the event cannot be read");
                return Ok(Reply::new(Status::Failed).message(reason));
            }
            Err(Refusal::Ignored(reason)) => {
                tracing::info!(%step, outcome = "ignored", reason, "the event is not for this step");
                return Ok(Reply::new(Status::Ignored).message(reason));
            }
        };
        let contact_id = task.contact.id;
        let request_id = &invocation.request_id;
        let end = |budget: Duration| match task.is_flow {
            true => invocation.deadline.min(started + budget),
            false => invocation.deadline,
        };
        let (deadline, mut deadline_changes) = watch::channel(end(DEFAULT_FLOW_BUDGET));
        let progress = Mutex::new(Progress::default());
        let on_loaded = |loaded: &Arc<Loaded>| {
            let budget = loaded.integration.configuration.flow_budget_milliseconds;
            deadline.send_replace(end(Duration::from_millis(budget.into())));
            lock(&progress).loaded = Some(loaded.clone());
        };
        let run = self.run(&task, request_id, &deadline, &progress, on_loaded);
        tokio::pin!(run);
        let result = loop {
            let ends_at = *deadline_changes.borrow_and_update();
            tokio::select! {
                result = &mut run => break result,
                () = sleep_until(ends_at) => break Err(DeliveryError::Timeout),
                _ = deadline_changes.changed() => {}
            }
        };
        let progress = std::mem::take(&mut *lock(&progress));
        let reply = match (result, &progress.history, &progress.loaded) {
            (Ok(()), Some(history), Some(loaded)) => reply(&task.key, history, &loaded.integration),
            (Err(_), Some(history), Some(loaded)) if progress.is_stored => {
                // The time is up, or the table is gone meanwhile: redelivery goes on from here.
                metrics::step(step, State::Pending);
                reply(&task.key, history, &loaded.integration)
            }
            (Err(DeliveryError::Integrations(error)), _, _) if progress.is_stored => {
                tracing::error!(%contact_id, %step, outcome = "pending", %error, "the contact is kept until its integration can be loaded");
                metrics::step(step, State::Pending);
                Reply::new(Status::Pending).message(error.to_string())
            }
            (result, ..) => {
                let error = result.err().unwrap_or(DeliveryError::Timeout);
                if !task.is_flow {
                    tracing::error!(%contact_id, %step, outcome = "failed", %error, "the event was not stored; AWS sends it again");
                    return Err(error);
                }
                metrics::not_stored();
                // Nobody sends a flow's event again. This is the one place where attributes reach the
                // log: without them the contact would be lost.
                tracing::error!(%contact_id, %step, %request_id, outcome = "failed", %error, event = payload, "the event was not stored; invoke the function with this event to replay it");
                Reply::new(Status::Failed).message(error.to_string())
            }
        };
        if reply.get("status") == Some(Status::Skipped.as_str()) {
            metrics::step(step, State::Skipped);
        }
        tracing::info!(
            %contact_id,
            %step,
            outcome = reply.get("status"),
            total_ms = milliseconds(started),
            "the event is answered"
        );
        Ok(reply)
    }

    async fn run(
        &self,
        task: &Task,
        holder: &str,
        deadline: &watch::Sender<Instant>,
        progress: &Mutex<Progress>,
        on_loaded: impl Fn(&Arc<Loaded>),
    ) -> Result<(), DeliveryError> {
        let named = task
            .integration
            .as_deref()
            .unwrap_or(&self.default_integration);
        // The two reads are independent but for a contact that belongs to another integration.
        let (loaded, stored) = tokio::join!(
            async {
                let loaded = self.integrations.get(named).await?;
                on_loaded(&loaded);
                Ok::<_, IntegrationsError>(loaded)
            },
            self.store.load(task.contact.id)
        );
        let stored = stored?;
        // A contact stays with its integration, unless all that is known of it came in events that
        // could name none.
        let (named, loaded) = match &stored {
            Some(Stored { history, .. })
                if history.integration != named
                    && (task.integration.is_none() || history.has_delivered()) =>
            {
                let loaded = self.integrations.get(&history.integration).await;
                (history.integration.clone(), loaded.inspect(&on_loaded))
            }
            _ => (named.to_owned(), loaded),
        };
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(IntegrationsError::Store(error)) => return Err(error.into()),
            Err(error) => {
                self.keep(task, &named).await?;
                lock(progress).is_stored = true;
                return Err(error.into());
            }
        };
        let delivery = Delivery {
            store: &self.store,
            loaded: &loaded,
            holder,
            contact_id: task.contact.id,
            deadline: *deadline.borrow(),
        };
        let stored = stored.unwrap_or_else(|| {
            Stored::new(History::new(task.contact.id, &named, Timestamp::now()))
        });
        lock(progress).history = Some(stored.history.clone());

        // The token is wanted in a moment: fetch it while the intent is stored.
        let dynamics = loaded.dynamics.clone();
        let warm_up_deadline = delivery.deadline;
        let warm_up = tokio::spawn(async move { dynamics.warm_up(warm_up_deadline).await.ok() });

        let remember = |history: &mut History| {
            history.integration.clone_from(&named);
            task.remember(history, &loaded.integration);
        };
        crash::point("before-the-intent-is-stored");
        let mut stored = delivery.change(stored, &remember).await?;
        crash::point("after-the-intent-is-stored");
        let note = |stored: &Stored| {
            let mut progress = lock(progress);
            progress.history = Some(stored.history.clone());
            progress.is_stored = true;
        };
        note(&stored);

        // The lease is another worker's: it may deliver this step too, or let go.
        let mut pause = Duration::from_millis(20);
        while is_pending(&stored.history, &task.key)
            && stored.history.is_held_by_another(holder, Timestamp::now())
            && Instant::now() + pause + MIN_DELIVERY < delivery.deadline
        {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(250));
            let Some(seen) = self.store.load(task.contact.id).await? else {
                break;
            };
            stored = delivery.change(seen, &|_| {}).await?;
            note(&stored);
        }
        delivery.deliver(stored, &note).await?;
        warm_up.abort();
        Ok(())
    }

    /// Stores an event whose integration does not exist, or cannot be loaded: somebody will mend it,
    /// and redelivery delivers.
    async fn keep(&self, task: &Task, integration: &str) -> Result<(), StoreError> {
        loop {
            let now = Timestamp::now();
            let mut stored =
                self.store.load(task.contact.id).await?.unwrap_or_else(|| {
                    Stored::new(History::new(task.contact.id, integration, now))
                });
            let history = &mut stored.history;
            match &task.object {
                None => history.learn(task.key.step, &task.contact.attributes),
                Some(object) => history.learn_object(object.clone()),
            }
            history.intend(&task.key, now);
            history.wake_at.get_or_insert(now + UNLOADABLE);
            match self.store.save(&mut stored, RETENTION_DAYS).await {
                Err(StoreError::Conflict) => {}
                saved => return saved,
            }
        }
    }

    /// Leaves a contact whose integration cannot be loaded for later, or gives its steps up when it has
    /// waited too long.
    ///
    /// # Errors
    /// [`StoreError`], when the table does not take it.
    pub(crate) async fn leave(
        &self,
        mut stored: Stored,
        error: &IntegrationsError,
    ) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let history = &mut stored.history;
        let waited = history
            .oldest_pending()
            .map(|oldest| now.duration_since(oldest));
        if waited.is_some_and(|waited| waited > GIVE_UP_AFTER) {
            for key in history.steps.keys().cloned().collect::<Vec<_>>() {
                history.failed(&key, error.to_string(), now);
            }
            history.wake_at = None;
        } else {
            history.wake_at = Some(now + UNLOADABLE);
        }
        match self.store.save(&mut stored, RETENTION_DAYS).await {
            // Someone else is at the contact.
            Err(StoreError::Conflict) => Ok(()),
            saved => saved,
        }
    }
}

impl Task {
    fn read(step: StepName, payload: Json) -> Result<Task, Refusal> {
        let malformed = |error: EventError| Refusal::Malformed(error.to_string());
        let not_for_it = |what: &str| {
            Refusal::Malformed(format!(
                "{step} does not take {what}; route it to the function that does"
            ))
        };
        match Event::parse(payload).map_err(malformed)? {
            Event::Flow(_) if step == StepName::RecordingAvailable => Err(not_for_it(
                "a flow event (it takes S3 Object Created events)",
            )),
            Event::Flow(event) => {
                let integration = event
                    .parameters
                    .get("integration")
                    .and_then(Json::as_str)
                    .map(str::to_owned);
                Ok(Task {
                    contact: Contact::try_from(event).map_err(malformed)?,
                    key: StepKey::of(step),
                    object: None,
                    integration,
                    is_flow: true,
                })
            }
            Event::Contact(event) => {
                let wanted: &[&str] = match step {
                    StepName::ContactStart => &["INITIATED"],
                    StepName::ContactAnswered => &["CONNECTED_TO_AGENT"],
                    StepName::ContactEnd => &["DISCONNECTED", "COMPLETED"],
                    StepName::RecordingAvailable => {
                        return Err(not_for_it(
                            "a contact event (it takes S3 Object Created events)",
                        ));
                    }
                };
                if !wanted.contains(&event.event_type.as_str()) {
                    return Err(Refusal::Ignored(format!(
                        "{step} is done at the contact event {}, not at {}",
                        wanted.join(" or "),
                        event.event_type
                    )));
                }
                Ok(Task {
                    contact: Contact::try_from(event).map_err(malformed)?,
                    key: StepKey::of(step),
                    object: None,
                    integration: None,
                    is_flow: false,
                })
            }
            Event::ObjectCreated(_) if step != StepName::RecordingAvailable => {
                Err(not_for_it("an S3 Object Created event"))
            }
            Event::ObjectCreated(event) => {
                let (contact_id, object) =
                    RecordedObject::read(&event).map_err(|error: ObjectError| {
                        Refusal::Ignored(format!(
                            "the object {} is no contact's: {error}",
                            event.key
                        ))
                    })?;
                Ok(Task {
                    contact: Contact::unknown(contact_id),
                    key: StepKey {
                        step,
                        object_key: Some(object.key.clone()),
                    },
                    object: Some(object),
                    integration: None,
                    is_flow: false,
                })
            }
        }
    }

    /// Adds the event to the contact's history.
    fn remember(&self, history: &mut History, integration: &Integration) {
        let now = Timestamp::now();
        let connection = &integration.configuration.connection;
        match &self.object {
            None => history.learn(self.key.step, &self.contact.attributes),
            Some(object) => {
                if connection
                    .recording_bucket
                    .as_ref()
                    .is_some_and(|bucket| *bucket != object.bucket)
                {
                    let reason = "the bucket is not the integration's recordingBucket";
                    return history.skip(&self.key, reason, now);
                }
                history.learn_object(object.clone());
            }
        }
        let Some(step) = integration.step(self.key.step) else {
            return history.skip(&self.key, "the step is not configured", now);
        };
        match &self.object {
            Some(object) if !step.object_kinds.contains(&object.kind) => {
                history.skip(&self.key, &does_not_trigger(object), now);
            }
            _ => {
                history.intend(&self.key, now);
                if step.request.is_none() {
                    // Nothing is sent: opening the page is the agent's side.
                    history.delivered(&self.key, None, None, now);
                }
            }
        }
    }
}

/// The delivery of one contact's steps by one invocation.
pub(crate) struct Delivery<'a> {
    pub store: &'a Store,
    pub loaded: &'a Loaded,
    pub holder: &'a str,
    pub contact_id: Uuid,
    pub deadline: Instant,
}

impl Delivery<'_> {
    fn integration(&self) -> &Integration {
        &self.loaded.integration
    }

    fn needs(&self, step: StepName) -> BTreeSet<StepName> {
        self.integration()
            .step(step)
            .map(Step::needs)
            .unwrap_or_default()
    }

    /// Changes the history and stores it, on top of whatever others have stored meanwhile. The lease
    /// is taken, kept while there is something to deliver, and given back when there is not.
    pub(crate) async fn change(
        &self,
        mut stored: Stored,
        change: &dyn Fn(&mut History),
    ) -> Result<Stored, StoreError> {
        let retention_days = self.integration().configuration.retention_days;
        let mut is_shrunk = false;
        loop {
            let mut changed = stored.clone();
            change(&mut changed.history);
            self.claim(&mut changed.history);
            if is_shrunk {
                self.shrink(&mut changed.history);
            }
            if changed.history == stored.history {
                return Ok(stored);
            }
            match self.store.save(&mut changed, retention_days).await {
                Ok(()) => return Ok(changed),
                Err(StoreError::Conflict) => {
                    stored = self
                        .store
                        .load(self.contact_id)
                        .await?
                        .unwrap_or_else(|| Stored::new(stored.history));
                }
                Err(StoreError::TooLarge) if !is_shrunk => {
                    tracing::warn!(contact_id = %self.contact_id, "the contact's history is too large for an item; responses are reduced to what templates use");
                    is_shrunk = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps of each response what templates use.
    fn shrink(&self, history: &mut History) {
        for (key, step) in &mut history.steps {
            if let Some(response) = &mut step.response {
                match self.integration().response_fields(key.step) {
                    Some(fields) => response.retain(|field, _| fields.contains(field)),
                    None => response.clear(),
                }
            }
        }
    }

    fn claim(&self, history: &mut History) {
        let now = Timestamp::now();
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::MAX);
        // By then the function has been stopped, whatever became of it.
        let until = now + left + SignedDuration::from_secs(1);
        let without_start = &self.integration().configuration.without_start;
        history.claim(
            self.holder,
            until,
            |step| self.needs(step),
            without_start,
            now,
        );
    }

    /// Delivers what is pending, as long as the lease is ours, there is something to deliver, and
    /// there is time. Tells `note` of every state on the way, and returns the last.
    pub(crate) async fn deliver(
        &self,
        mut stored: Stored,
        note: &dyn Fn(&Stored),
    ) -> Result<Stored, StoreError> {
        note(&stored);
        loop {
            let history = &stored.history;
            let next = history.next(|step| self.needs(step), Timestamp::now());
            let (Next::Deliver(key), true) = (next, history.is_held_by(self.holder)) else {
                return Ok(stored);
            };
            if Instant::now() + MIN_DELIVERY > self.deadline {
                return Ok(stored);
            }
            let outcome = self.deliver_step(history, &key).await;
            crash::point("after-the-answer");
            let apply = |history: &mut History| {
                outcome.apply(history, &key, Timestamp::now());
            };
            stored = match self.change(stored.clone(), &apply).await {
                Err(StoreError::TooLarge) => {
                    tracing::error!(contact_id = %self.contact_id, step = %key.step, "the response is too large to be kept; templates cannot use it");
                    let apply = |history: &mut History| {
                        outcome
                            .without_response()
                            .apply(history, &key, Timestamp::now());
                    };
                    self.change(stored, &apply).await?
                }
                changed => changed?,
            };
            note(&stored);
        }
    }

    /// Sends one step's request; returns what became of it.
    async fn deliver_step(&self, history: &History, key: &StepKey) -> Outcome {
        let started = Instant::now();
        let contact_id = self.contact_id;
        let integration = self.integration();
        let name = &integration.configuration.name;
        let (attempts, waited) = history
            .steps
            .get(key)
            .map_or((0, SignedDuration::ZERO), |step| {
                (
                    step.attempts,
                    Timestamp::now().duration_since(step.intended_at),
                )
            });
        let give_up_after = integration.configuration.give_up_after_hours;
        let outcome = 'outcome: {
            let step = integration.step(key.step);
            let Some(request) = step.and_then(|step| step.request.as_ref()) else {
                break 'outcome Outcome::Skipped("the step is not configured".into());
            };
            if let Some((needed, state)) = history.unmet(&self.needs(key.step)) {
                break 'outcome Outcome::Failed(format!(
                    "it needs the response of {needed}, which is {}",
                    state.as_str()
                ));
            }
            let object = key
                .object_key
                .as_ref()
                .and_then(|key| history.objects.get(key));
            if let (Some(object), Some(step)) = (object, step)
                && !step.object_kinds.contains(&object.kind)
            {
                break 'outcome Outcome::Skipped(does_not_trigger(object));
            }
            let scope = Arc::new(history.scope(integration, object, false));
            let id = record_id(contact_id, key.step, key.object_key.as_deref());
            let (request, gaps) = match request.render(&integration.templates, &scope, id) {
                Ok(rendered) => rendered,
                Err(error) => break 'outcome Outcome::Failed(error.to_string()),
            };
            for gap in gaps {
                tracing::warn!(%contact_id, integration = name, step = %key.step, field = gap.field, reason = gap.reason, "a field goes without an attribute");
            }
            let total = self.deadline.saturating_duration_since(Instant::now());
            let deadline = self.deadline - RESERVE.min(total / 4);
            match self.loaded.dynamics.send(&request, deadline).await {
                Ok(response) => Outcome::Delivered(Box::new(self.reduce(key.step, response))),
                Err(error) => {
                    let mut reason = error.to_string();
                    if let Some(detail) = error.detail().filter(|detail| !detail.is_empty()) {
                        // For the table only; the log gets the error's own text.
                        let _ = write!(reason, "\nDynamics says: {detail}");
                    }
                    if error.is_permanent() {
                        Outcome::Failed(reason)
                    } else if waited >= SignedDuration::from_hours(give_up_after.into()) {
                        Outcome::Failed(format!("given up after {give_up_after} hours: {reason}"))
                    } else {
                        let delay = backoff(attempts).mul_f64(0.5 + fastrand::f64());
                        let asked = error
                            .retry_after()
                            .and_then(|delay| SignedDuration::try_from(delay).ok());
                        Outcome::Postponed(reason, asked.map_or(delay, |asked| asked.max(delay)))
                    }
                }
            }
        };
        let dynamics_ms = milliseconds(started);
        let (step, reason) = (key.step, outcome.safe_reason());
        metrics::step(step, outcome.state());
        match &outcome {
            Outcome::Delivered(response) => {
                tracing::info!(%contact_id, integration = name, %step, outcome = "delivered", status = response.status, attempts = response.attempts, dynamics_ms, "step");
            }
            Outcome::Postponed(..) => {
                tracing::warn!(%contact_id, integration = name, %step, outcome = "pending", reason, dynamics_ms, "step");
            }
            Outcome::Skipped(_) => {
                tracing::info!(%contact_id, integration = name, %step, outcome = "skipped", reason, "step");
            }
            Outcome::Failed(_) => {
                tracing::error!(%contact_id, integration = name, %step, outcome = "failed", reason, dynamics_ms, "step");
            }
        }
        outcome
    }

    /// A response too large to keep whole is reduced to the fields that templates use.
    fn reduce(&self, step: StepName, mut response: Response) -> Response {
        let size = serde_json::to_vec(&response.body).map_or(0, |bytes| bytes.len());
        if size > MAX_RESPONSE_BYTES
            && let Some(fields) = self.integration().response_fields(step)
        {
            response.body.retain(|field, _| fields.contains(field));
        }
        response
    }
}

/// What became of one step's request.
enum Outcome {
    Delivered(Box<Response>),
    Postponed(String, SignedDuration),
    Failed(String),
    Skipped(String),
}

impl Outcome {
    fn apply(&self, history: &mut History, key: &StepKey, now: Timestamp) {
        match self {
            Outcome::Delivered(response) => {
                // No later step can name what was answered to one of several recordings.
                let body = key.object_key.is_none().then(|| response.body.clone());
                history.delivered(key, response.record_id, body, now);
            }
            Outcome::Postponed(reason, delay) => {
                history.postponed(key, reason.clone(), now + *delay, now);
            }
            Outcome::Failed(reason) => history.failed(key, reason.clone(), now),
            Outcome::Skipped(reason) => history.skipped(key, reason.clone(), now),
        }
    }

    fn without_response(&self) -> Outcome {
        match self {
            Outcome::Delivered(response) => Outcome::Delivered(Box::new(Response {
                body: Map::new(),
                ..(**response).clone()
            })),
            Outcome::Postponed(reason, delay) => Outcome::Postponed(reason.clone(), *delay),
            Outcome::Failed(reason) => Outcome::Failed(reason.clone()),
            Outcome::Skipped(reason) => Outcome::Skipped(reason.clone()),
        }
    }

    fn state(&self) -> State {
        match self {
            Outcome::Delivered(_) => State::Delivered,
            Outcome::Postponed(..) => State::Pending,
            Outcome::Failed(_) => State::Failed,
            Outcome::Skipped(_) => State::Skipped,
        }
    }

    /// The reason without Dynamics' own words, which may quote a column's value.
    fn safe_reason(&self) -> Option<&str> {
        match self {
            Outcome::Delivered(_) => None,
            Outcome::Postponed(reason, _) | Outcome::Failed(reason) | Outcome::Skipped(reason) => {
                reason.lines().next()
            }
        }
    }
}

/// The reply for a step in the state that its history tells.
fn reply(key: &StepKey, history: &History, integration: &Integration) -> Reply {
    let Some(step) = history.steps.get(key) else {
        return Reply::new(Status::Failed).message("the event was not stored");
    };
    let status = match step.state {
        State::Pending => Status::Pending,
        State::Delivered => Status::Delivered,
        State::Skipped => Status::Skipped,
        State::Failed => Status::Failed,
    };
    let mut reply = Reply::new(status);
    let reason = step
        .reason
        .as_deref()
        .and_then(|reason| reason.lines().next());
    if let Some(reason) = reason {
        reply = reply.message(reason);
    } else if status == Status::Pending {
        reply = reply.message(waiting_for(key, history, integration));
    }
    if let Some(response) = &step.response {
        let scope = history.scope(integration, None, false);
        let fields = match scope.get(&crate::scope::response_name(key.step.number())) {
            Some(Json::Object(fields)) => fields,
            _ => response,
        };
        let names = integration
            .step(key.step)
            .map(|step| step.reply.as_slice())
            .unwrap_or_default();
        let left_out = reply.add_fields(names, fields);
        if !left_out.is_empty() {
            tracing::warn!(contact_id = %history.contact_id, step = %key.step, fields = left_out.join(", "), "the reply would be larger than a flow takes; it goes without these");
        }
    }
    add_record(&mut reply, key.step, history, integration);
    reply
}

fn does_not_trigger(object: &RecordedObject) -> String {
    format!(
        "objects of the kind {} do not trigger the step; its URL is remembered",
        object.kind.as_str()
    )
}

/// Why a pending step has not even been tried.
fn waiting_for(key: &StepKey, history: &History, integration: &Integration) -> String {
    let needs = integration
        .step(key.step)
        .map(Step::needs)
        .unwrap_or_default();
    let missing = needs
        .iter()
        .find(|needed| !history.steps.contains_key(&StepKey::of(**needed)));
    match missing {
        Some(missing) => format!("it waits for {missing}, which has not run for this contact"),
        None => "it is stored and will be delivered".into(),
    }
}

/// Adds what the agent's side needs: the record and the page to open.
fn add_record(reply: &mut Reply, step: StepName, history: &History, integration: &Integration) {
    let connection = &integration.configuration.connection;
    let start = integration
        .step(StepName::ContactStart)
        .and_then(|step| step.request.as_ref());
    if let (Some(id), Some(start)) = (history.record_id(integration), start) {
        reply.record(id, connection.record_url(&start.table.logical_name, id));
    }
    let screen_pop = integration
        .step(StepName::ContactAnswered)
        .and_then(|step| step.screen_pop.as_ref());
    // The page is opened while an agent is there to see it.
    if let Some((address, target)) =
        screen_pop.filter(|_| matches!(step, StepName::ContactStart | StepName::ContactAnswered))
    {
        let scope = Arc::new(history.scope(integration, None, true));
        let root = format!(
            "{}/main.aspx",
            connection.environment_uri.trim_end_matches('/')
        );
        match address.render(&root, &integration.templates, &scope) {
            Ok(url) => reply.screen_pop(url, *target),
            Err(error) => {
                tracing::warn!(contact_id = %history.contact_id, %error, "there is no page to open");
            }
        }
    }
}

fn milliseconds(since: Instant) -> u64 {
    since.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
}

fn is_pending(history: &History, key: &StepKey) -> bool {
    history
        .steps
        .get(key)
        .is_some_and(|step| step.state == State::Pending)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
