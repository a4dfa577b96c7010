//! One attempt at one request: what to send is decided, it is sent, and what became of it judged.

use std::fmt::Write;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};
use tokio::time::{Duration, Instant, timeout_at};

use crate::{
    configuration::NEW_CUSTOMER,
    dataverse::{DynamicsError, Method, Repeats, Request, Response},
    history::{AWAITS_REDACTED, History, RequestHistory, RequestKey, State, Unmet, backoff},
    integration::{
        AgentQuery, Conversation, CustomerQuery, Integration, RenderError, Rendered, Sending,
    },
    integrations::Loaded,
    objects::{Objects, ReadError},
    step::Step,
    store::{Store, Stored},
};

/// How much of an invocation's time is kept for storing what Dynamics answered.
const RESERVE: Duration = Duration::from_millis(400);
/// Larger responses are reduced to what templates use.
const MAX_RESPONSE_BYTES: usize = 100 * 1024;

/// What is to be done for a request that is due.
pub(super) enum Decision {
    Send(Rendered),
    /// Nothing is sent, and this becomes of the request.
    Settle(Outcome),
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// Dynamics has taken it. The record that it made is to be told more later, by these other requests.
    Delivered(Box<Response>, Vec<RequestKey>),
    /// There was nothing to send.
    Done,
    /// It stays pending for so long.
    Postponed(String, SignedDuration),
    /// So does this one, which may be carried out meanwhile, or later.
    Unanswered(String, SignedDuration),
    Failed(String),
    /// Another gives it no response.
    Unmet(Unmet),
    /// It may have been done, and must not be done twice.
    InDoubt(String),
    /// The configuration has no such request.
    Skipped(String),
    /// The configuration does not want it for this contact.
    NotWanted(String),
}

/// What a request is made of beside the history of its contact.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// What the contact's first one has become of, on whose record this contact is recorded.
    first: Option<Stored>,
    said: Option<Map<String, Json>>,
}

/// Gathers what a request that is due is made of.
///
/// # Errors
/// What becomes of the request when that is not there.
pub(super) async fn gather(
    key: &RequestKey,
    history: &History,
    integration: &Integration,
    store: &Store,
    objects: Option<&dyn Objects>,
    deadline: Instant,
) -> Result<Gathered, Outcome> {
    let mut gathered = Gathered::default();
    if history.request(key).is_some_and(|it| it.sent_at.is_some()) {
        // It may have been done, and is not made again.
        return Ok(gathered);
    }
    if key.step() == Step::ContactStart
        && let Some(first) = integration.first_contact(history)
    {
        gathered.first = store.load(first).await.map_err(|error| {
            Outcome::Postponed(error.to_string(), backoff(attempts(history.request(key))))
        })?;
    }
    match integration.conversation(key, history, Timestamp::now()) {
        Conversation::None => {}
        Conversation::NotWanted(reason) => return Err(Outcome::NotWanted(reason)),
        Conversation::Wait(delay) => {
            return Err(Outcome::Postponed(AWAITS_REDACTED.to_owned(), delay));
        }
        Conversation::Read(object) => {
            let Some(objects) = objects else {
                // Another function that may read it comes to it.
                let reason = "redelivery reads what was said".to_owned();
                return Err(Outcome::Postponed(reason, SignedDuration::from_secs(5)));
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let until = deadline - RESERVE.min(left / 4);
            let read = timeout_at(until, objects.read(object)).await;
            let read = read.unwrap_or_else(|_| {
                Err(ReadError::Unavailable {
                    key: object.key.clone(),
                    reason: "the time was up".into(),
                })
            });
            let analysis = read.map_err(|error| {
                let hours = integration.configuration().give_up_after_hours;
                judge_reading(&error, history.request(key), hours, Timestamp::now())
            })?;
            gathered.said = Some(integration.said(analysis));
        }
    }
    Ok(gathered)
}

fn attempts(request: Option<&RequestHistory>) -> u32 {
    request.map_or(0, |request| request.attempts)
}

/// Why a request has failed that was tried in vain for too long; none as long as it has not been.
fn given_up(
    reason: &str,
    request: Option<&RequestHistory>,
    give_up_after_hours: u32,
    now: Timestamp,
) -> Option<String> {
    let first_tried_at = request.and_then(|request| request.first_tried_at);
    let give_up_after = SignedDuration::from_hours(give_up_after_hours.into());
    let is_given_up = now.duration_since(first_tried_at.unwrap_or(now)) >= give_up_after;
    is_given_up.then(|| format!("given up after {give_up_after_hours} hours: {reason}"))
}

/// What an object that was not read means for the request.
fn judge_reading(
    error: &ReadError,
    request: Option<&RequestHistory>,
    give_up_after_hours: u32,
    now: Timestamp,
) -> Outcome {
    let reason = error.to_string();
    if error.is_permanent() {
        return Outcome::Failed(reason);
    }
    match given_up(&reason, request, give_up_after_hours, now) {
        Some(given_up) => Outcome::Failed(given_up),
        None => Outcome::Postponed(reason, backoff(attempts(request))),
    }
}

/// What becomes of a request of contact-start, whose contact is recorded on the record of its first one: what
/// has become of the same request there. None when the contact gets a record of its own after all, as the
/// first one has none.
fn adopt(
    key: &RequestKey,
    history: &History,
    first: Option<&History>,
    integration: &Integration,
    now: Timestamp,
) -> Option<Outcome> {
    let request = history.request(key)?;
    let waited = now.duration_since(request.intended_at);
    let configuration = integration.configuration();
    let later = |reason: &str| {
        let delay = backoff(request.attempts).min(SignedDuration::from_mins(1));
        Some(Outcome::Postponed(reason.to_owned(), delay))
    };
    let until = |limit: SignedDuration, reason: &str| {
        if waited < limit { later(reason) } else { None }
    };
    let patience = SignedDuration::from_mins(configuration.without_start.after_minutes.into());
    let give_up = SignedDuration::from_hours(configuration.give_up_after_hours.into());
    if first.is_some_and(|first| first.integration() != history.integration()) {
        // It is in another environment.
        return None;
    }
    let main = first.and_then(|first| first.request(&key.main()));
    let Some((first, main)) = first.zip(main) else {
        return until(
            patience,
            "it waits for the record of the contact's first leg",
        );
    };
    match main.state {
        State::Pending => until(give_up, "the record of the contact's first leg is pending"),
        // The same may be wanted of this leg.
        State::Skipped if main.is_not_wanted() => None,
        State::Skipped | State::Failed => {
            until(patience, "the contact's first leg has no record yet")
        }
        State::Delivered => match first.request(key) {
            Some(first) if first.state == State::Delivered => {
                let response = Response {
                    status: 200,
                    body: first.response.clone().unwrap_or_default(),
                    record_id: first.record_id,
                    attempts: 0,
                    was_there: true,
                };
                Some(Outcome::Delivered(Box::new(response), Vec::new()))
            }
            Some(first) if first.state == State::Pending => {
                until(give_up, "the same is pending for the contact's first leg")
            }
            Some(first) if !first.is_not_wanted() => {
                let failed = "the same has failed for the contact's first leg".to_owned();
                until(patience, &failed).or(Some(Outcome::Failed(failed)))
            }
            // What the first leg did without, the record does without.
            _ => Some(Outcome::NotWanted(
                "the record is that of the contact's first leg".into(),
            )),
        },
    }
}

/// Decides what to send for a request that is due.
pub(super) fn decide(
    key: &RequestKey,
    history: &History,
    integration: &Integration,
    gathered: &Gathered,
) -> Decision {
    let contact_id = history.contact_id();
    if let Some(sent_at) = history.request(key).and_then(|request| request.sent_at) {
        let reason = unknown_outcome(&format!("no answer to the request of {sent_at} was stored"));
        return settle(key, history, Outcome::InDoubt(reason));
    }
    if key.step() == Step::ContactStart && integration.first_contact(history).is_some() {
        let first = gathered.first.as_ref().map(|stored| &stored.history);
        let adopted = adopt(key, history, first, integration, Timestamp::now());
        if let Some(outcome) = adopted {
            return settle(key, history, outcome);
        }
    }
    if let Some(unmet) = history.unmet(key, integration) {
        return settle(key, history, Outcome::Unmet(unmet));
    }
    let rendered = match integration.render(key, history, gathered.said.as_ref()) {
        Ok(rendered) => rendered,
        Err(RenderError::NotConfigured(reason)) => {
            return Decision::Settle(Outcome::Skipped(reason));
        }
        Err(RenderError::NotWanted(reason)) => {
            return Decision::Settle(Outcome::NotWanted(reason));
        }
        Err(error) => return settle(key, history, Outcome::Failed(error.to_string())),
    };
    for gap in &rendered.gaps {
        tracing::warn!(%contact_id, integration = integration.name(), step = %key.step(), request = key.request(), field = gap.field, reason = gap.reason, "a field goes without an attribute");
    }
    match rendered.sending {
        Sending::Nothing => Decision::Settle(Outcome::Done),
        _ => Decision::Send(rendered),
    }
}

pub(super) fn settle(key: &RequestKey, history: &History, outcome: Outcome) -> Decision {
    outcome.log(key, history, None);
    Decision::Settle(outcome)
}

impl Decision {
    /// There is no time left to send anything. What took the time to be made is not made at once again.
    pub(super) fn give_up_for_now(&mut self, took_the_time: bool) {
        if took_the_time && matches!(self, Decision::Send(_)) {
            let reason = "what was said took all the time to read".to_owned();
            let delay = SignedDuration::from_secs(30);
            *self = Decision::Settle(Outcome::Postponed(reason, delay));
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        matches!(self, Decision::Settle(_))
    }

    /// The request that must not be repeated, if it is one.
    pub(super) fn must_not_be_repeated(&self) -> bool {
        match self {
            Decision::Send(Rendered {
                sending: Sending::Request(request),
                ..
            }) => !request.is_repeatable(),
            _ => false,
        }
    }
}

/// One attempt at a request: for whom, and until when.
pub(super) struct Attempt<'a> {
    pub(super) key: &'a RequestKey,
    pub(super) history: &'a History,
    pub(super) loaded: &'a Loaded,
    pub(super) repeats: Repeats,
    pub(super) deadline: Instant,
}

impl Attempt<'_> {
    /// Does what was decided, and judges the answer.
    pub(super) async fn carry_out(&self, decision: &Decision) -> Outcome {
        let rendered = match decision {
            Decision::Settle(outcome) => return outcome.clone(),
            Decision::Send(rendered) => rendered,
        };
        let began = Instant::now();
        let outcome = match &rendered.sending {
            Sending::Request(request) => self.request(request, rendered).await,
            Sending::Customer(query) => self.customer(query).await,
            Sending::Agent(query) => self.agent(query).await,
            Sending::Nothing => Outcome::Done,
        };
        outcome.log(self.key, self.history, Some(began.elapsed()));
        outcome
    }

    async fn request(&self, request: &Request, rendered: &Rendered) -> Outcome {
        let mut response = match self.send(request).await {
            Ok(response) => response,
            Err(error) if self.key.request() == Some(NEW_CUSTOMER) => {
                return self.judge_look_up(&error, request);
            }
            Err(error) => return self.judge(&error, request),
        };
        let integration = &self.loaded.integration;
        let bytes = serde_json::to_vec(&response.body).map_or(0, |bytes| bytes.len());
        if bytes > MAX_RESPONSE_BYTES || self.key.is_of_object() {
            integration.reduce(self.key, &mut response.body);
        }
        // A record that was there already was made when less was known of the customer, perhaps.
        let is_unlinked = rendered.is_unlinked || response.was_there;
        let owes = rendered.links.iter().filter(|_| is_unlinked).cloned();
        Outcome::Delivered(Box::new(response), owes.collect())
    }

    /// Looks in all tables at once.
    async fn customer(&self, query: &CustomerQuery) -> Outcome {
        let sent = query.requests().map(|request| async move {
            let sent = self.send(request).await;
            sent.map_err(|error| (error, request))
        });
        let (answers, errors): (Vec<_>, Vec<_>) =
            join_all(sent).await.into_iter().partition(Result::is_ok);
        // What is refused for good is refused again.
        let errors: Vec<_> = errors.into_iter().filter_map(Result::err).collect();
        let worst = errors
            .iter()
            .find(|(error, _)| error.is_permanent() || is_missing_privilege(error))
            .or_else(|| errors.first());
        if let Some((error, request)) = worst {
            return self.judge_look_up(error, request);
        }
        let answers: Vec<Response> = answers.into_iter().filter_map(Result::ok).collect();
        let attempts = answers.iter().map(|answer| answer.attempts).max();
        let integration = &self.loaded.integration;
        match integration.found_customer(self.key, query, &answers) {
            Ok(customer) => found(customer, attempts.unwrap_or_default()),
            Err(reason) => Outcome::Skipped(reason),
        }
    }

    /// Looks among the users, unless the agent has been found a while ago.
    async fn agent(&self, query: &AgentQuery) -> Outcome {
        let agents = &self.loaded.agents;
        if let Some(user) = agents.get(&query.username) {
            return user.map_or_else(Outcome::NotWanted, |user| found(user, 0));
        }
        let response = match self.send(&query.request).await {
            Ok(response) => response,
            Err(error) => return self.judge_look_up(&error, &query.request),
        };
        let user = self.loaded.integration.found_agent(&response);
        agents.remember(&query.username, &user);
        user.map_or_else(Outcome::NotWanted, |user| found(user, response.attempts))
    }

    async fn send(&self, request: &Request) -> Result<Response, DynamicsError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let deadline = self.deadline - RESERVE.min(left / 4);
        let dynamics = &self.loaded.dynamics;
        dynamics.send_with(request, self.repeats, deadline).await
    }

    fn judge(&self, error: &DynamicsError, request: &Request) -> Outcome {
        let hours = self.loaded.integration.configuration().give_up_after_hours;
        let state = self.history.request(self.key);
        // Dynamics' words may quote what was said, which is not kept.
        let keeps_detail = !self.loaded.integration.reads_conversation(self.key);
        judge(error, request, state, hours, keeps_detail, Timestamp::now())
    }

    /// As [`Attempt::judge`], but a table that may not be read, or a customer who may not be made, is no reason for the step's record to wait until
    /// somebody allows it: without its customer it is better than none.
    fn judge_look_up(&self, error: &DynamicsError, request: &Request) -> Outcome {
        match self.judge(error, request) {
            Outcome::Postponed(reason, _) if is_missing_privilege(error) => Outcome::Failed(reason),
            outcome => outcome,
        }
    }
}

/// Whether the application user lacks a privilege, and nothing else is wrong with it.
fn is_missing_privilege(error: &DynamicsError) -> bool {
    let codes = ["0x80040220", "0x80042f09", "0x8004f510", "0x80040299"];
    matches!(error, DynamicsError::Refused(refusal)
        if refusal.status == 403 && codes.iter().any(|code| refusal.code.eq_ignore_ascii_case(code)))
}

/// What a look-up has found.
fn found(what: Map<String, Json>, attempts: u32) -> Outcome {
    let response = Response {
        status: 200,
        body: what,
        record_id: None,
        attempts,
        was_there: false,
    };
    Outcome::Delivered(Box::new(response), Vec::new())
}

/// What an error means for the request.
fn judge(
    error: &DynamicsError,
    request: &Request,
    step: Option<&RequestHistory>,
    give_up_after_hours: u32,
    keeps_detail: bool,
    now: Timestamp,
) -> Outcome {
    let is_unknown = !request.is_repeatable() && error.may_have_been_done();
    let mut reason = error.to_string();
    if is_unknown {
        reason = unknown_outcome(&reason);
    }
    // What was not sent, or refused unseen for Dynamics' limits, is no reason to give up.
    let given_up =
        given_up(&reason, step, give_up_after_hours, now).filter(|_| !error.is_held_back());
    let is_given_up = given_up.is_some();
    reason = given_up.unwrap_or(reason);
    if let Some(detail) = error
        .detail()
        .filter(|detail| keeps_detail && !detail.is_empty())
    {
        // For the table only; the log and the reply get the error's own text.
        let _ = write!(reason, "\nDynamics says: {detail}");
    }
    if is_unknown {
        return Outcome::InDoubt(reason);
    }
    if error.is_permanent() || is_given_up {
        return Outcome::Failed(reason);
    }
    let delay = backoff(attempts(step)).mul_f64(0.5 + fastrand::f64());
    let asked = error.retry_after();
    let asked = asked.and_then(|delay| SignedDuration::try_from(delay).ok());
    let delay = asked.map_or(delay, |asked| asked.max(delay));
    if request.method == Method::Patch && error.may_have_been_done() {
        return Outcome::Unanswered(reason, delay);
    }
    Outcome::Postponed(reason, delay)
}

/// Why a request that must not be repeated has failed.
fn unknown_outcome(what: &str) -> String {
    format!(
        "{what}. The request may have been carried out, and repeating it could do it twice: look into \
         Dynamics and, if it was not, deliver the step again by hand"
    )
}

impl Outcome {
    /// Notes in the history what became of the request, which was made of this revision of the contact record.
    pub(super) fn apply(
        &self,
        history: &mut History,
        key: &RequestKey,
        integration: &Integration,
        made_of: u32,
        now: Timestamp,
    ) {
        match self {
            Outcome::Delivered(response, owes) => {
                let body = integration.keeps(key).then(|| response.body.clone());
                history.delivered(key, response.record_id, body, now);
                for owed in owes {
                    history.owe(owed, now);
                }
            }
            Outcome::Done => history.delivered(key, None, None, now),
            Outcome::Postponed(reason, delay) | Outcome::Unanswered(reason, delay) => {
                let due = now.saturating_add(*delay).unwrap_or(Timestamp::MAX);
                history.postponed(key, reason.clone(), due, now);
                if matches!(self, Outcome::Unanswered(..)) {
                    history.unanswered(key, made_of, now);
                }
            }
            Outcome::Failed(reason) => history.failed(key, reason.clone(), now),
            Outcome::Unmet(_) => history.cannot_be_sent(key, integration, now),
            Outcome::InDoubt(reason) => history.in_doubt(key, reason.clone(), now),
            Outcome::Skipped(reason) => history.skipped(key, reason.clone(), now),
            Outcome::NotWanted(reason) => history.not_wanted(key, reason, now),
        }
        history.made_of(key, made_of, integration, now);
    }

    /// The same with a response of which only the record's id is left.
    pub(super) fn without_response(&self, key: &RequestKey, integration: &Integration) -> Outcome {
        match self {
            Outcome::Delivered(response, owes) => {
                let body = integration.only_the_id(key, &response.body);
                let response = Response {
                    body,
                    ..(**response).clone()
                };
                Outcome::Delivered(Box::new(response), owes.clone())
            }
            other => other.clone(),
        }
    }

    fn log(&self, key: &RequestKey, history: &History, took: Option<Duration>) {
        let (contact_id, integration) = (history.contact_id(), history.integration());
        let (step, request) = (key.step(), key.request());
        let dynamics_ms = took.and_then(|took| u64::try_from(took.as_millis()).ok());
        match self {
            Outcome::Delivered(response, _) => {
                tracing::info!(%contact_id, integration, %step, request, outcome = "delivered", status = response.status, attempts = response.attempts, dynamics_ms, "step");
            }
            // Not Dynamics' own words, which may quote a column's value.
            Outcome::Postponed(reason, _) | Outcome::Unanswered(reason, _) => {
                let reason = reason.lines().next();
                tracing::warn!(%contact_id, integration, %step, request, outcome = "pending", reason, dynamics_ms, "step");
            }
            Outcome::Failed(reason) | Outcome::InDoubt(reason) => {
                let reason = reason.lines().next();
                tracing::error!(%contact_id, integration, %step, request, outcome = "failed", reason, dynamics_ms, "step");
            }
            Outcome::Unmet(unmet) if !unmet.is_not_wanted => {
                let reason = unmet.to_string();
                tracing::error!(%contact_id, integration, %step, request, outcome = "failed", reason, dynamics_ms, "step");
            }
            // These are logged when they are stored, as are those that are skipped without an attempt.
            Outcome::Done | Outcome::Unmet(_) | Outcome::Skipped(_) | Outcome::NotWanted(_) => {}
        }
    }
}
