//! The recording bucket's switch: whether it sends its events to EventBridge.
//!
//! A bucket's notifications are one document, and no CloudFormation resource can change a part of it
//! in a bucket that another stack made. So this reads the document, adds the one setting and writes
//! the rest back as it was.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-event-notifications-eventbridge.html>

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    operation::get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput,
    types::{EventBridgeConfiguration, NotificationConfiguration},
};
use connect_dynamics::cause;

/// What keeps the setting from being turned on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot {what} the notifications of the bucket {bucket}: {why}. Is it in this account and \
     region, and does its policy let this stack change it? Or turn on its Amazon EventBridge \
     notifications by hand and deploy with TurnOnBucketEvents=false"
)]
pub(crate) struct Error {
    what: &'static str,
    bucket: String,
    why: String,
}

/// Lets the bucket send its events to EventBridge, and leaves its other notifications as they are.
///
/// # Errors
/// When S3 refuses to tell the bucket's notifications, or to change them.
pub(crate) async fn send_events(s3: &Client, bucket: &str) -> Result<(), Error> {
    let current = s3
        .get_bucket_notification_configuration()
        .bucket(bucket)
        .send()
        .await;
    let current = current.map_err(|error| refused("read", bucket, &error))?;
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
    written.map_err(|error| refused("change", bucket, &error))?;
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

fn refused<E>(what: &'static str, bucket: &str, error: &E) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    Error {
        what,
        bucket: bucket.to_owned(),
        why: cause::of_aws(error),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{
        Event, LambdaFunctionConfiguration, QueueConfiguration, TopicConfiguration,
    };

    use super::*;

    #[test]
    fn the_notifications_of_others_stay_as_they_are() {
        let theirs = GetBucketNotificationConfigurationOutput::builder()
            .topic_configurations(
                TopicConfiguration::builder()
                    .topic_arn("arn:aws:sns:us-east-1:123456789012:theirs")
                    .events(Event::S3ReducedRedundancyLostObject)
                    .build()
                    .unwrap(),
            )
            .queue_configurations(
                QueueConfiguration::builder()
                    .queue_arn("arn:aws:sqs:us-east-1:123456789012:theirs")
                    .events(Event::S3ObjectRemoved)
                    .build()
                    .unwrap(),
            )
            .lambda_function_configurations(
                LambdaFunctionConfiguration::builder()
                    .lambda_function_arn("arn:aws:lambda:us-east-1:123456789012:function:theirs")
                    .events(Event::S3ObjectCreatedPut)
                    .build()
                    .unwrap(),
            )
            .build();
        let written = with_event_bridge(theirs.clone());
        assert!(written.event_bridge_configuration.is_some());
        assert_eq!(written.topic_configurations, theirs.topic_configurations);
        assert_eq!(written.queue_configurations, theirs.queue_configurations);
        assert_eq!(
            written.lambda_function_configurations,
            theirs.lambda_function_configurations
        );
    }

    #[test]
    fn an_error_says_what_to_do() {
        let error = aws_sdk_s3::error::ErrorMetadata::builder()
            .code("NoSuchBucket")
            .message("The specified bucket does not exist")
            .build();
        let error = refused(
            "read",
            "example-connect-recordings",
            &aws_sdk_s3::operation::get_bucket_notification_configuration::GetBucketNotificationConfigurationError::generic(error),
        );
        let text = error.to_string();
        for expected in [
            "cannot read the notifications of the bucket example-connect-recordings",
            "NoSuchBucket",
            "TurnOnBucketEvents=false",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }
}
