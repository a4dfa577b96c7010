//! The parties of activities: who called, who was called.
//!
//! <https://learn.microsoft.com/power-apps/developer/data-platform/activityparty-entity>. They are
//! records of a table of their own, which only their activity writes: with its create, or with a PUT to
//! the list.

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{Checked, Record, Records, References, now};
use crate::stand_in::dataverse::{
    error::Refusal,
    schema::{Table, Tables},
};

const ENTITY_SET: &str = "activityparties";

fn table() -> Table {
    Table::of(ENTITY_SET, &Tables::default()).expect("it is known")
}

/// An update of the activity itself that names parties. Only a PUT to the list is documented.
pub(super) fn refuse_update(table: &Table, fields: &Map<String, Json>) -> Result<(), Refusal> {
    let known = table.known;
    let is_parties = |name: &String| known.is_some_and(|known| known.is_parties(name));
    if fields.keys().any(is_parties) {
        return Err(Refusal::not_modelled(
            "activity parties in the body of an update",
        ));
    }
    Ok(())
}

impl Records {
    /// The parties of an activity, in the order in which they were written.
    pub(in crate::stand_in::dataverse) fn parties(&self, activity: Uuid) -> Vec<&Record> {
        let activity = Json::from(activity.to_string());
        let parties = self.of_table(ENTITY_SET);
        let mut parties: Vec<&Record> = parties
            .filter(|party| party.fields.get("_activityid_value") == Some(&activity))
            .collect();
        parties.sort_by_key(|party| party.version);
        parties
    }

    /// Replaces the parties of an activity by those of a body's list.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api#associate-tables-on-update-using-collection-valued-navigation-property>
    pub(in crate::stand_in::dataverse) fn put_parties(
        &mut self,
        activities: &Table,
        activity: Uuid,
        list: Json,
        notes: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let parties = self.read_parties(activities, list, notes)?;
        self.replace_parties(activity, Some(parties));
        Ok(())
    }

    /// Takes the list of parties out of the body that creates an activity.
    pub(super) fn take_parties(
        &self,
        activities: &Table,
        fields: &mut Map<String, Json>,
        notes: &mut Vec<String>,
    ) -> Result<Option<Vec<Checked>>, Refusal> {
        let Some(known) = activities.known.filter(|known| known.is_activity()) else {
            return Ok(None);
        };
        let list = fields.remove(&format!("{}_activity_parties", known.logical_name));
        let list = list.map(|list| self.read_parties(activities, list, notes));
        list.transpose()
    }

    pub(super) fn replace_parties(&mut self, activity: Uuid, parties: Option<Vec<Checked>>) {
        let Some(parties) = parties else {
            return;
        };
        let activity = Json::from(activity.to_string());
        self.records.retain(|(set, _), record| {
            set != ENTITY_SET || record.fields.get("_activityid_value") != Some(&activity)
        });
        let table = table();
        for party in parties {
            let id = Uuid::new_v4();
            let references = party.changed(References::new());
            let mut fields = party.fields;
            for column in table.columns() {
                fields.entry(column.name).or_insert_with(column.default);
            }
            fields.entry("_partyid_value").or_insert(Json::Null);
            fields.insert("ispartydeleted".into(), false.into());
            fields.insert("_activityid_value".into(), activity.clone());
            fields.insert(table.primary_key.clone(), id.to_string().into());
            self.store(&table, id, fields, references, now());
            let stored = self.records.get_mut(&(table.entity_set.clone(), id));
            stored.expect("it was stored").fields.remove("modifiedon");
        }
    }

    fn read_parties(
        &self,
        activities: &Table,
        list: Json,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Checked>, Refusal> {
        let Json::Array(list) = list else {
            return Err(Refusal::payload(
                activities,
                "The parties of an activity are a list of objects.",
            ));
        };
        let types = activities.known.map_or(&[][..], |known| known.party_types);
        let parties = list.into_iter();
        let parties = parties.map(|party| self.read_party(types, party, notes));
        parties.collect()
    }

    fn read_party(
        &self,
        types: &[i64],
        party: Json,
        notes: &mut Vec<String>,
    ) -> Result<Checked, Refusal> {
        let table = table();
        let Json::Object(fields) = party else {
            return Err(Refusal::payload(&table, "A party is an object of columns."));
        };
        let is_bound = |name: &&String| name.starts_with("partyid_");
        if fields.keys().filter(is_bound).count() > 1 {
            return Err(Refusal::payload(&table, "A party names one record."));
        }
        let checked = self.check(&table, fields, notes)?;
        let address = checked
            .fields
            .get("addressused")
            .is_some_and(Json::is_string);
        if checked.id("partyid").is_none() && !address {
            return Err(Refusal::payload(
                &table,
                "A party names a record or an address.",
            ));
        }
        match checked.fields.get("participationtypemask") {
            Some(Json::Number(number)) => {
                let is_its = number
                    .as_i64()
                    .is_some_and(|number| types.contains(&number));
                if !is_its {
                    return Err(Refusal::out_of_range(
                        &table,
                        "participationtypemask",
                        number,
                    ));
                }
            }
            _ => {
                return Err(Refusal::payload(
                    &table,
                    "The property 'participationtypemask' is required.",
                ));
            }
        }
        Ok(checked)
    }
}
