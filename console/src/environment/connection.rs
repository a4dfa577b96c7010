//! Whether a connection works: step by step, each with what to do where it does not.
//!
//! Owns the steps and the words for an operator who has the portals open. What Entra ID and Dynamics mean by
//! their codes is the library's (`connect_dynamics::dataverse`), and said in its words.

use connect_dynamics::{
    configuration::Connection,
    dataverse::{
        CredentialError, Dynamics, DynamicsError, HttpError, Refusal, Repeats, TokenError,
    },
    federation::FederationError,
    secret::SecretError,
    signing::SigningError,
};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Environment, WITHIN, reading};
use crate::words::sentence;

/// What became of a test of a connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionReport {
    /// In their order. Behind one that failed none was tried.
    pub steps: Vec<ReportedStep>,
    /// Whom the environment knows the application as.
    pub user: Option<ApplicationUser>,
}

impl ConnectionReport {
    /// Whether the functions can work with the connection.
    pub fn works(&self) -> bool {
        self.steps.iter().all(|step| step.outcome == Outcome::Done)
    }

    /// The step that failed.
    pub fn failure(&self) -> Option<&ReportedStep> {
        let mut steps = self.steps.iter();
        steps.find(|step| step.outcome == Outcome::Failed)
    }
}

/// A step of the test.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedStep {
    pub step: TestStep,
    pub outcome: Outcome,
    /// What was found, or why the step failed.
    pub message: String,
    /// What to do where it failed, with the way through the portal.
    pub fix: Option<String>,
}

/// What is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestStep {
    /// Entra ID gives a token.
    Token,
    /// The environment answers, and takes the token.
    Environment,
    /// The application is a user, and enabled.
    User,
    /// The user has a security role.
    Roles,
}

impl TestStep {
    pub const ALL: [TestStep; 4] = [
        TestStep::Token,
        TestStep::Environment,
        TestStep::User,
        TestStep::Roles,
    ];

    /// The step's name for a person.
    pub fn title(self) -> &'static str {
        match self {
            TestStep::Token => "Entra ID gives a token",
            TestStep::Environment => "The environment takes it",
            TestStep::User => "The application is a user of the environment",
            TestStep::Roles => "The user has a security role",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Done,
    Failed,
    NotTried,
}

/// The environment's user that the application is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationUser {
    pub id: Uuid,
    pub full_name: String,
    pub is_disabled: bool,
    pub business_unit: Option<String>,
    /// The names of its own security roles. It may have others through teams.
    pub roles: Vec<String>,
}

/// What was found wrong, and what to do.
#[derive(Debug, Clone, PartialEq)]
struct Finding {
    message: String,
    fix: String,
}

impl Finding {
    fn new(message: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding {
            message: message.into(),
            fix: fix.into(),
        }
    }
}

const SECRETS: &str = "Entra admin center (entra.microsoft.com), App registrations, your application, Certificates & secrets";
const APPLICATION_USERS: &str = "Power Platform admin center (admin.powerplatform.microsoft.com), Environments, your environment, Settings, Users + permissions, Application users";

impl Environment {
    /// Tries the connection as it is now: nothing that was remembered is used. It changes nothing.
    pub async fn test_connection(&self) -> ConnectionReport {
        let mut report = ConnectionReport {
            steps: Vec::new(),
            user: None,
        };
        let failed = self.run(&mut report).await.err();
        if let Some(finding) = failed {
            let step = TestStep::ALL[report.steps.len()];
            report.steps.push(ReportedStep {
                step,
                outcome: Outcome::Failed,
                message: finding.message,
                fix: Some(finding.fix),
            });
        }
        let rest = &TestStep::ALL[report.steps.len()..];
        report.steps.extend(rest.iter().map(|step| ReportedStep {
            step: *step,
            outcome: Outcome::NotTried,
            message: String::new(),
            fix: None,
        }));
        report
    }

    async fn run(&self, report: &mut ConnectionReport) -> Result<(), Finding> {
        let connection = self.connection();
        let explain = |step: TestStep, error: &DynamicsError| explain(step, error, connection);
        let dynamics = self.fresh();
        let deadline = Instant::now() + WITHIN;
        let token = dynamics.warm_up(deadline).await;
        token.map_err(|error| explain(TestStep::Token, &error))?;
        let (_, authority) = connection.hosts();
        done(
            report,
            format!(
                "{authority} gave a token for the application {}.",
                connection.client_id
            ),
        );

        let who = ask(&dynamics, "WhoAmI".to_owned()).await;
        let who = who.map_err(|error| explain(TestStep::Environment, &error))?;
        let id = who.get("UserId").and_then(Json::as_str);
        let id = id.and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(|| {
            let (host, _) = connection.hosts();
            Finding::new(
                format!("{host} answers, but not as Dynamics does."),
                environment_fix(),
            )
        })?;
        let (host, _) = connection.hosts();
        done(
            report,
            format!(
                "{host} answers with version {} of its Web API.",
                connection.api_version
            ),
        );

        // https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/systemuser
        let user = ask(
            &dynamics,
            format!(
                "systemusers({id})?$select=fullname,isdisabled,applicationid&$expand=systemuserroles_association($select=name),businessunitid($select=name)"
            ),
        );
        let privileges = ask(&dynamics, privileges_path(id));
        let (user, privileges) = futures_util::join!(user, privileges);
        let user = user.map_err(|error| explain(TestStep::User, &error))?;
        let user = read_user(id, &user);
        report.user = Some(user.clone());
        if user.is_disabled {
            return Err(disabled());
        }
        let unit = user.business_unit.as_deref();
        let unit = unit.map_or(String::new(), |unit| {
            format!(", of the business unit {unit}")
        });
        done(report, format!("It is the user {}{unit}.", user.full_name));

        let privileges = privileges.ok();
        let privileges = privileges
            .as_ref()
            .and_then(|told| told.get("RolePrivileges"));
        let has_privileges = privileges
            .and_then(Json::as_array)
            .is_some_and(|all| !all.is_empty());
        let message = match user.roles.as_slice() {
            [] if has_privileges => {
                "It has no role of its own; what it may do it has through a team.".to_owned()
            }
            [] => return Err(no_role()),
            [role] => format!("It has the role {role}."),
            roles => format!("It has the roles {}.", roles.join(", ")),
        };
        done(report, message);
        Ok(())
    }
}

fn done(report: &mut ConnectionReport, message: String) {
    report.steps.push(ReportedStep {
        step: TestStep::ALL[report.steps.len()],
        outcome: Outcome::Done,
        message,
        fix: None,
    });
}

async fn ask(dynamics: &Dynamics, path: String) -> Result<Map<String, Json>, DynamicsError> {
    let deadline = Instant::now() + WITHIN;
    let request = reading(path);
    let answer = dynamics.send_with(&request, Repeats::AfterALimit, deadline);
    Ok(Box::pin(answer).await?.body)
}

/// What a user may do by all of its roles.
/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/retrieveuserprivileges>
pub(super) fn privileges_path(user: Uuid) -> String {
    format!("systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()")
}

fn read_user(id: Uuid, user: &Map<String, Json>) -> ApplicationUser {
    let user = Json::from(user.clone());
    let roles = user["systemuserroles_association"].as_array();
    let mut roles: Vec<String> = roles
        .into_iter()
        .flatten()
        .filter_map(|role| Some(role["name"].as_str()?.to_owned()))
        .collect();
    roles.sort();
    ApplicationUser {
        id,
        full_name: user["fullname"].as_str().unwrap_or_default().to_owned(),
        is_disabled: user["isdisabled"] == true,
        business_unit: user["businessunitid"]["name"].as_str().map(str::to_owned),
        roles,
    }
}

fn disabled() -> Finding {
    Finding::new(
        "The application user is disabled.",
        format!("Enable it: {APPLICATION_USERS}, the user, Activate."),
    )
}

fn no_role() -> Finding {
    Finding::new(
        "The application user has no security role, so it may not do anything.",
        format!(
            "Give it one that may do what the requests need: {APPLICATION_USERS}, the user, Edit security roles."
        ),
    )
}

fn environment_fix() -> String {
    "Compare connection.environmentUri with the environment's URL: Power Platform admin center (admin.powerplatform.microsoft.com), Environments, your environment, Environment URL. Write it with https:// and without a path.".to_owned()
}

/// Why a step failed, and what to do.
fn explain(step: TestStep, error: &DynamicsError, connection: &Connection) -> Finding {
    let (environment, authority) = connection.hosts();
    let again = "Try again in a minute; nothing is wrong with the connection itself.";
    match error {
        DynamicsError::NoToken(error) => explain_token(error, connection),
        DynamicsError::Http(HttpError::Unreachable { reason, .. }) => Finding::new(
            format!("{environment} cannot be reached: {reason}."),
            environment_fix()
                + " If it is right, see that this machine reaches it, by a proxy if it needs one.",
        ),
        DynamicsError::Http(HttpError::Timeout) => Finding::new(
            format!(
                "{environment} did not answer within {} seconds.",
                WITHIN.as_secs()
            ),
            "Try again; if this lasts, see that this machine reaches it, and that the environment is not in administration mode.",
        ),
        DynamicsError::Http(error @ HttpError::NoTls(_)) => Finding::new(
            sentence(&error.to_string()),
            "Mend the certificates that this machine trusts.",
        ),
        DynamicsError::Throttled { .. }
        | DynamicsError::Resting { .. }
        | DynamicsError::Unavailable { .. } => Finding::new(sentence(&error.to_string()), again),
        DynamicsError::NotJson { .. } | DynamicsError::AnswerTooLarge { .. } => {
            Finding::new(sentence(&error.to_string()), environment_fix())
        }
        DynamicsError::Refused(refusal) => explain_refusal(step, refusal, connection, &authority),
    }
}

fn explain_refusal(
    step: TestStep,
    refusal: &Refusal,
    connection: &Connection,
    authority: &str,
) -> Finding {
    let (environment, _) = connection.hosts();
    match (refusal.status, refusal.code.to_ascii_lowercase().as_str()) {
        (_, "0x80072560") => Finding::new(
            "The application is no user of this environment.",
            format!(
                "Add it: {APPLICATION_USERS}, New app user; add the app with the client id {}, choose a business unit, and give it a security role.",
                connection.client_id
            ),
        ),
        (_, "0x80040225" | "0x80040219") => disabled(),
        (403, _) if refusal.message.contains("no roles are assigned") => no_role(),
        (401, _) => Finding::new(
            format!(
                "{environment} does not accept the token that {authority} gave for {}.",
                connection.token_scope()
            ),
            "connection.scope must be the environment's own URI with /.default appended, as it is when it is left out; connection.tenantId must be the tenant of the environment (Power Platform admin center, Environments, your environment, Details).",
        ),
        (404, _) => Finding::new(
            format!(
                "{environment} has no Web API of version {}, or is no environment of Dynamics.",
                connection.api_version
            ),
            format!(
                "Write \"apiVersion\": \"9.2\", or leave it out. {}",
                environment_fix()
            ),
        ),
        (300..=399, _) => Finding::new(
            format!(
                "{environment} redirects elsewhere, as an address does that is no environment's or an old one of it."
            ),
            environment_fix(),
        ),
        (403, _) if step == TestStep::User => Finding::new(
            sentence(&refusal.to_string()),
            format!(
                "The user's role must at least let it read users (prvReadUser, organization): {APPLICATION_USERS}, the user, Edit security roles."
            ),
        ),
        _ => Finding::new(
            sentence(&refusal.to_string()),
            format!("See the user and its roles: {APPLICATION_USERS}."),
        ),
    }
}

fn explain_token(error: &TokenError, connection: &Connection) -> Finding {
    let (_, authority) = connection.hosts();
    match error {
        TokenError::Http(HttpError::Unreachable { reason, .. }) => Finding::new(
            format!("{authority} cannot be reached: {reason}."),
            "See that this machine reaches it, by a proxy if it needs one; connection.authority is left out unless yours is a national cloud.",
        ),
        TokenError::Http(_) | TokenError::Unavailable { .. } => Finding::new(
            sentence(&error.to_string()),
            "Try again in a minute; if this lasts, see that this machine reaches it.",
        ),
        TokenError::Credential(error) => explain_credential(error, connection),
        TokenError::Refused { code, .. } => {
            Finding::new(sentence(&error.to_string()), way_to_mend(code, connection))
        }
    }
}

/// The way through the portal to what Entra ID refuses.
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
fn way_to_mend(code: &str, connection: &Connection) -> String {
    let client_id = &connection.client_id;
    match code {
        "AADSTS7000215" => format!("Make a new one and put its Value, not its Secret ID, into Secrets Manager: {SECRETS}, Client secrets, New client secret."),
        "AADSTS7000222" => format!("Make a new one and put its Value into Secrets Manager: {SECRETS}, Client secrets, New client secret."),
        "AADSTS700016" => format!("Compare connection.clientId, {client_id}, with the Application (client) ID, and connection.tenantId with the Directory (tenant) ID: Entra admin center (entra.microsoft.com), App registrations, your application, Overview."),
        "AADSTS90002" | "AADSTS900023" => "Compare connection.tenantId with the Directory (tenant) ID: Entra admin center (entra.microsoft.com), App registrations, your application, Overview.".to_owned(),
        "AADSTS500011" | "AADSTS70011" | "AADSTS1002012" => "Leave connection.scope out; it is then the environment's URI with /.default appended. That URI must be one of an environment in this tenant: Power Platform admin center (admin.powerplatform.microsoft.com), Environments, your environment, Environment URL.".to_owned(),
        "AADSTS700027" | "AADSTS7000214" | "AADSTS7000277" | "AADSTS1000502" | "AADSTS5002723" => {
            format!("Look at the certificate, its thumbprint and its days: {SECRETS}, Certificates.")
        }
        "AADSTS700211" | "AADSTS700212" | "AADSTS700213" | "AADSTS7002138" | "AADSTS70021" | "AADSTS50027" => {
            format!("Look at the credential's issuer, subject and audience: {SECRETS}, Federated credentials.")
        }
        "AADSTS700024" => "Set this machine's clock.".to_owned(),
        "AADSTS7000112" => "Enable it: Entra admin center (entra.microsoft.com), Enterprise applications, your application, Properties, Enabled for users to sign-in.".to_owned(),
        "AADSTS53003" => "Exempt the application: Entra admin center (entra.microsoft.com), Conditional Access, Policies.".to_owned(),
        _ => "Compare connection.clientId and connection.tenantId with what the portal shows: Entra admin center (entra.microsoft.com), App registrations, your application, Overview.".to_owned(),
    }
}

fn explain_credential(error: &CredentialError, connection: &Connection) -> Finding {
    let new_secret = format!(
        "Make one and put its Value into Secrets Manager, here or with the day it ends as {{\"clientSecret\": \"...\", \"expiresOn\": \"2027-01-31\"}}: {SECRETS}, Client secrets, New client secret."
    );
    match error {
        CredentialError::ClientSecret(SecretError::NotFound { id, .. }) => Finding::new(
            format!("There is no secret `{id}` in Secrets Manager."),
            format!(
                "Correct connection.clientSecretId; the stack's output SecretArn names the one that it made. Or give it a client secret here, and it is created. {new_secret}"
            ),
        ),
        CredentialError::ClientSecret(SecretError::Empty(id)) => Finding::new(
            format!("The secret `{id}` in Secrets Manager is empty."),
            new_secret,
        ),
        CredentialError::ClientSecret(SecretError::AccessDenied(id))
        | CredentialError::Certificate(SecretError::AccessDenied(id)) => Finding::new(
            format!(
                "Your AWS identity may not read the secret `{id}`. The functions may all the same: they have a role of their own."
            ),
            "Let an administrator give your identity secretsmanager:GetSecretValue for it, and kms:Decrypt when it is encrypted with a key of your own; or sign in with another: start the console with --profile.",
        ),
        CredentialError::ClientSecret(SecretError::Malformed { .. }) => {
            Finding::new(sentence(&error.to_string()), new_secret)
        }
        CredentialError::ClientSecret(_)
        | CredentialError::Certificate(SecretError::Unavailable { .. }) => Finding::new(
            sentence(&error.to_string()),
            "See that your AWS credentials are good (aws sts get-caller-identity) and of the stack's account and region.",
        ),
        CredentialError::Certificate(_) => Finding::new(
            sentence(&error.to_string()),
            format!(
                "Put the certificate and its private key into that secret, both as PEM, and upload the certificate: {SECRETS}, Certificates, Upload certificate."
            ),
        ),
        CredentialError::Configuration(_) => Finding::new(
            sentence(&error.to_string()),
            "Name one credential in the connection: clientSecretId, certificate or federation.",
        ),
        CredentialError::Signing(SigningError::Unavailable { .. })
        | CredentialError::NoRandomness => Finding::new(
            sentence(&error.to_string()),
            "See that your AWS credentials are good (aws sts get-caller-identity) and of the stack's account and region.",
        ),
        CredentialError::Signing(_) => Finding::new(
            sentence(&error.to_string()),
            "AWS console, Key Management Service, Customer managed keys: look at the key and its policy. Here your own AWS identity signs, so it needs kms:Sign as the functions do.",
        ),
        CredentialError::Federation(FederationError::MayNotAssume { role_arn, .. }) => {
            Finding::new(
                sentence(&error.to_string()),
                format!(
                    "Here your own AWS identity assumes the role, and its trust policy may name the functions' only: then try with the functions, by a contact. To test it here, let the trust policy of {role_arn} name your identity too (AWS console, IAM, Roles, the role, Trust relationships)."
                ),
            )
        }
        CredentialError::Federation(_) => Finding::new(
            sentence(&error.to_string()),
            match &connection.federation {
                Some(federation) => format!(
                    "AWS console, IAM, Roles: look at {}, its permissions and its trust relationships.",
                    federation.role_arn
                ),
                None => "AWS console, IAM, Roles: look at the role.".to_owned(),
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use connect_dynamics::integration::Integration;

    use super::*;

    #[test]
    fn what_the_credential_lacks_is_explained_with_its_fix() {
        let reference = include_str!("../../../local/reference-integration.json");
        let integration = Integration::load(reference).unwrap();
        let credential = |error: CredentialError| TokenError::Credential(error);
        let refused = |code: &str| TokenError::Refused {
            code: code.to_owned(),
            advice: "what the library says".to_owned(),
        };
        for (error, said, fix) in [
            (
                refused("AADSTS700027"),
                "What the library says",
                "Certificates & secrets, Certificates",
            ),
            (
                refused("AADSTS700213"),
                "AADSTS700213",
                "Federated credentials",
            ),
            (refused("AADSTS700024"), "AADSTS700024", "clock"),
            (
                refused("AADSTS7000112"),
                "AADSTS7000112",
                "Enterprise applications",
            ),
            (
                refused("AADSTS1"),
                "AADSTS1",
                "connection.clientId and connection.tenantId",
            ),
            (
                credential(CredentialError::Certificate(SecretError::NotFound {
                    id: "example".into(),
                    named_by: "connection.certificate.secretId",
                })),
                "connection.certificate.secretId",
                "Upload certificate",
            ),
            (
                credential(CredentialError::Certificate(SecretError::AccessDenied(
                    "example".into(),
                ))),
                "Your AWS identity may not read",
                "--profile",
            ),
            (
                credential(CredentialError::Signing(SigningError::Unavailable {
                    id: "alias/example".into(),
                    reason: "dispatch failure".into(),
                })),
                "dispatch failure",
                "aws sts get-caller-identity",
            ),
            (
                credential(CredentialError::Federation(FederationError::MayNotAssume {
                    role_arn: "arn:aws:iam::123456789012:role/example".into(),
                    reason: "AccessDenied".into(),
                })),
                "may not assume the role",
                "Trust relationships",
            ),
            (
                credential(CredentialError::Federation(FederationError::Disabled)),
                "is not enabled in this AWS account",
                "IAM",
            ),
            (
                credential(CredentialError::Configuration(vec!["name one".into()])),
                "Name one",
                "clientSecretId, certificate or federation",
            ),
        ] {
            let error = DynamicsError::NoToken(error);
            let finding = explain(TestStep::Token, &error, integration.connection());
            assert!(
                finding
                    .message
                    .to_lowercase()
                    .contains(&said.to_lowercase()),
                "{said}: {finding:?}"
            );
            assert!(finding.fix.contains(fix), "{fix}: {finding:?}");
        }
    }
}
