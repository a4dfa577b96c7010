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

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, OutputSpanKind, State, UndefinedBehavior,
    escape_formatter,
    syntax::SyntaxConfig,
    value::{Enumerator, Object, ObjectRepr, Value},
};
use serde_json::Value as Json;

use crate::scope::Scope;

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
    single_expression: bool,
    responses: Vec<ResponseUse>,
}

/// A template's use of a step's response: `STEP2-Response.activityid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseUse {
    /// The step's number, 2 for `STEP2-Response`.
    pub step: u8,
    /// The field right below it; none when the template uses the response as a whole.
    pub field: Option<String>,
}

impl Template {
    /// The steps' responses that the template uses.
    pub fn responses(&self) -> &[ResponseUse] {
        &self.responses
    }
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
        environment.add_filter("int", int);
        environment.add_filter("float", float);
        environment.add_filter("truncate", truncate);
        environment.add_filter("minutes_since", minutes_since);
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
            single_expression,
            responses: prepared.responses,
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
                        "there is no {kind} `{}`; the {kind}s are those of minijinja (https://docs.rs/minijinja), and of the README",
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
        let root = Node::root(scope);
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
        let root = Node::root(scope);
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

/// Names that were looked up and found missing while a template ran.
#[derive(Debug, Default)]
struct Misses {
    /// Since the last print. `{{ a | default("x") }}` misses `a` and prints all the same.
    pending: BTreeSet<String>,
    /// Those that left a print empty.
    printed: BTreeSet<String>,
}

impl Misses {
    fn after_print(&mut self, absent: bool) {
        if absent {
            self.printed.append(&mut self.pending);
        } else {
            self.pending.clear();
        }
    }

    fn printed(&self) -> Vec<String> {
        self.printed.iter().cloned().collect()
    }

    fn all(&self) -> Vec<String> {
        self.printed.union(&self.pending).cloned().collect()
    }
}

/// A place in a [`Scope`]: the scope itself, or an object or list in it. Templates see these; the
/// scope's values are not copied for them.
#[derive(Clone)]
struct Node {
    scope: Arc<Scope>,
    path: Vec<Key>,
    misses: Arc<Mutex<Misses>>,
}

#[derive(Debug, Clone)]
enum Key {
    Name(String),
    Index(usize),
}

impl Node {
    fn root(scope: &Arc<Scope>) -> Node {
        Node {
            scope: scope.clone(),
            path: Vec::new(),
            misses: Arc::default(),
        }
    }

    fn child(&self, key: Key) -> Node {
        let mut path = self.path.clone();
        path.push(key);
        Node {
            scope: self.scope.clone(),
            path,
            misses: self.misses.clone(),
        }
    }

    fn is_attributes(&self) -> bool {
        matches!(self.path.first(), Some(Key::Name(name)) if name == "Attributes")
    }

    fn with_json<T>(&self, read: impl FnOnce(Option<&Json>) -> T) -> T {
        let mut keys = self.path.iter();
        let mut json = match keys.next() {
            Some(Key::Name(_)) if self.is_attributes() => match keys.next() {
                Some(Key::Name(name)) => self.scope.user_attributes().get(name),
                _ => None,
            },
            Some(Key::Name(name)) => self.scope.get(name),
            _ => None,
        };
        for key in keys {
            json = json.and_then(|json| match key {
                Key::Name(name) => json.get(name),
                Key::Index(index) => json.get(index),
            });
        }
        read(json)
    }

    /// An endpoint (`CustomerEndpoint`, `SystemEndpoint`) prints as its address.
    fn endpoint_address(&self) -> Option<String> {
        match self.path.as_slice() {
            [Key::Name(name)] if name.ends_with("Endpoint") => {
                self.with_json(|json| Some(json?.get("Address")?.as_str()?.to_owned()))
            }
            _ => None,
        }
    }

    fn to_json(&self) -> Json {
        if let Some(address) = self.endpoint_address() {
            return address.into();
        }
        if self.is_attributes() && self.path.len() == 1 {
            return self.scope.user_attributes().clone().into();
        }
        self.with_json(|json| json.cloned().unwrap_or(Json::Null))
    }

    fn label(&self) -> String {
        let keys: Vec<String> = self
            .path
            .iter()
            .map(|key| match key {
                Key::Name(name) => name.clone(),
                Key::Index(index) => index.to_string(),
            })
            .collect();
        keys.join(".")
    }

    fn get(&self, key: Key) -> Option<Value> {
        let child = self.child(key);
        if child.path.len() == 1 && child.is_attributes() {
            return Some(Value::from_object(child));
        }
        let value = child.with_json(|json| match json {
            None | Some(Json::Null) => None,
            Some(Json::Bool(value)) => Some(Value::from(*value)),
            Some(Json::String(text)) => Some(Value::from(text.as_str())),
            Some(Json::Number(number)) => Some(match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Value::from(number),
                (None, Some(number)) => Value::from(number),
                (None, None) => Value::from(number.as_f64().unwrap_or_default()),
            }),
            Some(Json::Array(_) | Json::Object(_)) => Some(Value::from_object(child.clone())),
        });
        if value.is_none() {
            let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
            misses.pending.insert(child.label());
        }
        value
    }
}

impl fmt::Debug for Node {
    /// What `pprint` shows. Not the scope: a place's own value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_json())
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.with_json(|json| json.is_some_and(Json::is_array)) {
            true => ObjectRepr::Seq,
            false => ObjectRepr::Map,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some(name) => self.get_value_by_str(name),
            None => self.get(Key::Index(key.as_usize()?)),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if self.path.is_empty() {
            if key == SCOPE {
                return Some(Value::from_object((**self).clone()));
            }
            // A name that the template language itself defines is not missing.
            if matches!(key, "range" | "dict" | "namespace" | "loop") {
                return None;
            }
        }
        self.get(Key::Name(key.to_owned()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.to_json() {
            Json::Array(list) => Enumerator::Seq(list.len()),
            Json::Object(map) => {
                let names: Vec<Value> = map.keys().map(|name| Value::from(name.as_str())).collect();
                Enumerator::Iter(Box::new(names.into_iter()))
            }
            _ => Enumerator::NonEnumerable,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_json() {
            Json::String(text) => f.write_str(&text),
            json => write!(f, "{json}"),
        }
    }
}

fn to_json(value: &Value) -> Json {
    if let Some(node) = value.downcast_object_ref::<Node>() {
        return node.to_json();
    }
    if value.is_undefined() {
        return Json::Null;
    }
    serde_json::to_value(value).unwrap_or(Json::Null)
}

/// `int`: a whole number. Other than minijinja's own it keeps what is missing missing, rather than
/// write a zero that nobody measured.
fn int(value: &Value, default: Option<Value>) -> Result<Value, Error> {
    number(value, default, "a whole number", |number| {
        // Within what a JSON reader can hold exactly; what is behind the point goes.
        #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
        (number.abs() < 9e15).then(|| Value::from(number as i64))
    })
}

/// `float`: a number; see [`int`].
fn float(value: &Value, default: Option<Value>) -> Result<Value, Error> {
    number(value, default, "a number", |number| {
        number.is_finite().then(|| Value::from(number))
    })
}

fn number(
    value: &Value,
    default: Option<Value>,
    wanted: &str,
    convert: impl Fn(f64) -> Option<Value>,
) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() || value.as_str() == Some("") {
        return Ok(default.unwrap_or(Value::UNDEFINED));
    }
    let number = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => f64::try_from(value.clone()).ok(),
    };
    number.and_then(convert).or(default).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("the value is not {wanted}"),
        )
    })
}

/// `truncate(length)`: what fits into a column of that length. Dataverse counts in UTF-16 code
/// units, of which an emoji has two or more.
fn truncate(value: &Value, length: usize) -> Value {
    let Json::String(text) = to_json(value) else {
        return value.clone();
    };
    let mut left = length;
    let fits = |c: &char| match left.checked_sub(c.len_utf16()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    Value::from(text.chars().take_while(fits).collect::<String>())
}

/// `DisconnectTimestamp | minutes_since(InitiationTimestamp)`: whole minutes, rounded up as a
/// phone bill does; missing when one of the two is.
fn minutes_since(later: &Value, earlier: &Value) -> Result<Value, Error> {
    let (Some(later), Some(earlier)) = (later.as_str(), earlier.as_str()) else {
        return Ok(Value::UNDEFINED);
    };
    let timestamp = |text: &str| {
        text.parse::<jiff::Timestamp>().map_err(|_| {
            Error::new(
                ErrorKind::InvalidOperation,
                "the value is no ISO 8601 timestamp",
            )
        })
    };
    let seconds = timestamp(later)?.as_second() - timestamp(earlier)?.as_second();
    Ok(Value::from(seconds.max(0).cast_unsigned().div_ceil(60)))
}

fn runtime_error(template: &Template, error: &Error) -> TemplateError {
    // Not the error's own text: it may quote a value.
    let message = match error.kind() {
        ErrorKind::OutOfFuel => "rendering takes too much work; make the template simpler".into(),
        _ if error.detail().is_some_and(is_ours) => error.detail().unwrap_or_default().into(),
        kind => format!("cannot be worked out with this contact's attributes ({kind})"),
    };
    let (line, column) = error
        .range()
        .zip(error.template_source())
        .map_or((error.line().unwrap_or(1), 1), |(range, source)| {
            position(source, range.start)
        });
    TemplateError {
        field: template
            .name
            .strip_prefix(STRICT_PREFIX)
            .unwrap_or(&template.name)
            .to_owned(),
        line,
        column,
        message,
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

/// Line and column (in characters, from 1) of a byte offset.
pub(crate) fn position(source: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// A template's source in minijinja's own language, the way back to the original's positions, and
/// what it calls.
struct Prepared {
    text: String,
    /// Pairs of offsets, prepared and original, from where on the two run in parallel.
    anchors: Vec<(usize, usize)>,
    calls: Vec<Call>,
    responses: Vec<ResponseUse>,
}

struct Call {
    kind: CallKind,
    name: String,
    at: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum CallKind {
    Filter,
    Test,
    Function,
}

impl Prepared {
    fn original(&self, at: usize) -> usize {
        let after = self
            .anchors
            .partition_point(|(prepared, _)| *prepared <= at);
        match after.checked_sub(1).map(|index| self.anchors[index]) {
            Some((prepared, original)) => original + (at - prepared),
            None => at,
        }
    }

    fn push(&mut self, text: &str, original: usize) {
        self.anchors.push((self.text.len(), original));
        self.text.push_str(text);
    }
}

/// Turns the product's additions to the language into minijinja's own forms.
fn prepare(source: &str) -> Prepared {
    let mut prepared = Prepared {
        text: String::with_capacity(source.len() + 16),
        anchors: Vec::new(),
        calls: Vec::new(),
        responses: Vec::new(),
    };
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        if let Some((open, close)) = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
            .into_iter()
            .find(|(open, _)| rest.starts_with(open))
        {
            if open == "{#" {
                let end = rest.find(close).map_or(source.len(), |end| at + end + 2);
                prepared.push(&source[at..end], at);
                at = end;
            } else {
                at = prepare_code(source, at, close, &mut prepared);
            }
        } else if let Some(length) = bare_name(source, at) {
            prepared.push("{{ ", at);
            let end = at + length;
            let mut from = at;
            while from < end {
                from = prepare_word(source, from, end, &mut prepared);
            }
            prepared.push(" }}", end);
            at = end;
        } else {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            prepared.push(&rest[..length], at);
            at += length;
        }
    }
    prepared
}

/// The length of `objectUrl` or `STEP2-Response.activityid` at `at` in plain text.
fn bare_name(source: &str, at: usize) -> Option<usize> {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    if source[..at].ends_with(part_of_word) {
        return None;
    }
    let rest = &source[at..];
    let length = if rest.starts_with("objectUrl") {
        "objectUrl".len()
    } else {
        let digit = rest.strip_prefix("STEP")?.chars().next()?;
        if !digit.is_ascii_digit() || !rest[5..].starts_with("-Response.") {
            return None;
        }
        let response = "STEP2-Response".len();
        let mut length = response;
        while let Some(field) = rest[length..].strip_prefix('.') {
            match word_length(field) {
                0 => break,
                word => length += 1 + word,
            }
        }
        if length == response {
            return None;
        }
        length
    };
    (!rest[length..].starts_with(part_of_word)).then_some(length)
}

/// The length of an identifier at the start of the text.
fn identifier_length(text: &str) -> usize {
    match text.bytes().next() {
        Some(first) if first.is_ascii_alphabetic() || first == b'_' => text
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count(),
        _ => 0,
    }
}

/// The length of a word: identifiers joined by hyphens.
fn word_length(text: &str) -> usize {
    let mut length = identifier_length(text);
    while length > 0
        && let Some(next) = text[length..].strip_prefix('-')
    {
        match identifier_length(next) {
            0 => break,
            more => length += 1 + more,
        }
    }
    length
}

/// Copies a `{{ ... }}` or `{% ... %}` that starts at `at`; returns where it ends.
fn prepare_code(source: &str, start: usize, close: &str, prepared: &mut Prepared) -> usize {
    prepared.push(&source[start..start + 2], start);
    let mut at = start + 2;
    while at < source.len() {
        let rest = &source[at..];
        if rest.starts_with(close) {
            prepared.push(close, at);
            at += 2;
            let tag =
                source[start + 2..at - 2].trim_matches(|c: char| c == '-' || c.is_whitespace());
            if close == "%}" && tag == "raw" {
                // What is raw stays as it is.
                let end = source[at..].find("{%").map_or(source.len(), |end| at + end);
                prepared.push(&source[at..end], at);
                at = end;
            }
            return at;
        }
        let first = rest.chars().next().unwrap_or(' ');
        if first == '"' || first == '\'' {
            let end = string_end(source, at, first);
            prepared.push(&source[at..end], at);
            at = end;
        } else if word_length(rest) > 0 {
            at = prepare_word(source, at, source.len(), prepared);
        } else if first.is_ascii_digit() {
            // A number, and not the start of a name.
            let length = rest
                .bytes()
                .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
                .count();
            prepared.push(&rest[..length], at);
            at += length;
        } else {
            prepared.push(&rest[..first.len_utf8()], at);
            at += first.len_utf8();
        }
    }
    at
}

fn string_end(source: &str, start: usize, quote: char) -> usize {
    let mut escaped = false;
    for (offset, c) in source[start + 1..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return start + 1 + offset + 1,
            _ => {}
        }
    }
    source.len()
}

/// Copies a word of an expression (or the character before one); a hyphenated one becomes a
/// subscript. Notes filters, tests and functions.
fn prepare_word(source: &str, at: usize, end: usize, prepared: &mut Prepared) -> usize {
    let rest = &source[at..end];
    let length = word_length(rest);
    if length == 0 {
        let length = rest.chars().next().map_or(1, char::len_utf8);
        prepared.push(&rest[..length], at);
        return at + length;
    }
    let word = &rest[..length];
    if let Some(step) = word
        .strip_prefix("STEP")
        .and_then(|word| word.strip_suffix("-Response"))
        && let Ok(step) = step.parse()
    {
        let field = rest[length..]
            .strip_prefix('.')
            .map(|field| &field[..word_length(field)]);
        prepared.responses.push(ResponseUse {
            step,
            field: field.filter(|field| !field.is_empty()).map(str::to_owned),
        });
    }
    let before = prepared.text.trim_end();
    if word.contains('-') {
        if before.ends_with('.') {
            prepared.text.truncate(before.len() - 1);
            prepared.push(&format!("[\"{word}\"]"), at);
        } else {
            prepared.push(&format!("{SCOPE}[\"{word}\"]"), at);
        }
        return at + length;
    }
    let previous_word = before
        .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or_default();
    let kind = if before.ends_with('|') {
        Some(CallKind::Filter)
    } else if word != "not"
        && (previous_word == "is" || previous_word == "not" && ends_with_is_not(before))
    {
        Some(CallKind::Test)
    } else if !before.ends_with('.')
        && rest[length..].trim_start().starts_with('(')
        && !is_keyword(word)
    {
        Some(CallKind::Function)
    } else {
        None
    };
    if let Some(kind) = kind {
        prepared.calls.push(Call {
            kind,
            name: word.to_owned(),
            at,
        });
    }
    prepared.push(word, at);
    at + length
}

fn ends_with_is_not(text: &str) -> bool {
    text.strip_suffix("not")
        .is_some_and(|text| text.trim_end().ends_with("is") && text.ends_with(char::is_whitespace))
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "if" | "elif"
            | "else"
            | "and"
            | "or"
            | "not"
            | "in"
            | "is"
            | "for"
            | "set"
            | "with"
            | "filter"
            | "recursive"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::Contact;
    use crate::event::Event;
    use proptest::prelude::*;
    use serde_json::json;

    fn scope_of(contact_data: Json, parameters: Json) -> Arc<Scope> {
        let mut data = contact_data;
        data["ContactId"] = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90".into();
        let event = json!({"Details": {"ContactData": data, "Parameters": parameters}});
        let Ok(Event::Flow(event)) = Event::parse(event) else {
            panic!("no flow event")
        };
        let mut scope = Scope::new(Contact::try_from(event).unwrap().attributes);
        scope.set("appid", "a0000000-0000-0000-0000-000000000001");
        scope.set("objectUrl", "https://recordings.example.com/a.wav");
        scope.set_response(
            2,
            &json!({"activityid": "42", "nested": {"a-b": [1, {"c": "deep"}]}}),
        );
        Arc::new(scope)
    }

    fn call() -> Arc<Scope> {
        scope_of(
            json!({
                "Channel": "VOICE", "CustomerEndpoint": {"Address": "+15550100", "Type": "TELEPHONE_NUMBER"},
                "Queue": {"Name": "Support"}, "TransferredToEndpoint": {"Address": null, "Type": "TELEPHONE_NUMBER"},
                "InitiationTimestamp": "2026-02-04T21:14:16Z", "DisconnectTimestamp": "2026-02-04T21:16:17Z",
                "Attributes": {"seconds": "61", "Account-Number": "7", "first name": "Ada", "a": "5", "b": "3", "bad": "x"}
            }),
            json!({}),
        )
    }

    fn render(source: &str, scope: &Arc<Scope>) -> Rendered {
        let mut templates = Templates::default();
        let template = templates
            .add("contact-start body.field", source, Strictness::Lenient)
            .unwrap_or_else(|error| panic!("{source}: {error}"));
        templates
            .render(&template, scope)
            .unwrap_or_else(|error| panic!("{source}: {error}"))
    }

    fn value(source: &str) -> Json {
        render(source, &call()).value.expect("a value")
    }

    fn refusal(source: &str) -> String {
        Templates::default()
            .add("contact-start body.subject", source, Strictness::Lenient)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn names_mean_what_the_contact_record_says() {
        for (source, expected) in [
            ("{{CustomerEndpoint}}", json!("+15550100")),
            ("{{ CustomerEndpoint.Type }}", json!("TELEPHONE_NUMBER")),
            ("{{ Queue.Name }}", json!("Support")),
            ("{{ Attributes.seconds }}", json!("61")),
            ("{{ Attributes['first name'] }}", json!("Ada")),
            (
                "from {{CustomerEndpoint}} on {{Channel}}",
                json!("from +15550100 on VOICE"),
            ),
            ("{{ Channel | lower }}", json!("voice")),
            ("{{ 'known' if tier else 'new' }}", json!("new")),
            (
                "{% if Channel == 'VOICE' %}call{% else %}other{% endif %}",
                json!("call"),
            ),
            ("{{ tier | default('none') }}", json!("none")),
            ("{{ 'abcdef' | truncate(3) }}", json!("abc")),
            ("{{ 'ab📞d' | truncate(3) }}", json!("ab")),
            (
                "{{ DisconnectTimestamp | minutes_since(InitiationTimestamp) }}",
                json!(3),
            ),
        ] {
            assert_eq!(value(source), expected, "{source}");
        }
    }

    #[test]
    fn a_hyphen_between_words_belongs_to_the_name() {
        for (source, expected) in [
            ("{{STEP2-Response.activityid}}", json!("42")),
            (
                "{{ STEP2-Response.nested.a-b[1].c | upper }}",
                json!("DEEP"),
            ),
            ("{{ Account-Number }}", json!("7")),
            ("{{ Attributes.Account-Number }}", json!("7")),
            ("{{ (a | int) - (b | int) }}", json!(2)),
            ("{{- Channel -}}", json!("VOICE")),
            ("{{ 'a-b' }}", json!("a-b")),
            ("{{ (a|int)-1 }}", json!(4)),
        ] {
            assert_eq!(value(source), expected, "{source}");
        }
    }

    #[test]
    fn only_object_url_and_step_responses_work_without_braces() {
        for (source, expected) in [
            (
                "Your Recording URI is objectUrl",
                "Your Recording URI is https://recordings.example.com/a.wav",
            ),
            ("objectUrl.", "https://recordings.example.com/a.wav."),
            ("my_objectUrl objectUrls", "my_objectUrl objectUrls"),
            ("(STEP2-Response.activityid)", "(42)"),
            ("STEP2-Response.activityid.", "42."),
            (
                "STEP2-Response and STEPX-Response.a",
                "STEP2-Response and STEPX-Response.a",
            ),
            (
                "Call between Username and CustomerEndpoint",
                "Call between Username and CustomerEndpoint",
            ),
            ("{% raw %}objectUrl{% endraw %}", "objectUrl"),
        ] {
            assert_eq!(value(source), json!(expected), "{source}");
        }
    }

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
    fn what_is_missing_leaves_a_field_out_and_a_text_empty_and_is_named() {
        for (source, expected, missing) in [
            ("{{ Nothing }}", None, vec!["Nothing"]),
            ("{{ SystemEndpoint.Address }}", None, vec!["SystemEndpoint"]),
            ("{{ Queue.ARN }}", None, vec!["Queue.ARN"]),
            ("{{ Nothing | upper }}", None, vec!["Nothing"]),
            ("{{ Nothing | int }}", None, vec!["Nothing"]),
            (
                "{{ Nothing | minutes_since(InitiationTimestamp) }}",
                None,
                vec!["Nothing"],
            ),
            ("{{ Attributes.tier }}", None, vec!["Attributes.tier"]),
            (
                "{{ STEP4-Response.activityid }}",
                None,
                vec!["STEP4-Response"],
            ),
            (
                "{{ TransferredToEndpoint }}",
                None,
                vec!["TransferredToEndpoint"],
            ),
            (
                "to {{ TransferredToEndpoint }}",
                Some("to "),
                vec!["TransferredToEndpoint"],
            ),
            (
                "{{ TransferredToEndpoint.Type }}",
                None,
                vec!["TransferredToEndpoint"],
            ),
            ("[{{ Nothing }}]", Some("[]"), vec!["Nothing"]),
            ("{{ Nothing | default('x') }}", Some("x"), vec![]),
        ] {
            let rendered = render(source, &call());
            assert_eq!(rendered.value, expected.map(Json::from), "{source}");
            assert_eq!(rendered.missing, missing, "{source}");
        }
    }

    #[test]
    fn mistakes_are_found_when_the_template_is_compiled_with_line_and_column() {
        for (source, expected) in [
            (
                "Hello {{ Channel",
                "contact-start body.subject, line 1, column ",
            ),
            (
                "{{ Channel | uper }}",
                "line 1, column 14: there is no filter `uper`",
            ),
            (
                "a\n  {{ Channel is strnge }}",
                "line 2, column 17: there is no test `strnge`",
            ),
            ("{{ Channel is not strnge }}", "there is no test `strnge`"),
            (
                "{{ env('HOME') }}",
                "line 1, column 4: there is no function `env`",
            ),
            ("{% include 'x' %}", "line 1, column"),
            ("{% if Channel %}x", "line 1, column"),
            ("ab {{ STEP2-Response.activityid + }}", "line 1, column 35"),
        ] {
            let refusal = refusal(source);
            assert!(refusal.contains(expected), "{source}: {refusal}");
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

    pub(crate) fn hostile() -> impl Strategy<Value = String> {
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
            let scope = scope_of(json!({"Attributes": {"x": text.clone()}}), json!({}));
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

        #[test]
        fn text_without_braces_stays_as_it_is(text in "[a-zA-Z0-9 .,;:()'\"/\\\\<>\n-]{0,60}") {
            prop_assume!(!text.contains("objectUrl") && !text.contains("-Response"));
            prop_assert_eq!(render(&text, &call()).value, Some(json!(text)));
        }
    }
}
