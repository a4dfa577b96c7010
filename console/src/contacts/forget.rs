//! Forgetting contacts: what goes, and what stays.
//!
//! Owns what is said of both. What goes is the contact's item in the table. What stays are its records in
//! Dynamics, its files in S3 and what Amazon Connect keeps of it, and, for as long as AWS keeps them, the
//! functions' logs and the table's backups.

use std::time::Duration;

use connect_dynamics::{
    history::{History, State},
    store::{
        StoreError,
        recent::{Customer, Forgotten, Recent},
    },
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Integrations, Record};
use crate::deployment::Deployment;

/// What forgetting does not reach, in words.
pub const STAYS: [&str; 5] = [
    "Its records in Dynamics. Delete them there, by the links.",
    "Recordings, transcripts and analyses in S3, and the contact in Amazon Connect.",
    "The functions' logs, for as long as the stack keeps them (LogRetentionDays).",
    "For up to 35 days, the backups of the table that point-in-time recovery keeps.",
    "An event of the contact that comes later begins anew: forget contacts that are over.",
];

/// A contact that is known, and what stays of it elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    #[serde(flatten)]
    pub contact: Recent,
    /// What Dynamics holds of it.
    pub in_dynamics: Vec<Record>,
    /// How many files of it are known in S3.
    pub files: usize,
    /// Until when a worker has it for itself: it cannot be forgotten before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use_until: Option<Timestamp>,
}

impl Known {
    /// Whether something is still to be delivered for it, which is not done any more then.
    pub fn is_pending(&self) -> bool {
        self.contact.state == State::Pending
    }

    async fn of(
        history: &History,
        integrations: &mut Integrations<'_>,
    ) -> Result<Option<Known>, StoreError> {
        let integration = integrations.get(history.integration()).await?.ok();
        let mut in_dynamics: Vec<Record> = Vec::new();
        for (key, request) in history.in_order() {
            let Some(id) = request.record_id else {
                continue;
            };
            let known = integration.as_deref();
            let known = known.and_then(|integration| integration.record_of(key, history));
            let (table, url) = known.map(|(_, table, url)| (table.to_owned(), url)).unzip();
            match in_dynamics.iter_mut().find(|record| record.id == id) {
                Some(record) if record.url.is_none() => *record = Record { id, table, url },
                Some(_) => {}
                None => in_dynamics.push(Record { id, table, url }),
            }
        }
        let lease = history.lease();
        let lease = lease.filter(|lease| lease.until > Timestamp::now());
        Ok(Recent::of(history).map(|contact| Known {
            contact,
            in_dynamics,
            files: history.objects().count(),
            in_use_until: lease.map(|lease| lease.until),
        }))
    }
}

/// What is known of some contacts. Those of which nothing is known are left out.
///
/// # Errors
/// [`StoreError`], never [`StoreError::Conflict`].
pub async fn known(deployment: &Deployment, ids: &[Uuid]) -> Result<Vec<Known>, StoreError> {
    let mut integrations = Integrations::of(deployment);
    let mut all = Vec::new();
    for id in ids {
        if let Some(stored) = deployment.store.load(*id).await? {
            all.extend(Known::of(&stored.history, &mut integrations).await?);
        }
    }
    Ok(all)
}

/// What came of forgetting one contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is gone, and this is what stays elsewhere.
    Gone(Box<Known>),
    Unknown,
    /// A worker is at work on it until then; nothing has changed.
    InUse(Timestamp),
    /// It changes all the time; nothing has changed.
    Changing,
}

/// Forgets a contact.
///
/// # Errors
/// [`StoreError`] when the table does not answer.
pub async fn forget(id: Uuid, integrations: &mut Integrations<'_>) -> Result<Outcome, StoreError> {
    let forgotten = match integrations.deployment.store.forget(id).await {
        Ok(forgotten) => forgotten,
        Err(StoreError::Conflict) => return Ok(Outcome::Changing),
        Err(error) => return Err(error),
    };
    Ok(match forgotten {
        Forgotten::Unknown => Outcome::Unknown,
        Forgotten::InUse(until) => Outcome::InUse(until),
        Forgotten::Gone(history) => match Known::of(&history, integrations).await? {
            Some(known) => Outcome::Gone(Box::new(known)),
            None => Outcome::Unknown,
        },
    })
}

/// Looks through the whole table for a number's contacts, for some time; `from` is where a call before ended.
///
/// # Errors
/// [`StoreError`], never [`StoreError::Conflict`].
pub async fn look_for(
    deployment: &Deployment,
    number: &str,
    from: Option<String>,
    time: Duration,
) -> Result<connect_dynamics::store::recent::Scanned, StoreError> {
    let customer = Customer::exactly(number);
    deployment.store.scan_for(&customer, from, time).await
}
