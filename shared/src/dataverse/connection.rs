//! The addresses that a connection leads to.

use url::Url;
use uuid::Uuid;

use super::literal::encode;
use crate::configuration::Connection;

impl Connection {
    /// The token's scope.
    /// <https://learn.microsoft.com/entra/identity-platform/scopes-oidc#the-default-scope>
    pub fn token_scope(&self) -> String {
        match &self.scope {
            Some(scope) => scope.clone(),
            None => format!("{}/.default", self.environment()),
        }
    }

    /// The Web API's root: `<environment>/api/data/v<version>/`.
    pub fn service_root(&self) -> String {
        format!("{}/api/data/v{}/", self.environment(), self.api_version)
    }

    /// Where tokens are had:
    /// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>
    pub fn token_endpoint(&self) -> String {
        format!(
            "{}/{}/oauth2/v2.0/token",
            self.authority.trim_end_matches('/'),
            self.tenant_id
        )
    }

    /// The page of the environment's apps, without its query string.
    pub fn page_url(&self) -> String {
        format!("{}/main.aspx", self.environment())
    }

    /// The page that shows a record:
    /// <https://learn.microsoft.com/power-apps/developer/model-driven-apps/open-forms-views-dialogs-reports-url>
    pub fn record_url(&self, logical_name: &str, record_id: Uuid) -> String {
        format!(
            "{}?appid={}&pagetype=entityrecord&etn={logical_name}&id={record_id}",
            self.page_url(),
            self.app_id
        )
    }

    /// The page that searches all of the app's tables for a text. Microsoft describes no address of it; this is
    /// the one that the app itself has while one searches.
    pub fn search_url(&self, text: &str) -> String {
        format!(
            "{}?appid={}&pagetype=search&searchText={}",
            self.page_url(),
            self.app_id,
            encode(text)
        )
    }

    /// The contact's page in Amazon Connect, where whoever may listens to it and reads what was said; none when
    /// the instance's address is not configured.
    /// <https://docs.aws.amazon.com/connect/latest/adminguide/review-recorded-conversations.html>
    pub fn contact_url(&self, contact_id: Uuid) -> Option<String> {
        let instance = self.instance_url.as_ref()?.trim_end_matches('/');
        Some(format!(
            "{instance}/contact-trace-records/details/{contact_id}"
        ))
    }

    /// The hosts of the environment and of Entra ID, with their ports where they have one: for the
    /// log, so that it shows where a configuration sends contacts.
    pub fn hosts(&self) -> (String, String) {
        (host(&self.environment_uri), host(&self.authority))
    }

    fn environment(&self) -> &str {
        self.environment_uri.trim_end_matches('/')
    }
}

fn host(uri: &str) -> String {
    let Ok(url) = Url::parse(uri) else {
        return String::new();
    };
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integration::Integration;

    fn connection() -> Connection {
        Integration::load(include_str!("../../../local/reference-integration.json"))
            .unwrap()
            .connection()
            .clone()
    }

    #[test]
    fn a_contact_has_a_page_where_the_instances_address_is_known() {
        let id = Uuid::from_u128(2);
        assert_eq!(connection().contact_url(id), None);
        for (instance, expected) in [
            (
                "https://example.my.connect.aws/",
                "https://example.my.connect.aws/contact-trace-records/details/00000000-0000-0000-0000-000000000002",
            ),
            (
                "https://example.awsapps.com/connect",
                "https://example.awsapps.com/connect/contact-trace-records/details/00000000-0000-0000-0000-000000000002",
            ),
        ] {
            let connection = Connection {
                instance_url: Some(instance.into()),
                ..connection()
            };
            assert_eq!(connection.contact_url(id).as_deref(), Some(expected));
        }
    }

    #[test]
    fn addresses_are_the_same_with_and_without_a_slash_at_the_end() {
        for slash in ["", "/"] {
            let connection = Connection {
                environment_uri: format!("https://example.crm.dynamics.com{slash}"),
                authority: format!("https://login.microsoftonline.com{slash}"),
                tenant_id: "example.com".into(),
                api_version: "9.2".into(),
                app_id: Uuid::from_u128(1),
                scope: None,
                ..connection()
            };
            let id = Uuid::from_u128(2);
            for (address, expected) in [
                (
                    connection.token_scope(),
                    "https://example.crm.dynamics.com/.default",
                ),
                (
                    connection.service_root(),
                    "https://example.crm.dynamics.com/api/data/v9.2/",
                ),
                (
                    connection.token_endpoint(),
                    "https://login.microsoftonline.com/example.com/oauth2/v2.0/token",
                ),
                (
                    connection.page_url(),
                    "https://example.crm.dynamics.com/main.aspx",
                ),
                (
                    connection.record_url("phonecall", id),
                    "https://example.crm.dynamics.com/main.aspx?appid=00000000-0000-0000-0000-000000000001&pagetype=entityrecord&etn=phonecall&id=00000000-0000-0000-0000-000000000002",
                ),
            ] {
                assert_eq!(address, expected);
            }
            assert_eq!(
                connection.hosts(),
                (
                    "example.crm.dynamics.com".into(),
                    "login.microsoftonline.com".into()
                )
            );
        }
        let elsewhere = Connection {
            scope: Some("https://example.com/.default".into()),
            environment_uri: "http://127.0.0.1:8080".into(),
            authority: "nowhere".into(),
            ..connection()
        };
        assert_eq!(elsewhere.token_scope(), "https://example.com/.default");
        assert_eq!(elsewhere.hosts(), ("127.0.0.1:8080".into(), String::new()));
    }
}
