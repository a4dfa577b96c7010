//! The columns of the tables that contacts are usually written to: types, lengths, what is read-only.
//!
//! phonecall: <https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/phonecall>,
//! and likewise task, contact, account and incident (the last under Dynamics 365's own reference).
//! The stand-in for Dataverse is made of the same columns.

use serde_json::{Value as Json, json};
use uuid::Uuid;

/// A column, as its table's reference describes it.
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub access: Access,
    /// Its value in a new record that does not name it.
    pub default: fn() -> Json,
}

/// When a column can be written. Dataverse drops some of what it does not take without a word; the
/// stand-in says so, because a test or a user would not notice otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Writable,
    NotOnCreate,
    ReadOnly,
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// At most so many UTF-16 units.
    Text(usize),
    /// From 0 to this.
    Integer(i64),
    Boolean,
    DateTime,
    Guid,
    /// A choice column and its options' values.
    Choice(&'static [i64]),
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        access: Access::Writable,
        default: || Json::Null,
    }
}

const fn read_only(name: &'static str, kind: Kind) -> Column {
    Column {
        access: Access::ReadOnly,
        ..column(name, kind)
    }
}

const fn not_on_create(name: &'static str, kind: Kind) -> Column {
    Column {
        access: Access::NotOnCreate,
        ..column(name, kind)
    }
}

const fn with_default(name: &'static str, kind: Kind, default: fn() -> Json) -> Column {
    Column {
        default,
        ..column(name, kind)
    }
}

const MAX: i64 = i32::MAX as i64;

/// Columns that every table has.
pub const COMMON: &[Column] = &[
    read_only("createdon", Kind::DateTime),
    read_only("modifiedon", Kind::DateTime),
    column("overriddencreatedon", Kind::DateTime),
    read_only("versionnumber", Kind::Integer(i64::MAX)),
];

/// The columns of phonecall.
pub const PHONECALL: &[Column] = &[
    column("subject", Kind::Text(200)),
    column("phonenumber", Kind::Text(200)),
    column("description", Kind::Text(2000)),
    column("category", Kind::Text(250)),
    column("subcategory", Kind::Text(250)),
    column("actualstart", Kind::DateTime),
    column("actualend", Kind::DateTime),
    column("scheduledstart", Kind::DateTime),
    column("scheduledend", Kind::DateTime),
    column("actualdurationminutes", Kind::Integer(MAX)),
    read_only("scheduleddurationminutes", Kind::Integer(MAX)),
    // True is outgoing.
    with_default("directioncode", Kind::Boolean, || json!(true)),
    with_default("leftvoicemail", Kind::Boolean, || json!(false)),
    with_default("isbilled", Kind::Boolean, || json!(false)),
    with_default("prioritycode", Kind::Choice(&[0, 1, 2]), || json!(1)),
    not_on_create("statecode", Kind::Choice(&[0, 1, 2])),
    column("statuscode", Kind::Choice(&[1, 2, 3, 4])),
    read_only("activitytypecode", Kind::Text(64)),
];

/// The columns of task.
pub const TASK: &[Column] = &[
    column("subject", Kind::Text(200)),
    column("description", Kind::Text(2000)),
    column("category", Kind::Text(250)),
    column("subcategory", Kind::Text(250)),
    column("actualstart", Kind::DateTime),
    column("actualend", Kind::DateTime),
    column("scheduledstart", Kind::DateTime),
    column("scheduledend", Kind::DateTime),
    column("actualdurationminutes", Kind::Integer(MAX)),
    column("percentcomplete", Kind::Integer(100)),
    with_default("prioritycode", Kind::Choice(&[0, 1, 2]), || json!(1)),
    not_on_create("statecode", Kind::Choice(&[0, 1, 2])),
    column("statuscode", Kind::Choice(&[2, 3, 4, 5, 6, 7])),
    read_only("activitytypecode", Kind::Text(64)),
];

/// The columns of contact.
pub const CONTACT: &[Column] = &[
    column("firstname", Kind::Text(50)),
    column("lastname", Kind::Text(50)),
    read_only("fullname", Kind::Text(160)),
    column("emailaddress1", Kind::Text(100)),
    column("telephone1", Kind::Text(50)),
    column("mobilephone", Kind::Text(50)),
    column("jobtitle", Kind::Text(100)),
    column("description", Kind::Text(2000)),
    column("birthdate", Kind::DateTime),
    column("donotphone", Kind::Boolean),
    column("preferredcontactmethodcode", Kind::Choice(&[1, 2, 3, 4, 5])),
    not_on_create("statecode", Kind::Choice(&[0, 1])),
    column("statuscode", Kind::Choice(&[1, 2])),
];

/// The columns of account.
pub const ACCOUNT: &[Column] = &[
    column("name", Kind::Text(160)),
    column("accountnumber", Kind::Text(20)),
    column("telephone1", Kind::Text(50)),
    column("emailaddress1", Kind::Text(100)),
    column("websiteurl", Kind::Text(200)),
    column("description", Kind::Text(2000)),
    column("numberofemployees", Kind::Integer(MAX)),
    column("statecode", Kind::Choice(&[0, 1])),
    column("statuscode", Kind::Choice(&[1, 2])),
];

/// The columns of incident.
pub const INCIDENT: &[Column] = &[
    column("title", Kind::Text(200)),
    column("ticketnumber", Kind::Text(100)),
    column("description", Kind::Text(2000)),
    column("caseorigincode", Kind::Choice(&[1, 2, 3, 2483, 3986])),
    column("prioritycode", Kind::Choice(&[1, 2, 3])),
    not_on_create("statecode", Kind::Choice(&[0, 1, 2])),
    column("statuscode", Kind::Choice(&[1, 2, 3, 4, 5, 6, 1000, 2000])),
];

/// The columns of phonecall that a configuration has no use for; with those above it is all of them that
/// can be named as they are.
const OTHERS_OF_PHONECALL: &[&str] = &[
    "activityadditionalparams",
    "activityid",
    "importsequencenumber",
    "isworkflowcreated",
    "lastonholdtime",
    "processid",
    "sortdate",
    "stageid",
    "subscriptionid",
    "timezoneruleversionnumber",
    "traversedpath",
    "utcconversiontimezonecode",
];

/// Likewise of task.
const OTHERS_OF_TASK: &[&str] = &[
    "activityadditionalparams",
    "activityid",
    "crmtaskassigneduniqueid",
    "importsequencenumber",
    "isbilled",
    "isworkflowcreated",
    "lastonholdtime",
    "processid",
    "scheduleddurationminutes",
    "sortdate",
    "stageid",
    "subscriptionid",
    "timezoneruleversionnumber",
    "traversedpath",
    "utcconversiontimezonecode",
];

/// A table whose columns are known here.
#[derive(Clone, Copy)]
pub struct KnownTable {
    columns: &'static [Column],
    /// Names of the columns that are not described; none when not all of them are listed.
    others: Option<&'static [&'static str]>,
}

impl KnownTable {
    /// A table by its logical name; none for a table that is not known here.
    pub fn by_logical_name(name: &str) -> Option<KnownTable> {
        let (columns, others) = match name {
            "phonecall" => (PHONECALL, Some(OTHERS_OF_PHONECALL)),
            "task" => (TASK, Some(OTHERS_OF_TASK)),
            "contact" => (CONTACT, None),
            "account" => (ACCOUNT, None),
            "incident" => (INCIDENT, None),
            _ => return None,
        };
        Some(KnownTable { columns, others })
    }

    /// The columns that are described.
    pub fn columns(&self) -> impl Iterator<Item = &'static Column> + use<> {
        self.columns.iter().chain(COMMON)
    }

    /// Whether the table may have a column of this name, also when it is not described: only of a table
    /// whose columns are all listed is it certain that it has not.
    pub fn may_have(&self, name: &str) -> bool {
        self.columns().any(|column| column.name == name)
            || self.others.is_none_or(|others| others.contains(&name))
    }
}

impl Kind {
    /// OData's name for the type.
    pub fn edm(self) -> &'static str {
        match self {
            Kind::Text(_) => "Edm.String",
            Kind::Integer(_) | Kind::Choice(_) => "Edm.Int32",
            Kind::Boolean => "Edm.Boolean",
            Kind::DateTime => "Edm.DateTimeOffset",
            Kind::Guid => "Edm.Guid",
        }
    }

    /// Whether a JSON value has this type. Null fits every column.
    pub fn accepts(self, value: &Json) -> bool {
        match (self, value) {
            (_, Json::Null) => true,
            (Kind::Text(_), Json::String(_)) => true,
            (Kind::Integer(_) | Kind::Choice(_), Json::Number(number)) => number
                .as_i64()
                .is_some_and(|number| i32::try_from(number).is_ok()),
            (Kind::Boolean, Json::Bool(_)) => true,
            (Kind::DateTime, Json::String(text)) => is_date_time(text),
            (Kind::Guid, Json::String(text)) => text.len() == 36 && Uuid::try_parse(text).is_ok(),
            _ => false,
        }
    }
}

/// A date, or a date with time and offset.
pub fn is_date_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
        || text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}
