//! The two custom resources, and what is done for each.

use agent_page::{Parameters, Settings, SettingsError};
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use connect_dynamics::custom_resource::{self, Attributes};
use serde::Deserialize;

use crate::bucket;

/// The two kinds of custom resources, with their properties in template.yaml. Both have the parameters of the
/// page among them.
#[derive(Debug, Deserialize)]
#[serde(tag = "ResourceType", content = "ResourceProperties")]
pub(crate) enum Resource {
    /// The settings, checked. Its attributes are `ContentSecurityPolicy` and `PermissionsPolicy`.
    #[serde(rename = "Custom::AgentPageSettings")]
    Settings(Parameters),
    /// The page in its bucket.
    #[serde(rename = "Custom::AgentPageContent")]
    Content(Content),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Content {
    bucket_name: String,
    /// Where the page is served, such as `https://d111111abcdef8.cloudfront.net`.
    page_url: String,
    #[serde(flatten)]
    parameters: Parameters,
}

/// Why something could not be done, in words for who deploys the stack.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(
        "{0}. These are parameters of the stack whose names begin with AgentPage, such as AgentPageInstanceUrl; \
         correct them and deploy again"
    )]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Bucket(#[from] bucket::Error),
}

impl custom_resource::Resource for Resource {
    type Failure = Failure;

    fn physical_id(&self) -> &str {
        match self {
            Resource::Settings(_) => "agent-page-settings",
            Resource::Content(content) => &content.bucket_name,
        }
    }

    fn success(&self) -> &'static str {
        match self {
            Resource::Settings(_) => "the agent's page's settings are right",
            Resource::Content(_) => "the bucket is as the agent's page needs it",
        }
    }

    async fn make(&self, config: &SdkConfig, _: &reqwest::Client) -> Result<Attributes, Failure> {
        match self {
            Resource::Settings(parameters) => {
                let settings = Settings::new(parameters)?;
                Ok(Attributes::from([
                    (
                        "ContentSecurityPolicy".into(),
                        settings.content_security_policy(),
                    ),
                    ("PermissionsPolicy".into(), settings.permissions_policy()),
                ]))
            }
            Resource::Content(content) => {
                let settings = Settings::new(&content.parameters)?;
                let s3 = Client::new(config);
                bucket::fill(&s3, &content.bucket_name, &settings, &content.page_url).await?;
                Ok(Attributes::new())
            }
        }
    }

    async fn delete(&self, config: &SdkConfig) -> Result<(), Failure> {
        match self {
            Resource::Settings(_) => {}
            Resource::Content(content) => {
                bucket::empty(&Client::new(config), &content.bucket_name).await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use connect_dynamics::custom_resource::Resource as _;
    use serde_json::{Value as Json, json};

    use super::*;

    /// A resource as a request of CloudFormation names it, with these properties besides the usual ones.
    fn resource(kind: &str, properties: Json) -> Resource {
        let mut all = json!({
            "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:example",
            "ServiceTimeout": "120",
            "Code": "arn:aws:lambda:us-east-1:123456789012:function:example:1",
            "InstanceUrl": "https://example.my.connect.aws",
            "Environments": "https://example.crm.dynamics.com",
            "AppId": "",
            "OpenOn": "connected",
            "WaitSeconds": "10",
            "SignInUrl": "",
            "CountryCallingCode": "",
            "SessionTemplate": "",
        });
        let changed = properties.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(changed);
        serde_json::from_value(json!({"ResourceType": kind, "ResourceProperties": all})).unwrap()
    }

    fn without_aws() -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .build()
    }

    async fn made(resource: &Resource) -> Result<Attributes, String> {
        let made = resource.make(&without_aws(), &reqwest::Client::new()).await;
        made.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_policies_of_the_settings_are_told() {
        let settings = resource("Custom::AgentPageSettings", json!({}));
        let attributes = made(&settings).await.unwrap();
        assert_eq!(attributes.len(), 2);
        let policy = &attributes["ContentSecurityPolicy"];
        assert!(
            policy.contains("frame-ancestors https://example.my.connect.aws https://example.crm"),
            "{policy}"
        );
        assert!(attributes["PermissionsPolicy"].contains("microphone="));
    }

    #[tokio::test]
    async fn all_that_is_wrong_with_the_settings_is_the_deployments_reason() {
        let properties = json!({
            "InstanceUrl": "",
            "WaitSeconds": "soon",
            "BucketName": "example",
            "PageUrl": "https://d111111abcdef8.cloudfront.net",
        });
        for kind in ["Custom::AgentPageSettings", "Custom::AgentPageContent"] {
            let reason = made(&resource(kind, properties.clone())).await.unwrap_err();
            for expected in [
                "InstanceUrl: ",
                "WaitSeconds: `soon`",
                "begin with AgentPage",
            ] {
                assert!(reason.contains(expected), "{kind}: {reason}");
            }
        }
    }

    #[tokio::test]
    async fn settings_are_taken_away_whatever_is_wrong_with_them() {
        let settings = resource("Custom::AgentPageSettings", json!({"InstanceUrl": ""}));
        settings.delete(&without_aws()).await.unwrap();
    }

    #[test]
    fn another_bucket_is_another_resource_and_another_setting_is_not() {
        let content = |bucket: &str, app: &str| {
            let properties = json!({
                "BucketName": bucket,
                "PageUrl": "https://d111111abcdef8.cloudfront.net",
                "AppId": app,
            });
            resource("Custom::AgentPageContent", properties)
        };
        assert_eq!(content("one", "1").physical_id(), "one");
        assert_eq!(content("one", "2").physical_id(), "one");
        assert_eq!(content("another", "1").physical_id(), "another");
        let settings = |app: &str| resource("Custom::AgentPageSettings", json!({"AppId": app}));
        assert_eq!(settings("1").physical_id(), settings("2").physical_id());
    }
}
