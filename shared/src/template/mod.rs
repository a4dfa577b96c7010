//! Templates: the strings of a step's request, compiled once and rendered with a [`Scope`].
//!
//! Owns the template language (minijinja, <https://docs.rs/minijinja>) and what the product adds to it:
//!
//! - **Names with hyphens.** `STEP2-Response.activityid` is a name, not a subtraction: a hyphen that
//!   stands directly between two words belongs to the name. A subtraction is written with spaces.
//! - **Bare names.** `objectUrl` and `STEP2-Response.activityid` work without braces, as the
//!   reference prints them. No other name does.
//! - **Types.** A string that is one single expression gives that expression's value, so
//!   `"{{ seconds | int }}"` is a number.
//! - **Absence.** Naming what a contact lacks is no error; [`Rendered`] tells which names were missing.
//! - **Bounds.** Rendering has a budget (fuel) and no template can read a file, the environment or
//!   another template. An attribute's value is data and never looked at as a template.

mod filters;
#[cfg(test)]
mod fixture;
mod found;
mod scope;
mod source;
mod values;

use std::{
    collections::BTreeSet,
    fmt,
    ops::Range,
    sync::{Arc, PoisonError},
};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, OutputSpanKind, State, UndefinedBehavior,
    escape_formatter, syntax::SyntaxConfig, value::Value,
};
use serde_json::Value as Json;

pub(crate) use self::source::position;
pub use self::{
    found::Found,
    scope::{Scope, Sight, product_names},
};
use self::{
    source::{CallKind, Prepared, prepare, words_in_text},
    values::{Node, to_json},
};

/// The work one string may cost to render, in minijinja's units: about one an instruction and one
/// for each 64 bytes produced. The largest contact Amazon Connect allows (32 KB of attributes) costs
/// some hundreds each time it is printed.
const FUEL: u64 = 100_000;

/// The templates of one integration, compiled.
pub struct Templates {
    environment: Environment<'static>,
}

/// How a template's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// For a body: what is missing is written as nothing.
    Lenient,
    /// For an address: a value that is missing or empty is an error.
    Strict,
}

/// A compiled template of [`Templates`].
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    source: String,
    single_expression: bool,
    responses: Vec<ResponseUse>,
    /// The stretches of the source that are text.
    literals: Vec<Range<usize>>,
    /// The words, strings and numbers of its expressions.
    written: Arc<BTreeSet<String>>,
}

/// A template's use of a response: `STEP2-Response.activityid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseUse {
    pub source: Source,
    /// The field right below it; none when the template uses the response as a whole.
    pub field: Option<String>,
}

/// What a template names of what Dynamics has answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `STEP2-Response`: the response of the main request of the step with this number.
    Step(u8),
    /// `Responses.<name>`; without a name where the template says none that can be read.
    Request(String),
    /// `Customer`: who was found.
    Customer,
    /// `Agent.User` or `Agent.Owner`.
    Agent,
    /// `ContactLens`: what was said, of the object that the step is done for. Nobody else has answered that.
    ContactLens,
}

impl Template {
    /// The responses that the template uses.
    pub fn responses(&self) -> &[ResponseUse] {
        &self.responses
    }

    /// Whether it is one expression, whose value keeps its type; any other template gives a text.
    pub(crate) fn is_single_expression(&self) -> bool {
        self.single_expression
    }

    /// The names that the template looks up, in their order: those of a filter's arguments too, but
    /// no loop variables, filters, tests or functions. `templates` are those it was compiled with.
    pub fn names(&self, templates: &Templates) -> Vec<NameUse> {
        let Ok(compiled) = templates.environment.get_template(&self.name) else {
            return Vec::new();
        };
        let undeclared = compiled.undeclared_variables(false);
        let is_global = |name: &str| {
            let mut globals = templates.environment.globals();
            globals.any(|(global, _)| global == name)
        };
        prepare(&self.source)
            .names
            .into_iter()
            .filter(|used| {
                let name = &used.name;
                name.contains('-') || undeclared.contains(name) && !is_global(name)
            })
            .map(|used| {
                let name = match used.field {
                    Some(field) => format!("{}.{field}", used.name),
                    None => used.name,
                };
                NameUse::new(name, self.field(), &self.source, used.at)
            })
            .collect()
    }

    /// The known names that stand as plain words in the template's text, outside of braces.
    pub fn names_in_text(&self, known: &[&str]) -> Vec<NameUse> {
        names_in(self.field(), &self.source, &self.literals, known)
    }

    /// The template's text, outside of braces.
    pub(crate) fn text(&self) -> String {
        let literals = self.literals.iter();
        literals.map(|range| &self.source[range.clone()]).collect()
    }

    /// The step and the field that the template stands in.
    fn field(&self) -> &str {
        self.name.strip_prefix(STRICT_PREFIX).unwrap_or(&self.name)
    }
}

/// A name of the scope in a template or in a text, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameUse {
    /// The name with its first field: `Channel`, `Queue.Name`, `Attributes.tier`.
    pub name: String,
    /// The step and the field it stands in.
    pub field: String,
    pub line: usize,
    pub column: usize,
}

impl NameUse {
    fn new(name: impl Into<String>, field: &str, source: &str, at: usize) -> NameUse {
        let (line, column) = position(source, at);
        NameUse {
            name: name.into(),
            field: field.to_owned(),
            line,
            column,
        }
    }
}

/// The known names that stand as plain words in a text without any template.
pub(crate) fn names_in_constant(field: &str, text: &str, known: &[&str]) -> Vec<NameUse> {
    let whole = 0..text.len();
    names_in(field, text, &[whole], known)
}

fn names_in(field: &str, source: &str, literals: &[Range<usize>], known: &[&str]) -> Vec<NameUse> {
    words_in_text(source, literals, known)
        .into_iter()
        .map(|(at, name)| NameUse::new(name, field, source, at))
        .collect()
}

/// What came of a template.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// None when the template is one expression and what it names is missing.
    pub value: Option<Json>,
    /// Names that the template printed and the contact lacks.
    pub missing: Vec<String>,
}

/// A stretch of a rendered address: what its author wrote, or a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Literal(String),
    Value(String),
}

/// A template that does not compile, or cannot be rendered.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[error("{field}, line {line}, column {column}: {message}")]
pub struct TemplateError {
    /// The step and the field the template stands in.
    pub field: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
}

const STRICT_PREFIX: &str = "strict:";
/// A name for the scope itself, to reach names that are no identifiers: `__scope["STEP2-Response"]`.
const SCOPE: &str = "__scope";

impl Default for Templates {
    fn default() -> Templates {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        // Only for the position of an error: what else debug mode tells holds values.
        environment.set_debug(true);
        environment.set_syntax(
            SyntaxConfig::builder()
                .keep_trailing_newline(true)
                .build()
                .expect("the default delimiters are valid"),
        );
        environment.set_auto_escape_callback(|name| {
            if name.starts_with(STRICT_PREFIX) {
                AutoEscape::Custom("strict".into())
            } else {
                AutoEscape::None
            }
        });
        environment.set_formatter(format_value);
        environment.add_filter("int", filters::int);
        environment.add_filter("float", filters::float);
        environment.add_filter("truncate", filters::truncate);
        environment.add_filter("minutes_since", filters::minutes_since);
        // A global that works around the budget: what it makes is not paid for as it is made.
        environment.remove_global("debug");
        Templates { environment }
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates").finish_non_exhaustive()
    }
}

impl Templates {
    /// Compiles a template.
    ///
    /// `field` names the step and field it stands in and must be unique among these templates.
    ///
    /// # Errors
    /// [`TemplateError`] for a syntax error or an unknown filter, test or function.
    pub fn add(
        &mut self,
        field: &str,
        source: &str,
        strictness: Strictness,
    ) -> Result<Template, TemplateError> {
        let prepared = prepare(source);
        // Strictness rides on minijinja's escape mode, which this tag would switch off.
        if let Some(at) = source
            .find("autoescape")
            .filter(|_| strictness == Strictness::Strict)
        {
            let (line, column) = position(source, at);
            return Err(TemplateError {
                field: field.to_owned(),
                line,
                column,
                message: "`autoescape` has no place in an address".into(),
            });
        }
        self.check_calls(field, source, &prepared)?;
        let name = match strictness {
            Strictness::Strict => format!("{STRICT_PREFIX}{field}"),
            Strictness::Lenient => field.to_owned(),
        };
        self.environment
            .add_template_owned(name.clone(), prepared.text.clone())
            .map_err(|error| describe(field, source, &prepared, &error))?;
        let single_expression = prepared
            .text
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"))
            .map(|inner| inner.trim_matches('-'))
            .is_some_and(|inner| self.environment.compile_expression(inner).is_ok());
        Ok(Template {
            name,
            source: source.to_owned(),
            single_expression,
            responses: prepared.responses,
            literals: prepared.literals,
            written: Arc::new(prepared.written),
        })
    }

    /// minijinja looks a filter up when it runs; a misspelt one is to be found when the
    /// configuration is loaded.
    fn check_calls(
        &self,
        field: &str,
        source: &str,
        prepared: &Prepared,
    ) -> Result<(), TemplateError> {
        for call in &prepared.calls {
            let mut state = self.environment.empty_state();
            let (kind, unknown) = match call.kind {
                CallKind::Filter => (
                    "filter",
                    matches!(state.apply_filter(&call.name, &[]), Err(e) if e.kind() == ErrorKind::UnknownFilter),
                ),
                CallKind::Test => (
                    "test",
                    matches!(state.perform_test(&call.name, &[]), Err(e) if e.kind() == ErrorKind::UnknownTest),
                ),
                CallKind::Function => (
                    "function",
                    !self
                        .environment
                        .globals()
                        .any(|(name, _)| name == call.name),
                ),
            };
            if unknown {
                let (line, column) = position(source, call.at);
                return Err(TemplateError {
                    field: field.to_owned(),
                    line,
                    column,
                    message: format!(
                        "there is no {kind} `{}`; the {kind}s are those of minijinja (https://docs.rs/minijinja), and of docs/configuration.md",
                        call.name
                    ),
                });
            }
        }
        Ok(())
    }

    /// Renders a template of a body.
    ///
    /// # Errors
    /// [`TemplateError`] when an expression cannot be worked out with these attributes, or the
    /// budget runs out. Its message holds no value.
    pub fn render(
        &self,
        template: &Template,
        scope: &Arc<Scope>,
    ) -> Result<Rendered, TemplateError> {
        let root = Node::root(scope, &template.written);
        let misses = root.misses.clone();
        let captured = self
            .environment
            .get_template(&template.name)
            .and_then(|compiled| compiled.render_captured(Value::from_object(root)))
            .map_err(|error| runtime_error(template, &error))?;
        let missing = misses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .printed();
        let value = if template.single_expression {
            captured
                .state()
                .get_extension::<Printed>()
                .map(|printed| to_json(&printed.0))
                // `{{ missing | upper }}` is empty because of what is missing.
                .filter(|value| missing.is_empty() || *value != "")
                .filter(|value| !value.is_null() || missing.is_empty())
        } else {
            Some(Json::from(captured.into_output()))
        };
        Ok(Rendered { value, missing })
    }

    /// Renders a template of an address into pieces.
    ///
    /// # Errors
    /// [`TemplateError`] as for [`Templates::render`], and when a value is missing or empty.
    pub fn render_pieces(
        &self,
        template: &Template,
        scope: &Arc<Scope>,
    ) -> Result<Vec<Piece>, TemplateError> {
        let root = Node::root(scope, &template.written);
        let misses = root.misses.clone();
        let compiled = self
            .environment
            .get_template(&template.name)
            .map_err(|error| runtime_error(template, &error))?;
        let (output, spans) = compiled
            .render_with_spans(Value::from_object(root))
            .map_err(|error| {
                let mut failure = runtime_error(template, &error);
                let missing = misses.lock().unwrap_or_else(PoisonError::into_inner).all();
                if error.kind() == ErrorKind::UndefinedError && !missing.is_empty() {
                    failure.message = format!(
                        "the contact has no {}, and an address cannot do without",
                        missing.join(", ")
                    );
                }
                failure
            })?;
        Ok(spans
            .iter()
            .map(|span| {
                let text = output[span.output_range()].to_owned();
                match span.kind() {
                    OutputSpanKind::Raw => Piece::Literal(text),
                    _ => Piece::Value(text),
                }
            })
            .collect())
    }
}

/// The value of the last expression that was printed: of a template that is one expression, its value.
struct Printed(Value);

fn format_value(
    out: &mut minijinja::Output,
    state: &mut State,
    value: &Value,
) -> Result<(), Error> {
    let absent = value.is_undefined() || value.as_str() == Some("");
    if matches!(state.auto_escape(), AutoEscape::Custom(_)) {
        if absent || value.is_none() {
            return Err(Error::new(ErrorKind::UndefinedError, "a value is empty"));
        }
        return match to_json(value) {
            Json::String(text) => Ok(out.write_str(&text)?),
            Json::Array(_) | Json::Object(_) => Err(Error::new(
                ErrorKind::InvalidOperation,
                "a value is a whole object or list; name one of its fields",
            )),
            scalar => Ok(write!(out, "{scalar}")?),
        };
    }
    if let Some(scope) = state.lookup(SCOPE)
        && let Some(node) = scope.downcast_object_ref::<Node>()
    {
        let mut misses = node.misses.lock().unwrap_or_else(PoisonError::into_inner);
        misses.after_print(absent || value.is_none());
    }
    state.get_or_insert_extension(Printed(Value::UNDEFINED)).0 = value.clone();
    escape_formatter(out, state, value)
}

fn runtime_error(template: &Template, error: &Error) -> TemplateError {
    // Not the error's own text: it may quote a value.
    let message = match error.kind() {
        ErrorKind::OutOfFuel => "rendering takes too much work; make the template simpler".into(),
        _ if error.detail().is_some_and(is_ours) => error.detail().unwrap_or_default().into(),
        kind => format!("cannot be worked out with this contact's attributes ({kind})"),
    };
    TemplateError {
        message,
        ..describe(
            template.field(),
            &template.source,
            &prepare(&template.source),
            error,
        )
    }
}

/// Whether an error's detail is one of this module's, which hold no values.
fn is_ours(detail: &str) -> bool {
    detail.starts_with("the value is ") || detail.starts_with("a value is ")
}

fn describe(field: &str, source: &str, prepared: &Prepared, error: &Error) -> TemplateError {
    let (line, column) = match error.range() {
        Some(range) => position(source, prepared.original(range.start)),
        None => (error.line().unwrap_or(1), 1),
    };
    TemplateError {
        field: field.to_owned(),
        line,
        column,
        message: error
            .detail()
            .unwrap_or("this is no valid template")
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{
        fixture::{call, render, scope_of, value},
        *,
    };

    #[test]
    fn a_single_expression_keeps_its_type() {
        for (source, expected) in [
            ("{{ seconds | int }}", json!(61)),
            ("{{ seconds }}", json!("61")),
            ("{{ seconds | float }}", json!(61.0)),
            ("{{ Channel == 'VOICE' }}", json!(true)),
            ("{{ none }}", Json::Null),
            ("{{ [1, 'a'] }}", json!([1, "a"])),
            (
                "{{ Attributes }}",
                json!({"seconds": "61", "Account-Number": "7", "first name": "Ada", "a": "5", "b": "3", "bad": "x"}),
            ),
            (" {{ seconds | int }}", json!(" 61")),
            ("{{ a }}{{ b }}", json!("53")),
        ] {
            assert_eq!(value(source), expected, "{source}");
        }
    }

    #[test]
    fn a_runtime_error_names_the_place_and_no_value() {
        let mut templates = Templates::default();
        let template = templates
            .add(
                "contact-end body.seconds",
                "{{ bad | int }}",
                Strictness::Lenient,
            )
            .unwrap();
        let error = templates.render(&template, &call()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "contact-end body.seconds, line 1, column 10: the value is not a whole number"
        );
    }

    #[test]
    fn rendering_is_bounded() {
        let mut templates = Templates::default();
        for (index, source) in [
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
            "{{ 'x' * 1000000000 }}",
        ]
        .iter()
        .enumerate()
        {
            let template = templates
                .add(&format!("f{index}"), source, Strictness::Lenient)
                .unwrap();
            assert!(templates.render(&template, &call()).is_err(), "{source}");
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[ -~]{0,60}",
            r#"["'{}%#\\\n\r\t&?=/() .$;,@\[\]<>+-]{0,40}"#,
            prop::sample::select(vec![
                "{{7*7}}",
                "{% for x in range(9) %}",
                "{%",
                "}}",
                "{#",
                "\\\"",
                "' or 1 eq 1 or '",
                "')/Account",
                "\u{0}\u{1b}",
                "👩‍👩‍👧‍👦",
                "objectUrl",
                "STEP2-Response.activityid",
                "..",
                "%27",
                "\u{2028}",
                "a\n\"b\": 1",
            ])
            .prop_map(str::to_owned),
            Just("\"{{x}}\\'".repeat(4096)),
        ]
    }

    proptest! {
        #[test]
        fn any_value_stands_exactly_as_it_is(text in hostile()) {
            let scope = scope_of(json!({"Attributes": {"x": text.clone()}}));
            let rendered = render("{{ x }}", &scope);
            if text.is_empty() {
                prop_assert_eq!(rendered.value, Some(json!("")));
            } else {
                prop_assert_eq!(rendered.value, Some(json!(text.clone())));
            }
            let rendered = render("<{{ x }}>", &scope);
            prop_assert_eq!(rendered.value, Some(json!(format!("<{text}>"))));
        }

        #[test]
        fn no_source_panics(source in hostile(), more in hostile()) {
            let mut templates = Templates::default();
            if let Ok(template) = templates.add("f", &format!("{source}{{{{{more}}}}}"), Strictness::Lenient) {
                let _ = templates.render(&template, &call());
            }
        }

    }
}
