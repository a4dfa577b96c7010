//! The stand-in for S3: gives the objects that were put into it.
//!
//! Owns the objects and what becomes of a request for one. It knows GetObject alone, by the bucket's name in
//! the path. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    body::{Body, Bytes},
    http::{Response, header::CONTENT_TYPE},
};

use super::fault::{Effect, Faults};
use crate::http::close_connection;

/// Objects, by bucket and key, and the faults before them.
#[derive(Debug, Clone, Default)]
pub struct S3 {
    objects: Arc<Mutex<HashMap<String, Bytes>>>,
    pub faults: Faults,
}

impl S3 {
    /// Puts an object into a bucket.
    pub fn put(&self, bucket: &str, key: &str, content: impl Into<Bytes>) {
        let mut objects = self.objects.lock().expect("no one panics holding it");
        objects.insert(format!("{bucket}/{key}"), content.into());
    }

    /// Answers a GET of a path, `bucket/key`.
    pub(crate) async fn answer(&self, path: &str) -> Response<Body> {
        match self.faults.take("GET", path, &[]) {
            None => {}
            Some(Effect::Delay(milliseconds)) => {
                tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
            }
            Some(Effect::Status { status, code, .. }) => return refusal(status, &code),
            Some(_) => return close_connection(),
        }
        let objects = self.objects.lock().expect("no one panics holding it");
        match objects.get(path) {
            Some(content) => Response::new(Body::from(content.clone())),
            None => refusal(404, "NoSuchKey"),
        }
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn refusal(status: u16, code: &str) -> Response<Body> {
    let text = format!("<Error><Code>{code}</Code><Message>told to refuse</Message></Error>");
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/xml")
        .body(Body::from(text))
        .expect("a fault's status is one of HTTP's")
}
