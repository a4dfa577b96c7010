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
        ("DELETE", &record),
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
