//! An integration: its configuration document, and what is made of it when it is loaded.
//!
//! Owns the document's shape (its JSON Schema is generated from these types), its validation, which
//! is whole - every template compiled, every body parsed, every mistake told at once - and the
//! compiled [`Step`]s.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use url::Url;
use uuid::Uuid;

use crate::{
    address::{Address, Convention},
    body::Body,
    dataverse::{Method, Table},
    pasted::parse_object,
    recording::ObjectKind,
    scope::{Scope, response_name},
    template::{ResponseUse, Templates},
};

/// A step of a contact's life.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    ContactStart,
    ContactAnswered,
    ContactEnd,
    RecordingAvailable,
}

impl StepName {
    pub const ALL: [StepName; 4] = [
        StepName::ContactStart,
        StepName::ContactAnswered,
        StepName::ContactEnd,
        StepName::RecordingAvailable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            StepName::ContactStart => "contact-start",
            StepName::ContactAnswered => "contact-answered",
            StepName::ContactEnd => "contact-end",
            StepName::RecordingAvailable => "recording-available",
        }
    }

    /// The step's number in the reference: 2 for `contact-start`, whose response is `STEP2-Response`.
    pub fn number(self) -> u8 {
        match self {
            StepName::ContactStart => 2,
            StepName::ContactAnswered => 3,
            StepName::ContactEnd => 4,
            StepName::RecordingAvailable => 5,
        }
    }

    pub fn from_number(number: u8) -> Option<StepName> {
        StepName::ALL
            .into_iter()
            .find(|step| step.number() == number)
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

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
    /// The name or ARN of the Secrets Manager secret that holds the client secret.
    pub client_secret_id: String,
    /// The scope to ask a token for; the environment's URI with `/.default` appended unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Entra ID's address; other for national clouds (`https://login.microsoftonline.us`).
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

    fn text(&self) -> String {
        match self {
            PastedObject::Text(text) => text.clone(),
            PastedObject::Object(map) => Json::from(map.clone()).to_string(),
        }
    }
}

/// An integration, loaded.
#[derive(Debug)]
pub struct Integration {
    pub configuration: Configuration,
    pub templates: Templates,
    steps: BTreeMap<StepName, Step>,
}

/// A step, compiled.
#[derive(Debug)]
pub struct Step {
    pub request: Option<RequestTemplate>,
    pub screen_pop: Option<(Address, ScreenPopTarget)>,
    /// Fields of the response to reply.
    pub reply: Vec<String>,
    /// The kinds of object that trigger the step; empty but for `recording-available`.
    pub object_kinds: BTreeSet<ObjectKind>,
}

/// A request's compiled form.
#[derive(Debug)]
pub struct RequestTemplate {
    pub method: Method,
    pub table: Table,
    pub address: Address,
    pub body: Option<Body>,
}

/// Everything that is wrong with a configuration document.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[error("the configuration is not valid:\n{}", .0.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigurationError(pub Vec<String>);

impl Integration {
    /// Reads and compiles a configuration document.
    ///
    /// # Errors
    /// [`ConfigurationError`] with every mistake found, each with its place.
    pub fn load(document: &str) -> Result<Integration, ConfigurationError> {
        let mut deserializer = serde_json::Deserializer::from_str(document);
        let configuration: Configuration = serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| {
                let path = error.path().to_string();
                ConfigurationError(vec![match path.as_str() {
                    "." => error.inner().to_string(),
                    path => format!("{path}: {}", error.inner()),
                }])
            })?;
        deserializer
            .end()
            .map_err(|error| ConfigurationError(vec![error.to_string()]))?;
        Integration::compile(configuration)
    }

    fn compile(configuration: Configuration) -> Result<Integration, ConfigurationError> {
        let mut compiler = Compiler {
            templates: Templates::default(),
            problems: Vec::new(),
        };
        compiler.check_settings(&configuration);
        let mut steps = BTreeMap::new();
        let Steps {
            contact_start,
            contact_answered,
            contact_end,
            recording_available,
        } = &configuration.steps;
        for (name, step) in [
            (StepName::ContactStart, contact_start),
            (StepName::ContactEnd, contact_end),
        ] {
            if let Some(step) = step {
                let step = Step {
                    request: compiler.request(name, &step.request),
                    screen_pop: None,
                    reply: compiler.reply(name, &step.reply),
                    object_kinds: BTreeSet::new(),
                };
                steps.insert(name, step);
            }
        }
        if let Some(answered) = contact_answered {
            let name = StepName::ContactAnswered;
            if answered.screen_pop.is_none() && answered.request.is_none() {
                compiler.problem(format!(
                    "steps.{name}: give it a `screenPop`, a `request`, or both"
                ));
            }
            let step = Step {
                request: answered
                    .request
                    .as_ref()
                    .and_then(|request| compiler.request(name, request)),
                screen_pop: answered
                    .screen_pop
                    .as_ref()
                    .and_then(|pop| compiler.screen_pop(pop)),
                reply: compiler.reply(name, &answered.reply),
                object_kinds: BTreeSet::new(),
            };
            steps.insert(name, step);
        }
        if let Some(recording) = recording_available {
            let name = StepName::RecordingAvailable;
            let step = Step {
                request: compiler.request(name, &recording.request),
                screen_pop: None,
                reply: Vec::new(),
                object_kinds: recording.object_kinds.clone(),
            };
            steps.insert(name, step);
        }
        compiler.check_order(&steps);
        match compiler.problems.is_empty() {
            true => Ok(Integration {
                configuration,
                templates: compiler.templates,
                steps,
            }),
            false => Err(ConfigurationError(compiler.problems)),
        }
    }

    /// A step, or none when it is not configured.
    pub fn step(&self, name: StepName) -> Option<&Step> {
        self.steps.get(&name)
    }

    /// Adds the integration's settings that are no secret to what templates see.
    pub fn add_settings(&self, scope: &mut Scope) {
        let connection = &self.configuration.connection;
        scope.set("integration", self.configuration.name.clone());
        scope.set("appid", connection.app_id.to_string());
        scope.set("environmentUri", connection.environment_uri.clone());
        scope.set("apiVersion", connection.api_version.clone());
        scope.set("tenantId", connection.tenant_id.clone());
        scope.set("clientId", connection.client_id.clone());
        scope.set("scope", connection.token_scope());
        if let Some(bucket) = &connection.recording_bucket {
            scope.set("recordingBucket", bucket.clone());
        }
    }

    /// The fields of a step's response that anything may still need, or none when some template
    /// uses the response as a whole.
    pub fn response_fields(&self, name: StepName) -> Option<BTreeSet<String>> {
        let mut fields: BTreeSet<String> = BTreeSet::from(["value".to_owned()]);
        for step in self.steps.values() {
            for used in step.responses() {
                if used.step == name.number() {
                    fields.insert(used.field.clone()?);
                }
            }
        }
        if let Some(step) = self.step(name) {
            fields.extend(step.reply.iter().cloned());
            fields.extend(
                step.request
                    .iter()
                    .map(|request| request.table.primary_key.clone()),
            );
        }
        Some(fields)
    }
}

impl Step {
    /// The steps whose responses this one needs.
    pub fn needs(&self) -> BTreeSet<StepName> {
        self.responses()
            .iter()
            .filter_map(|used| StepName::from_number(used.step))
            .collect()
    }

    fn responses(&self) -> Vec<&ResponseUse> {
        let mut uses = Vec::new();
        if let Some(request) = &self.request {
            uses.extend(request.address.responses());
            uses.extend(request.body.iter().flat_map(Body::responses));
        }
        uses.extend(
            self.screen_pop
                .iter()
                .flat_map(|(address, _)| address.responses()),
        );
        uses
    }
}

/// Names in a reply that the product gives itself.
pub const REPLY_NAMES: [&str; 6] = [
    "status",
    "message",
    "recordId",
    "recordUrl",
    "screenPopUrl",
    "screenPopTarget",
];

struct Compiler {
    templates: Templates,
    problems: Vec<String>,
}

impl Compiler {
    fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    fn check_settings(&mut self, configuration: &Configuration) {
        let Configuration {
            name,
            connection,
            retention_days,
            flow_budget_milliseconds,
            give_up_after_hours,
            without_start,
            ..
        } = configuration;
        if !is_name(name) || name.len() > 64 {
            self.problem("name: it must be 1 to 64 letters, digits, `-` and `_`");
        }
        self.check_origin(
            "connection.environmentUri",
            &connection.environment_uri,
            "https://example.crm.dynamics.com",
        );
        self.check_origin(
            "connection.authority",
            &connection.authority,
            "https://login.microsoftonline.com",
        );
        let version = connection.api_version.split('.');
        if !version
            .clone()
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        {
            self.problem("connection.apiVersion: it must be a version like 9.2, without a `v`");
        }
        let tenant = &connection.tenant_id;
        if tenant.is_empty()
            || !tenant
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        {
            self.problem(
                "connection.tenantId: it must be the tenant's id (a GUID) or one of its domains",
            );
        }
        if Uuid::try_parse(&connection.client_id).is_err() {
            self.problem("connection.clientId: it must be the app registration's application (client) id, a GUID");
        }
        if connection.client_secret_id.trim().is_empty() {
            self.problem("connection.clientSecretId: it must be the name or ARN of a secret in Secrets Manager");
        }
        if !connection.token_scope().ends_with("/.default") {
            self.problem(
                "connection.scope: it must be the environment's URI with `/.default` appended",
            );
        }
        if !(1..=3650).contains(retention_days) {
            self.problem("retentionDays: it must be from 1 to 3650");
        }
        if !(1..=720).contains(give_up_after_hours) {
            self.problem("giveUpAfterHours: it must be from 1 to 720");
        }
        if give_up_after_hours / 24 >= *retention_days {
            self.problem(
                "retentionDays: a contact must be remembered longer than giveUpAfterHours",
            );
        }
        if without_start.after_minutes > 1440 {
            self.problem("withoutStart.afterMinutes: it must be 1440, a day, at the most");
        }
        if !(500..=8000).contains(flow_budget_milliseconds) {
            self.problem("flowBudgetMilliseconds: it must be from 500 to 8000; Amazon Connect waits 8 seconds at most");
        }
    }

    /// An https origin, or http on this machine for a local run.
    fn check_origin(&mut self, field: &str, uri: &str, example: &str) {
        let problem = match Url::parse(uri) {
            Err(error) => Some(format!("{error}")),
            Ok(url)
                if url.scheme() != "https"
                    && !(url.scheme() == "http" && is_this_machine(&url)) =>
            {
                Some("it must begin with https://".into())
            }
            Ok(url) if url.path() != "/" || url.query().is_some() || url.fragment().is_some() => {
                Some("it must end after the host".into())
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Some("it must hold no user name or password".into())
            }
            Ok(_) => None,
        };
        if let Some(problem) = problem {
            self.problem(format!("{field}: {problem}; for example {example}"));
        }
    }

    fn request(
        &mut self,
        step: StepName,
        configuration: &RequestConfiguration,
    ) -> Option<RequestTemplate> {
        let before = self.problems.len();
        let RequestConfiguration {
            method,
            entity_set,
            query_string,
            body,
            primary_key,
            logical_name,
        } = configuration;
        let field = format!("steps.{step}.request");
        for (name, value) in [
            ("entitySet", Some(entity_set)),
            ("primaryKey", primary_key.as_ref()),
            ("logicalName", logical_name.as_ref()),
        ] {
            if value.is_some_and(|value| !is_identifier(value)) {
                self.problem(format!(
                    "{field}.{name}: it must be letters, digits and `_`, like `phonecalls`; a key or query options go into queryString"
                ));
            }
        }
        let query = query_string.text();
        if *method == Method::Patch && !query.trim_start().starts_with('(') {
            self.problem(format!(
                "{field}.queryString: a PATCH needs the record's key in parentheses, like (STEP2-Response.activityid)"
            ));
        }
        let address = Address::compile(
            &format!("{field}.queryString"),
            &query,
            Convention::OData,
            &mut self.templates,
        )
        .map_err(|error| self.problem(error.to_string()))
        .ok();
        let body = match (method, body) {
            (Method::Get, Some(body)) if !body.is_empty() => {
                self.problem(format!("{field}.body: a GET has no body; leave it out"));
                None
            }
            (Method::Get, _) | (Method::Post, None) => None,
            (Method::Patch, None) => {
                self.problem(format!(
                    "{field}.body: a PATCH needs a body, the columns to update"
                ));
                None
            }
            (_, Some(body)) => self.body(&format!("{field}.body"), body),
        };
        if self.problems.len() > before {
            return None;
        }
        Some(RequestTemplate {
            method: *method,
            table: Table::new(entity_set, primary_key.clone(), logical_name.clone()),
            address: address?,
            body,
        })
    }

    fn body(&mut self, field: &str, body: &PastedObject) -> Option<Body> {
        let fields = match body {
            PastedObject::Object(fields) => fields.clone(),
            PastedObject::Text(text) => parse_object(field, text)
                .map_err(|error| self.problem(error.to_string()))
                .ok()?,
        };
        Body::compile(field, &fields, &mut self.templates)
            .map_err(|errors| {
                errors
                    .iter()
                    .for_each(|error| self.problem(error.to_string()));
            })
            .ok()
    }

    fn screen_pop(
        &mut self,
        configuration: &ScreenPopConfiguration,
    ) -> Option<(Address, ScreenPopTarget)> {
        let field = "steps.contact-answered.screenPop.queryString";
        if configuration.query_string.is_empty() {
            self.problem(format!(
                "{field}: it is empty; the page's query string says which record to open, like {{\"appid\": \"{{{{appid}}}}\", \"pagetype\": \"entityrecord\", ...}}"
            ));
        }
        let query = configuration.query_string.text();
        Address::compile(field, &query, Convention::Page, &mut self.templates)
            .map(|address| (address, configuration.target))
            .map_err(|error| self.problem(error.to_string()))
            .ok()
    }

    fn reply(&mut self, step: StepName, fields: &[String]) -> Vec<String> {
        for field in fields {
            if !is_name(field) {
                self.problem(format!(
                    "steps.{step}.reply: `{field}` cannot be named in a flow; a flow's keys are letters, digits, `-` and `_`"
                ));
            } else if REPLY_NAMES.contains(&field.as_str()) {
                self.problem(format!(
                    "steps.{step}.reply: `{field}` is a name that every reply has already"
                ));
            }
        }
        fields.to_vec()
    }

    /// A step can only use the responses of steps that are configured and come before it.
    fn check_order(&mut self, steps: &BTreeMap<StepName, Step>) {
        for (name, step) in steps {
            for used in step.responses() {
                let response = response_name(used.step);
                match StepName::from_number(used.step) {
                    None => self.problem(format!("steps.{name}: there is no {response}; responses are STEP2- to STEP5-Response")),
                    Some(other) if other >= *name => self.problem(format!(
                        "steps.{name}: it uses {response}, the response of {other}, which does not come before it"
                    )),
                    Some(other) if steps.get(&other).is_none_or(|step| step.request.is_none()) => self.problem(format!(
                        "steps.{name}: it uses {response}, but {other} is not configured with a request"
                    )),
                    Some(_) => {}
                }
            }
        }
        self.problems.dedup();
    }
}

/// Whether a URL's host is this machine, which a container knows as host.docker.internal: the only one
/// that http may be spoken to.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => matches!(name, "localhost" | "host.docker.internal"),
        None => false,
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The JSON Schema of a configuration document.
pub fn schema() -> Json {
    schemars::schema_for!(Configuration).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn reference() -> Json {
        serde_json::from_str(include_str!("../../local/reference-integration.json")).unwrap()
    }

    fn problems(change: impl FnOnce(&mut Json)) -> Vec<String> {
        let mut document = reference();
        change(&mut document);
        match Integration::load(&document.to_string()) {
            Ok(_) => Vec::new(),
            Err(error) => error.0,
        }
    }

    #[test]
    fn the_references_configuration_loads_and_survives_being_saved() {
        let integration = Integration::load(&reference().to_string()).unwrap();
        let saved = serde_json::to_string(&integration.configuration).unwrap();
        assert_eq!(
            Integration::load(&saved).unwrap().configuration,
            integration.configuration
        );
        let end = integration.step(StepName::ContactEnd).unwrap();
        assert_eq!(end.needs(), BTreeSet::from([StepName::ContactStart]));
        assert_eq!(
            integration.response_fields(StepName::ContactStart),
            Some(BTreeSet::from(["activityid".into(), "value".into()]))
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        for (change, expected) in [
            (json!({"/conection": {}}), "unknown field `conection`"),
            (
                json!({"/connection/environmentURI": "x"}),
                "connection.environmentURI: unknown field `environmentURI`",
            ),
            (
                json!({"/connection/environmentUri": "http://example.com"}),
                "connection.environmentUri: it must begin with https://",
            ),
            (
                json!({"/connection/environmentUri": "https://example.com/api"}),
                "it must end after the host",
            ),
            (json!({"/connection/appId": "x"}), "connection.appId: "),
            (json!({"/connection/apiVersion": "v9.2"}), "without a `v`"),
            (
                json!({"/connection/clientId": "x"}),
                "connection.clientId: ",
            ),
            (
                json!({"/connection/tenantId": "a/b"}),
                "connection.tenantId: ",
            ),
            (
                json!({"/connection/scope": "https://example.com"}),
                "connection.scope: ",
            ),
            (json!({"/name": "a b"}), "name: it must be"),
            (json!({"/giveUpAfterHours": 0}), "giveUpAfterHours: "),
            (
                json!({"/retentionDays": 3}),
                "retentionDays: a contact must be remembered longer",
            ),
            (
                json!({"/withoutStart": {"action": "guess"}}),
                "withoutStart.action: unknown variant `guess`",
            ),
            (
                json!({"/flowBudgetMilliseconds": 9000}),
                "flowBudgetMilliseconds: ",
            ),
            (
                json!({"/steps/contact-strat": {}}),
                "steps.contact-strat: unknown field `contact-strat`",
            ),
            (
                json!({"/steps/contact-start/request/method": "PUT"}),
                "steps.contact-start.request.method: unknown variant `PUT`",
            ),
            (
                json!({"/steps/contact-start/request/entitySet": "phonecalls(1)"}),
                "steps.contact-start.request.entitySet: ",
            ),
            (
                json!({"/steps/contact-start/request/body": "{\"a\": \"{{ x | nope }}\"}"}),
                "steps.contact-start.request.body.a, line 1, column 8: there is no filter `nope`",
            ),
            (
                json!({"/steps/contact-start/request/body": "{"}),
                "steps.contact-start.request.body, line 1, column",
            ),
            (
                json!({"/steps/contact-start/request/body": 5}),
                "a JSON object, or a string",
            ),
            (
                json!({"/steps/contact-end/request/queryString": "STEP2-Response.activityid"}),
                "a PATCH needs the record's key in parentheses",
            ),
            (
                json!({"/steps/contact-end/request/queryString": "(STEP5-Response.activityid)"}),
                "which does not come before it",
            ),
            (
                json!({"/steps/contact-end/request/queryString": "(STEP9-Response.activityid)"}),
                "there is no STEP9-Response",
            ),
            (
                json!({"/steps/contact-start": null}),
                "contact-start is not configured",
            ),
            (
                json!({"/steps/contact-start/reply": ["a.b"]}),
                "cannot be named in a flow",
            ),
            (
                json!({"/steps/contact-start/reply": ["status"]}),
                "a name that every reply has",
            ),
            (
                json!({"/steps/contact-answered": {}}),
                "steps.contact-answered: give it a `screenPop`",
            ),
            (
                json!({"/steps/contact-answered/screenPop/queryString": ""}),
                "screenPop.queryString: it is empty",
            ),
            (
                json!({"/steps/recording-available/objectKinds": ["video"]}),
                "steps.recording-available.objectKinds[0]: unknown variant `video`",
            ),
        ] {
            let (pointer, value) = change.as_object().unwrap().iter().next().unwrap();
            let problems = problems(|document| {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                document.pointer_mut(parent).unwrap()[name] = value.clone();
            });
            assert!(
                problems.iter().any(|problem| problem.contains(expected)),
                "{pointer}: {problems:?}"
            );
        }
    }

    #[test]
    fn several_mistakes_are_told_at_once() {
        let problems = problems(|document| {
            document["connection"]["clientId"] = "x".into();
            document["steps"]["contact-start"]["request"]["body"] =
                json!({"a": "{{", "b": "{{ c | nope }}"});
            document["steps"]["contact-end"]["request"]["queryString"] = "x".into();
        });
        assert!(problems.len() >= 4, "{problems:?}");
    }
}
