//! Advice: what a configuration that loads probably gets wrong.
//!
//! Owns the warnings. Nothing is refused for them, and they are made only when somebody asks: a function
//! that loads an integration does not pay for them. They are made of the document, not of what is
//! compiled of it, so that a step with an error is told its warnings too. What is told of tables,
//! their columns and their lookups is in [`tables`].

mod tables;

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::Integration;
use crate::{
    configuration::{
        Configuration, CustomerConfiguration, PastedObject, Reading, ReplyKey,
        RequestConfiguration, WithNone, read,
    },
    contact::{DERIVED_NAMES, RECORD_NAMES},
    dataverse::columns::KnownTable,
    request::{Address, Convention, Linkable, as_template, parse_object},
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
            "Owner",
            "PreviewEndTimestamp",
            "RoutingProfile",
            "StateTransitions",
            "User",
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

/// The fields of `Customer`, where customers are looked for.
const CUSTOMER_FIELDS: [&str; 7] = [
    "count",
    "entitySet",
    "id",
    "logicalName",
    "name",
    "record",
    "value",
];

/// User-defined attributes that the stack's own flow modules set, from a reply's keys.
fn is_set_by_the_stack(name: &str) -> bool {
    let of_reply = ReplyKey::ALL.iter().any(|key| key.as_str() == name);
    of_reply && !matches!(name, "status" | "message")
}

/// Names whose values are often longer than a short column.
const LONG: [&str; 6] = [
    "Description",
    "analysisUrl",
    "contactUrl",
    "objectUrl",
    "recordingUrl",
    "transcriptUrl",
];

impl Integration {
    /// What is probably a mistake in the configuration: each a line that says where, what, and what to do.
    pub fn advice(&self) -> Vec<String> {
        advice(&self.configuration, &[])
    }

    /// Everything that there is to say about a configuration document. Also of one that cannot be used
    /// are the warnings told.
    pub fn check(document: &str) -> Findings {
        match Integration::load(document) {
            Ok(integration) => Findings {
                errors: Vec::new(),
                warnings: integration.advice(),
            },
            Err(error) => {
                let Reading {
                    configuration,
                    mended,
                    ..
                } = read(document);
                let warnings = configuration.map(|configuration| advice(&configuration, &mended));
                Findings {
                    errors: error.0,
                    warnings: warnings.unwrap_or_default(),
                }
            }
        }
    }
}

/// `mended` are the places of the document that reading it has changed, as JSON pointers.
fn advice(configuration: &Configuration, mended: &[String]) -> Vec<String> {
    let mut advice = Advice {
        mended,
        answers: tables::answers(configuration, mended),
        linkable: configuration.steps.linkable(),
        looks_for_customers: configuration.steps.look_for_customers(),
        templates: Templates::default(),
        warnings: Vec::new(),
    };
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
        let pop = view
            .screen_pop
            .filter(|_| !advice.is_invented(&format!("/steps/{step}/screenPop/queryString")));
        if let Some(pop) = pop {
            let field = format!("steps.{step}.screenPop.queryString");
            advice.address(&field, &pop.query_string.text(), Convention::Page);
        }
        if let Some(customer) = view.customer {
            advice.customer(&format!("steps.{step}.customer"), customer);
        }
        for (field, request) in &view.requests {
            advice.condition(&format!("{field}.when"), request.when.as_deref());
            advice.request(field, request);
        }
        for field in view.reply {
            advice.response_field(&format!("steps.{step}.reply"), &step.response_name(), field);
        }
    }
    advice.warnings
}

struct Advice<'a> {
    mended: &'a [String],
    /// The tables whose records the steps' responses are, where that is known: by the responses' names.
    answers: BTreeMap<String, &'static KnownTable>,
    linkable: Linkable,
    looks_for_customers: bool,
    templates: Templates,
    warnings: Vec<String>,
}

impl Advice<'_> {
    fn say(&mut self, place: &str, message: &str) {
        self.warnings.push(format!("{place}: {message}"));
    }

    /// Whether what stands in a place is none of the author's, as the document has nothing valid there.
    fn is_invented(&self, pointer: &str) -> bool {
        self.mended.iter().any(|mended| is_below(pointer, mended))
    }

    fn request(&mut self, field: &str, request: &RequestConfiguration) {
        let pointer = pointer_of(field);
        let query = if self.is_invented(&format!("{pointer}/queryString")) {
            String::new()
        } else {
            request.query_string.text()
        };
        let address = self.address(&format!("{field}.queryString"), &query, Convention::OData);
        let body = match &request.body {
            _ if self.is_invented(&format!("{pointer}/body")) => Some(Map::new()),
            None => Some(Map::new()),
            Some(PastedObject::Object(fields)) => Some(fields.clone()),
            Some(PastedObject::Text(text)) => parse_object(&format!("{field}.body"), text).ok(),
        };
        let Some(body) = body else { return };
        // What a request does can only be judged when all of it is the author's.
        let is_whole = is_whole(&pointer, self.mended);
        let has_path = address.is_none_or(|address| address.has_path());
        let known = is_whole.then(|| self.table(field, request)).flatten();
        for (name, value) in &body {
            let field = format!("{field}.body.{name}");
            self.names_of_value(&field, value);
        }
        if let Some(known) = known {
            self.body(field, request, known, &body, has_path);
        }
    }

    /// A condition's names; one that has none says the same of every contact.
    fn condition(&mut self, field: &str, when: Option<&str>) {
        let Some(template) = when.and_then(|when| self.template(field, &as_template(when))) else {
            return;
        };
        let names = template.names(&self.templates);
        if names.is_empty() {
            self.say(
                field,
                "it says the same of every contact, as it names nothing; leave it out, or leave the request out",
            );
        }
        for used in names {
            self.name(&used);
        }
    }

    /// How a customer is found.
    fn customer(&mut self, field: &str, customer: &CustomerConfiguration) {
        self.condition(&format!("{field}.when"), customer.when.as_deref());
        let place = format!("{field}.value");
        if let Some(template) = self.template(&place, &as_template(&customer.value)) {
            let names = template.names(&self.templates);
            if names.is_empty() {
                self.say(
                    &place,
                    "it names nothing of the contact, so the same customer is looked for every time; write an attribute, like {{ CustomerEndpoint }}",
                );
            }
            for used in names {
                self.name(&used);
            }
        }
        for (index, table) in customer.tables.iter().enumerate() {
            self.searched_table(&format!("{field}.tables[{index}]"), table);
        }
        if let WithNone::Create(new) = &customer.none {
            self.request(&format!("{field}.none.create"), &new.request());
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
        if root == "Customer" {
            return self.customer_name(used, field);
        }
        if root == "Responses" {
            return;
        }
        if self.looks_for_customers
            && !is_certain(root)
            && let Some(right) = nearest(root, ["Customer"].into_iter(), 2)
        {
            let name = &used.name;
            return self.say(
                &place(used),
                &format!("no contact has `{name}` unless it is an attribute of your own; did you mean `{right}`?"),
            );
        }
        if let Some(field) = field {
            self.response_field(&place(used), root, field);
        }
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
                    "no contact has `{}` unless it is an attribute or a parameter of your own; did you mean `{right}`? A user-defined attribute is certain as `{own}`; leave a parameter of the flow's block as it is",
                    used.name
                ),
            );
        }
    }

    /// `Customer`, and a field of it.
    fn customer_name(&mut self, used: &NameUse, field: Option<&str>) {
        let Some(field) = field else { return };
        let is_known = CUSTOMER_FIELDS.contains(&field);
        if !self.looks_for_customers {
            if is_known {
                self.say(
                    &place(used),
                    &format!("no step looks for a customer, so there is no `Customer.{field}`; give contact-start a `customer`"),
                );
            }
            return;
        }
        if !is_known {
            let advice = match nearest(field, CUSTOMER_FIELDS.into_iter(), 2) {
                Some(right) => format!("did you mean `Customer.{right}`?"),
                None => format!(
                    "its fields are {}; a column is Customer.record.{field}",
                    CUSTOMER_FIELDS.join(", ")
                ),
            };
            self.say(
                &place(used),
                &format!("`Customer` has no field `{field}`; {advice}"),
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
}

/// A place in the document as a JSON pointer: `/steps/contact-start/requests/0`.
fn pointer_of(field: &str) -> String {
    format!("/{}", field.replace(['.', '['], "/").replace(']', ""))
}

/// Whether nothing of a request is invented or was taken out.
fn is_whole(request: &str, mended: &[String]) -> bool {
    let touches = |mended: &String| is_below(mended, request) || is_below(request, mended);
    !mended.iter().any(touches)
}

/// Whether a JSON pointer is this place, or one below it.
fn is_below(pointer: &str, place: &str) -> bool {
    let rest = pointer.strip_prefix(place);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
        || DERIVED_NAMES.contains(&name)
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

/// The name that was probably meant: the nearest that is not further than `far` mistypings, or one that
/// is equal but for case. Two mistypings make another word of a short one, unless it keeps its length.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>, far: usize) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .filter(|known| *known != name)
        .map(|known| (strsim::osa_distance(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| {
            let is_likely = *distance < 2 || known.len() == name.len() || name.len() >= 10;
            *distance <= far && is_likely
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The name that was probably meant by one that has no certain meaning.
fn name_meant(name: &str) -> Option<String> {
    let (root, field) = split(name);
    if is_certain(root) || is_set_by_the_stack(root) {
        return None;
    }
    // A short one is as well a name of the author's own: `direction`, `outcome`.
    let derived = DERIVED_NAMES.iter().filter(|name| name.len() > 9);
    let names = RECORD_NAMES.iter().chain(derived).copied();
    let names = names.chain(product_names());
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
    let own = [
        "Username",
        "analysisUrl",
        "contactUrl",
        "recordingUrl",
        "transcriptUrl",
    ];
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
            let steps = document["steps"].as_object_mut().unwrap();
            steps.retain(|name, _| name == "contact-start");
            let request = &mut steps["contact-start"]["request"];
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

    /// The warnings of a configuration that looks for customers, with another contact-start.
    fn with_customer(change: impl FnOnce(&mut Json)) -> Vec<String> {
        let mut document: Json =
            serde_json::from_str(include_str!("../../../docs/recipes/phone-call.json")).unwrap();
        change(&mut document["steps"]["contact-start"]);
        let findings = Integration::check(&document.to_string());
        assert_eq!(findings.errors, Vec::<String>::new());
        findings.warnings
    }

    #[test]
    fn links_names_and_columns_of_a_customer_are_known() {
        assert_eq!(with_customer(|_| {}), Vec::<String>::new());
        for (pointer, value, expected) in [
            (
                "/request/body/subject",
                json!("{{ Customer.nam }}"),
                "`Customer` has no field `nam`; did you mean `Customer.name`?",
            ),
            (
                "/request/body/subject",
                json!("{{ Customer.telephone1 }}"),
                "a column is Customer.record.telephone1",
            ),
            (
                "/request/body/subject",
                json!("{{ Custmer.name }}"),
                "did you mean `Customer`?",
            ),
            (
                "/request/body/regardingobjectid",
                json!("{{ Customer.id }}"),
                "write \"regardingobjectid\": \"{{ Customer }}\" or",
            ),
            (
                "/request/body/from",
                json!("{{ CustomerEndpoint }}"),
                "`from` holds parties, and no text",
            ),
            (
                "/request/body/cc",
                json!("{{ Customer }}"),
                "phonecall has no parties of the kind `cc`",
            ),
            (
                "/request/when",
                json!("1 == 1"),
                "steps.contact-start.request.when: it says the same of every contact",
            ),
            (
                "/customer/value",
                json!("+12065550100"),
                "steps.contact-start.customer.value: it names nothing",
            ),
            (
                "/customer/tables/0/entitySet",
                json!("contact"),
                "steps.contact-start.customer.tables[0].entitySet: Dataverse has no entity set `contact`",
            ),
            (
                "/customer/tables/0/phoneColumns",
                json!(["mobilphone"]),
                "tables[0].phoneColumns: contact has no column `mobilphone` that is known; did you mean `mobilephone`?",
            ),
            (
                "/customer/tables/0/textColumns",
                json!(["birthdate"]),
                "the column `birthdate` holds no text",
            ),
            (
                "/customer/tables/0/select",
                json!(["emailaddres1"]),
                "did you mean `emailaddress1`?",
            ),
            (
                "/customer/none",
                json!({"create": {"entitySet": "leads", "body": {"lastnam": "x"}}}),
                "steps.contact-start.customer.none.create.body.lastnam: lead has no column",
            ),
        ] {
            let warnings = with_customer(|start| {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                start.pointer_mut(parent).unwrap()[name] = value.clone();
            });
            assert!(
                warnings.iter().any(|warning| warning.contains(expected)),
                "{pointer}: {warnings:?}"
            );
        }
    }

    #[test]
    fn a_customer_whom_a_lookup_does_not_take_is_told() {
        let warnings = with_customer(|start| {
            start["customer"]["tables"] =
                json!([{"entitySet": "contacts"}, {"entitySet": "leads"}]);
            start["request"] = json!({
                "method": "POST", "entitySet": "incidents",
                "body": {"title": "A case", "customerid": "{{ Customer }}"}
            });
        });
        assert!(
            warnings
                .iter()
                .any(|warning| warning.contains("the lookup takes no record of lead")),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_customer_whom_nobody_looks_for_is_told() {
        let warning = of_field("subject", json!("{{ Customer.name }}")).unwrap();
        assert!(
            warning.contains("no step looks for a customer"),
            "{warning}"
        );
        assert_eq!(
            of_field("subject", json!("{{ Customer | truncate(200) }}")),
            None,
            "it may be an attribute"
        );
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
                "overriddencreatedon",
                json!("Started on 2026-02-04"),
                "takes a date",
            ),
            (
                "actualstart",
                json!("Started {{ InitiationTimestamp }}"),
                "there is text around the value",
            ),
            (
                "actualdurationminutes",
                json!(-5),
                "takes a number from 0 to 2147483647, not -5",
            ),
            (
                "prioritycode",
                json!(9),
                "takes one of 0, 1, 2, or an option of your own, not 9",
            ),
            (
                "subject",
                json!("{{ Attributes.reason | upper | truncate(500) }}"),
                "truncate(500) leaves more than the 200 characters",
            ),
            (
                "regardingobjectid",
                json!("{{ Attributes.id }}"),
                "write \"regardingobjectid_contact_phonecall@odata.bind\": \"/contacts(...)\" or",
            ),
            (
                "ownerid",
                json!("{{ Attributes.id }}"),
                "write \"ownerid\": \"{{ Agent.Owner }}\" or \"ownerid@odata.bind\": \"/systemusers(...)\" or \"ownerid@odata.bind\": \"/teams(...)\"",
            ),
            (
                "regardingobjectid@odata.bind",
                json!("/contacts({{ Attributes.id }})"),
                "did you mean `regardingobjectid_contact_phonecall`, `regardingobjectid_account_phonecall`, `regardingobjectid_lead_phonecall`, `regardingobjectid_incident_phonecall`, `regardingobjectid_opportunity_phonecall`?",
            ),
            (
                "regardingobjectid_contact@odata.bind",
                json!("/contacts({{ Attributes.id }})"),
                "did you mean `regardingobjectid_contact_phonecall`",
            ),
            (
                "regardingobjectid_contact_task@odata.bind",
                json!("/contacts({{ Attributes.id }})"),
                "has no navigation property `regardingobjectid_contact_task`",
            ),
            (
                "ownrid@odata.bind",
                json!("/teams({{ Attributes.id }})"),
                "has no navigation property `ownrid`",
            ),
            (
                "regardingobjectid_contact_phonecall@odata.bind",
                json!("/accounts({{ Attributes.id }})"),
                "names a record of contacts, not of accounts",
            ),
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
            ("actualstart", json!("{{ Attributes.day }}T00:00:00Z")),
            (
                "subject",
                json!("{{ reason | truncate(150) }}{{ Channel | truncate(200) }}"),
            ),
            ("prioritycode", json!(2)),
            ("prioritycode", json!(100_000_000)),
            ("actualdurationminutes", json!(0)),
            ("cr1_rating", json!("{{ rating }}")),
            ("phonecall_activity_parties", json!([])),
            (
                "description",
                json!("{{ recordId }} {{ recordUrl }} {{ screenPopUrl }} {{ screenPopTarget }}"),
            ),
            (
                "description",
                json!("{{ Channeled }} {{ Record }} {{ agency }} {{ channels2 }}"),
            ),
            (
                "regardingobjectid_contact_phonecall@odata.bind",
                json!(
                    "https://example.crm.dynamics.com/api/data/v9.2/contacts({{ Attributes.id }})"
                ),
            ),
            (
                "regardingobjectid_new_visit_phonecall@odata.bind",
                json!("/new_visits(1)"),
            ),
            (
                "ownerid_phonecall@odata.bind",
                json!("/systemusers({{ Attributes.owner }})"),
            ),
            ("ownerid@odata.bind", json!("/teams({{ Attributes.team }})")),
            (
                "new_Visit@odata.bind",
                json!("/new_visits({{ Attributes.visit }})"),
            ),
        ] {
            assert_eq!(of_field(name, value.clone()), None, "{name} {value}");
        }
    }

    #[test]
    fn a_column_is_doubted_only_where_the_table_is_known() {
        let body = json!({"telephone2": "x", "telephne1": "x", "nickname": "x", "address1_city": "x", "telephone4": "x", "statecode": 1});
        let warnings = of_body("contacts", body.clone());
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(warnings[0].contains("did you mean `telephone1`?"));
        assert!(warnings[1].contains("no column `telephone4` that is known; a column of your own"));
        assert!(warnings[2].contains("cannot be set when a record is created"));
        let warnings = of_body("accounts", json!({"statecode": 1}));
        assert!(
            warnings[0].contains("cannot be set when a record is created"),
            "{warnings:?}"
        );
        let warnings = of_body("tasks", json!({"percentcomplete": 150}));
        assert!(
            warnings[0].contains("takes a number from 0 to 100, not 150"),
            "{warnings:?}"
        );
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
    fn a_case_without_a_customer_and_one_that_an_update_resolves_are_told() {
        let bound = json!({"title": "x", "customerid_contact@odata.bind": "/contacts({{ Attributes.id }})"});
        assert_eq!(of_body("incidents", bound.clone()), Vec::<String>::new());
        let warnings = of_body("incidents", json!({"title": "x"}));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("a case without a customer"),
            "{warnings:?}"
        );
        let warnings = of_body("incidents", json!({"title": "x", "customerid": "1"}));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("\"customerid_contact@odata.bind\""),
            "{warnings:?}"
        );
        for (state, told) in [(1, true), (2, false)] {
            let findings = of(|document| {
                let steps = &mut document["steps"];
                steps["contact-start"]["request"]["entitySet"] = "incidents".into();
                steps["contact-start"]["request"]["body"] = bound.clone();
                let end = &mut steps["contact-end"]["request"];
                end["entitySet"] = "incidents".into();
                end["queryString"] = "(STEP2-Response.incidentid)".into();
                end["body"] = json!({"statecode": state});
                steps.as_object_mut().unwrap().remove("contact-answered");
                steps.as_object_mut().unwrap().remove("recording-available");
            });
            let warnings = findings.warnings;
            assert_eq!(warnings.len(), usize::from(told), "{warnings:?}");
            assert!(!told || warnings[0].contains("no update resolves a case"));
        }
    }

    #[test]
    fn an_entity_set_that_is_misspelt_is_told() {
        for (entity_set, right) in [
            ("phonecall", Some("phonecalls")),
            ("incidets", Some("incidents")),
            ("contracts", None),
            ("new_phonecalls", None),
            ("appointments", None),
        ] {
            let warnings = of_body(entity_set, json!({"directioncode": false, "subject": "x"}));
            let told = warnings
                .iter()
                .find(|warning| warning.contains(".entitySet: "));
            assert_eq!(
                told.map(
                    |told| told.contains(&format!("did you mean `{}`?", right.unwrap_or_default()))
                ),
                right.map(|_| true),
                "{entity_set}: {warnings:?}"
            );
        }
    }

    #[test]
    fn a_quoted_value_is_told_where_the_column_holds_no_text() {
        for (query, column) in [
            (
                "?$filter=activityid eq '{{ ContactId }}'",
                Some("activityid"),
            ),
            (
                "?$filter=contains(subject,'x') and (createdon gt '{{ InitiationTimestamp }}')",
                Some("createdon"),
            ),
            (
                "?$filter=_regardingobjectid_value%20eq%20%27{{ Attributes.id }}%27",
                Some("_regardingobjectid_value"),
            ),
            (
                r#"{"$filter": "subject eq 'o''hara' and statuscode eq '1'"}"#,
                Some("statuscode"),
            ),
            ("?$filter=directioncode ne 'true'", Some("directioncode")),
            (
                "?$filter=subject eq '{{ Attributes['a b'] }}' and new_id eq '1' and sortdate lt '2'",
                None,
            ),
            (
                "?$filter=activityid eq {{ ContactId }} and phonenumber eq 'activityid eq '''",
                None,
            ),
        ] {
            let findings = of(|document| {
                let steps = document["steps"].as_object_mut().unwrap();
                *steps = Map::new();
                steps.insert("contact-start".into(), json!({
                    "request": {"method": "GET", "entitySet": "phonecalls", "queryString": query}
                }));
            });
            assert_eq!(findings.errors, Vec::<String>::new(), "{query}");
            let warnings = findings.warnings;
            assert_eq!(
                warnings.len(),
                usize::from(column.is_some()),
                "{query}: {warnings:?}"
            );
            if let Some(column) = column {
                let begin = format!(
                    "steps.contact-start.request.queryString: the column `{column}` holds "
                );
                assert!(warnings[0].starts_with(&begin), "{query}: {warnings:?}");
            }
        }
    }

    #[test]
    fn a_responses_field_that_its_table_does_not_have_is_told() {
        for (field, right) in [
            ("phonecallid", Some("did you mean `activityid`?")),
            ("activityID", Some("did you mean `activityid`?")),
            ("subjct", Some("did you mean `subject`?")),
            (
                "regardingobjectid",
                Some("it is a lookup, whose value is `_regardingobjectid_value`"),
            ),
            ("_regardingobjectid_value", None),
            ("_ownerid_value", None),
            ("_new_visit_value", None),
            ("sortdate", None),
            ("new_score", None),
        ] {
            let findings = of(|document| {
                let steps = &mut document["steps"];
                steps["contact-start"]["request"]["body"] = json!({"directioncode": false});
                steps["contact-start"]["reply"] = json!([field]);
                steps["contact-end"]["request"]["queryString"] =
                    format!("(STEP2-Response.{field})").into();
                steps["recording-available"]["request"]["body"] =
                    json!({"description": format!("{{{{ STEP2-Response.{field} }}}}")});
            });
            assert_eq!(findings.errors, Vec::<String>::new(), "{field}");
            let told = findings.warnings.iter();
            let told = told.filter(|warning| right.is_some_and(|right| warning.ends_with(right)));
            assert_eq!(
                told.count(),
                if right.is_some() { 3 } else { 0 },
                "{field}: {findings:?}"
            );
            assert_eq!(
                findings.warnings.len(),
                if right.is_some() { 3 } else { 0 },
                "{findings:?}"
            );
        }
        // What an action answers, and what a query shapes, nobody knows here.
        for (method, query) in [
            ("POST", "/Microsoft.Dynamics.CRM.Find"),
            ("GET", r#"{"fetchXml": "<fetch/>"}"#),
            ("GET", "?$apply=aggregate($count as total)"),
        ] {
            let findings = of(|document| {
                let start = &mut document["steps"]["contact-start"]["request"];
                start["method"] = method.into();
                start["queryString"] = query.into();
                start.as_object_mut().unwrap().remove("body");
                document["steps"]["contact-end"]["request"]["queryString"] =
                    "(STEP2-Response.total)".into();
            });
            assert_eq!(findings, Findings::default(), "{query}");
        }
    }

    #[test]
    fn a_request_that_is_partly_invented_is_not_judged() {
        for (change, errors) in [
            (
                json!({"entityset": "contacts", "method": "POST", "body": {"lastname": "{{ CustmerEndpoint }}"}}),
                2,
            ),
            (
                json!({"entitySet": "contacts", "methd": "POST", "body": {"lastname": "{{ CustmerEndpoint }}"}}),
                2,
            ),
            (
                json!({"entitySet": "contacts", "method": "PUT", "body": {"lastname": "{{ CustmerEndpoint }}"}}),
                1,
            ),
            (
                json!({"entitySet": "phonecalls", "method": "POST", "querystring": "/X", "body": {"lastname": "{{ CustmerEndpoint }}"}}),
                1,
            ),
        ] {
            let findings = of(|document| {
                document["steps"]["contact-start"]["request"] = change.clone();
                document["steps"]["contact-answered"] = json!(5);
            });
            assert_eq!(findings.errors.len(), errors + 1, "{findings:#?}");
            assert_eq!(findings.warnings.len(), 1, "{findings:#?}");
            assert!(
                findings.warnings[0].contains("CustomerEndpoint"),
                "{findings:#?}"
            );
        }
    }

    #[test]
    fn a_parameter_of_the_flows_block_may_stay_as_it_is() {
        let warning = of_field("description", "{{ CustmerEndpoint }}".into()).unwrap();
        assert!(
            warning.ends_with("A user-defined attribute is certain as `Attributes.CustmerEndpoint`; leave a parameter of the flow's block as it is"),
            "{warning}"
        );
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
