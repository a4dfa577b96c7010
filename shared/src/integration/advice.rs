//! Advice: what a configuration that loads probably gets wrong.
//!
//! Owns the warnings. Nothing is refused for them, and they are made only when somebody asks: a function
//! that loads an integration does not pay for them. They are made of the document, not of what is
//! compiled of it, so that a step with an error is told its warnings too.

use serde_json::{Map, Value as Json};

use super::Integration;
use crate::{
    configuration::{Configuration, PastedObject, RequestConfiguration, read},
    contact::RECORD_NAMES,
    dataverse::{
        Method, Table,
        columns::{Access, Column, Kind, KnownTable},
    },
    request::{Address, Convention, parse_object},
    step::Step,
    template::{NameUse, Strictness, Template, Templates, product_names},
};

/// Everything that there is to say about a configuration document, each a line with its place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// Why it cannot be used.
    pub errors: Vec<String>,
    /// What is probably a mistake.
    pub warnings: Vec<String>,
}

/// A flow is answered after this many milliseconds at the latest, whatever the configuration says:
/// Amazon Connect waits for 8 seconds.
/// <https://docs.aws.amazon.com/connect/latest/adminguide/connect-lambda-functions.html>
const LONGEST_FLOW_BUDGET: u32 = 6500;

/// A column as short as this does not take any text that a customer or an agent may have written.
const SHORT: usize = 250;

/// The fields of the contact record's objects, and what contact events and flows add to them.
/// <https://docs.aws.amazon.com/connect/latest/adminguide/ctr-data-model.html>
const FIELDS: &[(&str, &[&str])] = &[
    (
        "Agent",
        &[
            "ARN",
            "AcceptedByAgentTimestamp",
            "AfterContactWorkDuration",
            "AfterContactWorkEndTimestamp",
            "AfterContactWorkStartTimestamp",
            "AgentInitiatedHoldDuration",
            "AgentInteractionDuration",
            "AgentPauseDuration",
            "Capabilities",
            "ConnectedToAgentTimestamp",
            "CustomerHoldDuration",
            "DeviceInfo",
            "HierarchyGroups",
            "LongestHoldDuration",
            "NumberOfHolds",
            "PreviewEndTimestamp",
            "RoutingProfile",
            "StateTransitions",
            "Username",
            "VoiceEnhancementMode",
        ],
    ),
    ("CustomerEndpoint", &["Address", "DisplayName", "Type"]),
    (
        "Queue",
        &[
            "ARN",
            "DequeueTimestamp",
            "Duration",
            "EnqueueTimestamp",
            "Name",
            "OutboundCallerId",
            "QueueType",
        ],
    ),
    ("SystemEndpoint", &["Address", "DisplayName", "Type"]),
    ("TransferredToEndpoint", &["Address", "DisplayName", "Type"]),
];

/// Names whose values are often longer than a short column.
const LONG: [&str; 5] = [
    "Description",
    "analysisUrl",
    "objectUrl",
    "recordingUrl",
    "transcriptUrl",
];

impl Integration {
    /// What is probably a mistake in the configuration: each a line that says where, what, and what to do.
    pub fn advice(&self) -> Vec<String> {
        advice(&self.configuration)
    }

    /// Everything that there is to say about a configuration document. Also of one that cannot be used
    /// are the warnings told.
    pub fn check(document: &str) -> Findings {
        match Integration::load(document) {
            Ok(integration) => Findings {
                errors: Vec::new(),
                warnings: integration.advice(),
            },
            Err(error) => Findings {
                errors: error.0,
                warnings: read(document).0.as_ref().map(advice).unwrap_or_default(),
            },
        }
    }
}

fn advice(configuration: &Configuration) -> Vec<String> {
    let mut advice = Advice::default();
    if configuration.flow_budget_milliseconds > LONGEST_FLOW_BUDGET {
        advice.say(
            "flowBudgetMilliseconds",
            &format!(
                "a flow is answered after {LONGEST_FLOW_BUDGET} at the latest, because Amazon Connect waits for 8 seconds; write {LONGEST_FLOW_BUDGET} or less"
            ),
        );
    }
    for step in Step::ALL {
        let Some(view) = configuration.steps.get(step) else {
            continue;
        };
        if let Some(pop) = view.screen_pop {
            let field = format!("steps.{step}.screenPop.queryString");
            advice.address(&field, &pop.query_string.text(), Convention::Page);
        }
        if let Some(request) = view.request {
            advice.request(&format!("steps.{step}.request"), request);
        }
    }
    advice.warnings
}

#[derive(Default)]
struct Advice {
    templates: Templates,
    warnings: Vec<String>,
}

impl Advice {
    fn say(&mut self, place: &str, message: &str) {
        self.warnings.push(format!("{place}: {message}"));
    }

    fn request(&mut self, field: &str, request: &RequestConfiguration) {
        let query = request.query_string.text();
        let address = self.address(&format!("{field}.queryString"), &query, Convention::OData);
        let has_path = address.is_none_or(|address| address.has_path());
        let creates = request.method == Method::Post && !has_path;
        let field = format!("{field}.body");
        let body = match &request.body {
            None => Some(Map::new()),
            Some(PastedObject::Object(fields)) => Some(fields.clone()),
            Some(PastedObject::Text(text)) => parse_object(&field, text).ok(),
        };
        let Some(body) = body else { return };
        let table = Table::new(
            &request.entity_set,
            request.primary_key.clone(),
            request.logical_name.clone(),
        );
        // What follows a record's key may be an action, whose parameters are no columns.
        let writes = creates || request.method == Method::Patch;
        let known = KnownTable::by_logical_name(&table.logical_name).filter(|_| writes);
        for (name, value) in &body {
            let field = format!("{field}.{name}");
            self.names_of_value(&field, value);
            if let Some(known) = known.filter(|_| *name != table.primary_key) {
                self.column(&field, name, value, &table, known, creates);
            }
        }
        if creates && table.logical_name == "phonecall" && !body.contains_key("directioncode") {
            self.say(
                &field,
                "it creates a phone call without `directioncode`, and Dataverse takes that for an outgoing call; add \"directioncode\": false for incoming calls",
            );
        }
    }

    /// An address's names. Returns it unless it does not compile, which is an error and told as one.
    fn address(&mut self, field: &str, query: &str, convention: Convention) -> Option<Address> {
        let address = Address::compile(field, query, convention, &mut self.templates).ok()?;
        for used in address.names_used(&self.templates) {
            self.name(&used);
        }
        for used in address.names_in_text(&names_unlike_words()) {
            self.name_in_text(&used);
        }
        Some(address)
    }

    fn names_of_value(&mut self, field: &str, value: &Json) {
        match value {
            Json::String(source) => {
                let Some(template) = self.template(field, source) else {
                    return;
                };
                for used in template.names(&self.templates) {
                    self.name(&used);
                }
                for used in template.names_in_text(&names_unlike_words()) {
                    self.name_in_text(&used);
                }
            }
            Json::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    self.names_of_value(&format!("{field}[{index}]"), value);
                }
            }
            Json::Object(fields) => {
                for (name, value) in fields {
                    self.names_of_value(&format!("{field}.{name}"), value);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    /// A template, unless it does not compile, which is an error and told as one.
    fn template(&mut self, field: &str, source: &str) -> Option<Template> {
        self.templates.add(field, source, Strictness::Lenient).ok()
    }

    fn name(&mut self, used: &NameUse) {
        let (root, field) = split(&used.name);
        if is_certain(root) {
            let fields = FIELDS.iter().find(|(name, _)| *name == root);
            if let (Some((_, fields)), Some(field)) = (fields, field)
                && !fields.contains(&field)
            {
                let advice = match nearest(field, fields.iter().copied(), 2) {
                    Some(right) => format!("did you mean `{root}.{right}`?"),
                    None => format!("its fields are {}", fields.join(", ")),
                };
                self.say(
                    &place(used),
                    &format!("`{root}` has no documented field `{field}`; {advice}"),
                );
            }
            return;
        }
        if let Some(right) = name_meant(&used.name) {
            let own = if root.contains('-') {
                format!("Attributes['{root}']")
            } else {
                format!("Attributes.{root}")
            };
            self.say(
                &place(used),
                &format!(
                    "no contact has `{}` unless it is an attribute of your own; did you mean `{right}`? If it is your own, write `{own}`",
                    used.name
                ),
            );
        }
    }

    fn name_in_text(&mut self, used: &NameUse) {
        let name = &used.name;
        self.say(
            &place(used),
            &format!(
                "`{name}` stands in the text without braces and is sent as that word; write {{{{ {name} }}}} for the attribute's value"
            ),
        );
    }

    fn column(
        &mut self,
        field: &str,
        name: &str,
        value: &Json,
        table: &Table,
        known: &KnownTable,
        creates: bool,
    ) {
        let logical_name = &table.logical_name;
        let Some(column) = known.columns().find(|column| column.name == name) else {
            // A column of one's own has a prefix, and what has an @ is an annotation.
            if !name.contains(['_', '@']) {
                self.unknown_column(field, name, logical_name, known);
            }
            return;
        };
        match column.access {
            Access::ReadOnly => {
                return self.say(
                    field,
                    &format!("the column `{name}` of {logical_name} is read-only; leave it out"),
                );
            }
            Access::NotOnCreate if creates => {
                return self.say(
                    field,
                    &format!(
                        "the column `{name}` of {logical_name} cannot be set when a record is created; set it in a later step"
                    ),
                );
            }
            Access::NotOnUpdate if !creates => {
                return self.say(
                    field,
                    &format!(
                        "the column `{name}` of {logical_name} can only be set when a record is created; leave it out"
                    ),
                );
            }
            Access::NotOnCreate | Access::NotOnUpdate | Access::Writable => {}
        }
        let template = match value {
            Json::String(source) => match self.template(field, source) {
                Some(template) => Some((source, template)),
                None => return,
            },
            _ => None,
        };
        match template {
            Some((source, template)) if template.text() != *source => {
                self.template_in_column(field, source, &template, column);
            }
            _ => self.constant_in_column(field, value, column),
        }
    }

    fn unknown_column(&mut self, field: &str, name: &str, table: &str, known: &KnownTable) {
        let columns = known.columns().map(|column| column.name);
        // `telephone2` is no misspelt `telephone1`.
        let only_the_number_differs = |right: &str| {
            let digit = |c: char| c.is_ascii_digit();
            right.trim_end_matches(digit) == name.trim_end_matches(digit)
        };
        let right = nearest(name, columns, 2);
        let message = match right {
            Some(right) if !only_the_number_differs(right) => {
                format!("did you mean `{right}`?")
            }
            _ if known.may_have(name) => return,
            _ => "a column of your own has a prefix, like new_x, and a lookup is written as <name>@odata.bind".into(),
        };
        self.say(
            field,
            &format!("{table} has no column `{name}` that is known; {message}"),
        );
    }

    fn constant_in_column(&mut self, field: &str, value: &Json, column: &Column) {
        let name = column.name;
        if !column.kind.accepts(value) {
            self.say(
                field,
                &format!(
                    "the column `{name}` takes {}, not {value}",
                    wanted(column.kind)
                ),
            );
        } else if let (Kind::Text(max), Json::String(text)) = (column.kind, value) {
            self.length(field, text, name, max);
        }
    }

    fn length(&mut self, field: &str, text: &str, name: &str, max: usize) {
        let length = text.encode_utf16().count();
        if length > max {
            self.say(
                field,
                &format!(
                    "the text is {length} characters long, and the column `{name}` takes {max} at the most; shorten it"
                ),
            );
        }
    }

    fn template_in_column(
        &mut self,
        field: &str,
        source: &str,
        template: &Template,
        column: &Column,
    ) {
        let name = column.name;
        match column.kind {
            Kind::Text(max) => {
                self.length(field, &template.text(), name, max);
                for used in template.names(&self.templates) {
                    let filters = filters_behind(source, &used);
                    let is_cut = filters.is_none_or(|filters| {
                        filters.iter().any(|filter| filter.starts_with("truncate"))
                    });
                    if max <= SHORT
                        && is_often_long(&used.name)
                        && !is_cut
                        && name_meant(&used.name).is_none()
                    {
                        self.say(
                            &place(&used),
                            &format!(
                                "the value of `{}` may be longer than the {max} characters of the column `{name}`, and Dataverse would refuse the whole request; write {{{{ {} | truncate({max}) }}}}, or less than {max} where there is other text",
                                used.name,
                                expression(&used.name)
                            ),
                        );
                    }
                }
            }
            Kind::Integer(_) | Kind::Choice(_) | Kind::Boolean => {
                let names = template.names(&self.templates);
                let expression = match names.as_slice() {
                    [used] if template.is_single_expression() => {
                        let is_bare = filters_behind(source, used).is_some_and(|f| f.is_empty());
                        if !is_bare || !is_text(&used.name) {
                            return;
                        }
                        expression(&used.name)
                    }
                    _ if template.is_single_expression() => return,
                    _ => "name".to_owned(),
                };
                let example = if column.kind == Kind::Boolean {
                    format!("{{{{ {expression} == 'yes' }}}}")
                } else {
                    format!("{{{{ {expression} | int }}}}")
                };
                self.say(
                    field,
                    &format!(
                        "it gives a text, and the column `{name}` takes {}; write one expression that gives it, like {example}",
                        wanted(column.kind)
                    ),
                );
            }
            Kind::DateTime | Kind::Guid => {}
        }
    }
}

fn place(used: &NameUse) -> String {
    format!("{}, line {}, column {}", used.field, used.line, used.column)
}

/// A name and the field that is taken of it.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('.') {
        Some((root, field)) => (root, Some(field)),
        None => (name, None),
    }
}

/// A name as an expression: `Attributes['first name']` where a dot would not do.
fn expression(name: &str) -> String {
    match split(name) {
        (root, Some(field)) if field.contains(|c: char| c != '_' && !c.is_alphanumeric()) => {
            format!("{root}['{field}']")
        }
        _ => name.to_owned(),
    }
}

/// Whether a name has a meaning that the product knows. Any other may be a user-defined attribute or a
/// flow's parameter, which nobody can know here.
fn is_certain(name: &str) -> bool {
    RECORD_NAMES.contains(&name)
        || product_names().any(|product| product == name)
        || Step::ALL.iter().any(|step| step.response_name() == name)
}

/// Whether the value is certainly a text.
fn is_text(name: &str) -> bool {
    let (root, field) = split(name);
    match (root, field) {
        ("Attributes", field) => field.is_some(),
        ("Queue", Some("ARN" | "Name")) | ("Agent", Some("ARN" | "Username")) => true,
        (_, Some(_)) => false,
        (
            "Channel" | "Description" | "DisconnectReason" | "InitiationMethod" | "InstanceARN"
            | "LanguageCode" | "Name" | "Username",
            None,
        ) => true,
        (root, None) => {
            product_names().any(|product| product == root)
                || RECORD_NAMES.contains(&root)
                    && ["Endpoint", "Id", "Timestamp"]
                        .iter()
                        .any(|end| root.ends_with(end))
        }
    }
}

/// Whether the value is often long: a URL of the bucket, or what somebody wrote.
fn is_often_long(name: &str) -> bool {
    let (root, field) = split(name);
    match root {
        "Attributes" => field.is_some(),
        _ => field.is_none() && (LONG.contains(&root) || !is_certain(root)),
    }
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Text(_) => "a text",
        Kind::Integer(_) => "a whole number",
        Kind::Choice(_) => "the number of a choice",
        Kind::Boolean => "true or false",
        Kind::DateTime => "a date, or a date and a time with their offset",
        Kind::Guid => "a GUID",
    }
}

/// The name that was probably meant: the nearest that is not further than `far` mistypings, or one that
/// is equal but for case.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>, far: usize) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .filter(|known| *known != name)
        .map(|known| (strsim::osa_distance(&lower, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The name that was probably meant by one that has no certain meaning.
fn name_meant(name: &str) -> Option<String> {
    let (root, field) = split(name);
    if is_certain(root) {
        return None;
    }
    let names = RECORD_NAMES.iter().copied().chain(product_names());
    let responses = Step::ALL.map(Step::response_name);
    let certain: Vec<String> = names.map(str::to_owned).chain(responses).collect();
    let certain = || certain.iter().map(String::as_str);
    let has_its_field = |right: &&str| {
        FIELDS.iter().any(|(name, fields)| {
            name == right && field.is_some_and(|field| fields.contains(&field))
        })
    };
    // A short name is near to many: without a field that speaks for it, only its case may differ.
    let far = match root.chars().count() {
        0..=5 => 0,
        6..=7 => 1,
        _ => 2,
    };
    let right = nearest(root, certain(), far)
        .or_else(|| nearest(root, certain().filter(has_its_field), 2))?;
    Some(match field {
        Some(field) => format!("{right}.{}", right_field(right, field)),
        None => right.to_owned(),
    })
}

/// The field that was probably meant, of an object that was probably meant.
fn right_field<'a>(object: &str, field: &'a str) -> &'a str {
    let fields = FIELDS.iter().find(|(name, _)| *name == object);
    match fields {
        Some((_, fields)) if !fields.contains(&field) => {
            nearest(field, fields.iter().copied(), 2).unwrap_or(field)
        }
        _ => field,
    }
}

/// Names that no ordinary text has as words: of several words run together, and `Username`.
fn names_unlike_words() -> Vec<&'static str> {
    let is_camel_case = |name: &&&str| {
        let before = name.chars();
        let behind = name.chars().skip(1);
        before
            .zip(behind)
            .any(|(before, behind)| before.is_lowercase() && behind.is_uppercase())
    };
    let own = ["Username", "analysisUrl", "recordingUrl", "transcriptUrl"];
    let dotted = [
        "Agent.Username",
        "CustomerEndpoint.Address",
        "Queue.ARN",
        "Queue.Name",
        "SystemEndpoint.Address",
    ];
    let record = RECORD_NAMES.iter().filter(is_camel_case).copied();
    record.chain(own).chain(dotted).collect()
}

/// The filters behind a name that is printed as it is; none where it is used in another way, as in a
/// condition.
fn filters_behind<'a>(source: &'a str, used: &NameUse) -> Option<Vec<&'a str>> {
    let at = offset(source, used)?;
    let before = &source[..at];
    let is_open = |open: &str, close: &str| before.rfind(open) > before.rfind(close);
    if is_open("{%", "%}") {
        return None;
    }
    if !is_open("{{", "}}") {
        return Some(Vec::new());
    }
    // Only what follows an opening brace directly is printed as it is.
    if !before.trim_end().trim_end_matches('-').ends_with("{{") {
        return None;
    }
    let inner = source[at..].split("}}").next().unwrap_or_default();
    let mut parts = inner.trim_end_matches('-').split('|').map(str::trim);
    let head = parts.next().unwrap_or_default();
    let is_name = head
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let is_subscript = head.ends_with(['"', '\'', ']']) && head.matches('[').count() == 1;
    (is_name || is_subscript).then(|| parts.collect())
}

/// The byte offset of a line and a column.
fn offset(source: &str, used: &NameUse) -> Option<usize> {
    let line = source.split_inclusive('\n').nth(used.line - 1)?;
    let start = source
        .split_inclusive('\n')
        .take(used.line - 1)
        .map(str::len)
        .sum::<usize>();
    let (column, _) = line.char_indices().nth(used.column - 1)?;
    Some(start + column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{contact::Contact, event::Event};
    use serde_json::json;

    const REFERENCE: &str = include_str!("../../../local/reference-integration.json");

    fn of(change: impl FnOnce(&mut Json)) -> Findings {
        let mut document = serde_json::from_str(REFERENCE).unwrap();
        change(&mut document);
        Integration::check(&document.to_string())
    }

    /// The warnings of a body of contact-start.
    fn of_body(entity_set: &str, body: Json) -> Vec<String> {
        let findings = of(|document| {
            let request = &mut document["steps"]["contact-start"]["request"];
            request["entitySet"] = entity_set.into();
            request["body"] = body;
        });
        assert_eq!(findings.errors, Vec::<String>::new());
        findings.warnings
    }

    /// The one warning of a phone call's field, or none.
    fn of_field(name: &str, value: Json) -> Option<String> {
        let mut body = json!({"directioncode": false});
        body[name] = value;
        let mut warnings = of_body("phonecalls", body);
        assert!(warnings.len() < 2, "{warnings:?}");
        warnings.pop()
    }

    #[test]
    fn the_references_configuration_has_two_plain_words_and_no_direction() {
        let findings = of(|_| {});
        assert_eq!(findings.errors, Vec::<String>::new());
        let begins = [
            "steps.contact-start.request.body.subject, line 1, column 14: `Username` stands in the text without braces",
            "steps.contact-start.request.body.subject, line 1, column 27: `CustomerEndpoint` stands in the text without braces",
            "steps.contact-start.request.body: it creates a phone call without `directioncode`",
        ];
        assert_eq!(findings.warnings.len(), begins.len());
        for (warning, begin) in findings.warnings.iter().zip(begins) {
            assert!(warning.starts_with(begin), "{warning}");
        }
    }

    #[test]
    fn a_misspelt_attribute_is_told_with_the_right_one() {
        for (name, right) in [
            ("CustmerEndpoint", "CustomerEndpoint"),
            ("customerEndpoint", "CustomerEndpoint"),
            ("CustomerEndpoint.Adress", "CustomerEndpoint.Address"),
            ("InitiationTimestmp", "InitiationTimestamp"),
            ("queue.Name", "Queue.Name"),
            ("Quue.Name", "Queue.Name"),
            ("Queue.Nmae", "Queue.Name"),
            ("queue.nmae", "Queue.Name"),
            ("Agent.UserName", "Agent.Username"),
            ("UserName", "Username"),
            ("recordingUrI", "recordingUrl"),
            ("STEP2-Respons.activityid", "STEP2-Response.activityid"),
        ] {
            let warning = of_field("description", format!("x {{{{ {name} }}}}").into());
            let warning = warning.unwrap_or_default();
            assert!(
                warning.starts_with(
                    "steps.contact-start.request.body.description, line 1, column 6: "
                ) && warning.contains(&format!("did you mean `{right}`?")),
                "{name}: {warning}"
            );
        }
        let warning = of_field("description", "{{ Queue.Colour }}".into()).unwrap();
        assert!(warning.contains("its fields are ARN, "), "{warning}");
    }

    /// Whatever field of an object an event may carry, a template finds it by the name that is not
    /// doubted here.
    #[test]
    fn every_field_that_is_not_doubted_is_the_name_that_an_events_field_gets() {
        for (object, fields) in FIELDS {
            let (info, prefix) = match *object {
                "Agent" => ("agentInfo", "agent"),
                "Queue" => ("queueInfo", "queue"),
                _ => continue,
            };
            let camel_case = |name: &str| match name {
                "ARN" => format!("{prefix}Arn"),
                name => name[..1].to_lowercase() + &name[1..],
            };
            let sent: Map<String, Json> = fields
                .iter()
                .map(|name| (camel_case(name), "x".into()))
                .collect();
            let event = json!({
                "source": "aws.connect", "detail-type": "Amazon Connect Contact Event",
                "detail": {"eventType": "DISCONNECTED", "contactId": uuid::Uuid::nil(), info: sent},
            });
            let Ok(Event::Contact(event)) = Event::parse(event) else {
                panic!("no contact event")
            };
            let attributes = Contact::try_from(event).unwrap().attributes;
            let found = attributes.get(object).unwrap().as_object().unwrap();
            let mut found: Vec<&str> = found.keys().map(String::as_str).collect();
            found.sort_unstable();
            assert_eq!(found, *fields, "{object}");
        }
    }

    #[test]
    fn what_may_be_an_attribute_of_ones_own_is_not_doubted() {
        for source in [
            "{{ tier }} {{ reason }} {{ score }} {{ Account-Number }} {{ ticketNumber }}",
            "{{ Attributes.queue }} {{ Attributes.CustmerEndpoint }} {{ Tags.x }}",
            "{{ Queue.Name }} {{ CustomerEndpoint.Address }} {{ Agent.RoutingProfile.Name }}",
            "{{ CustomerEndpoint.DisplayName }} {{ SystemEndpoint.DisplayName }} {{ AWSAccountId }}",
            "{{ Agent.PreviewEndTimestamp }} {{ Queue.QueueType }} {{ AwsAccountId }} {{ AwsRegion }}",
            "{{ SegmentAttributes['connect:Subtype'] }} {% for tag in tiers %}{{ tag }}{% endfor %}",
            "Name, Queue, Channel, Agent, Description and Tags are words",
            "Usernames objectUrl {{ recordingUrl }} {# CustomerEndpoint #}",
        ] {
            assert_eq!(of_field("description", source.into()), None, "{source}");
        }
    }

    #[test]
    fn names_are_looked_at_in_addresses_pages_and_inner_values_too() {
        let findings = of(|document| {
            let steps = &mut document["steps"];
            steps["contact-start"]["request"]["body"] = json!({
                "directioncode": false,
                "regardingobjectid_contact_phonecall@odata.bind": "/contacts({{ contactId }})",
                "phonecall_activity_parties": [{"x": "{{ CustmerEndpoint }}"}],
            });
            steps["contact-answered"]["screenPop"]["queryString"] =
                r#"{"appid": "{{appId}}", "id": "CustomerEndpoint"}"#.into();
            steps["contact-end"]["request"]["queryString"] =
                "(phonenumber='{{ CustomerEndpiont }}')".into();
        });
        assert_eq!(findings.errors, Vec::<String>::new());
        let begins = [
            "steps.contact-start.request.body.regardingobjectid_contact_phonecall@odata.bind, line 1, column 14: no contact has `contactId`",
            "steps.contact-start.request.body.phonecall_activity_parties[0].x, line 1, column 4: no contact has `CustmerEndpoint`",
            "steps.contact-answered.screenPop.queryString.appid, line 1, column 3: no contact has `appId`",
            "steps.contact-answered.screenPop.queryString.id, line 1, column 1: `CustomerEndpoint` stands",
            "steps.contact-end.request.queryString, line 1, column 18: no contact has `CustomerEndpiont`",
        ];
        assert_eq!(findings.warnings.len(), begins.len(), "{findings:#?}");
        for (warning, begin) in findings.warnings.iter().zip(begins) {
            assert!(warning.starts_with(begin), "{warning}");
        }
    }

    #[test]
    fn a_value_that_its_column_would_not_take_is_told() {
        for (name, value, expected) in [
            (
                "directioncode",
                json!("false"),
                "takes true or false, not \"false\"",
            ),
            ("directioncode", json!(0), "takes true or false, not 0"),
            ("actualdurationminutes", json!("5"), "takes a whole number"),
            ("subject", json!(5), "takes a text, not 5"),
            ("actualstart", json!("yesterday"), "takes a date"),
            (
                "prioritycode",
                json!("high"),
                "takes the number of a choice",
            ),
            (
                "createdon",
                json!("{{ InitiationTimestamp }}"),
                "is read-only",
            ),
            (
                "statecode",
                json!(1),
                "cannot be set when a record is created",
            ),
            ("subjct", json!("x"), "did you mean `subject`?"),
            (
                "phone",
                json!("x"),
                "no column `phone` that is known; a column of your own",
            ),
            ("subject", json!("x".repeat(201)), "is 201 characters long"),
            (
                "category",
                json!(format!("{}{{{{ Channel }}}}", "x".repeat(251))),
                "is 251 characters long",
            ),
            (
                "directioncode",
                json!("{{ Attributes.out }}"),
                "{{ Attributes.out == 'yes' }}",
            ),
            (
                "actualdurationminutes",
                json!("{{ Attributes['a b'] }}"),
                "{{ Attributes['a b'] | int }}",
            ),
            (
                "actualdurationminutes",
                json!(" {{ minutes | int }}"),
                "it gives a text",
            ),
            (
                "subject",
                json!("At objectUrl"),
                "line 1, column 4: the value of `objectUrl` may be longer",
            ),
            (
                "subject",
                json!("{{ reason | default('x') }}"),
                "{{ reason | truncate(200) }}",
            ),
            (
                "category",
                json!("{{ Attributes.reason }}"),
                "than the 250 characters",
            ),
            (
                "subject",
                json!("{{ Description }}"),
                "`Description` may be longer",
            ),
        ] {
            let warning = of_field(name, value.clone()).unwrap_or_default();
            assert!(
                warning.starts_with(&format!("steps.contact-start.request.body.{name}"))
                    && warning.contains(expected),
                "{name} {value}: {warning}"
            );
        }
    }

    #[test]
    fn a_value_that_its_column_takes_is_not_doubted() {
        for (name, value) in [
            ("directioncode", json!("{{ Channel == 'VOICE' }}")),
            ("directioncode", json!("{{ outgoing }}")),
            ("directioncode", json!(null)),
            (
                "actualdurationminutes",
                json!("{{ Attributes.minutes | int }}"),
            ),
            ("actualdurationminutes", json!("{{ STEP2 }}")),
            ("actualstart", json!("2026-11-24T01:00:00Z")),
            ("activityid", json!("{{ ContactId }}")),
            (
                "subject",
                json!("{{ reason | truncate(200) }}{{ Attributes.a|truncate(9)|upper }}"),
            ),
            (
                "subject",
                json!("{% if reason %}with a reason{% endif %}{{ 'x' if reason else 'y' }}"),
            ),
            (
                "subject",
                json!("{{ Channel }} {{ Queue.Name }} {{ CustomerEndpoint }}"),
            ),
            ("description", json!("objectUrl {{ Attributes.reason }}")),
            ("new_reason", json!(5)),
            ("sortdate", json!("{{ InitiationTimestamp }}")),
        ] {
            assert_eq!(of_field(name, value.clone()), None, "{name} {value}");
        }
    }

    #[test]
    fn a_column_is_doubted_only_where_the_table_is_known() {
        let body = json!({"telephone2": "x", "telephne1": "x", "nickname": "x", "statecode": 1});
        let warnings = of_body("contacts", body.clone());
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("did you mean `telephone1`?"));
        assert!(warnings[1].contains("cannot be set when a record is created"));
        assert_eq!(of_body("new_calls", body), Vec::<String>::new());
    }

    #[test]
    fn an_update_may_close_the_record_and_says_no_direction() {
        let findings = of(|document| {
            document["steps"]["contact-end"]["request"]["body"] =
                json!({"statecode": 1, "statuscode": 4});
        });
        assert_eq!(findings.warnings.len(), 3, "{findings:#?}");
    }

    #[test]
    fn a_flow_budget_that_is_never_used_up_is_told() {
        let findings = of(|document| document["flowBudgetMilliseconds"] = 6501.into());
        assert!(
            findings.warnings[0].starts_with("flowBudgetMilliseconds: "),
            "{findings:#?}"
        );
        let findings = of(|document| document["flowBudgetMilliseconds"] = 6500.into());
        assert_eq!(findings.warnings.len(), 3);
    }

    #[test]
    fn errors_and_warnings_of_one_body_are_told_together() {
        let findings = of(|document| {
            document["conection"] = json!({});
            document["connection"]["clientId"] = "x".into();
            document["steps"]["contact-start"]["request"]["body"] = json!({
                "subject": "{{ Channel | uper }}",
                "phonenumber": "{{ CustmerEndpoint }}",
            });
        });
        assert_eq!(findings.errors.len(), 3, "{findings:#?}");
        assert_eq!(findings.warnings.len(), 2, "{findings:#?}");
        assert!(Integration::check("{").warnings.is_empty());
    }
}
