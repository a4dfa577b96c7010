//! Redelivery: delivers the steps that Dynamics could not take at once.
//!
//! Owns which contacts are looked at, in what number at a time, and when it stops. How one contact's
//! steps are delivered is `visit`'s; how many an environment takes at once is
//! [`crate::dataverse::Dynamics::room`]'s.
//!
//! The function runs on a schedule, once a minute. Each integration's contacts wait in a line of their
//! own, and a run goes along all lines at the same time, so none waits for another's environment. What a
//! run does not get done is still listed when the next one begins. Two runs may overlap, as the schedule
//! is at least once: leases keep them apart.
//!
//! By hand it is invoked with `{"contactId": "..."}` or `{"failedSince": "2026-02-04T00:00:00Z"}` and tries
//! failed steps again, or with `{"tryConnection": "default"}` and tries that integration's connection.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::join_all,
    stream::{self, FuturesUnordered},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::{
    DeliveryError,
    progress::{Caller, Progress},
    visit::{LEASE_MARGIN, Visit, Visited},
    worker::{Found, RETENTION_DAYS, Worker, holder},
};
use crate::{
    dataverse::{Dynamics, Room},
    history::{History, State},
    integrations::{IntegrationsError, Trial},
    metrics,
    store::{Entry, Line, List, StoreError, Stored},
};

/// How many contacts are written at the same time where no environment sets the pace.
const CONCURRENCY: usize = 8;
/// How long a run stays with one contact, so that a request that hangs does not take the whole run.
const TIME_FOR_ONE: Duration = Duration::from_secs(15);
/// No contact is begun with less time than this left.
const MIN_TIME: Duration = Duration::from_secs(2);
/// How much of a run is kept for the lines when failed steps are made pending first.
const TIME_FOR_LINES: Duration = Duration::from_secs(15);
const DAY: i64 = 86_400;

/// What a run is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// What is due.
    Due,
    /// The failed steps of one contact, and what is due of it.
    Contact(Uuid),
    /// The steps that have failed since then, and what is due.
    FailedSince(Timestamp),
    /// Nothing but whether this integration's credential is taken, and Dynamics answers.
    TryConnection(String),
}

/// What a run comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    Delivered(Report),
    Tried(Trial),
}

/// What a run has found and done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Contacts that waited when the run began.
    pub waiting: u32,
    /// Seconds since the oldest step of them was intended.
    pub oldest_pending_seconds: i64,
    /// Contacts looked at.
    pub contacts: u32,
    /// Steps that this run delivered.
    pub delivered: u32,
    /// Steps that are still pending, of the contacts looked at.
    pub pending: u32,
    /// Steps that have failed, of the contacts looked at.
    pub failed: u32,
    /// Whether everything that was due was looked at.
    pub complete: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ByHand {
    contact_id: Option<String>,
    failed_since: Option<String>,
    try_connection: Option<String>,
}

impl Order {
    /// Reads the event: of the schedule, or by hand.
    ///
    /// # Errors
    /// What is wrong with an event by hand.
    pub fn parse(event: &Json) -> Result<Order, String> {
        let by_schedule = event
            .as_object()
            .is_none_or(|event| event.is_empty() || event.contains_key("detail-type"));
        if by_schedule {
            return Ok(Order::Due);
        }
        let help = "redelivery takes the schedule's event, {\"contactId\": \"...\"}, {\"failedSince\": \"2026-02-04T00:00:00Z\"} or {\"tryConnection\": \"<integration>\"}";
        let by_hand: ByHand =
            serde_json::from_value(event.clone()).map_err(|error| format!("{error}; {help}"))?;
        match (
            by_hand.contact_id,
            by_hand.failed_since,
            by_hand.try_connection,
        ) {
            (Some(id), None, None) => Uuid::try_parse(&id)
                .map(Order::Contact)
                .map_err(|_| format!("contactId is no UUID; {help}")),
            (None, None, Some(integration)) => Ok(Order::TryConnection(integration)),
            (None, Some(since), None) => since
                .parse()
                .map(Order::FailedSince)
                .map_err(|_| format!("failedSince is no ISO 8601 timestamp; {help}")),
            _ => Err(help.to_owned()),
        }
    }
}

impl Worker {
    /// Does a run.
    ///
    /// # Errors
    /// [`DeliveryError`] when the table cannot be read.
    pub async fn redeliver(
        &self,
        order: &Order,
        request_id: &str,
        deadline: Instant,
    ) -> Result<Outcome, DeliveryError> {
        let run = Run {
            worker: self,
            holder: holder(request_id),
            deadline,
            report: Mutex::new(Report {
                complete: true,
                ..Report::default()
            }),
            left_alone: Mutex::default(),
        };
        match order {
            Order::Contact(id) => run.contact(*id, Failed::Again).await?,
            Order::Due => run.lines().await?,
            Order::FailedSince(since) => {
                run.retry_failed(*since).await?;
                run.lines().await?;
            }
            Order::TryConnection(name) => {
                let trial = self.integrations.try_connection(name, deadline).await;
                tracing::info!(
                    integration = name,
                    works = trial.works,
                    reason = trial.message,
                    "the connection was tried"
                );
                return Ok(Outcome::Tried(trial));
            }
        }
        let report = run
            .report
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        tracing::info!(
            waiting = report.waiting,
            oldest_pending_seconds = report.oldest_pending_seconds,
            contacts = report.contacts,
            delivered = report.delivered,
            pending = report.pending,
            failed = report.failed,
            complete = report.complete,
            "redelivery"
        );
        Ok(Outcome::Delivered(report))
    }
}

/// What is to become of a contact's failed steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    StaySo,
    Again,
}

/// One run.
struct Run<'a> {
    worker: &'a Worker,
    holder: String,
    deadline: Instant,
    // Both are written by all the contacts that are delivered at the same time, and never held across
    // an await.
    report: Mutex<Report>,
    /// Integrations that this run has found to be unloadable. What is told of them is told once.
    left_alone: Mutex<HashSet<String>>,
}

impl Run<'_> {
    /// Goes along every line, and measures what the table holds.
    async fn lines(&self) -> Result<(), DeliveryError> {
        let store = &self.worker.store;
        let own = Line::of(&self.worker.default_integration);
        store.write_line(&own).await?;
        let mut lists: Vec<List> = store.lines().await?.into_iter().map(List::Line).collect();
        lists.push(List::Former);
        let lines = join_all(lists.iter().map(|list| self.line(list)));
        let (lines, failed) = tokio::join!(lines, self.measure_failed());
        // One that could not be read does not stop the others.
        for line in lines {
            line?;
        }
        failed?;
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        metrics::waiting(report.waiting, report.oldest_pending_seconds);
        Ok(())
    }

    /// Delivers what is due in one line, as many contacts at once as its environment takes.
    async fn line(&self, list: &List) -> Result<(), DeliveryError> {
        let dynamics = self.environment(list).await?;
        let listed = self.worker.store.list(list).await?;
        let now = Timestamp::now();
        self.report(|report| {
            for entry in &listed {
                report.waits(list, entry, now);
            }
        });
        let mut due = listed
            .into_iter()
            .filter(|entry| entry.at <= now)
            .peekable();
        let mut under_way = FuturesUnordered::new();
        while due.peek().is_some() || !under_way.is_empty() {
            let is_over = due.peek().is_none() || self.is_out_of_time();
            if is_over && under_way.is_empty() {
                break;
            }
            let room = dynamics
                .as_ref()
                .map_or(Room::For(CONCURRENCY), |dynamics| dynamics.room());
            let pause = match room {
                Room::For(contacts) if !is_over => {
                    let free = contacts.saturating_sub(under_way.len());
                    under_way.extend(due.by_ref().take(free).map(|entry| self.listed(entry)));
                    TIME_FOR_ONE
                }
                Room::For(_) => TIME_FOR_ONE,
                Room::None(left) => left,
            };
            let until = self.deadline.min(Instant::now() + pause);
            if under_way.is_empty() {
                // Whoever wants the environment's limits to hold for longer than this run ends it.
                if until + MIN_TIME > self.deadline {
                    break;
                }
                sleep(until.saturating_duration_since(Instant::now())).await;
            } else {
                let _ = timeout_at(until, under_way.next()).await;
            }
        }
        if due.peek().is_some() {
            self.report(|report| report.complete = false);
        }
        Ok(())
    }

    /// The environment of a line, with its token fresh; none where no integration can be loaded, so that
    /// its contacts are parked.
    async fn environment(&self, list: &List) -> Result<Option<Arc<Dynamics>>, DeliveryError> {
        let List::Line(line) = list else {
            return Ok(None);
        };
        let loaded = match self.worker.integrations.get(line.name()).await {
            Ok(loaded) => loaded,
            Err(IntegrationsError::Store(error)) => return Err(error.into()),
            Err(IntegrationsError::Unknown(_) | IntegrationsError::Invalid { .. }) => {
                return Ok(None);
            }
        };
        if let Room::For(_) = loaded.dynamics.room() {
            // Also when nothing is due: the end of its secret is measured with it.
            let deadline = self.deadline.min(Instant::now() + MIN_TIME);
            let _ = loaded.dynamics.warm_up(deadline).await;
        }
        Ok(Some(loaded.dynamics.clone()))
    }

    /// Makes the steps pending again that have failed since then. They wait in their lines from now on.
    async fn retry_failed(&self, since: Timestamp) -> Result<(), DeliveryError> {
        let failed = self.worker.store.list(&List::Failed).await?;
        let failed = failed.into_iter().filter(|entry| entry.at >= since);
        stream::iter(failed)
            .for_each_concurrent(CONCURRENCY, |entry| async move {
                if Instant::now() + TIME_FOR_LINES > self.deadline {
                    self.report(|report| report.complete = false);
                } else if let Err(error) = self.retry(entry.contact_id).await {
                    self.report(|report| report.complete = false);
                    tracing::error!(contact_id = %entry.contact_id, %error, "the contact's failed steps stay so");
                }
            })
            .await;
        // The leases of these writes end.
        let leases = Duration::try_from(LEASE_MARGIN).unwrap_or_default();
        sleep(leases.min(self.deadline.saturating_duration_since(Instant::now()))).await;
        Ok(())
    }

    async fn retry(&self, id: Uuid) -> Result<(), DeliveryError> {
        let Some(stored) = self.worker.store.load(id).await? else {
            return Ok(());
        };
        let mut progress = self.progress();
        match self.visit(id, stored, &mut progress).await? {
            Some((visit, stored)) => {
                visit.retry(stored).await?;
            }
            // Its integration cannot be loaded, which is told of.
            None => self.report(|report| report.complete = false),
        }
        Ok(())
    }

    async fn measure_failed(&self) -> Result<(), DeliveryError> {
        let failed = self.worker.store.list(&List::Failed).await?;
        // Version 0.1.0 did not note when an item expires.
        let unless_noted = SignedDuration::from_hours(i64::from(RETENTION_DAYS) * 24);
        let expires = |entry: &Entry| entry.also.unwrap_or(entry.at + unless_noted);
        let first = failed.iter().map(expires).min();
        let left = first.map(|end| end.duration_since(Timestamp::now()).as_secs() / DAY);
        metrics::failed(failed.len(), left);
        Ok(())
    }

    fn is_out_of_time(&self) -> bool {
        Instant::now() + MIN_TIME > self.deadline
    }

    fn report(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn progress(&self) -> Progress {
        let limit = self.deadline.min(Instant::now() + TIME_FOR_ONE);
        Progress::new(Instant::now(), limit, Caller::Redelivery)
    }

    async fn listed(&self, entry: Entry) {
        let id = entry.contact_id;
        let contact = timeout_at(self.deadline, self.contact(id, Failed::StaySo)).await;
        if let Err(error) = contact.unwrap_or(Err(DeliveryError::Timeout)) {
            // The others need not wait for this one; it is listed when the run comes again.
            self.report(|report| report.complete = false);
            tracing::error!(contact_id = %id, %error, "the contact is left for the next run");
        }
    }

    async fn contact(&self, id: Uuid, failed: Failed) -> Result<(), DeliveryError> {
        let Some(stored) = self.worker.store.load(id).await? else {
            return Ok(());
        };
        let before = stored.history.clone();
        let mut progress = self.progress();
        let result = match self.visit(id, stored, &mut progress).await {
            Ok(Some((visit, stored))) => visit.redeliver(stored, failed == Failed::Again).await,
            Ok(None) => Ok(Visited::Done),
            Err(error) => Err(error),
        };
        let after = progress.history().unwrap_or(&before);
        self.report(|report| report.add(&before, after));
        // It was given to another integration at this moment, by whoever delivers it now.
        let (Visited::Done | Visited::BelongsTo(_)) = result?;
        Ok(())
    }

    /// A visit to a contact; none when its integration cannot be loaded, and it was parked.
    async fn visit<'a>(
        &'a self,
        id: Uuid,
        stored: Stored,
        progress: &'a mut Progress,
    ) -> Result<Option<(Visit<'a>, Stored)>, StoreError> {
        let name = stored.history.integration().to_owned();
        let loaded = match self.worker.find_integration(&name, id, &|_, _| {}).await? {
            Found::Loaded(loaded) => loaded,
            Found::BelongsTo(_) => return Ok(None),
            Found::Parked(error, parked) => {
                progress.store(&parked);
                let mut told = self
                    .left_alone
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if told.insert(name) {
                    tracing::error!(contact_id = %id, %error, "the contact's integration cannot be loaded; it and others wait");
                }
                return Ok(None);
            }
        };
        progress.load(&loaded);
        let visit = Visit::new(self.worker, loaded, &self.holder, id, progress);
        Ok(Some((visit, stored)))
    }
}

impl Report {
    /// Counts a contact in a line that waits for Dynamics. One that waits for an event does not.
    fn waits(&mut self, list: &List, entry: &Entry, now: Timestamp) {
        let since = match list {
            List::Former => Some(entry.at),
            List::Line(_) | List::Failed => entry.also,
        };
        if let Some(since) = since {
            self.waiting += 1;
            let seconds = now.duration_since(since).as_secs();
            self.oldest_pending_seconds = self.oldest_pending_seconds.max(seconds);
        }
    }

    /// Adds a contact as the run found it and as it left it.
    fn add(&mut self, before: &History, after: &History) {
        let of = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let delivered = |history: &History| of(history.count(State::Delivered));
        self.contacts += 1;
        self.delivered += delivered(after).saturating_sub(delivered(before));
        self.pending += of(after.count(State::Pending));
        self.failed += of(after.count(State::Failed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_order_is_the_schedules_or_by_hand() {
        let id = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90";
        for (event, expected) in [
            (json!({}), Ok(Order::Due)),
            (json!(null), Ok(Order::Due)),
            (
                json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}),
                Ok(Order::Due),
            ),
            (
                json!({"contactId": id}),
                Ok(Order::Contact(Uuid::try_parse(id).unwrap())),
            ),
            (
                json!({"failedSince": "2026-02-04T00:00:00Z"}),
                Ok(Order::FailedSince("2026-02-04T00:00:00Z".parse().unwrap())),
            ),
            (
                json!({"tryConnection": "default"}),
                Ok(Order::TryConnection("default".into())),
            ),
            (json!({"contactId": "x"}), Err("contactId is no UUID")),
            (
                json!({"failedSince": "yesterday"}),
                Err("failedSince is no ISO 8601 timestamp"),
            ),
            (json!({"contactid": id}), Err("unknown field `contactid`")),
            (
                json!({"contactId": id, "failedSince": "2026-02-04T00:00:00Z"}),
                Err("redelivery takes"),
            ),
        ] {
            match (Order::parse(&event), expected) {
                (Ok(order), Ok(expected)) => assert_eq!(order, expected),
                (Err(error), Err(expected)) => assert!(
                    error.starts_with(expected) && error.contains("redelivery takes"),
                    "{error}"
                ),
                (order, expected) => panic!("{event}: {order:?}, not {expected:?}"),
            }
        }
    }
}
