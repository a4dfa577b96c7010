//! The Lambda function behind the stack's custom resource: turns on that the recording bucket sends
//! its events to EventBridge.
//!
//! A bucket's notifications are one document, and no CloudFormation resource can change a part of it
//! in a bucket that another stack made. So this reads the document, adds the one setting and writes
//! the rest back as it was. When the resource is deleted the setting stays: others may rely on it.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-event-notifications-eventbridge.html>
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html>

use aws_lambda_events::cloudformation::{
    CloudFormationCustomResourceResponse as Answer,
    CloudFormationCustomResourceResponseStatus as Status,
};
use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    operation::get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput,
    types::{EventBridgeConfiguration, NotificationConfiguration},
};
use connect_dynamics::{cause, function};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;

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

/// What keeps the setting from being turned on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot {what} the notifications of the bucket {bucket}: {why}. Is it in this account and \
     region, and does its policy let this stack change it? Or turn on its Amazon EventBridge \
     notifications by hand and deploy with TurnOnBucketEvents=false"
)]
struct BucketError {
    what: &'static str,
    bucket: String,
    why: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    function::start_log();
    let s3 = &Client::new(&function::aws_config().await);
    let http = &reqwest::Client::new();
    let invoke = |event: LambdaEvent<Request>| async move {
        let answer = answer(s3, &event.payload).await;
        // The URL is signed for a request without a content type.
        let request = http.put(event.payload.response_url);
        let sent = request.body(serde_json::to_vec(&answer)?).send().await;
        sent.and_then(reqwest::Response::error_for_status)
            .map_err(reqwest::Error::without_url)?;
        Ok::<(), Error>(())
    };
    lambda_runtime::run(service_fn(invoke)).await
}

/// Does what CloudFormation asks; a deletion needs nothing done.
async fn answer(s3: &Client, request: &Request) -> Answer {
    let bucket = &request.resource_properties.bucket_name;
    let mut answer = Answer::default();
    answer.status = Status::Success;
    // Always text: CloudFormation has no use for null.
    answer.reason = Some("the bucket sends its events to EventBridge".into());
    answer.physical_resource_id.clone_from(bucket);
    answer.stack_id.clone_from(&request.stack_id);
    answer.request_id.clone_from(&request.request_id);
    answer
        .logical_resource_id
        .clone_from(&request.logical_resource_id);
    if request.request_type != "Delete"
        && let Err(error) = turn_on(s3, bucket).await
    {
        tracing::error!(%error, "the bucket's events are not turned on");
        answer.status = Status::Failed;
        answer.reason = Some(error.to_string());
    }
    answer
}

async fn turn_on(s3: &Client, bucket: &str) -> Result<(), BucketError> {
    let current = s3
        .get_bucket_notification_configuration()
        .bucket(bucket)
        .send()
        .await;
    let current = current.map_err(|error| bucket_error("read", bucket, &error))?;
    if current.event_bridge_configuration.is_some() {
        tracing::info!(bucket, "its events are on already");
        return Ok(());
    }
    let written = s3
        .put_bucket_notification_configuration()
        .bucket(bucket)
        .notification_configuration(with_event_bridge(current))
        // A destination of someone else's that is gone is not this stack's business.
        .skip_destination_validation(true)
        .send()
        .await;
    written.map_err(|error| bucket_error("change", bucket, &error))?;
    tracing::info!(bucket, "its events are on");
    Ok(())
}

fn with_event_bridge(
    current: GetBucketNotificationConfigurationOutput,
) -> NotificationConfiguration {
    NotificationConfiguration::builder()
        .set_topic_configurations(current.topic_configurations)
        .set_queue_configurations(current.queue_configurations)
        .set_lambda_function_configurations(current.lambda_function_configurations)
        .event_bridge_configuration(EventBridgeConfiguration::builder().build())
        .build()
}

fn bucket_error<E>(what: &'static str, bucket: &str, error: &E) -> BucketError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    BucketError {
        what,
        bucket: bucket.to_owned(),
        why: cause::of_aws(error),
    }
}
