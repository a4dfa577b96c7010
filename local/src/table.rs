//! The DynamoDB table: an embedded DynamoDB (dynoxide) behind its own HTTP server.

use std::{io, net::SocketAddr};

use dynoxide::Database;
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
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

/// Makes the table in a DynamoDB that is not the embedded one.
///
/// # Errors
/// When it does not answer, or refuses.
pub async fn create(address: SocketAddr) -> io::Result<()> {
    let body = definition().to_string();
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    // One request, by hand: the library's store has no business creating tables.
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-amz-json-1.0\r\n\
         X-Amz-Target: DynamoDB_20120810.CreateTable\r\nConnection: close\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
         SignedHeaders=host, Signature=none\r\nX-Amz-Date: 20260101T000000Z\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.starts_with("HTTP/1.1 200") {
        true => Ok(()),
        false => Err(io::Error::other(answer)),
    }
}
