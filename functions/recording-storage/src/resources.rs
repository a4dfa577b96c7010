//! The two custom resources, and what is done for each.

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use connect_dynamics::custom_resource::{self, Attributes};
use serde::Deserialize;

use crate::{
    bucket,
    storage::{self, BACKOFF, Connect, Instance},
};

/// The two kinds of custom resources, with their properties in template.yaml.
#[derive(Debug, Deserialize)]
#[serde(tag = "ResourceType", content = "ResourceProperties")]
pub(crate) enum Resource {
    /// Where the instance stores what. Its attributes are [`storage::Storage::attributes`].
    #[serde(rename = "Custom::InstanceStorage", rename_all = "PascalCase")]
    InstanceStorage {
        instance_arn: String,
        /// The bucket that the customer names in place of those that Amazon Connect tells; empty for none.
        bucket_name: String,
        /// Amazon Connect's address in this region.
        endpoint: String,
    },
    /// The switch of buckets, whose names have commas between them. `bucket_name` is the chief one of them.
    #[serde(rename = "Custom::BucketEvents", rename_all = "PascalCase")]
    BucketEvents {
        bucket_name: String,
        buckets: String,
    },
}

/// Why something could not be done, in words for who deploys the stack.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Bucket(#[from] bucket::Error),
    #[error("{0} is not the ARN of an Amazon Connect instance. Correct InstanceArn")]
    NoInstance(String),
    #[error(
        "the Amazon Connect instance {instance} is of another region than this stack, which is of {ours}. \
         Deploy the stack into the instance's region, or correct InstanceArn"
    )]
    OfAnotherRegion { instance: String, ours: String },
    #[error("{0} is no address of Amazon Connect: {1}")]
    NoEndpoint(String, url::ParseError),
}

impl custom_resource::Resource for Resource {
    type Failure = Failure;

    fn physical_id(&self) -> &str {
        match self {
            Resource::InstanceStorage { instance_arn, .. } => instance_arn,
            Resource::BucketEvents { bucket_name, .. } => bucket_name,
        }
    }

    fn success(&self) -> &'static str {
        match self {
            Resource::InstanceStorage { .. } => "it is known where the instance stores what",
            Resource::BucketEvents { .. } => "the buckets send their events to EventBridge",
        }
    }

    async fn make(
        &self,
        config: &SdkConfig,
        http: &reqwest::Client,
    ) -> Result<Attributes, Failure> {
        let s3 = Client::new(config);
        match self {
            Resource::InstanceStorage {
                instance_arn,
                bucket_name,
                endpoint,
            } => {
                let ours = config.region().map_or("", |region| region.as_ref());
                let instance = instance(instance_arn, ours)?;
                let endpoint = endpoint_url(endpoint, |name| std::env::var(name).ok());
                let url = endpoint.parse();
                let url = url.map_err(|error| Failure::NoEndpoint(endpoint, error))?;
                let connect = Connect::new(http.clone(), config.clone(), url, BACKOFF);
                let named = Some(bucket_name.as_str()).filter(|name| !name.is_empty());
                let storage = connect.storage(&instance, named).await?;
                bucket::find(&s3, &storage.buckets(), ours).await?;
                Ok(storage.attributes())
            }
            Resource::BucketEvents { buckets, .. } => {
                bucket::send_events(&s3, &buckets.split(',').collect(), BACKOFF).await?;
                Ok(Attributes::new())
            }
        }
    }

    /// Nothing: buckets' settings stay, as others may rely on them.
    async fn delete(&self, _: &SdkConfig) -> Result<(), Failure> {
        Ok(())
    }
}

/// The instance, if it is one of this region.
fn instance<'a>(arn: &'a str, ours: &str) -> Result<Instance<'a>, Failure> {
    let instance = Instance::parse(arn).ok_or_else(|| Failure::NoInstance(arn.to_owned()))?;
    if instance.region != ours {
        return Err(Failure::OfAnotherRegion {
            instance: arn.to_owned(),
            ours: ours.to_owned(),
        });
    }
    Ok(instance)
}

/// Amazon Connect's address, or that of a test's, by the variables that AWS's SDKs go by.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
fn endpoint_url(endpoint: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    ["AWS_ENDPOINT_URL_CONNECT", "AWS_ENDPOINT_URL"]
        .into_iter()
        .filter_map(variable)
        .find(|url| !url.is_empty())
        .unwrap_or_else(|| endpoint.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use connect_dynamics::custom_resource::Resource as _;
    use serde_json::{Value as Json, json};

    use super::*;

    const INSTANCE: &str =
        "arn:aws:connect:us-east-1:123456789012:instance/a0c1d2e3-0000-4000-8000-000000000001";

    /// A resource as a request of CloudFormation names it.
    fn resource(kind: &str, properties: &Json) -> Resource {
        let request = json!({"ResourceType": kind, "ResourceProperties": properties});
        serde_json::from_value(request).unwrap()
    }

    fn switch() -> Resource {
        let properties = json!({
            "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:example",
            "ServiceTimeout": "120",
            "BucketName": "example-connect-recordings",
            "Buckets": "example-connect-chats,example-connect-recordings",
        });
        resource("Custom::BucketEvents", &properties)
    }

    fn storage(instance: &str) -> Resource {
        let properties = json!({
            "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:example",
            "ServiceTimeout": "120",
            "InstanceArn": instance,
            "BucketName": "",
            "Endpoint": "https://connect.us-east-1.amazonaws.com",
            "Change": "1",
        });
        resource("Custom::InstanceStorage", &properties)
    }

    #[test]
    fn another_instance_or_another_bucket_is_another_resource() {
        assert_eq!(switch().physical_id(), "example-connect-recordings");
        assert_eq!(storage(INSTANCE).physical_id(), INSTANCE);
    }

    /// A configuration with which neither S3 nor Amazon Connect can be asked for anything.
    fn without_aws() -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new("us-east-1"))
            .build()
    }

    #[tokio::test]
    async fn a_deletion_asks_nobody_for_anything() {
        for resource in [switch(), storage(INSTANCE)] {
            resource.delete(&without_aws()).await.unwrap();
        }
        let made = switch().make(&without_aws(), &reqwest::Client::new()).await;
        let refused = made.unwrap_err().to_string();
        assert!(refused.contains("example-connect-chats"), "{refused}");
    }

    #[tokio::test]
    async fn an_instance_that_cannot_be_this_stacks_is_told_of_before_anybody_is_asked() {
        for (arn, expected) in [
            (
                INSTANCE.replace("us-east-1", "eu-central-1"),
                "is of another region than this stack, which is of us-east-1",
            ),
            (
                "arn:aws:s3:::a-bucket".to_owned(),
                "is not the ARN of an Amazon Connect instance",
            ),
        ] {
            let storage = storage(&arn);
            let made = storage.make(&without_aws(), &reqwest::Client::new()).await;
            let text = made.unwrap_err().to_string();
            assert!(text.contains(&arn) && text.contains(expected), "{text}");
        }
    }

    #[test]
    fn amazon_connects_own_variable_comes_before_that_of_all_services() {
        let set = |variables: &[(&str, &str)]| {
            let variables: HashMap<String, String> = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            endpoint_url("https://real", |name| variables.get(name).cloned())
        };
        let all = ("AWS_ENDPOINT_URL", "http://all");
        assert_eq!(set(&[]), "https://real");
        assert_eq!(set(&[all]), "http://all");
        assert_eq!(
            set(&[all, ("AWS_ENDPOINT_URL_CONNECT", "http://one")]),
            "http://one"
        );
        assert_eq!(set(&[("AWS_ENDPOINT_URL", "")]), "https://real");
    }
}
