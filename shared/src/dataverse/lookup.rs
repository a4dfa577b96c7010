//! Lookups: which property of a body makes a record point to another.
//!
//! Owns the names of navigation properties and of party lists. A lookup that can point to several tables has a
//! navigation property for each: `regardingobjectid_contact_phonecall`.
//! <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api>
//! <https://learn.microsoft.com/power-apps/developer/data-platform/activityparty-entity>

use super::{
    columns::{KnownTable, Lookup},
    table::Table,
};

/// The table of an activity's parties, which is written with the activity only.
pub(crate) const PARTY: &str = "activityparty";

/// The fields of an activity that hold lists of parties, and the part that a party of each plays
/// (`participationtypemask`).
const PARTY_LISTS: [(&str, u8); 9] = [
    ("from", 1),
    ("to", 2),
    ("cc", 3),
    ("bcc", 4),
    ("requiredattendees", 5),
    ("optionalattendees", 6),
    ("organizer", 7),
    ("resources", 10),
    ("customers", 11),
];

/// Why a lookup cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error(
        "`{table}` has no lookup `{column}` whose navigation property is known; write it out, as in \"<navigation property>@odata.bind\": \"{{{{ Customer }}}}\""
    )]
    Unknown { table: String, column: String },
    #[error(
        "which record `{column}` belongs to is not known here; write its navigation property out, as in \"<navigation property>@odata.bind\": \"{{{{ Customer }}}}\""
    )]
    NoTable { column: String },
    #[error("`{property}` points to {expected}, and this is a record of {target}")]
    Property {
        property: String,
        expected: String,
        target: String,
    },
    #[error("the lookup `{column}` of `{table}` takes no {target}")]
    Target {
        table: String,
        column: String,
        target: String,
    },
}

impl LookupError {
    pub(crate) fn of_property(property: &str, expected: &str, target: &str) -> LookupError {
        LookupError::Property {
            property: property.to_owned(),
            expected: expected.to_owned(),
            target: target.to_owned(),
        }
    }
}

/// The logical name of the table that a reference's navigation property points to; none when it is not known,
/// or points to several.
pub(crate) fn target_of_property(table: Option<&str>, property: &str) -> Option<String> {
    let property = property.strip_suffix("@odata.bind")?;
    if table == Some(PARTY) {
        return Some(property.strip_prefix("partyid_")?.to_owned());
    }
    let known = KnownTable::by_logical_name(table?)?;
    let mut lookups = known
        .lookups
        .iter()
        .filter(|lookup| lookup.name == property && lookup.column != "ownerid");
    let target = target_of(lookups.next()?);
    lookups.next().is_none().then_some(target)
}

/// The logical name of the table that a known lookup points to.
fn target_of(lookup: &Lookup) -> String {
    Table::new(lookup.target, None, None).logical_name
}

/// The part that the parties play which stand in this field of an activity; none for a field that holds no
/// parties, and for a table that is no activity.
pub fn part_played(table: &Table, field: &str) -> Option<u8> {
    let lists = PARTY_LISTS.iter().filter(|_| table.is_activity());
    lists
        .filter(|(name, _)| *name == field)
        .map(|(_, part)| *part)
        .next()
}

/// The property that holds all parties of an activity.
pub fn parties_property(table: &Table) -> String {
    format!("{}_activity_parties", table.logical_name)
}

/// Whether a property holds the parties of an activity.
pub fn is_parties_property(name: &str) -> bool {
    name.ends_with("_activity_parties")
}

/// The navigation property by which a record of `table` points to one of `target` (both logical names).
///
/// # Errors
/// [`LookupError`] when the lookup is not known, or takes no such record.
pub fn navigation_property(table: &str, column: &str, target: &str) -> Result<String, LookupError> {
    let unknown = || LookupError::Unknown {
        table: table.to_owned(),
        column: column.to_owned(),
    };
    let refused = || LookupError::Target {
        table: table.to_owned(),
        column: column.to_owned(),
        target: target.to_owned(),
    };
    if column == "ownerid" {
        let is_owner = matches!(target, "systemuser" | "team");
        return is_owner.then(|| column.to_owned()).ok_or_else(refused);
    }
    if table == PARTY {
        // A team is no party.
        return match (column, target) {
            ("partyid", "team") => Err(refused()),
            ("partyid", target) => Ok(format!("partyid_{target}")),
            _ => Err(unknown()),
        };
    }
    if let Some(known) = KnownTable::by_logical_name(table) {
        let mut lookups = known
            .lookups
            .iter()
            .filter(|lookup| lookup.column == column);
        let mut targets = lookups.clone();
        if let Some(lookup) = lookups.find(|lookup| target_of(lookup) == target) {
            return Ok(lookup.name.to_owned());
        }
        // An activity regards and a note belongs to many tables that are not known here, and a table of the
        // environment's own can be a target too.
        let is_open = matches!(column, "regardingobjectid" | "objectid")
            && !matches!(target, "systemuser" | "team");
        let is_own = is_open || target.contains('_') && column != "customerid";
        match targets.next() {
            None => return Err(unknown()),
            Some(_) if !is_own => return Err(refused()),
            Some(_) => {}
        }
    }
    match column {
        "regardingobjectid" => Ok(format!("regardingobjectid_{target}_{table}")),
        "objectid" if matches!(table, "annotation" | "queueitem") => {
            Ok(format!("objectid_{target}"))
        }
        "customerid" | "parentcustomerid" if matches!(target, "account" | "contact") => {
            Ok(format!("{column}_{target}"))
        }
        "customerid" | "parentcustomerid" => Err(refused()),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_is_set_by_the_navigation_property_of_its_target() {
        for (table, column, target, expected) in [
            (
                "phonecall",
                "regardingobjectid",
                "contact",
                "regardingobjectid_contact_phonecall",
            ),
            (
                "new_ring",
                "regardingobjectid",
                "account",
                "regardingobjectid_account_new_ring",
            ),
            (
                "phonecall",
                "regardingobjectid",
                "new_patient",
                "regardingobjectid_new_patient_phonecall",
            ),
            ("incident", "customerid", "account", "customerid_account"),
            ("annotation", "objectid", "contact", "objectid_contact"),
            ("phonecall", "ownerid", "team", "ownerid"),
            ("activityparty", "partyid", "lead", "partyid_lead"),
        ] {
            assert_eq!(
                navigation_property(table, column, target).as_deref(),
                Ok(expected)
            );
        }
    }

    #[test]
    fn a_lookup_that_is_not_known_or_takes_no_such_record_is_refused() {
        for (table, column, target, expected) in [
            ("incident", "customerid", "lead", "takes no lead"),
            ("phonecall", "ownerid", "contact", "takes no contact"),
            ("activityparty", "partyid", "team", "takes no team"),
            ("phonecall", "description", "contact", "has no lookup"),
            ("new_ring", "new_caller", "contact", "has no lookup"),
        ] {
            let error = navigation_property(table, column, target).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn only_an_activity_has_parties() {
        let call = Table::new("phonecalls", None, None);
        assert_eq!(part_played(&call, "from"), Some(1));
        assert_eq!(part_played(&call, "subject"), None);
        assert_eq!(parties_property(&call), "phonecall_activity_parties");
        let contact = Table::new("contacts", None, None);
        assert_eq!(part_played(&contact, "from"), None);
        let own = Table::new("new_rings", Some("activityid".into()), None);
        assert_eq!(part_played(&own, "to"), Some(2));
    }
}
