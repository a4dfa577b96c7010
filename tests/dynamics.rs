//! The Dynamics client against the stand-ins, fault by fault.

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region};
use connect_dynamics::{
    configuration::Connection,
    dataverse::{Dynamics, Http, Kind, Method, Request},
    integration::Integration,
    secret::Secrets,
};
use end_to_end::reference;
use local::{
    http,
    stand_in::{
        dataverse::Dataverse, entra::Entra, fault::Effect, secrets_manager::SecretsManager,
    },
};
use serde_json::{Value as Json, json};
use tokio::time::Instant;
use uuid::Uuid;

struct Environment {
    entra: Entra,
    dataverse: Dataverse,
    secrets: SecretsManager,
    dynamics: Arc<Dynamics>,
}

async fn environment() -> Environment {
    environment_with(|_| {}).await
}

async fn environment_with(change: impl FnOnce(&mut Connection)) -> Environment {
    let mut connection = Integration::load(&reference().to_string())
        .unwrap()
        .configuration()
        .connection
        .clone();
    let entra = Entra::new(&connection.tenant_id, &connection.client_id, "made-up");
    let dataverse = Dataverse::new(entra.clone());
    let secrets = SecretsManager::default();
    secrets.set(&connection.client_secret_id, "made-up");
    connection.authority = format!("http://{}", http::serve(0, entra.router()).await.unwrap());
    connection.environment_uri = format!(
        "http://{}",
        http::serve(0, dataverse.router()).await.unwrap()
    );
    connection.scope = None;
    dataverse.set_origin(&connection.environment_uri);
    change(&mut connection);
    let secrets_address = http::serve(0, secrets.router()).await.unwrap();
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{secrets_address}"))
        .test_credentials()
        .load()
        .await;
    let client = Dynamics::new(
        Http::default(),
        &connection,
        Arc::new(Secrets::new(&config)),
    );
    Environment {
        entra,
        dataverse,
        secrets,
        dynamics: Arc::new(client),
    }
}

fn create(id: Uuid, body: Json) -> Request {
    let mut body = body.as_object().unwrap().clone();
    body.insert("activityid".into(), id.to_string().into());
    Request {
        method: Method::Post,
        path: "phonecalls".into(),
        body: Some(body),
        kind: Kind::Create {
            record_id: id,
            record_path: format!("phonecalls({id})"),
        },
        primary_key: "activityid".into(),
    }
}

fn update(id: Uuid, body: Json) -> Request {
    Request {
        method: Method::Patch,
        path: format!("phonecalls({id})"),
        body: body.as_object().cloned(),
        kind: Kind::Update,
        primary_key: "activityid".into(),
    }
}

fn action() -> Request {
    Request {
        method: Method::Post,
        path: "phonecalls(00000000-0000-4000-8000-000000000001)/Microsoft.Dynamics.CRM.Close"
            .into(),
        body: None,
        kind: Kind::Action,
        primary_key: "activityid".into(),
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_who_wait_and_kept() {
    let environment = environment().await;
    environment.entra.faults.once(Effect::Delay(100));
    let creates = (0..20).map(|_| {
        let dynamics = environment.dynamics.clone();
        tokio::spawn(async move {
            dynamics
                .send(&create(Uuid::new_v4(), json!({"subject": "x"})), soon())
                .await
        })
    });
    for create in creates.collect::<Vec<_>>() {
        create.await.unwrap().unwrap();
    }
    assert_eq!(
        (environment.entra.asked(), environment.secrets.asked()),
        (1, 1)
    );
    assert_eq!(environment.dataverse.records("phonecalls").len(), 20);
}

#[tokio::test]
async fn a_refused_token_is_refreshed_once() {
    let environment = environment().await;
    let id = Uuid::new_v4();
    environment
        .dynamics
        .send(&create(id, json!({})), soon())
        .await
        .unwrap();
    environment.entra.revoke_tokens();
    environment
        .dynamics
        .send(&update(id, json!({"subject": "x"})), soon())
        .await
        .unwrap();
    assert_eq!(environment.entra.asked(), 2);
    environment.dataverse.faults.times(2, Effect::status(401));
    let refused = environment
        .dynamics
        .send(&update(id, json!({"subject": "y"})), soon())
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("connection.tenantId"),
        "{refused}"
    );
    assert!(!refused.is_permanent());
    assert_eq!(environment.entra.asked(), 3);
}

#[tokio::test]
async fn wrong_settings_say_which() {
    for (change, expected) in [
        (
            (|c| c.tenant_id = "elsewhere".into()) as fn(&mut Connection),
            "AADSTS90002): there is no such tenant; check connection.tenantId",
        ),
        (
            |c| c.client_id = "00000000-0000-4000-8000-000000000009".into(),
            "AADSTS700016): there is no such application",
        ),
        (
            |c| c.client_secret_id = "nothing".into(),
            "there is no secret `nothing` in Secrets Manager",
        ),
        (
            |c| c.scope = Some("https://elsewhere.example.com/.default".into()),
            "connection.scope its URI",
        ),
        (|c| c.api_version = "1.0".into(), "connection.apiVersion"),
        (
            |c| c.environment_uri = "http://127.0.0.1:9".into(),
            "127.0.0.1 cannot be reached: Connection refused",
        ),
    ] {
        let environment = environment_with(change).await;
        let deadline = Instant::now() + Duration::from_secs(1);
        let error = environment
            .dynamics
            .send(&create(Uuid::new_v4(), json!({})), deadline)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn an_expired_secret_is_read_again_once() {
    let environment = environment().await;
    environment.entra.set_secret_has_expired(true);
    let error = environment
        .dynamics
        .send(&create(Uuid::new_v4(), json!({})), soon())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("AADSTS7000222): the client secret has expired"),
        "{error}"
    );
    assert_eq!(
        (environment.secrets.asked(), environment.entra.asked()),
        (2, 1),
        "the same secret is not tried twice"
    );
}

#[tokio::test]
async fn faults_that_pass_are_tried_again_where_that_is_safe() {
    for effect in [
        Effect::throttled(1),
        Effect::status(503),
        Effect::status(502),
        Effect::status(504),
        Effect::HtmlPage,
        Effect::CloseBefore,
        Effect::CloseAfter,
    ] {
        let environment = environment().await;
        environment.dataverse.faults.times(2, effect.clone());
        let id = Uuid::new_v4();
        let response = environment
            .dynamics
            .send(&create(id, json!({"subject": "x"})), soon())
            .await;
        let response = response.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert_eq!(
            (response.record_id, response.attempts),
            (Some(id), 3),
            "{effect:?}"
        );
        assert_eq!(response.body["subject"], "x");
        assert_eq!(
            environment.dataverse.records("phonecalls").len(),
            1,
            "{effect:?}"
        );

        environment.dataverse.faults.times(2, effect.clone());
        environment
            .dynamics
            .send(&update(id, json!({"subject": "y"})), soon())
            .await
            .unwrap();
        assert_eq!(
            environment.dataverse.record("phonecalls", id).unwrap()["subject"],
            "y"
        );
    }
}

#[tokio::test]
async fn what_must_not_be_repeated_is_not() {
    for (effect, sent) in [
        (Effect::status(503), 1),
        (Effect::CloseAfter, 1),
        (Effect::throttled(0), 2),
    ] {
        let environment = environment().await;
        environment.dataverse.faults.once(effect.clone());
        environment
            .dynamics
            .send(&action(), soon())
            .await
            .unwrap_err();
        assert_eq!(
            environment.dataverse.take_exchanges().len(),
            sent,
            "{effect:?}"
        );
    }
}

#[tokio::test]
async fn a_limit_that_lasts_longer_than_the_time_left_is_told_and_not_waited_for() {
    let environment = environment().await;
    environment.dataverse.faults.once(Effect::throttled(120));
    let error = environment
        .dynamics
        .send(&create(Uuid::new_v4(), json!({})), soon())
        .await
        .unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
    assert_eq!(
        error.to_string(),
        "Dynamics limits our requests (429, 0x80072322); it takes the next in 120 s"
    );
    assert_eq!(environment.dataverse.take_exchanges().len(), 1);
}

#[tokio::test]
async fn answers_that_are_no_answers_say_so() {
    for (effect, expected) in [
        (Effect::SignInPage, "is no JSON object"),
        (Effect::TruncatedAnswer, "is no JSON object"),
        (
            Effect::Redirect("http://127.0.0.1:9/elsewhere".into()),
            "never followed",
        ),
        (Effect::Delay(60_000), "no answer within the time"),
        (Effect::SlowAnswer, "no answer within the time"),
    ] {
        let environment = environment().await;
        environment.dynamics.warm_up(soon()).await.unwrap();
        environment.dataverse.faults.once(effect.clone());
        let deadline = Instant::now() + Duration::from_millis(500);
        let error = environment
            .dynamics
            .send(&create(Uuid::new_v4(), json!({})), deadline)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{effect:?}: {error}");
    }
}

#[tokio::test]
async fn an_answer_too_large_to_read_fails_a_query_and_not_what_was_written() {
    let environment = environment().await;
    let id = Uuid::new_v4();
    for request in [create(id, json!({})), update(id, json!({"subject": "x"}))] {
        environment
            .dataverse
            .faults
            .once(Effect::LargeAnswer(1_100_000));
        let response = environment.dynamics.send(&request, soon()).await.unwrap();
        assert_eq!(response.attempts, 1, "{:?}", request.kind);
    }
    assert_eq!(
        environment.dataverse.record("phonecalls", id).unwrap()["subject"],
        "x"
    );
    environment
        .dataverse
        .faults
        .once(Effect::LargeAnswer(1_100_000));
    let query = Request {
        method: Method::Get,
        path: "phonecalls".into(),
        body: None,
        kind: Kind::Read,
        primary_key: "activityid".into(),
    };
    let error = environment.dynamics.send(&query, soon()).await.unwrap_err();
    assert!(
        error.is_permanent() && error.to_string().contains("larger than 1 MB"),
        "{error}"
    );
}

#[tokio::test]
async fn a_duplicate_of_another_key_is_refused_for_good() {
    let environment = environment().await;
    let taken = environment
        .dataverse
        .insert("contacts", json!({"emailaddress1": "ada@example.com"}));
    let id = Uuid::new_v4();
    let request = Request {
        path: "contacts".into(),
        body: json!({"contactid": id.to_string(), "emailaddress1": "ada@example.com"})
            .as_object()
            .cloned(),
        primary_key: "contactid".into(),
        kind: Kind::Create {
            record_id: id,
            record_path: format!("contacts({id})"),
        },
        method: Method::Post,
    };
    let error = environment
        .dynamics
        .send(&request, soon())
        .await
        .unwrap_err();
    assert!(
        error.is_permanent()
            && error
                .to_string()
                .contains("another record has the same key"),
        "{error}"
    );
    assert_eq!(environment.dataverse.records("contacts").len(), 1);
    assert!(environment.dataverse.record("contacts", taken).is_some());
}

#[tokio::test]
async fn nothing_of_a_secret_or_a_token_is_ever_printed() {
    let environment = environment().await;
    environment.dynamics.warm_up(soon()).await.unwrap();
    let printed = format!("{:?}", environment.dynamics);
    assert!(
        !printed.contains("made-up") && !printed.contains("stand-in-token"),
        "{printed}"
    );
}
