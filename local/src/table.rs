//! The DynamoDB table: an embedded DynamoDB (dynoxide) behind its own HTTP server.

use std::{io, net::SocketAddr};

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
