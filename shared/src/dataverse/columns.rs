//! The tables that contacts are usually written to: their columns and lookups, types, lengths, what is
//! read-only.
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
    NotOnUpdate,
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
    /// A choice column and its options' values. An environment adds options of its own to it.
    Choice(&'static [i64]),
}

/// A single-valued navigation property, which sets a lookup: `<name>@odata.bind`.
pub struct Lookup {
    pub name: &'static str,
    /// The entity set of the records that it names.
    pub target: &'static str,
    /// The lookup's own name. In a body it means nothing; `_<column>_value` reads it.
    pub column: &'static str,
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
    with_access(Access::ReadOnly, name, kind)
}

const fn not_on_create(name: &'static str, kind: Kind) -> Column {
    with_access(Access::NotOnCreate, name, kind)
}

const fn with_access(access: Access, name: &'static str, kind: Kind) -> Column {
    Column {
        access,
        ..column(name, kind)
    }
}

const fn with_default(name: &'static str, kind: Kind, default: fn() -> Json) -> Column {
    Column {
        default,
        ..column(name, kind)
    }
}

const fn lookup(column: &'static str, name: &'static str, target: &'static str) -> Lookup {
    Lookup {
        name,
        target,
        column,
    }
}

const MAX: i64 = i32::MAX as i64;

/// Columns that every table has.
const COMMON: &[Column] = &[
    read_only("createdon", Kind::DateTime),
    read_only("modifiedon", Kind::DateTime),
    with_access(Access::NotOnUpdate, "overriddencreatedon", Kind::DateTime),
    read_only("versionnumber", Kind::Integer(i64::MAX)),
];

/// Columns that phonecall and task have alike.
const ACTIVITY: &[Column] = &[
    column("subject", Kind::Text(200)),
    column("description", Kind::Text(2000)),
    column("category", Kind::Text(250)),
    column("subcategory", Kind::Text(250)),
    column("actualstart", Kind::DateTime),
    column("actualend", Kind::DateTime),
    column("scheduledstart", Kind::DateTime),
    column("scheduledend", Kind::DateTime),
    column("actualdurationminutes", Kind::Integer(MAX)),
    read_only("scheduleddurationminutes", Kind::Integer(MAX)),
    with_default("isbilled", Kind::Boolean, || json!(false)),
    with_default("prioritycode", Kind::Choice(&[0, 1, 2]), || json!(1)),
    not_on_create("statecode", Kind::Choice(&[0, 1, 2])),
    read_only("activitytypecode", Kind::Text(64)),
];

const PHONECALL: &[Column] = &[
    column("phonenumber", Kind::Text(200)),
    // True is outgoing.
    with_default("directioncode", Kind::Boolean, || json!(true)),
    with_default("leftvoicemail", Kind::Boolean, || json!(false)),
    column("statuscode", Kind::Choice(&[1, 2, 3, 4])),
];

const TASK: &[Column] = &[
    column("percentcomplete", Kind::Integer(100)),
    column("statuscode", Kind::Choice(&[2, 3, 4, 5, 6, 7])),
];

const CONTACT: &[Column] = &[
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

const ACCOUNT: &[Column] = &[
    column("name", Kind::Text(160)),
    column("accountnumber", Kind::Text(20)),
    column("telephone1", Kind::Text(50)),
    column("emailaddress1", Kind::Text(100)),
    column("websiteurl", Kind::Text(200)),
    column("description", Kind::Text(2000)),
    column("numberofemployees", Kind::Integer(MAX)),
    not_on_create("statecode", Kind::Choice(&[0, 1])),
    column("statuscode", Kind::Choice(&[1, 2])),
];

const INCIDENT: &[Column] = &[
    column("title", Kind::Text(200)),
    column("ticketnumber", Kind::Text(100)),
    column("description", Kind::Text(2000)),
    column("caseorigincode", Kind::Choice(&[1, 2, 3, 2483, 3986])),
    column("prioritycode", Kind::Choice(&[1, 2, 3])),
    not_on_create("statecode", Kind::Choice(&[0, 1, 2])),
    column("statuscode", Kind::Choice(&[1, 2, 3, 4, 5, 6, 1000, 2000])),
];

/// Names of columns that exist and are not described here: of every table.
const OTHERS_OF_ALL: &str = "exchangerate importsequencenumber lastonholdtime onholdtime processid \
    stageid timezoneruleversionnumber traversedpath utcconversiontimezonecode";

/// Likewise of phonecall and task.
const OTHERS_OF_ACTIVITIES: &str = "activityadditionalparams isregularactivity isworkflowcreated \
    sortdate subscriptionid";

const OTHERS_OF_PHONECALL: &str = "phonecall_activity_parties";

const OTHERS_OF_TASK: &str = "crmtaskassigneduniqueid task_activity_parties";

/// Likewise of contact and account.
const OTHERS_OF_CUSTOMERS: &str = "aging30 aging60 aging90 creditlimit creditonhold \
    customersizecode customertypecode donotbulkemail donotbulkpostalmail donotemail donotfax \
    donotphone donotpostalmail donotsendmm emailaddress2 emailaddress3 entityimage entityimageid fax \
    followemail ftpsiteurl isprivate lastusedincampaign marketingonly merged participatesinworkflow \
    paymenttermscode preferredappointmentdaycode preferredappointmenttimecode \
    preferredcontactmethodcode shippingmethodcode telephone2 telephone3 territorycode \
    timespentbymeonemailandmeetings websiteurl";

const OTHERS_OF_CONTACT: &str = "accountrolecode anniversary annualincome assistantname \
    assistantphone business2 callback childrensnames company department educationcode employeeid \
    externaluseridentifier familystatuscode gendercode governmentid haschildrencode home2 \
    isautocreate isbackofficecustomer leadsourcecode managername managerphone middlename nickname \
    numberofchildren pager salutation spousesname subscriptionid suffix yomifirstname yomifullname \
    yomilastname yomimiddlename";

const OTHERS_OF_ACCOUNT: &str = "accountcategorycode accountclassificationcode accountratingcode \
    businesstypecode industrycode marketcap ownershipcode primarysatoriid primarytwitterid revenue \
    sharesoutstanding sic stockexchange tickersymbol yominame";

const OTHERS_OF_INCIDENT: &str = "activitiescomplete actualserviceunits billedserviceunits \
    blockedprofile caseage casetypecode checkemail contractservicelevelcode customercontacted \
    customersatisfactioncode deactivatedon decremententitlementterm emailaddress entityimage \
    entityimageid escalatedon firstresponsesent firstresponseslastatus followupby \
    followuptaskcreated incidentstagecode influencescore isdecrementing isescalated lastinteraction \
    merged messagetypecode nextsla numberofchildincidents productserialnumber resolveby \
    resolvebyslastatus responseby routecase sentimentvalue servicestage severitycode";

/// What follows `address1_` and its like in contact and account.
const ADDRESS: &str = "addressid addresstypecode city composite country county fax \
    freighttermscode latitude line1 line2 line3 longitude name postalcode postofficebox \
    primarycontactname shippingmethodcode stateorprovince telephone1 telephone2 telephone3 upszone \
    utcoffset";

/// Lookups of every table that are not described here.
const OTHER_LOOKUPS_OF_ALL: &str = "createdby createdbyexternalparty createdonbehalfby modifiedby \
    modifiedbyexternalparty modifiedonbehalfby ownerid owningbusinessunit owningteam owninguser slaid \
    slainvokedid transactioncurrencyid";

/// A table that is known here.
pub struct KnownTable {
    pub logical_name: &'static str,
    pub entity_set: &'static str,
    pub primary_key: &'static str,
    columns: &'static [&'static [Column]],
    others: &'static [&'static str],
    /// Whether it has `address1_city` and its like.
    has_addresses: bool,
    pub lookups: &'static [Lookup],
    other_lookups: &'static str,
}

/// The tables that contacts are usually written to.
pub static TABLES: [KnownTable; 5] = [
    KnownTable {
        logical_name: "phonecall",
        entity_set: "phonecalls",
        primary_key: "activityid",
        columns: &[PHONECALL, ACTIVITY, COMMON],
        others: &[OTHERS_OF_PHONECALL, OTHERS_OF_ACTIVITIES, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: &[
            lookup(
                "regardingobjectid",
                "regardingobjectid_contact_phonecall",
                "contacts",
            ),
            lookup(
                "regardingobjectid",
                "regardingobjectid_account_phonecall",
                "accounts",
            ),
            lookup(
                "regardingobjectid",
                "regardingobjectid_incident_phonecall",
                "incidents",
            ),
        ],
        other_lookups: "serviceid",
    },
    KnownTable {
        logical_name: "task",
        entity_set: "tasks",
        primary_key: "activityid",
        columns: &[TASK, ACTIVITY, COMMON],
        others: &[OTHERS_OF_TASK, OTHERS_OF_ACTIVITIES, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: &[
            lookup(
                "regardingobjectid",
                "regardingobjectid_contact_task",
                "contacts",
            ),
            lookup(
                "regardingobjectid",
                "regardingobjectid_account_task",
                "accounts",
            ),
            lookup(
                "regardingobjectid",
                "regardingobjectid_incident_task",
                "incidents",
            ),
        ],
        other_lookups: "serviceid",
    },
    KnownTable {
        logical_name: "contact",
        entity_set: "contacts",
        primary_key: "contactid",
        columns: &[CONTACT, COMMON],
        others: &[OTHERS_OF_CONTACT, OTHERS_OF_CUSTOMERS, OTHERS_OF_ALL],
        has_addresses: true,
        lookups: &[
            lookup("parentcustomerid", "parentcustomerid_account", "accounts"),
            lookup("parentcustomerid", "parentcustomerid_contact", "contacts"),
        ],
        other_lookups: "defaultpricelevelid masterid originatingleadid parentcontactid \
            preferredequipmentid preferredserviceid preferredsystemuserid",
    },
    KnownTable {
        logical_name: "account",
        entity_set: "accounts",
        primary_key: "accountid",
        columns: &[ACCOUNT, COMMON],
        others: &[OTHERS_OF_ACCOUNT, OTHERS_OF_CUSTOMERS, OTHERS_OF_ALL],
        has_addresses: true,
        lookups: &[lookup("primarycontactid", "primarycontactid", "contacts")],
        other_lookups: "defaultpricelevelid masterid originatingleadid parentaccountid \
            preferredequipmentid preferredserviceid preferredsystemuserid territoryid",
    },
    KnownTable {
        logical_name: "incident",
        entity_set: "incidents",
        primary_key: "incidentid",
        columns: &[INCIDENT, COMMON],
        others: &[OTHERS_OF_INCIDENT, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: &[
            lookup("customerid", "customerid_contact", "contacts"),
            lookup("customerid", "customerid_account", "accounts"),
            lookup("primarycontactid", "primarycontactid", "contacts"),
        ],
        other_lookups: "accountid contactid contractdetailid contractid entitlementid existingcase \
            firstresponsebykpiid kbarticleid masterid parentcaseid productid resolvebykpiid \
            responsiblecontactid socialprofileid subjectid",
    },
];

impl KnownTable {
    /// A table by its logical name; none for a table that is not known here.
    pub fn by_logical_name(name: &str) -> Option<&'static KnownTable> {
        TABLES.iter().find(|table| table.logical_name == name)
    }

    pub fn by_entity_set(name: &str) -> Option<&'static KnownTable> {
        TABLES.iter().find(|table| table.entity_set == name)
    }

    /// The table that was probably meant by an entity set that is none of these: its logical name, or a
    /// name with a letter or two mistyped.
    pub fn meant_by(entity_set: &str) -> Option<&'static KnownTable> {
        // A table of Dynamics 365's own that is not known here.
        if entity_set == "contracts" || is_of_a_publisher(entity_set) {
            return None;
        }
        let written = entity_set.to_lowercase();
        TABLES.iter().find(|table| {
            let far = if table.entity_set.len() < 8 { 1 } else { 2 };
            table.entity_set != entity_set
                && (written == table.logical_name
                    || strsim::osa_distance(&written, table.entity_set) <= far)
        })
    }

    /// The columns that are described.
    pub fn columns(&self) -> impl Iterator<Item = &'static Column> + use<> {
        self.columns.iter().copied().flatten()
    }

    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns().find(|column| column.name == name)
    }

    /// The kind of a column, lookups' values and the primary key included; none when it is not known.
    pub fn kind(&self, name: &str) -> Option<Kind> {
        if name == self.primary_key || self.lookup_read_by(name).is_some() {
            return Some(Kind::Guid);
        }
        self.column(name).map(|column| column.kind)
    }

    /// The lookup that `_<column>_value` reads.
    fn lookup_read_by<'a>(&self, name: &'a str) -> Option<&'a str> {
        let column = name.strip_prefix('_')?.strip_suffix("_value")?;
        (self.has_lookup(column) || is_of_a_publisher(column)).then_some(column)
    }

    /// Whether a lookup has this name, as a column.
    pub fn has_lookup(&self, column: &str) -> bool {
        self.lookups.iter().any(|lookup| lookup.column == column)
            || has_word(self.other_lookups, column)
            || has_word(OTHER_LOOKUPS_OF_ALL, column)
    }

    /// Whether a body may set the table's column of this name, also when it is not described: a column
    /// of Dataverse's own, or one that has a publisher's prefix.
    pub fn may_have(&self, name: &str) -> bool {
        let is_address = self.has_addresses && name.starts_with("address");
        name == self.primary_key
            || self.column(name).is_some()
            || self.others.iter().any(|others| has_word(others, name))
            || is_address && address_column(name)
            || !is_address && is_of_a_publisher(name)
    }

    /// Whether an answer may have a field of this name.
    pub fn may_answer(&self, name: &str) -> bool {
        name.contains('@') || self.may_have(name) || self.lookup_read_by(name).is_some()
    }

    /// Whether the table may have a navigation property of this name, also when it is not described.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/web-api-navigation-properties>
    pub fn may_bind(&self, name: &str) -> bool {
        // `regardingobjectid_new_visit_phonecall`: any table may be one that a call is about.
        let is_about_another = || {
            let middle = name.strip_prefix("regardingobjectid_");
            let ending = format!("_{}", self.logical_name);
            let table = middle.and_then(|middle| middle.strip_suffix(&ending));
            table.is_some_and(|table| !table.is_empty())
        };
        // Activities have `ownerid_phonecall` beside `ownerid`, and `sla_phonecall_sla`.
        let bare = name
            .strip_suffix(&format!("_{}", self.logical_name))
            .unwrap_or(name);
        self.lookups.iter().any(|lookup| lookup.name == name)
            || has_word(self.other_lookups, bare)
            || has_word(OTHER_LOOKUPS_OF_ALL, bare)
            || name == format!("sla_{}_sla", self.logical_name)
            || self.primary_key == "activityid" && is_about_another()
            || is_of_a_publisher(name)
    }
}

/// Whether a list of words has this one.
fn has_word(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|known| known == word)
}

/// Whether `address1_city` and its like is one.
fn address_column(name: &str) -> bool {
    let Some((address, column)) = name.split_once('_') else {
        return false;
    };
    matches!(address, "address1" | "address2" | "address3") && has_word(ADDRESS, column)
}

/// Whether a name begins with a publisher's prefix, as those of an environment's own tables and columns
/// do: 2 to 8 letters and digits, a letter first, and an underscore.
/// <https://learn.microsoft.com/power-apps/maker/data-platform/create-solution#solution-publisher>
pub fn is_of_a_publisher(name: &str) -> bool {
    name.split_once('_').is_some_and(|(prefix, own)| {
        (2..=8).contains(&prefix.len())
            && prefix.starts_with(|c: char| c.is_ascii_alphabetic())
            && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && !own.is_empty()
    })
}

/// An environment's own options of a choice begin with its publisher's number, of five digits.
/// <https://learn.microsoft.com/power-apps/maker/data-platform/create-solution#solution-publisher>
pub fn is_own_option(value: i64) -> bool {
    value >= 100_000_000
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

    /// Whether a whole number is one that the column takes. An environment's own options of a choice are
    /// not known here: see [`is_own_option`].
    pub fn has_in_range(self, number: i64) -> bool {
        match self {
            Kind::Integer(max) => (0..=max).contains(&number),
            Kind::Choice(options) => options.contains(&number),
            _ => true,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> &'static KnownTable {
        KnownTable::by_logical_name(name).unwrap()
    }

    #[test]
    fn a_table_may_have_its_own_columns_and_those_of_a_publisher() {
        for (name, column, expected) in [
            ("phonecall", "activityid", true),
            ("phonecall", "subject", true),
            ("phonecall", "directioncode", true),
            ("phonecall", "createdon", true),
            ("phonecall", "sortdate", true),
            ("phonecall", "new_score", true),
            ("phonecall", "cr1ab_score", true),
            ("phonecall", "contactid", false),
            ("phonecall", "percentcomplete", false),
            // Of a table without addresses it begins like a publisher's.
            ("phonecall", "address1_city", true),
            ("phonecall", "a_score", false),
            ("phonecall", "1a_score", false),
            ("phonecall", "new_", false),
            ("phonecall", "toolongaprefix_score", false),
            ("phonecall", "ne-w_score", false),
            ("phonecall", "", false),
            ("task", "crmtaskassigneduniqueid", true),
            ("task", "phonenumber", false),
            ("contact", "address3_line1", true),
            ("contact", "address4_line1", false),
            ("contact", "address1_nothing", false),
            ("contact", "address1", false),
            ("contact", "nickname", true),
            ("contact", "tickersymbol", false),
            ("account", "tickersymbol", true),
            ("account", "telephone3", true),
            ("incident", "severitycode", true),
            ("incident", "telephone3", false),
        ] {
            assert_eq!(table(name).may_have(column), expected, "{name} {column}");
        }
    }

    #[test]
    fn an_answer_has_columns_lookups_values_and_annotations() {
        for (field, expected) in [
            ("subject", true),
            ("_regardingobjectid_value", true),
            ("_ownerid_value", true),
            ("_new_visit_value", true),
            ("_subject_value", false),
            ("_regardingobjectid", false),
            ("regardingobjectid", false),
            ("statecode@OData.Community.Display.V1.FormattedValue", true),
            ("phonecallid", false),
        ] {
            assert_eq!(table("phonecall").may_answer(field), expected, "{field}");
        }
        let call = table("phonecall");
        for (column, kind) in [
            ("activityid", Some(Kind::Guid)),
            ("_regardingobjectid_value", Some(Kind::Guid)),
            ("subject", Some(Kind::Text(200))),
            ("sortdate", None),
        ] {
            assert_eq!(call.kind(column), kind, "{column}");
        }
    }

    #[test]
    fn a_navigation_property_is_named_as_its_table_names_it() {
        for (name, property, expected) in [
            ("phonecall", "regardingobjectid_contact_phonecall", true),
            ("phonecall", "regardingobjectid_new_visit_phonecall", true),
            ("phonecall", "regardingobjectid_lead_phonecall", true),
            ("phonecall", "regardingobjectid__phonecall", false),
            ("phonecall", "regardingobjectid_contact_task", false),
            ("phonecall", "regardingobjectid_contact", false),
            ("phonecall", "regardingobjectid", false),
            ("phonecall", "ownerid", true),
            ("phonecall", "ownerid_phonecall", true),
            ("phonecall", "sla_phonecall_sla", true),
            ("phonecall", "serviceid", true),
            ("phonecall", "new_Visit", true),
            ("incident", "regardingobjectid_contact_incident", false),
            ("incident", "customerid_contact", true),
            ("incident", "customerid", false),
            ("incident", "subjectid", true),
            ("contact", "subjectid", false),
        ] {
            assert_eq!(
                table(name).may_bind(property),
                expected,
                "{name} {property}"
            );
        }
        for (lookup, expected) in [
            ("customerid", true),
            ("subjectid", true),
            ("ownerid", true),
            ("title", false),
        ] {
            assert_eq!(table("incident").has_lookup(lookup), expected, "{lookup}");
        }
    }

    #[test]
    fn a_misspelt_entity_set_is_recognised_and_another_table_is_not() {
        for (entity_set, meant) in [
            ("phonecall", Some("phonecalls")),
            ("phonecals", Some("phonecalls")),
            ("PhoneCalls", Some("phonecalls")),
            ("task", Some("tasks")),
            ("tsaks", Some("tasks")),
            ("contatcs", Some("contacts")),
            ("phonecalls", None),
            ("contracts", None),
            ("emails", None),
            ("faxes", None),
            ("masks_", None),
            ("new_tasks", None),
        ] {
            let found = KnownTable::meant_by(entity_set).map(|table| table.entity_set);
            assert_eq!(found, meant, "{entity_set}");
        }
        assert!(KnownTable::by_entity_set("phonecall").is_none());
    }

    #[test]
    fn a_number_is_in_its_columns_range() {
        for (kind, number, expected) in [
            (Kind::Integer(100), 0, true),
            (Kind::Integer(100), 100, true),
            (Kind::Integer(100), 101, false),
            (Kind::Integer(100), -1, false),
            (Kind::Choice(&[1, 3]), 3, true),
            (Kind::Choice(&[1, 3]), 2, false),
        ] {
            assert_eq!(kind.has_in_range(number), expected, "{kind:?} {number}");
        }
        assert!(is_own_option(100_000_000) && !is_own_option(99_999_999));
    }
}
