//! The records of a Kinesis data stream, as Lambda hands them to a function.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value as Json, json};

/// A batch of records, each with its sequence number and its data.
pub fn batch(records: &[(&str, String)]) -> Json {
    let record = |(sequence_number, data): &(&str, String)| {
        json!({
            "eventSource": "aws:kinesis", "eventName": "aws:kinesis:record", "eventVersion": "1.0",
            "eventID": format!("shardId-000000000000:{sequence_number}"), "awsRegion": "us-east-1",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/contact-records",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/example",
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": "1", "sequenceNumber": sequence_number,
                "data": BASE64_STANDARD.encode(data), "approximateArrivalTimestamp": 1_770_000_000.5
            }
        })
    };
    json!({"Records": records.iter().map(record).collect::<Vec<_>>()})
}
