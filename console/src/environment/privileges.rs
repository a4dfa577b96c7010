//! Which privileges a configuration's requests need that the application user has not.
//!
//! Owns what a request needs: <https://learn.microsoft.com/power-apps/developer/data-platform/security-access-rights>.
//! What the privileges are called, each table says itself: a phone call's are `prvCreateActivity` and its like. It
//! writes nothing to find out. Who may see a certain record is another question, which nobody answers beforehand.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use connect_dynamics::{
    configuration::{Configuration, PastedObject, RequestConfiguration},
    dataverse::{DynamicsError, Method, is_parties_property, part_played},
    request::{Linkable, parse_object},
};
use futures_util::future::try_join_all;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{
    Environment,
    check::{Known, entity_set_of, navigation, uses_agents},
    connection::privileges_path,
    metadata::{Privilege, TableDefinition, read_privileges},
};

/// How many tables' privileges are asked for at once.
const AT_ONCE: usize = 8;

/// A privilege that the application user needs and has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingPrivilege {
    /// `prvCreateActivity`.
    pub privilege: String,
    /// `Create`, `Read`, ... as a security role's page has them.
    pub kind: String,
    /// The logical names of the tables that it is needed for.
    pub tables: Vec<String>,
    pub lack: Lack,
    /// The places of the configuration that need it: `steps.contact-start.request`.
    pub needed_by: Vec<String>,
}

/// What is missing of a privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    /// All of it.
    Whole,
    /// It is for the user's own records only, and other people's are to be read.
    Reach,
}

/// The kinds of privileges on a table and where they are needed.
#[derive(Debug, Default)]
struct Needs(BTreeMap<(String, &'static str), BTreeSet<String>>);

impl Needs {
    fn add(&mut self, table: &str, kind: &'static str, place: &str) {
        let places = self.0.entry((table.to_owned(), kind)).or_default();
        places.insert(place.to_owned());
    }
}

impl Environment {
    /// The privileges that a configuration's requests need and the application user has not; none when it has all,
    /// as far as that can be told without a contact. What an action needs cannot.
    ///
    /// # Errors
    /// [`DynamicsError`] when the environment does not tell what the user may do, or what a table's privileges are.
    pub async fn missing_privileges(
        &self,
        configuration: &Configuration,
    ) -> Result<Vec<MissingPrivilege>, DynamicsError> {
        let known = self.known(configuration).await?;
        let needs = needs(configuration, &known);
        let tables: BTreeSet<&str> = needs.0.keys().map(|(table, _)| table.as_str()).collect();
        let held = self.held().await?;
        let tables: Vec<&str> = tables.into_iter().collect();
        let mut of_tables: HashMap<&str, Vec<Privilege>> = HashMap::new();
        for few in tables.chunks(AT_ONCE) {
            let told = few.iter().map(async |table| {
                let privileges = self.privileges_of(table, &known).await?;
                Ok::<_, DynamicsError>((*table, privileges))
            });
            of_tables.extend(try_join_all(told).await?);
        }
        let mut missing: BTreeMap<String, MissingPrivilege> = BTreeMap::new();
        for ((table, kind), places) in &needs.0 {
            let of_table = of_tables.get(table.as_str()).into_iter().flatten();
            // A table has not all of them: one that an organization owns has none to assign.
            let mut of_kind = of_table.filter(|privilege| privilege.kind == *kind);
            let Some(privilege) = of_kind.next() else {
                continue;
            };
            let lack = match held
                .get(&privilege.id)
                .or_else(|| held.get(&privilege.name))
            {
                None => Lack::Whole,
                // Customers and users are other people's.
                Some(depth)
                    if depth == "Basic"
                        && matches!(*kind, "Read" | "AppendTo")
                        && !of_our_own(table, configuration) =>
                {
                    Lack::Reach
                }
                Some(_) => continue,
            };
            let entry = missing.entry(privilege.name.clone());
            let entry = entry.or_insert_with(|| MissingPrivilege {
                privilege: privilege.name.clone(),
                kind: (*kind).to_owned(),
                tables: Vec::new(),
                lack,
                needed_by: Vec::new(),
            });
            entry.tables.push(table.clone());
            let others = places
                .iter()
                .filter(|place| !entry.needed_by.contains(*place));
            let others: Vec<String> = others.cloned().collect();
            entry.needed_by.extend(others);
        }
        Ok(missing.into_values().collect())
    }

    /// What the application user has, by the privileges' ids and names, and how far each reaches.
    async fn held(&self) -> Result<HashMap<String, String>, DynamicsError> {
        let who = self.read("WhoAmI".to_owned()).await?;
        let id = who.get("UserId").and_then(Json::as_str);
        let id = id
            .and_then(|id| Uuid::try_parse(id).ok())
            .unwrap_or_default();
        let told = self.read(privileges_path(id)).await?;
        let privileges = told.get("RolePrivileges").and_then(Json::as_array);
        let mut held = HashMap::new();
        for privilege in privileges.into_iter().flatten() {
            let depth = privilege["Depth"].as_str().unwrap_or_default();
            for name in ["PrivilegeId", "PrivilegeName"] {
                if let Some(name) = privilege[name].as_str() {
                    held.insert(name.to_owned(), depth.to_owned());
                }
            }
        }
        Ok(held)
    }

    async fn privileges_of(
        &self,
        table: &str,
        known: &Known,
    ) -> Result<Vec<Privilege>, DynamicsError> {
        let mut definitions = known.definitions.values().flatten();
        if let Some(definition) = definitions.find(|known| known.name.logical_name == table) {
            return Ok(definition.privileges.clone());
        }
        let path =
            format!("EntityDefinitions(LogicalName='{table}')?$select=LogicalName,Privileges");
        Ok(read_privileges(&self.read(path).await?))
    }
}

/// Whether all records of a table that the requests are about are ones that the application user made.
fn of_our_own(table: &str, configuration: &Configuration) -> bool {
    let steps = configuration.steps.iter();
    let mut customers = steps.flat_map(|(_, view)| {
        let customer = view.customer.into_iter();
        customer.flat_map(|customer| &customer.tables)
    });
    !matches!(table, "systemuser" | "team")
        && !customers.any(|searched| searched.table().logical_name == table)
}

fn needs(configuration: &Configuration, known: &Known) -> Needs {
    let mut needs = Needs::default();
    let linkable = configuration.steps.linkable();
    for (step, view) in configuration.steps.iter() {
        if let Some(customer) = view.customer {
            let field = format!("steps.{step}.customer");
            for (index, table) in customer.tables.iter().enumerate() {
                if let Some(definition) = definition(known, &table.entity_set) {
                    let place = format!("{field}.tables[{index}]");
                    needs.add(&definition.name.logical_name, "Read", &place);
                }
            }
            if let Some(new) = view.new_customer() {
                let place = format!("{field}.none.create");
                of_request(&mut needs, &place, &new.request(), &linkable, known);
            }
        }
        for (field, request) in &view.requests {
            of_request(&mut needs, field, request, &linkable, known);
        }
    }
    if uses_agents(configuration) {
        needs.add("systemuser", "Read", "agent");
    }
    needs
}

fn definition<'a>(known: &'a Known, entity_set: &str) -> Option<&'a TableDefinition> {
    let definition = known.definitions.get(entity_set)?.as_ref().ok()?;
    Some(definition)
}

fn of_request(
    needs: &mut Needs,
    field: &str,
    request: &RequestConfiguration,
    linkable: &Linkable,
    known: &Known,
) {
    let Some(definition) = definition(known, &request.entity_set) else {
        return;
    };
    let table = definition.name.logical_name.as_str();
    let kinds: &[&'static str] = match request.method {
        // The record is read back with the answer, and only who may read it may own it.
        Method::Post if request.creates() => &["Create", "Read"],
        Method::Patch => &["Write", "Read"],
        Method::Get => &["Read"],
        _ => return,
    };
    for kind in kinds {
        needs.add(table, kind, field);
    }
    let body = match &request.body {
        Some(PastedObject::Object(body)) => body.clone(),
        Some(PastedObject::Text(text)) => parse_object(field, text).unwrap_or_default(),
        None => return,
    };
    let mut targets = BTreeSet::new();
    for (name, value) in &body {
        let found = of_field(request, definition, name, value, linkable, known);
        let is_owner =
            name == "ownerid" || name.starts_with("ownerid@") || name.starts_with("ownerid_");
        if is_owner {
            needs.add(table, "Assign", field);
        } else if let Some(found) = found {
            needs.add(table, "Append", field);
            // The link to a customer who is found later is an update.
            let is_customer = value.to_string().contains("Customer");
            if request.creates() && is_customer && !linkable.customers.is_empty() {
                needs.add(table, "Write", field);
            }
            targets.extend(found);
        }
    }
    for target in targets {
        needs.add(&target, "AppendTo", field);
    }
}

/// The logical names of the tables whose records a field makes the record point to, as far as they are known; none
/// when it makes it point to none.
fn of_field(
    request: &RequestConfiguration,
    definition: &TableDefinition,
    name: &str,
    value: &Json,
    linkable: &Linkable,
    known: &Known,
) -> Option<Vec<String>> {
    if is_parties_property(name) {
        let parties = value.as_array().into_iter().flatten();
        let fields = parties.filter_map(Json::as_object).flat_map(Map::iter);
        let named = fields.filter_map(|(name, value)| {
            let name = name.strip_suffix("@odata.bind")?.strip_prefix("partyid_")?;
            (!value.is_null()).then(|| name.to_owned())
        });
        return Some(named.collect());
    }
    if part_played(&request.table(), name).is_some() {
        let values = match value {
            Json::Array(values) => values.iter().collect(),
            value => vec![value],
        };
        let named = values
            .into_iter()
            .filter_map(|value| linkable.targets(value));
        return Some(named.flatten().collect());
    }
    if let Some(property) = name.strip_suffix("@odata.bind") {
        let property = navigation(definition, property)?;
        let logical_name = |set: &str| {
            let mut tables = known.tables.iter();
            let table = tables.find(|table| table.entity_set == set)?;
            Some(table.logical_name.clone())
        };
        let written = value.as_str().and_then(entity_set_of);
        let written = written.and_then(|set| logical_name(&set));
        if let Some(written) = written {
            return Some(vec![written]);
        }
        if let Some(targets) = linkable.targets(value) {
            return Some(targets);
        }
        return Some(match property.targets.as_slice() {
            [one] => vec![one.logical_name.clone()],
            _ => Vec::new(),
        });
    }
    definition.column(name)?;
    linkable.targets(value)
}
