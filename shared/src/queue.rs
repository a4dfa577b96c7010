//! A batch of messages that Lambda has taken from a queue.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>
//!
//! Owns the batch's form: which events it holds, and how those are named that are to come again. What an
//! event asks for is [`crate::delivery`]'s.
//!
//! Between EventBridge and the functions stands SQS, so that an event that cannot be stored now comes again
//! for days. A function's asynchronous invocation that failed is put into the same queue by Lambda, wrapped
//! in a record of it (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>).

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::future::join_all;
use serde_json::Value as Json;

/// A batch of messages.
#[derive(Debug)]
pub struct Batch(Vec<Message>);

/// A message of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The message's id, and the name under which it is asked for again.
    pub id: String,
    /// The event in it, as whoever put it into the queue wrote it.
    pub event: Json,
}

impl Batch {
    /// The batch that an event is; the event itself when it is none.
    ///
    /// # Errors
    /// The event, given back.
    pub fn read(event: Json) -> Result<Batch, Json> {
        let is_batch = event["Records"].as_array().is_some_and(|records| {
            !records.is_empty()
                && records
                    .iter()
                    .all(|record| record["eventSource"] == "aws:sqs")
        });
        if !is_batch {
            return Err(event);
        }
        let batch: SqsEvent = serde_json::from_value(event.clone()).map_err(|_| event)?;
        let messages = batch.records.into_iter().map(|record| Message {
            id: record.message_id.unwrap_or_default(),
            event: unwrapped(record.body.unwrap_or_default()),
        });
        Ok(Batch(messages.collect()))
    }

    /// Hands all messages to `handle` at the same time; those that it fails come again.
    pub async fn handle<E>(
        self,
        handle: impl AsyncFn(Message) -> Result<(), E>,
    ) -> SqsBatchResponse {
        let outcomes = self.0.into_iter().map(async |message| {
            let id = message.id.clone();
            handle(message).await.err().map(|_| id)
        });
        let failed = join_all(outcomes).await.into_iter().flatten();
        let mut response = SqsBatchResponse::default();
        failed.for_each(|id| response.add_failure(id));
        response
    }
}

/// The event in a message's text. What is no JSON is an event that nobody can read, and stays a text.
fn unwrapped(body: String) -> Json {
    let mut event = serde_json::from_str(&body).unwrap_or(Json::String(body));
    let is_record = event["requestContext"]["condition"].is_string();
    match event.get_mut("requestPayload") {
        Some(payload) if is_record => payload.take(),
        _ => event,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(id: &str, body: &str) -> Json {
        json!({
            "messageId": id, "receiptHandle": "x", "body": body, "md5OfBody": "x", "awsRegion": "us-east-1",
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1770000000000"},
            "messageAttributes": {}, "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:contact-end"
        })
    }

    fn batch(records: &[Json]) -> Batch {
        Batch::read(json!({ "Records": records })).unwrap()
    }

    #[tokio::test]
    async fn what_failed_and_nothing_else_comes_again() {
        let records = ["good", "bad", "good", "bad"].iter().enumerate();
        let records: Vec<Json> = records
            .map(|(id, body)| record(&id.to_string(), &json!({"is": body}).to_string()))
            .collect();
        let handle = async |message: Message| {
            if message.event["is"] == "good" {
                Ok(())
            } else {
                Err(())
            }
        };
        let response = batch(&records).handle(handle).await;
        assert_eq!(
            serde_json::to_value(response).unwrap(),
            json!({"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "3"}]})
        );
        let response = batch(&records[..1]).handle(handle).await;
        assert_eq!(
            serde_json::to_value(response).unwrap(),
            json!({"batchItemFailures": []})
        );
    }

    #[test]
    fn a_message_is_an_event_or_lambdas_record_of_one() {
        let event = json!({"detail-type": "Object Created", "detail": {}});
        let failed = json!({
            "version": "1.0", "timestamp": "2026-02-04T21:14:05.000Z",
            "requestContext": {"requestId": "x", "functionArn": "x", "condition": "RetriesExhausted", "approximateInvokeCount": 3},
            "requestPayload": event,
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "responsePayload": {"errorMessage": "x"}
        });
        let records = [
            record("1", &event.to_string()),
            record("2", &failed.to_string()),
            record("3", "no JSON"),
        ];
        let events: Vec<Json> = batch(&records).0.into_iter().map(|m| m.event).collect();
        assert_eq!(events, [event.clone(), event, json!("no JSON")]);
    }

    #[test]
    fn an_event_that_is_no_batch_is_given_back() {
        for event in [
            json!({"Records": []}),
            json!({"Records": [{"eventSource": "aws:s3"}]}),
            json!({"Details": {}}),
            json!([1]),
            json!(null),
        ] {
            assert_eq!(Batch::read(event.clone()).unwrap_err(), event);
        }
    }
}
