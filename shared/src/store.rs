//! The DynamoDB table: contacts' histories and integrations' configurations.
//!
//! Owns the items' form and their conditional writes. A contact is one item, written whole with the
//! version that was read as the condition, so a late writer never overwrites a newer state: it is
//! told ([`StoreError::Conflict`]) and reads again.
//!
//! | attribute | type | what |
//! |---|---|---|
//! | `pk` | S, partition key | `CONTACT#<contact id>` or `INTEGRATION#<name>` |
//! | `version` | N | counts the writes of the item |
//! | `history` | S | a contact's [`History`] as JSON |
//! | `document` | S | an integration's configuration document |
//! | `due`, `dueAt` | S, N | the sparse index. While a step is pending: `DUE#<shard>` and when to look at the contact again; else, when a step has failed: `FAILED#<shard>` and when. In ms |
//! | `expiresAt` | N | TTL, in seconds; never while a step is pending |

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{cause, history::History};

/// Each list of the index is spread over this many partitions, so that it scales.
pub const SHARDS: u8 = 16;

/// The table.
#[derive(Debug)]
pub struct Store {
    client: Client,
    table: String,
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
        "the function may not use the table `{0}`; its role needs dynamodb:GetItem and dynamodb:PutItem for it"
    )]
    AccessDenied(String),
    #[error("the contact's history is larger than the 400 KB that an item can hold")]
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
        put = match (history.wake_at(), history.failed_at()) {
            (Some(due), _) => put
                .item("due", AttributeValue::S(shard(Listed::Due, contact_id)))
                .item("dueAt", AttributeValue::N(due.as_millisecond().to_string())),
            (None, failed_at) => {
                let lifetime = i64::from(retention_days) * 86_400;
                let expires = history.updated_at().as_second() + lifetime;
                let put = put.item("expiresAt", AttributeValue::N(expires.to_string()));
                match failed_at {
                    None => put,
                    Some(failed_at) => put
                        .item("due", AttributeValue::S(shard(Listed::Failed, contact_id)))
                        .item(
                            "dueAt",
                            AttributeValue::N(failed_at.as_millisecond().to_string()),
                        ),
                }
            }
        };
        put = match stored.version {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            version => put
                .condition_expression("version = :version")
                .expression_attribute_values(":version", AttributeValue::N(version.to_string())),
        };
        if let Err(error) = put.send().await {
            // An answer was lost, and the client has repeated what was done already.
            let is_ours = |item: &HashMap<String, AttributeValue>| {
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

    /// Contacts of one shard (below [`SHARDS`]) that are listed under a time: due ones up to `at`,
    /// failed ones from `at` on. A page of at most `limit`, the oldest first, from where the last page
    /// ended.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn listed(
        &self,
        list: Listed,
        shard: u8,
        at: Timestamp,
        limit: i32,
        after: Option<PageEnd>,
    ) -> Result<Page, StoreError> {
        let condition = match list {
            Listed::Due => "due = :due AND dueAt <= :at",
            Listed::Failed => "due = :due AND dueAt >= :at",
        };
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("due")
            .key_condition_expression(condition)
            .expression_attribute_values(":due", AttributeValue::S(shard_name(list, shard)))
            .expression_attribute_values(":at", AttributeValue::N(at.as_millisecond().to_string()))
            .set_exclusive_start_key(after.map(|end| end.0))
            .limit(limit);
        let found = query.send().await.map_err(|error| self.error(&error))?;
        let contact = |item: &HashMap<String, AttributeValue>| {
            let id = Uuid::try_parse(text(item, "pk")?.strip_prefix("CONTACT#")?).ok()?;
            let listed_at = i64::try_from(number(item, "dueAt")?).ok()?;
            Some((id, Timestamp::from_millisecond(listed_at).ok()?))
        };
        Ok(Page {
            contacts: found.items().iter().filter_map(contact).collect(),
            end: found.last_evaluated_key.map(PageEnd),
        })
    }

    /// An integration's configuration document; none when there is no such integration.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn integration(&self, name: &str) -> Result<Option<String>, StoreError> {
        match self.get(&integration_key(name)).await? {
            None => Ok(None),
            Some(item) => match text(&item, "document") {
                Some(document) => Ok(Some(document.to_owned())),
                None => Err(self.malformed("it has no document")),
            },
        }
    }

    /// Saves an integration's configuration document, which must have been validated.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn save_integration(&self, name: &str, document: &str) -> Result<(), StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S(integration_key(name)))
            .item("document", AttributeValue::S(document.to_owned()));
        put.send().await.map_err(|error| self.error(&error))?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<HashMap<String, AttributeValue>>, StoreError> {
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
        match error
            .as_service_error()
            .and_then(ProvideErrorMetadata::code)
        {
            Some("ConditionalCheckFailedException") => StoreError::Conflict,
            Some("ResourceNotFoundException") => StoreError::NoTable(table),
            Some("AccessDeniedException") => StoreError::AccessDenied(table),
            Some("ValidationException")
                if error
                    .as_service_error()
                    .and_then(ProvideErrorMetadata::message)
                    .is_some_and(|message| message.contains("size has exceeded")) =>
            {
                StoreError::TooLarge
            }
            _ => StoreError::Unavailable {
                table,
                reason: cause::of_aws(error),
            },
        }
    }
}

/// The item that a conditional write has met.
fn in_the_way(error: &SdkError<PutItemError>) -> Option<&HashMap<String, AttributeValue>> {
    match error.as_service_error()? {
        PutItemError::ConditionalCheckFailedException(refused) => refused.item(),
        _ => None,
    }
}

fn contact_key(contact_id: Uuid) -> String {
    format!("CONTACT#{contact_id}")
}

fn integration_key(name: &str) -> String {
    format!("INTEGRATION#{name}")
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The contacts, and when each is due or has failed.
    pub contacts: Vec<(Uuid, Timestamp)>,
    /// Where the next page begins; none when there is no more.
    pub end: Option<PageEnd>,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq)]
pub struct PageEnd(HashMap<String, AttributeValue>);

/// The lists that the sparse index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Contacts with a pending step, by when to look at them.
    Due,
    /// Contacts with a failed step and no pending one, by when it failed.
    Failed,
}

fn shard(list: Listed, contact_id: Uuid) -> String {
    shard_name(list, contact_id.as_bytes()[15] % SHARDS)
}

fn shard_name(list: Listed, shard: u8) -> String {
    match list {
        Listed::Due => format!("DUE#{shard:02}"),
        Listed::Failed => format!("FAILED#{shard:02}"),
    }
}

fn text<'a>(item: &'a HashMap<String, AttributeValue>, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

fn number(item: &HashMap<String, AttributeValue>, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}
