//! The configuration of one integration: the document as its author wrote it.
//!
//! Owns the document's shape (its JSON Schema is generated from these types), its defaults, how it is
//! read (`read`), and the checks of everything in it but its templates (`settings`). What is made of it
//! is [`crate::integration`]'s.

mod credential;
mod read;
mod settings;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

pub use self::credential::{CertificateConfiguration, Credential, FederationConfiguration};
pub(crate) use self::{
    read::{Reading, read},
    settings::{check_settings, is_identifier, is_integration_name, is_name},
};
use crate::{dataverse::Method, recording::ObjectKind, step::Step};

/// The configuration of one integration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// The integration's name: letters, digits, `-` and `_`. Functions find it by this name.
    pub name: String,
    /// Step 1: the Dynamics environment and how to reach it.
    pub connection: Connection,
    /// What each step does. A step that is left out is skipped.
    pub steps: Steps,
    /// How long a contact is remembered after its last event, in days.
    #[serde(default = "default_retention_days")]
    pub retention_days: u32,
    /// Within what time a flow is answered, in milliseconds, whatever hangs.
    #[serde(default = "default_flow_budget")]
    pub flow_budget_milliseconds: u32,
    /// How long delivery of a step is tried before it has failed, in hours.
    #[serde(default = "default_give_up_after")]
    pub give_up_after_hours: u32,
    /// What becomes of a step that needs `contact-start` for a contact that never had it.
    #[serde(default)]
    pub without_start: WithoutStart,
}

/// What becomes of a step that needs another that never happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WithoutStart {
    /// What to do when the time is over.
    pub action: WithoutStartAction,
    /// How long the step waits, in minutes: events come in any order.
    pub after_minutes: u32,
}

/// See [`WithoutStart`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutStartAction {
    /// The step is skipped.
    Skip,
    /// `contact-start` is done first, with what is known of the contact.
    Start,
}

impl Default for WithoutStart {
    fn default() -> WithoutStart {
        WithoutStart {
            action: WithoutStartAction::Skip,
            after_minutes: 15,
        }
    }
}

fn default_give_up_after() -> u32 {
    72
}

fn default_retention_days() -> u32 {
    30
}

fn default_flow_budget() -> u32 {
    3000
}

/// Step 1: the Dynamics environment and how to reach it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = credential::one_of(&[&["clientSecretId"], &["certificate"], &["federation"]])))]
pub struct Connection {
    /// The environment's URI: `https://example.crm.dynamics.com`.
    pub environment_uri: String,
    /// The version of the Dataverse Web API.
    #[serde(default = "default_api_version")]
    pub api_version: String,
    /// The id of the Dynamics app that records are opened in; `{{appid}}` in templates.
    pub app_id: Uuid,
    /// The Entra ID tenant: its id, or one of its domains.
    pub tenant_id: String,
    /// The client id of the app registration.
    pub client_id: String,
    /// The name or ARN of the Secrets Manager secret that holds the client secret. Name this, or
    /// `certificate`, or `federation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_id: Option<String>,
    /// A certificate in place of a client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateConfiguration>,
    /// A role of AWS in place of a client secret: then there is no secret that could expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<FederationConfiguration>,
    /// The scope to ask a token for; the environment's URI with `/.default` appended unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Entra ID's address. Only Microsoft's own are taken: another one is that of a national cloud
    /// (`https://login.microsoftonline.us`, `https://login.partner.microsoftonline.cn`).
    #[serde(default = "default_authority")]
    pub authority: String,
    /// The bucket that Amazon Connect stores recordings and transcripts in. Objects of any other
    /// are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording_bucket: Option<String>,
}

fn default_api_version() -> String {
    "9.2".into()
}

fn default_authority() -> String {
    "https://login.microsoftonline.com".into()
}

/// The steps' configurations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Steps {
    /// Step 2: when the contact starts. Creates its record, or finds one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact_start: Option<StepConfiguration>,
    /// Step 3: when an agent answers, or makes the call. Opens the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact_answered: Option<AnsweredConfiguration>,
    /// Step 4: when the contact ends. Updates the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact_end: Option<StepConfiguration>,
    /// Step 5: when a recording, transcript or analysis is available. Updates the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_available: Option<RecordingConfiguration>,
}

/// A step that sends a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepConfiguration {
    pub request: RequestConfiguration,
    /// Fields of the response that the flow gets with the reply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reply: Vec<String>,
}

/// Step 3.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AnsweredConfiguration {
    /// The page to open for the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen_pop: Option<ScreenPopConfiguration>,
    /// A request to send as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestConfiguration>,
    /// Fields of the response that the flow gets with the reply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reply: Vec<String>,
}

/// The page that is opened for the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScreenPopConfiguration {
    /// The page's query string: a JSON object, or text.
    pub query_string: PastedObject,
    /// Where the page is opened.
    #[serde(default)]
    pub target: ScreenPopTarget,
}

/// Where the record is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScreenPopTarget {
    /// Inside the agent's page.
    #[default]
    Embedded,
    /// In a browser tab of its own.
    Tab,
}

impl ScreenPopTarget {
    pub fn as_str(self) -> &'static str {
        match self {
            ScreenPopTarget::Embedded => "embedded",
            ScreenPopTarget::Tab => "tab",
        }
    }
}

/// What a step's configuration says, whichever step's it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepView<'a> {
    pub request: Option<&'a RequestConfiguration>,
    pub screen_pop: Option<&'a ScreenPopConfiguration>,
    pub reply: &'a [String],
    /// The kinds of object that trigger the step; none for a step that no object triggers.
    pub object_kinds: Option<&'a BTreeSet<ObjectKind>>,
}

impl Steps {
    /// A step's configuration; none when the step is left out.
    pub fn get(&self, step: Step) -> Option<StepView<'_>> {
        match step {
            Step::ContactStart => self.contact_start.as_ref().map(StepConfiguration::view),
            Step::ContactAnswered => self.contact_answered.as_ref().map(|step| StepView {
                request: step.request.as_ref(),
                screen_pop: step.screen_pop.as_ref(),
                reply: &step.reply,
                object_kinds: None,
            }),
            Step::ContactEnd => self.contact_end.as_ref().map(StepConfiguration::view),
            Step::RecordingAvailable => self.recording_available.as_ref().map(|step| StepView {
                request: Some(&step.request),
                object_kinds: Some(&step.object_kinds),
                ..StepView::default()
            }),
        }
    }
}

impl StepConfiguration {
    fn view(&self) -> StepView<'_> {
        StepView {
            request: Some(&self.request),
            reply: &self.reply,
            ..StepView::default()
        }
    }
}

/// Step 5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordingConfiguration {
    pub request: RequestConfiguration,
    /// The kinds of object that trigger the step. The URLs of all kinds are remembered.
    #[serde(default = "default_object_kinds")]
    pub object_kinds: BTreeSet<ObjectKind>,
}

fn default_object_kinds() -> BTreeSet<ObjectKind> {
    BTreeSet::from([ObjectKind::Recording, ObjectKind::Transcript])
}

/// A request to the Dataverse Web API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestConfiguration {
    pub method: Method,
    /// The table's entity set name: `phonecalls`.
    pub entity_set: String,
    /// What follows the entity set: the record's key in parentheses, query options, or both.
    #[serde(default, skip_serializing_if = "PastedObject::is_empty")]
    pub query_string: PastedObject,
    /// The body, for POST and PATCH: a JSON object, or its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<PastedObject>,
    /// The table's primary key column; known for Dynamics' own tables, for others `<table>id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key: Option<String>,
    /// The table's logical name, used in the record's URL; as `primaryKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_name: Option<String>,
}

/// A JSON object, or text as it was pasted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a JSON object, or a string")]
pub enum PastedObject {
    Text(String),
    Object(Map<String, Json>),
}

impl Default for PastedObject {
    fn default() -> PastedObject {
        PastedObject::Text(String::new())
    }
}

impl PastedObject {
    pub fn is_empty(&self) -> bool {
        matches!(self, PastedObject::Text(text) if text.trim().is_empty())
    }

    /// As it was pasted, or as JSON.
    pub(crate) fn text(&self) -> String {
        match self {
            PastedObject::Text(text) => text.clone(),
            PastedObject::Object(map) => Json::from(map.clone()).to_string(),
        }
    }
}

/// A key of a reply that the product itself sets, and that no field of a response may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplyKey {
    Status,
    Message,
    RecordId,
    RecordUrl,
    ScreenPopUrl,
    ScreenPopTarget,
}

impl ReplyKey {
    pub const ALL: [ReplyKey; 6] = [
        ReplyKey::Status,
        ReplyKey::Message,
        ReplyKey::RecordId,
        ReplyKey::RecordUrl,
        ReplyKey::ScreenPopUrl,
        ReplyKey::ScreenPopTarget,
    ];

    /// The key as a flow names it: `$.External.recordId`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReplyKey::Status => "status",
            ReplyKey::Message => "message",
            ReplyKey::RecordId => "recordId",
            ReplyKey::RecordUrl => "recordUrl",
            ReplyKey::ScreenPopUrl => "screenPopUrl",
            ReplyKey::ScreenPopTarget => "screenPopTarget",
        }
    }
}

/// Everything that is wrong with a configuration document, each with its place.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[error("the configuration is not valid:\n{}", .0.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigurationError(pub Vec<String>);

/// The JSON Schema of a configuration document.
pub fn schema() -> Json {
    schemars::schema_for!(Configuration).into()
}

impl Connection {
    /// Whether recordings of this bucket are this integration's: those of any when none is named.
    pub fn is_recording_bucket(&self, bucket: &str) -> bool {
        self.recording_bucket
            .as_ref()
            .is_none_or(|ours| ours == bucket)
    }
}
