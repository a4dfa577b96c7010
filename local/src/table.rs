//! The DynamoDB table: an embedded DynamoDB (dynoxide) behind its own HTTP server.

use std::{io, net::SocketAddr};

use axum::http::header::CONTENT_TYPE;
use dynoxide::Database;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

/// The table's name in a local run.
pub const TABLE_NAME: &str = "connect-dynamics";

/// The table's definition, as `CreateTable` takes it: what template.yaml makes in AWS.
pub fn definition() -> Json {
    json!({
        "TableName": TABLE_NAME,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "due", "AttributeType": "S"},
            {"AttributeName": "dueAt", "AttributeType": "N"},
            {"AttributeName": "day", "AttributeType": "S"},
            {"AttributeName": "startedAt", "AttributeType": "N"},
        ],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [{
            "IndexName": "due",
            "KeySchema": [
                {"AttributeName": "due", "KeyType": "HASH"},
                {"AttributeName": "dueAt", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }, {
            "IndexName": "recent",
            "KeySchema": [
                {"AttributeName": "day", "KeyType": "HASH"},
                {"AttributeName": "startedAt", "KeyType": "RANGE"},
            ],
            "Projection": {
                "ProjectionType": "INCLUDE",
                "NonKeyAttributes": ["state", "integration", "customer", "channel", "direction", "records"],
            },
        }],
    })
}

/// Starts an empty DynamoDB with the table; returns its address.
///
/// # Errors
/// When the port is taken or the table cannot be made.
pub async fn serve(port: u16) -> io::Result<SocketAddr> {
    let database = Database::memory().map_err(io::Error::other)?;
    let request = serde_json::from_value(definition()).map_err(io::Error::other)?;
    database.create_table(request).map_err(io::Error::other)?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    Ok(address)
}

/// Calls a DynamoDB on loopback directly: for what the library's store has no business doing, such as
/// making the table or looking at an item's bare attributes.
///
/// # Errors
/// When it does not answer, or refuses.
pub async fn call(address: SocketAddr, operation: &str, request: &Json) -> io::Result<Json> {
    let call = reqwest::Client::new()
        .post(format!("http://{address}/"))
        .header(CONTENT_TYPE, "application/x-amz-json-1.0")
        .header("X-Amz-Target", format!("DynamoDB_20120810.{operation}"))
        .header("X-Amz-Date", "20260101T000000Z")
        .header(
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
             SignedHeaders=host, Signature=none",
        )
        .body(request.to_string());
    let answer = call.send().await.map_err(io::Error::other)?;
    let status = answer.status();
    let text = answer.text().await.map_err(io::Error::other)?;
    if status.is_success() {
        serde_json::from_str(&text).map_err(io::Error::other)
    } else {
        Err(io::Error::other(text))
    }
}
