//! Redelivery: delivers the steps that Dynamics could not take at once.
//!
//! Owns which contacts are looked at, in what number at a time, and when it stops. How one contact's
//! steps are delivered is [`crate::delivery`]'s.
//!
//! The function runs on a schedule, once a minute and one at a time, and looks at the contacts that
//! the table's index lists as due. What it does not get done is still listed when it runs next. By
//! hand it is invoked with `{"contactId": "..."}` or `{"failedSince": "2026-02-04T00:00:00Z"}` and
//! tries failed steps again.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::{
    delivery::{Delivery, DeliveryError, Worker},
    history::State,
    integrations::IntegrationsError,
    metrics,
    store::{Listed, SHARDS},
};

/// How many contacts are delivered at the same time: well below the 52 requests that Dataverse takes
/// at once, which flows need too.
const CONCURRENCY: usize = 8;
/// How many contacts of a shard are looked up at a time.
const PAGE: i32 = 100;
/// How long a run stays with one contact: a request that hangs must not hold up the others.
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
        holder: &str,
        deadline: Instant,
    ) -> Result<Report, DeliveryError> {
        let run = Run {
            worker: self,
            holder,
            deadline,
            retry_failed: *order != Order::Due,
            report: Mutex::default(),
            left_out: AtomicU32::new(0),
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
            Order::Due => run.lists(Listed::Due, Timestamp::now()).await?,
            Order::FailedSince(since) => run.lists(Listed::Failed, *since).await?,
        }
        let mut report = run
            .report
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        report.complete = run.left_out.into_inner() == 0;
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

struct Run<'a> {
    worker: &'a Worker,
    holder: &'a str,
    deadline: Instant,
    retry_failed: bool,
    report: Mutex<Report>,
    left_out: AtomicU32,
}

impl Run<'_> {
    /// Looks at everything a list holds, page by page, until nothing new comes or the time is up.
    async fn lists(&self, list: Listed, at: Timestamp) -> Result<(), DeliveryError> {
        let mut seen = HashSet::new();
        loop {
            let first = fastrand::u8(..SHARDS);
            // Each shard's page is asked for at the same time; one that fails fails the run, and the
            // next run asks again.
            let pages = stream::iter((0..SHARDS).map(|shard| (first + shard) % SHARDS))
                .map(|shard| self.worker.store.listed(list, shard, at, PAGE))
                .buffer_unordered(CONCURRENCY)
                .collect::<Vec<_>>()
                .await;
            let mut contacts = Vec::new();
            for page in pages {
                contacts.extend(page?.into_iter().filter(|id| seen.insert(*id)));
            }
            if contacts.is_empty() {
                return Ok(());
            }
            stream::iter(contacts)
                .for_each_concurrent(CONCURRENCY, |id| async move {
                    if self.is_out_of_time() {
                        self.left_out.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    let contact = timeout_at(self.deadline, self.contact(id)).await;
                    if let Err(error) = contact.unwrap_or(Err(DeliveryError::Timeout)) {
                        // The others need not wait for this one; it is listed when the run comes again.
                        self.left_out.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(contact_id = %id, %error, "the contact is left for the next run");
                    }
                })
                .await;
            if self.is_out_of_time() {
                return Ok(());
            }
        }
    }

    fn is_out_of_time(&self) -> bool {
        Instant::now() + MIN_TIME > self.deadline
    }

    async fn contact(&self, id: Uuid) -> Result<(), DeliveryError> {
        let store = &self.worker.store;
        let Some(stored) = store.load(id).await? else {
            return Ok(());
        };
        let name = &stored.history.integration;
        let loaded = match self.worker.integrations.get(name).await {
            Ok(loaded) => loaded,
            Err(IntegrationsError::Store(error)) => return Err(error.into()),
            Err(error) => {
                tracing::error!(contact_id = %id, %error, "the contact's integration cannot be loaded");
                return Ok(self.worker.leave(stored, &error).await?);
            }
        };
        if !self.retry_failed && loaded.dynamics.is_paused_until_after(self.deadline) {
            // Dynamics has asked to be left alone for longer than this run: whoever goes on waits longer.
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let before = stored
            .history
            .steps
            .values()
            .filter(|step| step.state == State::Delivered)
            .count();
        let delivery = Delivery {
            store,
            loaded: &loaded,
            holder: self.holder,
            contact_id: id,
            deadline: self.deadline.min(Instant::now() + TIME_FOR_ONE),
        };
        let stored = delivery
            .change(stored, &|history| {
                if self.retry_failed {
                    history.retry_failed(Timestamp::now());
                }
            })
            .await?;
        let history = delivery.deliver(stored, &|_| {}).await?.history;
        let count = |state: State| {
            history
                .steps
                .values()
                .filter(|step| step.state == state)
                .count()
        };
        let of = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.contacts += 1;
        report.delivered += of(count(State::Delivered).saturating_sub(before));
        report.pending += of(count(State::Pending));
        report.failed += of(count(State::Failed));
        if let Some(oldest) = history.oldest_pending() {
            let seconds = Timestamp::now().duration_since(oldest).as_secs();
            report.oldest_pending_seconds = report.oldest_pending_seconds.max(seconds);
        }
        Ok(())
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
