//! Compiling: a configuration's steps made into templates, addresses and bodies.
//!
//! Owns every check that needs a template to be compiled, and that a step only uses responses which are
//! there when it is done.

use std::collections::BTreeMap;

use super::{CompiledStep, Integration};
use crate::{
    configuration::{
        self, Configuration, ConfigurationError, PastedObject, Reading, ReplyKey,
        RequestConfiguration, ScreenPopConfiguration, ScreenPopTarget, StepView, is_identifier,
        is_name,
    },
    dataverse::{Method, Table},
    request::{Address, Body, Convention, RequestTemplate, parse_object},
    step::Step,
    template::Templates,
};

impl Integration {
    /// Reads and compiles a configuration document.
    ///
    /// # Errors
    /// [`ConfigurationError`] with every mistake found, each with its place.
    pub fn load(document: &str) -> Result<Integration, ConfigurationError> {
        let Reading {
            configuration,
            mistakes,
            ..
        } = configuration::read(document);
        let Some(configuration) = configuration else {
            return Err(ConfigurationError(mistakes));
        };
        let mut compiler = Compiler {
            templates: Templates::default(),
            problems: mistakes,
        };
        compiler
            .problems
            .extend(configuration::check_settings(&configuration));
        let mut steps = BTreeMap::new();
        for step in Step::ALL {
            if let Some(view) = configuration.steps.get(step) {
                steps.insert(step, compiler.step(step, &view));
            }
        }
        compiler.check_order(&steps, &configuration);
        if compiler.problems.is_empty() {
            Ok(Integration {
                configuration,
                templates: compiler.templates,
                steps,
            })
        } else {
            Err(ConfigurationError(compiler.problems))
        }
    }
}

struct Compiler {
    templates: Templates,
    problems: Vec<String>,
}

impl Compiler {
    fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    fn step(&mut self, step: Step, view: &StepView) -> CompiledStep {
        if view.request.is_none() && view.screen_pop.is_none() {
            self.problem(format!(
                "steps.{step}: give it a `screenPop`, a `request`, or both"
            ));
        }
        self.check_reply(step, view.reply);
        CompiledStep {
            request: view.request.and_then(|request| self.request(step, request)),
            screen_pop: view.screen_pop.and_then(|pop| self.screen_pop(step, pop)),
        }
    }

    fn request(
        &mut self,
        step: Step,
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
        step: Step,
        configuration: &ScreenPopConfiguration,
    ) -> Option<(Address, ScreenPopTarget)> {
        let field = &format!("steps.{step}.screenPop.queryString");
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

    fn check_reply(&mut self, step: Step, fields: &[String]) {
        for field in fields {
            if !is_name(field) {
                self.problem(format!(
                    "steps.{step}.reply: `{field}` cannot be named in a flow; a flow's keys are letters, digits, `-` and `_`"
                ));
            } else if ReplyKey::ALL.iter().any(|key| key.as_str() == field) {
                self.problem(format!(
                    "steps.{step}.reply: `{field}` is a name that every reply has already"
                ));
            }
        }
    }

    /// A step can only use the responses of steps that are configured and come before it.
    fn check_order(&mut self, steps: &BTreeMap<Step, CompiledStep>, configuration: &Configuration) {
        for (step, compiled) in steps {
            for used in compiled.responses() {
                let problem = match Step::from_number(used.step) {
                    None => format!(
                        "steps.{step}: there is no STEP{}-Response; responses are {}",
                        used.step,
                        Step::ALL.map(Step::response_name).join(", ")
                    ),
                    Some(other) if other >= *step => format!(
                        "steps.{step}: it uses {}, the response of {other}, which does not come before it",
                        other.response_name()
                    ),
                    Some(other)
                        if configuration
                            .steps
                            .get(other)
                            .is_none_or(|other| other.request.is_none()) =>
                    {
                        format!(
                            "steps.{step}: it uses {}, but {other} is not configured with a request",
                            other.response_name()
                        )
                    }
                    Some(_) => continue,
                };
                if !self.problems.contains(&problem) {
                    self.problem(problem);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn reference() -> Json {
        serde_json::from_str(include_str!("../../../local/reference-integration.json")).unwrap()
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
        let saved = serde_json::to_string(integration.configuration()).unwrap();
        assert_eq!(
            Integration::load(&saved).unwrap().configuration(),
            integration.configuration()
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
