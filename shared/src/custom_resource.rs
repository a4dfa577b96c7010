//! What CloudFormation asks of a custom resource of the stack, and what it is answered.
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
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::{Deserialize, de::DeserializeOwned};

use crate::function;

/// How much of a failure's reason is told. CloudFormation takes an answer of 4,096 bytes.
const REASON_BYTES: usize = 2_800;

/// What the resource's attributes are, for `Fn::GetAtt`.
pub type Attributes = HashMap<String, String>;

/// The custom resources that one function is behind, each with its properties in template.yaml.
pub trait Resource: DeserializeOwned {
    /// Why something could not be done, in words for who deploys the stack.
    type Failure: Display;

    /// The physical id. When an update gives it another one it is another resource; CloudFormation then deletes
    /// the one of before.
    fn physical_id(&self) -> &str;

    /// What is so when everything was done.
    fn success(&self) -> &'static str;

    /// Makes it so, for the first time or again.
    fn make(
        &self,
        config: &SdkConfig,
        http: &reqwest::Client,
    ) -> impl Future<Output = Result<Attributes, Self::Failure>>;

    /// Takes it away. It may be gone already, or never have been.
    fn delete(&self, config: &SdkConfig) -> impl Future<Output = Result<(), Self::Failure>>;
}

/// What CloudFormation asks. One type for all that it asks, as they differ in nothing that matters here.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<R> {
    /// `Create`, `Update` or `Delete`.
    request_type: String,
    #[serde(rename = "ResponseURL")]
    response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    #[serde(flatten)]
    resource: R,
}

/// Does what CloudFormation asks, for as long as Lambda invokes the function.
///
/// # Errors
/// When the Lambda runtime's API fails.
pub async fn run<R: Resource>() -> Result<(), Error> {
    function::start_log();
    let config = &function::aws_config().await;
    let http = &reqwest::Client::new();
    let invoke = |event: LambdaEvent<Request<R>>| async move {
        let request = event.payload;
        let answer = request.answer(request.carry_out(config, http).await);
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

impl<R: Resource> Request<R> {
    async fn carry_out(
        &self,
        config: &SdkConfig,
        http: &reqwest::Client,
    ) -> Result<Attributes, R::Failure> {
        let done = if self.request_type == "Delete" {
            let deleted = self.resource.delete(config).await;
            deleted.map(|()| Attributes::new())
        } else {
            self.resource.make(config, http).await
        };
        done.inspect_err(|error| tracing::error!(%error, "the deployment fails"))
    }

    /// The answer that tells CloudFormation of the outcome.
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>
    fn answer(&self, outcome: Result<Attributes, impl Display>) -> Answer {
        let mut answer = Answer::default();
        // A reason is always given as text: CloudFormation has no use for null.
        (answer.status, answer.reason) = match outcome {
            Ok(attributes) => {
                answer.data = attributes;
                (Status::Success, Some(self.resource.success().into()))
            }
            Err(error) => (Status::Failed, Some(cut(error.to_string()))),
        };
        answer.physical_resource_id = self.resource.physical_id().to_owned();
        answer.stack_id.clone_from(&self.stack_id);
        answer.request_id.clone_from(&self.request_id);
        answer
            .logical_resource_id
            .clone_from(&self.logical_resource_id);
        answer
    }
}

/// A reason of a length that CloudFormation takes.
fn cut(mut reason: String) -> String {
    if reason.len() > REASON_BYTES {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES));
        reason.push_str(" ... (the rest is in the function's log)");
    }
    reason
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    /// A resource that can be made when it has a name, and deleted only then.
    #[derive(Debug, Deserialize)]
    #[serde(tag = "ResourceType", content = "ResourceProperties")]
    enum Example {
        #[serde(rename = "Custom::Example", rename_all = "PascalCase")]
        Example { name: String },
    }

    impl Resource for Example {
        type Failure = String;

        fn physical_id(&self) -> &str {
            let Example::Example { name } = self;
            name
        }

        fn success(&self) -> &'static str {
            "it is there"
        }

        async fn make(&self, _: &SdkConfig, _: &reqwest::Client) -> Result<Attributes, String> {
            match self.physical_id() {
                "" => Err("it has no name".into()),
                name => Ok(Attributes::from([(
                    "Length".into(),
                    name.len().to_string(),
                )])),
            }
        }

        async fn delete(&self, _: &SdkConfig) -> Result<(), String> {
            match self.physical_id() {
                "" => Err("nothing to delete".into()),
                _ => Ok(()),
            }
        }
    }

    /// A request as CloudFormation's reference shows it, carried out and answered.
    async fn answered(kind: &str, name: &str) -> Json {
        let request = json!({
            "RequestType": kind,
            "RequestId": "b1c2d3e4-0000-4000-8000-000000000001",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/example/1",
            "LogicalResourceId": "TheResource",
            "PhysicalResourceId": "another",
            "ResourceType": "Custom::Example",
            "ResponseURL": "https://example.com/answer",
            "ResourceProperties": {
                "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:example",
                "ServiceTimeout": "120",
                "Name": name,
            },
            "OldResourceProperties": {"Name": "another"},
        });
        let request: Request<Example> = serde_json::from_value(request).unwrap();
        let config = SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .build();
        let outcome = request.carry_out(&config, &reqwest::Client::new()).await;
        serde_json::to_value(request.answer(outcome)).unwrap()
    }

    /// The members that CloudFormation requires, with this status and reason.
    #[track_caller]
    fn assert_says(answer: &Json, status: &str, reason: &str, physical_id: &str) {
        let expected = json!({
            "Status": status,
            "Reason": reason,
            "PhysicalResourceId": physical_id,
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/example/1",
            "RequestId": "b1c2d3e4-0000-4000-8000-000000000001",
            "LogicalResourceId": "TheResource",
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(answer.get(name), Some(value), "{name} of {answer}");
        }
    }

    #[tokio::test]
    async fn every_kind_of_request_is_answered_for_the_resource_that_it_names() {
        for kind in ["Create", "Update"] {
            let answer = answered(kind, "four").await;
            assert_says(&answer, "SUCCESS", "it is there", "four");
            assert_eq!(answer["Data"], json!({"Length": "4"}));
            let answer = answered(kind, "").await;
            assert_says(&answer, "FAILED", "it has no name", "");
        }
        let answer = answered("Delete", "four").await;
        assert_says(&answer, "SUCCESS", "it is there", "four");
        let answer = answered("Delete", "").await;
        assert_says(&answer, "FAILED", "nothing to delete", "");
    }

    #[test]
    fn a_long_reason_is_cut_to_what_cloudformation_takes() {
        assert_eq!(cut("short".into()), "short");
        let long = cut("ä".repeat(5_000));
        assert!(long.len() < 3_000 && long.ends_with("log)"), "{long}");
    }
}
