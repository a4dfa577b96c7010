//! A batch of messages that Lambda has taken from a queue, or of records from a stream.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>
//!
//! Owns the batch's form: which events it holds, and how those are named that are to come again. What an
//! event asks for is [`crate::delivery`]'s.
//!
//! Between EventBridge and the functions stands SQS, so that an event that cannot be stored now comes again
//! for days. A function's asynchronous invocation that failed is put into the same queue by Lambda, wrapped
//! in a record of it (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>).
//!
//! Contact records come in a Kinesis data stream. Lambda reads on in a shard only when the records before
//! are done, so the first one that failed and all after it come again.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use base64::{Engine, prelude::BASE64_STANDARD};
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
        let source = |record: &Json| record["eventSource"].as_str().map(str::to_owned);
        let records = event["Records"].as_array();
        let sources: Vec<_> = records.into_iter().flatten().map(source).collect();
        let are_of = |source: &str| {
            let mut sources = sources.iter();
            !sources.as_slice().is_empty() && sources.all(|it| it.as_deref() == Some(source))
        };
        if are_of("aws:sqs") {
            Batch::of_queue(&event).ok_or(event)
        } else if are_of("aws:kinesis") {
            Ok(Batch::of_stream(&event))
        } else {
            Err(event)
        }
    }

    fn of_queue(event: &Json) -> Option<Batch> {
        let batch: SqsEvent = serde_json::from_value(event.clone()).ok()?;
        let messages = batch.records.into_iter().map(|record| Message {
            id: record.message_id.unwrap_or_default(),
            event: unwrapped(record.body.unwrap_or_default()),
        });
        Some(Batch(messages.collect()))
    }

    /// A record that is not as it should be is an event that nobody can read, and no reason to lose the others.
    fn of_stream(event: &Json) -> Batch {
        let message = |record: &Json| {
            let text = |name: &str| record["kinesis"][name].as_str().unwrap_or_default();
            let data = BASE64_STANDARD.decode(text("data")).unwrap_or_default();
            Message {
                id: text("sequenceNumber").to_owned(),
                event: read(String::from_utf8_lossy(&data).into_owned()),
            }
        };
        let records = event["Records"].as_array();
        Batch(records.into_iter().flatten().map(message).collect())
    }

    /// Hands all messages to `handle` at the same time, but those of one contact one after another, in
    /// their order; those that it fails come again.
    pub async fn handle<E>(
        self,
        handle: impl AsyncFn(Message) -> Result<(), E>,
    ) -> SqsBatchResponse {
        let mut contacts: Vec<(Option<String>, Vec<Message>)> = Vec::new();
        for message in self.0 {
            let contact = message.event["ContactId"].as_str().map(str::to_owned);
            let mut known = contacts.iter_mut();
            match known.find(|(other, _)| contact.is_some() && *other == contact) {
                Some((_, messages)) => messages.push(message),
                None => contacts.push((contact, vec![message])),
            }
        }
        let handle = &handle;
        let outcomes = contacts.into_iter().map(async |(_, messages)| {
            let mut failed = Vec::new();
            for message in messages {
                let id = message.id.clone();
                failed.extend(handle(message).await.err().map(|_| id));
            }
            failed
        });
        let failed = join_all(outcomes).await.into_iter().flatten();
        let mut response = SqsBatchResponse::default();
        failed.for_each(|id| response.add_failure(id));
        response
    }
}

/// The event in a message's text.
fn unwrapped(body: String) -> Json {
    let mut event = read(body);
    let is_record = event["requestContext"]["condition"].is_string();
    match event.get_mut("requestPayload") {
        Some(payload) if is_record => payload.take(),
        _ => event,
    }
}

/// What is no JSON is an event that nobody can read, and stays a text.
fn read(text: String) -> Json {
    serde_json::from_str(&text).unwrap_or(Json::String(text))
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

    /// A record as Lambda's documentation shows one.
    fn of_stream(sequence: &str, data: &str) -> Json {
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": "1", "sequenceNumber": sequence,
                "data": BASE64_STANDARD.encode(data), "approximateArrivalTimestamp": 1_770_000_000.5
            },
            "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventName": "aws:kinesis:record",
            "eventID": format!("shardId-000000000000:{sequence}"), "awsRegion": "us-east-1",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/example",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/example"
        })
    }

    #[tokio::test]
    async fn a_contacts_records_are_handled_in_their_order_and_named_by_their_sequence_numbers() {
        let records = ["a", "b", "a", "b", "a"].iter().enumerate();
        let records: Vec<Json> = records
            .map(|(at, contact)| {
                let record = json!({"ContactId": contact, "at": at}).to_string();
                of_stream(&format!("4959{at}"), &record)
            })
            .collect();
        let handled = std::cell::RefCell::new(Vec::new());
        let handle = async |message: Message| {
            tokio::task::yield_now().await;
            let contact = message.event["ContactId"].as_str().unwrap().to_owned();
            let at = message.event["at"].as_u64().unwrap();
            handled.borrow_mut().push((contact, at));
            if at == 3 { Err(()) } else { Ok(()) }
        };
        let response = batch(&records).handle(handle).await;
        assert_eq!(
            serde_json::to_value(response).unwrap(),
            json!({"batchItemFailures": [{"itemIdentifier": "49593"}]})
        );
        let of = |contact: &str| -> Vec<u64> {
            let handled = handled.borrow();
            let of = handled.iter().filter(|(it, _)| it == contact);
            of.map(|(_, at)| *at).collect()
        };
        assert_eq!((of("a"), of("b")), (vec![0, 2, 4], vec![1, 3]));
    }

    #[test]
    fn a_record_that_is_no_json_stays_a_text() {
        let mut broken = of_stream("3", "{}");
        broken["kinesis"]["data"] = "*".into();
        let events = batch(&[of_stream("1", "no JSON"), of_stream("2", "{}"), broken]).0;
        let events: Vec<Json> = events.into_iter().map(|message| message.event).collect();
        assert_eq!(events, [json!("no JSON"), json!({}), json!("")]);
    }

    #[test]
    fn an_event_that_is_no_batch_is_given_back() {
        for event in [
            json!({"Records": []}),
            json!({"Records": [{"eventSource": "aws:s3"}]}),
            json!({"Records": [record("1", "{}"), of_stream("1", "{}")]}),
            json!({"Details": {}}),
            json!([1]),
            json!(null),
        ] {
            assert_eq!(Batch::read(event.clone()).unwrap_err(), event);
        }
    }
}
