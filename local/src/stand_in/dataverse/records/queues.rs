//! The items of queues.
//!
//! <https://learn.microsoft.com/power-apps/developer/data-platform/queue-entities>

use serde_json::Value as Json;

use super::{Checked, Records, now};
use crate::stand_in::dataverse::{
    error::{Refusal, refuse},
    schema::Table,
};

impl Records {
    /// Gives a new item the name of its record and the time, and refuses it where the record is in a
    /// queue already, unless it is an e-mail that was received.
    pub(super) fn complete_queue_item(&self, item: &mut Checked) -> Result<(), Refusal> {
        let object = item.references.get("objectid").cloned().flatten();
        let id = item.id("objectid").zip(object);
        let (Some((id, object)), Some(_)) = (id, item.id("queueid")) else {
            return refuse(400, "", "A queue item names a queue and a record.");
        };
        let names_it = |other: &&super::Record| {
            other.fields.get("_objectid_value") == Some(&id.to_string().into())
                && other.fields.get("statecode") == Some(&0.into())
        };
        let record = Table::of_logical_name(&object.logical_name)
            .and_then(|table| Some((self.get(&table, id)?, table)));
        let field = |name: &str| {
            let (record, _) = record.as_ref()?;
            record.fields.get(name).cloned()
        };
        let is_received = object.logical_name == "email" && field("statuscode") == Some(4.into());
        if !is_received && self.of_table("queueitems").any(|other| names_it(&other)) {
            return refuse(
                400,
                "",
                "An entity record cannot be added in multiple queues.",
            );
        }
        let name = record.as_ref().and_then(|(_, table)| table.known);
        let title = name.and_then(|known| field(known.primary_name));
        item.fields
            .insert("title".into(), title.unwrap_or(Json::Null));
        item.fields.insert("enteredon".into(), now().into());
        Ok(())
    }
}
