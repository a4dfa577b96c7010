//! Each way of proving to Entra ID who we are, through the functions' binaries and the stand-ins, and what
//! is said when something about it is wrong.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use connect_dynamics::{
    clock::Clock,
    configuration::Connection,
    dataverse::{Dynamics, Http},
    integrations::Integrations,
    sources::Sources,
};
use end_to_end::*;
use jiff::{SignedDuration, Timestamp};
use local::{
    credential::Credential,
    life,
    stand_in::{entra::FederatedCredential, pair::Pair, sts::Sts},
    system::{self, System},
    table::TABLE_NAME,
};
use serde_json::{Map, Value as Json, json};
use tokio::time::Instant;
use uuid::Uuid;

const ROLE: &str = "arn:aws:iam::123456789012:role/connect-dynamics";
const CERTIFICATE_ID: &str = "connect-dynamics/certificate";
const KEY_ID: &str = "alias/connect-dynamics";

async fn system_with_credential(credential: Credential) -> System {
    system(|configuration| credential.name_in(configuration)).await
}

/// A new contact, and the reply to its flow. No token that was given before is good for it.
async fn contact(system: &System) -> (Uuid, Map<String, Json>) {
    system.entra.revoke_tokens();
    let id = Uuid::new_v4();
    let reply = invoke(system, "contact-start", &flow(id, json!({}), json!({}))).await;
    (id, reply)
}

fn is_in_dynamics(system: &System, contact: Uuid) -> bool {
    system.dataverse.record("phonecalls", contact).is_some()
}

/// A new contact is recorded.
async fn succeeds(system: &System) {
    let (id, reply) = contact(system).await;
    assert_reply!(reply, {"status": "delivered"});
    assert!(is_in_dynamics(system, id));
}

/// A new contact waits, and its reply says why; when `mend` has done its work, it is recorded.
async fn waits(system: &System, said: &[&str], mend: impl FnOnce(&System)) {
    let (id, reply) = contact(system).await;
    assert_reply!(reply, {"status": "pending"});
    for said in said {
        assert_reply!(reply, {"message": contains(said)});
    }
    assert!(!is_in_dynamics(system, id));
    mend(system);
    eventually("the contact is recorded", async || {
        system.redeliver().await.unwrap();
        is_in_dynamics(system, id)
    })
    .await;
    // The function itself finds it mended too; three failures in a row would make it leave Dynamics alone.
    succeeds(system).await;
}

/// The wall clock of a function, which may differ from Entra ID's.
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

/// The access key of the SDK's credentials for tests.
const ACCESS_KEY: &str = "ANOTREAL";

/// The AWS clients' configuration for the stand-ins of a system.
async fn aws_of(system: &System) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{}", system.addresses.aws))
        .test_credentials()
        .load()
        .await
}

/// A client of the system's environment, with a clock of its own.
async fn client(system: &System, connection: &Connection, time: &Time) -> Dynamics {
    let sources = Sources::new(&aws_of(system).await).with_clock(time.clock());
    let client = Dynamics::new(Http::default(), connection, Arc::new(sources));
    client.with_clock(time.clock())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test]
async fn a_contacts_life_is_the_same_with_each_credential() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let events = life::events(&folder).unwrap();
    for credential in Credential::ALL {
        let system = system_with_credential(credential).await;
        let mut out = Vec::new();
        let outcome = life::run(&system, &events, &mut out).await.unwrap();
        let text = String::from_utf8_lossy(&out);
        assert_eq!(outcome.problems, [""; 0], "{credential:?}: {text}");

        // Each service is called only by those who need it.
        let called: Vec<String> = system
            .aws
            .calls()
            .into_iter()
            .flat_map(|(who, calls)| {
                let who = if who == ROLE { "role" } else { "function" };
                calls.into_keys().map(move |call| format!("{who} {call}"))
            })
            .filter(|call| !call.contains("dynamodb:"))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        let expected: &[&str] = match credential {
            Credential::Secret | Credential::Certificate => {
                &["function secretsmanager:GetSecretValue secret"]
            }
            Credential::Kms => &["function kms:Sign key"],
            Credential::Federation => &[
                "function sts:AssumeRole role",
                "role sts:GetWebIdentityToken *",
            ],
        };
        assert_eq!(called, expected, "{credential:?}");

        let logs = system.lambda.logs().join("\n");
        let days_left = logs.contains("SecretDaysLeft");
        let ends = matches!(credential, Credential::Secret | Credential::Certificate);
        assert_eq!(days_left, ends, "{credential:?}: {logs}");
        for secret in [
            "PRIVATE KEY",
            "stand-in-session",
            // The beginning of any JSON Web Token.
            "eyJ",
            "made-up-client-secret",
            "stand-in-token",
        ] {
            assert!(!logs.contains(secret), "{credential:?}, {secret}: {logs}");
            assert!(!text.contains(secret), "{credential:?}, {secret}: {text}");
        }
    }
}

#[tokio::test]
async fn a_certificate_is_rotated_without_a_gap() {
    let system = system_with_credential(Credential::Certificate).await;
    succeeds(&system).await;
    let next = Pair::new(2020, 2100);
    system.entra.add_certificate(&next);
    succeeds(&system).await;
    system.secrets_manager.set(CERTIFICATE_ID, &next.pem());
    succeeds(&system).await;
    // The functions have the old one in memory still; they are refused once, and read the new one.
    system.entra.keep_certificate(&next);
    succeeds(&system).await;

    // The other way round, nothing is lost: contacts wait until Entra ID knows the new one.
    let too_early = Pair::new(2020, 2100);
    system.entra.keep_certificate(&too_early);
    system.secrets_manager.set(CERTIFICATE_ID, &too_early.pem());
    waits(
        &system,
        &["AADSTS700027", "upload the certificate to the application"],
        |system| system.entra.add_certificate(&too_early),
    )
    .await;
}

#[tokio::test]
async fn a_certificate_that_is_not_taken_is_told_with_what_to_do() {
    let system = system_with_credential(Credential::Certificate).await;
    let good = Pair::new(2020, 2100);
    let restore = |system: &System| {
        system.entra.keep_certificate(&good);
        system.entra.add_certificate(&good);
        system.secrets_manager.set(CERTIFICATE_ID, &good.pem());
    };
    restore(&system);
    succeeds(&system).await;

    system.entra.revoke_certificate(&good);
    waits(&system, &["AADSTS7000214", "is revoked"], restore).await;

    for pair in [Pair::new(2020, 2021), Pair::new(2099, 2100)] {
        system.entra.add_certificate(&pair);
        system.entra.keep_certificate(&pair);
        system.secrets_manager.set(CERTIFICATE_ID, &pair.pem());
        waits(
            &system,
            &["AADSTS1000502", "has ended, or is not valid yet"],
            restore,
        )
        .await;
    }

    for (text, said) in [
        ("made-up-client-secret", "no private key"),
        (
            good.pem()
                .split_inclusive("-----END PRIVATE KEY-----")
                .next()
                .unwrap(),
            "no certificate",
        ),
    ] {
        let other = Pair::new(2020, 2100);
        system.entra.add_certificate(&other);
        system.entra.keep_certificate(&other);
        system.secrets_manager.set(CERTIFICATE_ID, text);
        waits(
            &system,
            &[
                "no certificate: the secret `connect-dynamics/certificate` cannot be read",
                said,
            ],
            restore,
        )
        .await;
    }
}

#[tokio::test]
async fn a_key_in_kms_that_does_not_sign_is_told_with_what_to_do() {
    let system = system_with_credential(Credential::Kms).await;
    for (error, said) in [
        (
            "NotFoundException",
            "correct connection.certificate.kmsKeyId",
        ),
        ("AccessDeniedException", "its role needs kms:Sign for it"),
        ("DisabledException", "enable it in KMS"),
        ("KMSInvalidStateException", "enable it in KMS"),
        (
            "InvalidKeyUsageException",
            "an RSA key whose usage is SIGN_VERIFY",
        ),
    ] {
        system.kms.refuse(Some(error));
        waits(&system, &[KEY_ID, said], |system| system.kms.refuse(None)).await;
    }

    // A key that is not the certificate's.
    system.kms.add_key(KEY_ID, &Pair::new(2020, 2100));
    let (_, reply) = contact(&system).await;
    assert_reply!(reply, {"status": "pending", "message": contains("AADSTS700027")});
    assert_reply!(reply, {"message": contains("its own key")});
}

#[tokio::test]
async fn a_federated_credential_that_does_not_match_is_told_with_what_to_correct() {
    let system = system_with_credential(Credential::Federation).await;
    succeeds(&system).await;
    let right = system.entra.federated_credentials();
    let changed = |change: &dyn Fn(&mut FederatedCredential)| {
        let mut credentials = right.clone();
        credentials.iter_mut().for_each(change);
        credentials
    };
    let another_account = Sts::default();
    for (wrong, said) in [
        (
            changed(&|credential| credential.issuer.push('/')),
            ["AADSTS700211", "correct its issuer"],
        ),
        (
            changed(&|credential| credential.audience = "api://another".into()),
            ["AADSTS700212", "correct its audience"],
        ),
        (
            changed(&|credential| credential.subject.push_str("-production")),
            ["AADSTS700213", "correct its subject"],
        ),
        (
            changed(&|credential| credential.subject = ROLE.replace("connect", "Connect")),
            ["AADSTS7002138", "upper and lower case"],
        ),
        (
            Vec::new(),
            ["AADSTS70021", "takes some minutes to be known"],
        ),
        (
            changed(&|credential| credential.public_key = another_account.public_key()),
            ["AADSTS50027", "no valid JWT"],
        ),
    ] {
        system.entra.set_federated_credentials(wrong);
        waits(&system, &said, |system| {
            system.entra.set_federated_credentials(right.clone());
        })
        .await;
    }
}

#[tokio::test]
async fn what_aws_refuses_is_told_with_what_to_allow() {
    let system = system_with_credential(Credential::Federation).await;
    system.sts.set_enabled(false);
    waits(
        &system,
        &["`aws iam enable-outbound-web-identity-federation`"],
        |system| system.sts.set_enabled(true),
    )
    .await;

    system.sts.set_token_age(Duration::from_secs(1000));
    waits(&system, &["AADSTS700024", "the clocks"], |system| {
        system.sts.set_token_age(Duration::ZERO);
    })
    .await;

    system.sts.remove_role(ROLE);
    system.sts.end_sessions();
    waits(
        &system,
        &[
            "may not assume the role",
            ROLE,
            "AccessDenied",
            "its trust policy must name",
        ],
        |system| system.sts.add_role(ROLE),
    )
    .await;

    system.sts.end_sessions();
    system.sts.set_session_life(Duration::from_secs(60));
    waits(
        &system,
        &["outlives the session of the role", ROLE],
        |system| {
            system.sts.set_session_life(Duration::from_secs(3600));
        },
    )
    .await;

    system.sts.forbid_token(ROLE);
    let (_, reply) = contact(&system).await;
    assert_reply!(reply, {"status": "pending", "message": contains("it needs sts:GetWebIdentityToken for the audience api://AzureADTokenExchange")});
}

#[tokio::test]
async fn an_audience_of_ones_own_is_asked_for() {
    let system = system(|configuration| {
        Credential::Federation.name_in(configuration);
        configuration["connection"]["federation"]["audience"] =
            "api://AzureADTokenExchangeUSGov".into();
    })
    .await;
    succeeds(&system).await;
}

#[tokio::test]
async fn a_role_is_assumed_once_an_hour_and_again_when_its_session_ends_early() {
    let system = system_with_credential(Credential::Federation).await;
    let time = Time::default();
    let client = client(&system, system.integration.connection(), &time).await;
    // The functions assume the role, too.
    let assumed = || system.aws.calls()[ACCESS_KEY]["sts:AssumeRole role"];
    system.entra.set_lifetime(Duration::from_secs(60));
    client.warm_up(soon()).await.unwrap();
    assert_eq!(assumed(), 1);
    for _ in 0..3 {
        // Each time the token of Entra ID has ended, and the session of the role has not.
        time.pass(980);
        client.warm_up(soon()).await.unwrap();
    }
    assert_eq!(assumed(), 1);
    time.pass(120);
    client.warm_up(soon()).await.unwrap();
    assert_eq!(assumed(), 2, "its last ten minutes are not used");

    system.sts.end_sessions();
    time.pass(60);
    client.warm_up(soon()).await.unwrap();
    assert_eq!(assumed(), 3);
}

#[tokio::test]
async fn an_assertion_of_a_clock_that_is_minutes_off_is_refused() {
    for credential in [Credential::Certificate, Credential::Kms] {
        let system = system_with_credential(credential).await;
        let connection = system.integration.connection();
        for (seconds, said) in [
            (-3600, Some("AADSTS700024")),
            (-500, None),
            (200, None),
            (3600, Some("AADSTS700024")),
        ] {
            let time = Time::default();
            time.pass(seconds);
            let client = client(&system, connection, &time).await;
            match (client.warm_up(soon()).await, said) {
                (Ok(()), None) => {}
                (Err(error), Some(said)) => {
                    let error = error.to_string();
                    assert!(error.contains(said), "{seconds}: {error}");
                }
                (found, expected) => panic!("{seconds}: {found:?}, {expected:?}"),
            }
        }
    }
}

#[tokio::test]
async fn nothing_of_a_credential_is_ever_printed() {
    for credential in Credential::ALL {
        let system = system_with_credential(credential).await;
        let time = Time::default();
        let client = client(&system, system.integration.connection(), &time).await;
        client.warm_up(soon()).await.unwrap();
        let printed = format!("{client:?}");
        for secret in [
            "PRIVATE KEY",
            "made-up-client-secret",
            "eyJ",
            "stand-in-session",
            "stand-in-token",
        ] {
            assert!(!printed.contains(secret), "{credential:?}: {secret}");
        }
    }
}

/// From a client secret to a role, while contacts go on.
#[tokio::test]
async fn a_configuration_changes_from_one_credential_to_another_without_a_gap() {
    let system = system_with_credential(Credential::Secret).await;
    let time = Time::default();
    let sources = Sources::new(&aws_of(&system).await).with_clock(time.clock());
    let store = Arc::new(system::store(system.addresses.aws, TABLE_NAME).await);
    let integrations = Integrations::new(store.clone(), Arc::new(sources));
    let integrations = Arc::new(integrations.with_clock(time.clock()));
    let warm_up = async || {
        let loaded = integrations.get("default").await.unwrap();
        loaded.dynamics.warm_up(soon()).await
    };
    warm_up().await.unwrap();

    let mut document: Json = serde_json::to_value(system.integration.configuration()).unwrap();
    Credential::Federation.name_in(&mut document);
    system.sts.add_role(ROLE);
    system
        .entra
        .set_federated_credentials(vec![FederatedCredential {
            issuer: system.sts.issuer().to_owned(),
            subject: ROLE.into(),
            audience: "api://AzureADTokenExchange".into(),
            public_key: system.sts.public_key(),
        }]);
    warm_up().await.unwrap();
    store
        .save_integration("default", &document.to_string())
        .await
        .unwrap();
    time.pass(130);
    warm_up().await.unwrap();
    assert_eq!(system.aws.calls()[ACCESS_KEY]["sts:AssumeRole role"], 1);

    // The secret may go now.
    system.entra.set_secret_has_expired(true);
    time.pass(3600);
    warm_up().await.unwrap();
}
