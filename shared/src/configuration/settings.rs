//! The checks of a configuration's settings: all of it but the steps, which are checked as they are
//! compiled.

use url::Url;
use uuid::Uuid;

use super::{Configuration, contacts::INITIATION_METHODS, credential::check_credential};

/// What is wrong with the settings, each with its place.
pub(crate) fn check_settings(configuration: &Configuration) -> Vec<String> {
    let mut check = Check::default();
    check.settings(configuration);
    check.problems
}

/// Entra ID's addresses: the worldwide one, that of the US government, and that of China.
/// <https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud>
const LOGIN_HOSTS: [&str; 3] = [
    "https://login.microsoftonline.com",
    "https://login.microsoftonline.us",
    "https://login.partner.microsoftonline.cn",
];

#[derive(Default)]
struct Check {
    problems: Vec<String>,
}

impl Check {
    fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    fn settings(&mut self, configuration: &Configuration) {
        let Configuration {
            name,
            connection,
            retention_days,
            flow_budget_milliseconds,
            give_up_after_hours,
            without_start,
            contacts,
            ..
        } = configuration;
        if !is_integration_name(name) {
            self.problem("name: it must be 1 to 64 letters, digits, `-` and `_`");
        }
        self.origin(
            "connection.environmentUri",
            &connection.environment_uri,
            "https://example.crm.dynamics.com",
        );
        if let Some(instance) = &connection.instance_url {
            // Older instances are at https://<alias>.awsapps.com/connect.
            let origin = instance.trim_end_matches('/');
            let origin = origin.strip_suffix("/connect").unwrap_or(origin);
            self.origin(
                "connection.instanceUrl",
                origin,
                "https://example.my.connect.aws",
            );
        }
        let version = connection.api_version.split('.');
        if !version
            .clone()
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        {
            self.problem("connection.apiVersion: it must be a version like 9.2, without a `v`");
        }
        let tenant = &connection.tenant_id;
        if tenant.is_empty()
            || !tenant
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        {
            self.problem(
                "connection.tenantId: it must be the tenant's id (a GUID) or one of its domains",
            );
        }
        if Uuid::try_parse(&connection.client_id).is_err() {
            self.problem("connection.clientId: it must be the app registration's application (client) id, a GUID");
        }
        self.authority(&connection.authority);
        self.problems.extend(check_credential(connection));
        if !connection.token_scope().ends_with("/.default") {
            self.problem(
                "connection.scope: it must be the environment's URI with `/.default` appended",
            );
        }
        if !(1..=3650).contains(retention_days) {
            self.problem("retentionDays: it must be from 1 to 3650");
        }
        if !(1..=720).contains(give_up_after_hours) {
            self.problem("giveUpAfterHours: it must be from 1 to 720");
        }
        if give_up_after_hours / 24 >= *retention_days {
            self.problem(
                "retentionDays: a contact must be remembered longer than giveUpAfterHours",
            );
        }
        if without_start.after_minutes > 1440 {
            self.problem("withoutStart.afterMinutes: it must be 1440, a day, at the most");
        }
        for method in contacts.methods() {
            if !INITIATION_METHODS.contains(&method) {
                let known = INITIATION_METHODS.join(", ");
                self.problem(format!(
                    "contacts.{method}: it is no initiation method; those of Amazon Connect are {known}"
                ));
            }
        }
        if !(500..=8000).contains(flow_budget_milliseconds) {
            self.problem("flowBudgetMilliseconds: it must be from 500 to 8000; Amazon Connect waits 8 seconds at most");
        }
    }

    /// One of Microsoft's addresses, or this machine for a local run: whoever changes a configuration must
    /// not be able to have the credential sent elsewhere.
    fn authority(&mut self, authority: &str) {
        let field = "connection.authority";
        if !self.origin(field, authority, LOGIN_HOSTS[0]) {
            return;
        }
        let is_microsofts = LOGIN_HOSTS.contains(&authority.trim_end_matches('/'));
        if !is_microsofts && !Url::parse(authority).is_ok_and(|url| is_this_machine(&url)) {
            self.problem(format!(
                "{field}: the credential is sent to Microsoft only; it must be {}",
                LOGIN_HOSTS.join(", or ")
            ));
        }
    }

    /// An https origin, or http on this machine for a local run. Tells whether it is.
    fn origin(&mut self, field: &str, uri: &str, example: &str) -> bool {
        let problem = match Url::parse(uri) {
            Err(error) => Some(format!("{error}")),
            Ok(url)
                if url.scheme() != "https"
                    && !(url.scheme() == "http" && is_this_machine(&url)) =>
            {
                Some("it must begin with https://".into())
            }
            Ok(url) if url.path() != "/" || url.query().is_some() || url.fragment().is_some() => {
                Some("it must end after the host".into())
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Some("it must hold no user name or password".into())
            }
            Ok(_) => None,
        };
        let is_origin = problem.is_none();
        if let Some(problem) = problem {
            self.problem(format!("{field}: {problem}; for example {example}"));
        }
        is_origin
    }
}

/// Whether a URL's host is this machine, which a container knows as host.docker.internal: the only one
/// that http may be spoken to.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => matches!(name, "localhost" | "host.docker.internal"),
        None => false,
    }
}

/// Whether an integration can be called so.
pub fn is_integration_name(text: &str) -> bool {
    is_name(text) && text.len() <= 64
}

pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

pub(crate) fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
