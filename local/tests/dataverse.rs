//! The stand-in for Dataverse refuses what the real one refuses. Each test names the page it follows.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use local::stand_in::{dataverse::Dataverse, entra::Entra};
use serde_json::{Value as Json, json};
use tower::ServiceExt;
use uuid::Uuid;

const ORIGIN: &str = "http://dataverse.example.com";
/// The code of a request that cannot be read.
const MALFORMED: &str = "0x80060888";
const ID: &str = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90";
/// The application user.
const USER: &str = "00000000-0000-4000-8000-000000000002";

struct Environment {
    entra: Entra,
    dataverse: Dataverse,
    token: String,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Json,
}

impl Answer {
    /// Status, error code and message.
    fn refusal(&self) -> (u16, &str, &str) {
        let text = |name: &str| self.body["error"][name].as_str().unwrap_or_default();
        (self.status.as_u16(), text("code"), text("message"))
    }
}

async fn environment() -> Environment {
    let entra = Entra::new("tenant", "client", "made-up");
    let dataverse = Dataverse::new(entra.clone());
    dataverse.set_origin(ORIGIN);
    let form = format!(
        "grant_type=client_credentials&client_id=client&client_secret=made-up&scope={ORIGIN}/.default"
    );
    let token = token(&entra, "tenant", &form).await.body["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    Environment {
        entra,
        dataverse,
        token,
    }
}

async fn token(entra: &Entra, tenant: &str, form: &str) -> Answer {
    let request = Request::post(format!("/{tenant}/oauth2/v2.0/token"))
        .body(Body::from(form.to_owned()))
        .unwrap();
    answer(entra.router(), request).await
}

async fn answer(router: axum::Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or(Json::Null),
    }
}

impl Environment {
    async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Json,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/data/v9.2/{target}"))
            .header("Authorization", format!("Bearer {}", self.token));
        if !body.is_null() {
            request = request.header("Content-Type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        answer(self.dataverse.router(), request.body(body).unwrap()).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], Json::Null).await
    }

    async fn post(&self, target: &str, body: Json) -> Answer {
        self.send("POST", target, &[], body).await
    }

    fn insert(&self, set: &str, fields: Json) -> Uuid {
        let id = self.dataverse.insert(set, fields.clone());
        id.unwrap_or_else(|refusal| panic!("{set} {fields}: {refusal}"))
    }

    fn record(&self, set: &str, id: Uuid) -> Json {
        self.dataverse.record(set, id).unwrap().into()
    }

    /// Creates a record; returns it as it is held.
    async fn create(&self, set: &str, mut body: Json) -> Json {
        let id = Uuid::new_v4();
        let activities = ["phonecalls", "tasks", "emails", "appointments"];
        let key = match set {
            set if activities.contains(&set) => "activityid".to_owned(),
            "opportunities" => "opportunityid".to_owned(),
            set => format!("{}id", set.trim_end_matches('s')),
        };
        body[key] = id.to_string().into();
        let created = self.post(set, body.clone()).await;
        assert_eq!(created.status, 204, "{set} {body}: {}", created.body);
        self.record(set, id)
    }

    /// Tells that a create is refused, with which status and code, and in which words.
    async fn refuses(&self, set: &str, body: Json, status: u16, code: &str, words: &str) {
        let refused = self.post(set, body.clone()).await;
        let (refused_status, refused_code, said) = refused.refusal();
        assert_eq!(
            (refused_status, refused_code),
            (status, code),
            "{set} {body}: {said}"
        );
        assert!(said.contains(words), "{set} {body}: {said}");
    }

    async fn patch(&self, target: &str, headers: &[(&str, &str)], body: Json) -> Answer {
        self.send("PATCH", target, headers, body).await
    }
}

// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#error-response-1
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
#[tokio::test]
async fn entra_refuses_a_wrong_tenant_application_secret_grant_and_scope() {
    let environment = environment().await;
    let good = format!(
        "grant_type=client_credentials&client_id=client&client_secret=made-up&scope={ORIGIN}/.default"
    );
    for (tenant, form, status, code) in [
        ("elsewhere", good.clone(), 400, 90_002),
        (
            "tenant",
            good.replace("client_credentials", "password"),
            400,
            70_003,
        ),
        (
            "tenant",
            good.replace("client_id=client", "client_id=other"),
            400,
            700_016,
        ),
        ("tenant", good.replace("made-up", "wrong"), 401, 7_000_215),
        ("tenant", good.replace("/.default", ""), 400, 1_002_012),
    ] {
        let refused = token(&environment.entra, tenant, &form).await;
        assert_eq!(refused.status, status, "{form}");
        assert_eq!(refused.body["error_codes"], json!([code]), "{form}");
        let described = refused.body["error_description"].as_str().unwrap();
        assert!(
            described.starts_with(&format!("AADSTS{code}: ")),
            "{described}"
        );
    }
    environment.entra.set_secret_has_expired(true);
    assert_eq!(
        token(&environment.entra, "tenant", &good).await.body["error_codes"],
        json!([7_000_222])
    );
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors#identify-status-codes
#[tokio::test]
async fn a_missing_unknown_expired_or_foreign_token_is_401() {
    let mut environment = environment().await;
    let good = environment.token.clone();
    for token in ["", "made-up"] {
        environment.token = token.into();
        assert_eq!(environment.get("phonecalls").await.status, 401, "{token}");
    }
    let form = "grant_type=client_credentials&client_id=client&client_secret=made-up&scope=https://other.example.com/.default";
    environment.token = token(&environment.entra, "tenant", form).await.body["access_token"]
        .as_str()
        .unwrap()
        .into();
    assert_eq!(
        environment.get("phonecalls").await.status,
        401,
        "a token for another environment"
    );
    environment.token = good;
    assert_eq!(environment.get("phonecalls").await.status, 200);
    environment.entra.revoke_tokens();
    assert_eq!(
        environment.get("phonecalls").await.status,
        401,
        "a token that has ended"
    );
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-entity-web-api
#[tokio::test]
async fn a_create_answers_204_with_the_records_uri_or_201_with_the_record() {
    let environment = environment().await;
    let created = environment
        .post("phonecalls", json!({"activityid": ID, "subject": "x"}))
        .await;
    assert_eq!(
        (created.status, &created.body),
        (StatusCode::NO_CONTENT, &Json::Null)
    );
    assert_eq!(
        created.headers["OData-EntityId"],
        format!("{ORIGIN}/api/data/v9.2/phonecalls({ID})")
    );
    assert!(!created.headers.contains_key("Preference-Applied"));

    let prefer = [("Prefer", "return=representation")];
    let created = environment
        .send("POST", "phonecalls", &prefer, json!({"subject": "y"}))
        .await;
    assert_eq!(created.status, 201);
    assert_eq!(
        created.headers["Preference-Applied"],
        "return=representation"
    );
    assert_eq!(created.body["subject"], "y");
    assert_eq!(created.body["statecode"], 0);
    assert!(
        created.body["@odata.etag"]
            .as_str()
            .unwrap()
            .starts_with("W/\"")
    );
    assert!(!created.headers.contains_key("OData-EntityId"));
}

// https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes (0x80040237)
#[tokio::test]
async fn a_key_that_exists_is_refused_also_that_of_another_activity() {
    let environment = environment().await;
    environment
        .post("phonecalls", json!({"activityid": ID}))
        .await;
    for set in ["phonecalls", "tasks"] {
        let refused = environment.post(set, json!({"activityid": ID})).await;
        assert_eq!(
            refused.refusal(),
            (
                412,
                "0x80040237",
                "A record with matching key values already exists."
            ),
            "{set}"
        );
    }
    let other = environment.post("contacts", json!({"contactid": ID})).await;
    assert_eq!(other.status, 204, "a contact is no activity");
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api
#[tokio::test]
async fn conditions_of_an_update_are_kept() {
    let environment = environment().await;
    let record = format!("phonecalls({ID})");
    let refused = environment
        .patch(&record, &[("If-Match", "*")], json!({"subject": "x"}))
        .await;
    assert_eq!(
        (refused.status, refused.refusal().1),
        (StatusCode::NOT_FOUND, "0x80040217")
    );
    assert!(
        environment.dataverse.records("phonecalls").is_empty(),
        "prevent create in upsert"
    );

    let upserted = environment
        .patch(
            &record,
            &[("Prefer", "return=representation")],
            json!({"subject": "x"}),
        )
        .await;
    assert_eq!(
        (upserted.status, upserted.body["subject"].as_str()),
        (StatusCode::CREATED, Some("x"))
    );
    let etag = upserted.body["@odata.etag"].as_str().unwrap();
    let refused = environment
        .patch(&record, &[("If-None-Match", "*")], json!({"subject": "y"}))
        .await;
    assert_eq!(
        (refused.status, refused.refusal().1),
        (StatusCode::PRECONDITION_FAILED, "0x80040237"),
        "prevent update in upsert"
    );
    let updated = environment
        .patch(
            &record,
            &[("If-Match", etag), ("Prefer", "return=representation")],
            json!({"subject": "z"}),
        )
        .await;
    assert_eq!(
        (updated.status, updated.body["subject"].as_str()),
        (StatusCode::OK, Some("z"))
    );
    let refused = environment
        .patch(&record, &[("If-Match", etag)], json!({"subject": "late"}))
        .await;
    assert_eq!(
        (refused.status, refused.refusal().1),
        (StatusCode::PRECONDITION_FAILED, "0x80060882"),
        "optimistic concurrency"
    );
    let updated = environment
        .patch(&record, &[("If-Match", "*")], json!({"category": "c"}))
        .await;
    assert_eq!(updated.status, 204);
    let held = environment
        .dataverse
        .record("phonecalls", Uuid::try_parse(ID).unwrap())
        .unwrap();
    assert_eq!(
        (held["subject"].as_str(), held["category"].as_str()),
        (Some("z"), Some("c"))
    );
}

// Columns, types and lengths: https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/phonecall
#[tokio::test]
async fn unknown_columns_wrong_types_and_long_texts_are_refused() {
    let environment = environment().await;
    for (body, code, message) in [
        (
            json!({"nope": 1}),
            "0x80048d19",
            "Invalid property 'nope' was found in entity 'Microsoft.Dynamics.CRM.phonecall'.",
        ),
        (
            json!({"Subject": "x"}),
            "0x80048d19",
            "Invalid property 'Subject'",
        ),
        (
            json!({"subject": 5}),
            "0x80048d19",
            "expected type 'Edm.String'",
        ),
        (
            json!({"actualdurationminutes": "5"}),
            "0x80048d19",
            "expected type 'Edm.Int32'",
        ),
        (
            json!({"actualdurationminutes": 1.5}),
            "0x80048d19",
            "expected type 'Edm.Int32'",
        ),
        (
            json!({"directioncode": "true"}),
            "0x80048d19",
            "expected type 'Edm.Boolean'",
        ),
        (
            json!({"actualstart": "yesterday"}),
            "0x80048d19",
            "expected type 'Edm.DateTimeOffset'",
        ),
        (
            json!({"activityid": "x"}),
            "0x80048d19",
            "expected type 'Edm.Guid'",
        ),
        (
            json!({"createdon": "2026-02-04T00:00:00Z"}),
            "0x80048d19",
            "read-only",
        ),
        (
            json!({"subject": "x".repeat(201)}),
            "0x80044331",
            "maximum allowed length of '200'",
        ),
        (
            json!({"description": "x".repeat(2001)}),
            "0x80044331",
            "maximum allowed length of '2000'",
        ),
        (
            json!({"prioritycode": 9}),
            "0x80044327",
            "outside the valid range",
        ),
        (
            json!({"actualdurationminutes": -1}),
            "0x80044327",
            "outside the valid range",
        ),
        (
            json!({"scheduleddurationminutes": 5}),
            "0x80048d19",
            "'scheduleddurationminutes' is read-only",
        ),
        (
            json!({"statecode": 1, "statuscode": 4}),
            "0x80048d19",
            "'statecode' cannot be set on create",
        ),
        (
            json!({"statuscode": 2}),
            "0x80048408",
            "2 is not a valid status code for state code PhoneCallState.Open on phonecall",
        ),
        (
            json!({"nobody@odata.bind": format!("/contacts({ID})")}),
            "0x80048d19",
            "undeclared property 'nobody'",
        ),
        (
            json!({"regardingobjectid_contact_phonecall@odata.bind": format!("/accounts({ID})")}),
            "0x80048d19",
            "no reference to a record of contacts",
        ),
    ] {
        let refused = environment.post("phonecalls", body.clone()).await;
        let (status, refused_code, refused_message) = refused.refusal();
        assert_eq!((status, refused_code), (400, code), "{body}");
        assert!(
            refused_message.contains(message),
            "{body}: {refused_message}"
        );
    }
    for value in [json!(5), json!([format!("/contacts({ID})")])] {
        let body = json!({"regardingobjectid_contact_phonecall@odata.bind": value});
        let refused = environment.post("phonecalls", body).await;
        assert!(refused.refusal().2.contains("no reference to a record"));
    }
    let missing = environment
        .post(
            "phonecalls",
            json!({"regardingobjectid_contact_phonecall@odata.bind": format!("/contacts({ID})")}),
        )
        .await;
    assert_eq!(
        (missing.status, missing.refusal().1),
        (StatusCode::NOT_FOUND, "0x80040217"),
        "a lookup to nobody"
    );
    assert!(environment.dataverse.records("phonecalls").is_empty());
    let fits = json!({"subject": "x".repeat(200), "description": "ü".repeat(2000), "actualstart": "2026-02-04T21:14:16.789+01:00", "leftvoicemail": false, "category": null});
    assert_eq!(environment.post("phonecalls", fits).await.status, 204);
    assert_eq!(
        environment.dataverse.records("phonecalls")[0]["actualstart"],
        "2026-02-04T20:14:16Z"
    );
}

// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/phonecall
#[tokio::test]
async fn a_phone_call_begins_open_outgoing_and_of_normal_priority() {
    let environment = environment().await;
    environment.post("phonecalls", json!({})).await;
    environment
        .post(
            "phonecalls",
            json!({"directioncode": false, "prioritycode": 2, "isbilled": true, "leftvoicemail": true}),
        )
        .await;
    let columns = [
        "directioncode",
        "prioritycode",
        "isbilled",
        "leftvoicemail",
        "statecode",
        "statuscode",
    ];
    let mut held = environment.dataverse.records("phonecalls");
    held.sort_by_key(|record| record["versionnumber"].as_i64());
    let held: Vec<Vec<&Json>> = held
        .iter()
        .map(|record| columns.iter().map(|column| &record[*column]).collect())
        .collect();
    assert_eq!(
        json!(held),
        json!([[true, 1, false, false, 0, 1], [false, 2, true, true, 0, 1]])
    );
}

// https://learn.microsoft.com/power-apps/developer/data-platform/behavior-specialized-update-operations
#[tokio::test]
async fn an_update_sets_the_state_with_a_status_reason_of_its_own_and_a_closed_call_takes_more() {
    let environment = environment().await;
    let id = Uuid::try_parse(ID).unwrap();
    let record = format!("phonecalls({ID})");
    environment
        .post("phonecalls", json!({"activityid": ID}))
        .await;
    for (body, status, state) in [
        (json!({"statecode": 1}), 204, [1, 2]),
        (json!({"subject": "still taken"}), 204, [1, 2]),
        (json!({"statecode": 1, "statuscode": 4}), 204, [1, 4]),
        (json!({"statecode": 2, "statuscode": 4}), 400, [1, 4]),
        (json!({"statuscode": 1}), 400, [1, 4]),
        (json!({"statecode": 2}), 204, [2, 3]),
        (json!({"description": "still taken"}), 204, [2, 3]),
    ] {
        let answer = environment
            .patch(&record, &[("If-Match", "*")], body.clone())
            .await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        let held = environment.dataverse.record("phonecalls", id).unwrap();
        assert_eq!(
            json!([held["statecode"], held["statuscode"]]),
            json!(state),
            "{body}"
        );
    }
    let held = environment.dataverse.record("phonecalls", id).unwrap();
    assert_eq!(
        (&held["subject"], &held["description"]),
        (&json!("still taken"), &json!("still taken"))
    );
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api
// https://learn.microsoft.com/power-apps/developer/data-platform/use-alternate-key-reference-record
#[tokio::test]
async fn lookups_and_alternate_keys_find_their_records() {
    let environment = environment().await;
    let ada = environment.dataverse.insert(
        "contacts",
        json!({"emailaddress1": "o'hara@example.com", "lastname": "O'Hara"}),
    );
    let ada = ada.unwrap();
    for bind in [
        format!("/contacts({ada})"),
        "contacts(emailaddress1='o%27%27hara%40example.com')".into(),
    ] {
        let id = Uuid::new_v4();
        let created = environment
            .post(
                "phonecalls",
                json!({"activityid": id, "regardingobjectid_contact_phonecall@odata.bind": bind}),
            )
            .await;
        assert_eq!(created.status, 204, "{bind}");
        assert_eq!(
            environment.dataverse.record("phonecalls", id).unwrap()["_regardingobjectid_value"],
            ada.to_string()
        );
    }
    let read = environment
        .get("contacts(emailaddress1='o%27%27hara%40example.com')?$select=lastname")
        .await;
    assert_eq!(
        (read.status, read.body["lastname"].as_str()),
        (StatusCode::OK, Some("O'Hara"))
    );
    assert!(read.body.get("emailaddress1").is_none(), "not selected");
    for (target, status, code) in [
        ("contacts(emailaddress1='nobody')", 404, "0x80060891"),
        // The environment may have made it a key.
        ("contacts(lastname='x')", 404, "0x80060891"),
        ("contacts(lastnam='x')", 400, "0x80060888"),
        (
            "contacts(lastname='x',emailaddress1='y')",
            404,
            "0x80060891",
        ),
        ("contacts(lastname='x'),y", 400, "0x80060888"),
        ("contacts()", 400, "0x80060888"),
        ("contacts(1", 400, "0x80060888"),
        ("contacts(emailaddress1='a'b')", 400, "0x80060888"),
        ("contacts(emailaddress1=a)", 400, "0x80060888"),
        ("phonecals", 404, "0x8006088a"),
        (&format!("contacts({})", Uuid::nil()), 404, "0x80040217"),
    ] {
        let refused = environment.get(target).await;
        assert_eq!(
            (refused.refusal().0, refused.refusal().1),
            (status, code),
            "{target}"
        );
    }
    let taken = environment
        .post("contacts", json!({"emailaddress1": "O'HARA@example.com"}))
        .await;
    assert_eq!((taken.refusal().0, taken.refusal().1), (412, "0x80060892"));
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview
#[tokio::test]
async fn queries_select_filter_order_and_stop_as_documented() {
    let environment = environment().await;
    for (subject, minutes) in [("b", 2), ("a", 1), ("c", 3)] {
        environment
            .post(
                "phonecalls",
                json!({"subject": subject, "actualdurationminutes": minutes}),
            )
            .await;
    }
    let found = environment.get("phonecalls?$select=subject&$filter=actualdurationminutes%20ge%202&$orderby=subject%20desc&$top=1").await;
    assert_eq!(found.status, 200);
    let records = found.body["value"].as_array().unwrap();
    assert_eq!(
        (records.len(), records[0]["subject"].as_str()),
        (1, Some("c"))
    );
    assert!(
        records[0]["activityid"].is_string(),
        "the primary key is always there"
    );
    for (query, code, message) in [
        (
            "$select=nope",
            "0x0",
            "Could not find a property named 'nope' on type 'Microsoft.Dynamics.CRM.phonecall'.",
        ),
        (
            "$filter=nope%20eq%201",
            "0x0",
            "Could not find a property named 'nope'",
        ),
        ("$filter=subject%20eq", MALFORMED, "literal is expected"),
        (
            "$orderby=nope",
            "0x0",
            "Could not find a property named 'nope'",
        ),
        ("$top=x", MALFORMED, "Invalid value 'x' for $top"),
        (
            "$search=x",
            MALFORMED,
            "The query parameter $search is not supported.",
        ),
        (
            "subject=x",
            MALFORMED,
            "The query parameter subject is not supported.",
        ),
        ("$top=1&$top=2", MALFORMED, "more than once"),
    ] {
        let refused = environment.get(&format!("phonecalls?{query}")).await;
        assert_eq!(
            (refused.refusal().0, refused.refusal().1),
            (400, code),
            "{query}"
        );
        assert!(
            refused.refusal().2.contains(message),
            "{query}: {}",
            refused.refusal().2
        );
    }
}

// What Dataverse may well take is never refused in its words.
#[tokio::test]
async fn what_cannot_be_tried_is_refused_in_the_stand_ins_own_words() {
    let environment = environment().await;
    let record = format!("incidents({ID})");
    for (method, target) in [
        ("GET", "phonecalls?$expand=x"),
        ("GET", "contacts/$count"),
        ("GET", "contacts?$orderby=_ownerid_value"),
        ("GET", "contacts?$apply=x"),
        ("GET", "contacts?fetchXml=%3Cfetch%2F%3E"),
        (
            "GET",
            "contacts?savedQuery=00000000-0000-4000-8000-000000000001",
        ),
        (
            "GET",
            "contacts?$filter=Microsoft.Dynamics.CRM.Today(PropertyName='createdon')",
        ),
        (
            "GET",
            "accounts?$filter=primarycontactid/lastname%20eq%20'x'",
        ),
        ("POST", &format!("{record}/Microsoft.Dynamics.CRM.X")),
        ("POST", "incidents/Microsoft.Dynamics.CRM.X"),
        ("POST", "CloseIncident"),
        ("GET", &format!("contacts({ID})/fullname")),
    ] {
        let body = if method == "GET" {
            Json::Null
        } else {
            json!({})
        };
        let refused = environment.send(method, target, &[], body).await;
        let (status, code, message) = refused.refusal();
        assert_eq!((status, code), (501, "stand-in"), "{target}: {message}");
        assert!(message.contains("cannot be tried here"), "{message}");
    }
    let nested = json!({"regardingobjectid_contact_phonecall": {"lastname": "x"}});
    let refused = environment.post("phonecalls", nested).await;
    assert_eq!(refused.refusal().1, "stand-in");
}

#[tokio::test]
async fn tables_and_columns_that_nobody_knows_here_are_held_as_they_come() {
    let environment = environment().await;
    for (set, key, body) in [
        (
            "letters",
            "activityid",
            json!({"subject": "x", "scheduledstart": "2026-02-04T00:00:00Z",
                "letter_activity_parties": [{"participationtypemask": 1}]}),
        ),
        (
            "invoices",
            "invoiceid",
            json!({"name": "x", "ownerid@odata.bind": format!("/systemusers({ID})")}),
        ),
        (
            "new_calls",
            "new_callid",
            json!({"new_minutes": 5, "statuscode": 7}),
        ),
        ("contracts", "contractid", json!({"title": "x"})),
        (
            "contacts",
            "contactid",
            json!({"nickname": "x", "address1_city": "x", "new_tier": "gold", "entityimage": null}),
        ),
        (
            "phonecalls",
            "activityid",
            json!({"sortdate": "2026-02-04T00:00:00Z", "cr1_rating": 5, "prioritycode": 100_000_001,
                "statuscode": 100_000_000,
                "regardingobjectid_new_visit_phonecall@odata.bind": format!("/new_visits({ID})")}),
        ),
        (
            "tasks",
            "activityid",
            json!({"crmtaskassigneduniqueid": ID.to_uppercase()}),
        ),
    ] {
        let id = Uuid::new_v4();
        let mut sent = body.clone();
        sent[key] = id.to_string().to_uppercase().into();
        let created = environment.post(set, sent).await;
        assert_eq!(created.status, 204, "{set}: {}", created.body);
        let record = format!("{set}({id})");
        let changed = environment
            .patch(&record, &[("If-Match", "*")], json!({"new_x": 1}))
            .await;
        assert_eq!(changed.status, 204, "{set}: {}", changed.body);
        let held = environment.dataverse.record(set, id).unwrap();
        assert_eq!(held[key], id.to_string(), "{set}");
        assert_eq!(held["new_x"], 1, "{set}");
        for (name, value) in body.as_object().unwrap() {
            match name.strip_suffix("@odata.bind") {
                Some("ownerid") => assert_eq!(held["_ownerid_value"], ID),
                Some(_) => assert_eq!(held["_regardingobjectid_value"], ID),
                None => assert_eq!(held[name], *value, "{set} {name}"),
            }
        }
        let found = environment
            .get(&format!(
                "{set}?$select=new_x&$filter=new_x%20eq%201&$orderby=new_x"
            ))
            .await;
        assert_eq!(found.body["value"].as_array().unwrap().len(), 1, "{set}");
        let key = environment.get(&format!("{set}(new_x=1)")).await;
        assert_eq!(key.status, 200, "{set}: an alternate key");
        let exchanges = environment.dataverse.take_exchanges();
        let notes: Vec<&String> = exchanges.iter().flat_map(|sent| &sent.notes).collect();
        assert!(!notes.is_empty(), "{set}");
        assert!(
            notes
                .iter()
                .all(|note| note.starts_with("the stand-in does not know ")),
            "{notes:?}"
        );
    }
    let id = environment.post("new_calls", json!({})).await.headers["OData-EntityId"].clone();
    assert!(id.to_str().unwrap().contains("/new_calls("), "{id:?}");
}

#[tokio::test]
async fn a_misspelt_table_or_column_of_a_known_table_is_refused_all_the_same() {
    let environment = environment().await;
    for set in [
        "phonecall",
        "phonecals",
        "PhoneCalls",
        "incident",
        "contcts",
        "task",
    ] {
        let refused = environment.post(set, json!({})).await;
        assert_eq!(
            (refused.refusal().0, refused.refusal().1),
            (404, "0x8006088a"),
            "{set}"
        );
    }
    for (set, name) in [
        ("phonecalls", "phonenumbr"),
        ("phonecalls", "crmtaskassigneduniqueid"),
        ("contacts", "telephone4"),
        ("contacts", "address1_ctiy"),
        ("accounts", "lastname"),
        ("tasks", "directioncode"),
        ("phonecalls", "regardingobjectid@odata.bind"),
        ("phonecalls", "regardingobjectid_contact@odata.bind"),
        ("incidents", "customerid@odata.bind"),
        ("contacts", "ownrid@odata.bind"),
    ] {
        let refused = environment.post(set, json!({name: "x"})).await;
        assert_eq!(
            (refused.refusal().0, refused.refusal().1),
            (400, "0x80048d19"),
            "{set} {name}"
        );
    }
    for (set, name) in [
        ("incidents", "customerid"),
        ("phonecalls", "regardingobjectid"),
    ] {
        let refused = environment.post(set, json!({name: ID})).await;
        let words = "Use Navigation properties instead";
        assert!(refused.refusal().2.contains(words), "{set} {name}");
    }
}

// https://learn.microsoft.com/dynamics365/customer-service/develop/reference/entities/incident
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes (0x80044410)
#[tokio::test]
async fn a_case_has_a_customer_and_no_update_resolves_it() {
    let environment = environment().await;
    let refused = environment.post("incidents", json!({"title": "x"})).await;
    assert_eq!(
        refused.refusal(),
        (
            400,
            "0x80044410",
            "You should specify a parent contact or account."
        )
    );
    environment
        .post("accounts", json!({"accountid": ID, "name": "x"}))
        .await;
    let body =
        json!({"incidentid": ID, "customerid_account@odata.bind": format!("/accounts({ID})")});
    assert_eq!(environment.post("incidents", body).await.status, 204);
    let record = format!("incidents({ID})");
    let refused = environment
        .patch(&record, &[("If-Match", "*")], json!({"statecode": 1}))
        .await;
    assert_eq!(refused.status, 400);
    assert!(refused.refusal().2.contains("CloseIncidentRequest"));
    let held = environment.dataverse.records("incidents").remove(0);
    assert_eq!(held["statecode"], 0);
    let cancelled = environment
        .patch(&record, &[("If-Match", "*")], json!({"statecode": 2}))
        .await;
    assert_eq!(cancelled.status, 204);
}

// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/account
#[tokio::test]
async fn columns_that_only_a_create_or_only_an_update_sets_are_refused_in_the_other() {
    let environment = environment().await;
    let refused = environment.post("accounts", json!({"statecode": 1})).await;
    assert!(refused.refusal().2.contains("cannot be set on create"));
    let body = json!({"accountid": ID, "overriddencreatedon": "2026-02-04T00:00:00Z"});
    assert_eq!(environment.post("accounts", body.clone()).await.status, 204);
    let refused = environment
        .patch(&format!("accounts({ID})"), &[("If-Match", "*")], body)
        .await;
    assert!(
        refused
            .refusal()
            .2
            .contains("'overriddencreatedon' cannot be set on update")
    );
}

// https://learn.microsoft.com/power-platform/admin/manage-application-users
// https://learn.microsoft.com/power-apps/developer/data-platform/security-access-coding
#[tokio::test]
async fn an_application_without_a_user_or_a_privilege_is_403() {
    let environment = environment().await;
    environment
        .dataverse
        .set_missing_privilege(Some("prvCreateActivity"));
    let refused = environment.post("phonecalls", json!({})).await;
    assert_eq!(
        (refused.refusal().0, refused.refusal().1),
        (403, "0x80040220")
    );
    assert!(
        refused
            .refusal()
            .2
            .contains("is missing prvCreateActivity privilege")
    );
    assert_eq!(environment.get("phonecalls").await.status, 200);
    let other = environment.post("contacts", json!({})).await;
    assert_eq!(other.status, 204, "contacts have a privilege of their own");
    environment.dataverse.set_application_user(false);
    let refused = environment.get("phonecalls").await;
    assert_eq!(
        refused.refusal(),
        (
            403,
            "0x80072560",
            "The user is not a member of the organization."
        )
    );
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors
#[tokio::test]
async fn methods_versions_and_content_types_are_checked() {
    let environment = environment().await;
    let record = format!("phonecalls({ID})");
    for (method, target) in [
        ("PATCH", "phonecalls"),
        ("POST", &record),
        ("DELETE", "phonecalls"),
        ("PUT", &record),
    ] {
        let refused = environment.send(method, target, &[], json!({})).await;
        assert_eq!(
            refused.refusal(),
            (
                404,
                "",
                &*format!("The requested resource does not support http method '{method}'.")
            ),
            "{target}"
        );
    }
    assert_eq!(
        environment
            .send("POST", "phonecalls", &[], Json::Null)
            .await
            .status,
        415
    );
    assert_eq!(environment.post("phonecalls", json!([])).await.status, 400);
    assert_eq!(
        environment
            .send("GET", "phonecalls", &[("OData-Version", "5.0")], Json::Null)
            .await
            .status,
        400
    );
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/update-delete-entities-using-web-api#basic-delete
#[tokio::test]
async fn a_record_is_deleted_once_and_not_while_others_point_to_it() {
    let environment = environment().await;
    let contact = environment
        .create("contacts", json!({"lastname": "Example"}))
        .await;
    let contact = format!("contacts({})", contact["contactid"].as_str().unwrap());
    let bound = json!({"regardingobjectid_contact_phonecall@odata.bind": format!("/{contact}")});
    let call = environment.create("phonecalls", bound).await;
    let call = format!("phonecalls({})", call["activityid"].as_str().unwrap());
    let delete = async |target: &str| environment.send("DELETE", target, &[], Json::Null).await;
    assert_eq!(delete(&contact).await.status, 501);
    environment
        .dataverse
        .set_missing_privilege(Some("prvDeleteActivity"));
    assert_eq!(delete(&call).await.refusal().1, "0x80040220");
    environment.dataverse.set_missing_privilege(None);
    assert_eq!(delete(&call).await.status, 204);
    let gone = delete(&call).await;
    assert_eq!((gone.refusal().0, gone.refusal().1), (404, "0x80040217"));
    assert_eq!(delete(&contact).await.status, 204);
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
#[tokio::test]
async fn tables_are_described_as_they_are_checked() {
    let environment = environment().await;
    let tables = environment
        .get("EntityDefinitions?$select=LogicalName,EntitySetName")
        .await;
    let calls = json!({"LogicalName": "phonecall", "EntitySetName": "phonecalls"});
    let tables = tables.body["value"].as_array().unwrap().clone();
    let found = tables
        .iter()
        .find(|table| table["LogicalName"] == "phonecall");
    let found = found.unwrap();
    assert_eq!(found["EntitySetName"], calls["EntitySetName"]);
    let lengths = environment
        .get("EntityDefinitions(LogicalName='phonecall')/Attributes/Microsoft.Dynamics.CRM.StringAttributeMetadata?$select=LogicalName,MaxLength")
        .await;
    let lengths = lengths.body["value"].as_array().unwrap().clone();
    let subject = lengths
        .iter()
        .find(|column| column["LogicalName"] == "subject");
    assert_eq!(subject.unwrap()["MaxLength"], 200);
    for (target, status) in [
        (
            "EntityDefinitions(LogicalName='nope')?$select=LogicalName",
            404,
        ),
        ("EntityDefinitions", 501),
        ("EntityDefinitions?$select=LogicalName,SchemaName", 501),
        (
            "EntityDefinitions?$select=LogicalName&$filter=IsActivity%20eq%20true",
            501,
        ),
        (
            "EntityDefinitions(LogicalName='phonecall')/Attributes/Microsoft.Dynamics.CRM.EnumAttributeMetadata?$select=LogicalName",
            501,
        ),
    ] {
        assert_eq!(environment.get(target).await.status, status, "{target}");
    }
}

#[tokio::test]
async fn a_user_who_is_disabled_or_has_no_role_is_refused() {
    let environment = environment().await;
    let user = format!(
        "systemusers({USER})?$select=fullname&$expand=systemuserroles_association($select=name)"
    );
    let told = environment.get(&user).await.body;
    assert_eq!(
        told["systemuserroles_association"][0]["name"],
        "Amazon Connect contacts"
    );
    environment.dataverse.set_roles(&[]);
    assert_eq!(environment.get(&user).await.refusal().1, "0x80042f09");
    assert_eq!(environment.get("WhoAmI").await.status, 200);
    environment.dataverse.set_user_disabled(true);
    assert_eq!(environment.get("WhoAmI").await.refusal().1, "0x80040225");
}

#[tokio::test]
async fn records_are_put_in_as_dataverse_would_take_them() {
    let environment = environment().await;
    let put = async |set: &str, body: Json| {
        let request = Request::post(format!("/stand-in/records/{set}"))
            .header("Content-Type", "application/json")
            .body(Body::from(body.to_string()));
        let response = environment
            .dataverse
            .router()
            .oneshot(request.unwrap())
            .await;
        let (parts, body) = response.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, String::from_utf8(body.to_vec()).unwrap())
    };
    let (status, ids) = put(
        "contacts",
        json!([{"contactid": ID, "telephone1": "+15555550100"}, {"lastname": "x"}]),
    )
    .await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(ids.contains(ID), "{ids}");
    let found = environment
        .get("contacts?$filter=telephone1%20eq%20'%2B15555550100'")
        .await;
    assert_eq!(found.body["value"][0]["contactid"], ID);
    assert_eq!(
        put("letters", json!({"subject": "x"})).await.0,
        StatusCode::CREATED
    );
    for (set, body, words) in [
        ("contacts", json!({"lastnam": "x"}), "record 0: "),
        (
            "contacts",
            json!([{}, 5]),
            "record 1: a record is a JSON object",
        ),
        (
            "contact",
            json!({}),
            "Resource not found for the segment 'contact'",
        ),
        (
            "incidents",
            json!({}),
            "You should specify a parent contact or account.",
        ),
    ] {
        let (status, said) = put(set, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn a_fault_that_nothing_could_meet_is_refused_in_words() {
    let environment = environment().await;
    let set = async |fault: Json| {
        let request = Request::post("/stand-in/faults")
            .header("Content-Type", "application/json")
            .body(Body::from(fault.to_string()));
        let response = environment
            .dataverse
            .router()
            .oneshot(request.unwrap())
            .await;
        let (parts, body) = response.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, String::from_utf8(body.to_vec()).unwrap())
    };
    for (fault, words) in [
        (
            json!({"effect": {"status": {"status": 99}}}),
            "99 is no status of an answer",
        ),
        (
            json!({"effect": {"status": {"status": 1000}}}),
            "write one from 200 to 599",
        ),
        (
            json!({"times": 0, "effect": "closeBefore"}),
            "write 1 or more",
        ),
        (
            json!({"effect": {"redirect": "http://x\ny"}}),
            "no control characters",
        ),
        (
            json!({"effect": {"stattus": 1}}),
            "unknown variant `stattus`",
        ),
        (json!({"effekt": 1}), "unknown field `effekt`"),
    ] {
        let (status, said) = set(fault.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{fault}: {said}");
        assert!(said.contains(words), "{fault}: {said}");
    }
    assert_eq!(
        environment.get("phonecalls").await.status,
        200,
        "no fault is set"
    );
    let fault = json!({"effect": {"status": {"status": 503}}});
    assert_eq!(set(fault).await.0, StatusCode::NO_CONTENT);
    assert_eq!(environment.get("phonecalls").await.status, 503);
}

// https://learn.microsoft.com/dynamics365/sales/developer/entities/lead
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/contact
#[tokio::test]
async fn a_customer_is_reached_by_several_numbers_and_addresses_of_documented_length() {
    let environment = environment().await;
    for (set, column, longest) in [
        ("contacts", "telephone1", 50),
        ("contacts", "telephone2", 50),
        ("contacts", "telephone3", 50),
        ("contacts", "mobilephone", 50),
        ("contacts", "emailaddress2", 100),
        ("contacts", "emailaddress3", 100),
        ("accounts", "telephone1", 50),
        ("accounts", "telephone3", 50),
        ("accounts", "emailaddress3", 100),
        ("leads", "telephone1", 50),
        ("leads", "telephone3", 50),
        ("leads", "mobilephone", 20),
        ("leads", "emailaddress1", 100),
        ("leads", "subject", 300),
        ("leads", "companyname", 100),
    ] {
        let fits = "1".repeat(longest);
        let held = environment.create(set, json!({column: fits})).await;
        assert_eq!(held[column], fits, "{set} {column}");
        let long = json!({column: "1".repeat(longest + 1)});
        let words = format!("maximum allowed length of '{longest}'");
        environment
            .refuses(set, long, 400, "0x80044331", &words)
            .await;
    }
    environment
        .refuses(
            "accounts",
            json!({"mobilephone": "1"}),
            400,
            "0x80048d19",
            "Invalid property",
        )
        .await;
    assert!(
        environment
            .dataverse
            .take_exchanges()
            .iter()
            .all(|sent| sent.notes.is_empty())
    );
}

// https://learn.microsoft.com/dynamics365/sales/developer/entities/lead
#[tokio::test]
async fn a_lead_begins_open_with_a_name_made_of_its_names() {
    let environment = environment().await;
    let lead = json!({"leadid": ID, "firstname": "Ada", "lastname": "O'Hara", "leadsourcecode": 8});
    assert_eq!(environment.post("leads", lead).await.status, 204);
    let id = Uuid::try_parse(ID).unwrap();
    let held = environment.record("leads", id);
    assert_eq!(
        json!([held["fullname"], held["statecode"], held["statuscode"]]),
        json!(["Ada O'Hara", 0, 1])
    );
    let record = format!("leads({ID})");
    for (body, status, expected) in [
        (json!({"firstname": null}), 204, json!(["O'Hara", 0, 1])),
        (json!({"statecode": 1}), 204, json!(["O'Hara", 1, 3])),
        (
            json!({"statecode": 2, "statuscode": 5}),
            204,
            json!(["O'Hara", 2, 5]),
        ),
        (
            json!({"statecode": 0, "statuscode": 5}),
            400,
            json!(["O'Hara", 2, 5]),
        ),
        (json!({"fullname": "x"}), 400, json!(["O'Hara", 2, 5])),
        (json!({"leadsourcecode": 11}), 400, json!(["O'Hara", 2, 5])),
    ] {
        let answer = environment
            .patch(&record, &[("If-Match", "*")], body.clone())
            .await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        let held = environment.record("leads", id);
        assert_eq!(
            json!([held["fullname"], held["statecode"], held["statuscode"]]),
            expected,
            "{body}"
        );
    }
    let nobody = environment.create("contacts", json!({})).await;
    assert_eq!(nobody["fullname"], Json::Null);
}

// https://learn.microsoft.com/power-apps/developer/data-platform/user-team-entities
#[tokio::test]
async fn users_teams_and_queues_are_read_and_put_in_but_not_written() {
    let environment = environment().await;
    let who = environment.get("WhoAmI").await.body["UserId"].clone();
    let user = environment
        .get(&format!("systemusers({USER})?$select=fullname,accessmode"))
        .await;
    assert_eq!(who, USER);
    assert_eq!(
        (user.status.as_u16(), &user.body["accessmode"]),
        (200, &json!(4))
    );
    for (set, key, privilege, fields) in [
        (
            "systemusers",
            "systemuserid",
            "prvCreateUser",
            json!({"firstname": "Ada", "lastname": "O'Hara", "internalemailaddress": "ada@example.com",
                "domainname": "ada@example.com"}),
        ),
        (
            "teams",
            "teamid",
            "prvCreateTeam",
            json!({"name": "Support"}),
        ),
        (
            "queues",
            "queueid",
            "prvCreateQueue",
            json!({"name": "Calls"}),
        ),
    ] {
        let words = format!("is missing {privilege} privilege");
        environment
            .refuses(set, fields.clone(), 403, "0x80040220", &words)
            .await;
        let mut mine = fields.clone();
        mine[key] = ID.into();
        assert_eq!(environment.insert(set, mine).to_string(), ID);
        let column = fields.as_object().unwrap().keys().next().unwrap();
        let value = fields[column].as_str().unwrap().replace('@', "%40");
        let found = environment
            .get(&format!("{set}?$filter={column}%20eq%20'{value}'"))
            .await;
        assert_eq!(found.body["value"][0][key], ID, "{set}: {}", found.body);
        let changed = environment
            .patch(
                &format!("{set}({ID})"),
                &[("If-Match", "*")],
                json!({"emailaddress": "x"}),
            )
            .await;
        assert_eq!(changed.status, 403, "{set}");
    }
    let held = environment.record("systemusers", Uuid::try_parse(ID).unwrap());
    assert_eq!(
        json!([held["fullname"], held["isdisabled"]]),
        json!(["Ada O'Hara", false])
    );
    assert_eq!(held.get("statecode"), None, "a user has no state");
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/select-columns#lookup-property-data
#[tokio::test]
async fn a_record_is_owned_by_the_application_user_unless_a_user_or_a_team_is_named() {
    let environment = environment().await;
    let user = environment
        .insert("systemusers", json!({"lastname": "O'Hara"}))
        .to_string();
    let team = environment
        .insert("teams", json!({"name": "Support"}))
        .to_string();
    let disabled = environment.insert("systemusers", json!({"lastname": "x", "isdisabled": true}));
    let owner = |held: &Json| {
        json!([
            held["_ownerid_value"],
            held["_owninguser_value"],
            held["_owningteam_value"]
        ])
    };
    let to_user = json!({"ownerid@odata.bind": format!("/systemusers({user})")});
    let to_team = json!({"ownerid@odata.bind": format!("/teams({team})")});
    for set in [
        "phonecalls",
        "tasks",
        "emails",
        "appointments",
        "contacts",
        "accounts",
        "leads",
        "opportunities",
        "annotations",
    ] {
        let held = environment.create(set, json!({})).await;
        assert_eq!(owner(&held), json!([USER, USER, null]), "{set}");
        let held = environment.create(set, to_user.clone()).await;
        assert_eq!(owner(&held), json!([user, user, null]), "{set}");
        let held = environment.create(set, to_team.clone()).await;
        assert_eq!(owner(&held), json!([team, null, team]), "{set}");
    }
    let call = environment
        .create(
            "phonecalls",
            json!({"ownerid_phonecall@odata.bind": format!("/teams({team})")}),
        )
        .await;
    assert_eq!(owner(&call), json!([team, null, team]));
    let call = format!("phonecalls({})", call["activityid"].as_str().unwrap());
    let given = environment
        .patch(&call, &[("If-Match", "*")], to_user)
        .await;
    assert_eq!(given.status, 204, "{}", given.body);
    let mine = environment
        .get(&format!("phonecalls?$filter=_ownerid_value%20eq%20{user}"))
        .await;
    assert_eq!(mine.body["value"].as_array().unwrap().len(), 2);
    assert_eq!(owner(&mine.body["value"][1]), json!([user, user, null]));

    for (value, status, code, words) in [
        (
            json!(format!("/systemusers({ID})")),
            404,
            "0x80040217",
            "Does Not Exist",
        ),
        (
            json!(format!("/teams({user})")),
            404,
            "0x80040217",
            "Does Not Exist",
        ),
        (
            json!(format!("/contacts({user})")),
            400,
            "0x80048d19",
            "systemusers or of teams",
        ),
        (
            json!(format!("/systemusers({disabled})")),
            400,
            "0x80040225",
            "The specified user is either disabled or is not a member of any business unit.",
        ),
        (Json::Null, 400, "0x80048d19", "without an owner"),
    ] {
        let body = json!({"ownerid@odata.bind": value});
        environment
            .refuses("phonecalls", body.clone(), status, code, words)
            .await;
        let refused = environment.patch(&call, &[("If-Match", "*")], body).await;
        assert_eq!(refused.status, status);
    }
    let team = json!({"ownerid_contact@odata.bind": format!("/teams({team})")});
    environment
        .refuses("contacts", team, 400, "0x80048d19", "undeclared property")
        .await;
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/web-api-navigation-properties#multi-table-lookups
#[tokio::test]
async fn a_lookup_to_several_tables_has_a_navigation_property_for_each() {
    let environment = environment().await;
    let contact = environment.insert("contacts", json!({"lastname": "x"}));
    let account = environment.insert("accounts", json!({"name": "x"}));
    let lead = environment.insert("leads", json!({"subject": "x"}));
    let customer = format!("/contacts({contact})");
    let case = json!({"customerid_contact@odata.bind": customer});
    let case = environment.insert("incidents", case);
    let opportunity = environment.insert("opportunities", json!({"name": "x"}));
    let call = environment.insert("phonecalls", json!({"subject": "x"}));
    let task = environment.insert("tasks", json!({"subject": "x"}));
    let email = environment.insert("emails", json!({"subject": "x"}));
    let records = [
        ("contact", "contacts", contact),
        ("account", "accounts", account),
        ("lead", "leads", lead),
        ("incident", "incidents", case),
        ("opportunity", "opportunities", opportunity),
        ("phonecall", "phonecalls", call),
        ("task", "tasks", task),
        ("email", "emails", email),
    ];
    let find = |name: &str| *records.iter().find(|(table, ..)| *table == name).unwrap();
    let mut properties: Vec<(&str, String, &str, &str)> = Vec::new();
    for (set, activity) in [
        ("phonecalls", "phonecall"),
        ("tasks", "task"),
        ("emails", "email"),
        ("appointments", "appointment"),
    ] {
        for target in ["contact", "account", "lead", "incident", "opportunity"] {
            let property = format!("regardingobjectid_{target}_{activity}");
            properties.push((set, property, "regardingobjectid", target));
        }
    }
    for (target, ..) in records {
        properties.push((
            "annotations",
            format!("objectid_{target}"),
            "objectid",
            target,
        ));
    }
    for (set, property, column, target) in [
        (
            "contacts",
            "parentcustomerid_account",
            "parentcustomerid",
            "account",
        ),
        (
            "contacts",
            "parentcustomerid_contact",
            "parentcustomerid",
            "contact",
        ),
        ("contacts", "originatingleadid", "originatingleadid", "lead"),
        (
            "accounts",
            "primarycontactid",
            "primarycontactid",
            "contact",
        ),
        ("accounts", "parentaccountid", "parentaccountid", "account"),
        ("leads", "parentcontactid", "parentcontactid", "contact"),
        ("leads", "parentaccountid", "parentaccountid", "account"),
        ("leads", "customerid_contact", "customerid", "contact"),
        (
            "opportunities",
            "customerid_account",
            "customerid",
            "account",
        ),
        (
            "opportunities",
            "originatingleadid",
            "originatingleadid",
            "lead",
        ),
        ("incidents", "customerid_contact", "customerid", "contact"),
        ("incidents", "customerid_account", "customerid", "account"),
    ] {
        properties.push((set, property.into(), column, target));
    }
    for (set, property, column, target) in properties {
        let (_, target_set, id) = find(target);
        let bind = format!("{property}@odata.bind");
        let held = environment
            .create(set, json!({&bind: format!("/{target_set}({id})")}))
            .await;
        assert_eq!(
            held[format!("_{column}_value")],
            id.to_string(),
            "{set} {property}"
        );
        let missing = json!({&bind: format!("/{target_set}({ID})")});
        environment
            .refuses(set, missing, 404, "0x80040217", "Does Not Exist")
            .await;
        let other = if target == "contact" {
            "leads"
        } else {
            "contacts"
        };
        let foreign = json!({&bind: format!("/{other}({ID})")});
        let words = format!("no reference to a record of {target_set}");
        environment
            .refuses(set, foreign, 400, "0x80048d19", &words)
            .await;
    }
    let notes = environment.dataverse.take_exchanges();
    assert!(
        notes.iter().all(|sent| sent.notes.is_empty()),
        "all of them are known"
    );
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/select-columns#lookup-property-data
#[tokio::test]
async fn a_lookup_tells_its_records_table_only_where_that_is_preferred() {
    let environment = environment().await;
    let contact = environment.insert("contacts", json!({"lastname": "x"}));
    let lead = environment.insert("leads", json!({"subject": "x"}));
    let about = |table: &str, id: Uuid| json!({format!("regardingobjectid_{table}_phonecall@odata.bind"): format!("/{table}s({id})")});
    let call = environment
        .create("phonecalls", about("contact", contact))
        .await;
    let record = format!("phonecalls({})", call["activityid"].as_str().unwrap());
    let table = "_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname";
    let property = "_regardingobjectid_value@Microsoft.Dynamics.CRM.associatednavigationproperty";
    let plain = environment.get(&record).await.body;
    assert_eq!(plain["_regardingobjectid_value"], contact.to_string());
    assert_eq!((plain.get(table), plain.get(property)), (None, None));

    let one = "odata.include-annotations=\"Microsoft.Dynamics.CRM.lookuplogicalname\"";
    let all = "return=representation, odata.include-annotations=\"*\"";
    let told = environment
        .send("GET", &record, &[("Prefer", one)], Json::Null)
        .await;
    assert_eq!(
        (&told.body[table], told.body.get(property)),
        (&json!("contact"), None)
    );
    assert_eq!(told.headers["Preference-Applied"], one);
    let owner = "_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname";
    assert_eq!(told.body[owner], "systemuser");

    let changed = environment
        .patch(&record, &[("Prefer", all)], about("lead", lead))
        .await;
    assert_eq!(
        changed.body["_regardingobjectid_value"],
        lead.to_string(),
        "replaced"
    );
    assert_eq!(
        json!([changed.body[table], changed.body[property]]),
        json!(["lead", "regardingobjectid_lead_phonecall"])
    );
    let query = "phonecalls?$select=_regardingobjectid_value";
    let found = environment
        .send("GET", query, &[("Prefer", all)], Json::Null)
        .await;
    let found = &found.body["value"][0];
    assert_eq!(
        (&found[table], found.get(owner)),
        (&json!("lead"), None),
        "not selected"
    );

    let emptied = json!({"regardingobjectid_contact_phonecall": null});
    let emptied = environment
        .patch(&record, &[("Prefer", all)], emptied)
        .await;
    assert_eq!(
        (
            &emptied.body["_regardingobjectid_value"],
            emptied.body.get(table)
        ),
        (&Json::Null, None)
    );
}

// https://learn.microsoft.com/power-apps/developer/data-platform/activityparty-entity
#[tokio::test]
async fn an_activity_is_created_with_its_parties() {
    let environment = environment().await;
    let contact = environment.insert("contacts", json!({"lastname": "x"}));
    let user = environment.insert("systemusers", json!({"lastname": "x"}));
    let queue = environment.insert("queues", json!({"name": "x"}));
    let lead = environment.insert("leads", json!({"lastname": "x"}));
    let account = environment.insert("accounts", json!({"name": "x"}));
    let body = json!({
        "activityid": ID,
        "directioncode": false,
        "phonecall_activity_parties": [
            {"partyid_contact@odata.bind": format!("/contacts({contact})"), "participationtypemask": 1},
            {"partyid_systemuser@odata.bind": format!("/systemusers({user})"), "participationtypemask": 2},
            {"partyid_queue@odata.bind": format!("queues({queue})"), "participationtypemask": 2},
        ],
    });
    let created = environment.post("phonecalls", body).await;
    assert_eq!(created.status, 204, "{}", created.body);
    let id = Uuid::try_parse(ID).unwrap();
    let table = "_partyid_value@Microsoft.Dynamics.CRM.lookuplogicalname";
    let parties = |activity: Uuid| {
        let parties = environment.dataverse.parties(activity);
        let named = parties.iter().map(|party| {
            json!([
                party["participationtypemask"],
                party[table],
                party["_partyid_value"]
            ])
        });
        named.collect::<Json>()
    };
    assert_eq!(
        parties(id),
        json!([
            [1, "contact", contact],
            [2, "systemuser", user],
            [2, "queue", queue]
        ])
    );
    let held = environment.record("phonecalls", id);
    assert_eq!(
        held.get("phonecall_activity_parties"),
        None,
        "a list is no column"
    );
    let found = environment
        .get(&format!(
            "activityparties?$filter=_activityid_value%20eq%20{ID}"
        ))
        .await;
    assert_eq!(
        found.body["value"].as_array().unwrap().len(),
        3,
        "{}",
        found.body
    );

    for (set, mask, table, id) in [
        ("emails", 3, "lead", lead),
        ("emails", 4, "account", account),
        ("appointments", 5, "contact", contact),
        ("appointments", 7, "systemuser", user),
    ] {
        let list = format!("{}_activity_parties", set.trim_end_matches('s'));
        let bind = format!("partyid_{table}@odata.bind");
        let party = json!({bind: format!("/{table}s({id})"), "participationtypemask": mask});
        let held = environment.create(set, json!({list: [party]})).await;
        let activity = held["activityid"].as_str().unwrap().parse().unwrap();
        assert_eq!(parties(activity), json!([[mask, table, id]]), "{set}");
    }
    let written = json!({"email_activity_parties": [
        {"addressused": "ada@example.com", "participationtypemask": 2}]});
    let held = environment.create("emails", written).await;
    let activity = held["activityid"].as_str().unwrap().parse().unwrap();
    let party = environment.dataverse.parties(activity).remove(0);
    assert_eq!(
        (&party["addressused"], &party["_partyid_value"]),
        (&json!("ada@example.com"), &Json::Null)
    );
    assert!(environment.dataverse.parties(Uuid::nil()).is_empty());
}

// https://learn.microsoft.com/power-apps/developer/data-platform/activityparty-entity#activity-party-types-available-for-each-activity
#[tokio::test]
async fn a_party_that_its_activity_does_not_have_is_refused_and_so_is_the_activity() {
    let environment = environment().await;
    let contact = environment.insert("contacts", json!({"lastname": "x"}));
    let contact = format!("/contacts({contact})");
    let malformed = "0x80048d19";
    for (party, status, code, words) in [
        (
            json!({"partyid_contact@odata.bind": format!("/contacts({ID})"), "participationtypemask": 1}),
            404,
            "0x80040217",
            "Entity 'contact' With Id",
        ),
        (
            json!({"partyid_contact@odata.bind": format!("/leads({ID})"), "participationtypemask": 1}),
            400,
            malformed,
            "no reference to a record of contacts",
        ),
        (
            json!({"partyid_team@odata.bind": format!("/teams({ID})"), "participationtypemask": 1}),
            400,
            malformed,
            "undeclared property 'partyid_team'",
        ),
        (
            json!({"partyid_contact@odata.bind": contact, "participationtypemask": 3}),
            400,
            "0x80044327",
            "The value 3 of 'participationtypemask' on record of type 'activityparty'",
        ),
        (
            json!({"partyid_contact@odata.bind": contact, "participationtypemask": 14}),
            400,
            "0x80044327",
            "outside the valid range",
        ),
        (
            json!({"partyid_contact@odata.bind": contact, "participationtypemask": "1"}),
            400,
            malformed,
            "expected type 'Edm.Int32'",
        ),
        (
            json!({"partyid_contact@odata.bind": contact}),
            400,
            malformed,
            "'participationtypemask' is required",
        ),
        (
            json!({"partyid_contact@odata.bind": contact, "participationtypemask": 1, "phonenumber": "x"}),
            400,
            malformed,
            "Invalid property 'phonenumber'",
        ),
        (
            json!({"partyid_contact@odata.bind": contact, "partyid_lead@odata.bind": "/leads(x)",
                "participationtypemask": 1}),
            400,
            malformed,
            "names one record",
        ),
        (
            json!({"partyid": ID, "participationtypemask": 1}),
            400,
            malformed,
            "Use Navigation properties instead",
        ),
        (
            json!({"partyid_contact": {"lastname": "x"}, "participationtypemask": 1}),
            501,
            "stand-in",
            "a record inside of another's body",
        ),
        (
            json!({"participationtypemask": 1}),
            400,
            malformed,
            "a record or an address",
        ),
        (
            json!({"addressused": "x".repeat(321), "participationtypemask": 1}),
            400,
            "0x80044331",
            "maximum allowed length of '320'",
        ),
        (json!("x"), 400, malformed, "an object of columns"),
    ] {
        let body = json!({"phonecall_activity_parties": [party]});
        environment
            .refuses("phonecalls", body, status, code, words)
            .await;
    }
    let party = json!({"partyid_contact@odata.bind": contact, "participationtypemask": 1});
    for (set, body, code) in [
        (
            "phonecalls",
            json!({"phonecall_activity_parties": party}),
            malformed,
        ),
        (
            "phonecalls",
            json!({"email_activity_parties": [party]}),
            malformed,
        ),
        (
            "contacts",
            json!({"contact_activity_parties": [party]}),
            malformed,
        ),
        (
            "tasks",
            json!({"task_activity_parties": [party]}),
            "0x80044327",
        ),
        (
            "appointments",
            json!({"appointment_activity_parties": [party]}),
            "0x80044327",
        ),
    ] {
        environment.refuses(set, body, 400, code, "").await;
    }
    environment
        .refuses(
            "activityparties",
            party,
            405,
            "0x80040800",
            "The 'Create' method does not support entities of type 'activityparty'.",
        )
        .await;
    for set in ["phonecalls", "tasks", "appointments", "activityparties"] {
        assert!(environment.dataverse.records(set).is_empty(), "{set}");
    }
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api#associate-tables-on-update-using-collection-valued-navigation-property
#[tokio::test]
async fn parties_are_replaced_by_a_put_to_their_list() {
    let environment = environment().await;
    let contact = environment.insert("contacts", json!({"lastname": "x"}));
    let party = |mask: u8| json!({"partyid_contact@odata.bind": format!("contacts({contact})"), "participationtypemask": mask});
    let body = json!({"phonecall_activity_parties": [party(1)]});
    let call = environment.create("phonecalls", body.clone()).await;
    let id: Uuid = call["activityid"].as_str().unwrap().parse().unwrap();
    let masks = || -> Vec<i64> {
        let parties = environment.dataverse.parties(id).into_iter();
        parties
            .filter_map(|party| party["participationtypemask"].as_i64())
            .collect()
    };
    let list = format!("phonecalls({id})/phonecall_activity_parties");
    let put = environment
        .send("PUT", &list, &[], json!({"value": [party(2), party(1)]}))
        .await;
    assert_eq!(
        (put.status, &put.body),
        (StatusCode::NO_CONTENT, &Json::Null)
    );
    assert_eq!(masks(), [2, 1]);
    for (target, value, status, code) in [
        (list.clone(), json!([party(5)]), 400, "0x80044327"),
        (list.clone(), json!(null), 400, "0x80048d19"),
        (
            format!("phonecalls({id})/email_activity_parties"),
            json!([party(1)]),
            404,
            "0x8006088a",
        ),
        (
            format!("phonecalls({ID})/phonecall_activity_parties"),
            json!([party(1)]),
            404,
            "0x80040217",
        ),
    ] {
        let refused = environment
            .send("PUT", &target, &[], json!({"value": value}))
            .await;
        assert_eq!(
            (refused.refusal().0, refused.refusal().1),
            (status, code),
            "{target}"
        );
    }
    let untried = environment
        .patch(&format!("phonecalls({id})"), &[("If-Match", "*")], body)
        .await;
    assert_eq!(untried.refusal().1, "stand-in", "only a PUT is documented");
    assert_eq!(masks(), [2, 1]);
}

// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/email
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/appointment
#[tokio::test]
async fn an_email_and_an_appointment_are_activities_with_states_of_their_own() {
    let environment = environment().await;
    let long = "x".repeat(800);
    let email = environment
        .create(
            "emails",
            json!({"subject": long, "description": "x".repeat(3000)}),
        )
        .await;
    assert_eq!(
        json!([
            email["directioncode"],
            email["statecode"],
            email["statuscode"],
            email["activitytypecode"]
        ]),
        json!([true, 0, 1, "email"])
    );
    environment
        .refuses(
            "emails",
            json!({"subject": "x".repeat(801)}),
            400,
            "0x80044331",
            "'800'",
        )
        .await;
    let times = json!({"scheduledstart": "2026-02-04T21:00:00Z", "scheduledend": "2026-02-04T21:30:00Z",
        "scheduleddurationminutes": 30, "location": "x"});
    let appointment = environment.create("appointments", times).await;
    assert_eq!(appointment["isalldayevent"], false);
    for (set, record, body, status) in [
        (
            "emails",
            &email,
            json!({"statecode": 1, "statuscode": 4}),
            204,
        ),
        (
            "emails",
            &email,
            json!({"statecode": 2, "statuscode": 4}),
            400,
        ),
        (
            "appointments",
            &appointment,
            json!({"statecode": 3, "statuscode": 5}),
            204,
        ),
        ("appointments", &appointment, json!({"statecode": 1}), 204),
        (
            "appointments",
            &appointment,
            json!({"statecode": 1, "statuscode": 6}),
            400,
        ),
    ] {
        let record = format!("{set}({})", record["activityid"].as_str().unwrap());
        let answer = environment
            .patch(&record, &[("If-Match", "*")], body.clone())
            .await;
        assert_eq!(answer.status, status, "{set} {body}: {}", answer.body);
    }
    let taken = json!({"activityid": email["activityid"]});
    environment
        .refuses("phonecalls", taken, 412, "0x80040237", "")
        .await;
    environment
        .dataverse
        .set_missing_privilege(Some("prvCreateActivity"));
    environment
        .refuses("emails", json!({}), 403, "0x80040220", "prvCreateActivity")
        .await;
}

// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/annotation
#[tokio::test]
async fn a_note_is_attached_to_a_record_and_tells_its_type() {
    let environment = environment().await;
    let call = environment.insert("phonecalls", json!({"subject": "x"}));
    let note = json!({"subject": "Transcript", "notetext": "x".repeat(100_000), "isdocument": true,
        "filename": "a.txt", "mimetype": "text/plain", "documentbody": "eA==",
        "objectid_phonecall@odata.bind": format!("/phonecalls({call})")});
    let note = environment.create("annotations", note).await;
    assert_eq!(
        json!([
            note["objecttypecode"],
            note["_objectid_value"],
            note["isdocument"]
        ]),
        json!(["phonecall", call, true])
    );
    assert_eq!(note.get("statecode"), None, "a note has no state");
    let lead = environment.insert("leads", json!({"subject": "x"}));
    let moved = json!({"objectid_lead@odata.bind": format!("/leads({lead})")});
    let record = format!("annotations({})", note["annotationid"].as_str().unwrap());
    let prefer = [("Prefer", "return=representation")];
    let moved = environment.patch(&record, &prefer, moved).await;
    assert_eq!(moved.body["objecttypecode"], "lead");
    for (body, code) in [
        (json!({"subject": "x".repeat(501)}), "0x80044331"),
        (json!({"notetext": "x".repeat(100_001)}), "0x80044331"),
        (json!({"filename": "x".repeat(256)}), "0x80044331"),
        (json!({"filesize": 5}), "0x80048d19"),
        (json!({"objectid": ID}), "0x80048d19"),
    ] {
        environment
            .refuses("annotations", body, 400, code, "")
            .await;
    }
    environment
        .dataverse
        .set_missing_privilege(Some("prvCreateNote"));
    environment
        .refuses("annotations", json!({}), 403, "0x80040220", "prvCreateNote")
        .await;
}

// https://learn.microsoft.com/power-apps/developer/data-platform/queue-entities
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/queueitem
#[tokio::test]
async fn a_record_is_put_in_one_queue() {
    let environment = environment().await;
    let queue = environment.insert("queues", json!({"name": "Calls"}));
    let other = environment.insert("queues", json!({"name": "Others"}));
    let user = environment.insert("systemusers", json!({"lastname": "x"}));
    let contact = environment.insert("contacts", json!({"lastname": "x"}));
    let call = environment.insert("phonecalls", json!({"subject": "A call"}));
    let case = json!({"title": "A case", "customerid_contact@odata.bind": format!("/contacts({contact})")});
    let case = environment.insert("incidents", case);
    let item = |queue: Uuid, object: &str, set: &str, id: Uuid| {
        json!({
            "queueid@odata.bind": format!("/queues({queue})"),
            format!("objectid_{object}@odata.bind"): format!("/{set}({id})"),
        })
    };
    let held = environment
        .create("queueitems", item(queue, "phonecall", "phonecalls", call))
        .await;
    assert_eq!(
        json!([
            held["title"],
            held["_queueid_value"],
            held["_objectid_value"],
            held["statecode"],
            held["statuscode"]
        ]),
        json!(["A call", queue, call, 0, 1])
    );
    assert!(held["enteredon"].is_string());
    let mut repeated = item(queue, "phonecall", "phonecalls", call);
    repeated["queueitemid"] = held["queueitemid"].clone();
    environment
        .refuses("queueitems", repeated, 412, "0x80040237", "matching key")
        .await;
    let mut worked = item(queue, "incident", "incidents", case);
    worked["workerid_systemuser@odata.bind"] = format!("/systemusers({user})").into();
    let worked = environment.create("queueitems", worked).await;
    assert_eq!(
        json!([worked["title"], worked["_workerid_value"]]),
        json!(["A case", user])
    );

    let again = item(other, "phonecall", "phonecalls", call);
    let words = "An entity record cannot be added in multiple queues.";
    environment
        .refuses("queueitems", again.clone(), 400, "", words)
        .await;
    for (body, status, code) in [
        (
            item(Uuid::nil(), "phonecall", "phonecalls", call),
            404,
            "0x80040217",
        ),
        (
            item(queue, "phonecall", "phonecalls", Uuid::nil()),
            404,
            "0x80040217",
        ),
        (item(queue, "phonecall", "tasks", call), 400, "0x80048d19"),
        (
            json!({"queueid@odata.bind": format!("/queues({queue})")}),
            400,
            "",
        ),
        (
            json!({"workerid_contact@odata.bind": format!("/contacts({contact})")}),
            400,
            "0x80048d19",
        ),
        (json!({"title": "x"}), 400, "0x80048d19"),
    ] {
        environment
            .refuses("queueitems", body, status, code, "")
            .await;
    }
    let record = format!("queueitems({})", held["queueitemid"].as_str().unwrap());
    let moved = json!({"queueid@odata.bind": format!("/queues({other})")});
    let refused = environment
        .patch(&record, &[("If-Match", "*")], moved)
        .await;
    assert!(
        refused
            .refusal()
            .2
            .contains("'queueid' cannot be set on update")
    );
    let removed = environment
        .patch(&record, &[("If-Match", "*")], json!({"statecode": 1}))
        .await;
    assert_eq!(removed.status, 204, "{}", removed.body);
    environment.create("queueitems", again).await;

    let email = environment.create("emails", json!({"subject": "x"})).await;
    let email: Uuid = email["activityid"].as_str().unwrap().parse().unwrap();
    let received = json!({"statecode": 1, "statuscode": 4});
    environment
        .patch(&format!("emails({email})"), &[("If-Match", "*")], received)
        .await;
    for queue in [queue, other] {
        environment
            .create("queueitems", item(queue, "email", "emails", email))
            .await;
    }
    environment
        .dataverse
        .set_missing_privilege(Some("prvAppendToQueue"));
    environment
        .refuses(
            "queueitems",
            json!({}),
            403,
            "0x80040220",
            "is missing prvAppendToQueue",
        )
        .await;
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows
// https://learn.microsoft.com/power-apps/developer/data-platform/wildcard-characters
#[tokio::test]
async fn a_customer_is_found_by_a_list_of_numbers_or_a_pattern() {
    let environment = environment().await;
    for (lastname, telephone) in [
        ("a", "(206) 555-0100"),
        ("b", "206-555-0100"),
        ("c", "+1 206 555 0100"),
        ("d", "+12065550101"),
    ] {
        environment.insert(
            "contacts",
            json!({"lastname": lastname, "telephone1": telephone}),
        );
    }
    for (filter, expected) in [
        (
            "Microsoft.Dynamics.CRM.In(PropertyName=%27telephone1%27,PropertyValues=[%27206-555-0100%27,%27%2B12065550101%27])",
            "b d",
        ),
        (
            "Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2)&@p1=%27lastname%27&@p2=[%22A%22,%22O%27Hara%22]",
            "a",
        ),
        ("contains(telephone1,%27206%25555%250100%27)", "a b c"),
        ("endswith(telephone1,%275550101%27)", "d"),
        ("startswith(telephone1,%27[(2]%27)", "a b"),
        ("not%20contains(telephone1,%27206%25555%250100%27)", "d"),
        (
            "telephone1%20eq%20%27%2B12065550101%27%20or%20telephone2%20eq%20%27x%27",
            "d",
        ),
    ] {
        let found = environment
            .get(&format!("contacts?$orderby=lastname&$filter={filter}"))
            .await;
        assert_eq!(found.status, 200, "{filter}: {}", found.body);
        let found = found.body["value"].as_array().unwrap().iter();
        let names: Vec<&str> = found
            .filter_map(|contact| contact["lastname"].as_str())
            .collect();
        assert_eq!(names.join(" "), expected, "{filter}");
    }
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview#url-length-limitations
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows#condition-limits
#[tokio::test]
async fn a_query_with_too_many_conditions_or_too_long_a_url_is_refused() {
    let environment = environment().await;
    let conditions = |count| vec!["telephone1%20eq%20'1'"; count].join("%20or%20");
    let most = environment
        .get(&format!("contacts?$filter={}", conditions(500)))
        .await;
    assert_eq!(most.status, 200, "{}", most.body);
    let refused = environment
        .get(&format!("contacts?$filter={}", conditions(501)))
        .await;
    assert_eq!(
        refused.refusal(),
        (
            400,
            "0x8004430C",
            "Number of conditions in query exceeded maximum limit."
        )
    );
    let url = format!("{ORIGIN}/api/data/v9.2/contacts?@p=");
    for (length, status) in [(32_768, 200), (32_769, 414)] {
        let target = format!("contacts?@p={}", "1".repeat(length - url.len()));
        assert_eq!(environment.get(&target).await.status, status, "{length}");
    }
}

// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/order-rows
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/count-rows
#[tokio::test]
async fn a_query_orders_by_several_columns_and_counts_what_it_leaves_out() {
    let environment = environment().await;
    for (firstname, lastname) in [("b", "x"), ("a", "y"), ("c", "x")] {
        environment.insert(
            "leads",
            json!({"firstname": firstname, "lastname": lastname}),
        );
    }
    for (options, names) in [
        ("$orderby=lastname%20asc,firstname%20desc", "c x, b x, a y"),
        ("$orderby=lastname%20desc,firstname", "a y, b x, c x"),
        ("$orderby=@p%20desc&@p=firstname", "c x, b x, a y"),
    ] {
        let found = environment
            .get(&format!("leads?$select=fullname&{options}"))
            .await;
        let found = found.body["value"].as_array().unwrap().iter();
        let found: Vec<&str> = found.filter_map(|lead| lead["fullname"].as_str()).collect();
        assert_eq!(found.join(", "), names, "{options}");
    }
    let counted = environment
        .get("leads?$filter=lastname%20eq%20'x'&$top=1&$count=true")
        .await
        .body;
    assert_eq!(counted["@odata.count"], 2);
    assert_eq!(counted["value"].as_array().unwrap().len(), 1);
    let uncounted = environment.get("leads?$count=false").await.body;
    assert_eq!(uncounted.get("@odata.count"), None);
    for (options, words) in [
        ("$top=5001", "Invalid value '5001' for $top"),
        ("$top=0", "Invalid value '0' for $top"),
        ("$count=1", "Invalid value '1' for $count"),
        (
            "$orderby=lastname,nope",
            "Could not find a property named 'nope'",
        ),
        ("$skip=1", "The query parameter $skip is not supported."),
    ] {
        let refused = environment.get(&format!("leads?{options}")).await;
        assert_eq!(refused.status, 400, "{options}");
        assert!(
            refused.refusal().2.contains(words),
            "{options}: {}",
            refused.refusal().2
        );
    }
    assert_eq!(environment.get("leads?$top=5000").await.status, 200);
}

// https://learn.microsoft.com/dynamics365/customer-service/develop/reference/entities/incident
#[tokio::test]
async fn a_case_changes_its_customer_and_keeps_one() {
    let environment = environment().await;
    let contact = environment.insert("contacts", json!({"lastname": "x"}));
    let account = environment.insert("accounts", json!({"name": "x"}));
    let case = json!({"customerid_contact@odata.bind": format!("/contacts({contact})"),
        "primarycontactid@odata.bind": format!("/contacts({contact})")});
    let case = environment.create("incidents", case).await;
    assert_eq!(case["_primarycontactid_value"], contact.to_string());
    let record = format!("incidents({})", case["incidentid"].as_str().unwrap());
    let to_account = json!({"customerid_account@odata.bind": format!("/accounts({account})")});
    let changed = environment
        .patch(&record, &[("Prefer", "return=representation")], to_account)
        .await;
    assert_eq!(changed.body["_customerid_value"], account.to_string());
    let refused = environment
        .patch(
            &record,
            &[("If-Match", "*")],
            json!({"customerid_account": null}),
        )
        .await;
    assert_eq!(
        (refused.refusal().0, refused.refusal().1),
        (400, "0x80044410")
    );
}
