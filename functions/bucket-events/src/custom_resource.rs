//! What CloudFormation asks of the custom resource, and what it is answered.
//!
//! CloudFormation invokes the function when the resource is created, updated or deleted, and waits for
//! an answer at a URL that it names in the request. Without one it waits until the resource's
//! `ServiceTimeout` is over. So every outcome is answered, and so is every failure.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html>

use std::fmt::Display;

use aws_lambda_events::cloudformation::{
    CloudFormationCustomResourceResponse as Answer,
    CloudFormationCustomResourceResponseStatus as Status,
};
use aws_sdk_s3::Client;
use connect_dynamics::function;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;

use crate::bucket;

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
    resource_properties: Properties,
}

/// The resource's properties in template.yaml.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    bucket_name: String,
}

/// Does what CloudFormation asks, for as long as Lambda invokes the function.
///
/// # Errors
/// When the Lambda runtime's API fails.
pub(crate) async fn run() -> Result<(), Error> {
    function::start_log();
    let s3 = &Client::new(&function::aws_config().await);
    let http = &reqwest::Client::new();
    let invoke = |event: LambdaEvent<Request>| async move {
        let request = event.payload;
        let answer = request.answer(&carry_out(s3, &request).await);
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

/// A deletion needs nothing done: the setting stays, as others may rely on it.
async fn carry_out(s3: &Client, request: &Request) -> Result<(), bucket::Error> {
    if request.request_type == "Delete" {
        return Ok(());
    }
    let done = bucket::send_events(s3, &request.resource_properties.bucket_name).await;
    done.inspect_err(|error| tracing::error!(%error, "the bucket's events are not turned on"))
}

impl Request {
    /// The answer that tells CloudFormation of the outcome.
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>
    fn answer(&self, outcome: &Result<(), impl Display>) -> Answer {
        let mut answer = Answer::default();
        // A reason is always given as text: CloudFormation has no use for null.
        (answer.status, answer.reason) = match outcome {
            Ok(()) => (
                Status::Success,
                Some("the bucket sends its events to EventBridge".into()),
            ),
            Err(error) => (Status::Failed, Some(error.to_string())),
        };
        // With another bucket it is another resource; CloudFormation then deletes this one.
        answer
            .physical_resource_id
            .clone_from(&self.resource_properties.bucket_name);
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

    /// A request as CloudFormation's reference shows it.
    fn asked(kind: &str) -> Json {
        json!({
            "RequestType": kind,
            "RequestId": "b1c2d3e4-0000-4000-8000-000000000001",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/example/1",
            "LogicalResourceId": "RecordingBucketEvents",
            "ResourceType": "Custom::BucketEvents",
            "ResponseURL": "https://example.com/answer",
            "ResourceProperties": {
                "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:example",
                "ServiceTimeout": "120",
                "BucketName": "example-connect-recordings",
            },
        })
    }

    fn answered(request: Json, outcome: &Result<(), &str>) -> Json {
        let request: Request = serde_json::from_value(request).unwrap();
        serde_json::to_value(request.answer(outcome)).unwrap()
    }

    /// The members that CloudFormation requires, with this status and reason.
    fn expected(status: &str, reason: &str) -> Json {
        json!({
            "Status": status,
            "Reason": reason,
            "PhysicalResourceId": "example-connect-recordings",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/example/1",
            "RequestId": "b1c2d3e4-0000-4000-8000-000000000001",
            "LogicalResourceId": "RecordingBucketEvents",
        })
    }

    #[track_caller]
    fn assert_has(answer: &Json, expected: &Json) {
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(answer.get(name), Some(value), "{name} of {answer}");
        }
    }

    #[test]
    fn every_kind_of_request_is_answered_for_the_bucket_that_it_names() {
        let mut update = asked("Update");
        update["PhysicalResourceId"] = "another-bucket".into();
        update["OldResourceProperties"] = json!({"BucketName": "another-bucket"});
        let mut delete = asked("Delete");
        delete["PhysicalResourceId"] = "example-connect-recordings".into();
        for request in [asked("Create"), update, delete] {
            let answer = answered(request, &Ok(()));
            assert_has(
                &answer,
                &expected("SUCCESS", "the bucket sends its events to EventBridge"),
            );
        }
    }

    #[test]
    fn a_failure_is_answered_with_its_reason() {
        let answer = answered(asked("Create"), &Err("there is no such bucket"));
        assert_has(&answer, &expected("FAILED", "there is no such bucket"));
    }

    #[tokio::test]
    async fn a_deletion_asks_s3_for_nothing() {
        // A client without credentials, region or endpoint: whatever it is asked fails.
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .build();
        let s3 = Client::from_conf(config);
        let request = |kind| serde_json::from_value::<Request>(asked(kind)).unwrap();
        carry_out(&s3, &request("Delete")).await.unwrap();
        let refused = carry_out(&s3, &request("Create")).await.unwrap_err();
        assert!(refused.to_string().contains("example-connect-recordings"));
    }
}
