//! An integration: a configuration document, compiled.
//!
//! Owns what delivery asks of a configuration: what an event asks for, a step's rendered request, the
//! page to open, the contact's record, and what of a response may still be needed. Templates, addresses
//! and bodies stay behind these.

mod advice;
mod compile;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    configuration::{Configuration, Connection, ScreenPopTarget, WithoutStart},
    dataverse::Request,
    history::{History, Rules, State, StepKey},
    recording::RecordedObject,
    request::{Address, AddressError, Gap, RequestTemplate, record_id},
    step::Step,
    template::{ResponseUse, Scope, Sight, Templates},
};

pub use self::advice::Findings;

/// An integration, compiled.
#[derive(Debug)]
pub struct Integration {
    configuration: Configuration,
    templates: Templates,
    steps: BTreeMap<Step, CompiledStep>,
}

#[derive(Debug)]
struct CompiledStep {
    request: Option<RequestTemplate>,
    screen_pop: Option<(Address, ScreenPopTarget)>,
}

/// What the configuration wants done for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A request is sent.
    Request,
    /// No request is sent: opening the page is the agent's side.
    Page,
    /// Nothing, and why.
    Nothing(String),
}

/// A step's request, and what its body goes without.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    pub request: Request,
    pub gaps: Vec<Gap>,
}

/// Why a step has no request for a contact.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RenderError {
    /// None is wanted.
    #[error("{0}")]
    NotWanted(String),
    /// Its address lacks a value or would be changed by one.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl Integration {
    /// The document as it was read.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    pub fn name(&self) -> &str {
        &self.configuration.name
    }

    pub fn connection(&self) -> &Connection {
        &self.configuration.connection
    }

    /// What the configuration wants done in a step, for an object where the step is done for one.
    pub fn wants(&self, step: Step, object: Option<&RecordedObject>) -> Wanted {
        let Some(view) = self.configuration.steps.get(step) else {
            return Wanted::Nothing("the step is not configured".into());
        };
        if let (Some(object), Some(kinds)) = (object, view.object_kinds) {
            if !self.connection().is_recording_bucket(&object.bucket) {
                return Wanted::Nothing(
                    "the bucket is not the integration's recordingBucket".into(),
                );
            }
            if !kinds.contains(&object.kind) {
                return Wanted::Nothing(format!(
                    "objects of the kind {} do not trigger the step; its URL is remembered",
                    object.kind.as_str()
                ));
            }
        }
        if view.request.is_some() {
            Wanted::Request
        } else {
            Wanted::Page
        }
    }

    /// Renders a step's request.
    ///
    /// # Errors
    /// [`RenderError`] when none is wanted, or its address cannot be written with what is known.
    pub fn render(&self, key: &StepKey, history: &History) -> Result<Rendered, RenderError> {
        let object = history.object(key);
        if let Wanted::Nothing(reason) = self.wants(key.step(), object) {
            return Err(RenderError::NotWanted(reason));
        }
        let Some(request) = self.request(key.step()) else {
            return Err(RenderError::NotWanted("the step sends no request".into()));
        };
        let scope = Arc::new(self.scope(history, object));
        let id = record_id(history.contact_id(), key);
        let (request, gaps) = request.render(&self.templates, &scope, id)?;
        Ok(Rendered { request, gaps })
    }

    /// The page to open for the agent, and where; none when none is configured.
    ///
    /// While `contact-start` is pending its response holds the record id that it will have: enough to
    /// open the record, never used to write one.
    ///
    /// # Errors
    /// [`AddressError`] when the page's address lacks a value.
    pub fn page(
        &self,
        history: &History,
    ) -> Result<Option<(String, ScreenPopTarget)>, AddressError> {
        let mut pops = self
            .steps
            .values()
            .filter_map(|step| step.screen_pop.as_ref());
        let Some((address, target)) = pops.next() else {
            return Ok(None);
        };
        let mut scope = self.scope(history, None);
        let start = Step::ContactStart;
        if scope.get(&start.response_name()).is_none()
            && let (Some(id), Some(request)) = (self.record_id(history), self.request(start))
        {
            let key = request.table.primary_key.clone();
            scope.respond(start, Map::from_iter([(key, id.to_string().into())]));
        }
        let root = self.connection().page_url();
        let url = address.render(&root, &self.templates, &Arc::new(scope))?;
        Ok(Some((url, *target)))
    }

    /// The record that `contact-start` makes, has made or has found, and the page that shows it. It is
    /// known before it is delivered when the id is ours to choose.
    pub fn record(&self, history: &History) -> Option<(Uuid, String)> {
        let id = self.record_id(history)?;
        let table = &self.request(Step::ContactStart)?.table;
        Some((id, self.connection().record_url(&table.logical_name, id)))
    }

    fn record_id(&self, history: &History) -> Option<Uuid> {
        let key = StepKey::of(Step::ContactStart);
        let start = history.step(&key);
        if let Some(id) = start.and_then(|start| start.record_id) {
            return Some(id);
        }
        let request = self.request(Step::ContactStart)?;
        (request.creates_with_our_id() && start.is_none_or(|start| start.state == State::Pending))
            .then(|| record_id(history.contact_id(), &key))
    }

    /// The fields of a step's response that its reply names, with their values.
    pub fn reply_fields(&self, key: &StepKey, history: &History) -> Vec<(String, Json)> {
        let names = self
            .configuration
            .steps
            .get(key.step())
            .map_or(&[][..], |step| step.reply);
        if names.is_empty() || key.is_of_object() {
            return Vec::new();
        }
        let scope = self.scope(history, None);
        let Some(response) = scope.get(&key.step().response_name()) else {
            return Vec::new();
        };
        let field = |name: &String| Some((name.clone(), response.get(name)?.clone()));
        names.iter().filter_map(field).collect()
    }

    /// Leaves of a response what may still be needed: the fields that templates and the reply name, and
    /// the record's id; of a list the first record's, unless a template names the list itself. Returns
    /// false, and leaves all of it, when a template uses the response as a whole.
    pub fn reduce(&self, key: &StepKey, response: &mut Map<String, Json>) -> bool {
        let Some(fields) = self.used_fields(key.step()) else {
            return false;
        };
        if !fields.contains("value")
            && let Some(Json::Array(mut records)) = response.shift_remove("value")
            && !records.is_empty()
            && let Json::Object(first) = records.swap_remove(0)
        {
            for (name, value) in first {
                response.entry(name).or_insert(value);
            }
        }
        response.retain(|field, _| fields.contains(field));
        true
    }

    /// What is left of a response that is too large to be kept: the record's id.
    pub fn only_the_id(&self, step: Step, response: &Map<String, Json>) -> Map<String, Json> {
        let id = self.request(step).and_then(|request| {
            let key = &request.table.primary_key;
            let first = response.get("value").and_then(|records| records.get(0));
            let id = response.get(key).or_else(|| first?.get(key))?;
            Some((key.clone(), id.clone()))
        });
        id.into_iter().collect()
    }

    fn used_fields(&self, step: Step) -> Option<BTreeSet<String>> {
        let mut fields = BTreeSet::new();
        for used in self.steps.values().flat_map(CompiledStep::responses) {
            if used.step == step.number() {
                fields.insert(used.field.clone()?);
            }
        }
        if let Some(view) = self.configuration.steps.get(step) {
            fields.extend(view.reply.iter().cloned());
        }
        if let Some(request) = self.request(step) {
            fields.insert(request.table.primary_key.clone());
        }
        Some(fields)
    }

    fn request(&self, step: Step) -> Option<&RequestTemplate> {
        self.steps.get(&step)?.request.as_ref()
    }

    fn scope(&self, history: &History, object: Option<&RecordedObject>) -> Scope {
        Scope::of(Sight {
            configuration: &self.configuration,
            history,
            object,
        })
    }
}

impl Rules for Integration {
    fn needs(&self, key: &StepKey) -> BTreeSet<StepKey> {
        // Not those that only the page's address uses: the request can do without them.
        let request = self.request(key.step());
        let uses = request.map(RequestTemplate::responses).unwrap_or_default();
        uses.into_iter()
            .filter_map(|used| Step::from_number(used.step))
            .map(StepKey::of)
            .collect()
    }

    fn without_start(&self) -> &WithoutStart {
        &self.configuration.without_start
    }
}

impl CompiledStep {
    /// The steps' responses that its templates use.
    fn responses(&self) -> Vec<&ResponseUse> {
        let mut uses = Vec::new();
        if let Some(request) = &self.request {
            uses.extend(request.responses());
        }
        if let Some((address, _)) = &self.screen_pop {
            uses.extend(address.responses());
        }
        uses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::ObjectKind;
    use jiff::Timestamp;
    use serde_json::json;

    const ID: Uuid = Uuid::from_u128(0x5d3f6a1e_9c7b_4e52_8f0a_2b1c4d6e8f90);
    const START: Step = Step::ContactStart;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + second).unwrap()
    }

    fn reference(change: impl FnOnce(&mut Json)) -> Integration {
        let reference = include_str!("../../../local/reference-integration.json");
        let mut document = serde_json::from_str(reference).unwrap();
        change(&mut document);
        Integration::load(&document.to_string()).unwrap()
    }

    fn started(response: Json) -> History {
        let mut history = History::new(ID, "default", at(0));
        let key = StepKey::of(START);
        history.intend(&key, at(0));
        history.delivered(&key, Some(ID), response.as_object().cloned(), at(1));
        history
    }

    #[test]
    fn the_record_is_known_before_it_is_created() {
        let integration = reference(|_| {});
        let key = StepKey::of(START);
        let mut history = History::new(ID, "default", at(0));
        history.intend(&key, at(0));
        let (id, url) = integration.record(&history).unwrap();
        assert_eq!(id, ID);
        assert!(url.ends_with(&format!("etn=phonecall&id={ID}")), "{url}");
        let (page, target) = integration.page(&history).unwrap().unwrap();
        assert!(page.ends_with(&format!("&id={ID}")), "{page}");
        assert_eq!(target, ScreenPopTarget::Embedded);
        let end = StepKey::of(Step::ContactEnd);
        assert!(
            integration.render(&end, &history).is_err(),
            "what is foreseen is never used to write"
        );
        history.failed(&key, "no".into(), at(1));
        assert_eq!(integration.record(&history), None);
        assert!(integration.page(&history).is_err());
    }

    #[test]
    fn a_record_that_contact_start_finds_or_names_itself_is_known_afterwards() {
        for request in [
            json!({"method": "GET", "entitySet": "contacts", "queryString": "?$top=1"}),
            json!({"method": "POST", "entitySet": "tasks", "body": {"activityid": "{{ x }}"}}),
        ] {
            let integration = reference(|document| {
                document["steps"] = json!({"contact-start": {"request": request}});
            });
            let mut history = History::new(ID, "default", at(0));
            assert_eq!(integration.record(&history), None);
            assert_eq!(integration.page(&history), Ok(None));
            history.intend(&StepKey::of(START), at(0));
            history.delivered(&StepKey::of(START), Some(ID), None, at(1));
            assert_eq!(integration.record(&history).unwrap().0, ID);
        }
    }

    #[test]
    fn a_request_waits_for_what_it_uses_and_not_for_what_the_page_uses() {
        let integration = reference(|document| {
            document["steps"]["contact-answered"]["request"] = json!({
                "method": "POST", "entitySet": "tasks", "body": {"subject": "{{ Channel }}"}
            });
        });
        let start = BTreeSet::from([StepKey::of(START)]);
        for (step, needs) in [
            (START, BTreeSet::new()),
            (Step::ContactAnswered, BTreeSet::new()),
            (Step::ContactEnd, start.clone()),
            (Step::RecordingAvailable, start),
        ] {
            assert_eq!(integration.needs(&StepKey::of(step)), needs, "{step}");
        }
    }

    #[test]
    fn what_an_event_asks_for_is_decided_by_step_bucket_and_kind() {
        let integration = reference(|document| {
            document["steps"]
                .as_object_mut()
                .unwrap()
                .remove("contact-end");
        });
        let object = |kind, bucket: &str| RecordedObject {
            kind,
            bucket: bucket.into(),
            key: "k".into(),
            url: "u".into(),
        };
        let ours = "example-connect-recordings";
        let recording = Step::RecordingAvailable;
        let reason =
            |step, object: Option<RecordedObject>| match integration.wants(step, object.as_ref()) {
                Wanted::Nothing(reason) => reason,
                wanted => format!("{wanted:?}"),
            };
        assert_eq!(reason(START, None), "Request");
        assert_eq!(reason(Step::ContactAnswered, None), "Page");
        assert_eq!(reason(Step::ContactEnd, None), "the step is not configured");
        assert_eq!(
            reason(recording, Some(object(ObjectKind::Recording, ours))),
            "Request"
        );
        assert!(
            reason(recording, Some(object(ObjectKind::Analysis, ours)))
                .starts_with("objects of the kind analysis")
        );
        assert!(
            reason(recording, Some(object(ObjectKind::Recording, "another")))
                .contains("recordingBucket")
        );
    }

    #[test]
    fn of_a_list_the_first_records_used_fields_are_kept() {
        let integration = reference(|document| {
            document["steps"]["contact-start"] = json!({
                "request": {"method": "GET", "entitySet": "contacts", "queryString": "?$top=9"}, "reply": ["fullname"]
            });
            document["steps"]["contact-answered"]["screenPop"]["queryString"] =
                json!({"id": "{{STEP2-Response.contactid}}"});
            document["steps"]["contact-end"]["request"]["queryString"] =
                "(STEP2-Response.parentid)".into();
            document["steps"]["recording-available"]["request"]["queryString"] =
                "(STEP2-Response.parentid)".into();
        });
        let answer = json!({"@odata.context": "x", "value": [
            {"contactid": "1", "fullname": "Ada Example", "parentid": "2", "other": "y"}, {"contactid": "3"}
        ]});
        let mut response = answer.as_object().unwrap().clone();
        let key = StepKey::of(START);
        assert!(integration.reduce(&key, &mut response));
        assert_eq!(
            Json::from(response.clone()),
            json!({"contactid": "1", "fullname": "Ada Example", "parentid": "2"})
        );
        for response in [answer.clone(), response.into()] {
            assert_eq!(
                integration.reply_fields(&key, &started(response)),
                [("fullname".to_owned(), json!("Ada Example"))]
            );
        }
        for (query, kept) in [
            ("(STEP2-Response.value)", true),
            ("({{ STEP2-Response }})", false),
        ] {
            let integration = reference(|document| {
                document["steps"]["contact-end"]["request"]["queryString"] = query.into();
            });
            let mut response = answer.as_object().unwrap().clone();
            assert_eq!(integration.reduce(&key, &mut response), kept, "{query}");
            assert_eq!(response["value"], answer["value"], "{query}");
        }
        for response in [answer.clone(), json!({"contactid": "1", "other": "y"})] {
            let id = integration.only_the_id(START, response.as_object().unwrap());
            assert_eq!(Json::from(id), json!({"contactid": "1"}));
        }
    }
}
