//! The reply to a flow: a flat map of strings.
//!
//! Owns what is replied, its keys and its limits: less than 32 KB, keys of letters, digits, `-` and `_`,
//! values strings, read in a flow as `$.External.<key>`.
//! <https://docs.aws.amazon.com/connect/latest/adminguide/connect-lambda-functions.html>

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    configuration::ReplyKey,
    history::{History, RequestHistory, RequestKey, Rules, State},
    integration::Integration,
    step::Step,
};

/// What a flow, or whoever else invoked the function, is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reply {
    status: Status,
    #[serde(flatten)]
    values: BTreeMap<String, String>,
    #[serde(skip)]
    bytes: usize,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Dynamics has taken the step.
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

impl From<State> for Status {
    fn from(state: State) -> Status {
        match state {
            State::Pending => Status::Pending,
            State::Delivered => Status::Delivered,
            State::Skipped => Status::Skipped,
            State::Failed => Status::Failed,
        }
    }
}

/// A flow takes less than 32 KB; the margin is for the status and the JSON around it.
const MAX_BYTES: usize = 31 * 1024;

impl Reply {
    pub fn new(status: Status) -> Reply {
        Reply {
            status,
            values: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// The reply for a step in the state that its history tells.
    pub fn of(key: &RequestKey, history: &History, integration: &Integration) -> Reply {
        let Some(step) = history.request(key) else {
            return Reply::new(Status::Failed).message("the event was not stored");
        };
        let mut reply = Reply::new(step.state.into());
        if let Some(message) = message_of(key, step, history, integration) {
            reply = reply.message(message);
        }
        let mut left_out = reply.add_record(key.step(), history, integration);
        for (name, value) in integration.reply_fields(key, history) {
            if value.is_null() {
                continue;
            }
            if !reply.set(&name, text_of(&value)) {
                left_out.push(name);
            }
        }
        if !left_out.is_empty() {
            tracing::warn!(contact_id = %history.contact_id(), step = %key.step(), fields = left_out.join(", "), "the reply would be larger than a flow takes; it goes without these");
        }
        reply
    }

    /// Says why, in words for a person.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Reply {
        self.set(ReplyKey::Message.as_str(), message.into());
        self
    }

    pub fn status(&self) -> Status {
        self.status
    }

    /// Adds what the agent's side needs: the record and the page to open. Returns the keys that there
    /// was no room for.
    fn add_record(
        &mut self,
        step: Step,
        history: &History,
        integration: &Integration,
    ) -> Vec<String> {
        let mut values = Vec::new();
        if let Some(customer) = integration.customer(history) {
            for (key, field) in [
                (ReplyKey::CustomerCount, "count"),
                (ReplyKey::CustomerId, "id"),
                (ReplyKey::CustomerName, "name"),
            ] {
                values.extend(customer.get(field).map(|value| (key, text_of(value))));
            }
            // A flow reads both at once.
            if customer.contains_key("id") && !customer.contains_key("name") {
                values.push((ReplyKey::CustomerName, String::new()));
            }
        }
        if let Some((id, url)) = integration.record(history) {
            values.push((ReplyKey::RecordId, id.to_string()));
            values.push((ReplyKey::RecordUrl, url));
        }
        if step.opens_page() {
            match integration.page(history) {
                Ok(None) => {}
                Ok(Some((url, target))) => {
                    values.push((ReplyKey::ScreenPopTarget, target.as_str().to_owned()));
                    values.push((ReplyKey::ScreenPopUrl, url));
                }
                Err(error) => {
                    tracing::warn!(contact_id = %history.contact_id(), %error, "there is no page to open");
                }
            }
        }
        let mut left_out = Vec::new();
        for (key, value) in values {
            if !self.set(key.as_str(), value) {
                left_out.push(key.as_str().to_owned());
            }
        }
        left_out
    }

    /// Adds a value unless the reply would become larger than a flow takes; tells whether it did.
    fn set(&mut self, key: &str, value: String) -> bool {
        let text = serde_json::to_string(&value).expect("a string serialises");
        // Quotes, colon and comma.
        let bytes = key.len() + text.len() + 4;
        if self.bytes + bytes > MAX_BYTES {
            return false;
        }
        self.bytes += bytes;
        self.values.insert(key.to_owned(), value);
        true
    }
}

/// A value as a flow takes it: a text.
fn text_of(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// What there is to say of a step: of its main request, and of others that are not done. Further lines of a
/// reason are Dynamics' own words, which may quote a column's value.
fn message_of(
    key: &RequestKey,
    main: &RequestHistory,
    history: &History,
    integration: &Integration,
) -> Option<String> {
    let first_line = |request: &RequestHistory| {
        let reason = request.reason.as_deref()?;
        reason.lines().next().map(str::to_owned)
    };
    let of_main = first_line(main).or_else(|| {
        let is_pending = main.state == State::Pending;
        is_pending.then(|| waiting_for(key, history, integration))
    });
    let others = history.beside(key).into_iter();
    let others = others.filter_map(|(other, request)| {
        let name = other.request()?;
        let is_open = matches!(request.state, State::Pending | State::Failed);
        let state = request.state.as_str();
        is_open.then(|| match first_line(request) {
            Some(reason) => format!("{name} is {state}: {reason}"),
            None => format!("{name} is {state}"),
        })
    });
    let said: Vec<String> = of_main.into_iter().chain(others).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// Why a pending step has not even been tried.
fn waiting_for(key: &RequestKey, history: &History, integration: &impl Rules) -> String {
    match history.absent(key, integration, jiff::Timestamp::now()) {
        Some(missing) => format!("it waits for {missing}, which has not run for this contact"),
        None => "it is stored and will be delivered".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use serde_json::json;
    use uuid::Uuid;

    const ID: Uuid = Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_2b1c4d6e8f90);

    fn reply(change: impl FnOnce(&mut Json), response: &Json) -> Json {
        let mut document: Json =
            serde_json::from_str(include_str!("../../local/reference-integration.json")).unwrap();
        change(&mut document);
        let integration = Integration::load(&document.to_string()).unwrap();
        let now = Timestamp::from_second(1_770_000_000).unwrap();
        let mut history = History::new(ID, "default", now);
        let key = RequestKey::of(Step::ContactStart);
        history.intend(&key, now);
        history.delivered(&key, Some(ID), response.as_object().cloned(), now);
        let reply = Reply::of(&key, &history, &integration);
        assert!(serde_json::to_vec(&reply).unwrap().len() < 32 * 1024);
        serde_json::to_value(reply).unwrap()
    }

    #[test]
    fn a_reply_is_a_flat_map_of_strings_and_never_too_large() {
        let reply = reply(
            |document| {
                document["steps"]["contact-start"]["reply"] =
                    json!(["n", "yes", "gone", "big", "subject", "other"]);
                document["steps"]
                    .as_object_mut()
                    .unwrap()
                    .remove("contact-answered");
            },
            &json!({"n": 5, "yes": true, "gone": null, "big": "x".repeat(40_000), "subject": "Ada"}),
        );
        let url = format!(
            "https://example.crm.dynamics.com/main.aspx?appid=a0c1d2e3-0000-4000-8000-00000000a001&pagetype=entityrecord&etn=phonecall&id={ID}"
        );
        assert_eq!(
            reply,
            json!({"status": "delivered", "n": "5", "yes": "true", "subject": "Ada", "recordId": ID.to_string(), "recordUrl": url})
        );
    }

    #[test]
    fn the_record_and_the_page_come_before_the_responses_fields() {
        let reply = reply(
            |document| {
                document["steps"]["contact-start"]["reply"] = json!(["big"]);
                document["steps"]["contact-answered"]["screenPop"]["queryString"] =
                    json!({"id": "{{STEP2-Response.long}}"});
            },
            &json!({"big": "x".repeat(20_000), "long": "y".repeat(30_000)}),
        );
        assert_eq!(reply.get("big"), None);
        assert!(reply["screenPopUrl"].as_str().unwrap().len() > 30_000);
        assert!(reply["recordUrl"].is_string());
    }

    #[test]
    fn a_page_whose_address_is_too_long_for_a_flow_is_left_out() {
        let reply = reply(
            |document| {
                document["steps"]["contact-answered"]["screenPop"]["queryString"] =
                    json!({"id": "{{STEP2-Response.long}}"});
            },
            &json!({"long": "y".repeat(31 * 1024)}),
        );
        assert_eq!(reply.get("screenPopUrl"), None);
        assert!(reply["recordUrl"].is_string());
    }
}
