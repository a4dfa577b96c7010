//! One attempt to deliver one step: what to send is decided, it is sent, and what became of it judged.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Duration, Instant};

use crate::{
    dataverse::{DynamicsError, Repeats, Request, Response},
    history::{History, StepHistory, StepKey, backoff},
    integration::{Integration, RenderError},
    integrations::Loaded,
    step::Step,
};

/// How much of an invocation's time is kept for storing what Dynamics answered.
const RESERVE: Duration = Duration::from_millis(400);
/// Larger responses are reduced to what templates use.
const MAX_RESPONSE_BYTES: usize = 100 * 1024;

/// What is to be done for a step that is due.
pub(super) enum Decision {
    Send(Request),
    /// Nothing is sent, and this becomes of the step.
    Settle(Outcome),
}

/// What becomes of a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Delivered(Box<Response>),
    /// It stays pending for so long.
    Postponed(String, SignedDuration),
    Failed(String),
    /// It may have been done, and must not be done twice.
    InDoubt(String),
    Skipped(String),
}

/// Decides what to send for a step that is due.
pub(super) fn decide(key: &StepKey, history: &History, integration: &Integration) -> Decision {
    let contact_id = history.contact_id();
    if let Some(sent_at) = history.step(key).and_then(|step| step.sent_at) {
        let reason = unknown_outcome(&format!("no answer to the request of {sent_at} was stored"));
        return settle(key, history, Outcome::InDoubt(reason));
    }
    if let Some((needed, state)) = history.unmet(key, integration) {
        return settle(
            key,
            history,
            Outcome::Failed(format!(
                "it needs the response of {needed}, which is {}",
                state.as_str()
            )),
        );
    }
    let rendered = match integration.render(key, history) {
        Ok(rendered) => rendered,
        Err(RenderError::NotWanted(reason)) => {
            return Decision::Settle(Outcome::Skipped(reason));
        }
        Err(error) => return settle(key, history, Outcome::Failed(error.to_string())),
    };
    for gap in rendered.gaps {
        tracing::warn!(%contact_id, integration = integration.name(), step = %key.step(), field = gap.field, reason = gap.reason, "a field goes without an attribute");
    }
    Decision::Send(rendered.request)
}

fn settle(key: &StepKey, history: &History, outcome: Outcome) -> Decision {
    outcome.log(key, history, None);
    Decision::Settle(outcome)
}

/// Sends a step's request, and judges the answer.
pub(super) async fn send(
    request: &Request,
    key: &StepKey,
    history: &History,
    loaded: &Loaded,
    repeats: Repeats,
    deadline: Instant,
) -> Outcome {
    let began = Instant::now();
    let left = deadline.saturating_duration_since(began);
    let answered = loaded
        .dynamics
        .send_with(request, repeats, deadline - RESERVE.min(left / 4))
        .await;
    let outcome = match answered {
        Ok(mut response) => {
            let bytes = serde_json::to_vec(&response.body).map_or(0, |bytes| bytes.len());
            if bytes > MAX_RESPONSE_BYTES {
                loaded.integration.reduce(key, &mut response.body);
            }
            Outcome::Delivered(Box::new(response))
        }
        Err(error) => {
            let hours = loaded.integration.configuration().give_up_after_hours;
            judge(&error, request, history.step(key), hours, Timestamp::now())
        }
    };
    outcome.log(key, history, Some(began.elapsed()));
    outcome
}

/// What an error means for the step.
fn judge(
    error: &DynamicsError,
    request: &Request,
    step: Option<&StepHistory>,
    give_up_after_hours: u32,
    now: Timestamp,
) -> Outcome {
    let is_unknown = !request.is_repeatable() && error.may_have_been_done();
    let mut reason = error.to_string();
    if is_unknown {
        reason = unknown_outcome(&reason);
    }
    let attempts = step.map_or(0, |step| step.attempts);
    let first_tried_at = step.and_then(|step| step.first_tried_at).unwrap_or(now);
    let give_up_after = SignedDuration::from_hours(give_up_after_hours.into());
    // What was not sent, or refused unseen for Dynamics' limits, is no reason to give up.
    let is_given_up = !error.is_held_back() && now.duration_since(first_tried_at) >= give_up_after;
    if is_given_up {
        reason = format!("given up after {give_up_after_hours} hours: {reason}");
    }
    if let Some(detail) = error.detail().filter(|detail| !detail.is_empty()) {
        // For the table only; the log and the reply get the error's own text.
        let _ = write!(reason, "\nDynamics says: {detail}");
    }
    if is_unknown {
        return Outcome::InDoubt(reason);
    }
    if error.is_permanent() || is_given_up {
        return Outcome::Failed(reason);
    }
    let delay = backoff(attempts).mul_f64(0.5 + fastrand::f64());
    let asked = error.retry_after();
    let asked = asked.and_then(|delay| SignedDuration::try_from(delay).ok());
    Outcome::Postponed(reason, asked.map_or(delay, |asked| asked.max(delay)))
}

/// Why a request that must not be repeated has failed.
fn unknown_outcome(what: &str) -> String {
    format!(
        "{what}. The request may have been carried out, and repeating it could do it twice: look into \
         Dynamics and, if it was not, deliver the step again by hand"
    )
}

impl Outcome {
    /// Notes in the history what became of the step.
    pub(super) fn apply(&self, history: &mut History, key: &StepKey, now: Timestamp) {
        match self {
            Outcome::Delivered(response) => {
                let body = (!key.is_of_object()).then(|| response.body.clone());
                history.delivered(key, response.record_id, body, now);
            }
            Outcome::Postponed(reason, delay) => {
                let due = now.saturating_add(*delay).unwrap_or(Timestamp::MAX);
                history.postponed(key, reason.clone(), due, now);
            }
            Outcome::Failed(reason) => history.failed(key, reason.clone(), now),
            Outcome::InDoubt(reason) => history.in_doubt(key, reason.clone(), now),
            Outcome::Skipped(reason) => history.skipped(key, reason.clone(), now),
        }
    }

    /// The same with a response of which only the record's id is left.
    pub(super) fn without_response(&self, step: Step, integration: &Integration) -> Outcome {
        match self {
            Outcome::Delivered(response) => Outcome::Delivered(Box::new(Response {
                body: integration.only_the_id(step, &response.body),
                ..(**response).clone()
            })),
            other => other.clone(),
        }
    }

    fn log(&self, key: &StepKey, history: &History, took: Option<Duration>) {
        let (contact_id, integration, step) =
            (history.contact_id(), history.integration(), key.step());
        let dynamics_ms = took.and_then(|took| u64::try_from(took.as_millis()).ok());
        match self {
            Outcome::Delivered(response) => {
                tracing::info!(%contact_id, integration, %step, outcome = "delivered", status = response.status, attempts = response.attempts, dynamics_ms, "step");
            }
            // Not Dynamics' own words, which may quote a column's value.
            Outcome::Postponed(reason, _) => {
                let reason = reason.lines().next();
                tracing::warn!(%contact_id, integration, %step, outcome = "pending", reason, dynamics_ms, "step");
            }
            Outcome::Failed(reason) | Outcome::InDoubt(reason) => {
                let reason = reason.lines().next();
                tracing::error!(%contact_id, integration, %step, outcome = "failed", reason, dynamics_ms, "step");
            }
            // It is logged when it is stored, as are the steps that are skipped without an attempt.
            Outcome::Skipped(_) => {}
        }
    }
}
