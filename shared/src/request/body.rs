//! Bodies: JSON first, templates second.
//!
//! Owns a body's compiled form and filling it in. The JSON is parsed once, when the configuration is
//! loaded, and each string in it is a template; so no attribute's value can ever break out of its
//! string.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{AddressError, JsonSyntaxError, reference::Reference};
use crate::{
    dataverse::literal::{RECORD_URL, is_reference_property},
    template::{
        NameUse, ResponseUse, Scope, Strictness, Template, TemplateError, Templates,
        names_in_constant,
    },
};

/// A compiled body.
#[derive(Debug, Clone)]
pub struct Body {
    field: String,
    fields: Vec<(String, Node)>,
}

#[derive(Debug, Clone)]
enum Node {
    Constant(Json),
    Template(Template),
    /// What stands under `...@odata.bind` or `@odata.id`: as strict as any address.
    Reference(Reference),
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
}

/// A body filled in for one contact.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RenderedBody {
    pub json: Map<String, Json>,
    /// Fields that were left out, or written without an attribute, and why.
    pub gaps: Vec<Gap>,
}

/// An attribute or an expression that a field went without.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// The field's path in the body.
    pub field: String,
    /// Names the contact lacks, or why the expression could not be worked out. Never a value.
    pub reason: String,
}

/// A body that does not compile.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum BodyError {
    #[error(transparent)]
    Json(#[from] JsonSyntaxError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(
        "{field}: the field name `{name}` holds a template; only values are templates, a field name is a column's name"
    )]
    TemplateInName { field: String, name: String },
}

impl Body {
    /// Compiles a body.
    ///
    /// # Errors
    /// [`BodyError`] for a template that does not compile, with the field's path, line and column.
    pub fn compile(
        field: &str,
        fields: &Map<String, Json>,
        templates: &mut Templates,
    ) -> Result<Body, Vec<BodyError>> {
        let mut errors = Vec::new();
        let fields = compile_fields(field, fields, templates, &mut errors);
        if errors.is_empty() {
            Ok(Body {
                field: field.to_owned(),
                fields,
            })
        } else {
            Err(errors)
        }
    }

    /// Whether the body names a field at its top level.
    pub fn names(&self, field: &str) -> bool {
        self.fields.iter().any(|(name, _)| name == field)
    }

    /// The steps' responses that the body uses.
    pub fn responses(&self) -> Vec<&ResponseUse> {
        let templates = self.templates().into_iter();
        templates.flat_map(Template::responses).collect()
    }

    /// The names that the body looks up; see [`Template::names`].
    pub fn names_used(&self, templates: &Templates) -> Vec<NameUse> {
        let own = self.templates().into_iter();
        own.flat_map(|template| template.names(templates)).collect()
    }

    /// The known names that stand as plain words in the body's values; see
    /// [`Template::names_in_text`].
    pub fn names_in_text(&self, known: &[&str]) -> Vec<NameUse> {
        let mut found = Vec::new();
        for (name, node) in &self.fields {
            node.visit(
                &format!("{}.{name}", self.field),
                &mut |field, node| match (node, node.template()) {
                    (_, Some(template)) => found.extend(template.names_in_text(known)),
                    (Node::Constant(Json::String(text)), None) => {
                        found.extend(names_in_constant(field, text, known));
                    }
                    _ => {}
                },
            );
        }
        found
    }

    fn templates(&self) -> Vec<&Template> {
        let mut templates = Vec::new();
        for (name, node) in &self.fields {
            node.visit(name, &mut |_, node| templates.extend(node.template()));
        }
        templates
    }

    /// Fills the body in. What the contact lacks is left out and told of; so is a field whose
    /// expression cannot be worked out: a record without that field beats no record.
    pub fn render(&self, templates: &Templates, scope: &Arc<Scope>) -> RenderedBody {
        let mut gaps = Vec::new();
        let json = render_fields(&self.fields, "", templates, scope, &mut gaps);
        RenderedBody { json, gaps }
    }
}

fn compile_fields(
    path: &str,
    fields: &Map<String, Json>,
    templates: &mut Templates,
    errors: &mut Vec<BodyError>,
) -> Vec<(String, Node)> {
    let mut nodes = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        if name.contains("{{") || name.contains("{%") {
            errors.push(BodyError::TemplateInName {
                field: path.to_owned(),
                name: name.clone(),
            });
        }
        let path = format!("{path}.{name}");
        let node = compile_node(&path, value, is_reference_property(name), templates, errors);
        nodes.extend(node.map(|node| (name.clone(), node)));
    }
    nodes
}

/// Compiles a value, or notes its errors. `is_reference` is for what stands under the name of a
/// reference, in lists too.
fn compile_node(
    path: &str,
    value: &Json,
    is_reference: bool,
    templates: &mut Templates,
    errors: &mut Vec<BodyError>,
) -> Option<Node> {
    let node = match value {
        Json::String(source) if is_template(source) && is_reference => {
            Reference::compile(path, source, templates)
                .map(Node::Reference)
                .map_err(BodyError::from)
        }
        Json::String(source) if is_template(source) => templates
            .add(path, source, Strictness::Lenient)
            .map(Node::Template)
            .map_err(BodyError::from),
        Json::Object(fields) => Ok(Node::Object(compile_fields(
            path, fields, templates, errors,
        ))),
        Json::Array(values) => Ok(Node::Array(
            values
                .iter()
                .enumerate()
                .filter_map(|(index, value)| {
                    let path = format!("{path}[{index}]");
                    compile_node(&path, value, is_reference, templates, errors)
                })
                .collect(),
        )),
        constant => Ok(Node::Constant(constant.clone())),
    };
    node.map_err(|error| errors.push(error)).ok()
}

/// Whether a string may hold a template; plain text is kept as it is.
fn is_template(source: &str) -> bool {
    ["{{", "{%", "{#", "objectUrl", "-Response."]
        .iter()
        .any(|mark| source.contains(mark))
}

impl Node {
    /// The template, of a node that is one.
    fn template(&self) -> Option<&Template> {
        match self {
            Node::Template(template) => Some(template),
            Node::Reference(reference) => Some(reference.template()),
            Node::Constant(_) | Node::Object(_) | Node::Array(_) => None,
        }
    }

    /// Shows `see` this node and each one in it, with its path.
    fn visit<'a>(&'a self, path: &str, see: &mut impl FnMut(&str, &'a Node)) {
        see(path, self);
        match self {
            Node::Constant(_) | Node::Template(_) | Node::Reference(_) => {}
            Node::Object(fields) => {
                for (name, node) in fields {
                    node.visit(&format!("{path}.{name}"), see);
                }
            }
            Node::Array(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    node.visit(&format!("{path}[{index}]"), see);
                }
            }
        }
    }
}

fn render_fields(
    fields: &[(String, Node)],
    path: &str,
    templates: &Templates,
    scope: &Arc<Scope>,
    gaps: &mut Vec<Gap>,
) -> Map<String, Json> {
    let mut json = Map::with_capacity(fields.len());
    for (name, node) in fields {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        if let Some(value) = render_node(node, &path, templates, scope, gaps) {
            json.insert(name.clone(), value);
        }
    }
    json
}

fn render_node(
    node: &Node,
    path: &str,
    templates: &Templates,
    scope: &Arc<Scope>,
    gaps: &mut Vec<Gap>,
) -> Option<Json> {
    let mut gap = |reason: String| {
        gaps.push(Gap {
            field: path.to_owned(),
            reason,
        });
    };
    match node {
        Node::Constant(value) => Some(value.clone()),
        Node::Template(template) => match templates.render(template, scope) {
            Ok(rendered) => {
                if !rendered.missing.is_empty() {
                    gap(format!(
                        "the contact has no {}",
                        rendered.missing.join(", ")
                    ));
                }
                rendered.value
            }
            Err(error) => {
                gap(error.message);
                None
            }
        },
        Node::Reference(reference) => match reference.render(templates, scope) {
            Ok(url) => Some(url.into()),
            Err(AddressError::Template(error)) => {
                gap(error.message);
                None
            }
            Err(error) => {
                gap(error.to_string());
                None
            }
        },
        Node::Object(fields) => {
            let json = render_fields(fields, path, templates, scope, gaps);
            let named = fields.iter().any(|(name, _)| name == RECORD_URL);
            // Without its reference the object would be a new record instead of one that exists.
            (!named || json.contains_key(RECORD_URL)).then(|| json.into())
        }
        Node::Array(nodes) => Some(
            nodes
                .iter()
                .enumerate()
                .filter_map(|(index, node)| {
                    render_node(node, &format!("{path}[{index}]"), templates, scope, gaps)
                })
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parse_object;
    use proptest::prelude::*;
    use serde_json::json;

    fn render(body: &str, attributes: Json) -> RenderedBody {
        let scope = Scope::of_contact(json!({"Channel": "VOICE", "Attributes": attributes}));
        let mut templates = Templates::default();
        let fields = parse_object("contact-start body", body).unwrap();
        Body::compile("contact-start body", &fields, &mut templates)
            .unwrap()
            .render(&templates, &Arc::new(scope))
    }

    #[test]
    fn every_wrong_template_of_a_body_is_told_with_its_path() {
        let fields = json!({
            "a": "{{", "b": [{"c": "{{ x | nope }}"}, "{{ e", "fine"], "{{d}}": 1, "{%f%}": 1,
            "g@odata.bind": ["contacts('{{ x }})"]
        });
        let errors = Body::compile(
            "contact-start body",
            fields.as_object().unwrap(),
            &mut Templates::default(),
        )
        .unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        for expected in [
            "contact-start body.a, line 1",
            "contact-start body.b[0].c, line 1, column 8",
            "contact-start body.b[1], line 1",
            "the field name `{{d}}` holds a template",
            "the field name `{%f%}` holds a template",
            "contact-start body.g@odata.bind[0]: a single quote is opened",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_gap_leaves_its_field_out_and_the_rest_in() {
        let rendered = render(
            r#"{"category": "{{Channel}}", "gone": "{{ Nothing }}", "seconds": "{{ bad | int }}", "n": 1, "list": ["{{Nothing}}", "{{Channel}}"],
                "regardingobjectid_contact@odata.bind": "/contacts({{ contactid }})", "ownerid@odata.bind": "/systemusers({{ Nothing }})"}"#,
            json!({"bad": "x", "contactid": "1) or (1"}),
        );
        assert_eq!(
            Json::from(rendered.json),
            json!({"category": "VOICE", "n": 1, "list": ["VOICE"]})
        );
        let fields: Vec<&str> = rendered.gaps.iter().map(|gap| gap.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "gone",
                "seconds",
                "list[0]",
                "regardingobjectid_contact@odata.bind",
                "ownerid@odata.bind"
            ]
        );
        assert!(
            rendered
                .gaps
                .iter()
                .all(|gap| !gap.reason.contains("or (1"))
        );
    }

    #[test]
    fn a_lookup_is_as_strict_as_an_address() {
        let id = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90";
        let rendered = render(
            r#"{"a@odata.bind": "/contacts({{ contactid }})", "b@odata.bind": "/contacts(emailaddress1='{{ mail }}')"}"#,
            json!({"contactid": id, "mail": "o'hara@example.com"}),
        );
        assert_eq!(rendered.json["a@odata.bind"], format!("/contacts({id})"));
        assert_eq!(
            rendered.json["b@odata.bind"],
            "/contacts(emailaddress1='o%27%27hara%40example.com')"
        );
    }

    #[test]
    fn a_reference_is_strict_wherever_it_stands() {
        let id = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90";
        let body = r#"{
            "plain@odata.bind": "contacts({{ c }})",
            "list@odata.bind": ["/contacts({{ c }})", ["contacts(emailaddress1='{{ m }}')"], "/contacts({{ bad }})", "/contacts(1)"],
            "children": [{"@odata.id": "/contacts({{ c }})"}, {"@odata.id": "/contacts({{ bad }})", "x": 1}],
            "one": {"@odata.id": "/contacts({{ bad }})"},
            "other": {"a@odata.bind": "/contacts({{ bad }})", "x": 1},
            "constant": {"@odata.id": "/contacts(name='x y')"},
            "@odata.id": "/contacts({{ bad }})"
        }"#;
        let rendered = render(
            body,
            json!({"c": id, "m": "a',lastname='b", "bad": "1)/x(2"}),
        );
        assert_eq!(
            Json::from(rendered.json),
            json!({
                "plain@odata.bind": format!("contacts({id})"),
                "list@odata.bind": [
                    format!("/contacts({id})"),
                    ["contacts(emailaddress1='a%27%27%2Clastname%3D%27%27b')"],
                    "/contacts(1)"
                ],
                "children": [{"@odata.id": format!("/contacts({id})")}],
                "other": {"x": 1},
                "constant": {"@odata.id": "/contacts(name='x y')"}
            })
        );
        let fields: Vec<&str> = rendered.gaps.iter().map(|gap| gap.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "list@odata.bind[2]",
                "children[1].@odata.id",
                "one.@odata.id",
                "other.a@odata.bind",
                "@odata.id"
            ]
        );
        for gap in rendered.gaps {
            assert!(
                gap.reason.contains("a value outside single quotes") && !gap.reason.contains("x(2"),
                "{}",
                gap.reason
            );
        }
    }

    #[test]
    fn a_gap_is_told_with_the_names_that_are_missing() {
        let rendered = render(
            r#"{"a": "{{ Nothing }}", "b": "{{ bad | int }}", "c@odata.bind": "/contacts({{ Nothing }})"}"#,
            json!({"bad": "x"}),
        );
        let reasons: Vec<&str> = rendered
            .gaps
            .iter()
            .map(|gap| gap.reason.as_str())
            .collect();
        assert_eq!(
            reasons,
            [
                "the contact has no Nothing",
                "the value is not a whole number",
                "the contact has no Nothing, and an address cannot do without"
            ]
        );
    }

    #[test]
    fn a_body_tells_what_it_uses() {
        let fields = json!({
            "subject": "Call between Username and {{ Queue.Name }}",
            "plain": "Call from CustomerEndpoint",
            "bare": "objectUrl",
            "comment": "a{# Username #}b",
            "tag": "{% if tier %}x{% endif %}",
            "list": [1, {"x": "Username", "y@odata.bind": "/contacts({{ STEP3-Response.id }})"}],
            "n": 1
        });
        let mut templates = Templates::default();
        let body = Body::compile("body", fields.as_object().unwrap(), &mut templates).unwrap();
        assert!(body.names("subject") && !body.names("x"));
        let show = |uses: Vec<NameUse>| -> Vec<String> {
            uses.into_iter()
                .map(|used| {
                    format!(
                        "{}: {} {}:{}",
                        used.field, used.name, used.line, used.column
                    )
                })
                .collect()
        };
        assert_eq!(
            show(body.names_used(&templates)),
            [
                "body.subject: Queue.Name 1:30",
                "body.bare: objectUrl 1:1",
                "body.tag: tier 1:7",
                "body.list[1].y@odata.bind: STEP3-Response.id 1:14"
            ]
        );
        assert_eq!(
            show(body.names_in_text(&["Username", "CustomerEndpoint", "objectUrl"])),
            [
                "body.subject: Username 1:14",
                "body.plain: CustomerEndpoint 1:11",
                "body.list[1].x: Username 1:1"
            ]
        );
        let responses = body.responses();
        assert_eq!(responses.len(), 1);
        assert_eq!(
            (responses[0].step, responses[0].field.as_deref()),
            (3, Some("id"))
        );
    }

    proptest! {
        #[test]
        fn whatever_a_value_is_it_stands_in_its_field_and_only_there(
            text in prop_oneof![any::<String>(), r#"["\\{}%:,\n\r\t]{1,40}"#, Just("{{7*7}}".into()), Just("\u{0}\"}{%".repeat(8000))]
        ) {
            prop_assume!(!text.is_empty());
            let rendered = render(r#"{"a": "{{ x }}", "b": "<{{ x }}>", "c": "{{Channel}}"}"#, json!({"x": text.clone()}));
            let sent = serde_json::to_string(&rendered.json).unwrap();
            let read: Json = serde_json::from_str(&sent).unwrap();
            prop_assert_eq!(read, json!({"a": text.clone(), "b": format!("<{text}>"), "c": "VOICE"}));
        }
    }
}
