//! The buckets that the instance stores in: where they are, and the switch whether they send their events to
//! EventBridge.
//!
//! A bucket's notifications are one document, and no CloudFormation resource can change a part of it
//! in a bucket that another stack made. So this reads the document, adds the one setting and writes
//! the rest back as it was.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-event-notifications-eventbridge.html>

use std::collections::BTreeSet;

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput,
        head_bucket::{HeadBucketError, HeadBucketOutput},
    },
    types::{EventBridgeConfiguration, NotificationConfiguration},
};
use backon::{ExponentialBuilder, Retryable};
use connect_dynamics::cause;

/// What is wrong with a bucket.
#[derive(Debug, thiserror::Error, PartialEq)]
pub(crate) enum Error {
    #[error(
        "cannot {what} the notifications of the bucket {bucket}: {why}. Is it in this account and \
         region, and does its policy let this stack change it? Or turn on its Amazon EventBridge \
         notifications by hand and deploy with TurnOnBucketEvents=false"
    )]
    Refused {
        what: &'static str,
        bucket: String,
        why: String,
        is_denied: bool,
    },
    #[error(
        "the bucket {bucket} is of the region {region}, and this stack is of {ours}, which its events never \
         reach. Let the Amazon Connect instance store in a bucket of {ours} (AWS console, Amazon Connect, your \
         instance, Data storage); or deploy with RecordingBucket, the one bucket of {ours} whose objects are \
         to be taken"
    )]
    OfAnotherRegion {
        bucket: String,
        region: String,
        ours: String,
    },
    #[error(
        "there is no bucket {bucket}. Correct where the Amazon Connect instance stores (AWS console, Amazon \
         Connect, your instance, Data storage), or RecordingBucket if that names it"
    )]
    Missing { bucket: String },
}

impl Error {
    /// Whether it is a right that is missing. A policy that was made seconds ago may not be known everywhere
    /// yet.
    fn may_pass(&self) -> bool {
        matches!(
            self,
            Error::Refused {
                is_denied: true,
                ..
            }
        )
    }
}

/// Looks whether the buckets are there and in the stack's region. It takes no right: S3 tells a bucket's
/// region with its refusal too.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html>
///
/// # Errors
/// When a bucket is missing or of another region. A bucket that S3 says nothing of is taken for right.
pub(crate) async fn find(s3: &Client, buckets: &BTreeSet<&str>, ours: &str) -> Result<(), Error> {
    for bucket in buckets {
        judge(bucket, ours, s3.head_bucket().bucket(*bucket).send().await)?;
    }
    Ok(())
}

fn judge(
    bucket: &str,
    ours: &str,
    answer: Result<HeadBucketOutput, SdkError<HeadBucketError>>,
) -> Result<(), Error> {
    let region = match &answer {
        Ok(found) => found.bucket_region(),
        Err(refusal) => {
            let answer = refusal.raw_response();
            if answer.is_some_and(|answer| answer.status().as_u16() == 404) {
                let bucket = bucket.to_owned();
                return Err(Error::Missing { bucket });
            }
            answer.and_then(|answer| answer.headers().get("x-amz-bucket-region"))
        }
    };
    match region {
        Some(region) if region != ours => Err(Error::OfAnotherRegion {
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            ours: ours.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Lets the buckets send their events to EventBridge, and leaves their other notifications as they are.
///
/// # Errors
/// When S3 refuses to tell a bucket's notifications, or to change them.
pub(crate) async fn send_events(
    s3: &Client,
    buckets: &BTreeSet<&str>,
    backoff: ExponentialBuilder,
) -> Result<(), Error> {
    for bucket in buckets {
        let send_events = || send_events_of(s3, bucket);
        send_events
            .retry(backoff)
            .sleep(tokio::time::sleep)
            .when(Error::may_pass)
            .await?;
    }
    Ok(())
}

async fn send_events_of(s3: &Client, bucket: &str) -> Result<(), Error> {
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
    Error::Refused {
        what,
        bucket: bucket.to_owned(),
        why: cause::of_aws(error),
        is_denied: error.code() == Some("AccessDenied"),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{
        error::ErrorMetadata,
        operation::get_bucket_notification_configuration::GetBucketNotificationConfigurationError as GetError,
        primitives::SdkBody,
        types::{Event, LambdaFunctionConfiguration, QueueConfiguration, TopicConfiguration},
    };
    use axum::{Router, http::StatusCode, response::IntoResponse, routing};

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

    fn refusal(code: &str, message: &str) -> Error {
        let error = ErrorMetadata::builder().code(code).message(message).build();
        refused(
            "read",
            "example-connect-recordings",
            &GetError::generic(error),
        )
    }

    #[test]
    fn an_error_says_what_to_do() {
        let text = refusal("NoSuchBucket", "The specified bucket does not exist").to_string();
        for expected in [
            "cannot read the notifications of the bucket example-connect-recordings",
            "NoSuchBucket",
            "TurnOnBucketEvents=false",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn only_a_missing_right_may_come_in_a_moment() {
        assert!(refusal("AccessDenied", "Access Denied").may_pass());
        assert!(!refusal("NoSuchBucket", "The specified bucket does not exist").may_pass());
    }

    /// What becomes of a bucket that S3 answers this for.
    fn judged(status: u16, region: Option<&str>) -> Result<(), Error> {
        let mut answer = aws_sdk_s3::config::http::HttpResponse::new(
            status.try_into().unwrap(),
            SdkBody::empty(),
        );
        if let Some(region) = region {
            answer
                .headers_mut()
                .insert("x-amz-bucket-region", region.to_owned());
        }
        let refusal = HeadBucketError::generic(ErrorMetadata::builder().build());
        let answer = match status {
            200 => Ok(HeadBucketOutput::builder()
                .set_bucket_region(region.map(str::to_owned))
                .build()),
            _ => Err(SdkError::service_error(refusal, answer)),
        };
        judge("example-connect-recordings", "us-east-1", answer)
    }

    #[test]
    fn a_bucket_of_another_region_or_of_none_is_told_of_whatever_may_be_read() {
        for status in [200, 403] {
            assert_eq!(judged(status, Some("us-east-1")), Ok(()), "{status}");
            assert_eq!(judged(status, None), Ok(()), "{status}");
        }
        for status in [200, 301, 403] {
            let text = judged(status, Some("eu-central-1"))
                .unwrap_err()
                .to_string();
            for expected in [
                "the bucket example-connect-recordings is of the region eu-central-1",
                "this stack is of us-east-1",
                "RecordingBucket",
            ] {
                assert!(text.contains(expected), "{status}: {text}");
            }
        }
        let text = judged(404, None).unwrap_err().to_string();
        assert!(text.contains("there is no bucket example-connect-recordings"));
    }

    #[tokio::test]
    async fn a_right_that_comes_late_is_waited_for_and_each_bucket_is_switched() {
        use std::sync::{Arc, Mutex};

        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let answer = async move |request: axum::extract::Request| {
            let what = format!("{} {}", request.method(), request.uri().path());
            let mut log = log.lock().unwrap();
            let is_first = !log.contains(&what);
            log.push(what);
            if is_first && request.method() == "GET" {
                let denied =
                    "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
                return (StatusCode::FORBIDDEN, denied).into_response();
            }
            "<NotificationConfiguration></NotificationConfiguration>".into_response()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(routing::any(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .credentials_provider(aws_sdk_s3::config::Credentials::new(
                "test", "test", None, None, "test",
            ))
            .endpoint_url(format!("http://{address}"))
            .force_path_style(true)
            .build();
        let backoff = ExponentialBuilder::new().with_min_delay(std::time::Duration::from_millis(1));
        send_events(
            &Client::from_conf(config),
            &BTreeSet::from(["one-bucket", "two-bucket"]),
            backoff,
        )
        .await
        .unwrap();
        let asked: Vec<String> = asked.lock().unwrap().clone();
        let asked: Vec<&str> = asked
            .iter()
            .map(|what| what.trim_end_matches('/'))
            .collect();
        assert_eq!(
            asked,
            [
                "GET /one-bucket",
                "GET /one-bucket",
                "PUT /one-bucket",
                "GET /two-bucket",
                "GET /two-bucket",
                "PUT /two-bucket",
            ]
        );
    }
}
