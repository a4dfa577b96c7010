//! The stand-in's tables, with the lookups and states that Dataverse documents; their columns are the
//! library's.
//!
//! phonecall: <https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/phonecall>,
//! and likewise task, contact, account and incident (the last under Dynamics 365's own reference).
//! The alternate keys are not Dataverse's: an environment defines its own, and this one has defined
//! contacts' e-mail address and accounts' number.

use connect_dynamics::dataverse::columns;
pub(super) use connect_dynamics::dataverse::columns::{Access, COMMON, Column, Kind, is_date_time};

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

pub(super) const TABLES: &[Table] = &[
    Table {
        logical_name: "phonecall",
        entity_set: "phonecalls",
        primary_key: "activityid",
        columns: columns::PHONECALL,
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
        columns: columns::TASK,
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
        columns: columns::CONTACT,
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
        columns: columns::ACCOUNT,
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
        columns: columns::INCIDENT,
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
