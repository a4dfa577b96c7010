//! The configuration of one integration: the document as its author wrote it.
//!
//! Owns the document's shape (its JSON Schema is generated from these types), its defaults, how it is
//! read (`read`), and the checks of everything in it but its templates (`settings`). What is made of it
//! is [`crate::integration`]'s.

mod contacts;
mod credential;
mod customer;
mod read;
mod settings;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

pub(crate) use self::customer::{AGENT, CUSTOMER, LINK, LINK_PARTIES, NEW_CUSTOMER};
pub use self::settings::is_integration_name;
pub use self::{
    contacts::{ContactLensConfiguration, ContactLensFile, Contacts, INITIATION_METHODS, Recorded},
    credential::{CertificateConfiguration, Credential, FederationConfiguration},
    customer::{
        AgentConfiguration, CustomerConfiguration, CustomerTable, DefaultOwner, NewCustomer,
        ValueKind, WithMany, WithNone,
    },
};
pub(crate) use self::{
    read::{Reading, read},
    settings::{check_settings, is_identifier, is_name},
};
use crate::{
    dataverse::{Method, Table},
    recording::ObjectKind,
    request::Linkable,
    step::Step,
};

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
    /// Which contacts are recorded, and on which record, by their initiation method: `INBOUND`, `OUTBOUND`,
    /// `TRANSFER`, `CALLBACK`, ... Those of a method that is not named get a record of their own, but not
    /// `MONITOR` and `DISCONNECT`.
    #[serde(default, skip_serializing_if = "Contacts::is_empty")]
    pub contacts: Contacts,
    /// What is read of the conversation.
    #[serde(default, skip_serializing_if = "is_default")]
    pub contact_lens: ContactLensConfiguration,
    /// How an agent is found among Dynamics' users.
    #[serde(default, skip_serializing_if = "is_default")]
    pub agent: AgentConfiguration,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
    /// The address of the Amazon Connect instance, which agents sign in at:
    /// `https://example.my.connect.aws`. `{{ contactUrl }}` is the contact's page there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_url: Option<String>,
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
    /// When the contact record comes, after the contact and its after-contact work. Completes the record, and
    /// updates it again when a newer contact record comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact_completed: Option<StepConfiguration>,
}

/// A step that sends requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StepConfiguration {
    /// How the customer is found, before the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerConfiguration>,
    /// The step's request, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestConfiguration>,
    /// The step's requests in their order, where it has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestConfiguration>,
    /// Fields of the main request's response that the flow gets with the reply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reply: Vec<String>,
}

/// Step 3.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AnsweredConfiguration {
    /// The page to open for the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen_pop: Option<ScreenPopConfiguration>,
    /// How the customer is found, before the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerConfiguration>,
    /// A request to send as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestConfiguration>,
    /// Several requests to send as well, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestConfiguration>,
    /// Fields of the main request's response that the flow gets with the reply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reply: Vec<String>,
}

/// The page that is opened for the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScreenPopConfiguration {
    /// What to open: the first of these that there is. Unless given, the page of `queryString`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Opening>,
    /// The page's query string: a JSON object, or text. With `open`, the page where there is none of that.
    #[serde(default, skip_serializing_if = "PastedObject::is_empty")]
    pub query_string: PastedObject,
    /// Where the page is opened.
    #[serde(default)]
    pub target: ScreenPopTarget,
}

/// A page that can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Opening {
    /// The customer who was found.
    Customer,
    /// Dynamics' search for the number or address, when several customers were found.
    Search,
    /// The record of `contact-start`.
    Record,
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
#[derive(Debug, Clone, Default)]
pub struct StepView<'a> {
    pub customer: Option<&'a CustomerConfiguration>,
    /// `request`, or all of `requests`: each with its place in the document, `steps.<step>.request`.
    pub requests: Vec<(String, &'a RequestConfiguration)>,
    /// Whether the document has both `request` and `requests`.
    pub is_ambiguous: bool,
    pub screen_pop: Option<&'a ScreenPopConfiguration>,
    pub reply: &'a [String],
    /// The kinds of object that trigger the step; none for a step that no object triggers.
    pub object_kinds: Option<&'a BTreeSet<ObjectKind>>,
}

impl Steps {
    /// A step's configuration; none when the step is left out.
    pub fn get(&self, step: Step) -> Option<StepView<'_>> {
        match step {
            Step::ContactStart => Some(self.contact_start.as_ref()?.view(step)),
            Step::ContactAnswered => self.contact_answered.as_ref().map(|answered| StepView {
                screen_pop: answered.screen_pop.as_ref(),
                reply: &answered.reply,
                ..StepView::new(
                    step,
                    answered.customer.as_ref(),
                    answered.request.as_ref(),
                    &answered.requests,
                )
            }),
            Step::ContactEnd => Some(self.contact_end.as_ref()?.view(step)),
            Step::ContactCompleted => Some(self.contact_completed.as_ref()?.view(step)),
            Step::RecordingAvailable => {
                self.recording_available.as_ref().map(|recording| StepView {
                    object_kinds: Some(&recording.object_kinds),
                    ..StepView::new(
                        step,
                        recording.customer.as_ref(),
                        recording.request.as_ref(),
                        &recording.requests,
                    )
                })
            }
        }
    }

    /// Whether any step looks for the customer.
    pub fn look_for_customers(&self) -> bool {
        self.iter().any(|(_, step)| step.customer.is_some())
    }

    /// What bodies can link to: the tables of customers, and of requests by their names.
    pub fn linkable(&self) -> Linkable {
        let mut linkable = Linkable::default();
        for (step, view) in self.iter() {
            let searched = view
                .customer
                .into_iter()
                .flat_map(|customer| &customer.tables);
            let customers = searched.map(CustomerTable::table);
            let new = view.new_customer().map(|new| new.request().table());
            linkable.customers.extend(customers.chain(new));
            let main = view.main();
            for (index, (_, request)) in view.requests.iter().enumerate() {
                let of_step = (main == Some(index)).then(|| step.as_str().to_owned());
                for name in of_step.into_iter().chain(request.name.clone()) {
                    linkable.responses.insert(name, request.table());
                }
            }
        }
        linkable
    }

    /// Whether any request has a name of its own.
    pub fn name_requests(&self) -> bool {
        let names = |(_, step): (Step, StepView)| {
            let mut requests = step.requests.iter();
            requests.any(|(_, request)| request.name.is_some())
        };
        self.iter().any(names)
    }

    /// The steps that are configured, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Step, StepView<'_>)> {
        Step::ALL
            .into_iter()
            .filter_map(|step| Some((step, self.get(step)?)))
    }
}

impl StepConfiguration {
    fn view(&self, step: Step) -> StepView<'_> {
        StepView {
            reply: &self.reply,
            ..StepView::new(
                step,
                self.customer.as_ref(),
                self.request.as_ref(),
                &self.requests,
            )
        }
    }
}

impl<'a> StepView<'a> {
    fn new(
        step: Step,
        customer: Option<&'a CustomerConfiguration>,
        request: Option<&'a RequestConfiguration>,
        requests: &'a [RequestConfiguration],
    ) -> StepView<'a> {
        let one = request.map(|request| (format!("steps.{step}.request"), request));
        let several = requests.iter().enumerate();
        let several =
            several.map(|(index, request)| (format!("steps.{step}.requests[{index}]"), request));
        StepView {
            customer,
            is_ambiguous: request.is_some() && !requests.is_empty(),
            requests: one.into_iter().chain(several).collect(),
            ..StepView::default()
        }
    }

    /// The tables that the step's requests name, and those that customers are looked for in.
    pub fn tables(&self) -> Vec<Table> {
        let requests = self.requests.iter().map(|(_, request)| request.table());
        let searched = self.customer.iter().flat_map(|customer| &customer.tables);
        let new = self.new_customer().map(|new| new.request().table());
        requests
            .chain(searched.map(CustomerTable::table))
            .chain(new)
            .collect()
    }

    /// The customer who is created when none is found.
    pub fn new_customer(&self) -> Option<&'a NewCustomer> {
        match &self.customer?.none {
            WithNone::Create(new) => Some(new),
            WithNone::Skip => None,
        }
    }

    /// The name of the step's main request, if it has one.
    pub fn main_name(&self) -> Option<&'a str> {
        let (_, main) = self.requests.get(self.main()?)?;
        main.name.as_deref()
    }

    /// Which of the requests is the main one, whose response is `STEP2-Response` and whose record is the
    /// contact's: the one that says so; else the first that creates a record; else the first.
    pub fn main(&self) -> Option<usize> {
        let requests = || self.requests.iter().map(|(_, request)| request);
        requests()
            .position(|request| request.main)
            .or_else(|| requests().position(|request| request.creates()))
            .or((!self.requests.is_empty()).then_some(0))
    }
}

/// Step 5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordingConfiguration {
    /// How the customer is found, before the requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerConfiguration>,
    /// The step's request, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestConfiguration>,
    /// The step's requests in their order, where it has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestConfiguration>,
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
    /// The request's name: letters, digits, `-` and `_`. Its response is `Responses.<name>`. Of a step's
    /// several requests each needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When to send it: an expression, like `Customer.count == 0`. When it is false, empty or missing, the
    /// request is skipped. Unless given, it is always sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Whether it is the step's main request: its record is the contact's, its response `STEP2-Response`.
    /// Unless one says so, it is the first that creates a record, or else the first.
    #[serde(default, skip_serializing_if = "customer::is_false")]
    pub main: bool,
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

impl RequestConfiguration {
    /// The table that it is about.
    pub fn table(&self) -> Table {
        Table::new(
            &self.entity_set,
            self.primary_key.clone(),
            self.logical_name.clone(),
        )
    }

    /// Whether it is a POST to an entity set, which creates a record.
    pub fn creates(&self) -> bool {
        let query = self.query_string.text();
        self.method == Method::Post && !query.trim_start().starts_with(['(', '/'])
    }
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
    pub fn text(&self) -> String {
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
    CustomerCount,
    CustomerId,
    CustomerName,
}

impl ReplyKey {
    pub const ALL: [ReplyKey; 9] = [
        ReplyKey::Status,
        ReplyKey::Message,
        ReplyKey::RecordId,
        ReplyKey::RecordUrl,
        ReplyKey::ScreenPopUrl,
        ReplyKey::ScreenPopTarget,
        ReplyKey::CustomerCount,
        ReplyKey::CustomerId,
        ReplyKey::CustomerName,
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
            ReplyKey::CustomerCount => "customerCount",
            ReplyKey::CustomerId => "customerId",
            ReplyKey::CustomerName => "customerName",
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
