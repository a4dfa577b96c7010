//! What the environment says of its tables: `EntityDefinitions`.
//!
//! Owns the forms of these requests that the console sends, and what is answered of a table: made of what the
//! library knows of it, so that a request which the stand-in takes is one that its description allows.
//! <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api>. Of a column
//! that the library names and does not describe the type is told as `Virtual`, and of such a lookup no target.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{
    error::Refusal,
    schema::{Access, Column, Kind, KnownTable, Table, Tables},
};
use connect_dynamics::dataverse::columns::TABLES;

/// A text that takes as much as this is one of several lines.
const MEMO: usize = 2000;

/// The answer to a request for descriptions; none when the path is no such request's.
pub(super) fn answer(tables: &Tables, path: &str, query: &str) -> Option<Result<Json, Refusal>> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let rest = path.strip_prefix("EntityDefinitions")?;
    Some(described(tables, rest, query))
}

fn described(tables: &Tables, rest: &str, query: &str) -> Result<Json, Refusal> {
    let shape = Shape::read(query)?;
    if rest.is_empty() {
        let all = every_table(tables);
        let all = all.iter().map(|table| definition(table, &shape));
        return Ok(json!({"value": all.collect::<Result<Vec<_>, _>>()?}));
    }
    let named = rest.strip_prefix("(LogicalName='");
    let Some((name, below)) = named.and_then(|rest| rest.split_once("')")) else {
        return Err(Refusal::not_modelled(
            "this way to name a table's definition",
        ));
    };
    let all = every_table(tables);
    let table = all.iter().find(|table| table.logical_name == name);
    let Some(table) = table else {
        let message = format!(
            "The entity with a name = '{name}' with namemapping = 'Logical' was not found in the MetadataCache."
        );
        return Err(Refusal::new(404, "0x80060888", message));
    };
    if below.is_empty() {
        return definition(table, &shape);
    }
    let cast = below
        .strip_prefix("/Attributes/Microsoft.Dynamics.CRM.")
        .and_then(|cast| cast.strip_suffix("AttributeMetadata"))
        .filter(|cast| ["String", "Memo", "Picklist", "State", "Status"].contains(cast));
    let Some(cast) = cast else {
        return Err(Refusal::not_modelled(
            "this path below a table's definition",
        ));
    };
    let columns = known(table)?.columns();
    let columns = columns.filter(|column| type_of(column) == cast);
    let columns = columns.map(|column| shape.of(&details(column), &options_of(column)));
    Ok(json!({"value": columns.collect::<Result<Vec<_>, _>>()?}))
}

fn every_table(tables: &Tables) -> Vec<Table> {
    let known = TABLES.iter().chain(tables.own.iter().copied());
    let sets = known.map(|table| table.entity_set);
    let named = tables.named.iter().map(|table| table.entity_set.as_str());
    let sets: BTreeSet<&str> = sets.chain(named).collect();
    sets.into_iter()
        .filter_map(|set| Table::of(set, tables))
        .collect()
}

/// What is asked of something that is described: its properties, and what belongs to it.
struct Shape {
    select: Vec<String>,
    /// Each with its own properties.
    expand: Vec<(String, Vec<String>)>,
}

impl Shape {
    fn read(query: &str) -> Result<Shape, Refusal> {
        let decoded = percent_decode_str(query).decode_utf8_lossy();
        let mut shape = Shape {
            select: Vec::new(),
            expand: Vec::new(),
        };
        for option in decoded.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("$select", names)) => shape.select = words(names),
                Some(("$expand", parts)) => {
                    for part in split_outside_parentheses(parts) {
                        let (name, inner) = part.split_once('(').unwrap_or((part, ")"));
                        let inner = inner.strip_suffix(')').unwrap_or(inner);
                        let select = match inner.strip_prefix("$select=") {
                            Some(names) if !names.contains(';') => words(names),
                            None if inner.is_empty() => Vec::new(),
                            _ => return Err(Refusal::not_modelled("this $expand of definitions")),
                        };
                        shape.expand.push((name.to_owned(), select));
                    }
                }
                _ => return Err(Refusal::not_modelled("this option of definitions")),
            }
        }
        if shape.select.is_empty() {
            return Err(Refusal::not_modelled(
                "a definition with all of its properties",
            ));
        }
        Ok(shape)
    }

    /// Of what is known the properties that are asked for, with what belongs to it.
    fn of(&self, known: &Json, belongs: &[(&str, Json)]) -> Result<Json, Refusal> {
        let mut selected = select(known, &self.select)?;
        for (name, select_of_it) in &self.expand {
            let found = belongs.iter().find(|(known, _)| known == name);
            let Some((_, value)) = found else {
                return Err(Refusal::not_modelled(&format!("the expansion of {name}")));
            };
            let value = match value {
                Json::Array(all) => {
                    let all = all
                        .iter()
                        .map(|one| select(one, select_of_it).map(Json::from));
                    Json::Array(all.collect::<Result<_, _>>()?)
                }
                Json::Null => Json::Null,
                one => select(one, select_of_it)?.into(),
            };
            selected.insert(name.clone(), value);
        }
        Ok(selected.into())
    }
}

/// The properties of something that is described. The MetadataId always comes.
fn select(known: &Json, names: &[String]) -> Result<Map<String, Json>, Refusal> {
    let names = names.iter().map(String::as_str).chain(["MetadataId"]);
    let selected = names.map(|name| match known.get(name) {
        Some(value) => Ok((name.to_owned(), value.clone())),
        None => Err(Refusal::not_modelled(&format!(
            "the property {name} of definitions"
        ))),
    });
    selected.collect()
}

fn words(names: &str) -> Vec<String> {
    names
        .split(',')
        .map(|name| name.trim().to_owned())
        .collect()
}

fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
}

/// A table whose columns are known.
fn known(table: &Table) -> Result<&'static KnownTable, Refusal> {
    table.known.ok_or_else(|| {
        let name = &table.logical_name;
        Refusal::not_modelled(&format!(
            "the columns of {name}, a table that it knows by name only"
        ))
    })
}

fn definition(table: &Table, shape: &Shape) -> Result<Json, Refusal> {
    let name = &table.logical_name;
    let described = json!({
        "MetadataId": id_of(name),
        "LogicalName": name,
        "EntitySetName": table.entity_set,
        "DisplayName": label(name),
        "PrimaryIdAttribute": table.primary_key,
        "PrimaryNameAttribute": table.known.map(|known| known.primary_name),
        "IsActivity": table.is_activity(),
        "IsCustomEntity": KnownTable::by_logical_name(name).is_none(),
        "Privileges": privileges(table),
    });
    let mut belongs = Vec::new();
    for (name, _) in &shape.expand {
        match name.as_str() {
            "Attributes" => belongs.push(("Attributes", attributes(known(table)?))),
            "ManyToOneRelationships" => {
                belongs.push(("ManyToOneRelationships", relationships(known(table)?)));
            }
            _ => {}
        }
    }
    shape.of(&described, &belongs)
}

/// The privileges that a table has. Queue items have their queue's.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/queue-entities#inherit-privileges-and-provide-limited-access-to-a-queue>
pub(super) fn privileges(table: &Table) -> Vec<Json> {
    let types: &[&str] = match table.logical_name.as_str() {
        "queueitem" => &["Read", "AppendTo"],
        _ => &[
            "Create", "Read", "Write", "Delete", "Assign", "Share", "Append", "AppendTo",
        ],
    };
    let types = types.iter().filter(|kind| {
        table.known.is_none_or(KnownTable::is_owned) || !["Assign", "Share"].contains(*kind)
    });
    let privileges = types.map(|kind| {
        let name = format!("prv{kind}{}", table.privilege);
        json!({"Name": name, "PrivilegeId": id_of(&name), "PrivilegeType": kind})
    });
    privileges.collect()
}

/// The privileges of all tables.
pub(super) fn all_privileges(tables: &Tables) -> Vec<Json> {
    let mut seen = BTreeSet::new();
    let all = every_table(tables);
    let administered = |table: &Table, privilege: &Json| {
        let may_only_read = ["Create", "Write", "Delete", "Assign", "Share"];
        let kind = privilege["PrivilegeType"].as_str().unwrap_or_default();
        table.is_administered() && may_only_read.contains(&kind)
    };
    let mut found = Vec::new();
    for table in &all {
        for privilege in privileges(table) {
            if !administered(table, &privilege) && seen.insert(privilege["Name"].to_string()) {
                found.push(privilege);
            }
        }
    }
    found
}

fn attributes(known: &KnownTable) -> Json {
    let mut all = vec![attribute(
        known.primary_key,
        "Uniqueidentifier",
        Access::NotOnUpdate,
        true,
    )];
    all.extend(known.columns().map(details));
    let mut lookups = BTreeSet::new();
    for lookup in known.lookups {
        if lookups.insert(lookup.column) {
            let kind = match lookup.column {
                "ownerid" => "Owner",
                "customerid" | "parentcustomerid" => "Customer",
                _ => "Lookup",
            };
            all.push(attribute(lookup.column, kind, lookup.access, false));
        }
    }
    let others = known.other_columns();
    all.extend(others.map(|name| attribute(&name, "Virtual", Access::Writable, false)));
    let others = known.other_lookups();
    all.extend(others.map(|name| attribute(name, "Lookup", Access::Writable, false)));
    all.into()
}

/// What a column's own type has besides what all have.
fn details(column: &Column) -> Json {
    let mut attribute = attribute(column.name, type_of(column), column.access, false);
    if let Kind::Text(max) = column.kind {
        attribute["MaxLength"] = max.into();
    }
    attribute
}

fn attribute(name: &str, kind: &str, access: Access, is_required: bool) -> Json {
    json!({
        "MetadataId": id_of(name),
        "LogicalName": name,
        "DisplayName": label(name),
        "AttributeType": kind,
        "IsValidForCreate": matches!(access, Access::Writable | Access::NotOnUpdate),
        "IsValidForUpdate": matches!(access, Access::Writable | Access::NotOnCreate),
        "IsValidForRead": true,
        "RequiredLevel": {
            "Value": if is_required { "SystemRequired" } else { "None" },
            "CanBeChanged": !is_required,
            "ManagedPropertyLogicalName": "canmodifyrequirementlevelsettings",
        },
    })
}

/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/attributetypecode>
fn type_of(column: &Column) -> &'static str {
    match (column.kind, column.name) {
        (Kind::Text(max), _) if max >= MEMO => "Memo",
        (Kind::Text(_), _) => "String",
        (Kind::Integer(max), _) if max > i64::from(i32::MAX) => "BigInt",
        (Kind::Integer(_), _) => "Integer",
        (Kind::Boolean, _) => "Boolean",
        (Kind::DateTime, _) => "DateTime",
        (Kind::Guid, _) => "Uniqueidentifier",
        (Kind::Choice(_), "statecode") => "State",
        (Kind::Choice(_), "statuscode") => "Status",
        (Kind::Choice(_), _) => "Picklist",
    }
}

/// The options of a choice; none of what is none.
fn options_of(column: &Column) -> Vec<(&'static str, Json)> {
    let Kind::Choice(values) = column.kind else {
        return Vec::new();
    };
    let options = values.iter().map(|value| {
        let name = format!("Option {value}");
        json!({"Value": value, "Label": label(&name)})
    });
    let set = json!({
        "MetadataId": id_of(column.name),
        "Options": options.collect::<Vec<_>>(),
    });
    vec![("OptionSet", set), ("GlobalOptionSet", Json::Null)]
}

/// Who owns a record is described as a record of the table `owner`, which stands for users and teams; activities
/// have that property with their own name behind it.
fn relationships(known: &KnownTable) -> Json {
    let of_activity = |column: &str| {
        if known.is_activity() {
            format!("{column}_{}", known.logical_name)
        } else {
            column.to_owned()
        }
    };
    let mut all = Vec::new();
    for lookup in known.lookups {
        let (property, target) = match lookup.column {
            "ownerid" => (of_activity("ownerid"), Json::from("owner")),
            _ => {
                let target = KnownTable::by_entity_set(lookup.target);
                let target = target.map(|target| target.logical_name);
                (lookup.name.to_owned(), target.into())
            }
        };
        let relationship = json!({
            "MetadataId": id_of(&property),
            "ReferencingAttribute": lookup.column,
            "ReferencedEntity": target,
            "ReferencingEntityNavigationPropertyName": property,
        });
        if !all.contains(&relationship) {
            all.push(relationship);
        }
    }
    all.extend(known.other_lookups().map(|column| {
        json!({
            "MetadataId": id_of(column),
            "ReferencingAttribute": column,
            "ReferencedEntity": null,
            "ReferencingEntityNavigationPropertyName": of_activity(column),
        })
    }));
    all.into()
}

fn label(name: &str) -> Json {
    let mut letters = name.chars();
    let first = letters.next().map(char::to_uppercase);
    let text: String = first.into_iter().flatten().chain(letters).collect();
    let label = json!({"Label": text, "LanguageCode": 1033, "IsManaged": true});
    json!({"LocalizedLabels": [label], "UserLocalizedLabel": label})
}

fn id_of(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}
