//! What an environment says of its tables.
//!
//! Owns the requests for their definitions, what of these is kept, and for how long: a quarter of an hour, as
//! they seldom change and are asked for with every keystroke.
//! <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api>

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use connect_dynamics::dataverse::DynamicsError;
use futures_util::future::try_join_all;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::Environment;

/// How long a definition is taken to be true.
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);

/// The definitions that were asked for, and when.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    tables: Option<(Instant, Arc<Vec<TableName>>)>,
    /// By logical name.
    definitions: HashMap<String, (Instant, Arc<TableDefinition>)>,
}

/// A table's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableName {
    /// Its name in addresses: `phonecalls`.
    pub entity_set: String,
    pub logical_name: String,
    /// Its name for people, in the application user's language.
    pub display_name: Option<String>,
    /// The column that holds a record's id.
    pub primary_key: String,
    /// The column that names a record to people.
    pub primary_name: Option<String>,
    pub is_activity: bool,
    /// Whether it is the environment's own, and none of Dynamics'.
    pub is_custom: bool,
}

/// What there is to know of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableDefinition {
    #[serde(flatten)]
    pub name: TableName,
    pub columns: Vec<Column>,
    pub navigation: Vec<Navigation>,
    pub privileges: Vec<Privilege>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Column {
    /// Its logical name.
    pub name: String,
    pub display_name: Option<String>,
    pub kind: ColumnKind,
    /// Whether a create may set it.
    pub can_create: bool,
    /// Whether an update may set it.
    pub can_update: bool,
    pub can_read: bool,
    pub required: Required,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum ColumnKind {
    /// At most so many characters, if it is told.
    Text {
        max: Option<usize>,
        is_long: bool,
    },
    Integer,
    /// A whole number of more digits.
    BigInteger,
    /// A number with a fraction: decimal, floating, money.
    Number,
    Boolean,
    DateTime,
    Guid,
    Choice {
        options: Vec<ChoiceOption>,
    },
    /// It points to a record; a navigation property sets it.
    Lookup,
    /// Anything else, whose values are not checked: several choices, images, files.
    Other {
        name: String,
    },
}

/// An option of a choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChoiceOption {
    pub value: i64,
    pub label: Option<String>,
}

/// Whether a column must have a value.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/attributerequiredlevel>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Required {
    No,
    Recommended,
    /// In forms. A request may leave it out.
    ByForms,
    /// The environment itself needs it; where it sets it itself, a request leaves it out.
    ByTheSystem,
}

/// A single-valued navigation property, which sets a lookup: `<name>@odata.bind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Navigation {
    pub name: String,
    /// The lookup's own column.
    pub column: String,
    /// The tables whose records it takes; none when that is not told.
    pub targets: Vec<Target>,
}

/// A table that a navigation property points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    pub logical_name: String,
    pub entity_set: String,
}

/// A privilege on a table.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/securityprivilegemetadata>
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Privilege {
    /// `prvCreateActivity`.
    pub name: String,
    pub id: String,
    /// `Create`, `Read`, `Write`, `Delete`, `Assign`, `Share`, `Append` or `AppendTo`.
    pub kind: String,
}

impl TableDefinition {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub fn navigation(&self, name: &str) -> Option<&Navigation> {
        self.navigation
            .iter()
            .find(|property| property.name == name)
    }
}

/// The properties of a table that are asked for.
const OF_A_TABLE: &str = "LogicalName,EntitySetName,DisplayName,PrimaryIdAttribute,PrimaryNameAttribute,IsActivity,IsCustomEntity";
/// Those of a column, which columns of all types have.
const OF_A_COLUMN: &str = "LogicalName,DisplayName,AttributeType,IsValidForCreate,IsValidForUpdate,IsValidForRead,RequiredLevel";
/// Those of a relationship.
const OF_A_RELATIONSHIP: &str =
    "ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName";
/// What a column's own type tells, each of which is a request: the types that have options cannot be asked for
/// together.
const OF_TYPES: [(&str, &str); 5] = [
    ("String", "$select=LogicalName,MaxLength"),
    ("Memo", "$select=LogicalName,MaxLength"),
    ("Picklist", WITH_OPTIONS),
    ("State", WITH_OPTIONS),
    ("Status", WITH_OPTIONS),
];
const WITH_OPTIONS: &str =
    "$select=LogicalName&$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)";

impl Environment {
    /// The environment's tables, by their entity sets' names.
    ///
    /// # Errors
    /// [`DynamicsError`] when they are not told.
    pub async fn tables(&self) -> Result<Arc<Vec<TableName>>, DynamicsError> {
        {
            let remembered = self.remembered.lock().await;
            if let Some((since, tables)) = &remembered.tables
                && since.elapsed() < KEPT_FOR
            {
                return Ok(tables.clone());
            }
        }
        let answer = self
            .read(format!("EntityDefinitions?$select={OF_A_TABLE}"))
            .await?;
        let mut tables: Vec<TableName> = list(&answer, "value")
            .filter_map(|table| read_name(table.as_object()?))
            .collect();
        tables.sort_by(|left, right| left.entity_set.cmp(&right.entity_set));
        let tables = Arc::new(tables);
        self.remembered.lock().await.tables = Some((Instant::now(), tables.clone()));
        Ok(tables)
    }

    /// A table by its entity set's name, `phonecalls`, with its columns and lookups; none when the environment has
    /// no such table.
    ///
    /// # Errors
    /// [`DynamicsError`] when it is not told.
    pub async fn table(
        &self,
        entity_set: &str,
    ) -> Result<Option<Arc<TableDefinition>>, DynamicsError> {
        let tables = self.tables().await?;
        let Some(name) = tables.iter().find(|table| table.entity_set == entity_set) else {
            return Ok(None);
        };
        {
            let remembered = self.remembered.lock().await;
            if let Some((since, definition)) = remembered.definitions.get(&name.logical_name)
                && since.elapsed() < KEPT_FOR
            {
                return Ok(Some(definition.clone()));
            }
        }
        let definition = Arc::new(self.definition(name, &tables).await?);
        let mut remembered = self.remembered.lock().await;
        let kept = (Instant::now(), definition.clone());
        remembered
            .definitions
            .insert(name.logical_name.clone(), kept);
        Ok(Some(definition))
    }

    /// Forgets what was told of tables, so that it is asked for again.
    pub async fn refresh(&self) {
        *self.remembered.lock().await = Remembered::default();
    }

    async fn definition(
        &self,
        name: &TableName,
        tables: &[TableName],
    ) -> Result<TableDefinition, DynamicsError> {
        let root = format!("EntityDefinitions(LogicalName='{}')", name.logical_name);
        let whole = format!(
            "{root}?$select=LogicalName,Privileges&$expand=Attributes($select={OF_A_COLUMN}),ManyToOneRelationships($select={OF_A_RELATIONSHIP})"
        );
        let of_types = OF_TYPES.map(|(kind, options)| {
            format!("{root}/Attributes/Microsoft.Dynamics.CRM.{kind}AttributeMetadata?{options}")
        });
        let paths = [whole].into_iter().chain(of_types);
        let answers = try_join_all(paths.map(|path| self.read(path))).await?;
        let (whole, of_types) = answers
            .split_first()
            .expect("there is the definition's own");
        let details: HashMap<&str, &Json> = of_types
            .iter()
            .flat_map(|answer| list(answer, "value"))
            .filter_map(|column| Some((column["LogicalName"].as_str()?, column)))
            .collect();
        let columns = list(whole, "Attributes");
        let navigation = list(whole, "ManyToOneRelationships");
        Ok(TableDefinition {
            name: name.clone(),
            columns: columns
                .filter_map(|column| read_column(column, &details))
                .collect(),
            navigation: gathered(navigation.filter_map(|one| read_navigation(one, tables))),
            privileges: read_privileges(whole),
        })
    }
}

fn list<'a>(answer: &'a Map<String, Json>, name: &str) -> impl Iterator<Item = &'a Json> {
    let values = answer.get(name).and_then(Json::as_array);
    values.into_iter().flatten()
}

fn text(of: &Json, name: &str) -> Option<String> {
    let text = of[name].as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned)
}

fn label(of: &Json) -> Option<String> {
    text(&of["UserLocalizedLabel"], "Label")
}

/// A table's names; none of one that has no entity set, which no request can name.
fn read_name(table: &Map<String, Json>) -> Option<TableName> {
    let table = Json::from(table.clone());
    Some(TableName {
        entity_set: text(&table, "EntitySetName")?,
        logical_name: text(&table, "LogicalName")?,
        display_name: label(&table["DisplayName"]),
        primary_key: text(&table, "PrimaryIdAttribute").unwrap_or_default(),
        primary_name: text(&table, "PrimaryNameAttribute"),
        is_activity: table["IsActivity"] == true,
        is_custom: table["IsCustomEntity"] == true,
    })
}

fn read_column(column: &Json, details: &HashMap<&str, &Json>) -> Option<Column> {
    let name = text(column, "LogicalName")?;
    let details = details.get(name.as_str());
    let max = || {
        let max = details.and_then(|details| details["MaxLength"].as_u64());
        max.and_then(|max| usize::try_from(max).ok())
    };
    // https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/attributetypecode
    let kind = match column["AttributeType"].as_str().unwrap_or_default() {
        "String" => ColumnKind::Text {
            max: max(),
            is_long: false,
        },
        "Memo" => ColumnKind::Text {
            max: max(),
            is_long: true,
        },
        "Integer" => ColumnKind::Integer,
        "BigInt" => ColumnKind::BigInteger,
        "Decimal" | "Double" | "Money" => ColumnKind::Number,
        "Boolean" => ColumnKind::Boolean,
        "DateTime" => ColumnKind::DateTime,
        "Uniqueidentifier" => ColumnKind::Guid,
        "Picklist" | "State" | "Status" => ColumnKind::Choice {
            options: details
                .map(|details| read_options(details))
                .unwrap_or_default(),
        },
        "Lookup" | "Customer" | "Owner" => ColumnKind::Lookup,
        other => ColumnKind::Other {
            name: other.to_owned(),
        },
    };
    Some(Column {
        display_name: label(&column["DisplayName"]),
        kind,
        can_create: column["IsValidForCreate"] == true,
        can_update: column["IsValidForUpdate"] == true,
        can_read: column["IsValidForRead"] == true,
        required: match column["RequiredLevel"]["Value"].as_str() {
            Some("SystemRequired") => Required::ByTheSystem,
            Some("ApplicationRequired") => Required::ByForms,
            Some("Recommended") => Required::Recommended,
            _ => Required::No,
        },
        name,
    })
}

/// The options of a choice, which are its own or those of a choice that several columns share.
fn read_options(details: &Json) -> Vec<ChoiceOption> {
    let sets = ["OptionSet", "GlobalOptionSet"].into_iter();
    let mut sets = sets.filter_map(|set| details[set]["Options"].as_array());
    let options = sets.find(|options| !options.is_empty());
    let options = options.into_iter().flatten();
    let options = options.filter_map(|option| {
        Some(ChoiceOption {
            value: option["Value"].as_i64()?,
            label: label(&option["Label"]),
        })
    });
    options.collect()
}

/// Who owns a record is described as a record of the table `owner`, which stands for users and teams.
const OWNERS: [(&str, &str); 2] = [("systemuser", "systemusers"), ("team", "teams")];

fn read_navigation(relationship: &Json, tables: &[TableName]) -> Option<Navigation> {
    let target = |(logical_name, entity_set): (&str, &str)| Target {
        logical_name: logical_name.to_owned(),
        entity_set: entity_set.to_owned(),
    };
    let targets = match relationship["ReferencedEntity"].as_str() {
        Some("owner") => OWNERS.into_iter().map(target).collect(),
        Some(name) => {
            let mut named = tables.iter().filter(|table| table.logical_name == name);
            let named = named.next();
            let named = named.map(|table| target((name, &table.entity_set)));
            named.into_iter().collect()
        }
        None => Vec::new(),
    };
    Some(Navigation {
        name: text(relationship, "ReferencingEntityNavigationPropertyName")?,
        column: text(relationship, "ReferencingAttribute")?,
        targets,
    })
}

/// Each property once, with all of its targets.
fn gathered(properties: impl Iterator<Item = Navigation>) -> Vec<Navigation> {
    let mut all: Vec<Navigation> = Vec::new();
    for property in properties {
        match all.iter_mut().find(|known| known.name == property.name) {
            None => all.push(property),
            Some(known) => {
                let known_targets: BTreeSet<String> = known
                    .targets
                    .iter()
                    .map(|target| target.logical_name.clone())
                    .collect();
                let others = property.targets.into_iter();
                let others = others.filter(|target| !known_targets.contains(&target.logical_name));
                known.targets.extend(others);
            }
        }
    }
    all
}

/// The privileges that a table's definition tells.
pub(super) fn read_privileges(definition: &Map<String, Json>) -> Vec<Privilege> {
    list(definition, "Privileges")
        .filter_map(read_privilege)
        .collect()
}

fn read_privilege(privilege: &Json) -> Option<Privilege> {
    Some(Privilege {
        name: text(privilege, "Name")?,
        id: text(privilege, "PrivilegeId").unwrap_or_default(),
        kind: text(privilege, "PrivilegeType")?,
    })
}
