//! The tables that contacts are usually written to and that customers and owners are looked for in:
//! their columns and lookups, types, lengths, what is read-only.
//!
//! phonecall: <https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/phonecall>,
//! and likewise the other tables. incident, lead and opportunity stand in Dynamics 365's own references:
//! <https://learn.microsoft.com/dynamics365/customer-service/develop/reference/entities/incident>,
//! <https://learn.microsoft.com/dynamics365/sales/developer/entities/lead>.
//! The stand-in for Dataverse is made of the same columns.

use std::fmt;

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
    pub access: Access,
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
        access: Access::Writable,
    }
}

/// A lookup that only a create sets.
const fn fixed(column: &'static str, name: &'static str, target: &'static str) -> Lookup {
    Lookup {
        access: Access::NotOnUpdate,
        ..lookup(column, name, target)
    }
}

/// The lookups of a table whose records a user or a team owns: `ownerid` names either.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/select-columns#lookup-property-data>
macro_rules! owned {
    ($($lookup:expr),* $(,)?) => {
        &[
            lookup("ownerid", "ownerid", "systemusers"),
            lookup("ownerid", "ownerid", "teams"),
            $($lookup),*
        ]
    };
}

/// The lookups of an activity: what it is about, under a name of its own for each table, and its owner.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/web-api-navigation-properties#multi-table-lookups>
macro_rules! activity {
    ($table:literal) => {
        owned![
            about!("contact", $table, "contacts"),
            about!("account", $table, "accounts"),
            about!("lead", $table, "leads"),
            about!("incident", $table, "incidents"),
            about!("opportunity", $table, "opportunities"),
        ]
    };
}

macro_rules! about {
    ($target:literal, $table:literal, $entity_set:literal) => {
        lookup(
            "regardingobjectid",
            concat!("regardingobjectid_", $target, "_", $table),
            $entity_set,
        )
    };
}

const MAX: i64 = i32::MAX as i64;

/// Columns that every table has.
const COMMON: &[Column] = &[
    read_only("createdon", Kind::DateTime),
    read_only("modifiedon", Kind::DateTime),
    with_access(Access::NotOnUpdate, "overriddencreatedon", Kind::DateTime),
    read_only("versionnumber", Kind::Integer(i64::MAX)),
];

/// Columns that every activity has.
const ACTIVITY: &[Column] = &[
    column("category", Kind::Text(250)),
    column("subcategory", Kind::Text(250)),
    column("actualstart", Kind::DateTime),
    column("actualend", Kind::DateTime),
    column("scheduledstart", Kind::DateTime),
    column("scheduledend", Kind::DateTime),
    column("actualdurationminutes", Kind::Integer(MAX)),
    with_default("isbilled", Kind::Boolean, || json!(false)),
    with_default("prioritycode", Kind::Choice(&[0, 1, 2]), || json!(1)),
    read_only("activitytypecode", Kind::Text(64)),
];

/// Columns that phonecall and task have alike, beside those of every activity.
const CALL_OR_TASK: &[Column] = &[
    column("subject", Kind::Text(200)),
    column("description", Kind::Text(2000)),
    read_only("scheduleddurationminutes", Kind::Integer(MAX)),
    not_on_create("statecode", Kind::Choice(&[0, 1, 2])),
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

const EMAIL: &[Column] = &[
    column("subject", Kind::Text(800)),
    column("description", Kind::Text(1_073_741_823)),
    // True is outgoing.
    with_default("directioncode", Kind::Boolean, || json!(true)),
    column("sender", Kind::Text(250)),
    column("torecipients", Kind::Text(500)),
    column("submittedby", Kind::Text(250)),
    column("mimetype", Kind::Text(256)),
    column("messageid", Kind::Text(320)),
    column("trackingtoken", Kind::Text(50)),
    read_only("senton", Kind::DateTime),
    read_only("scheduleddurationminutes", Kind::Integer(MAX)),
    not_on_create("statecode", Kind::Choice(&[0, 1, 2])),
    column("statuscode", Kind::Choice(&[1, 2, 3, 4, 5, 6, 7, 8])),
];

const APPOINTMENT: &[Column] = &[
    column("subject", Kind::Text(200)),
    column("description", Kind::Text(1_048_576)),
    column("location", Kind::Text(200)),
    with_default("isalldayevent", Kind::Boolean, || json!(false)),
    column("globalobjectid", Kind::Text(300)),
    column("scheduleddurationminutes", Kind::Integer(MAX)),
    not_on_create("statecode", Kind::Choice(&[0, 1, 2, 3])),
    column("statuscode", Kind::Choice(&[1, 2, 3, 4, 5, 6])),
];

/// Columns that contact, account and lead have alike.
const REACHABLE: &[Column] = &[
    column("emailaddress1", Kind::Text(100)),
    column("emailaddress2", Kind::Text(100)),
    column("emailaddress3", Kind::Text(100)),
    column("telephone1", Kind::Text(50)),
    column("telephone2", Kind::Text(50)),
    column("telephone3", Kind::Text(50)),
    column("websiteurl", Kind::Text(200)),
    column("description", Kind::Text(2000)),
    column("donotphone", Kind::Boolean),
    column("preferredcontactmethodcode", Kind::Choice(&[1, 2, 3, 4, 5])),
];

/// Columns that contact and lead have alike.
const PERSON: &[Column] = &[
    column("firstname", Kind::Text(50)),
    column("lastname", Kind::Text(50)),
    read_only("fullname", Kind::Text(160)),
    column("jobtitle", Kind::Text(100)),
];

const CONTACT: &[Column] = &[
    column("mobilephone", Kind::Text(50)),
    column("birthdate", Kind::DateTime),
    not_on_create("statecode", Kind::Choice(&[0, 1])),
    column("statuscode", Kind::Choice(&[1, 2])),
];

const ACCOUNT: &[Column] = &[
    column("name", Kind::Text(160)),
    column("accountnumber", Kind::Text(20)),
    column("numberofemployees", Kind::Integer(MAX)),
    not_on_create("statecode", Kind::Choice(&[0, 1])),
    column("statuscode", Kind::Choice(&[1, 2])),
];

const LEAD: &[Column] = &[
    column("subject", Kind::Text(300)),
    column("companyname", Kind::Text(100)),
    column("mobilephone", Kind::Text(20)),
    column(
        "leadsourcecode",
        Kind::Choice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    ),
    column("leadqualitycode", Kind::Choice(&[1, 2, 3])),
    column("numberofemployees", Kind::Integer(1_000_000)),
    not_on_create("statecode", Kind::Choice(&[0, 1, 2])),
    column("statuscode", Kind::Choice(&[1, 2, 3, 4, 5, 6, 7])),
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

const OPPORTUNITY: &[Column] = &[
    column("name", Kind::Text(300)),
    column("description", Kind::Text(2000)),
    column("currentsituation", Kind::Text(2000)),
    column("customerneed", Kind::Text(2000)),
    column("closeprobability", Kind::Integer(100)),
    column("estimatedclosedate", Kind::DateTime),
    column("opportunityratingcode", Kind::Choice(&[1, 2, 3])),
    not_on_create("statecode", Kind::Choice(&[0, 1, 2])),
    column("statuscode", Kind::Choice(&[1, 2, 3, 4, 5])),
];

const SYSTEMUSER: &[Column] = &[
    column("firstname", Kind::Text(64)),
    column("lastname", Kind::Text(64)),
    read_only("fullname", Kind::Text(200)),
    column("domainname", Kind::Text(1024)),
    column("internalemailaddress", Kind::Text(100)),
    column("personalemailaddress", Kind::Text(100)),
    column("homephone", Kind::Text(50)),
    column("mobilephone", Kind::Text(64)),
    column("title", Kind::Text(128)),
    column("jobtitle", Kind::Text(100)),
    column("employeeid", Kind::Text(100)),
    with_default("isdisabled", Kind::Boolean, || json!(false)),
    with_default("accessmode", Kind::Choice(&[0, 1, 2, 3, 4, 5]), || json!(0)),
    column("applicationid", Kind::Guid),
    column("azureactivedirectoryobjectid", Kind::Guid),
];

const TEAM: &[Column] = &[
    column("name", Kind::Text(160)),
    column("description", Kind::Text(2000)),
    column("emailaddress", Kind::Text(100)),
    with_default("teamtype", Kind::Choice(&[0, 1, 2, 3]), || json!(0)),
    column("azureactivedirectoryobjectid", Kind::Guid),
    read_only("isdefault", Kind::Boolean),
];

const QUEUE: &[Column] = &[
    column("name", Kind::Text(200)),
    column("description", Kind::Text(2000)),
    column("emailaddress", Kind::Text(100)),
    with_default("queueviewtype", Kind::Choice(&[0, 1]), || json!(0)),
    read_only("numberofitems", Kind::Integer(MAX)),
    read_only("numberofmembers", Kind::Integer(MAX)),
    not_on_create("statecode", Kind::Choice(&[0, 1])),
    column("statuscode", Kind::Choice(&[1, 2])),
];

const QUEUEITEM: &[Column] = &[
    read_only("title", Kind::Text(300)),
    read_only("enteredon", Kind::DateTime),
    read_only("workeridmodifiedon", Kind::DateTime),
    column("priority", Kind::Integer(1_000_000_000)),
    column("sender", Kind::Text(250)),
    column("torecipients", Kind::Text(500)),
    not_on_create("statecode", Kind::Choice(&[0, 1])),
    column("statuscode", Kind::Choice(&[1, 2])),
];

const ANNOTATION: &[Column] = &[
    column("subject", Kind::Text(500)),
    column("notetext", Kind::Text(100_000)),
    column("objecttypecode", Kind::Text(64)),
    with_default("isdocument", Kind::Boolean, || json!(false)),
    column("filename", Kind::Text(255)),
    column("mimetype", Kind::Text(256)),
    column("documentbody", Kind::Text(1_073_741_823)),
    column("langid", Kind::Text(2)),
    column("stepid", Kind::Text(32)),
    read_only("filesize", Kind::Integer(1_000_000_000)),
];

/// A party has neither a creation date nor a state.
const ACTIVITYPARTY: &[Column] = &[
    column(
        "participationtypemask",
        Kind::Choice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
    ),
    column("addressused", Kind::Text(320)),
    column("exchangeentryid", Kind::Text(1024)),
    column("unresolvedpartyname", Kind::Text(200)),
    read_only("ispartydeleted", Kind::Boolean),
    read_only("versionnumber", Kind::Integer(i64::MAX)),
];

/// Names of columns that exist and are not described here: of every table.
const OTHERS_OF_ALL: &str = "exchangerate importsequencenumber lastonholdtime onholdtime processid \
    stageid timezoneruleversionnumber traversedpath utcconversiontimezonecode";

/// Likewise of activities.
const OTHERS_OF_ACTIVITIES: &str = "activityadditionalparams isregularactivity isworkflowcreated \
    sortdate subscriptionid";

const OTHERS_OF_TASK: &str = "crmtaskassigneduniqueid";

const OTHERS_OF_EMAIL: &str = "attachmentcount attachmentopencount baseconversationindexhash \
    compressed conversationindex conversationtrackingid correlatedsubjectchanged correlationmethod \
    delayedemailsendtime deliveryattempts deliverylastattemptedon deliveryprioritycode \
    deliveryreceiptrequested descriptionblobid descriptionblobid_name emailreminderexpirytime \
    emailreminderstatus emailremindertext emailremindertype emailtrackingid \
    followemailuserpreference inreplyto internetmessageheaders isduplicatesenderunresolved \
    isemailfollowed isemailreminderset issafedescriptiontruncated isunsafe lastopenedtime \
    linksclickedcount messageiddupcheck notifications opencount postponeemailprocessinguntil \
    readreceiptrequested reminderactioncardid replycount reservedforinternaluse safedescription";

const OTHERS_OF_APPOINTMENT: &str = "attachmentcount attachmenterrors instancetypecode isdraft \
    ismapiprivate isunsafe modifiedfieldsmask originalstartdate outlookownerapptid safedescription \
    seriesid";

/// Likewise of contact and account.
const OTHERS_OF_CUSTOMERS: &str = "aging30 aging60 aging90 creditlimit creditlimit_base creditonhold \
    customersizecode customertypecode donotbulkemail donotbulkpostalmail ftpsiteurl isprivate \
    marketingonly paymenttermscode preferredappointmentdaycode preferredappointmenttimecode \
    shippingmethodcode territorycode";

/// Likewise of contact, account and lead.
const OTHERS_OF_REACHABLE: &str = "donotbulkemail donotemail donotfax donotpostalmail donotsendmm \
    entityimage entityimage_timestamp entityimage_url entityimageid fax followemail \
    lastusedincampaign merged participatesinworkflow teamsfollowed timespentbymeonemailandmeetings";

const OTHERS_OF_CONTACT: &str = "accountrolecode anniversary annualincome annualincome_base \
    assistantname assistantphone business2 businesscard businesscardattributes callback childrensnames company department educationcode employeeid \
    externaluseridentifier familystatuscode gendercode governmentid haschildrencode home2 \
    isautocreate isbackofficecustomer leadsourcecode managername managerphone middlename nickname \
    numberofchildren pager salutation spousesname subscriptionid suffix yomifirstname yomifullname \
    yomilastname yomimiddlename";

const OTHERS_OF_ACCOUNT: &str = "accountcategorycode accountclassificationcode accountratingcode \
    businesstypecode industrycode marketcap marketcap_base opendeals openrevenue ownershipcode primarysatoriid primarytwitterid revenue \
    sharesoutstanding sic stockexchange tickersymbol yominame";

const OTHERS_OF_INCIDENT: &str = "activitiescomplete actualserviceunits billedserviceunits \
    blockedprofile caseage casetypecode checkemail contractservicelevelcode customercontacted \
    customersatisfactioncode deactivatedon decremententitlementterm emailaddress entityimage \
    entityimageid escalatedon firstresponsesent firstresponseslastatus followupby \
    followuptaskcreated incidentstagecode influencescore isdecrementing isescalated lastinteraction \
    merged messagetypecode nextsla numberofchildincidents productserialnumber resolveby \
    resolvebyslastatus responseby routecase sentimentvalue servicestage severitycode";

const OTHERS_OF_LEAD: &str = "budgetamount budgetamount_base budgetstatus businesscard \
    businesscardattributes confirminterest decisionmaker estimatedamount estimatedamount_base \
    estimatedclosedate estimatedvalue evaluatefit industrycode initialcommunication isautocreate \
    isprivate middlename need pager prioritycode purchaseprocess purchasetimeframe \
    qualificationcomments revenue revenue_base salesstage salesstagecode salutation \
    schedulefollowup_prospect schedulefollowup_qualify sic yomicompanyname yomifirstname \
    yomifullname yomilastname yomimiddlename";

const OTHERS_OF_OPPORTUNITY: &str = "actualclosedate actualvalue actualvalue_base budgetamount \
    budgetamount_base budgetstatus budgettype captureproposalfeedback completefinalproposal \
    completeinternalreview confirminterest customerpainpoints decisionmaker developproposal \
    discountamount discountamount_base discountpercentage emailaddress estimatedvalue \
    estimatedvalue_base evaluatefit filedebrief finaldecisiondate freightamount freightamount_base \
    identifycompetitors identifycustomercontacts identifypursuitteam initialcommunication isprivate \
    isrevenuesystemcalculated need participatesinworkflow presentfinalproposal presentproposal \
    pricingerrorcode prioritycode proposedsolution purchaseprocess purchasetimeframe pursuitdecision \
    qualificationcomments quotecomments resolvefeedback salesstage salesstagecode \
    schedulefollowup_prospect schedulefollowup_qualify scheduleproposalmeeting sendthankyounote \
    skippricecalculation stepid stepname teamsfollowed timeline timespentbymeonemailandmeetings \
    totalamount totalamount_base totalamountlessfreight totalamountlessfreight_base \
    totaldiscountamount totaldiscountamount_base totallineitemamount totallineitemamount_base \
    totallineitemdiscountamount totallineitemdiscountamount_base totaltax totaltax_base";

const OTHERS_OF_SYSTEMUSER: &str = "applicationiduri azurestate caltype defaultfilterspopulated \
    defaultodbfoldername deletedstate disabledreason displayinserviceviews \
    emailrouteraccessapproval entityimage entityimage_timestamp entityimage_url entityimageid \
    governmentid identityid incomingemaildeliverymethod invitestatuscode isactivedirectoryuser \
    isallowedbyipfirewall isemailaddressapprovedbyo365admin isintegrationuser islicensed \
    issyncwithdirectory latestupdatetime middlename mobilealertemail nickname organizationid \
    outgoingemaildeliverymethod passporthi passportlo photourl preferredaddresscode \
    preferredemailcode preferredphonecode salutation setupuser sharepointemailaddress skills \
    systemmanageduserexpiry userlicensetype userpuid windowsliveid yammeremailaddress yammeruserid \
    yomifirstname yomifullname yomilastname yomimiddlename";

const OTHERS_OF_TEAM: &str = "delegatedauthorizationid issastokenset membershiptype organizationid \
    sharelinkqualifier systemmanaged yominame";

const OTHERS_OF_QUEUE: &str = "allowemailcredentials emailpassword emailrouteraccessapproval \
    emailusername entityimage entityimage_timestamp entityimage_url entityimageid \
    ignoreunsolicitedemail incomingemaildeliverymethod incomingemailfilteringmethod \
    isemailaddressapprovedbyo365admin isfaxqueue outgoingemaildeliverymethod queuesemantics \
    queuetypecode";

const OTHERS_OF_QUEUEITEM: &str = "objecttypecode state status";

const OTHERS_OF_ANNOTATION: &str =
    "documentbody_binary dummyfilename isprivate prefix storagepointer";

const OTHERS_OF_ACTIVITYPARTY: &str = "addressusedemailcolumnnumber donotemail donotfax donotphone \
    donotpostalmail effort instancetypecode partyobjecttypecode scheduledend scheduledstart";

/// What follows `address1_` and its like in contact, account, lead and systemuser.
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
    /// The column that names a record to people.
    pub primary_name: &'static str,
    columns: &'static [&'static [Column]],
    others: &'static [&'static str],
    /// Whether it has `address1_city` and its like.
    has_addresses: bool,
    /// A lookup that takes records of several tables by one name is here once for each.
    pub lookups: &'static [Lookup],
    /// The values of `participationtypemask` that its parties have; only an activity has any.
    pub party_types: &'static [i64],
    other_lookups: &'static str,
}

impl fmt::Debug for KnownTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownTable({})", self.logical_name)
    }
}

/// The tables that are known.
pub static TABLES: [KnownTable; 15] = [
    KnownTable {
        logical_name: "phonecall",
        entity_set: "phonecalls",
        primary_key: "activityid",
        primary_name: "subject",
        columns: &[PHONECALL, CALL_OR_TASK, ACTIVITY, COMMON],
        others: &[OTHERS_OF_ACTIVITIES, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: activity!("phonecall"),
        party_types: &[1, 2],
        other_lookups: "serviceid",
    },
    KnownTable {
        logical_name: "task",
        entity_set: "tasks",
        primary_key: "activityid",
        primary_name: "subject",
        columns: &[TASK, CALL_OR_TASK, ACTIVITY, COMMON],
        others: &[OTHERS_OF_TASK, OTHERS_OF_ACTIVITIES, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: activity!("task"),
        party_types: &[],
        other_lookups: "serviceid",
    },
    KnownTable {
        logical_name: "email",
        entity_set: "emails",
        primary_key: "activityid",
        primary_name: "subject",
        columns: &[EMAIL, ACTIVITY, COMMON],
        others: &[OTHERS_OF_EMAIL, OTHERS_OF_ACTIVITIES, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: activity!("email"),
        party_types: &[1, 2, 3, 4, 13],
        other_lookups: "acceptingentityid acceptingentityid_queue acceptingentityid_systemuser \
            correlatedactivityid emailsender emailsender_account emailsender_contact \
            emailsender_equipment emailsender_lead emailsender_queue emailsender_systemuser \
            parentactivityid receivingmailboxid sendermailboxid sendersaccount serviceid templateid",
    },
    KnownTable {
        logical_name: "appointment",
        entity_set: "appointments",
        primary_key: "activityid",
        primary_name: "subject",
        columns: &[APPOINTMENT, ACTIVITY, COMMON],
        others: &[OTHERS_OF_APPOINTMENT, OTHERS_OF_ACTIVITIES, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: activity!("appointment"),
        party_types: &[5, 6, 7],
        other_lookups: "serviceid",
    },
    KnownTable {
        logical_name: "contact",
        entity_set: "contacts",
        primary_key: "contactid",
        primary_name: "fullname",
        columns: &[CONTACT, PERSON, REACHABLE, COMMON],
        others: &[
            OTHERS_OF_CONTACT,
            OTHERS_OF_CUSTOMERS,
            OTHERS_OF_REACHABLE,
            OTHERS_OF_ALL,
        ],
        has_addresses: true,
        lookups: owned![
            lookup("parentcustomerid", "parentcustomerid_account", "accounts"),
            lookup("parentcustomerid", "parentcustomerid_contact", "contacts"),
            lookup("originatingleadid", "originatingleadid", "leads"),
        ],
        party_types: &[],
        other_lookups: "defaultpricelevelid masterid parentcontactid preferredequipmentid \
            preferredserviceid preferredsystemuserid",
    },
    KnownTable {
        logical_name: "account",
        entity_set: "accounts",
        primary_key: "accountid",
        primary_name: "name",
        columns: &[ACCOUNT, REACHABLE, COMMON],
        others: &[
            OTHERS_OF_ACCOUNT,
            OTHERS_OF_CUSTOMERS,
            OTHERS_OF_REACHABLE,
            OTHERS_OF_ALL,
        ],
        has_addresses: true,
        lookups: owned![
            lookup("primarycontactid", "primarycontactid", "contacts"),
            lookup("parentaccountid", "parentaccountid", "accounts"),
            lookup("originatingleadid", "originatingleadid", "leads"),
        ],
        party_types: &[],
        other_lookups: "defaultpricelevelid masterid preferredequipmentid preferredserviceid \
            preferredsystemuserid territoryid",
    },
    KnownTable {
        logical_name: "lead",
        entity_set: "leads",
        primary_key: "leadid",
        primary_name: "fullname",
        columns: &[LEAD, PERSON, REACHABLE, COMMON],
        others: &[OTHERS_OF_LEAD, OTHERS_OF_REACHABLE, OTHERS_OF_ALL],
        has_addresses: true,
        lookups: owned![
            lookup("parentcontactid", "parentcontactid", "contacts"),
            lookup("parentaccountid", "parentaccountid", "accounts"),
            lookup("customerid", "customerid_contact", "contacts"),
            lookup("customerid", "customerid_account", "accounts"),
            lookup("originatingcaseid", "originatingcaseid", "incidents"),
            lookup(
                "qualifyingopportunityid",
                "qualifyingopportunityid",
                "opportunities",
            ),
        ],
        party_types: &[],
        other_lookups: "accountid campaignid contactid masterid relatedobjectid",
    },
    KnownTable {
        logical_name: "incident",
        entity_set: "incidents",
        primary_key: "incidentid",
        primary_name: "title",
        columns: &[INCIDENT, COMMON],
        others: &[OTHERS_OF_INCIDENT, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: owned![
            lookup("customerid", "customerid_contact", "contacts"),
            lookup("customerid", "customerid_account", "accounts"),
            lookup("primarycontactid", "primarycontactid", "contacts"),
        ],
        party_types: &[],
        other_lookups: "accountid contactid contractdetailid contractid entitlementid existingcase \
            firstresponsebykpiid kbarticleid masterid parentcaseid productid resolvebykpiid \
            responsiblecontactid socialprofileid subjectid",
    },
    KnownTable {
        logical_name: "opportunity",
        entity_set: "opportunities",
        primary_key: "opportunityid",
        primary_name: "name",
        columns: &[OPPORTUNITY, COMMON],
        others: &[OTHERS_OF_OPPORTUNITY, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: owned![
            lookup("customerid", "customerid_contact", "contacts"),
            lookup("customerid", "customerid_account", "accounts"),
            lookup("parentcontactid", "parentcontactid", "contacts"),
            lookup("parentaccountid", "parentaccountid", "accounts"),
            lookup("originatingleadid", "originatingleadid", "leads"),
        ],
        party_types: &[],
        other_lookups: "accountid campaignid contactid pricelevelid",
    },
    KnownTable {
        logical_name: "systemuser",
        entity_set: "systemusers",
        primary_key: "systemuserid",
        primary_name: "fullname",
        columns: &[SYSTEMUSER, COMMON],
        others: &[OTHERS_OF_SYSTEMUSER, OTHERS_OF_ALL],
        has_addresses: true,
        lookups: &[
            lookup("parentsystemuserid", "parentsystemuserid", "systemusers"),
            lookup("queueid", "queueid", "queues"),
        ],
        party_types: &[],
        other_lookups: "businessunitid calendarid defaultmailbox mobileofflineprofileid positionid \
            siteid territoryid",
    },
    KnownTable {
        logical_name: "team",
        entity_set: "teams",
        primary_key: "teamid",
        primary_name: "name",
        columns: &[TEAM, COMMON],
        others: &[OTHERS_OF_TEAM, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: &[
            lookup("administratorid", "administratorid", "systemusers"),
            lookup("queueid", "queueid", "queues"),
        ],
        party_types: &[],
        other_lookups: "associatedteamtemplateid businessunitid regardingobjectid teamtemplateid",
    },
    KnownTable {
        logical_name: "queue",
        entity_set: "queues",
        primary_key: "queueid",
        primary_name: "name",
        columns: &[QUEUE, COMMON],
        others: &[OTHERS_OF_QUEUE, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: owned![lookup("primaryuserid", "primaryuserid", "systemusers")],
        party_types: &[],
        other_lookups: "businessunitid defaultmailbox organizationid",
    },
    KnownTable {
        logical_name: "queueitem",
        entity_set: "queueitems",
        primary_key: "queueitemid",
        primary_name: "title",
        columns: &[QUEUEITEM, COMMON],
        others: &[OTHERS_OF_QUEUEITEM, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: &[
            fixed("queueid", "queueid", "queues"),
            fixed("objectid", "objectid_phonecall", "phonecalls"),
            fixed("objectid", "objectid_task", "tasks"),
            fixed("objectid", "objectid_email", "emails"),
            fixed("objectid", "objectid_appointment", "appointments"),
            fixed("objectid", "objectid_incident", "incidents"),
            lookup("workerid", "workerid_systemuser", "systemusers"),
            lookup("workerid", "workerid_team", "teams"),
        ],
        party_types: &[],
        other_lookups: "organizationid",
    },
    KnownTable {
        logical_name: "annotation",
        entity_set: "annotations",
        primary_key: "annotationid",
        primary_name: "subject",
        columns: &[ANNOTATION, COMMON],
        others: &[OTHERS_OF_ANNOTATION, OTHERS_OF_ALL],
        has_addresses: false,
        lookups: owned![
            lookup("objectid", "objectid_contact", "contacts"),
            lookup("objectid", "objectid_account", "accounts"),
            lookup("objectid", "objectid_lead", "leads"),
            lookup("objectid", "objectid_incident", "incidents"),
            lookup("objectid", "objectid_opportunity", "opportunities"),
            lookup("objectid", "objectid_phonecall", "phonecalls"),
            lookup("objectid", "objectid_task", "tasks"),
            lookup("objectid", "objectid_email", "emails"),
            lookup("objectid", "objectid_appointment", "appointments"),
        ],
        party_types: &[],
        other_lookups: "",
    },
    KnownTable {
        logical_name: "activityparty",
        entity_set: "activityparties",
        primary_key: "activitypartyid",
        primary_name: "partyidname",
        columns: &[ACTIVITYPARTY],
        others: &[OTHERS_OF_ACTIVITYPARTY],
        has_addresses: false,
        lookups: &[
            lookup("partyid", "partyid_contact", "contacts"),
            lookup("partyid", "partyid_account", "accounts"),
            lookup("partyid", "partyid_lead", "leads"),
            lookup("partyid", "partyid_systemuser", "systemusers"),
            lookup("partyid", "partyid_queue", "queues"),
            lookup("partyid", "partyid_incident", "incidents"),
            lookup("partyid", "partyid_opportunity", "opportunities"),
        ],
        party_types: &[],
        other_lookups: "activityid partyid_bulkoperation partyid_campaign partyid_campaignactivity \
            partyid_contract partyid_entitlement partyid_equipment partyid_invoice \
            partyid_knowledgearticle partyid_quote partyid_salesorder resourcespecid",
    },
];

impl KnownTable {
    /// A table that an environment has of its own, for the stand-in: its names, its columns and its lookups.
    pub const fn of_environment(
        logical_name: &'static str,
        entity_set: &'static str,
        primary_key: &'static str,
        primary_name: &'static str,
        columns: &'static [&'static [Column]],
        lookups: &'static [Lookup],
    ) -> KnownTable {
        KnownTable {
            logical_name,
            entity_set,
            primary_key,
            primary_name,
            columns,
            others: &[],
            has_addresses: false,
            lookups,
            party_types: &[],
            other_lookups: "",
        }
    }

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

    /// The names of columns that it has and that are not described.
    pub fn other_columns(&self) -> impl Iterator<Item = String> + use<'_> {
        let others = self
            .others
            .iter()
            .flat_map(|others| others.split_ascii_whitespace());
        let addresses = ["address1", "address2", "address3"].into_iter();
        let addresses = addresses
            .filter(|_| self.has_addresses)
            .flat_map(|address| {
                let columns = ADDRESS.split_ascii_whitespace();
                columns.map(move |column| format!("{address}_{column}"))
            });
        others.map(str::to_owned).chain(addresses)
    }

    /// The columns of lookups that it has and that are not described.
    pub fn other_lookups(&self) -> impl Iterator<Item = &'static str> + use<> {
        let of_all = OTHER_LOOKUPS_OF_ALL.split_ascii_whitespace();
        let lookups = self.lookups;
        let others = self.other_lookups.split_ascii_whitespace().chain(of_all);
        others.filter(move |column| lookups.iter().all(|lookup| lookup.column != *column))
    }

    pub fn is_activity(&self) -> bool {
        self.primary_key == "activityid"
    }

    /// Whether a user or a team owns each of its records.
    pub fn is_owned(&self) -> bool {
        self.lookups.iter().any(|lookup| lookup.name == "ownerid")
    }

    /// The property that holds an activity's parties.
    /// <https://learn.microsoft.com/power-apps/developer/data-platform/activityparty-entity>
    pub fn is_parties(&self, name: &str) -> bool {
        self.is_activity() && name.strip_suffix("_activity_parties") == Some(self.logical_name)
    }

    /// The lookups that a navigation property sets: one for each table whose records it takes, and none
    /// when it is not described. Activities have `ownerid_phonecall` beside `ownerid`.
    pub fn lookups_of<'a>(
        &self,
        property: &'a str,
    ) -> impl Iterator<Item = &'static Lookup> + use<'a> {
        let ending = format!("_{}", self.logical_name);
        let bare = property
            .strip_suffix(&ending)
            .filter(|_| self.is_activity());
        self.lookups
            .iter()
            .filter(move |lookup| lookup.name == property || Some(lookup.name) == bare)
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
        // Some begin like a publisher's.
        let names_records =
            name.ends_with("_activity_parties") || self.lookups_of(name).next().is_some();
        name == self.primary_key
            || self.column(name).is_some()
            || self.is_parties(name)
            || self.others.iter().any(|others| has_word(others, name))
            || is_address && address_column(name)
            || !is_address && !names_records && is_of_a_publisher(name)
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
        // Who owns a record and who works on it is a user or a team; a party may be of an environment's
        // own table.
        let is_closed = || match name.split_once('_') {
            Some((column @ ("ownerid" | "workerid"), _)) => self.has_lookup(column),
            Some(("partyid", target)) => self.has_lookup("partyid") && !is_of_a_publisher(target),
            _ => false,
        };
        // Activities have `ownerid_phonecall` beside `ownerid`, and `sla_phonecall_sla`.
        let bare = name
            .strip_suffix(&format!("_{}", self.logical_name))
            .filter(|_| self.is_activity())
            .unwrap_or(name);
        self.lookups.iter().any(|lookup| lookup.name == name)
            || has_word(self.other_lookups, bare)
            || has_word(OTHER_LOOKUPS_OF_ALL, bare)
            || name == format!("sla_{}_sla", self.logical_name)
            || self.is_activity() && is_about_another()
            || is_of_a_publisher(name) && !is_closed()
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
            ("activityparty", "partyid_contact", true),
            ("activityparty", "partyid_knowledgearticle", true),
            ("activityparty", "partyid_new_visit", true),
            ("activityparty", "partyid_team", false),
            ("queueitem", "workerid_team", true),
            ("queueitem", "workerid_contact", false),
            ("contact", "ownerid_contact", false),
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
    fn a_table_has_the_names_that_dataverse_gives_it_and_a_column_that_names_its_records() {
        for known in &TABLES {
            let named = super::super::Table::new(known.entity_set, None, None);
            assert_eq!(
                (named.logical_name.as_str(), named.primary_key.as_str()),
                (known.logical_name, known.primary_key)
            );
            let name = known.column(known.primary_name);
            let is_of_a_party = known.logical_name == "activityparty";
            assert!(name.is_some() || is_of_a_party, "{}", known.logical_name);
        }
        for (name, property) in [
            ("contact", "fullname"),
            ("account", "name"),
            ("lead", "fullname"),
            ("incident", "title"),
            ("phonecall", "subject"),
            ("queueitem", "title"),
        ] {
            assert_eq!(table(name).primary_name, property);
        }
    }

    #[test]
    fn a_table_describes_each_column_and_each_target_of_a_lookup_once() {
        for known in &TABLES {
            let mut names: Vec<&str> = known.columns().map(|column| column.name).collect();
            let described = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), described, "{}", known.logical_name);
            for lookup in known.lookups {
                let targets = known.lookups_of(lookup.name);
                let same = targets.filter(|other| other.target == lookup.target);
                assert_eq!(same.count(), 1, "{} {}", known.logical_name, lookup.name);
                assert!(
                    KnownTable::by_entity_set(lookup.target).is_some(),
                    "{}",
                    lookup.target
                );
                assert!(known.may_bind(lookup.name), "{}", lookup.name);
            }
        }
    }

    #[test]
    fn a_navigation_property_leads_to_the_tables_whose_records_it_takes() {
        for (name, property, targets) in [
            ("phonecall", "regardingobjectid_lead_phonecall", "leads"),
            (
                "email",
                "regardingobjectid_opportunity_email",
                "opportunities",
            ),
            ("appointment", "regardingobjectid_lead_phonecall", ""),
            ("phonecall", "ownerid", "systemusers teams"),
            ("phonecall", "ownerid_phonecall", "systemusers teams"),
            ("phonecall", "ownerid_task", ""),
            ("lead", "ownerid", "systemusers teams"),
            ("lead", "ownerid_lead", ""),
            ("team", "ownerid", ""),
            ("queueitem", "objectid_incident", "incidents"),
            ("annotation", "objectid_contact", "contacts"),
            ("activityparty", "partyid_systemuser", "systemusers"),
        ] {
            let found: Vec<&str> = table(name)
                .lookups_of(property)
                .map(|lookup| lookup.target)
                .collect();
            assert_eq!(found.join(" "), targets, "{name} {property}");
        }
        for (name, is_owned) in [
            ("phonecall", true),
            ("queueitem", false),
            ("systemuser", false),
        ] {
            assert_eq!(table(name).is_owned(), is_owned, "{name}");
        }
    }

    #[test]
    fn only_an_activity_has_parties() {
        for (name, property, expected) in [
            ("phonecall", "phonecall_activity_parties", true),
            ("email", "email_activity_parties", true),
            ("phonecall", "email_activity_parties", false),
            ("contact", "contact_activity_parties", false),
        ] {
            assert_eq!(
                table(name).is_parties(property),
                expected,
                "{name} {property}"
            );
        }
        for (property, expected) in [
            ("phonecall_activity_parties", true),
            ("email_activity_parties", false),
            ("ownerid_phonecall", false),
        ] {
            assert_eq!(
                table("phonecall").may_have(property),
                expected,
                "{property}"
            );
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
            ("email", Some("emails")),
            ("laeds", Some("leads")),
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
