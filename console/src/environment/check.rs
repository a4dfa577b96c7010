//! What of a configuration an environment would refuse.
//!
//! Owns what is compared: the names, types, lengths and options that a document writes down with those that the
//! environment tells of itself ([`super::metadata`]), an environment's own tables and columns included. A value
//! that is a template is known only when there is a contact, so of such a field only the name is judged, and
//! whether it can be written. The library's own errors and advice are not repeated here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use connect_dynamics::{
    configuration::{Configuration, CustomerTable, PastedObject, RequestConfiguration},
    dataverse::{
        DynamicsError, Method, Table, columns::KnownTable, is_parties_property,
        navigation_property, part_played, parties_property,
    },
    request::{Linkable, is_template, parse_object},
};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{
    Environment,
    metadata::{Column, ColumnKind, Navigation, TableDefinition, TableName, Target},
};

/// How many tables' definitions are asked for at once, each of which is six requests.
const AT_ONCE: usize = 2;

/// A place of a document that the environment would refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// As the library's messages write it: `steps.contact-start.request.body.subject`.
    pub place: String,
    /// What is wrong, and what to do.
    pub message: String,
    /// What to write there instead, where that is one thing: a name.
    pub right: Option<String>,
}

/// What is known of an environment for a check.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub tables: Arc<Vec<TableName>>,
    /// By entity set, those that the configuration names; or why one is not told.
    pub definitions: BTreeMap<String, Result<Arc<TableDefinition>, String>>,
}

impl Environment {
    /// What of a configuration the environment would refuse; nothing when it would take all of it, as far as that
    /// can be told without a contact. A document is a configuration by `serde_json::from_value`.
    ///
    /// # Errors
    /// [`DynamicsError`] when the environment does not tell its tables.
    pub async fn check(&self, configuration: &Configuration) -> Result<Vec<Mark>, DynamicsError> {
        let known = self.known(configuration).await?;
        Ok(marks(configuration, &known))
    }

    /// What the environment tells of the tables that a configuration names.
    ///
    /// # Errors
    /// [`DynamicsError`] when it does not tell which it has.
    pub async fn known(&self, configuration: &Configuration) -> Result<Known, DynamicsError> {
        let tables = self.tables().await?;
        let named = entity_sets(configuration).into_iter();
        let there = named.filter(|set| tables.iter().any(|table| table.entity_set == *set));
        let there: Vec<String> = there.collect();
        let mut definitions = BTreeMap::new();
        // Dynamics limits how many requests the application has on their way, and the functions' count too.
        for few in there.chunks(AT_ONCE) {
            let told = few.iter().map(async |set| {
                let definition = Box::pin(self.table(set)).await;
                let definition = definition.map_err(|error| error.to_string()).transpose()?;
                Some((set.clone(), definition))
            });
            definitions.extend(join_all(told).await.into_iter().flatten());
        }
        Ok(Known {
            tables,
            definitions,
        })
    }
}

/// The entity sets that a configuration names.
fn entity_sets(configuration: &Configuration) -> BTreeSet<String> {
    let steps = configuration.steps.iter();
    let tables = steps.flat_map(|(_, view)| view.tables());
    let mut sets: BTreeSet<String> = tables.map(|table| table.entity_set).collect();
    if uses_agents(configuration) {
        sets.insert("systemusers".to_owned());
    }
    sets
}

/// Whether anything of a configuration makes the agent be looked for.
pub(super) fn uses_agents(configuration: &Configuration) -> bool {
    let text = serde_json::to_string(&configuration.steps).unwrap_or_default();
    text.contains("Agent.User") || text.contains("Agent.Owner")
}

/// What of a configuration an environment would refuse, by what is known of it.
pub fn marks(configuration: &Configuration, known: &Known) -> Vec<Mark> {
    let mut checking = Checking {
        known,
        linkable: configuration.steps.linkable(),
        marks: Vec::new(),
    };
    for (step, view) in configuration.steps.iter() {
        if let Some(customer) = view.customer {
            let field = format!("steps.{step}.customer");
            for (index, table) in customer.tables.iter().enumerate() {
                checking.searched(&format!("{field}.tables[{index}]"), table);
            }
            if let Some(new) = view.new_customer() {
                checking.request(&format!("{field}.none.create"), &new.request());
            }
        }
        for (field, request) in &view.requests {
            checking.request(field, request);
        }
    }
    if uses_agents(configuration)
        && let Some(users) = checking.definition("agent.column", "systemusers")
    {
        checking.compared("agent.column", &configuration.agent.column, &users);
    }
    checking.marks
}

struct Checking<'a> {
    known: &'a Known,
    linkable: Linkable,
    marks: Vec<Mark>,
}

impl Checking<'_> {
    fn mark(&mut self, place: &str, message: impl Into<String>, right: Option<String>) {
        self.marks.push(Mark {
            place: place.to_owned(),
            message: message.into(),
            right,
        });
    }

    /// A mark that asks whether something else was meant, where something is near.
    fn unknown(&mut self, place: &str, message: String, right: Option<String>) {
        let message = match &right {
            Some(right) => format!("{message}; did you mean `{right}`?"),
            None => message,
        };
        self.mark(place, message, right);
    }

    /// A table as the environment describes it. None is told in its place.
    fn definition(&mut self, place: &str, entity_set: &str) -> Option<Arc<TableDefinition>> {
        match self.known.definitions.get(entity_set) {
            Some(Ok(definition)) => Some(definition.clone()),
            Some(Err(reason)) => {
                self.mark(
                    place,
                    format!("the columns of `{entity_set}` were not checked: {reason}"),
                    None,
                );
                None
            }
            None => {
                let by_logical_name = self.known.tables.iter();
                let mut by_logical_name =
                    by_logical_name.filter(|table| table.logical_name == entity_set);
                let right = by_logical_name
                    .next()
                    .map(|table| table.entity_set.as_str());
                let sets = self.known.tables.iter();
                let sets = sets.map(|table| (table.entity_set.as_str(), &table.display_name));
                let right = right
                    .or_else(|| nearest(entity_set, sets))
                    .map(str::to_owned);
                let message = format!("the environment has no entity set `{entity_set}`");
                self.unknown(place, message, right);
                None
            }
        }
    }

    /// The names that the configuration gives a table, or that the library makes up for it.
    fn names(&mut self, field: &str, table: &Table, definition: &TableDefinition) {
        let name = &definition.name;
        for (setting, taken, right) in [
            ("logicalName", &table.logical_name, &name.logical_name),
            ("primaryKey", &table.primary_key, &name.primary_key),
        ] {
            if taken != right && !right.is_empty() {
                self.mark(
                    &format!("{field}.{setting}"),
                    format!(
                        "the table `{}` is taken to have `{taken}`, and has `{right}`; add \"{setting}\": \"{right}\"",
                        table.entity_set
                    ),
                    Some(right.clone()),
                );
            }
        }
    }

    fn request(&mut self, field: &str, request: &RequestConfiguration) {
        let place = format!("{field}.entitySet");
        let Some(definition) = self.definition(&place, &request.entity_set) else {
            return;
        };
        self.names(field, &request.table(), &definition);
        let (path, options) = query(&format!("{field}.queryString"), &request.query_string);
        // What follows a record's key, or `/`, is a function, an action or another table's.
        if path.starts_with('/') || path.contains(")/") {
            return;
        }
        for (place, name, value) in &options {
            self.option(place, name, value, &definition);
        }
        let writes = request.creates() || request.method == Method::Patch;
        let body = match &request.body {
            Some(PastedObject::Object(body)) => Some(body.clone()),
            Some(PastedObject::Text(text)) => parse_object(field, text).ok(),
            None => None,
        };
        if let Some(body) = body.filter(|_| writes) {
            self.body(&format!("{field}.body"), request, &body, &definition);
        }
    }

    /// An option of a query: the columns that it names.
    fn option(&mut self, place: &str, name: &str, value: &str, definition: &TableDefinition) {
        let columns: Vec<String> = match name {
            "$select" => listed(value),
            "$orderby" => {
                let parts = listed(value).into_iter();
                let first = parts.filter_map(|part| {
                    let column = part.split_whitespace().next()?;
                    Some(column.to_owned())
                });
                first.collect()
            }
            "$filter" => columns_of_filter(value),
            _ => return,
        };
        for column in columns {
            self.read(place, name, &column, definition);
        }
    }

    /// A column that an option of a query names.
    fn read(&mut self, place: &str, option: &str, name: &str, definition: &TableDefinition) {
        let table = &definition.name.logical_name;
        let lookup = name
            .strip_prefix('_')
            .and_then(|name| name.strip_suffix("_value"));
        let found = definition.column(lookup.unwrap_or(name));
        match (found, lookup) {
            (Some(column), Some(bare)) if column.kind != ColumnKind::Lookup => self.mark(
                place,
                format!("`{bare}` is no lookup; {option} names it as `{bare}`"),
                Some(bare.to_owned()),
            ),
            (Some(column), None) if column.kind == ColumnKind::Lookup => {
                let right = format!("_{name}_value");
                self.mark(
                    place,
                    format!("`{name}` is a lookup, whose value {option} names as `{right}`"),
                    Some(right),
                );
            }
            (Some(column), _) if !column.can_read => {
                self.mark(
                    place,
                    format!("the column `{name}` of {table} cannot be read"),
                    None,
                );
            }
            (Some(_), _) => {}
            (None, _) => {
                let right = nearest(name, names_for_reading(definition));
                let right = right.map(str::to_owned);
                self.unknown(place, format!("{table} has no column `{name}`"), right);
            }
        }
    }

    /// A table in which a customer is looked for.
    fn searched(&mut self, field: &str, table: &CustomerTable) {
        let place = format!("{field}.entitySet");
        let Some(definition) = self.definition(&place, &table.entity_set) else {
            return;
        };
        self.names(field, &table.table(), &definition);
        let phone = table.phone_columns.as_deref().unwrap_or_default();
        let email = table.email_columns.as_deref().unwrap_or_default();
        for (name, columns) in [
            ("phoneColumns", phone),
            ("emailColumns", email),
            ("textColumns", &table.text_columns),
        ] {
            for column in columns {
                self.compared(&format!("{field}.{name}"), column, &definition);
            }
        }
        for column in &table.select {
            self.read(&format!("{field}.select"), "select", column, &definition);
        }
        if let Some(column) = table.name_column() {
            self.read(
                &format!("{field}.nameColumn"),
                "nameColumn",
                &column,
                &definition,
            );
        }
        match &table.filter {
            Some(filter) => {
                self.option(&format!("{field}.filter"), "$filter", filter, &definition);
            }
            // Of a table that the library knows, it knows that too.
            None if definition.column("statecode").is_none()
                && KnownTable::by_logical_name(&table.table().logical_name).is_none() =>
            {
                let table = &definition.name.logical_name;
                let message = format!(
                    "only active records are looked for, and {table} has no states; write \"filter\": \"\""
                );
                self.mark(&format!("{field}.filter"), message, Some(String::new()));
            }
            None => {}
        }
    }

    /// A column that is compared with a text.
    fn compared(&mut self, place: &str, name: &str, definition: &TableDefinition) {
        match definition.column(name).map(|column| &column.kind) {
            None => self.read(place, "it", name, definition),
            Some(ColumnKind::Text { .. } | ColumnKind::Other { .. }) => {}
            Some(kind) => self.mark(
                place,
                format!(
                    "the column `{name}` holds {}, and the environment refuses to compare it with a text",
                    kind.what()
                ),
                None,
            ),
        }
    }

    fn body(
        &mut self,
        field: &str,
        request: &RequestConfiguration,
        body: &Map<String, Json>,
        definition: &TableDefinition,
    ) {
        let table = request.table();
        for (name, value) in body {
            let place = format!("{field}.{name}");
            if *name == definition.name.primary_key || *name == table.primary_key {
                continue;
            }
            if let Some(property) = name.strip_suffix("@odata.bind") {
                self.bind(&place, property, value, request, definition);
            } else if name.contains('@') {
                // An annotation, which the environment takes or ignores.
            } else if is_parties_property(name) {
                let right = parties_property(&table);
                if *name != right {
                    let message = format!("{} has no parties `{name}`", table.logical_name);
                    self.unknown(&place, message, Some(right).filter(|_| table.is_activity()));
                }
            } else if part_played(&table, name).is_some() {
                // The library writes it as parties, whose tables every activity has alike.
            } else if let Some(targets) = self.linkable.targets(value) {
                self.link(&place, name, &targets, request, definition);
            } else {
                self.column(&place, name, value, request, definition);
            }
        }
    }

    /// A line that links the record to another by its column's name. The library writes it under the name of the
    /// navigation property for the other's table.
    fn link(
        &mut self,
        place: &str,
        name: &str,
        targets: &[String],
        request: &RequestConfiguration,
        definition: &TableDefinition,
    ) {
        let table = &definition.name.logical_name;
        let Some(column) = definition.column(name) else {
            let lookups = definition.columns.iter();
            let lookups = lookups.filter(|column| column.kind == ColumnKind::Lookup);
            let lookups = lookups.map(|column| (column.name.as_str(), &column.display_name));
            let right = nearest(name, lookups).map(str::to_owned);
            self.unknown(place, format!("{table} has no lookup `{name}`"), right);
            return;
        };
        self.writable(place, name, column, request, definition);
        for target in targets {
            // Where the library knows of no property, it says so itself.
            let Ok(property) = navigation_property(&request.table().logical_name, name, target)
            else {
                continue;
            };
            if navigation(definition, &property).is_some() {
                continue;
            }
            let mut others = definition.navigation.iter();
            let right = others.find(|other| {
                other.column == name && other.targets.iter().any(|one| one.logical_name == *target)
            });
            let right = right.map(|right| format!("{}@odata.bind", right.name));
            let advice = match &right {
                Some(right) => format!("; write \"{right}\" in place of \"{name}\""),
                None => format!("; {table} takes no record of {target} there"),
            };
            self.mark(
                place,
                format!("a record of {target} is written as `{property}@odata.bind`, and {table} has no such navigation property{advice}"),
                right,
            );
        }
    }

    /// `<navigation property>@odata.bind`.
    fn bind(
        &mut self,
        place: &str,
        property: &str,
        value: &Json,
        request: &RequestConfiguration,
        definition: &TableDefinition,
    ) {
        let table = &definition.name.logical_name;
        let set = value.as_str().and_then(entity_set_of);
        let points_to = |navigation: &Navigation, set: &str| {
            let mut targets = navigation.targets.iter();
            targets.any(|target| target.entity_set == set)
        };
        let Some(found) = navigation(definition, property) else {
            let of_column: Vec<&Navigation> = definition
                .navigation
                .iter()
                .filter(|other| other.column == property)
                .collect();
            let mut for_set = of_column.iter().filter(|other| {
                let set = set.as_deref();
                set.is_some_and(|set| points_to(other, set))
            });
            let right = match (of_column.as_slice(), for_set.next()) {
                (_, Some(one)) | ([one], _) => Some(one.name.clone()),
                _ => {
                    let names = definition.navigation.iter();
                    let names = names.map(|other| (other.name.as_str(), &None));
                    nearest(property, names).map(str::to_owned)
                }
            };
            let message = if of_column.is_empty() {
                format!("{table} has no navigation property `{property}`")
            } else {
                let names: Vec<&str> = of_column.iter().map(|one| one.name.as_str()).collect();
                format!(
                    "`{property}` is a column of {table} and no navigation property; it has {}",
                    shown(&names)
                )
            };
            let right = right.map(|right| format!("{right}@odata.bind"));
            self.unknown(place, message, right);
            return;
        };
        if let Some(column) = definition.column(&found.column) {
            self.writable(place, property, column, request, definition);
        }
        if found.targets.is_empty() || value.is_null() {
            return;
        }
        let takes: Vec<&str> = found
            .targets
            .iter()
            .map(|target| target.entity_set.as_str())
            .collect();
        let takes = shown(&takes);
        if let Some(records) = self.linkable.targets(value) {
            let is_taken = |record: &String| {
                let mut targets = found.targets.iter();
                targets.any(|target| target.logical_name == *record)
            };
            if !records.iter().any(is_taken) {
                let message = format!(
                    "`{property}` takes a record of {takes}, and this is one of {}",
                    records.join(" or of ")
                );
                self.mark(place, message, None);
            }
            return;
        }
        match (value, set) {
            (Json::String(_), Some(set)) if !points_to(&found, &set) => {
                let mut others = definition.navigation.iter();
                let other = others.find(|other| {
                    other.column == found.column && points_to(other, &set)
                });
                let right = other.map(|other| format!("{}@odata.bind", other.name));
                let advice = right.as_ref().map_or(String::new(), |right| {
                    format!("; for one of {set} write \"{right}\"")
                });
                self.mark(
                    place,
                    format!("`{property}` takes a record of {takes}, and this is one of {set}{advice}"),
                    right,
                );
            }
            (Json::String(_), _) => {}
            _ => self.mark(
                place,
                format!("`{property}@odata.bind` takes the address of a record of {takes}, as a text like \"/{}(...)\"", found.targets[0].entity_set),
                None,
            ),
        }
    }

    fn column(
        &mut self,
        place: &str,
        name: &str,
        value: &Json,
        request: &RequestConfiguration,
        definition: &TableDefinition,
    ) {
        let table = &definition.name.logical_name;
        let is_property = navigation(definition, name).is_some();
        let Some(column) = definition.column(name) else {
            match value {
                // A record inside of the record, a list of them, or a lookup that is emptied.
                Json::Array(_) => {}
                Json::Object(_) | Json::Null if is_property => {}
                _ if is_property => {
                    let right = format!("{name}@odata.bind");
                    let message = format!("`{name}` is a navigation property; write \"{right}\"");
                    self.mark(place, message, Some(right));
                }
                _ => {
                    let columns = definition.columns.iter();
                    let columns =
                        columns.map(|column| (column.name.as_str(), &column.display_name));
                    let right = nearest(name, columns).map(str::to_owned);
                    self.unknown(place, format!("{table} has no column `{name}`"), right);
                }
            }
            return;
        };
        if column.kind == ColumnKind::Lookup {
            if value.is_null() && is_property {
                self.writable(place, name, column, request, definition);
                return;
            }
            let of_column = definition.navigation.iter();
            let of_column = of_column.filter(|property| property.column == name);
            let of_column: Vec<&str> = of_column.map(|property| property.name.as_str()).collect();
            let right = match of_column.as_slice() {
                [one] => Some(format!("{one}@odata.bind")),
                _ => None,
            };
            let ways = if of_column.is_empty() {
                format!("<navigation property>@odata.bind for `{name}`")
            } else {
                let ways: Vec<String> = of_column
                    .iter()
                    .map(|one| format!("{one}@odata.bind"))
                    .collect();
                shown(&ways.iter().map(String::as_str).collect::<Vec<_>>())
            };
            let message = format!("`{name}` is a lookup, which is set as {ways}");
            return self.mark(place, message, right);
        }
        if !self.writable(place, name, column, request, definition) {
            return;
        }
        match value {
            Json::String(text) if is_template(text) => {}
            value => {
                if let Some(message) = refused(name, value, &column.kind) {
                    self.mark(place, message, None);
                }
            }
        }
    }

    /// Whether a column can be written by a request. What cannot is marked.
    fn writable(
        &mut self,
        place: &str,
        name: &str,
        column: &Column,
        request: &RequestConfiguration,
        definition: &TableDefinition,
    ) -> bool {
        let table = &definition.name.logical_name;
        let message = match (column.can_create, column.can_update) {
            (false, false) => format!("`{name}` of {table} is read-only; leave it out"),
            (false, true) if request.creates() => format!(
                "`{name}` of {table} cannot be set when a record is created; set it by an update in a later step"
            ),
            (true, false) if !request.creates() => format!(
                "`{name}` of {table} can only be set when a record is created; leave it out"
            ),
            _ => return true,
        };
        self.mark(place, message, None);
        false
    }
}

/// Why a column does not take a constant; none when it does.
fn refused(name: &str, value: &Json, kind: &ColumnKind) -> Option<String> {
    let wants = || {
        Some(format!(
            "the column `{name}` holds {}, and this is {}",
            kind.what(),
            what_is(value)
        ))
    };
    match (kind, value) {
        (_, Json::Null) | (ColumnKind::Other { .. } | ColumnKind::Lookup, _) => None,
        (ColumnKind::Text { max: Some(max), .. }, Json::String(text)) => {
            let length = text.encode_utf16().count();
            (length > *max).then(|| {
                format!("the text is {length} characters long, and the column `{name}` takes {max}")
            })
        }
        (ColumnKind::Text { .. }, Json::String(_)) => None,
        (ColumnKind::Integer, Json::Number(number)) => {
            let fits = number.as_i64().is_some_and(|n| i32::try_from(n).is_ok());
            (!fits).then(|| format!("the column `{name}` takes whole numbers of up to ten digits"))
        }
        (ColumnKind::BigInteger, Json::Number(number)) if number.is_i64() => None,
        (ColumnKind::Number, Json::Number(_)) | (ColumnKind::Boolean, Json::Bool(_)) => None,
        (ColumnKind::DateTime, Json::String(text))
            if connect_dynamics::dataverse::columns::is_date_time(text) =>
        {
            None
        }
        (ColumnKind::Guid, Json::String(text)) if Uuid::try_parse(text).is_ok() => None,
        (ColumnKind::Choice { options }, Json::Number(number)) => {
            let is_option = number
                .as_i64()
                .is_some_and(|value| options.iter().any(|option| option.value == value));
            // A choice of which no options are told is not judged.
            (!is_option && !options.is_empty()).then(|| {
                let options: Vec<String> = options
                    .iter()
                    .map(|option| match &option.label {
                        Some(label) => format!("{} ({label})", option.value),
                        None => option.value.to_string(),
                    })
                    .collect();
                format!(
                    "{number} is no option of the column `{name}`; its options are {}",
                    shown(&options.iter().map(String::as_str).collect::<Vec<_>>())
                )
            })
        }
        _ => wants(),
    }
}

fn what_is(value: &Json) -> &'static str {
    match value {
        Json::Null => "nothing",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

impl ColumnKind {
    /// What a value of it is, for a person.
    pub fn what(&self) -> &'static str {
        match self {
            ColumnKind::Text { .. } => "a text",
            ColumnKind::Integer | ColumnKind::BigInteger => "a whole number",
            ColumnKind::Number => "a number",
            ColumnKind::Boolean => "true or false",
            ColumnKind::DateTime => "a date, like 2027-01-31 or 2027-01-31T08:00:00Z",
            ColumnKind::Guid => "a GUID",
            ColumnKind::Choice { .. } => "the number of an option",
            ColumnKind::Lookup => "a reference to another record",
            ColumnKind::Other { .. } => "a value of another kind",
        }
    }
}

/// A list for a person, of which the first dozen are enough.
fn shown(names: &[&str]) -> String {
    const MOST: usize = 12;
    let first = names.iter().take(MOST).copied().collect::<Vec<_>>();
    match names.len().checked_sub(MOST) {
        Some(more @ 1..) => format!("{} and {more} others", first.join(", ")),
        _ => first.join(", "),
    }
}

/// A table's navigation property. Activities have `ownerid` beside the one that their description names.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/web-api-navigation-properties>
pub(super) fn navigation(definition: &TableDefinition, property: &str) -> Option<Navigation> {
    if let Some(found) = definition.navigation(property) {
        return Some(found.clone());
    }
    let is_owned = definition.column("ownerid").is_some();
    (property == "ownerid" && is_owned).then(|| {
        let owner = |logical_name: &str, entity_set: &str| Target {
            logical_name: logical_name.to_owned(),
            entity_set: entity_set.to_owned(),
        };
        Navigation {
            name: "ownerid".to_owned(),
            column: "ownerid".to_owned(),
            targets: vec![owner("systemuser", "systemusers"), owner("team", "teams")],
        }
    })
}

/// The names that an option of a query may use, of lookups those of their values.
fn names_for_reading(
    definition: &TableDefinition,
) -> impl Iterator<Item = (&str, &Option<String>)> {
    let columns = definition.columns.iter();
    let readable = columns.filter(|column| column.can_read);
    readable.map(|column| (column.name.as_str(), &column.display_name))
}

/// The name that was probably meant: one with another case, or with a publisher's prefix, or of which it is the
/// display name, or the nearest by mistypings.
fn nearest<'a>(
    name: &str,
    known: impl Iterator<Item = (&'a str, &'a Option<String>)>,
) -> Option<&'a str> {
    let written = name.to_lowercase();
    let known: Vec<(&str, &Option<String>)> = known.collect();
    let same = |other: &str| other.to_lowercase() == written;
    let is_meant = |(other, display): &&(&'a str, &'a Option<String>)| {
        let bare = other.split_once('_').map(|(_, bare)| bare);
        same(other) || bare.is_some_and(same) || display.as_deref().is_some_and(same)
    };
    if let Some((meant, _)) = known.iter().find(is_meant) {
        return Some(meant);
    }
    let far = match name.chars().count() {
        0..=4 => 1,
        5..=11 => 2,
        _ => 3,
    };
    let distances = known.iter().map(|(other, _)| {
        (
            strsim::osa_distance(&written, &other.to_lowercase()),
            *other,
        )
    });
    let near = distances.filter(|(distance, _)| *distance <= far);
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// The path of a query string, and its options: each with its place, its name and its value.
fn query(field: &str, query: &PastedObject) -> (String, Vec<(String, String, String)>) {
    let text = match query {
        PastedObject::Text(text) => text.trim(),
        PastedObject::Object(fields) => return (String::new(), of_object(field, fields)),
    };
    if text.starts_with('{') && !text.starts_with("{{") && !text.starts_with("{%") {
        let fields = parse_object(field, text).unwrap_or_default();
        return (String::new(), of_object(field, &fields));
    }
    let text = without_templates(text);
    let (path, options) = match text.strip_prefix('?') {
        Some(options) => ("", options),
        None if text.starts_with(['(', '/']) => {
            let at = outside_quotes(&text)
                .find(|(_, c)| *c == '?')
                .map(|(at, _)| at);
            at.map_or((text.as_str(), ""), |at| (&text[..at], &text[at + 1..]))
        }
        None => ("", text.as_str()),
    };
    let mut starts = vec![0];
    let ends = outside_quotes(options)
        .filter(|(_, c)| *c == '&')
        .map(|(at, _)| at);
    let mut ends: Vec<usize> = ends.collect();
    starts.extend(ends.iter().map(|at| at + 1));
    ends.push(options.len());
    let parts = starts
        .into_iter()
        .zip(ends)
        .map(|(from, to)| &options[from..to]);
    let options = parts.filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        let decode = |text: &str| {
            let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
            decoded.trim().to_owned()
        };
        Some((field.to_owned(), decode(name), decode(value)))
    });
    (path.to_owned(), options.collect())
}

fn of_object(field: &str, fields: &Map<String, Json>) -> Vec<(String, String, String)> {
    let fields = fields.iter();
    let texts = fields.filter_map(|(name, value)| {
        let value = without_templates(value.as_str()?);
        Some((format!("{field}.{name}"), name.clone(), value))
    });
    texts.collect()
}

/// The text with a digit in place of each template, which is no name.
fn without_templates(text: &str) -> String {
    let mut left = text;
    let mut bare = String::new();
    while let Some(at) = ["{{", "{%", "{#"]
        .iter()
        .filter_map(|open| left.find(open))
        .min()
    {
        bare.push_str(&left[..at]);
        bare.push('0');
        let close = match &left[at..at + 2] {
            "{{" => "}}",
            "{%" => "%}",
            _ => "#}",
        };
        let rest = &left[at + 2..];
        left = rest.find(close).map_or("", |end| &rest[end + 2..]);
    }
    bare.push_str(left);
    bare
}

fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut is_quoted = false;
    text.char_indices().filter(move |(_, c)| {
        is_quoted ^= *c == '\'';
        !is_quoted
    })
}

/// The names in a list that are written out.
fn listed(value: &str) -> Vec<String> {
    let parts = value.split(',').map(str::trim);
    let names = parts.filter(|part| {
        !part.is_empty() && !part.contains(['/', '*', '@', '(']) && !part.starts_with('0')
    });
    names.map(str::to_owned).collect()
}

/// The columns that a filter compares: what stands before an operator, or first in a function. What belongs to
/// another table is left out.
fn columns_of_filter(filter: &str) -> Vec<String> {
    let bare: String = outside_quotes(filter).map(|(_, c)| c).collect();
    let mut tokens: Vec<&str> = Vec::new();
    let mut rest = bare.as_str();
    while let Some(c) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || "_./@:$-".contains(c);
        let length = if is_word(c) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            c.len_utf8()
        };
        if !c.is_whitespace() {
            tokens.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    let is_name = |token: &str| {
        let mut letters = token.chars();
        letters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !["null", "true", "false", "not"].contains(&token)
    };
    let mut columns = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1);
        let is_compared =
            next.is_some_and(|next| ["eq", "ne", "gt", "ge", "lt", "le"].contains(next));
        let before = |back: usize| index.checked_sub(back).and_then(|at| tokens.get(at));
        let is_argument = before(1) == Some(&"(")
            && before(2)
                .is_some_and(|function| ["contains", "startswith", "endswith"].contains(function));
        if is_name(token) && (is_compared || is_argument) {
            columns.push((*token).to_owned());
        }
    }
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The entity set of a reference that is written out: of `/contacts({{ ... }})`.
pub(super) fn entity_set_of(reference: &str) -> Option<String> {
    let reference = reference.trim();
    let below = match reference.split_once("/api/data/v") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => reference.strip_prefix('/').unwrap_or(reference),
    };
    let (set, _) = below.split_once('(')?;
    let is_name = !set.is_empty() && set.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| set.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::environment::metadata::ChoiceOption;

    #[test]
    fn the_columns_of_a_filter_are_those_that_it_compares() {
        for (filter, expected) in [
            (
                "telephone1 eq '0 eq 1' and statecode eq 0",
                "statecode telephone1",
            ),
            (
                "contains(fullname,'x') or not (a_b ne null)",
                "a_b fullname",
            ),
            ("parentcustomerid_account/name eq 'x'", ""),
            ("_ownerid_value eq 0", "_ownerid_value"),
            ("accounts/any(o:o/name eq 'x')", ""),
            (
                "Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=7)",
                "",
            ),
            ("createdon gt 2027-01-31T08:00:00Z", "createdon"),
            ("name eq 'it''s eq 5'", "name"),
            ("", ""),
        ] {
            assert_eq!(columns_of_filter(filter).join(" "), expected, "{filter}");
        }
    }

    #[test]
    fn a_query_string_is_read_in_each_of_its_forms() {
        let read = |written: PastedObject| {
            let (path, options) = query("q", &written);
            let options = options
                .into_iter()
                .map(|(place, name, value)| format!("{place}: {name}={value}"));
            (path, options.collect::<Vec<_>>().join("; "))
        };
        for (text, path, options) in [
            ("", "", ""),
            ("({{ STEP2-Response.activityid }})", "(0)", ""),
            (
                "({{ 'a?b' }})?$select=subject,%20category",
                "(0)",
                "q: $select=subject, category",
            ),
            (
                "?$filter=name eq 'a&b?c' and x eq {{ X | default('&') }}&$top=1",
                "",
                "q: $filter=name eq 'a&b?c' and x eq 0; q: $top=1",
            ),
            ("$select=subject", "", "q: $select=subject"),
            (
                "{\"$select\": \"subject\"}",
                "",
                "q.$select: $select=subject",
            ),
        ] {
            let read = read(PastedObject::Text(text.to_owned()));
            assert_eq!(read, (path.to_owned(), options.to_owned()), "{text}");
        }
        let object = json!({"$filter": "x eq {{ X }}"}).as_object().cloned();
        assert_eq!(
            read(PastedObject::Object(object.unwrap())).1,
            "q.$filter: $filter=x eq 0"
        );
    }

    #[test]
    fn a_name_that_was_meant_is_found_and_another_word_is_not() {
        let label = Some("Visit score".to_owned());
        let known = [
            ("subject", &None),
            ("new_score", &label),
            ("regardingobjectid_contact_phonecall", &None),
            ("to", &None),
        ];
        for (name, expected) in [
            ("Subject", Some("subject")),
            ("sbject", Some("subject")),
            ("score", Some("new_score")),
            ("visit score", Some("new_score")),
            ("cc", None),
            ("description", None),
            (
                "regardingobjectid_contacts_phonecall",
                Some("regardingobjectid_contact_phonecall"),
            ),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
    }

    #[test]
    fn a_constant_is_held_against_its_columns_type() {
        let text = ColumnKind::Text {
            max: Some(3),
            is_long: false,
        };
        let choice = ColumnKind::Choice {
            options: vec![ChoiceOption {
                value: 1,
                label: None,
            }],
        };
        for (kind, value, is_refused) in [
            (&text, json!("abc"), false),
            (&text, json!("abcd"), true),
            (&text, json!(1), true),
            (&text, Json::Null, false),
            (&ColumnKind::Integer, json!(1), false),
            (&ColumnKind::Integer, json!(1.5), true),
            (&ColumnKind::Integer, json!(3_000_000_000_i64), true),
            (&ColumnKind::BigInteger, json!(3_000_000_000_i64), false),
            (&ColumnKind::Number, json!(1.5), false),
            (&ColumnKind::Boolean, json!("true"), true),
            (&ColumnKind::DateTime, json!("2027-01-31"), false),
            (&ColumnKind::DateTime, json!("31.01.2027"), true),
            (&ColumnKind::Guid, json!("x"), true),
            (&choice, json!(1), false),
            (&choice, json!(2), true),
            (&choice, json!("1"), true),
            (&ColumnKind::Choice { options: vec![] }, json!(2), false),
            (
                &ColumnKind::Other {
                    name: "Virtual".into(),
                },
                json!("1,2"),
                false,
            ),
        ] {
            assert_eq!(
                refused("c", &value, kind).is_some(),
                is_refused,
                "{kind:?} {value}"
            );
        }
    }

    #[test]
    fn a_reference_names_an_entity_set_where_it_is_written_out() {
        for (reference, expected) in [
            ("/contacts({{ x }})", Some("contacts")),
            ("contacts(1)", Some("contacts")),
            (
                "https://example.crm.dynamics.com/api/data/v9.2/new_visits(1)",
                Some("new_visits"),
            ),
            ("{{ Customer }}", None),
            ("/{{ set }}(1)", None),
            ("", None),
        ] {
            assert_eq!(entity_set_of(reference).as_deref(), expected, "{reference}");
        }
    }
}
