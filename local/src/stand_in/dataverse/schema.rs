//! The stand-in's tables: those whose columns and lookups the library knows, with the states that
//! Dataverse documents, and any other, whose columns nobody here can check.
//!
//! The pages of the tables' references: [`connect_dynamics::dataverse::columns`].
//! The alternate keys are not Dataverse's: an environment defines its own, and this one has defined
//! contacts' e-mail address and accounts' number.

use connect_dynamics::dataverse;
pub(super) use connect_dynamics::dataverse::columns::{
    Access, Column, Kind, KnownTable, Lookup, is_date_time, is_own_option,
};

/// The tables that an environment has besides those that the library knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    /// The names of some, which the configuration gives.
    pub(super) named: Vec<dataverse::Table>,
    /// Some with their columns and lookups.
    pub(super) own: Vec<&'static KnownTable>,
}

/// A table.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) logical_name: String,
    pub(super) entity_set: String,
    pub(super) primary_key: String,
    /// None for a table whose columns are not known.
    pub(super) known: Option<&'static KnownTable>,
    /// Columns whose values no two records share.
    pub(super) alternate_keys: &'static [&'static str],
    /// What stands after the verb in its privileges' names: `Activity` of `prvCreateActivity`.
    /// Activities share theirs.
    pub(super) privilege: String,
    /// The values of `statecode`; a record begins in the first. None of a table that is not known.
    pub(super) states: &'static [State],
}

pub(super) struct State {
    pub(super) code: i64,
    /// As Dataverse names it in its messages.
    pub(super) name: &'static str,
    /// The values of `statuscode` that belong to it, its default first.
    pub(super) status_codes: &'static [i64],
}

const fn state(code: i64, name: &'static str, status_codes: &'static [i64]) -> State {
    State {
        code,
        name,
        status_codes,
    }
}

/// The states of the tables that are known, by their logical names.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/phonecall#BKMK_StatusCode>
const STATES: [(&str, &[State]); 11] = [
    (
        "phonecall",
        &[
            state(0, "PhoneCallState.Open", &[1]),
            state(1, "PhoneCallState.Completed", &[2, 4]),
            state(2, "PhoneCallState.Canceled", &[3]),
        ],
    ),
    (
        "task",
        &[
            state(0, "TaskState.Open", &[2, 3, 4, 7]),
            state(1, "TaskState.Completed", &[5]),
            state(2, "TaskState.Canceled", &[6]),
        ],
    ),
    (
        "email",
        &[
            state(0, "EmailState.Open", &[1, 8]),
            state(1, "EmailState.Completed", &[2, 3, 4, 6, 7]),
            state(2, "EmailState.Canceled", &[5]),
        ],
    ),
    (
        "appointment",
        &[
            state(0, "AppointmentState.Open", &[1, 2]),
            state(1, "AppointmentState.Completed", &[3]),
            state(2, "AppointmentState.Canceled", &[4]),
            state(3, "AppointmentState.Scheduled", &[5, 6]),
        ],
    ),
    (
        "lead",
        &[
            state(0, "LeadState.Open", &[1, 2]),
            state(1, "LeadState.Qualified", &[3]),
            state(2, "LeadState.Disqualified", &[4, 5, 6, 7]),
        ],
    ),
    (
        "opportunity",
        &[
            state(0, "OpportunityState.Open", &[1, 2]),
            state(1, "OpportunityState.Won", &[3]),
            state(2, "OpportunityState.Lost", &[4, 5]),
        ],
    ),
    (
        "queue",
        &[
            state(0, "QueueState.Active", &[1]),
            state(1, "QueueState.Inactive", &[2]),
        ],
    ),
    (
        "queueitem",
        &[
            state(0, "QueueItemState.Active", &[1]),
            state(1, "QueueItemState.Inactive", &[2]),
        ],
    ),
    (
        "contact",
        &[
            state(0, "ContactState.Active", &[1]),
            state(1, "ContactState.Inactive", &[2]),
        ],
    ),
    (
        "account",
        &[
            state(0, "AccountState.Active", &[1]),
            state(1, "AccountState.Inactive", &[2]),
        ],
    ),
    (
        "incident",
        &[
            state(0, "IncidentState.Active", &[1, 2, 3, 4]),
            state(1, "IncidentState.Resolved", &[5, 1000]),
            state(2, "IncidentState.Canceled", &[6, 2000]),
        ],
    ),
];

impl Table {
    /// The table of an entity set; none where the name is certainly a mistake. A table that is not
    /// known has the names that Dataverse would give it, unless `tables` tells others.
    pub(super) fn of(entity_set: &str, tables: &Tables) -> Option<Table> {
        if KnownTable::meant_by(entity_set).is_some() {
            return None;
        }
        let mut own = tables.own.iter().copied();
        let own = own.find(|table| table.entity_set == entity_set);
        let known = KnownTable::by_entity_set(entity_set).or(own);
        let names = tables
            .named
            .iter()
            .find(|table| table.entity_set == entity_set);
        let names = names
            .filter(|_| known.is_none())
            .cloned()
            .or_else(|| known.map(names_of))
            .unwrap_or_else(|| dataverse::Table::new(entity_set, None, None));
        let logical_name = names.logical_name;
        let states = STATES.iter().find(|(name, _)| *name == logical_name);
        let is_activity = names.primary_key == ACTIVITY_KEY;
        let privilege = match (logical_name.as_str(), logical_name.chars().next()) {
            ("systemuser", _) => "User".to_owned(),
            ("annotation", _) => "Note".to_owned(),
            ("queueitem", _) => "Queue".to_owned(),
            ("activityparty", _) => "Activity".to_owned(),
            (_, Some(first)) if !is_activity => {
                let rest = &logical_name[first.len_utf8()..];
                format!("{}{rest}", first.to_uppercase())
            }
            _ => "Activity".to_owned(),
        };
        Some(Table {
            alternate_keys: match logical_name.as_str() {
                "contact" => &["emailaddress1"],
                "account" => &["accountnumber"],
                _ => &[],
            },
            states: states
                .filter(|_| known.is_some())
                .map_or(&[], |(_, states)| states),
            known,
            privilege,
            entity_set: entity_set.to_owned(),
            primary_key: names.primary_key,
            logical_name,
        })
    }

    /// A table that is known, by its logical name.
    pub(super) fn of_logical_name(name: &str) -> Option<Table> {
        let known = KnownTable::by_logical_name(name)?;
        Table::of(known.entity_set, &Tables::default())
    }

    /// Activities share one key space.
    pub(super) fn is_activity(&self) -> bool {
        self.primary_key == ACTIVITY_KEY
    }

    /// Whether the table has a column of this name, or may have one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.known.is_none_or(|known| known.may_answer(name))
    }

    /// A column's kind by its name, lookups and the primary key included; none when it is not known.
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        match self.known {
            Some(known) => known.kind(name),
            None => (name == self.primary_key).then_some(Kind::Guid),
        }
    }

    pub(super) fn column(&self, name: &str) -> Option<&'static Column> {
        self.known?.column(name)
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &'static Column> + use<> {
        self.known.into_iter().flat_map(KnownTable::columns)
    }

    pub(super) fn lookups(&self) -> &'static [Lookup] {
        self.known.map_or(&[], |known| known.lookups)
    }

    /// The lookups that a navigation property sets: one for each table whose records it takes.
    pub(super) fn lookups_of(&self, property: &str) -> Vec<&'static Lookup> {
        let known = self.known.into_iter();
        known.flat_map(|known| known.lookups_of(property)).collect()
    }

    pub(super) fn is_owned(&self) -> bool {
        self.known.is_some_and(KnownTable::is_owned)
    }

    /// Whether no request writes it by its own name: parties are written with their activity.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/activityparty#messages>
    pub(super) fn is_written_by_others(&self) -> bool {
        self.logical_name == "activityparty"
    }

    /// Whether the application user may only read it: users, teams and queues are an administrator's.
    pub(super) fn is_administered(&self) -> bool {
        let administered = ["systemuser", "team", "queue"];
        administered.contains(&self.logical_name.as_str())
    }
}

fn names_of(known: &KnownTable) -> dataverse::Table {
    dataverse::Table {
        entity_set: known.entity_set.to_owned(),
        logical_name: known.logical_name.to_owned(),
        primary_key: known.primary_key.to_owned(),
    }
}

const ACTIVITY_KEY: &str = "activityid";
