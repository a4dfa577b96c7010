//! What is invoked when, and what the flows of the stack keep of an answer in the contact's attributes.
//!
//! The flows are those of `template.yaml`: the module *contact start*, the *agent whisper* and the *outbound
//! whisper*. What EventBridge, S3 and the stream of contact records send, sets nothing.

use std::{collections::BTreeMap, time::Duration};

use connect_dynamics::{configuration::ReplyKey, step::Step};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Connect, Kind, events};
use crate::stream;

/// How long a flow waits for a function.
const LONGEST: Duration = Duration::from_secs(8);

/// The attribute that a flow keeps a value of the answer in.
fn attribute(key: ReplyKey) -> &'static str {
    match key {
        ReplyKey::Status => "recordStatus",
        ReplyKey::Message => "recordMessage",
        key => key.as_str(),
    }
}

/// Whether the flows set an attribute of this name.
pub(super) fn sets(name: &str) -> bool {
    ReplyKey::ALL.into_iter().any(|key| attribute(key) == name)
}

/// The attributes that a flow sets after an answer.
pub(super) fn kept(reply: &Json) -> BTreeMap<String, String> {
    let value = |key: ReplyKey| reply[key.as_str()].as_str().unwrap_or_default();
    let mut kept = BTreeMap::new();
    let mut keep = |key: ReplyKey| kept.insert(attribute(key).to_owned(), value(key).to_owned());
    if value(ReplyKey::RecordUrl).starts_with("http") {
        keep(ReplyKey::RecordId);
        keep(ReplyKey::RecordUrl);
    }
    if value(ReplyKey::CustomerCount).starts_with(|c: char| c.is_ascii_digit()) {
        keep(ReplyKey::CustomerCount);
    }
    if value(ReplyKey::CustomerId).contains('-') {
        keep(ReplyKey::CustomerId);
        keep(ReplyKey::CustomerName);
    }
    if value(ReplyKey::ScreenPopUrl).starts_with("http") {
        keep(ReplyKey::ScreenPopUrl);
        keep(ReplyKey::ScreenPopTarget);
    }
    keep(ReplyKey::Status);
    if value(ReplyKey::Status) != "delivered" {
        keep(ReplyKey::Message);
    }
    kept
}

impl Connect {
    /// The flow that a contact begins with.
    pub(super) async fn run_start(&self, id: Uuid) {
        self.run(id, Step::ContactStart).await;
    }

    /// The agent whisper.
    pub(super) async fn run_answered(&self, id: Uuid) {
        self.run(id, Step::ContactAnswered).await;
    }

    async fn run(&self, id: Uuid, step: Step) {
        let Some(contact) = self.contact(id) else {
            return;
        };
        if contact.is_without_functions {
            // The flow sets what it was told to all the same.
            self.change_contact(id, |contact| contact.take(BTreeMap::new()));
            return;
        }
        // Only whispers know the agent's name.
        let is_whisper = step == Step::ContactAnswered || contact.kind == Kind::Outbound;
        let username = contact.agent.as_deref().filter(|_| is_whisper);
        let event = events::flow(step, &contact, username);
        let answered = timeout(LONGEST, self.lambda.invoke(step.as_str(), &event)).await;
        let reply = match answered {
            Ok(Some(invoked)) if !invoked.is_error => invoked.payload,
            _ => json!({
                "status": "failed",
                "message": "the function could not be invoked, or did not answer in time",
            }),
        };
        self.change_contact(id, |contact| {
            contact.take(kept(&reply));
            contact.steps.insert(step.as_str().to_owned(), reply);
        });
    }

    /// What EventBridge tells when an agent has the contact and no whisper has run.
    pub(super) async fn tell_answered(&self, id: Uuid) {
        self.send(id, Step::ContactAnswered, |contact| {
            events::contact_event("CONNECTED_TO_AGENT", contact, Timestamp::now())
        })
        .await;
    }

    /// What EventBridge tells when a contact ends, and S3 of what was recorded.
    pub(super) async fn end(&self, id: Uuid) {
        self.send(id, Step::ContactEnd, |contact| {
            events::contact_event("DISCONNECTED", contact, Timestamp::now())
        })
        .await;
        let Some(contact) = self.contact(id).filter(|it| !it.is_without_functions) else {
            return;
        };
        for recorded in events::recorded(&contact, &self.bucket, Timestamp::now()) {
            self.s3.put(&self.bucket, &recorded.key, recorded.content);
            self.send(id, Step::RecordingAvailable, |_| recorded.event)
                .await;
        }
    }

    /// The contact record, as the stream brings it.
    pub(super) async fn complete(&self, id: Uuid) {
        let bucket = self.bucket.clone();
        self.send(id, Step::ContactCompleted, |contact| {
            let now = Timestamp::now();
            let record = events::record(contact, &bucket, now);
            let number = now.as_nanosecond().to_string();
            stream::batch(&[(&number, record.to_string())])
        })
        .await;
    }

    /// Sends a function what no flow waits for.
    async fn send(&self, id: Uuid, step: Step, event: impl FnOnce(&super::Contact) -> Json + Send) {
        let Some(contact) = self.contact(id).filter(|it| !it.is_without_functions) else {
            return;
        };
        let event = event(&contact);
        let reply = match self.lambda.invoke(step.as_str(), &event).await {
            Some(invoked) => invoked.payload,
            None => json!({"status": "failed", "message": "there is no such function"}),
        };
        self.change_contact(id, |contact| {
            contact.steps.insert(step.as_str().to_owned(), reply);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_sets_what_the_stacks_flows_set() {
        let reply = json!({
            "status": "delivered", "message": "", "recordId": "1", "recordUrl": "https://example.com/r",
            "screenPopUrl": "https://example.com/s", "screenPopTarget": "embedded", "customerCount": "0",
            "customerId": "", "customerName": "",
        });
        let names: Vec<String> = kept(&reply).into_keys().collect();
        let expected = [
            "customerCount",
            "recordId",
            "recordStatus",
            "recordUrl",
            "screenPopTarget",
            "screenPopUrl",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_failure_sets_no_page() {
        let reply =
            json!({"status": "failed", "message": "no", "screenPopUrl": "javascript:alert(1)"});
        let kept = kept(&reply);
        assert_eq!(kept["recordStatus"], "failed");
        assert_eq!(kept["recordMessage"], "no");
        assert_eq!(kept.len(), 2);
    }
}
