//! Integrations in the table: the document in force, its draft, and every version that was published.
//!
//! Owns these items and their places in the index. A draft is no integration: no function reads it, and it
//! need not be valid. A version is written once and never changed.
//!
//! | item | list in the index | place | besides `document` |
//! |---|---|---|---|
//! | `INTEGRATION#<name>` | `INTEGRATIONS` | when it was published | `publishedBy` |
//! | `DRAFT#<name>` | `DRAFTS` | when it was saved | `version`, the condition of its next write |
//! | `VERSION#<name>#<ms>` | `VERSIONS#<name>` | when it was published | `publishedBy` |

use std::collections::BTreeSet;

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    types::{AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};
use jiff::{SignedDuration, Timestamp};

use super::{Item, Store, StoreError, in_the_way, number, text};
use crate::cause;

/// An integration's configuration document, and who put it in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub document: String,
    /// None where it was saved before versions were kept.
    pub published_at: Option<Timestamp>,
    /// Who has published it: the ARN of an AWS identity, or what was given in its place.
    pub published_by: Option<String>,
}

/// A configuration document that somebody is at work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub document: String,
    pub saved_at: Timestamp,
    /// The number of its writes, by which a second writer is told. 0 for one that is not saved yet.
    pub version: u64,
}

const INTEGRATIONS: &str = "INTEGRATIONS";
const DRAFTS: &str = "DRAFTS";

fn integration_key(name: &str) -> String {
    format!("INTEGRATION#{name}")
}

fn draft_key(name: &str) -> String {
    format!("DRAFT#{name}")
}

fn version_key(name: &str, at: Timestamp) -> String {
    format!("VERSION#{name}#{}", at.as_millisecond())
}

fn versions(name: &str) -> String {
    format!("VERSIONS#{name}")
}

/// An item of this module: a document, in a list, at a place.
fn item(key: String, document: &str, list: &str, at: Timestamp) -> Item {
    Item::from([
        ("pk".into(), AttributeValue::S(key)),
        ("document".into(), AttributeValue::S(document.into())),
        ("due".into(), AttributeValue::S(list.into())),
        (
            "dueAt".into(),
            AttributeValue::N(at.as_millisecond().to_string()),
        ),
    ])
}

fn time(item: &Item) -> Option<Timestamp> {
    Timestamp::from_millisecond(number(item, "dueAt")?).ok()
}

impl Store {
    /// An integration's configuration document; none when there is no such integration.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn integration(&self, name: &str) -> Result<Option<String>, StoreError> {
        let version = self.version_in_force(name).await?;
        Ok(version.map(|version| version.document))
    }

    /// The version of an integration that is in force.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn version_in_force(&self, name: &str) -> Result<Option<Version>, StoreError> {
        let item = self.get(&integration_key(name)).await?;
        item.map(|item| self.read_version(&item)).transpose()
    }

    /// An earlier version, by when it was published.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn version(&self, name: &str, at: Timestamp) -> Result<Option<Version>, StoreError> {
        let item = self.get(&version_key(name, at)).await?;
        item.map(|item| self.read_version(&item)).transpose()
    }

    /// When an integration's versions were published, the newest first.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn versions(&self, name: &str) -> Result<Vec<Timestamp>, StoreError> {
        let mut times = self.partition(versions(name), time).await?;
        times.sort_by(|one, other| other.cmp(one));
        Ok(times)
    }

    /// The names of the integrations that there are. Of one that was saved before versions were kept, and that
    /// no function has been invoked for, nobody knows.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn integration_names(&self) -> Result<BTreeSet<String>, StoreError> {
        let name = |item: &Item| {
            let name = text(item, "pk")?.strip_prefix("INTEGRATION#")?;
            Some(name.to_owned())
        };
        let listed = self.partition(INTEGRATIONS.to_owned(), name).await?;
        let mut names = BTreeSet::from_iter(listed);
        for line in self.lines().await? {
            let name = line.name();
            if !names.contains(name) && self.integration(name).await?.is_some() {
                names.insert(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Saves an integration's configuration document, which must have been validated, whatever is in force.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn save_integration(&self, name: &str, document: &str) -> Result<(), StoreError> {
        let item = item(
            integration_key(name),
            document,
            INTEGRATIONS,
            Timestamp::now(),
        );
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item));
        put.send().await.map_err(|error| self.error(&error))?;
        Ok(())
    }

    /// Puts an integration's configuration document, which must have been validated, in force in the place of
    /// the one that its author knows; keeps both as versions; and deletes the draft that it is, if it is one. All
    /// of it is done, or nothing is.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another one is in force than `replaced`, or the draft has been saved since it
    /// was read.
    pub async fn publish(
        &self,
        name: &str,
        document: &str,
        replaced: Option<&Version>,
        draft: Option<&Draft>,
        by: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let by = AttributeValue::S(by.to_owned());
        let put = |mut item: Item, by: Option<AttributeValue>| {
            item.extend(by.map(|by| ("publishedBy".to_owned(), by)));
            Put::builder().table_name(&self.table).set_item(Some(item))
        };
        let integration = put(
            item(integration_key(name), document, INTEGRATIONS, now),
            Some(by.clone()),
        );
        let integration = match replaced {
            None => integration.condition_expression("attribute_not_exists(pk)"),
            Some(replaced) => integration
                .condition_expression("document = :replaced")
                .expression_attribute_values(
                    ":replaced",
                    AttributeValue::S(replaced.document.clone()),
                ),
        };
        let version = item(version_key(name, now), document, &versions(name), now);
        let mut puts = vec![integration, put(version, Some(by))];
        // What was saved before versions were kept, or by other means.
        if let Some(replaced) = replaced {
            let just_before = now - SignedDuration::from_millis(1);
            let at = replaced.published_at.unwrap_or(just_before).min(now);
            if at != now && self.version(name, at).await?.is_none() {
                let key = version_key(name, at);
                let by = replaced.published_by.clone().map(AttributeValue::S);
                puts.push(put(item(key, &replaced.document, &versions(name), at), by));
            }
        }
        let mut writes = Vec::new();
        for put in puts {
            let put = put.build().expect("a table and an item are given");
            writes.push(TransactWriteItem::builder().put(put).build());
        }
        if let Some(draft) = draft {
            let seen = AttributeValue::N(draft.version.to_string());
            let delete = Delete::builder()
                .table_name(&self.table)
                .key("pk", AttributeValue::S(draft_key(name)))
                .condition_expression("version = :seen")
                .expression_attribute_values(":seen", seen)
                .build()
                .expect("a table and a key are given");
            writes.push(TransactWriteItem::builder().delete(delete).build());
        }
        let transaction = self
            .client
            .transact_write_items()
            .set_transact_items(Some(writes));
        match transaction.send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let service = error.as_service_error();
                let cancelled = service.and_then(ProvideErrorMetadata::code)
                    == Some("TransactionCanceledException");
                let message = service.and_then(ProvideErrorMetadata::message);
                let message = message.unwrap_or_default();
                // https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
                if cancelled && message.contains("ConditionalCheckFailed") {
                    Err(StoreError::Conflict)
                } else if cancelled {
                    Err(StoreError::Unavailable {
                        table: self.table.clone(),
                        reason: cause::of_aws(&error),
                    })
                } else {
                    Err(self.error(&error))
                }
            }
        }
    }

    /// The draft of an integration.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn draft(&self, name: &str) -> Result<Option<Draft>, StoreError> {
        let Some(item) = self.get(&draft_key(name)).await? else {
            return Ok(None);
        };
        let document = text(&item, "document");
        Ok(Some(Draft {
            document: document
                .ok_or_else(|| self.malformed("the draft has no document"))?
                .to_owned(),
            saved_at: time(&item).unwrap_or_default(),
            version: number(&item, "version").unwrap_or_default(),
        }))
    }

    /// The names of the drafts that there are, and when each was saved.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn drafts(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let draft = |item: &Item| {
            let name = text(item, "pk")?.strip_prefix("DRAFT#")?;
            Some((name.to_owned(), time(item)?))
        };
        self.partition(DRAFTS.to_owned(), draft).await
    }

    /// Saves a draft, unless somebody else has saved it since it was read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody has.
    pub async fn save_draft(&self, name: &str, draft: &mut Draft) -> Result<(), StoreError> {
        let mut item = item(draft_key(name), &draft.document, DRAFTS, draft.saved_at);
        // A new draft's number is none that a former draft of the name has had: a page that shows that one is told.
        let version = if draft.version == 0 {
            u64::try_from(draft.saved_at.as_millisecond()).unwrap_or(1)
        } else {
            draft.version + 1
        };
        item.insert("version".into(), AttributeValue::N(version.to_string()));
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match draft.version {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            version => put
                .condition_expression("version = :version")
                .expression_attribute_values(":version", AttributeValue::N(version.to_string())),
        };
        if let Err(error) = put.send().await {
            // An answer was lost, and the client has repeated what was done already.
            let is_ours = |item: &Item| {
                number(item, "version") == Some(version)
                    && text(item, "document") == Some(&draft.document)
            };
            if !in_the_way(&error).is_some_and(is_ours) {
                return Err(self.error(&error));
            }
        }
        draft.version = version;
        Ok(())
    }

    /// Deletes a draft, if there is one.
    ///
    /// # Errors
    /// [`StoreError`], never [`StoreError::Conflict`].
    pub async fn delete_draft(&self, name: &str) -> Result<(), StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(draft_key(name)));
        delete.send().await.map_err(|error| self.error(&error))?;
        Ok(())
    }

    fn read_version(&self, item: &Item) -> Result<Version, StoreError> {
        let document = text(item, "document");
        Ok(Version {
            document: document
                .ok_or_else(|| self.malformed("it has no document"))?
                .to_owned(),
            published_at: time(item),
            published_by: text(item, "publishedBy").map(str::to_owned),
        })
    }
}
