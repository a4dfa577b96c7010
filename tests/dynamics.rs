//! The Dynamics client against the stand-ins, fault by fault.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use aws_config::{BehaviorVersion, Region};
use connect_dynamics::{
    clock::Clock,
    configuration::Connection,
    dataverse::{Dynamics, Http, HttpError, Kind, Method, Repeats, Request, Room},
    integration::Integration,
    integrations::Integrations,
    sources::Sources,
};
use end_to_end::{event, invoke, reference, reference_system, system_with};
use jiff::{SignedDuration, Timestamp};
use local::{
    http,
    stand_in::{
        dataverse::Dataverse,
        entra::Entra,
        fault::{Effect, Faults},
        secrets_manager::SecretsManager,
    },
    system, table,
};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    time::Instant,
};
use uuid::Uuid;

/// The secret that the reference's configuration names.
const SECRET_ID: &str = "connect-dynamics/default";

struct Environment {
    entra: Entra,
    dataverse: Dataverse,
    secrets: SecretsManager,
    dynamics: Arc<Dynamics>,
    time: Time,
}

/// The wall clock of a function that has been frozen: it goes on while nothing else does.
#[derive(Clone, Default)]
struct Time(Arc<AtomicI64>);

impl Time {
    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let ahead = self.0.clone();
        Clock::new(move || {
            Timestamp::now() + SignedDuration::from_secs(ahead.load(Ordering::Relaxed))
        })
    }
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
    secrets.set(SECRET_ID, "made-up");
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
    let time = Time::default();
    let client = Dynamics::new(
        Http::default(),
        &connection,
        Arc::new(Sources::new(&config).with_clock(time.clock())),
    );
    Environment {
        entra,
        dataverse,
        secrets,
        dynamics: Arc::new(client.with_clock(time.clock())),
        time,
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
            |c| c.client_secret_id = Some("nothing".into()),
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

/// A server that keeps each connection open after an answer and closes it at the next request, as one does
/// that has given an idle connection up while the function was frozen.
async fn forgetful_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).await.unwrap();
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
                stream.write_all(answer).await.unwrap();
                let _ = stream.read_u8().await;
            });
        }
    });
    address
}

#[tokio::test]
async fn what_must_not_be_repeated_goes_over_no_connection_that_may_be_dead() {
    let server = forgetful_server().await;
    let environment = environment_with(|c| c.environment_uri = format!("http://{server}")).await;
    let read = Request {
        method: Method::Get,
        body: None,
        kind: Kind::Read,
        ..update(Uuid::new_v4(), json!({}))
    };
    for request in [&read, &action(), &action()] {
        let answer = environment.dynamics.send(request, soon()).await;
        assert_eq!(answer.unwrap().attempts, 1);
    }
}

#[tokio::test]
async fn a_request_tells_whether_it_may_have_been_done() {
    for (effect, expected) in [
        (Effect::status(503), true),
        (Effect::status(500), true),
        (Effect::HtmlPage, true),
        (Effect::CloseAfter, true),
        (Effect::Delay(60_000), true),
        (Effect::SignInPage, true),
        (Effect::LargeAnswer(1_100_000), true),
        (Effect::throttled(60), false),
        (Effect::status(400), false),
        (Effect::status(403), false),
        (Effect::status(401), false),
    ] {
        let environment = environment().await;
        environment.dynamics.warm_up(soon()).await.unwrap();
        environment.dataverse.faults.times(2, effect.clone());
        let deadline = Instant::now() + Duration::from_millis(500);
        let error = environment.dynamics.send(&action(), deadline).await;
        let error = error.unwrap_err();
        assert_eq!(error.may_have_been_done(), expected, "{effect:?}: {error}");
    }
    let nowhere = environment_with(|c| c.environment_uri = "http://127.0.0.1:9".into()).await;
    let deadline = Instant::now() + Duration::from_millis(500);
    let error = nowhere.dynamics.send(&action(), deadline).await;
    assert!(!error.unwrap_err().may_have_been_done());
}

#[tokio::test]
async fn a_token_that_was_not_had_does_not_count_as_a_request_that_was_sent() {
    for effect in [
        Effect::CloseAfter,
        Effect::status(503),
        Effect::throttled(0),
    ] {
        let environment = environment().await;
        environment.entra.faults.once(effect.clone());
        let sent = environment.dynamics.send(&action(), soon()).await;
        // The stand-in knows no actions: what counts is that it was asked, once.
        assert!(sent.unwrap_err().to_string().contains("Dynamics refused"));
        assert_eq!(
            environment.dataverse.take_exchanges().len(),
            1,
            "{effect:?}"
        );
    }
    for effect in [
        Effect::CloseAfter,
        Effect::status(503),
        Effect::status(400),
        Effect::Delay(60_000),
    ] {
        let environment = environment().await;
        environment.entra.faults.times(1000, effect.clone());
        let deadline = Instant::now() + Duration::from_millis(300);
        let error = environment.dynamics.send(&action(), deadline).await;
        let error = error.unwrap_err();
        assert!(!error.may_have_been_done(), "{effect:?}: {error}");
        assert!(
            !error.to_string().contains("Dynamics"),
            "{effect:?}: {error}"
        );
        assert!(environment.dataverse.take_exchanges().is_empty());
    }
}

#[tokio::test]
async fn asking_to_come_again_at_once_is_no_reason_to_hurry() {
    for effect in [
        Effect::throttled(0),
        Effect::Status {
            status: 503,
            code: String::new(),
            retry_after: Some(0),
        },
    ] {
        let environment = environment().await;
        environment.dataverse.faults.times(100_000, effect.clone());
        let deadline = Instant::now() + Duration::from_millis(1500);
        let request = create(Uuid::new_v4(), json!({}));
        let sent = environment.dynamics.send(&request, deadline).await;
        sent.unwrap_err();
        // The waits are at least 100, 200, 400 and 800 ms.
        let sent = environment.dataverse.take_exchanges().len();
        assert!((2..=5).contains(&sent), "{effect:?}: {sent}");
    }
}

#[tokio::test]
async fn no_pause_and_no_token_lives_longer_than_a_day() {
    let environment = environment().await;
    environment
        .entra
        .set_lifetime(Duration::from_secs(1_000_000_000_000));
    environment.dynamics.warm_up(soon()).await.unwrap();
    environment
        .dataverse
        .faults
        .once(Effect::throttled(1_000_000_000_000));
    let request = create(Uuid::new_v4(), json!({}));
    let error = environment.dynamics.send(&request, soon()).await;
    let day = Duration::from_secs(86_400);
    assert_eq!(error.unwrap_err().retry_after(), Some(day));
    environment.time.pass(86_401);
    environment.dynamics.send(&request, soon()).await.unwrap();
    assert_eq!(environment.entra.asked(), 2);
}

#[tokio::test]
async fn a_pause_and_a_token_end_while_the_function_is_frozen() {
    let environment = environment().await;
    environment.dynamics.warm_up(soon()).await.unwrap();
    environment.time.pass(3200);
    environment.dynamics.warm_up(soon()).await.unwrap();
    assert_eq!(environment.entra.asked(), 1);
    environment.time.pass(100);
    environment.dynamics.warm_up(soon()).await.unwrap();
    assert_eq!(environment.entra.asked(), 2);

    environment.dataverse.faults.once(Effect::throttled(300));
    let request = create(Uuid::new_v4(), json!({}));
    let in_a_minute = Instant::now() + Duration::from_secs(60);
    let throttled = environment.dynamics.send(&request, in_a_minute).await;
    throttled.unwrap_err();
    let pause = || match environment.dynamics.room() {
        Room::None(left) => left.as_secs(),
        Room::For(_) => 0,
    };
    assert!(pause() > 60);
    environment.time.pass(250);
    assert!((1..60).contains(&pause()));
    environment
        .dynamics
        .send(&request, Instant::now() + Duration::from_secs(5))
        .await
        .expect_err("the pause lasts longer than there is time");
    assert_eq!(environment.dataverse.take_exchanges().len(), 1);
    environment.time.pass(51);
    assert_eq!(pause(), 0);
    environment.dynamics.send(&request, soon()).await.unwrap();
}

#[tokio::test]
async fn a_secret_is_read_again_after_an_hour_and_the_old_one_kept_if_that_fails() {
    let environment = environment().await;
    let (id, secrets) = (SECRET_ID, &environment.secrets);
    environment.dynamics.warm_up(soon()).await.unwrap();
    environment.time.pass(3500);
    environment.dynamics.warm_up(soon()).await.unwrap();
    assert_eq!((secrets.asked(), environment.entra.asked()), (1, 2));

    // Rotated: the new one is read before Entra ID has to refuse the old one.
    secrets.set(id, "made-up-too");
    environment.entra.set_client_secret("made-up-too");
    environment.time.pass(3500);
    environment.dynamics.warm_up(soon()).await.unwrap();
    assert_eq!((secrets.asked(), environment.entra.asked()), (2, 3));

    for effect in [Effect::status(400), Effect::Delay(60_000)] {
        secrets.faults.clear();
        secrets.faults.times(100, effect.clone());
        environment.time.pass(7200);
        let began = Instant::now();
        let warm = environment.dynamics.warm_up(soon()).await;
        warm.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert!(began.elapsed() < Duration::from_secs(3), "{effect:?}");
    }
    assert_eq!(environment.entra.asked(), 5);
}

#[tokio::test]
async fn a_configuration_is_refreshed_before_its_first_use_after_a_rest() {
    let table_faults = Faults::default();
    let system = system_with(
        |_| {},
        |options| options.table_faults = table_faults.clone(),
    )
    .await;
    let store = system::store(system.addresses.aws, table::TABLE_NAME).await;
    let time = Time::default();
    let config = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .build();
    let store = Arc::new(store);
    let integrations = Integrations::new(store.clone(), Arc::new(Sources::new(&config)));
    let integrations = Arc::new(integrations.with_clock(time.clock()));
    let days = async || {
        let loaded = integrations.get("default").await.unwrap();
        loaded.integration.configuration().retention_days
    };
    let save = async |document: &Json| {
        store
            .save_integration("default", &document.to_string())
            .await
            .unwrap();
    };
    let mut document = reference();
    save(&document).await;
    assert_eq!(days().await, 30);

    document["retentionDays"] = 60.into();
    save(&document).await;
    time.pass(59);
    assert_eq!(days().await, 30, "it is fresh enough");
    time.pass(122);
    assert_eq!(days().await, 60, "no contact is sent by the old one");

    save(&json!({})).await;
    time.pass(121);
    assert_eq!(days().await, 60, "a broken one is never taken up");

    document["retentionDays"] = 90.into();
    save(&document).await;
    table_faults.times(1000, Effect::Delay(60_000));
    time.pass(121);
    let began = Instant::now();
    assert_eq!(days().await, 60);
    let waited = began.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(3)).contains(&waited),
        "{waited:?}"
    );
    let began = Instant::now();
    assert_eq!(days().await, 60);
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "one contact has waited for that table; the next need not"
    );
    table_faults.clear();
    time.pass(121);
    assert_eq!(days().await, 90);
}

#[tokio::test]
async fn the_log_says_once_where_a_configuration_leads() {
    let system = reference_system().await;
    let told = || {
        let logs = system.lambda.logs();
        let lines = logs.iter().map(|line| serde_json::from_str(line).unwrap());
        let told = lines.filter(|line: &Json| line["message"] == "the configuration is loaded");
        told.collect::<Vec<_>>()
    };
    invoke(&system, "contact-start", &event("contact-start")).await;
    let before = told();
    assert!(!before.is_empty());
    for line in &before {
        assert_eq!(
            line["environment"],
            system.addresses.dataverse.to_string(),
            "{line}"
        );
        assert_eq!(line["authority"], system.addresses.entra.to_string());
    }
    invoke(&system, "contact-start", &event("contact-start")).await;
    // Each function has one process, and loads it once.
    assert!(told().len() <= system::FUNCTIONS.len(), "{:?}", told());
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
async fn an_environment_that_does_not_answer_is_left_alone_until_a_probe_is_answered() {
    let environment = environment().await;
    environment.dynamics.warm_up(soon()).await.unwrap();
    let request = || create(Uuid::new_v4(), json!({}));
    let once = async || {
        let repeats = Repeats::AfterALimit;
        environment
            .dynamics
            .send_with(&request(), repeats, soon())
            .await
    };
    environment.dataverse.faults.times(5, Effect::status(503));
    for _ in 0..3 {
        once().await.unwrap_err();
    }
    let sent = || environment.dataverse.take_exchanges().len();
    assert_eq!(sent(), 3);
    let told = once().await.unwrap_err();
    assert!(!told.is_permanent() && !told.may_have_been_done());
    assert_eq!(
        told.to_string(),
        "nothing is sent to Dynamics for another 2 s, as the last requests failed: Dynamics is not available at the moment (status 503)"
    );
    assert_eq!(sent(), 0);
    // Somebody who waits for the answer sends a probe once, too.
    for rest in [2, 4] {
        assert!(matches!(environment.dynamics.room(), Room::None(_)));
        environment.time.pass(rest);
        assert_eq!(environment.dynamics.room(), Room::For(1));
        environment
            .dynamics
            .send(&request(), soon())
            .await
            .unwrap_err();
        assert_eq!(sent(), 1);
    }
    environment.time.pass(8);
    once().await.unwrap();
    once().await.unwrap();
    assert!(matches!(environment.dynamics.room(), Room::For(2..)));
}

#[tokio::test]
async fn a_limit_says_that_the_environment_is_there() {
    let environment = environment().await;
    environment.dynamics.warm_up(soon()).await.unwrap();
    let once = async || {
        let request = create(Uuid::new_v4(), json!({}));
        let repeats = Repeats::AfterALimit;
        environment
            .dynamics
            .send_with(&request, repeats, soon())
            .await
    };
    environment.dataverse.faults.times(3, Effect::status(503));
    for _ in 0..3 {
        once().await.unwrap_err();
    }
    environment.time.pass(2);
    environment.dataverse.faults.once(Effect::throttled(0));
    once()
        .await
        .expect("the probe is sent again after the limit");
    once().await.expect("the breaker is closed");
}

#[tokio::test]
async fn nothing_is_sent_after_a_pause_without_time_to_be_answered() {
    let environment = environment().await;
    environment.dynamics.warm_up(soon()).await.unwrap();
    environment.dataverse.faults.once(Effect::throttled(2));
    let deadline = Instant::now() + Duration::from_millis(2800);
    let first = environment.dynamics.send(&action(), deadline).await;
    let second = environment.dynamics.send(&action(), deadline).await;
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert!(!error.may_have_been_done(), "{error}");
    }
    assert_eq!(environment.dataverse.take_exchanges().len(), 1);
}

#[tokio::test]
async fn a_record_that_dynamics_chokes_on_is_no_outage() {
    let environment = environment().await;
    environment.dataverse.faults.times(5, Effect::status(500));
    for sent in 1..=6 {
        let request = create(Uuid::new_v4(), json!({}));
        let repeats = Repeats::AfterALimit;
        let answer = environment.dynamics.send_with(&request, repeats, soon());
        assert_eq!(answer.await.is_ok(), sent == 6);
        assert_eq!(environment.dataverse.take_exchanges().len(), 1);
    }
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
        .insert("contacts", json!({"emailaddress1": "ada@example.com"}))
        .unwrap();
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
    let error = HttpError::Timeout;
    assert_eq!(error.to_string(), "there was no answer within the time");
}
