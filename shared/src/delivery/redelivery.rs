//! Redelivery: delivers the steps that Dynamics could not take at once.
//!
//! Owns which contacts are looked at, in what number at a time, and when it stops. How one contact's
//! steps are delivered is `visit`'s.
//!
//! The function runs on a schedule, once a minute, and looks at the contacts that the table's index
//! lists as due. What it does not get done is still listed when it runs next. By hand it is invoked with
//! `{"contactId": "..."}` or `{"failedSince": "2026-02-04T00:00:00Z"}` and tries failed steps again.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{
    DeliveryError,
    progress::Progress,
    visit::{Visit, Visited},
    worker::{Found, Worker, holder},
};
use crate::{
    history::{History, State},
    metrics,
    store::{Listed, PageEnd, SHARDS, StoreError, Stored},
};

/// How many contacts are delivered at the same time: well below the 52 requests that Dataverse takes
/// at once, which flows need too.
const CONCURRENCY: usize = 8;
/// How many contacts of a shard are looked up at a time.
const PAGE: i32 = 100;
/// How long a run stays with one contact, so that a request that hangs does not take the whole run.
const TIME_FOR_ONE: Duration = Duration::from_secs(15);
/// No contact is begun with less time than this left.
const MIN_TIME: Duration = Duration::from_secs(2);

/// What a run is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// What is due.
    Due,
    /// The failed steps of one contact, and what is due of it.
    Contact(Uuid),
    /// The steps that have failed since then.
    FailedSince(Timestamp),
}

/// What a run has done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Contacts looked at.
    pub contacts: u32,
    /// Steps that this run delivered.
    pub delivered: u32,
    /// Steps that are still pending, of the contacts looked at.
    pub pending: u32,
    /// Steps that have failed, of the contacts looked at.
    pub failed: u32,
    /// Seconds since the oldest pending step was intended, of the contacts looked at.
    pub oldest_pending_seconds: i64,
    /// Whether everything listed was looked at.
    pub complete: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ByHand {
    contact_id: Option<String>,
    failed_since: Option<String>,
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
        let help = "redelivery takes the schedule's event, {\"contactId\": \"...\"} or {\"failedSince\": \"2026-02-04T00:00:00Z\"}";
        let by_hand: ByHand =
            serde_json::from_value(event.clone()).map_err(|error| format!("{error}; {help}"))?;
        match (by_hand.contact_id, by_hand.failed_since) {
            (Some(id), None) => Uuid::try_parse(&id)
                .map(Order::Contact)
                .map_err(|_| format!("contactId is no UUID; {help}")),
            (None, Some(since)) => since
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
    ) -> Result<Report, DeliveryError> {
        let run = Run {
            worker: self,
            holder: holder(request_id),
            deadline,
            retry_failed: *order != Order::Due,
            report: Mutex::new(Report {
                complete: true,
                ..Report::default()
            }),
            left_alone: Mutex::default(),
        };
        // Keeps the token and the metric of the secret's end fresh, also when nothing is due.
        if let Ok(loaded) = self.integrations.get(&self.default_integration).await {
            let _ = loaded
                .dynamics
                .warm_up(deadline.min(Instant::now() + MIN_TIME))
                .await;
        }
        match order {
            Order::Contact(id) => run.contact(*id).await?,
            Order::Due => run.list(Listed::Due, Timestamp::now()).await?,
            Order::FailedSince(since) => run.list(Listed::Failed, *since).await?,
        }
        let report = run
            .report
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if *order == Order::Due {
            metrics::oldest_pending(report.oldest_pending_seconds);
        }
        tracing::info!(
            contacts = report.contacts,
            delivered = report.delivered,
            pending = report.pending,
            failed = report.failed,
            oldest_pending_seconds = report.oldest_pending_seconds,
            complete = report.complete,
            "redelivery"
        );
        Ok(report)
    }
}

/// One run.
struct Run<'a> {
    worker: &'a Worker,
    holder: String,
    deadline: Instant,
    retry_failed: bool,
    // Both are written by all the contacts that are delivered at the same time, and never held across
    // an await.
    report: Mutex<Report>,
    /// Integrations that this run has found to be unloadable. What is told of them is told once.
    left_alone: Mutex<HashSet<String>>,
}

impl Run<'_> {
    /// Looks at everything that a list holds: of each shard page after page, so that contacts which stay
    /// listed do not hide those behind them.
    async fn list(&self, list: Listed, at: Timestamp) -> Result<(), DeliveryError> {
        let first = fastrand::u8(..SHARDS);
        let shards = (0..SHARDS).map(|shard| (first + shard) % SHARDS);
        let mut open: Vec<(u8, Option<PageEnd>)> = shards.map(|shard| (shard, None)).collect();
        // A contact that was delivered in part moves on in its list and may come again.
        let mut seen = HashSet::new();
        while !open.is_empty() {
            // One page of each shard at the same time; one that fails fails the run, and the next run
            // asks again.
            let store = &self.worker.store;
            let pages = stream::iter(open)
                .map(|(shard, after)| async move {
                    let page = store.listed(list, shard, at, PAGE, after).await;
                    page.map(|page| (shard, page))
                })
                .buffer_unordered(CONCURRENCY)
                .collect::<Vec<_>>()
                .await;
            let mut contacts = Vec::new();
            open = Vec::new();
            for page in pages {
                let (shard, page) = page?;
                contacts.extend(page.contacts.into_iter().filter(|(id, _)| seen.insert(*id)));
                open.extend(page.end.map(|end| (shard, Some(end))));
            }
            stream::iter(contacts)
                .for_each_concurrent(CONCURRENCY, |(id, due)| self.listed_contact(id, due))
                .await;
            if self.is_out_of_time() {
                if !open.is_empty() {
                    self.report(|report| report.complete = false);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_out_of_time(&self) -> bool {
        Instant::now() + MIN_TIME > self.deadline
    }

    fn report(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn listed_contact(&self, id: Uuid, due: Timestamp) {
        if self.is_out_of_time() {
            self.report(|report| report.complete = false);
            return;
        }
        let contact = timeout_at(self.deadline, self.contact(id)).await;
        if let Err(error) = contact.unwrap_or(Err(DeliveryError::Timeout)) {
            // The others need not wait for this one; it is listed when the run comes again. It has
            // waited since it was due, at the least.
            self.report(|report| {
                report.complete = false;
                report.waits_since(due);
            });
            tracing::error!(contact_id = %id, %error, "the contact is left for the next run");
        }
    }

    async fn contact(&self, id: Uuid) -> Result<(), DeliveryError> {
        let Some(stored) = self.worker.store.load(id).await? else {
            return Ok(());
        };
        let before = stored.history.clone();
        let mut progress = Progress::new(
            Instant::now(),
            self.deadline.min(Instant::now() + TIME_FOR_ONE),
            false,
        );
        let result = self.visit(id, stored, &mut progress).await;
        let after = progress.history().unwrap_or(&before);
        self.report(|report| report.add(&before, after));
        Ok(result?)
    }

    async fn visit(
        &self,
        id: Uuid,
        stored: Stored,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        let name = stored.history.integration().to_owned();
        let loaded = match self.worker.find_integration(&name, id, &|_, _| {}).await? {
            Found::Loaded(loaded) => loaded,
            // It was given to another integration at this moment, by whoever delivers it now.
            Found::BelongsTo(_) => return Ok(()),
            Found::Parked(error, parked) => {
                progress.store(&parked);
                let mut told = self
                    .left_alone
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if told.insert(name) {
                    tracing::error!(contact_id = %id, %error, "the contact's integration cannot be loaded; it and others wait");
                }
                return Ok(());
            }
        };
        if !self.retry_failed && loaded.dynamics.is_paused_until_after(self.deadline) {
            // Dynamics has asked to be left alone for longer than this run: whoever goes on waits longer.
            self.report(|report| report.complete = false);
            return Ok(());
        }
        progress.load(&loaded);
        let visit = Visit::new(&self.worker.store, loaded, &self.holder, id, progress);
        match visit.redeliver(stored, self.retry_failed).await? {
            Visited::Done | Visited::BelongsTo(_) => Ok(()),
        }
    }
}

impl Report {
    /// Adds a contact as the run found it and as it left it.
    fn add(&mut self, before: &History, after: &History) {
        let of = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let delivered = |history: &History| of(history.count(State::Delivered));
        self.contacts += 1;
        self.delivered += delivered(after).saturating_sub(delivered(before));
        self.pending += of(after.count(State::Pending));
        self.failed += of(after.count(State::Failed));
        if let Some(oldest) = after.oldest_pending() {
            self.waits_since(oldest);
        }
    }

    fn waits_since(&mut self, since: Timestamp) {
        let seconds = Timestamp::now().duration_since(since).as_secs();
        self.oldest_pending_seconds = self.oldest_pending_seconds.max(seconds);
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
