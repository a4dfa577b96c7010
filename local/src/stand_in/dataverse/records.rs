//! The tables' contents: finding, creating and updating records, their keys and their lookups.

use std::collections::BTreeMap;

use jiff::{Timestamp, Unit};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{
    error::{Refusal, refuse},
    payload,
    request::{RecordKey, read_path},
    schema::{Access, COMMON, Table},
};

/// All records of an environment.
#[derive(Debug)]
pub(super) struct Records {
    /// By entity set and id.
    records: BTreeMap<(&'static str, Uuid), Record>,
    /// Of the last write; each write has the next.
    version: u64,
    /// The status that comes with the code of a duplicate key.
    pub(super) duplicate_key_status: u16,
}

#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) fields: Map<String, Json>,
    version: u64,
}

/// The conditions of an update.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api>
pub(super) struct Conditions<'a> {
    pub(super) if_match: Option<&'a str>,
    pub(super) if_none_match: Option<&'a str>,
}

/// What an upsert did.
pub(super) enum Upserted {
    Created(Uuid),
    Updated(Uuid),
}

impl Record {
    pub(super) fn etag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }
}

impl Default for Records {
    fn default() -> Records {
        Records {
            records: BTreeMap::new(),
            version: 0,
            duplicate_key_status: 412,
        }
    }
}

impl Records {
    pub(super) fn get(&self, table: &Table, id: Uuid) -> Option<&Record> {
        self.records.get(&(table.entity_set, id))
    }

    pub(super) fn of_table(&self, entity_set: &str) -> impl Iterator<Item = &Record> {
        self.records
            .iter()
            .filter(move |((set, _), _)| *set == entity_set)
            .map(|(_, record)| record)
    }

    /// The id of the record that a key names.
    pub(super) fn find(&self, table: &Table, key: &RecordKey) -> Result<Uuid, Refusal> {
        let (column, value) = match key {
            RecordKey::Id(id) => return self.find_by_id(table, *id),
            RecordKey::Column(column, value) => (column, value),
        };
        if *column == table.primary_key {
            let id = Uuid::try_parse(value)
                .map_err(|_| Refusal::malformed("Bad Request - Error in query syntax."))?;
            return self.find_by_id(table, id);
        }
        if !table.alternate_keys.contains(&column.as_str()) {
            return Err(Refusal::malformed(format!(
                "The specified key properties '{column}' do not form an alternate key of '{}'.",
                table.logical_name
            )));
        }
        match self.by_alternate_key(table, column, value) {
            Some(id) => Ok(id),
            None => refuse(
                404,
                "0x80060891",
                format!(
                    "A record with the specified key values does not exist in {} entity",
                    table.logical_name
                ),
            ),
        }
    }

    fn find_by_id(&self, table: &Table, id: Uuid) -> Result<Uuid, Refusal> {
        if self.records.contains_key(&(table.entity_set, id)) {
            return Ok(id);
        }
        refuse(
            404,
            "0x80040217",
            format!(
                "Entity '{}' With Id = {id} Does Not Exist",
                table.logical_name
            ),
        )
    }

    fn by_alternate_key(&self, table: &Table, column: &str, value: &str) -> Option<Uuid> {
        self.records.iter().find_map(|((set, id), record)| {
            let held = record.fields.get(column).and_then(Json::as_str);
            (*set == table.entity_set && held.is_some_and(|held| held.eq_ignore_ascii_case(value)))
                .then_some(*id)
        })
    }

    /// Creates a record, with the id `key` or that of its fields or a new one; returns the id.
    pub(super) fn create(
        &mut self,
        table: &'static Table,
        fields: Map<String, Json>,
        key: Option<Uuid>,
    ) -> Result<Uuid, Refusal> {
        let unwritable = |name: &&String| {
            let column = table.column(name);
            column.is_some_and(|column| column.access == Access::NotOnCreate)
        };
        if let Some(name) = fields.keys().find(unwritable) {
            return Err(Refusal::payload(
                table,
                &format!("The property '{name}' cannot be set on create."),
            ));
        }
        let mut stored = self.check(table, fields)?;
        let named = stored
            .get(table.primary_key)
            .and_then(Json::as_str)
            .and_then(|id| Uuid::try_parse(id).ok());
        let id = key.or(named).unwrap_or_else(Uuid::new_v4);
        if self.is_taken(table, id) {
            return Err(self.duplicate_key());
        }
        self.check_alternate_keys(table, &stored, None)?;
        for column in table.columns.iter().chain(COMMON) {
            stored.entry(column.name).or_insert_with(column.default);
        }
        for lookup in table.lookups {
            stored.entry(lookup.column).or_insert(Json::Null);
        }
        set_state(table, &mut stored, id)?;
        if table.is_activity {
            stored.insert("activitytypecode".into(), table.logical_name.into());
        }
        let now = now();
        stored.insert(table.primary_key.into(), id.to_string().into());
        stored.insert("createdon".into(), now.clone().into());
        self.store(table, id, stored, now);
        Ok(id)
    }

    /// Updates the record that a key names, or creates it.
    pub(super) fn upsert(
        &mut self,
        table: &'static Table,
        key: &RecordKey,
        mut fields: Map<String, Json>,
        conditions: &Conditions<'_>,
    ) -> Result<Upserted, Refusal> {
        let id = match self.find(table, key) {
            Ok(id) => id,
            // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api#prevent-create-in-upsert
            Err(missing) if missing.status != 404 || conditions.if_match.is_some() => {
                return Err(missing);
            }
            Err(_) => {
                let id = match key {
                    RecordKey::Id(id) => Some(*id),
                    RecordKey::Column(column, value) => {
                        fields.insert(column.clone(), value.clone().into());
                        None
                    }
                };
                return self.create(table, fields, id).map(Upserted::Created);
            }
        };
        // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api#prevent-update-in-upsert
        if conditions.if_none_match == Some("*") {
            return refuse(
                412,
                "0x80040237",
                "A record with matching key values already exists.",
            );
        }
        let record = &self.records[&(table.entity_set, id)];
        if let Some(etag) = conditions.if_match.filter(|etag| *etag != "*")
            && etag != record.etag()
        {
            return refuse(
                412,
                "0x80060882",
                "The version of the existing record doesn't match the RowVersion property provided.",
            );
        }
        let changed = self.check(table, fields)?;
        self.check_alternate_keys(table, &changed, Some(id))?;
        if changed
            .get(table.primary_key)
            .is_some_and(|named| *named != id.to_string())
        {
            return refuse(
                400,
                "0x80048d19",
                "The primary key of a record cannot be changed.",
            );
        }
        let mut stored = record.fields.clone();
        if changed.contains_key("statecode") {
            stored.insert("statuscode".into(), Json::Null);
        }
        stored.extend(changed);
        set_state(table, &mut stored, id)?;
        self.store(table, id, stored, now());
        Ok(Upserted::Updated(id))
    }

    fn store(
        &mut self,
        table: &'static Table,
        id: Uuid,
        mut fields: Map<String, Json>,
        now: String,
    ) {
        self.version += 1;
        fields.insert("modifiedon".into(), now.into());
        fields.insert("versionnumber".into(), self.version.into());
        let record = Record {
            fields,
            version: self.version,
        };
        self.records.insert((table.entity_set, id), record);
    }

    /// Whether a record has the id already, of an activity also one of another activities' table.
    fn is_taken(&self, table: &Table, id: Uuid) -> bool {
        self.records.keys().any(|(set, taken)| {
            let other = Table::by_entity_set(set);
            *taken == id
                && (*set == table.entity_set
                    || table.is_activity && other.is_some_and(|other| other.is_activity))
        })
    }

    fn duplicate_key(&self) -> Refusal {
        Refusal::new(
            self.duplicate_key_status,
            "0x80040237",
            "A record with matching key values already exists.",
        )
    }

    fn check_alternate_keys(
        &self,
        table: &Table,
        fields: &Map<String, Json>,
        own: Option<Uuid>,
    ) -> Result<(), Refusal> {
        for column in table.alternate_keys {
            let value = fields.get(*column).and_then(Json::as_str);
            if let Some(holder) =
                value.and_then(|value| self.by_alternate_key(table, column, value))
                && Some(holder) != own
            {
                return refuse(
                    412,
                    "0x80060892",
                    format!(
                        "Entity Key {column} violated. A record with the same value for {column} already exists. A duplicate record cannot be created."
                    ),
                );
            }
        }
        Ok(())
    }

    /// Checks a body's fields; returns what is to be stored.
    fn check(
        &self,
        table: &Table,
        fields: Map<String, Json>,
    ) -> Result<Map<String, Json>, Refusal> {
        let mut stored = Map::new();
        for (name, value) in fields {
            if let Some(property) = name.strip_suffix("@odata.bind") {
                let (column, id) = self.bind(table, property, &value)?;
                stored.insert(column.to_owned(), id.to_string().into());
            } else if !name.contains('@') {
                let value = payload::check(table, &name, value)?;
                stored.insert(name, value);
            }
        }
        Ok(stored)
    }

    /// The column of a lookup, and the id of the record that it shall name.
    fn bind(
        &self,
        table: &Table,
        property: &str,
        value: &Json,
    ) -> Result<(&'static str, Uuid), Refusal> {
        let mut lookups = table.lookups.iter();
        let Some(lookup) = lookups.find(|lookup| lookup.name == property) else {
            return Err(Refusal::payload(
                table,
                &format!(
                    "An undeclared property '{property}' which only has property annotations in the payload but no property value was found in the payload."
                ),
            ));
        };
        let path = value.as_str().unwrap_or_default();
        let path = path.strip_prefix('/').unwrap_or(path);
        let (set, key) = read_path(path)?;
        let target = Table::by_entity_set(&set).filter(|target| target.entity_set == lookup.target);
        let (Some(target), Some(key)) = (target, key) else {
            return Err(Refusal::payload(
                table,
                &format!("'{path}' is no reference to a record of {}.", lookup.target),
            ));
        };
        Ok((lookup.column, self.find(target, &key)?))
    }
}

/// Fills in the state and its default status reason where they are missing, and checks that the status
/// reason is one of the state's.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/behavior-specialized-update-operations>
fn set_state(table: &Table, stored: &mut Map<String, Json>, id: Uuid) -> Result<(), Refusal> {
    let code = |name: &str| stored.get(name).and_then(Json::as_i64);
    let named = code("statecode").unwrap_or(table.states[0].code);
    let state = table.states.iter().find(|state| state.code == named);
    let state = state.expect("the column takes no other state");
    let status = code("statuscode").unwrap_or(state.status_codes[0]);
    if !state.status_codes.contains(&status) {
        return refuse(
            400,
            "0x80048408",
            format!(
                "{status} is not a valid status code for state code {} on {} with Id {id}.",
                state.name, table.logical_name
            ),
        );
    }
    stored.insert("statecode".into(), named.into());
    stored.insert("statuscode".into(), status.into());
    Ok(())
}

fn now() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}
