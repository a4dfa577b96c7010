//! A visit to one contact: its intent is stored, its lease taken, its pending requests delivered.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    attempt::{self, Attempt},
    progress::Progress,
    task::Task,
    worker::Worker,
};
use crate::{
    crash,
    dataverse::Repeats,
    history::{History, Next, State},
    integration::{Integration, Wanted},
    integrations::Loaded,
    metrics,
    objects::Objects,
    store::{Store, StoreError, Stored},
};

/// With less time than this left, the next step is left to another invocation.
const MIN_DELIVERY: Duration = Duration::from_millis(100);
/// By how much a lease outlives the work: then the function has been stopped, whatever became of it.
pub(super) const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(1);

/// One invocation's visit to one contact.
pub(super) struct Visit<'a> {
    store: &'a Store,
    /// None where the function may not read objects.
    objects: Option<&'a dyn Objects>,
    loaded: Arc<Loaded>,
    /// Under this name the visit holds the contact's lease.
    holder: &'a str,
    contact_id: Uuid,
    deadline: Instant,
    /// Until when Dynamics is waited for, unless the request must not be repeated.
    patience: Instant,
    repeats: Repeats,
    progress: &'a mut Progress,
}

/// How a visit ended.
pub(super) enum Visited {
    Done,
    /// The contact belongs to this other integration, and nothing was written or sent.
    BelongsTo(String),
}

/// What became of a write.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
enum Written {
    Stored(Stored),
    BelongsTo(String),
}

type Change<'a> = &'a dyn Fn(&mut History, Timestamp);

impl<'a> Visit<'a> {
    pub(super) fn new(
        worker: &'a Worker,
        loaded: Arc<Loaded>,
        holder: &'a str,
        contact_id: Uuid,
        progress: &'a mut Progress,
    ) -> Visit<'a> {
        Visit {
            store: &worker.store,
            objects: worker.objects.as_deref(),
            loaded,
            holder,
            contact_id,
            deadline: progress.deadline(),
            patience: progress.patience(),
            repeats: Repeats::WhileThereIsTime,
            progress,
        }
    }

    fn integration(&self) -> &Integration {
        &self.loaded.integration
    }

    /// Stores what an event asks for and delivers it, with whatever else is pending.
    ///
    /// # Errors
    /// [`StoreError`] when the table does not answer; what was stored before stands in the progress.
    pub(super) async fn event(mut self, task: &Task) -> Result<Visited, StoreError> {
        let stored = self.store.load(self.contact_id).await?;
        let stored = stored.unwrap_or_else(|| {
            let name = self.integration().name();
            Stored::new(History::new(self.contact_id, name, Timestamp::now()))
        });
        if self.integration().wants(task.key.step(), None) == Wanted::Request {
            // The token is wanted in a moment: it is fetched while the intent is stored.
            let (dynamics, deadline) = (self.loaded.dynamics.clone(), self.deadline);
            tokio::spawn(async move { dynamics.warm_up(deadline).await });
        }
        let loaded = self.loaded.clone();
        let remember = |history: &mut History, now| {
            task.belong(history, now);
            task.remember(history, &loaded.integration, now);
        };
        crash::point("before-the-intent-is-stored");
        let stored = match self.write(stored, &remember).await? {
            Written::Stored(stored) => stored,
            Written::BelongsTo(other) => return Ok(Visited::BelongsTo(other)),
        };
        crash::point("after-the-intent-is-stored");
        let stored = self.await_lease(stored, task).await?;
        self.deliver(stored).await?;
        Ok(Visited::Done)
    }

    /// Makes failed steps pending again if a person asks for that, and delivers what is pending, each request
    /// once: who comes next comes with the contact's backoff.
    ///
    /// # Errors
    /// As for [`Visit::event`].
    pub(super) async fn redeliver(
        mut self,
        stored: Stored,
        retry_failed: bool,
    ) -> Result<Visited, StoreError> {
        self.repeats = Repeats::AfterALimit;
        let change = |history: &mut History, now| {
            if retry_failed {
                history.retry_failed(now);
            }
        };
        match self.write(stored, &change).await? {
            Written::Stored(stored) => self.deliver(stored).await?,
            Written::BelongsTo(other) => return Ok(Visited::BelongsTo(other)),
        }
        Ok(Visited::Done)
    }

    /// Makes failed steps pending again, for redelivery to come to in its line.
    ///
    /// # Errors
    /// As for [`Visit::event`].
    pub(super) async fn retry(mut self, stored: Stored) -> Result<Visited, StoreError> {
        // The lease that the write takes is not kept.
        self.deadline = Instant::now();
        let retry = |history: &mut History, now| history.retry_failed(now);
        Ok(match self.write(stored, &retry).await? {
            Written::Stored(_) => Visited::Done,
            Written::BelongsTo(other) => Visited::BelongsTo(other),
        })
    }

    /// Changes the history and stores it, on top of whatever others have stored meanwhile. With every
    /// write the lease is taken, kept while there is something to deliver, and given back when there is
    /// not.
    async fn write(
        &mut self,
        mut stored: Stored,
        change: Change<'_>,
    ) -> Result<Written, StoreError> {
        let loaded = self.loaded.clone();
        let integration = &loaded.integration;
        let retention_days = integration.configuration().retention_days;
        let mut is_shrunk = false;
        loop {
            let now = Timestamp::now();
            let mut changed = stored.clone();
            change(&mut changed.history, now);
            if changed.history.integration() != integration.name() {
                let other = changed.history.integration().to_owned();
                return Ok(Written::BelongsTo(other));
            }
            let lease = self.lease_until(now);
            changed.history.claim(self.holder, lease, integration, now);
            if is_shrunk {
                changed.history.shrink_responses(|key, response| {
                    if !integration.reduce(key, response) {
                        *response = integration.only_the_id(key, response);
                    }
                });
            }
            if changed.history == stored.history {
                self.progress.store(&stored);
                return Ok(Written::Stored(stored));
            }
            match self.store.save(&mut changed, retention_days).await {
                Ok(()) => {
                    count(&stored.history, &changed.history);
                    self.progress.store(&changed);
                    return Ok(Written::Stored(changed));
                }
                Err(StoreError::Conflict) => {
                    let seen = self.store.load(self.contact_id).await?;
                    stored = seen.unwrap_or_else(|| Stored::new(stored.history));
                }
                Err(StoreError::TooLarge) if !is_shrunk => {
                    tracing::warn!(contact_id = %self.contact_id, "the contact's history is too large for an item; responses are reduced to what templates use");
                    is_shrunk = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn lease_until(&self, now: Timestamp) -> Timestamp {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::MAX);
        now.saturating_add(left)
            .and_then(|end| end.saturating_add(LEASE_MARGIN))
            .unwrap_or(Timestamp::MAX)
    }

    /// While the lease is another worker's, that one may deliver this event's step too, or let go.
    async fn await_lease(&mut self, mut stored: Stored, task: &Task) -> Result<Stored, StoreError> {
        let mut pause = Duration::from_millis(20);
        while stored.history.state(&task.key) == Some(State::Pending)
            && stored
                .history
                .is_held_by_another(self.holder, Timestamp::now())
            && Instant::now() + pause + MIN_DELIVERY < self.deadline
        {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(250));
            let Some(seen) = self.store.load(self.contact_id).await? else {
                break;
            };
            match self.write(seen, &|_, _| {}).await? {
                Written::Stored(written) => stored = written,
                Written::BelongsTo(_) => break,
            }
        }
        Ok(stored)
    }

    /// Delivers request after request, as long as the lease is ours, there is something to deliver, and
    /// there is time. Look-ups that do not need each other go together.
    async fn deliver(&mut self, mut stored: Stored) -> Result<(), StoreError> {
        let loaded = self.loaded.clone();
        let integration = &loaded.integration;
        loop {
            let (history, now) = (&stored.history, Timestamp::now());
            let Next::Deliver(first) = history.next(integration, now) else {
                return Ok(());
            };
            let is_time_left = Instant::now() + MIN_DELIVERY <= self.patience;
            if !is_time_left || !history.is_held_by(self.holder, now) {
                return Ok(());
            }
            // A newer contact record may come while these are sent.
            let made_of = history.record_revision();
            let mut decisions = Vec::new();
            for key in history.together(&first, integration, now) {
                let gathered = attempt::gather(
                    &key,
                    history,
                    integration,
                    self.store,
                    self.objects,
                    self.patience,
                );
                let decision = match gathered.await {
                    Ok(gathered) => attempt::decide(&key, history, integration, &gathered),
                    Err(outcome) => attempt::settle(&key, history, outcome),
                };
                decisions.push((key, decision));
            }
            if Instant::now() + MIN_DELIVERY > self.patience {
                // What was said took all the time to read. What is settled is stored all the same.
                for (key, decision) in &mut decisions {
                    decision.give_up_for_now(integration.reads_conversation(key));
                }
                decisions.retain(|(_, decision)| decision.is_settled());
                if decisions.is_empty() {
                    return Ok(());
                }
            }
            let is_action = decisions[0].1.must_not_be_repeated();
            if is_action {
                let sending = |history: &mut History, now| history.sending(&first, now);
                match self.write(stored, &sending).await? {
                    Written::Stored(written) => stored = written,
                    Written::BelongsTo(_) => return Ok(()),
                }
                let now = Timestamp::now();
                let is_noted = stored.history.request(&first).is_some_and(|request| {
                    request.state == State::Pending && request.sent_at.is_some()
                });
                if !is_noted || !stored.history.is_held_by(self.holder, now) {
                    // Somebody else has been at the contact meanwhile.
                    continue;
                }
            }
            let attempts = decisions.iter().map(|(key, decision)| {
                let attempt = Attempt {
                    key,
                    history: &stored.history,
                    loaded: &loaded,
                    repeats: self.repeats,
                    deadline: if is_action {
                        self.deadline
                    } else {
                        self.patience
                    },
                };
                async move { (key.clone(), attempt.carry_out(decision).await) }
            });
            let outcomes = join_all(attempts).await;
            crash::point("after-the-answer");
            let apply = |history: &mut History, now| {
                for (key, outcome) in &outcomes {
                    outcome.apply(history, key, integration, made_of, now);
                }
            };
            let written = match self.write(stored.clone(), &apply).await {
                Err(StoreError::TooLarge) => {
                    tracing::error!(contact_id = %self.contact_id, step = %first.step(), "the response is too large to be kept; of it templates can use the record's id alone");
                    let apply = |history: &mut History, now| {
                        for (key, outcome) in &outcomes {
                            let outcome = outcome.without_response(key, integration);
                            outcome.apply(history, key, integration, made_of, now);
                        }
                    };
                    self.write(stored, &apply).await?
                }
                written => written?,
            };
            match written {
                Written::Stored(written) => stored = written,
                Written::BelongsTo(_) => return Ok(()),
            }
        }
    }
}

/// Counts and logs how steps have changed, once that is stored.
pub(super) fn count(before: &History, after: &History) {
    for (key, request) in after.in_order() {
        let was = before.request(key);
        let is_tried = was.is_some_and(|was| was.attempts < request.attempts);
        let is_changed = was.is_none_or(|was| was.state != request.state);
        // That a request is not wanted is as it should be, and no number that anybody looks at.
        if (is_tried || is_changed && request.state != State::Pending) && !request.is_not_wanted() {
            metrics::step(key.step(), request.state);
        }
        if is_changed && request.state == State::Skipped {
            tracing::info!(contact_id = %after.contact_id(), step = %key.step(), request = key.request(), outcome = "skipped", reason = request.reason, "step");
        }
    }
}
