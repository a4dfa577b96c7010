//! The console's look at an environment, on the stand-ins: whether the connection works, what the environment
//! holds, what of a configuration it would refuse.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use connect_dynamics::{
    configuration::{Configuration, Connection},
    dataverse::{
        DynamicsError, Kind, Method, Request,
        columns::{self, Access, Column, KnownTable, Lookup},
    },
    integration::Integration,
};
use console::{
    aws::Aws,
    environment::{
        Environment,
        check::Mark,
        connection::{ConnectionReport, Outcome, TestStep},
        metadata::ColumnKind,
        privileges::Lack,
        secret::{SecretState, SetSecretError, secret_state, set_secret},
    },
};
use end_to_end::*;
use jiff::civil::date;
use local::{
    http,
    stand_in::{
        dataverse::Dataverse,
        entra::Entra,
        fault::{Effect, Fault},
        secrets_manager::SecretsManager,
    },
};
use serde_json::{Value as Json, json};
use uuid::Uuid;

const SECRET_ID: &str = "connect-dynamics/default";
const SECRET: &str = "made-up";

/// A table that the environment has of its own, whose lookup's name has a capital.
static VISIT: KnownTable = KnownTable::of_environment(
    "new_visit",
    "new_visits",
    "new_visitid",
    "new_name",
    &[VISIT_COLUMNS],
    &[
        Lookup {
            name: "new_Patient",
            target: "contacts",
            column: "new_patient",
            access: Access::Writable,
        },
        Lookup {
            name: "ownerid",
            target: "systemusers",
            column: "ownerid",
            access: Access::Writable,
        },
    ],
);

const VISIT_COLUMNS: &[Column] = &[
    own("new_name", columns::Kind::Text(20), Access::Writable),
    own("new_score", columns::Kind::Integer(100), Access::Writable),
    own(
        "new_kind",
        columns::Kind::Choice(&[100_000_000, 100_000_001]),
        Access::Writable,
    ),
    own("new_origin", columns::Kind::Text(50), Access::NotOnUpdate),
    own("new_total", columns::Kind::Integer(100), Access::ReadOnly),
];

const fn own(name: &'static str, kind: columns::Kind, access: Access) -> Column {
    Column {
        name,
        kind,
        access,
        default: || Json::Null,
    }
}

struct Tried {
    entra: Entra,
    dataverse: Dataverse,
    secrets: SecretsManager,
    connection: Connection,
    config: SdkConfig,
    environment: Environment,
}

impl Tried {
    async fn new() -> Tried {
        let mut connection = Integration::load(&reference().to_string())
            .unwrap()
            .connection()
            .clone();
        let entra = Entra::new(&connection.tenant_id, &connection.client_id, SECRET);
        let dataverse = Dataverse::new(entra.clone());
        dataverse.add_table(&VISIT);
        let secrets = SecretsManager::default();
        let stored = json!({"clientSecret": SECRET, "expiresOn": "2030-01-31"});
        secrets.set(SECRET_ID, &stored.to_string());
        let serve = async |router| http::serve(0, router).await.unwrap();
        connection.authority = format!("http://{}", serve(entra.router()).await);
        connection.environment_uri = format!("http://{}", serve(dataverse.router()).await);
        connection.scope = None;
        dataverse.set_origin(&connection.environment_uri);
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url(format!("http://{}", serve(secrets.router()).await))
            .test_credentials()
            .load()
            .await;
        Tried {
            environment: Environment::new(&connection, &config),
            entra,
            dataverse,
            secrets,
            connection,
            config,
        }
    }

    fn aws(&self) -> Aws {
        Aws::new(&self.config).unwrap()
    }

    /// The test of the connection, changed.
    async fn tested(&self, change: impl FnOnce(&mut Connection)) -> ConnectionReport {
        let mut connection = self.connection.clone();
        change(&mut connection);
        let environment = Environment::new(&connection, &self.config);
        let report = environment.test_connection().await;
        let written = serde_json::to_string(&report).unwrap();
        assert!(
            !written.contains(SECRET) && !written.contains("stand-in-token"),
            "{written}"
        );
        report
    }

    /// Checks which step fails, why, and how it is mended.
    async fn fails(
        &self,
        step: TestStep,
        said: &str,
        fix: &str,
        change: impl FnOnce(&mut Connection),
    ) {
        let report = self.tested(change).await;
        let failure = report
            .failure()
            .unwrap_or_else(|| panic!("{said}: {report:#?}"));
        assert_eq!(failure.step, step, "{failure:#?}");
        assert!(failure.message.contains(said), "{said}: {failure:#?}");
        let told = failure.fix.as_deref().unwrap_or_default();
        assert!(told.contains(fix), "{fix}: {failure:#?}");
        assert_eq!(report.steps.len(), TestStep::ALL.len());
        assert!(!report.works());
    }

    /// The marks of a document whose contact-start has these fields, each as `place | message | right`.
    async fn marks(&self, start: Json) -> Vec<Mark> {
        self.environment.check(&configuration(start)).await.unwrap()
    }
}

fn configuration(start: Json) -> Configuration {
    let mut document = reference();
    document["steps"] = json!({"contact-start": start});
    serde_json::from_value(document).unwrap()
}

fn of_request(entity_set: &str, body: Json) -> Json {
    json!({"request": {"method": "POST", "entitySet": entity_set, "body": body}})
}

#[tokio::test]
async fn a_connection_that_works_tells_the_user_and_its_roles() {
    let tried = Tried::new().await;
    let report = tried.tested(|_| {}).await;
    assert!(report.works(), "{report:#?}");
    let user = report.user.unwrap();
    assert_eq!(user.full_name, "# Application user");
    assert_eq!(user.roles, ["Amazon Connect contacts"]);
    assert_eq!(user.business_unit.as_deref(), Some("example"));
    assert!(report.steps[3].message.contains("Amazon Connect contacts"));
}

#[tokio::test]
async fn a_token_that_is_not_had_is_explained_with_its_fix() {
    let tried = Tried::new().await;
    let token = TestStep::Token;
    tried
        .fails(token, "no such tenant", "Directory (tenant) ID", |it| {
            it.tenant_id = "nope".into();
        })
        .await;
    tried
        .fails(
            token,
            "no such application",
            "Application (client) ID",
            |it| {
                it.client_id = Uuid::from_u128(9).to_string();
            },
        )
        .await;
    tried
        .fails(
            token,
            "scope is not known",
            "Leave connection.scope out",
            |it| {
                it.scope = Some("https://example.com".into());
            },
        )
        .await;
    tried
        .fails(token, "no secret `nope`", "clientSecretId", |it| {
            it.client_secret_id = Some("nope".into());
        })
        .await;
    tried
        .fails(
            token,
            "127.0.0.1:1 cannot be reached",
            "connection.authority",
            |it| {
                it.authority = "http://127.0.0.1:1".into();
            },
        )
        .await;
    tried.entra.set_secret_has_expired(true);
    tried
        .fails(token, "AADSTS7000222", "New client secret", |_| {})
        .await;
    tried.entra.set_client_secret("another");
    tried
        .fails(token, "AADSTS7000215", "not its Secret ID", |_| {})
        .await;
    tried
        .secrets
        .set(SECRET_ID, r#"{"clientSecret": "", "expiresOn": ""}"#);
    tried
        .fails(token, "is empty", "New client secret", |_| {})
        .await;
    tried.secrets.deny("GetSecretValue");
    tried
        .fails(
            token,
            "Your AWS identity may not read",
            "secretsmanager:GetSecretValue",
            |_| {},
        )
        .await;
}

#[tokio::test]
async fn an_environment_that_does_not_take_the_token_is_explained_with_its_fix() {
    let tried = Tried::new().await;
    let environment = TestStep::Environment;
    tried
        .fails(
            environment,
            "no Web API of version 8.0",
            "\"apiVersion\": \"9.2\"",
            |it| {
                it.api_version = "8.0".into();
            },
        )
        .await;
    tried
        .fails(
            environment,
            "does not accept the token",
            "connection.scope must be",
            |it| {
                it.scope = Some("https://other.crm.dynamics.com/.default".into());
            },
        )
        .await;
    tried
        .fails(
            environment,
            "nowhere.invalid cannot be reached",
            "Environment URL",
            |it| {
                it.scope = Some(format!("{}/.default", it.environment_uri));
                it.environment_uri = "http://nowhere.invalid".into();
            },
        )
        .await;
    let page = Fault {
        method: String::new(),
        path: "WhoAmI".into(),
        times: 1,
        effect: Effect::SignInPage,
    };
    tried.dataverse.faults.add(page);
    tried
        .fails(environment, "no JSON object", "Environment URL", |_| {})
        .await;
    tried.dataverse.set_application_user(false);
    tried
        .fails(
            environment,
            "no user of this environment",
            "New app user",
            |_| {},
        )
        .await;
    tried.dataverse.set_application_user(true);
    tried.dataverse.set_user_disabled(true);
    tried
        .fails(environment, "is disabled", "Enable it", |_| {})
        .await;
    tried.dataverse.set_user_disabled(false);
    tried.dataverse.set_roles(&[]);
    tried
        .fails(
            TestStep::User,
            "no security role",
            "Edit security roles",
            |_| {},
        )
        .await;
    tried.dataverse.set_roles(&["Small"]);
    tried.dataverse.set_missing_privilege(Some("prvReadUser"));
    tried
        .fails(TestStep::User, "prvReadUser", "Edit security roles", |_| {})
        .await;
    let report = tried.tested(|_| {}).await;
    assert_eq!(report.steps[3].outcome, Outcome::NotTried);
}

#[tokio::test]
async fn tables_are_described_and_remembered() {
    let tried = Tried::new().await;
    let tables = tried.environment.tables().await.unwrap();
    let visits = tables
        .iter()
        .find(|table| table.entity_set == "new_visits")
        .unwrap();
    assert_eq!(
        (
            visits.logical_name.as_str(),
            visits.primary_key.as_str(),
            visits.is_custom
        ),
        ("new_visit", "new_visitid", true)
    );
    let calls = tried
        .environment
        .table("phonecalls")
        .await
        .unwrap()
        .unwrap();
    let column = |name: &str| calls.column(name).unwrap().clone();
    assert_eq!(
        column("subject").kind,
        ColumnKind::Text {
            max: Some(200),
            is_long: false
        }
    );
    assert_eq!(
        column("description").kind,
        ColumnKind::Text {
            max: Some(2000),
            is_long: true
        }
    );
    let ColumnKind::Choice { options } = column("statuscode").kind else {
        panic!("a choice has options")
    };
    let values: Vec<i64> = options.iter().map(|option| option.value).collect();
    assert_eq!(values, [1, 2, 3, 4]);
    assert!(!column("statecode").can_create && column("statecode").can_update);
    assert!(!column("createdon").can_create);
    let about = calls
        .navigation("regardingobjectid_contact_phonecall")
        .unwrap();
    assert_eq!(
        (about.column.as_str(), about.targets[0].entity_set.as_str()),
        ("regardingobjectid", "contacts")
    );
    assert!(tried.environment.table("nope").await.unwrap().is_none());
    tried.dataverse.take_exchanges();
    tried.environment.table("phonecalls").await.unwrap();
    assert_eq!(tried.dataverse.take_exchanges().len(), 0);
    tried.environment.refresh().await;
    tried.environment.table("phonecalls").await.unwrap();
    assert_eq!(tried.dataverse.take_exchanges().len(), 7);
}

#[tokio::test]
async fn what_the_environment_would_refuse_is_marked_in_its_place() {
    let tried = Tried::new().await;
    let long = "x".repeat(21);
    for (set, body, place, said, right) in [
        (
            "phonecals",
            json!({}),
            "entitySet",
            "no entity set `phonecals`",
            Some("phonecalls"),
        ),
        (
            "new_visit",
            json!({}),
            "entitySet",
            "no entity set",
            Some("new_visits"),
        ),
        (
            "phonecalls",
            json!({"subjct": "{{ Channel }}"}),
            "body.subjct",
            "no column `subjct`",
            Some("subject"),
        ),
        (
            "new_visits",
            json!({"new_scor": "{{ Channel }}"}),
            "body.new_scor",
            "no column",
            Some("new_score"),
        ),
        (
            "new_visits",
            json!({"score": 1}),
            "body.score",
            "no column",
            Some("new_score"),
        ),
        (
            "new_visits",
            json!({"new_name": long}),
            "body.new_name",
            "takes 20",
            None,
        ),
        (
            "new_visits",
            json!({"new_score": "7"}),
            "body.new_score",
            "a whole number, and this is a text",
            None,
        ),
        (
            "new_visits",
            json!({"new_kind": 3}),
            "body.new_kind",
            "100000000 (Option 100000000)",
            None,
        ),
        (
            "new_visits",
            json!({"new_total": "{{ Channel }}"}),
            "body.new_total",
            "read-only",
            None,
        ),
        (
            "phonecalls",
            json!({"statecode": 1}),
            "body.statecode",
            "cannot be set when a record is created",
            None,
        ),
        (
            "new_visits",
            json!({"new_patient@odata.bind": "/contacts({{ Attributes.id }})"}),
            "body.new_patient@odata.bind",
            "no navigation property",
            Some("new_Patient@odata.bind"),
        ),
        (
            "new_visits",
            json!({"new_patient": "{{ Attributes.id }}"}),
            "body.new_patient",
            "is a lookup",
            Some("new_Patient@odata.bind"),
        ),
        (
            "new_visits",
            json!({"new_Patient@odata.bind": "/accounts({{ Attributes.id }})"}),
            "body.new_Patient@odata.bind",
            "takes a record of contacts, and this is one of accounts",
            None,
        ),
        (
            "phonecalls",
            json!({"regardingobjectid_contact_phonecall@odata.bind": "/leads({{ Attributes.id }})"}),
            "body.regardingobjectid_contact_phonecall@odata.bind",
            "for one of leads write",
            Some("regardingobjectid_lead_phonecall@odata.bind"),
        ),
        (
            "phonecalls",
            json!({"regardingobjectid@odata.bind": "/contacts({{ Attributes.id }})"}),
            "body.regardingobjectid@odata.bind",
            "no navigation property",
            Some("regardingobjectid_contact_phonecall@odata.bind"),
        ),
    ] {
        let marks = tried.marks(of_request(set, body.clone())).await;
        let [mark] = marks.as_slice() else {
            panic!("{set} {body}: {marks:#?}")
        };
        assert_eq!(mark.place, format!("steps.contact-start.request.{place}"));
        assert!(mark.message.contains(said), "{said}: {mark:#?}");
        assert_eq!(mark.right.as_deref(), right, "{mark:#?}");
    }
}

#[tokio::test]
async fn queries_and_searches_are_checked_too_and_what_is_right_is_not_marked() {
    let tried = Tried::new().await;
    let marks = tried
        .marks(json!({
            "request": {
                "method": "GET",
                "entitySet": "new_visits",
                "queryString": "?$select=new_name,new_patient&$filter=_new_patient_value eq {{ Attributes.id }} and startswith(new_nam,'new_no eq x') and new_score gt 5&$orderby=new_scor desc"
            },
            "customer": {"tables": [
                {"entitySet": "contacts", "phoneColumns": ["mobilphone"], "select": ["birthdate"]},
                {"entitySet": "new_visits", "textColumns": ["new_score"], "nameColumn": "new_name"}
            ]},
        }))
        .await;
    let told: Vec<(&str, Option<&str>)> = marks
        .iter()
        .map(|mark| {
            (
                mark.place.trim_start_matches("steps.contact-start."),
                mark.right.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("customer.tables[0].phoneColumns", Some("mobilephone")),
            ("customer.tables[1].textColumns", None),
            ("customer.tables[1].filter", Some("")),
            ("request.queryString", Some("_new_patient_value")),
            ("request.queryString", Some("new_name")),
            ("request.queryString", Some("new_score")),
        ],
        "{marks:#?}"
    );
    for recipe in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/recipes")).unwrap()
    {
        let path = recipe.unwrap().path();
        let document = std::fs::read_to_string(&path).unwrap();
        let configuration: Configuration = serde_json::from_str(&document).unwrap();
        let marks = tried.environment.check(&configuration).await.unwrap();
        assert_eq!(marks, [], "{}", path.display());
    }
}

#[tokio::test]
async fn privileges_that_are_missing_are_told_without_a_write() {
    let tried = Tried::new().await;
    let recipe = include_str!("../docs/recipes/phone-call.json");
    let recipe: Configuration = serde_json::from_str(recipe).unwrap();
    let missing = tried.environment.missing_privileges(&recipe).await.unwrap();
    assert_eq!(missing, []);
    for (privilege, table) in [
        ("prvCreateActivity", "phonecall"),
        ("prvAppendActivity", "phonecall"),
        ("prvAppendToContact", "contact"),
        ("prvReadContact", "contact"),
    ] {
        tried.dataverse.set_missing_privilege(Some(privilege));
        let missing = tried.environment.missing_privileges(&recipe).await.unwrap();
        let [one] = missing.as_slice() else {
            panic!("{privilege}: {missing:#?}")
        };
        assert_eq!((one.privilege.as_str(), one.lack), (privilege, Lack::Whole));
        assert_eq!(one.tables, [table]);
        assert!(!one.needed_by.is_empty(), "{one:#?}");
    }
    let exchanges = tried.dataverse.take_exchanges();
    assert!(exchanges.iter().all(|exchange| exchange.method == "GET"));
}

#[tokio::test]
async fn a_secret_that_is_set_gives_a_token() {
    let tried = Tried::new().await;
    let aws = tried.aws();
    let state = async || secret_state(&aws, SECRET_ID).await.unwrap();
    let filled = SecretState::Filled {
        expires_on: Some(date(2030, 1, 31)),
    };
    assert_eq!(state().await, filled);
    tried.secrets.remove(SECRET_ID);
    assert_eq!(state().await, SecretState::Missing);
    tried.secrets.add_without_value(SECRET_ID);
    assert_eq!(state().await, SecretState::Empty);
    tried
        .secrets
        .set(SECRET_ID, r#"{"clientSecret": "", "expiresOn": ""}"#);
    assert_eq!(state().await, SecretState::Empty);
    tried.secrets.set(SECRET_ID, "-----BEGIN PRIVATE KEY-----");
    assert!(matches!(state().await, SecretState::Malformed { .. }));
    assert!(!tried.tested(|_| {}).await.works());

    set_secret(&aws, SECRET_ID, " made-up\n", Some(date(2031, 2, 3)))
        .await
        .unwrap();
    assert_eq!(
        serde_json::from_str::<Json>(&tried.secrets.value(SECRET_ID).unwrap()).unwrap(),
        json!({"clientSecret": SECRET, "expiresOn": "2031-02-03"})
    );
    assert!(tried.tested(|_| {}).await.works());
    // One that does not exist is made.
    set_secret(&aws, "new/secret", SECRET, None).await.unwrap();
    let works = tried
        .tested(|it| it.client_secret_id = Some("new/secret".into()))
        .await;
    assert!(works.works(), "{works:#?}");

    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:nope-AbCdEf";
    for (id, value, expected) in [
        (SECRET_ID, " ", SetSecretError::Nothing),
        (
            SECRET_ID,
            "00000000-0000-4000-8000-000000000001",
            SetSecretError::AnId,
        ),
        (arn, SECRET, SetSecretError::NoSuchArn(arn.into())),
    ] {
        assert_eq!(set_secret(&aws, id, value, None).await, Err(expected));
    }
    tried.secrets.deny("PutSecretValue");
    let error = set_secret(&aws, SECRET_ID, SECRET, None).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("needs secretsmanager:PutSecretValue"),
        "{error}"
    );
    tried.secrets.deny("GetSecretValue");
    assert_eq!(state().await, SecretState::NoRight { exists: Some(true) });
}

#[tokio::test]
async fn a_request_is_sent_and_its_record_deleted() {
    let tried = Tried::new().await;
    let id = Uuid::from_u128(0xc0ffee);
    let body = json!({"activityid": id, "subject": "Try"});
    let request = Request {
        method: Method::Post,
        path: "phonecalls".into(),
        body: body.as_object().cloned(),
        kind: Kind::Create {
            record_id: id,
            record_path: format!("phonecalls({id})"),
        },
        primary_key: "activityid".into(),
    };
    let response = tried.environment.send(&request).await.unwrap();
    assert_eq!(response.record_id, Some(id));
    assert!(tried.dataverse.record("phonecalls", id).is_some());
    for _ in 0..2 {
        tried.environment.delete("phonecalls", id).await.unwrap();
        assert!(tried.dataverse.record("phonecalls", id).is_none());
    }
    let unknown = tried.environment.delete("phonecals", id).await;
    assert!(
        matches!(unknown, Err(DynamicsError::Refused(_))),
        "{unknown:?}"
    );
    // One that may have been deleted although nobody said so is asked for once more.
    tried.dataverse.faults.add(Fault {
        method: "DELETE".into(),
        path: String::new(),
        times: 1,
        effect: Effect::CloseAfter,
    });
    tried.environment.send(&request).await.unwrap();
    tried.environment.delete("phonecalls", id).await.unwrap();
    assert!(tried.dataverse.record("phonecalls", id).is_none());
}
