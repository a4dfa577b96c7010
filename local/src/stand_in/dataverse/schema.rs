//! The stand-in's tables, with the columns, lengths and lookups that Dataverse documents.
//!
//! phonecall: <https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/phonecall>,
//! and likewise task, contact, account and incident (the last under Dynamics 365's own reference).
//! The alternate keys are not Dataverse's: an environment defines its own, and this one has defined
//! contacts' e-mail address and accounts' number.

use serde_json::{Value as Json, json};
use uuid::Uuid;

/// A table.
pub(super) struct Table {
    pub(super) logical_name: &'static str,
    pub(super) entity_set: &'static str,
    pub(super) primary_key: &'static str,
    pub(super) columns: &'static [Column],
    pub(super) lookups: &'static [Lookup],
    pub(super) alternate_keys: &'static [&'static str],
    /// Activities share one key space.
    pub(super) is_activity: bool,
    /// What stands after the verb in its privileges' names: `Activity` of `prvCreateActivity`.
    /// Activities share theirs.
    pub(super) privilege: &'static str,
    /// The values of `statecode`; a record begins in the first.
    pub(super) states: &'static [State],
}

pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) access: Access,
    /// Its value in a new record that does not name it.
    pub(super) default: fn() -> Json,
}

/// When a column can be written. Dataverse drops some of what it does not take without a word; the
/// stand-in says so, because a test or a user would not notice otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Writable,
    NotOnCreate,
    ReadOnly,
}

pub(super) struct State {
    pub(super) code: i64,
    /// As Dataverse names it in its messages.
    pub(super) name: &'static str,
    /// The values of `statuscode` that belong to it, its default first.
    pub(super) status_codes: &'static [i64],
}

/// A single-valued navigation property, set by `<name>@odata.bind`.
pub(super) struct Lookup {
    pub(super) name: &'static str,
    pub(super) target: &'static str,
    /// The column that reads it: `_regardingobjectid_value`.
    pub(super) column: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
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

const fn state(code: i64, name: &'static str, status_codes: &'static [i64]) -> State {
    State {
        code,
        name,
        status_codes,
    }
}

const fn lookup(name: &'static str, target: &'static str, column: &'static str) -> Lookup {
    Lookup {
        name,
        target,
        column,
    }
}

const MAX: i64 = i32::MAX as i64;

/// Columns that every table has.
pub(super) const COMMON: &[Column] = &[
    read_only("createdon", Kind::DateTime),
    read_only("modifiedon", Kind::DateTime),
    column("overriddencreatedon", Kind::DateTime),
    read_only("versionnumber", Kind::Integer(i64::MAX)),
];

pub(super) const TABLES: &[Table] = &[
    Table {
        logical_name: "phonecall",
        entity_set: "phonecalls",
        primary_key: "activityid",
        columns: &[
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
        ],
        lookups: &[
            lookup(
                "regardingobjectid_contact_phonecall",
                "contacts",
                "_regardingobjectid_value",
            ),
            lookup(
                "regardingobjectid_account_phonecall",
                "accounts",
                "_regardingobjectid_value",
            ),
            lookup(
                "regardingobjectid_incident_phonecall",
                "incidents",
                "_regardingobjectid_value",
            ),
        ],
        alternate_keys: &[],
        is_activity: true,
        privilege: "Activity",
        // https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/phonecall#BKMK_StatusCode
        states: &[
            state(0, "PhoneCallState.Open", &[1]),
            state(1, "PhoneCallState.Completed", &[2, 4]),
            state(2, "PhoneCallState.Canceled", &[3]),
        ],
    },
    Table {
        logical_name: "task",
        entity_set: "tasks",
        primary_key: "activityid",
        columns: &[
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
        ],
        lookups: &[
            lookup(
                "regardingobjectid_contact_task",
                "contacts",
                "_regardingobjectid_value",
            ),
            lookup(
                "regardingobjectid_account_task",
                "accounts",
                "_regardingobjectid_value",
            ),
            lookup(
                "regardingobjectid_incident_task",
                "incidents",
                "_regardingobjectid_value",
            ),
        ],
        alternate_keys: &[],
        is_activity: true,
        privilege: "Activity",
        states: &[
            state(0, "TaskState.Open", &[2, 3, 4, 7]),
            state(1, "TaskState.Completed", &[5]),
            state(2, "TaskState.Canceled", &[6]),
        ],
    },
    Table {
        logical_name: "contact",
        entity_set: "contacts",
        primary_key: "contactid",
        columns: &[
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
        ],
        lookups: &[
            lookup(
                "parentcustomerid_account",
                "accounts",
                "_parentcustomerid_value",
            ),
            lookup(
                "parentcustomerid_contact",
                "contacts",
                "_parentcustomerid_value",
            ),
        ],
        alternate_keys: &["emailaddress1"],
        is_activity: false,
        privilege: "Contact",
        states: &[
            state(0, "ContactState.Active", &[1]),
            state(1, "ContactState.Inactive", &[2]),
        ],
    },
    Table {
        logical_name: "account",
        entity_set: "accounts",
        primary_key: "accountid",
        columns: &[
            column("name", Kind::Text(160)),
            column("accountnumber", Kind::Text(20)),
            column("telephone1", Kind::Text(50)),
            column("emailaddress1", Kind::Text(100)),
            column("websiteurl", Kind::Text(200)),
            column("description", Kind::Text(2000)),
            column("numberofemployees", Kind::Integer(MAX)),
            column("statecode", Kind::Choice(&[0, 1])),
            column("statuscode", Kind::Choice(&[1, 2])),
        ],
        lookups: &[lookup(
            "primarycontactid",
            "contacts",
            "_primarycontactid_value",
        )],
        alternate_keys: &["accountnumber"],
        is_activity: false,
        privilege: "Account",
        states: &[
            state(0, "AccountState.Active", &[1]),
            state(1, "AccountState.Inactive", &[2]),
        ],
    },
    Table {
        logical_name: "incident",
        entity_set: "incidents",
        primary_key: "incidentid",
        columns: &[
            column("title", Kind::Text(200)),
            column("ticketnumber", Kind::Text(100)),
            column("description", Kind::Text(2000)),
            column("caseorigincode", Kind::Choice(&[1, 2, 3, 2483, 3986])),
            column("prioritycode", Kind::Choice(&[1, 2, 3])),
            not_on_create("statecode", Kind::Choice(&[0, 1, 2])),
            column("statuscode", Kind::Choice(&[1, 2, 3, 4, 5, 6, 1000, 2000])),
        ],
        lookups: &[
            lookup("customerid_contact", "contacts", "_customerid_value"),
            lookup("customerid_account", "accounts", "_customerid_value"),
            lookup("primarycontactid", "contacts", "_primarycontactid_value"),
        ],
        alternate_keys: &[],
        is_activity: false,
        privilege: "Incident",
        states: &[
            state(0, "IncidentState.Active", &[1, 2, 3, 4]),
            state(1, "IncidentState.Resolved", &[5, 1000]),
            state(2, "IncidentState.Canceled", &[6, 2000]),
        ],
    },
];

impl Table {
    pub(super) fn by_entity_set(name: &str) -> Option<&'static Table> {
        TABLES.iter().find(|table| table.entity_set == name)
    }

    /// A column's kind by its name, lookup columns and the primary key included.
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        if name == self.primary_key || self.lookups.iter().any(|lookup| lookup.column == name) {
            return Some(Kind::Guid);
        }
        self.column(name).map(|column| column.kind)
    }

    pub(super) fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns
            .iter()
            .chain(COMMON)
            .find(|column| column.name == name)
    }
}

impl Kind {
    /// OData's name for the type.
    pub(super) fn edm(self) -> &'static str {
        match self {
            Kind::Text(_) => "Edm.String",
            Kind::Integer(_) | Kind::Choice(_) => "Edm.Int32",
            Kind::Boolean => "Edm.Boolean",
            Kind::DateTime => "Edm.DateTimeOffset",
            Kind::Guid => "Edm.Guid",
        }
    }

    /// Whether a JSON value has this type. Null fits every column.
    pub(super) fn accepts(self, value: &Json) -> bool {
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
pub(super) fn is_date_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
        || text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}
