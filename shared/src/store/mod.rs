//! The DynamoDB table: contacts' histories, which are listed by their days ([`recent`]), and integrations'
//! configurations ([`versions`]).
//!
//! Owns the items' form and their conditional writes. A contact is one item, written whole with the
//! version that was read as the condition, so a late writer never overwrites a newer state: it is
//! told ([`StoreError::Conflict`]) and reads again.
//!
//! | attribute | type | what |
//! |---|---|---|
//! | `pk` | S, partition key | `CONTACT#<contact id>`, `LINE#<name>`, `INTEGRATION#<name>`, `DRAFT#<name>` or `VERSION#<name>#<ms>` |
//! | `version` | N | counts the writes of the item |
//! | `history` | S | a contact's [`History`] as JSON |
//! | `document` | S | an integration's configuration document |
//! | `due`, `dueAt` | S, N | the sparse index: the list that the item stands in, and its place there |
//! | `day`, `startedAt`, ... | | the index of contacts by their days: see [`recent`] |
//! | `expiresAt` | N | TTL, in seconds; never while a step is pending |
//!
//! The sparse index holds these lists, each contact's spread over 16 partitions by its id:
//!
//! | `due` | `dueAt`, in ms | what stands there |
//! |---|---|---|
//! | `DUE#<line>#<shard>` | when to look at the contact again; after the point, since when it waits | contacts with a pending step. The line is their integration's name: each waits behind its own kind only |
//! | `FAILED#<shard>` | when a step failed; after the point, when the item expires | contacts with a failed step and none pending |
//! | `LINES` | 0 | the lines that there are |
//! | `INTEGRATIONS`, `DRAFTS`, `VERSIONS#<name>` | when it was saved | see [`versions`] |
//! | `DUE#<shard>` | when to look at the contact again | contacts that version 0.1.0 has left pending; the next write moves them to their line |

pub mod recent;
pub mod versions;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{cause, configuration::is_integration_name, history::History};

/// Each list of the index is spread over this many partitions, so that it scales.
const SHARDS: u8 = 16;
/// How many partitions of a list, and of all lists, are read at a time.
const READ_AT_A_TIME: usize = 8;
const MOST_READS: usize = 32;
/// How many entries of a list are read at a time, so that no answer is large.
const PAGE: i32 = 1000;
/// No more entries of one partition of a list are read. A list that is longer is read again when these
/// are gone.
const MAX_ENTRIES: usize = 20_000;

type Item = HashMap<String, AttributeValue>;

/// The table.
#[derive(Debug)]
pub struct Store {
    client: Client,
    table: String,
    /// The lines that this process knows to be listed.
    lines: Mutex<HashSet<Line>>,
    /// Reads of lists at the same time: each takes a connection.
    reading: Semaphore,
}

/// The line that a contact waits in: that of its integration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line(String);

/// The line of contacts whose flow names an integration that does not exist: any name can stand in a flow.
const NOWHERE: &str = "-nowhere-";

impl Line {
    /// The line of an integration.
    pub fn of(integration: &str) -> Line {
        Line(if is_integration_name(integration) {
            integration.to_owned()
        } else {
            NOWHERE.to_owned()
        })
    }

    /// The line of contacts whose integration does not exist.
    pub fn of_nobody() -> Line {
        Line(NOWHERE.to_owned())
    }

    /// The name of its integration.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A list of contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    /// Contacts of a line with a pending step, by when to look at them.
    Line(Line),
    /// Contacts with a failed step and no pending one, by when it failed.
    Failed,
    /// What version 0.1.0 has left pending.
    Former,
}

/// A contact in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub contact_id: Uuid,
    /// When to look at it, or when it failed.
    pub at: Timestamp,
    /// Since when it waits, or when its item expires; none where the entry does not say.
    pub also: Option<Timestamp>,
}

/// A contact's history as it was read, with the version to write it back under.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub history: History,
    version: u64,
}

impl Stored {
    /// A contact that the table does not hold yet.
    pub fn new(history: History) -> Stored {
        Stored {
            history,
            version: 0,
        }
    }
}

/// Why the table did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum StoreError {
    #[error("another worker has written the contact's history meanwhile")]
    Conflict,
    #[error("there is no table `{0}`; check the function's environment variable TABLE_NAME")]
    NoTable(String),
    #[error(
        "the table `{0}` may not be used; a function's role needs dynamodb:GetItem and dynamodb:PutItem for it, an operator what docs/operator-policy.json names"
    )]
    AccessDenied(String),
    #[error(
        "the table `{table}` cannot list contacts by their days: {reason}. A stack of this version has the index `recent`; DynamoDB fills it in some minutes when the stack is updated"
    )]
    NotListed { table: String, reason: String },
    #[error("it is larger than the 400 KB that an item of the table can hold")]
    TooLarge,
    #[error("an item of the table `{table}` cannot be read: {reason}")]
    Malformed { table: String, reason: String },
    #[error("the table `{table}` does not answer: {reason}")]
    Unavailable { table: String, reason: String },
}

impl Store {
    pub fn new(config: &SdkConfig, table: &str) -> Store {
        Store {
            client: Client::new(config),
            table: table.to_owned(),
            lines: Mutex::default(),
            reading: Semaphore::new(MOST_READS),
        }
    }

    /// A contact's history, as it stands now; none for a contact that is not known.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn load(&self, contact_id: Uuid) -> Result<Option<Stored>, StoreError> {
        let Some(item) = self.get(&contact_key(contact_id)).await? else {
            return Ok(None);
        };
        let version =
            number(&item, "version").ok_or_else(|| self.malformed("it has no version"))?;
        let history = text(&item, "history").ok_or_else(|| self.malformed("it has no history"))?;
        let history =
            serde_json::from_str(history).map_err(|error| self.malformed(&error.to_string()))?;
        Ok(Some(Stored { history, version }))
    }

    /// Writes a contact's history, unless someone has written it since it was read.
    ///
    /// `retention_days` is how long it is kept after its last change.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when someone has: read it again.
    pub async fn save(&self, stored: &mut Stored, retention_days: u32) -> Result<(), StoreError> {
        let line = Line::of(stored.history.integration());
        self.save_in_line(stored, line, retention_days).await
    }

    /// The same, with the line in which the contact is to wait.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub async fn save_in_line(
        &self,
        stored: &mut Stored,
        line: Line,
        retention_days: u32,
    ) -> Result<(), StoreError> {
        let history = &stored.history;
        let contact_id = history.contact_id();
        let document = serde_json::to_string(history).expect("a history serialises");
        let mut put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S(contact_key(contact_id)))
            .item(
                "version",
                AttributeValue::N((stored.version + 1).to_string()),
            )
            .item("history", AttributeValue::S(document.clone()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for (name, value) in recent::attributes(history) {
            put = put.item(name, value);
        }
        let expires_at = history
            .updated_at()
            .saturating_add(SignedDuration::from_hours(i64::from(retention_days) * 24))
            .unwrap_or(Timestamp::MAX);
        let listed = match (history.wake_at(), history.failed_at()) {
            (Some(due), _) => {
                self.list_line(&line).await?;
                Some((List::Line(line), due, history.waiting_since()))
            }
            (None, Some(failed_at)) => Some((List::Failed, failed_at, Some(expires_at))),
            (None, None) => None,
        };
        if history.wake_at().is_none() {
            let seconds = expires_at.as_second().to_string();
            put = put.item("expiresAt", AttributeValue::N(seconds));
        }
        if let Some((list, at, also)) = listed {
            put = put
                .item("due", AttributeValue::S(list.partition(shard(contact_id))))
                .item("dueAt", AttributeValue::N(place(at, also)));
        }
        put = match stored.version {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            version => put
                .condition_expression("version = :version")
                .expression_attribute_values(":version", AttributeValue::N(version.to_string())),
        };
        if let Err(error) = put.send().await {
            // An answer was lost, and the client has repeated what was done already.
            let is_ours = |item: &Item| {
                number(item, "version") == Some(stored.version + 1)
                    && text(item, "history") == Some(&document)
            };
            if !in_the_way(&error).is_some_and(is_ours) {
                return Err(self.error(&error));
            }
        }
        stored.version += 1;
        Ok(())
    }

    /// Adds a line to those that there are. It is written once in this process.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn list_line(&self, line: &Line) -> Result<(), StoreError> {
        let is_known = |lines: &Mutex<HashSet<Line>>| {
            let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.contains(line)
        };
        if is_known(&self.lines) {
            return Ok(());
        }
        self.write_line(line).await
    }

    /// Adds a line to those that there are, whether or not this process knows it to be listed.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn write_line(&self, line: &Line) -> Result<(), StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S(format!("LINE#{}", line.name())))
            .item("due", AttributeValue::S(LINES.to_owned()))
            .item("dueAt", AttributeValue::N("0".to_owned()));
        put.send().await.map_err(|error| self.error(&error))?;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.insert(line.clone());
        Ok(())
    }

    /// Takes a line for listed: somebody else sees to it, and a contact need not wait for that.
    #[must_use]
    pub fn with_line(self, line: Line) -> Store {
        let mut lines = self
            .lines
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        lines.insert(line);
        Store {
            lines: Mutex::new(lines),
            ..self
        }
    }

    /// The lines that there are.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn lines(&self) -> Result<BTreeSet<Line>, StoreError> {
        let line = |item: &Item| {
            let name = text(item, "pk")?.strip_prefix("LINE#")?;
            Some(Line(name.to_owned()))
        };
        let lines = self.partition(LINES.to_owned(), line).await?;
        Ok(lines.into_iter().collect())
    }

    /// The contacts of a list, the first place first.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn list(&self, list: &List) -> Result<Vec<Entry>, StoreError> {
        let partitions = stream::iter((0..SHARDS).map(|shard| list.partition(shard)))
            .map(|partition| self.partition(partition, Entry::read))
            .buffer_unordered(READ_AT_A_TIME)
            .collect::<Vec<_>>()
            .await;
        let mut entries = Vec::new();
        for partition in partitions {
            entries.extend(partition?);
        }
        entries.sort_by_key(|entry| entry.at);
        // A contact that is written while its list is read may be met twice.
        let mut seen = HashSet::new();
        entries.retain(|entry| seen.insert(entry.contact_id));
        Ok(entries)
    }

    /// What `read` makes of the keys in one partition of the index.
    async fn partition<T>(
        &self,
        name: String,
        read: impl Fn(&Item) -> Option<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.table)
                .index_name("due")
                .key_condition_expression("due = :due")
                .expression_attribute_values(":due", AttributeValue::S(name.clone()))
                .set_exclusive_start_key(after)
                .limit(PAGE);
            let reading = self.reading.acquire().await;
            let page = query.send().await.map_err(|error| self.error(&error))?;
            drop(reading);
            found.extend(page.items().iter().filter_map(&read));
            after = page.last_evaluated_key;
            if after.is_none() || found.len() >= MAX_ENTRIES {
                return Ok(found);
            }
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Item>, StoreError> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key.to_owned()))
            .consistent_read(true);
        Ok(get.send().await.map_err(|error| self.error(&error))?.item)
    }

    fn malformed(&self, reason: &str) -> StoreError {
        StoreError::Malformed {
            table: self.table.clone(),
            reason: reason.to_owned(),
        }
    }

    fn error<E>(&self, error: &SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let table = self.table.clone();
        let message = error
            .as_service_error()
            .and_then(ProvideErrorMetadata::message)
            .unwrap_or_default();
        match error
            .as_service_error()
            .and_then(ProvideErrorMetadata::code)
        {
            Some("ConditionalCheckFailedException") => StoreError::Conflict,
            Some("ResourceNotFoundException") => StoreError::NoTable(table),
            Some("AccessDeniedException") => StoreError::AccessDenied(table),
            Some("ValidationException") if message.contains("size has exceeded") => {
                StoreError::TooLarge
            }
            Some("ValidationException")
                if message.contains("specified index") || message.contains("backfilling") =>
            {
                StoreError::NotListed {
                    table,
                    reason: message.trim_end_matches('.').to_owned(),
                }
            }
            _ => StoreError::Unavailable {
                table,
                reason: cause::of_aws(error),
            },
        }
    }
}

/// The item that a conditional write has met.
fn in_the_way(error: &SdkError<PutItemError>) -> Option<&Item> {
    match error.as_service_error()? {
        PutItemError::ConditionalCheckFailedException(refused) => refused.item(),
        _ => None,
    }
}

fn contact_key(contact_id: Uuid) -> String {
    format!("CONTACT#{contact_id}")
}

/// The partition of the index that holds the lines.
const LINES: &str = "LINES";

impl List {
    fn partition(&self, shard: u8) -> String {
        match self {
            List::Line(line) => format!("DUE#{}#{shard:02}", line.name()),
            List::Failed => format!("FAILED#{shard:02}"),
            List::Former => format!("DUE#{shard:02}"),
        }
    }
}

fn shard(contact_id: Uuid) -> u8 {
    contact_id.as_bytes()[15] % SHARDS
}

/// A place in a list: a number whose whole part is one time and whose fraction, of 13 digits, another.
fn place(at: Timestamp, also: Option<Timestamp>) -> String {
    let whole = at.as_millisecond();
    match also.map(Timestamp::as_millisecond) {
        Some(fraction @ 0..=MAX_FRACTION) => format!("{whole}.{fraction:013}"),
        _ => whole.to_string(),
    }
}

/// The last millisecond that 13 digits hold. It is in the year 2286.
const MAX_FRACTION: i64 = 9_999_999_999_999;

impl Entry {
    fn read(item: &Item) -> Option<Entry> {
        let contact_id = Uuid::try_parse(text(item, "pk")?.strip_prefix("CONTACT#")?).ok()?;
        let place = item.get("dueAt")?.as_n().ok()?;
        let (whole, fraction) = match place.split_once('.') {
            // DynamoDB leaves out zeros at the end.
            Some((whole, fraction)) => (whole, format!("{fraction:0<13}").parse().ok()),
            None => (place.as_str(), None),
        };
        let time = |milliseconds| Timestamp::from_millisecond(milliseconds).ok();
        Some(Entry {
            contact_id,
            at: time(whole.parse().ok()?)?,
            also: fraction.and_then(time),
        })
    }
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

fn number<N: FromStr>(item: &Item, name: &str) -> Option<N> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_place_is_read_as_it_was_written(at in 0..MAX_FRACTION, also in proptest::option::of(0..MAX_FRACTION)) {
            let time = |milliseconds| Timestamp::from_millisecond(milliseconds).unwrap();
            let contact_id = Uuid::from_u128(7);
            let mut written = place(time(at), also.map(time));
            if written.contains('.') {
                // As DynamoDB gives it back.
                written = written.trim_end_matches('0').trim_end_matches('.').to_owned();
            }
            let item = HashMap::from([
                ("pk".to_owned(), AttributeValue::S(format!("CONTACT#{contact_id}"))),
                ("dueAt".to_owned(), AttributeValue::N(written)),
            ]);
            let also = also.filter(|also| *also > 0).map(time);
            prop_assert_eq!(Entry::read(&item), Some(Entry { contact_id, at: time(at), also }));
        }
    }

    #[test]
    fn a_line_is_named_like_its_integration_and_never_like_anything_else() {
        assert_eq!(Line::of("emea-2").name(), "emea-2");
        for name in ["", "a#b", "x".repeat(65).as_str(), NOWHERE] {
            assert!(!is_integration_name(name) || name == NOWHERE, "{name}");
            assert_eq!(Line::of(name).name(), NOWHERE, "{name}");
        }
    }
}
