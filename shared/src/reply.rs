//! The reply to a flow: a flat map of strings.
//!
//! Owns its keys and its limits: less than 32 KB, keys of letters, digits, `-` and `_`, values
//! strings, read in a flow as `$.External.<key>`.
//! <https://docs.aws.amazon.com/connect/latest/adminguide/connect-lambda-functions.html>

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::integration::ScreenPopTarget;

/// What a flow, or whoever else invoked the function, is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Reply(BTreeMap<String, String>);

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Dynamics has taken it.
    Delivered,
    /// It is stored and will be delivered.
    Pending,
    /// The step is not configured.
    Skipped,
    /// It was not done, and will not be without someone's help.
    Failed,
    /// The event is none that the step is for.
    Ignored,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Delivered => "delivered",
            Status::Pending => "pending",
            Status::Skipped => "skipped",
            Status::Failed => "failed",
            Status::Ignored => "ignored",
        }
    }
}

/// A flow takes less than 32 KB; the margin is for the JSON around it.
const MAX_BYTES: usize = 31 * 1024;

impl Reply {
    pub fn new(status: Status) -> Reply {
        let mut reply = Reply::default();
        reply.set("status", status.as_str());
        reply
    }

    /// Says why, in words for a person.
    pub fn message(mut self, message: impl Into<String>) -> Reply {
        self.set("message", message);
        self
    }

    pub fn record(&mut self, id: Uuid, url: String) {
        self.set("recordId", id.to_string());
        self.set("recordUrl", url);
    }

    pub fn screen_pop(&mut self, url: String, target: ScreenPopTarget) {
        self.set("screenPopUrl", url);
        self.set("screenPopTarget", target.as_str());
    }

    /// Adds the fields of the response that the configuration names; returns those that would make
    /// the reply larger than a flow takes.
    pub fn add_fields(&mut self, names: &[String], response: &Map<String, Json>) -> Vec<String> {
        let mut left_out = Vec::new();
        for name in names {
            let value = match response.get(name) {
                None | Some(Json::Null) => continue,
                Some(Json::String(text)) => text.clone(),
                Some(value) => value.to_string(),
            };
            self.set(name, value);
            if serde_json::to_vec(&self.0).is_ok_and(|bytes| bytes.len() > MAX_BYTES) {
                self.0.remove(name);
                left_out.push(name.clone());
            }
        }
        left_out
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reply_is_a_flat_map_of_strings_and_never_too_large() {
        let mut reply = Reply::new(Status::Delivered);
        let response =
            json!({"n": 5, "yes": true, "gone": null, "big": "x".repeat(40_000), "subject": "Ada"});
        let names = ["n", "yes", "gone", "big", "subject", "other"].map(str::to_owned);
        assert_eq!(
            reply.add_fields(&names, response.as_object().unwrap()),
            ["big"]
        );
        assert_eq!(
            serde_json::to_value(&reply).unwrap(),
            json!({"status": "delivered", "n": "5", "yes": "true", "subject": "Ada"})
        );
    }
}
