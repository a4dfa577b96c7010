//! How the functions prove to Entra ID who they are, and whether Dynamics answers them.
//!
//! Owns what can be seen of a credential without using it. A secret's value is read by the library, which never
//! lets it out; nothing of it is in a finding. Whether it is taken is tried by the function `redelivery`, with
//! the functions' own rights.

use std::{sync::Arc, time::Duration};

use connect_dynamics::{
    integration::Integration,
    integrations::Trial,
    secret::{Certificate, ClientSecret, SecretError, Secrets},
};
use jiff::{civil::Date, tz::Offset};
use serde_json::{Value as Json, json};

use super::{
    Check, Failure, Ground, Verdict,
    calls::{DESCRIBE_KEY, DESCRIBE_SECRET, INVOKE, READ_SECRET},
    denied,
};

/// How many days before its end a credential is warned of, where the stack does not say.
const WARNED_BEFORE: i64 = 30;
/// Redelivery has 55 seconds.
const CONNECTION_WITHIN: Duration = Duration::from_secs(62);
/// The name by which containers reach this machine: `local serve` saves an integration for them.
pub(super) const OF_CONTAINERS: &str = "host.docker.internal";
const ROTATE: &str = "Make a new one and put it into the secret; docs/rotate-the-secret.md has the steps, without a gap.";

pub(super) fn checks<'a>(ground: &Arc<Ground<'a>>) -> Vec<Check<'a>> {
    let mut checks = Vec::new();
    for name in ground.integrations.iter().flatten() {
        checks.push({
            let (ground, name) = (ground.clone(), name.clone());
            Check::new(
                format!("credential:{name}"),
                format!("The credential of {name}"),
                async move {
                    credential(&ground, &name)
                        .await
                        .unwrap_or_else(Verdict::from)
                },
            )
        });
        checks.push({
            let (ground, name) = (ground.clone(), name.clone());
            let check = Check::new(
                format!("connection:{name}"),
                format!("The connection of {name} to Dynamics"),
                async move {
                    connection(&ground, &name)
                        .await
                        .unwrap_or_else(Verdict::from)
                },
            );
            check.within(CONNECTION_WITHIN)
        });
    }
    checks
}

/// An integration that loads; else what is told in its place.
async fn loaded(ground: &Ground<'_>, name: &str) -> Result<Result<Integration, Verdict>, Failure> {
    let document = ground.deployment.store.integration(name).await?;
    let integration = document.map(|document| Integration::load(&document));
    Ok(match integration {
        Some(Ok(integration)) => Ok(integration),
        _ => Err(
            Verdict::cannot_be_checked("It is looked at once the configuration loads.")
                .mend(format!("See what is said of the configuration of {name}.")),
        ),
    })
}

async fn credential(ground: &Ground<'_>, name: &str) -> Result<Verdict, Failure> {
    let integration = match loaded(ground, name).await? {
        Ok(integration) => integration,
        Err(verdict) => return Ok(verdict),
    };
    let connection = integration.connection();
    let secrets = Secrets::new(ground.deployment.aws.config());
    let today = Offset::UTC.to_datetime(ground.now).date();
    let warned_before = ground
        .parameter("SecretWarningDays")
        .parse()
        .unwrap_or(WARNED_BEFORE);
    // A configuration that loads names exactly one.
    if let Some(id) = &connection.client_secret_id {
        let read = secrets.fetch::<ClientSecret>(id).await;
        let ends = read.map(|secret| secret.expires_on);
        let judged = ends.map(|ends| judge_end("client secret", ends, today, warned_before));
        return judge_secret(ground, id, judged).await;
    }
    let certificate = connection.certificate.as_ref();
    if let Some(id) = certificate.and_then(|certificate| certificate.secret_id.as_ref()) {
        let read = secrets.fetch::<Certificate>(id).await;
        let ends = read.map(|certificate| certificate.expires_on());
        let judged = ends.map(|ends| judge_end("certificate", Some(ends), today, warned_before));
        return judge_secret(ground, id, judged).await;
    }
    if let Some(id) = certificate.and_then(|certificate| certificate.kms_key_id.as_ref()) {
        let answer = ground.asking.json(DESCRIBE_KEY, json!({"KeyId": id})).await;
        return match answer {
            Ok(answer) => Ok(judge_key(id, &answer["KeyMetadata"])),
            Err(failure) if failure.is_not_found() => {
                Ok(Verdict::broken(format!("There is no key {id} in KMS.")).mend(
                    "Correct connection.certificate.kmsKeyId; the keys are in the AWS console, KMS, Customer managed keys.",
                ))
            }
            Err(failure) => Err(failure),
        };
    }
    let role = connection
        .federation
        .as_ref()
        .map(|federation| federation.role_arn.as_str());
    let own = ground.deployment.outputs.get("FederationRoleArn");
    Ok(judge_role(
        role.unwrap_or_default(),
        own.map(String::as_str),
        ground.deployment.is_local(),
    ))
}

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html>
async fn judge_secret(
    ground: &Ground<'_>,
    id: &str,
    read: Result<Verdict, SecretError>,
) -> Result<Verdict, Failure> {
    let put = format!(
        "aws secretsmanager put-secret-value --secret-id {id} --secret-string file://secret.json {}",
        ground.region_option()
    );
    match read {
        Ok(verdict) => {
            let own = ground.deployment.secret_id.as_deref();
            let is_own = ground.deployment.is_local() || own.is_none_or(|own| own == id || own.contains(&format!(":secret:{id}-")));
            if is_own {
                return Ok(verdict);
            }
            Ok(Verdict::of(
                [
                    verdict,
                    Verdict::warning(format!(
                        "The secret {id} is not the one that the stack lets its functions read ({}).",
                        own.unwrap_or_default()
                    ))
                    .mend("Name the stack's output SecretArn in the connection, or deploy with the parameter SecretArn of the other."),
                ],
                "",
            ))
        }
        Err(SecretError::AccessDenied(_)) => {
            // Who may not read its value may see that it is there.
            let answer = ground.asking.json(DESCRIBE_SECRET, json!({"SecretId": id})).await;
            Ok(match answer {
                Ok(_) => denied(READ_SECRET).noting(format!(
                    "The secret {id} exists. Whether it is filled shows in the trial of the connection; that it ends shows the alarm SecretEnding."
                )),
                Err(failure) if failure.is_not_found() => gone(id),
                Err(_) => denied(READ_SECRET),
            })
        }
        Err(SecretError::NotFound { .. }) => Ok(gone(id)),
        Err(SecretError::Empty(_)) => Ok(Verdict::broken(format!("The secret {id} is empty, so no token can be had."))
            .open("Open the integration's page Connection, and set the client secret there.", "/")
            .run(
            "Or put the client secret in by hand. Write secret.json with an editor: {\"clientSecret\": \"...\", \"expiresOn\": \"2027-01-31\"}, and delete it afterwards.",
            put,
        )),
        Err(SecretError::Malformed { reason, .. }) => {
            Ok(Verdict::broken(format!("The secret {id} cannot be read: {reason}."))
                .open("Open the integration's page Connection, and set the client secret there.", "/")
                .run(
                "Or put a right value in by hand, from a file that you write with an editor and delete afterwards.",
                put,
            ))
        }
        Err(error @ SecretError::Unavailable { .. }) => {
            Ok(Verdict::cannot_be_checked(format!("{error}.")).mend("Check again."))
        }
    }
}

fn gone(id: &str) -> Verdict {
    Verdict::broken(format!("There is no secret {id} in Secrets Manager."))
        .open("Name the stack's output SecretArn in the integration's connection.", "/")
        .mend("If it was deleted by mistake: AWS console, Secrets Manager, Preferences, Show secrets scheduled for deletion, the secret, Cancel deletion.")
}

/// A credential by the day it ends.
fn judge_end(what: &str, ends: Option<Date>, today: Date, warned_before: i64) -> Verdict {
    let Some(ends) = ends else {
        return Verdict::warning(format!(
            "There is a {what}. Nobody knows when it ends, so nobody is told before it does."
        ))
        .mend("Write the day beside it in the secret: {\"clientSecret\": \"...\", \"expiresOn\": \"2027-01-31\"}. It stands in the Entra admin center, App registrations, your application, Certificates & secrets.");
    };
    let days = today
        .until(ends)
        .map_or(0, |left| i64::from(left.get_days()));
    match days {
        ..0 => Verdict::broken(format!("The {what} ended on {ends}.")).mend(ROTATE),
        days if days <= warned_before => {
            let left = match days {
                0 => "today".to_owned(),
                1 => "tomorrow".to_owned(),
                days => format!("in {days} days"),
            };
            Verdict::warning(format!("The {what} ends {left}, on {ends}.")).mend(ROTATE)
        }
        _ => Verdict::ok(format!("There is a {what}, and it ends on {ends}.")),
    }
}

/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html>
fn judge_key(id: &str, key: &Json) -> Verdict {
    let state = key["KeyState"].as_str().unwrap_or_default();
    let usage = key["KeyUsage"].as_str().unwrap_or_default();
    let page = "AWS console, KMS, Customer managed keys";
    let mut all = Vec::new();
    if state != "Enabled" {
        all.push(
            Verdict::broken(format!("The key {id} cannot sign: its state is {state}.")).mend(
                format!("{page}, the key, Key actions: Enable, or Cancel key deletion."),
            ),
        );
    }
    if usage != "SIGN_VERIFY" {
        all.push(
            Verdict::broken(format!("The key {id} is for {usage}, and cannot sign.")).mend(
                "Make an asymmetric RSA key for signing, and its certificate: docs/credentials.md.",
            ),
        );
    }
    Verdict::of(
        all,
        format!(
            "The key {id} can sign. When its certificate ends stands in the Entra admin center, App registrations, your application, Certificates & secrets."
        ),
    )
}

fn judge_role(role_arn: &str, own: Option<&str>, is_local: bool) -> Verdict {
    if is_local || own == Some(role_arn) {
        return Verdict::ok(format!(
            "The functions act in the role {role_arn}; there is no secret that could end."
        ));
    }
    let verdict = match own {
        Some(own) => Verdict::warning(format!("The connection names the role {role_arn}, and the stack has made {own}."))
            .open("Name the stack's output FederationRoleArn as connection.federation.roleArn.", "/"),
        None => Verdict::warning(format!("The connection names the role {role_arn}, which is none of the stack's."))
            .mend("Deploy with MakeFederationRole=true, and name the output FederationRoleArn as connection.federation.roleArn. Leave it if you have made the role yourself and the trial of the connection works."),
    };
    verdict.noting("Whether Entra ID trusts it shows in the trial of the connection.")
}

/// Has `redelivery` ask Entra ID for a token, and Dynamics who we are.
async fn connection(ground: &Ground<'_>, name: &str) -> Result<Verdict, Failure> {
    let integration = match loaded(ground, name).await? {
        Ok(integration) => integration,
        Err(verdict) => return Ok(verdict),
    };
    let (environment, _) = integration.connection().hosts();
    if ground.deployment.is_local() && environment.starts_with(OF_CONTAINERS) {
        return Ok(Verdict::does_not_apply(
            "Only functions in containers can use this connection.",
        ));
    }
    let answer = ground
        .deployment
        .invoke("redelivery", &json!({"tryConnection": name}))
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        // The function itself has failed.
        Err(crate::aws::AwsError::Refused {
            status: 200,
            message,
            ..
        }) => {
            return Ok(Verdict::broken(format!(
                "The function that tries it has failed: {message}."
            ))
            .mend("Its log says more: `sam logs --stack-name <stack> --name Redelivery`."));
        }
        Err(error) => {
            return Err(Failure::Aws {
                right: INVOKE,
                error,
            });
        }
    };
    let trial =
        serde_json::from_value(answer).map_err(|error| Failure::Unreadable(error.to_string()))?;
    Ok(judge_trial(&trial))
}

/// What Entra ID and Dynamics say when they do not take us, and what to do: by a part of the message.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "AADSTS7000215",
        "The secret's value is wrong; often it is the secret's id. Entra admin center, App registrations, your application, Certificates & secrets, New client secret: put its Value, not its Secret ID, into the secret.",
    ),
    (
        "AADSTS7000222",
        "The client secret has ended. docs/rotate-the-secret.md has the steps to a new one.",
    ),
    (
        "AADSTS700027",
        "The application does not know this certificate. Entra admin center, App registrations, your application, Certificates & secrets, Certificates: upload it, and compare its thumbprint with connection.certificate.thumbprint.",
    ),
    (
        "AADSTS1000502",
        "The certificate has ended, or is not valid yet. docs/credentials.md, Rotate it.",
    ),
    (
        "AADSTS700016",
        "There is no such application in this tenant. Entra admin center, App registrations, your application, Overview: compare Application (client) ID and Directory (tenant) ID with connection.clientId and connection.tenantId.",
    ),
    (
        "AADSTS90002",
        "There is no such tenant. Compare connection.tenantId with the Directory (tenant) ID of the Entra admin center's Overview; for a national cloud set connection.authority.",
    ),
    (
        "AADSTS7002",
        "The federated credential is another than the token. Entra admin center, App registrations, your application, Certificates & secrets, Federated credentials: compare issuer, subject and audience, upper and lower case too; docs/credentials.md, In Entra ID.",
    ),
    (
        "AADSTS70021",
        "The federated credential is missing, or was made minutes ago. Entra admin center, App registrations, your application, Certificates & secrets, Federated credentials.",
    ),
    (
        "no client secret",
        "Put the client secret into the secret, and name the stack's output SecretArn as connection.clientSecretId.",
    ),
    (
        "no certificate",
        "Put the private key and the certificate into the secret, both as PEM; docs/credentials.md, In Secrets Manager.",
    ),
    (
        "no signature",
        "AWS console, KMS, Customer managed keys, the key of connection.certificate.kmsKeyId: it is enabled, it is for signing, and the stack has its ARN as the parameter SigningKeyArn.",
    ),
    (
        "outbound identity federation",
        "AWS console, IAM, Account settings, Outbound identity federation, Enable.",
    ),
    (
        "no token of AWS",
        "Name the stack's output FederationRoleArn as connection.federation.roleArn, and deploy with MakeFederationRole=true; docs/credentials.md, A role of AWS.",
    ),
    (
        "is no user of this environment",
        "Power Platform admin center, Manage, Environments, your environment, Settings, Users + permissions, Application users, New app user: add the app registration, and give it its security role.",
    ),
    (
        "application user is disabled",
        "Power Platform admin center, Manage, Environments, your environment, Settings, Users + permissions, Application users, the user: enable it.",
    ),
    (
        "the application user lacks",
        "Power Platform admin center, Manage, Environments, your environment, Settings, Users + permissions, Security roles, the application user's role: add the privilege.",
    ),
    (
        "check its security role",
        "Power Platform admin center, Manage, Environments, your environment, Settings, Users + permissions, Application users, the user, Manage roles: it has the role of docs/setup.md, Make it a user of the environment.",
    ),
    (
        "token is not accepted",
        "The token is for another environment. Correct connection.tenantId, or leave connection.scope out.",
    ),
    (
        "(429",
        "The environment has too many requests at the moment. Nothing is lost; check again later. If it lasts, ask Microsoft about the limits.",
    ),
    (
        "cannot be reached",
        "Compare connection.environmentUri with the address of Dynamics, https://<name>.crm.dynamics.com, and connection.authority, if there is one, with Entra ID's. If they are right, there is an outage: Microsoft 365 admin center, Health, Service health.",
    ),
    (
        "no answer within",
        "There may be an outage: Microsoft 365 admin center, Health, Service health. Nothing is lost; what waits is delivered afterwards.",
    ),
    (
        "is not available at the moment",
        "There is an outage of the environment: Power Platform admin center, Manage, Environments, your environment; Microsoft 365 admin center, Health, Service health. Nothing is lost; what waits is delivered afterwards.",
    ),
    (
        "no JSON object",
        "A sign-in page or a proxy answers in Dynamics' place. Compare connection.environmentUri with the address of Dynamics, https://<name>.crm.dynamics.com.",
    ),
];

fn judge_trial(trial: &Trial) -> Verdict {
    if trial.works {
        return Verdict::ok(format!(
            "Entra ID ({}) has given a token, and Dynamics ({}) has answered.",
            trial.authority, trial.environment
        ));
    }
    let message = trial.message.as_deref().unwrap_or("it does not say why");
    let verdict = Verdict::broken(format!(
        "The functions do not get through to Dynamics: {message}."
    ));
    match EXPLAINED.iter().find(|(part, _)| message.contains(part)) {
        Some((_, what_to_do)) => verdict.mend(*what_to_do),
        None => verdict.mend("Look the message up in docs/troubleshooting.md, Messages."),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_credential_is_judged_by_the_day_it_ends() {
        let today = date(2026, 11, 28);
        for (ends, expected, text) in [
            (Some(date(2030, 1, 31)), Outcome::Ok, "2030-01-31"),
            (Some(date(2026, 12, 29)), Outcome::Ok, "2026-12-29"),
            (Some(date(2026, 12, 28)), Outcome::Warning, "in 30 days"),
            (Some(date(2026, 11, 29)), Outcome::Warning, "tomorrow"),
            (Some(date(2026, 11, 28)), Outcome::Warning, "today"),
            (
                Some(date(2026, 11, 27)),
                Outcome::Broken,
                "ended on 2026-11-27",
            ),
            (None, Outcome::Warning, "Nobody knows"),
        ] {
            let verdict = judge_end("client secret", ends, today, 30);
            assert_eq!(verdict.outcome, expected, "{verdict:?}");
            assert!(verdict.findings[0].contains(text), "{verdict:?}");
        }
    }

    #[test]
    fn what_entra_id_and_dynamics_say_is_explained() {
        let trial = |message: &str| Trial {
            integration: "default".into(),
            message: Some(message.into()),
            ..Trial::default()
        };
        for (message, text) in [
            (
                "Entra ID refused to give a token (AADSTS7000215): Invalid client secret provided",
                "Value, not its Secret ID",
            ),
            (
                "Entra ID refused to give a token (AADSTS700213)",
                "Federated credentials",
            ),
            (
                "no client secret: the secret `x` holds no client secret",
                "SecretArn",
            ),
            (
                "the app registration is no user of this environment",
                "Application users",
            ),
            ("something that nobody has foreseen", "troubleshooting.md"),
        ] {
            let verdict = judge_trial(&trial(message));
            assert_eq!(verdict.outcome, Outcome::Broken);
            assert!(verdict.what_to_do[0].text.contains(text), "{verdict:?}");
        }
        let works = Trial {
            works: true,
            ..Trial::default()
        };
        assert_eq!(judge_trial(&works).outcome, Outcome::Ok);
    }

    #[test]
    fn a_key_must_be_enabled_and_for_signing() {
        for (state, usage, expected) in [
            ("Enabled", "SIGN_VERIFY", Outcome::Ok),
            ("PendingDeletion", "SIGN_VERIFY", Outcome::Broken),
            ("Enabled", "ENCRYPT_DECRYPT", Outcome::Broken),
        ] {
            let key = json!({"KeyState": state, "KeyUsage": usage});
            assert_eq!(
                judge_key("alias/x", &key).outcome,
                expected,
                "{state} {usage}"
            );
        }
    }

    #[test]
    fn a_role_is_compared_with_the_stacks() {
        let role = "arn:aws:iam::123456789012:role/connect-dynamics-FederationRole-1";
        assert_eq!(judge_role(role, Some(role), false).outcome, Outcome::Ok);
        assert_eq!(
            judge_role(role, Some("another"), false).outcome,
            Outcome::Warning
        );
        assert_eq!(judge_role(role, None, false).outcome, Outcome::Warning);
    }
}
