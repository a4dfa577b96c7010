//! What CloudFormation asks of the custom resource, and what it is answered.
//!
//! CloudFormation invokes the function when the resource is created, updated or deleted, and waits for
//! an answer at a URL that it names in the request. Without one it waits until the resource's
//! `ServiceTimeout` is over. So every outcome is answered, and so is every failure.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html>

use std::{collections::HashMap, fmt::Display};

use aws_config::SdkConfig;
use aws_lambda_events::cloudformation::{
    CloudFormationCustomResourceResponse as Answer,
    CloudFormationCustomResourceResponseStatus as Status,
};
use aws_sdk_s3::Client;
use connect_dynamics::function;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;

use crate::{
    bucket,
    storage::{self, BACKOFF, Connect, Instance},
};

/// What CloudFormation asks. One type for all that it asks, as they differ in nothing that matters here.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    /// `Create`, `Update` or `Delete`.
    request_type: String,
    #[serde(rename = "ResponseURL")]
    response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    #[serde(flatten)]
    resource: Resource,
}

/// The two kinds of custom resources, with their properties in template.yaml.
#[derive(Debug, Deserialize)]
#[serde(tag = "ResourceType", content = "ResourceProperties")]
enum Resource {
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
enum Failure {
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

/// What the resource's attributes are, for `Fn::GetAtt`.
type Attributes = HashMap<String, String>;

/// Does what CloudFormation asks, for as long as Lambda invokes the function.
///
/// # Errors
/// When the Lambda runtime's API fails.
pub(crate) async fn run() -> Result<(), Error> {
    function::start_log();
    let config = &function::aws_config().await;
    let http = &reqwest::Client::new();
    let invoke = |event: LambdaEvent<Request>| async move {
        let request = event.payload;
        let answer = request.answer(carry_out(config, http, &request).await);
        // The URL is signed for a request without a content type.
        let answered = http.put(request.response_url);
        let answered = answered.body(serde_json::to_vec(&answer)?).send().await;
        answered
            .and_then(reqwest::Response::error_for_status)
            .map_err(reqwest::Error::without_url)?;
        Ok::<(), Error>(())
    };
    lambda_runtime::run(service_fn(invoke)).await
}

/// A deletion needs nothing done: buckets' settings stay, as others may rely on them.
async fn carry_out(
    config: &SdkConfig,
    http: &reqwest::Client,
    request: &Request,
) -> Result<Attributes, Failure> {
    if request.request_type == "Delete" {
        return Ok(Attributes::new());
    }
    let done = async {
        let s3 = Client::new(config);
        match &request.resource {
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
    };
    let done: Result<Attributes, Failure> = done.await;
    done.inspect_err(|error| tracing::error!(%error, "the deployment fails"))
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

impl Request {
    /// The answer that tells CloudFormation of the outcome.
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>
    fn answer(&self, outcome: Result<Attributes, impl Display>) -> Answer {
        let mut answer = Answer::default();
        // The physical id: with another instance, or another bucket, it is another resource; CloudFormation
        // then deletes this one.
        let (physical_id, success) = match &self.resource {
            Resource::InstanceStorage { instance_arn, .. } => {
                (instance_arn, "it is known where the instance stores what")
            }
            Resource::BucketEvents { bucket_name, .. } => {
                (bucket_name, "the buckets send their events to EventBridge")
            }
        };
        // A reason is always given as text: CloudFormation has no use for null.
        (answer.status, answer.reason) = match outcome {
            Ok(attributes) => {
                answer.data = attributes;
                (Status::Success, Some(success.into()))
            }
            Err(error) => (Status::Failed, Some(error.to_string())),
        };
        answer.physical_resource_id.clone_from(physical_id);
        answer.stack_id.clone_from(&self.stack_id);
        answer.request_id.clone_from(&self.request_id);
        answer
            .logical_resource_id
            .clone_from(&self.logical_resource_id);
        answer
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    const INSTANCE: &str =
        "arn:aws:connect:us-east-1:123456789012:instance/a0c1d2e3-0000-4000-8000-000000000001";

    /// A request as CloudFormation's reference shows it.
    fn asked(kind: &str, resource: &str, properties: Json) -> Json {
        let mut request = json!({
            "RequestType": kind,
            "RequestId": "b1c2d3e4-0000-4000-8000-000000000001",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/example/1",
            "LogicalResourceId": "TheResource",
            "ResourceType": resource,
            "ResponseURL": "https://example.com/answer",
            "ResourceProperties": {
                "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:example",
                "ServiceTimeout": "120",
            },
        });
        let all = request["ResourceProperties"].as_object_mut().unwrap();
        all.extend(properties.as_object().unwrap().clone());
        request
    }

    fn switch(kind: &str) -> Json {
        let properties = json!({
            "BucketName": "example-connect-recordings",
            "Buckets": "example-connect-chats,example-connect-recordings",
        });
        asked(kind, "Custom::BucketEvents", properties)
    }

    fn storage(kind: &str) -> Json {
        asked(
            kind,
            "Custom::InstanceStorage",
            json!({
                "InstanceArn": INSTANCE,
                "BucketName": "",
                "Endpoint": "https://connect.us-east-1.amazonaws.com",
                "Change": "1",
            }),
        )
    }

    fn answered(request: Json, outcome: Result<Attributes, &str>) -> Json {
        let request: Request = serde_json::from_value(request).unwrap();
        serde_json::to_value(request.answer(outcome)).unwrap()
    }

    /// The members that CloudFormation requires, with this status and reason.
    fn expected(status: &str, reason: &str, physical_id: &str) -> Json {
        json!({
            "Status": status,
            "Reason": reason,
            "PhysicalResourceId": physical_id,
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/example/1",
            "RequestId": "b1c2d3e4-0000-4000-8000-000000000001",
            "LogicalResourceId": "TheResource",
        })
    }

    #[track_caller]
    fn assert_has(answer: &Json, expected: &Json) {
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(answer.get(name), Some(value), "{name} of {answer}");
        }
    }

    #[test]
    fn every_kind_of_request_is_answered_for_the_resource_that_it_names() {
        for (of, physical_id, success) in [
            (
                switch as fn(&str) -> Json,
                "example-connect-recordings",
                "the buckets send their events to EventBridge",
            ),
            (
                storage,
                INSTANCE,
                "it is known where the instance stores what",
            ),
        ] {
            let mut update = of("Update");
            update["PhysicalResourceId"] = "another".into();
            update["OldResourceProperties"] =
                json!({"BucketName": "another", "Buckets": "another"});
            let mut delete = of("Delete");
            delete["PhysicalResourceId"] = physical_id.into();
            for request in [of("Create"), update, delete] {
                let answer = answered(request, Ok(Attributes::new()));
                assert_has(&answer, &expected("SUCCESS", success, physical_id));
            }
        }
    }

    #[test]
    fn a_success_tells_the_attributes_and_a_failure_its_reason() {
        let attributes = Attributes::from([("BucketName".into(), "example".into())]);
        let answer = answered(storage("Create"), Ok(attributes));
        assert_eq!(answer["Data"], json!({"BucketName": "example"}));
        let answer = answered(storage("Create"), Err("there is no such instance"));
        assert_has(
            &answer,
            &expected("FAILED", "there is no such instance", INSTANCE),
        );
    }

    /// What becomes of a request where neither S3 nor Amazon Connect can be asked for anything.
    async fn without_aws(request: Json) -> Result<Attributes, Failure> {
        let request = serde_json::from_value(request).unwrap();
        let config = SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new("us-east-1"))
            .build();
        carry_out(&config, &reqwest::Client::new(), &request).await
    }

    #[tokio::test]
    async fn a_deletion_asks_nobody_for_anything() {
        for of in [switch as fn(&str) -> Json, storage] {
            assert_eq!(without_aws(of("Delete")).await.unwrap().len(), 0);
        }
        let refused = without_aws(switch("Create")).await.unwrap_err();
        assert!(refused.to_string().contains("example-connect-chats"));
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
            let mut request = storage("Create");
            request["ResourceProperties"]["InstanceArn"] = arn.as_str().into();
            let text = without_aws(request).await.unwrap_err().to_string();
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
