//! The DynamoDB table: an embedded DynamoDB (dynoxide) behind its own HTTP server.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Response, header::CONTENT_TYPE},
};
use dynoxide::Database;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use crate::{
    http::{self, close_connection},
    stand_in::fault::{Effect, Faults},
};

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
        ],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [{
            "IndexName": "due",
            "KeySchema": [
                {"AttributeName": "due", "KeyType": "HASH"},
                {"AttributeName": "dueAt", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
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

/// Puts faults between the functions and a DynamoDB; returns the address to use instead of its own.
///
/// # Errors
/// When no port is free.
pub async fn serve_with_faults(dynamodb: SocketAddr, faults: Faults) -> io::Result<SocketAddr> {
    let client = reqwest::Client::new();
    let forward = move |headers: HeaderMap, body: Bytes| {
        let (client, faults) = (client.clone(), faults.clone());
        async move {
            let operation = headers
                .get("x-amz-target")
                .map(|target| String::from_utf8_lossy(target.as_bytes()).into_owned());
            let operation = operation.unwrap_or_default();
            match faults.take("POST", &operation, &body) {
                None => answer(&client, dynamodb, headers, body).await,
                Some(Effect::Delay(milliseconds)) => {
                    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                    answer(&client, dynamodb, headers, body).await
                }
                Some(Effect::CloseAfter) => {
                    answer(&client, dynamodb, headers, body).await;
                    close_connection()
                }
                // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
                Some(Effect::Status { status, code, .. }) => {
                    let body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "told to fail"});
                    Response::builder()
                        .status(status)
                        .header(CONTENT_TYPE, "application/x-amz-json-1.0")
                        .body(Body::from(body.to_string()))
                        .expect("a fault's status is one of HTTP's")
                }
                Some(_) => close_connection(),
            }
        }
    };
    http::serve(0, Router::new().fallback(forward)).await
}

async fn answer(
    client: &reqwest::Client,
    dynamodb: SocketAddr,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    headers.remove("host");
    headers.remove("content-length");
    let sent = client
        .post(format!("http://{dynamodb}/"))
        .headers(headers)
        .body(body)
        .send()
        .await;
    match sent {
        Err(_) => close_connection(),
        Ok(answered) => {
            let status = answered.status();
            let mut response = Response::builder().status(status);
            for name in ["content-type", "x-amz-crc32", "x-amzn-requestid"] {
                if let Some(value) = answered.headers().get(name) {
                    response = response.header(name, value);
                }
            }
            let body = answered.bytes().await.unwrap_or_default();
            response
                .body(Body::from(body))
                .expect("a DynamoDB's headers are valid")
        }
    }
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
    match status.is_success() {
        true => serde_json::from_str(&text).map_err(io::Error::other),
        false => Err(io::Error::other(text)),
    }
}
