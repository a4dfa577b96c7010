//! A table's names: the entity set of addresses, the logical name of pages, the primary key.
//!
//! <https://learn.microsoft.com/power-apps/developer/data-platform/entity-metadata#table-names>

/// A Dataverse table's three names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub entity_set: String,
    pub logical_name: String,
    pub primary_key: String,
}

/// The activities of Dataverse's own and of Dynamics 365: they share one primary key.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/activity-entities>
const ACTIVITIES: [&str; 15] = [
    "phonecall",
    "task",
    "email",
    "appointment",
    "letter",
    "fax",
    "socialactivity",
    "serviceappointment",
    "activitypointer",
    "recurringappointmentmaster",
    "campaignresponse",
    "campaignactivity",
    "bulkoperation",
    "incidentresolution",
    "opportunityclose",
];

impl Table {
    /// A table by its entity set's name, `phonecalls`. Activities share the primary key `activityid`;
    /// another table's is its logical name with `id`. A name that is given is taken as it is.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/reference/about-entity-reference>
    pub fn new(
        entity_set: &str,
        primary_key: Option<String>,
        logical_name: Option<String>,
    ) -> Table {
        let logical_name = logical_name.unwrap_or_else(|| singular(entity_set));
        let primary_key = primary_key.unwrap_or_else(|| {
            if ACTIVITIES.contains(&logical_name.as_str()) {
                "activityid".to_owned()
            } else {
                format!("{logical_name}id")
            }
        });
        Table {
            entity_set: entity_set.to_owned(),
            logical_name,
            primary_key,
        }
    }
}

impl Table {
    /// Whether its records are activities, which have parties.
    pub fn is_activity(&self) -> bool {
        self.primary_key == "activityid"
    }
}

/// Undoes the plurals that Dataverse makes: opportunities, faxes, addresses, phonecalls.
fn singular(entity_set: &str) -> String {
    if let Some(stem) = entity_set.strip_suffix("ies") {
        return format!("{stem}y");
    }
    let ends_in_es = ["xes", "sses", "shes", "ches"]
        .iter()
        .any(|end| entity_set.ends_with(end));
    let plural = if ends_in_es { "es" } else { "s" };
    entity_set
        .strip_suffix(plural)
        .unwrap_or(entity_set)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_as_dataverse_names_them() {
        for (entity_set, logical_name, primary_key) in [
            ("phonecalls", "phonecall", "activityid"),
            ("tasks", "task", "activityid"),
            ("emails", "email", "activityid"),
            ("appointments", "appointment", "activityid"),
            ("letters", "letter", "activityid"),
            ("faxes", "fax", "activityid"),
            ("socialactivities", "socialactivity", "activityid"),
            ("serviceappointments", "serviceappointment", "activityid"),
            ("activitypointers", "activitypointer", "activityid"),
            (
                "recurringappointmentmasters",
                "recurringappointmentmaster",
                "activityid",
            ),
            ("campaignresponses", "campaignresponse", "activityid"),
            ("campaignactivities", "campaignactivity", "activityid"),
            ("bulkoperations", "bulkoperation", "activityid"),
            ("incidentresolutions", "incidentresolution", "activityid"),
            ("opportunitycloses", "opportunityclose", "activityid"),
            ("contacts", "contact", "contactid"),
            ("incidents", "incident", "incidentid"),
            ("opportunities", "opportunity", "opportunityid"),
            ("customeraddresses", "customeraddress", "customeraddressid"),
            ("new_dishes", "new_dish", "new_dishid"),
            ("new_branches", "new_branch", "new_branchid"),
            ("new_calls", "new_call", "new_callid"),
            ("new_houses", "new_house", "new_houseid"),
            ("new_staff", "new_staff", "new_staffid"),
        ] {
            let expected = Table {
                entity_set: entity_set.into(),
                logical_name: logical_name.into(),
                primary_key: primary_key.into(),
            };
            assert_eq!(Table::new(entity_set, None, None), expected);
        }
    }

    #[test]
    fn a_name_that_is_given_is_taken() {
        let table = Table::new("new_people", None, Some("new_person".into()));
        assert_eq!(
            (table.logical_name.as_str(), table.primary_key.as_str()),
            ("new_person", "new_personid")
        );
        let table = Table::new("new_rings", Some("activityid".into()), None);
        assert_eq!(
            (table.logical_name.as_str(), table.primary_key.as_str()),
            ("new_ring", "activityid")
        );
        let table = Table::new("new_faxes", None, Some("fax".into()));
        assert_eq!(table.primary_key, "activityid");
    }
}
