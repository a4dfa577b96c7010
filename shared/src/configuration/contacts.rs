//! Which contacts are recorded, and what is read of what was said in them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How Amazon Connect says that a contact began.
/// <https://docs.aws.amazon.com/connect/latest/adminguide/contact-initiation-methods.html>
pub const INITIATION_METHODS: [&str; 13] = [
    "AGENT_REPLY",
    "API",
    "CALLBACK",
    "CAMPAIGN_PREVIEW",
    "DISCONNECT",
    "EXTERNAL_OUTBOUND",
    "FLOW",
    "INBOUND",
    "MONITOR",
    "OUTBOUND",
    "QUEUE_TRANSFER",
    "TRANSFER",
    "WEBRTC_API",
];

/// Contacts that nobody expects a record of: a supervisor who listens to another contact, and what a flow does
/// after a contact.
const IGNORED: [&str; 2] = ["DISCONNECT", "MONITOR"];

/// How the contacts of each initiation method are recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Contacts(BTreeMap<String, Recorded>);

/// How a contact is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Recorded {
    /// On a record of its own, which a flow makes, or else the contact record.
    OwnRecord,
    /// On a record of its own, when a flow makes it, and otherwise not.
    WhenAFlowStartsIt,
    /// On the record of the contact that it came from: a transfer's legs are all on the first leg's.
    FirstRecord,
    /// Not at all.
    Ignored,
}

impl Contacts {
    /// How a contact with this initiation method is recorded; of a contact whose method is not known, as one
    /// of a method that is not configured.
    pub fn of(&self, initiation_method: Option<&str>) -> Recorded {
        let method = initiation_method.unwrap_or_default();
        match self.0.get(method) {
            Some(recorded) => *recorded,
            None if IGNORED.contains(&method) => Recorded::Ignored,
            None => Recorded::OwnRecord,
        }
    }

    /// Whether contacts of any method are recorded on the record of another.
    pub fn share_records(&self) -> bool {
        self.0.values().any(|it| *it == Recorded::FirstRecord)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The initiation methods that are named.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// What is read of Contact Lens' analyses, and of chats' transcripts: what `ContactLens` is in templates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ContactLensConfiguration {
    /// Which of an analysis' two files is read, where Contact Lens writes both.
    pub file: ContactLensFile,
    /// Contact Lens' categories whose contacts nothing of is read: what was said in them stays in the bucket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_categories: Vec<String>,
}

/// See [`ContactLensConfiguration`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContactLensFile {
    /// The redacted one when there is one, and the original one otherwise.
    #[default]
    RedactedFirst,
    /// The redacted one, and never the original one.
    Redacted,
    /// The original one.
    Original,
}

impl ContactLensFile {
    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            ContactLensFile::RedactedFirst => "redacted-first",
            ContactLensFile::Redacted => "redacted",
            ContactLensFile::Original => "original",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_configured_is_recorded_as_a_person_would_expect() {
        let contacts: Contacts =
            serde_json::from_str(r#"{"TRANSFER": "first-record", "MONITOR": "own-record"}"#)
                .unwrap();
        for (method, recorded) in [
            (Some("TRANSFER"), Recorded::FirstRecord),
            (Some("MONITOR"), Recorded::OwnRecord),
            (Some("DISCONNECT"), Recorded::Ignored),
            (Some("INBOUND"), Recorded::OwnRecord),
            (Some("A_METHOD_TO_COME"), Recorded::OwnRecord),
            (None, Recorded::OwnRecord),
        ] {
            assert_eq!(contacts.of(method), recorded, "{method:?}");
        }
        assert_eq!(Contacts::default().of(Some("MONITOR")), Recorded::Ignored);
        assert!(contacts.share_records() && !Contacts::default().share_records());
    }
}
