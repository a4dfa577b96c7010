//! A record that was found, as templates see it: a customer, or a user.
//!
//! Owns the names of its fields.

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::{configuration::DefaultOwner, dataverse::Table};

/// A record that was found, or made because none was.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub id: Uuid,
    pub entity_set: String,
    pub logical_name: String,
    pub name: Option<Json>,
    /// The columns that were read.
    pub record: Map<String, Json>,
}

impl Found {
    /// A record of a table, with the columns that were read.
    pub fn of(
        table: &Table,
        id: Uuid,
        name_column: Option<&str>,
        record: &Map<String, Json>,
    ) -> Found {
        let name = name_column.and_then(|column| record.get(column));
        Found {
            id,
            entity_set: table.entity_set.clone(),
            logical_name: table.logical_name.clone(),
            name: name.filter(|name| !name.is_null()).cloned(),
            record: record.clone(),
        }
    }

    /// Adds the record to what is known: `id`, `entitySet`, `logicalName`, `name`, `record`.
    pub fn tell(self, known: &mut Map<String, Json>) {
        known.insert("id".into(), self.id.to_string().into());
        known.insert("entitySet".into(), self.entity_set.into());
        known.insert("logicalName".into(), self.logical_name.into());
        known.extend(self.name.map(|name| ("name".to_owned(), name)));
        known.insert("record".into(), self.record.into());
    }
}

/// A user or a team that the configuration names, as `Agent.Owner`.
pub(super) fn owner(owner: DefaultOwner) -> Map<String, Json> {
    let (entity_set, logical_name, id) = match owner {
        DefaultOwner::User(id) => ("systemusers", "systemuser", id),
        DefaultOwner::Team(id) => ("teams", "team", id),
    };
    let owner = json!({"id": id.to_string(), "entitySet": entity_set, "logicalName": logical_name});
    owner.as_object().cloned().unwrap_or_default()
}
