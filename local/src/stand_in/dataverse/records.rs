//! The tables' contents: finding, creating and updating records, their keys, lookups and owners.
//!
//! [`parties`] has what is particular to the parties of activities, [`queues`] to the items of queues.

mod parties;
mod queues;

use std::collections::BTreeMap;

use jiff::{Timestamp, Unit};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{
    SERVICE_ROOT, USER,
    error::{Refusal, refuse},
    payload,
    request::{RecordKey, read_path},
    schema::{Access, Lookup, Table, Tables, is_own_option},
};

/// All records of an environment.
#[derive(Debug)]
pub(super) struct Records {
    /// By entity set and id.
    records: BTreeMap<(String, Uuid), Record>,
    /// Of the last write; each write has the next.
    version: u64,
    /// The status that comes with the code of a duplicate key.
    pub(super) duplicate_key_status: u16,
}

#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) fields: Map<String, Json>,
    /// What the lookups name, by their columns.
    pub(super) references: References,
    is_activity: bool,
    version: u64,
}

/// What a lookup names beside the id.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/select-columns#lookup-property-data>
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reference {
    pub(super) property: String,
    pub(super) logical_name: String,
}

type References = BTreeMap<String, Reference>;

/// A body that has been held against its table.
#[derive(Default)]
struct Checked {
    fields: Map<String, Json>,
    /// None where a lookup is emptied.
    references: BTreeMap<String, Option<Reference>>,
}

impl Checked {
    fn set(&mut self, column: &str, id: Json, reference: Option<Reference>) {
        self.fields.insert(format!("_{column}_value"), id);
        self.references.insert(column.to_owned(), reference);
    }

    fn id(&self, column: &str) -> Option<Uuid> {
        let id = self.fields.get(&format!("_{column}_value"))?;
        Uuid::try_parse(id.as_str()?).ok()
    }

    /// What a record refers to after this was written to it.
    fn changed(&self, mut references: References) -> References {
        for (column, reference) in &self.references {
            match reference {
                Some(reference) => references.insert(column.clone(), reference.clone()),
                None => references.remove(column),
            };
        }
        references
    }
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
        self.records.get(&(table.entity_set.clone(), id))
    }

    /// The entity sets that have records.
    pub(super) fn entity_sets(&self) -> impl Iterator<Item = &str> {
        self.records.keys().map(|(set, _)| set.as_str())
    }

    pub(super) fn of_table(&self, entity_set: &str) -> impl Iterator<Item = &Record> {
        self.records
            .iter()
            .filter(move |((set, _), _)| *set == entity_set)
            .map(|(_, record)| record)
    }

    /// The id of the record that a key names.
    pub(super) fn find(
        &self,
        table: &Table,
        key: &RecordKey,
        notes: &mut Vec<String>,
    ) -> Result<Uuid, Refusal> {
        let columns = match key {
            RecordKey::Id(id) => return self.find_by_id(table, *id),
            RecordKey::Columns(columns) => columns,
        };
        if let [(column, value)] = columns.as_slice()
            && *column == table.primary_key
        {
            let id = Uuid::try_parse(value.as_str().unwrap_or_default())
                .map_err(|_| Refusal::malformed("Bad Request - Error in query syntax."))?;
            return self.find_by_id(table, id);
        }
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        if let Some(unknown) = names.iter().find(|name| !table.has(name)) {
            return Err(Refusal::malformed(format!(
                "The specified key properties '{unknown}' do not form an alternate key of '{}'.",
                table.logical_name
            )));
        }
        if names.len() > 1 || !table.alternate_keys.contains(&names[0]) {
            notes.push(format!(
                "the stand-in does not know the environment's alternate keys: `{}` of {} was taken for one",
                names.join(", "),
                table.logical_name
            ));
        }
        match self.by_alternate_key(table, columns) {
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
        if self.get(table, id).is_some() {
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

    fn by_alternate_key(&self, table: &Table, columns: &[(String, Json)]) -> Option<Uuid> {
        self.records.iter().find_map(|((set, id), record)| {
            let holds = |(column, value): &(String, Json)| {
                let held = record.fields.get(column).unwrap_or(&Json::Null);
                match (held.as_str(), value.as_str()) {
                    (Some(held), Some(value)) => held.eq_ignore_ascii_case(value),
                    _ => held == value,
                }
            };
            (*set == table.entity_set && columns.iter().all(holds)).then_some(*id)
        })
    }

    /// Creates a record, with the id `key` or that of its fields or a new one; returns the id.
    pub(super) fn create(
        &mut self,
        table: &Table,
        mut fields: Map<String, Json>,
        key: Option<Uuid>,
        notes: &mut Vec<String>,
    ) -> Result<Uuid, Refusal> {
        check_access(table, &fields, Access::NotOnCreate, "create")?;
        let parties = self.take_parties(table, &mut fields, notes)?;
        let mut checked = self.check(table, fields, notes)?;
        if table.is_owned() && checked.id("ownerid").is_none() {
            let user = Table::of("systemusers", &Tables::default()).expect("it is known");
            own(&mut checked, &user, USER.into());
        }
        check_customer(table, &checked.fields)?;
        let named = checked
            .fields
            .get(&table.primary_key)
            .and_then(Json::as_str)
            .and_then(|id| Uuid::try_parse(id).ok());
        let id = key.or(named).unwrap_or_else(Uuid::new_v4);
        if self.is_taken(table, id) {
            return Err(self.duplicate_key());
        }
        if table.logical_name == "queueitem" {
            self.complete_queue_item(&mut checked)?;
        }
        let references = checked.changed(References::new());
        let mut stored = checked.fields;
        self.check_alternate_keys(table, &stored, None)?;
        for column in table.columns() {
            stored.entry(column.name).or_insert_with(column.default);
        }
        for lookup in table.lookups() {
            let value = format!("_{}_value", lookup.column);
            stored.entry(value).or_insert(Json::Null);
        }
        set_state(table, &mut stored, id)?;
        set_full_name(table, &mut stored);
        set_object_type(table, &mut stored, &references);
        if table.is_activity() {
            stored.insert("activitytypecode".into(), table.logical_name.clone().into());
        }
        let now = now();
        stored.insert(table.primary_key.clone(), id.to_string().into());
        stored.insert("createdon".into(), now.clone().into());
        self.store(table, id, stored, references, now);
        self.replace_parties(id, parties);
        Ok(id)
    }

    /// Updates the record that a key names, or creates it.
    pub(super) fn upsert(
        &mut self,
        table: &Table,
        key: &RecordKey,
        mut fields: Map<String, Json>,
        conditions: &Conditions<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Upserted, Refusal> {
        let id = match self.find(table, key, notes) {
            Ok(id) => id,
            // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api#prevent-create-in-upsert
            Err(missing) if missing.status != 404 || conditions.if_match.is_some() => {
                return Err(missing);
            }
            Err(_) => {
                let id = match key {
                    RecordKey::Id(id) => Some(*id),
                    RecordKey::Columns(columns) => {
                        fields.extend(columns.iter().cloned());
                        None
                    }
                };
                let created = self.create(table, fields, id, notes);
                return created.map(Upserted::Created);
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
        let record = &self.records[&(table.entity_set.clone(), id)];
        if let Some(etag) = conditions.if_match.filter(|etag| *etag != "*")
            && etag != record.etag()
        {
            return refuse(
                412,
                "0x80060882",
                "The version of the existing record doesn't match the RowVersion property provided.",
            );
        }
        check_access(table, &fields, Access::NotOnUpdate, "update")?;
        parties::refuse_update(table, &fields)?;
        let checked = self.check(table, fields, notes)?;
        let references = checked.changed(record.references.clone());
        let changed = checked.fields;
        check_resolution(table, &changed)?;
        self.check_alternate_keys(table, &changed, Some(id))?;
        if changed
            .get(&table.primary_key)
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
        check_customer(table, &stored)?;
        set_state(table, &mut stored, id)?;
        set_full_name(table, &mut stored);
        set_object_type(table, &mut stored, &references);
        self.store(table, id, stored, references, now());
        Ok(Upserted::Updated(id))
    }

    /// Deletes the record that a key names, an activity with its parties. What becomes of records that point to
    /// it differs from one relationship to the next, and is not modelled.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/update-delete-entities-using-web-api#basic-delete>
    pub(super) fn delete(
        &mut self,
        table: &Table,
        key: &RecordKey,
        notes: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let id = self.find(table, key, notes)?;
        let named = Json::from(id.to_string());
        let points_to_it = |record: &Record| {
            let mut references = record.references.iter();
            references.any(|(column, reference)| {
                reference.logical_name == table.logical_name
                    && record.fields.get(&format!("_{column}_value")) == Some(&named)
            })
        };
        if self.records.values().any(points_to_it) {
            return Err(Refusal::not_modelled(
                "the delete of a record that others point to",
            ));
        }
        self.replace_parties(id, Some(Vec::new()));
        self.records.remove(&(table.entity_set.clone(), id));
        Ok(())
    }

    fn store(
        &mut self,
        table: &Table,
        id: Uuid,
        mut fields: Map<String, Json>,
        references: References,
        now: String,
    ) {
        self.version += 1;
        fields.insert("modifiedon".into(), now.into());
        fields.insert("versionnumber".into(), self.version.into());
        let record = Record {
            fields,
            references,
            is_activity: table.is_activity(),
            version: self.version,
        };
        self.records.insert((table.entity_set.clone(), id), record);
    }

    /// Whether a record has the id already, of an activity also one of another activities' table.
    fn is_taken(&self, table: &Table, id: Uuid) -> bool {
        self.records.iter().any(|((set, taken), other)| {
            *taken == id && (*set == table.entity_set || table.is_activity() && other.is_activity)
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
            let value = fields.get(*column).filter(|value| value.is_string());
            let key = value.map(|value| [((*column).to_owned(), value.clone())]);
            if let Some(holder) = key.and_then(|key| self.by_alternate_key(table, &key))
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
        notes: &mut Vec<String>,
    ) -> Result<Checked, Refusal> {
        let mut checked = Checked::default();
        for (name, value) in fields {
            // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api#disassociate-tables-on-update
            let is_emptied = value.is_null() && !table.lookups_of(&name).is_empty();
            let bound = name.strip_suffix("@odata.bind");
            if let Some(property) = bound.or(is_emptied.then_some(&name)) {
                self.bind(table, property, &value, &mut checked, notes)?;
            } else if !name.contains('@') {
                let value = payload::check(table, &name, value, notes)?;
                checked.fields.insert(name, value);
            }
        }
        Ok(checked)
    }

    /// Sets the lookup that a navigation property names.
    fn bind(
        &self,
        table: &Table,
        property: &str,
        value: &Json,
        checked: &mut Checked,
        notes: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let lookups = table.lookups_of(property);
        if lookups.is_empty() && table.known.is_some_and(|known| !known.may_bind(property)) {
            return Err(Refusal::payload(
                table,
                &format!(
                    "An undeclared property '{property}' which only has property annotations in the payload but no property value was found in the payload."
                ),
            ));
        }
        let column = column_of(property, &lookups);
        let path = match value {
            Json::Null if column == "ownerid" && table.is_owned() => {
                return Err(Refusal::payload(
                    table,
                    "A record cannot be without an owner.",
                ));
            }
            // The lookup is emptied.
            Json::Null => {
                checked.set(&column, Json::Null, None);
                return Ok(());
            }
            Json::String(path) => path.as_str(),
            value if !lookups.is_empty() => {
                return Err(no_reference(table, &value.to_string(), &lookups));
            }
            // A list, of a property that names several records.
            _ => {
                checked.set(&column, Json::Null, None);
                return Ok(());
            }
        };
        let path = path.split_once(SERVICE_ROOT).map_or(path, |(_, path)| path);
        let path = path.strip_prefix('/').unwrap_or(path);
        let (set, key) = read_path(path)?;
        let target = Table::of(&set, &Tables::default());
        if lookups.is_empty() {
            if table.known.is_some() {
                notes.push(format!(
                    "the stand-in does not know the lookup `{property}` of {}: the record that it names was not looked for",
                    table.logical_name
                ));
            }
            let id = match key {
                Some(RecordKey::Id(id)) => id.to_string().into(),
                _ => Json::Null,
            };
            let reference = target.map(|target| Reference {
                property: property.to_owned(),
                logical_name: target.logical_name,
            });
            checked.set(&column, id, reference);
            return Ok(());
        }
        let is_taken = |target: &Table| {
            let mut lookups = lookups.iter();
            lookups.any(|lookup| lookup.target == target.entity_set)
        };
        let (Some(target), Some(key)) = (target.filter(is_taken), key) else {
            return Err(no_reference(table, path, &lookups));
        };
        let id = self.find(&target, &key, notes)?;
        if column == "ownerid" {
            self.check_owner(&target, id)?;
            own(checked, &target, id.to_string().into());
            return Ok(());
        }
        let reference = Reference {
            property: lookups[0].name.to_owned(),
            logical_name: target.logical_name,
        };
        checked.set(&column, id.to_string().into(), Some(reference));
        Ok(())
    }

    /// A user who is disabled owns nothing new.
    fn check_owner(&self, table: &Table, id: Uuid) -> Result<(), Refusal> {
        let owner = self.get(table, id);
        if owner.is_none_or(|owner| owner.fields.get("isdisabled") != Some(&true.into())) {
            return Ok(());
        }
        refuse(
            400,
            "0x80040225",
            "The specified user is either disabled or is not a member of any business unit.",
        )
    }
}

/// Gives a record to a user or a team.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/select-columns#lookup-property-data>
fn own(checked: &mut Checked, owner: &Table, id: Json) {
    let reference = |property: &str| {
        Some(Reference {
            property: property.to_owned(),
            logical_name: owner.logical_name.clone(),
        })
    };
    let (given, taken) = match owner.logical_name.as_str() {
        "team" => ("owningteam", "owninguser"),
        _ => ("owninguser", "owningteam"),
    };
    checked.set("ownerid", id.clone(), reference("ownerid"));
    checked.set(given, id, reference(given));
    checked.set(taken, Json::Null, None);
}

fn no_reference(table: &Table, written: &str, lookups: &[&Lookup]) -> Refusal {
    let targets: Vec<&str> = lookups.iter().map(|lookup| lookup.target).collect();
    let targets = targets.join(" or of ");
    let message = format!("'{written}' is no reference to a record of {targets}.");
    Refusal::payload(table, &message)
}

/// The lookup that a navigation property sets.
fn column_of(property: &str, lookups: &[&Lookup]) -> String {
    match lookups.first() {
        Some(lookup) => lookup.column.to_owned(),
        None => match property.split_once('_') {
            Some((column @ ("regardingobjectid" | "objectid" | "partyid"), _)) => column.to_owned(),
            _ => property.to_lowercase(),
        },
    }
}

/// Refuses a column that cannot be set in this kind of write.
fn check_access(
    table: &Table,
    fields: &Map<String, Json>,
    access: Access,
    write: &str,
) -> Result<(), Refusal> {
    let is_unwritable = |name: &&str| match table.column(name) {
        Some(column) => column.access == access,
        None => {
            let mut lookups = table.lookups_of(name).into_iter();
            lookups.any(|lookup| lookup.access == access)
        }
    };
    let names = fields.keys();
    let mut names = names.map(|name| name.strip_suffix("@odata.bind").unwrap_or(name));
    match names.find(is_unwritable) {
        Some(name) => Err(Refusal::payload(
            table,
            &format!("The property '{name}' cannot be set on {write}."),
        )),
        None => Ok(()),
    }
}

/// A case has a customer.
/// <https://learn.microsoft.com/dynamics365/customer-service/develop/reference/entities/incident>
fn check_customer(table: &Table, stored: &Map<String, Json>) -> Result<(), Refusal> {
    let has_customer = stored.get("_customerid_value").is_some_and(Json::is_string);
    if table.logical_name != "incident" || has_customer {
        return Ok(());
    }
    refuse(
        400,
        "0x80044410",
        "You should specify a parent contact or account.",
    )
}

/// A case is resolved with the action CloseIncident, and no update does it. No code of this refusal is
/// documented.
/// <https://learn.microsoft.com/dynamics365/customer-service/develop/resolve-close-case>
fn check_resolution(table: &Table, changed: &Map<String, Json>) -> Result<(), Refusal> {
    if table.logical_name != "incident" || changed.get("statecode") != Some(&1.into()) {
        return Ok(());
    }
    refuse(
        400,
        "",
        "This message can not be used to set the state of incident to Resolved. In order to set state of incident to Resolved, use the CloseIncidentRequest message instead.",
    )
}

/// Fills in the state and its default status reason where they are missing, and checks that the status
/// reason is one of the state's.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/behavior-specialized-update-operations>
fn set_state(table: &Table, stored: &mut Map<String, Json>, id: Uuid) -> Result<(), Refusal> {
    if table.known.is_some() && table.states.is_empty() {
        return Ok(());
    }
    let code = |name: &str| stored.get(name).and_then(Json::as_i64);
    // Of a table that is not known nobody here knows the states.
    let Some(first) = table.states.first() else {
        let (state, status) = (code("statecode"), code("statuscode"));
        stored.insert("statecode".into(), state.unwrap_or(0).into());
        stored.insert("statuscode".into(), status.unwrap_or(1).into());
        return Ok(());
    };
    let named = code("statecode").unwrap_or(first.code);
    let state = table.states.iter().find(|state| state.code == named);
    let state = state.expect("the column takes no other state");
    let status = code("statuscode").unwrap_or(state.status_codes[0]);
    if !state.status_codes.contains(&status) && !is_own_option(status) {
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

/// A person's full name is made of the first and the last.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/contact#BKMK_FullName>
fn set_full_name(table: &Table, stored: &mut Map<String, Json>) {
    if table.column("fullname").is_none() {
        return;
    }
    let names = ["firstname", "lastname"].map(|name| stored.get(name).and_then(Json::as_str));
    let names: Vec<&str> = names.into_iter().flatten().map(str::trim).collect();
    let name = names.join(" ").trim().to_owned();
    let name = (!name.is_empty()).then_some(name);
    stored.insert("fullname".into(), name.into());
}

/// A note tells the table of the record that it is attached to.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/annotation#BKMK_ObjectTypeCode>
fn set_object_type(table: &Table, stored: &mut Map<String, Json>, references: &References) {
    if let Some(object) = references.get("objectid")
        && table.logical_name == "annotation"
    {
        stored.insert("objecttypecode".into(), object.logical_name.clone().into());
    }
}

fn now() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}
