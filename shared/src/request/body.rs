//! Bodies: JSON first, templates second.
//!
//! Owns a body's compiled form and filling it in. The JSON is parsed once, when the configuration is
//! loaded, and each string in it is a template; so no attribute's value can ever break out of its
//! string.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{Address, AddressError, Convention, JsonSyntaxError};
use crate::{
    dataverse::literal::is_reference_property,
    template::{ResponseUse, Scope, Strictness, Template, TemplateError, Templates},
};

/// A compiled body.
#[derive(Debug, Clone)]
pub struct Body {
    fields: Vec<(String, Node)>,
}

#[derive(Debug, Clone)]
enum Node {
    Constant(Json),
    Template(Template),
    /// The value of an `...@odata.bind`: an address of a record, as strict as any address.
    Bind(Address),
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
        match errors.is_empty() {
            true => Ok(Body { fields }),
            false => Err(errors),
        }
    }

    /// Whether the body names a field at its top level.
    pub fn names(&self, field: &str) -> bool {
        self.fields.iter().any(|(name, _)| name == field)
    }

    /// The steps' responses that the body uses.
    pub fn responses(&self) -> Vec<&ResponseUse> {
        let mut uses = Vec::new();
        self.fields
            .iter()
            .for_each(|(_, node)| node.responses(&mut uses));
        uses
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
        let node = match value {
            Json::String(source) if is_reference_property(name) && is_template(source) => {
                Address::compile(&path, source, Convention::OData, templates)
                    .map(Node::Bind)
                    .map_err(BodyError::from)
            }
            value => compile_node(&path, value, templates, errors),
        };
        match node {
            Ok(node) => nodes.push((name.clone(), node)),
            Err(error) => errors.push(error),
        }
    }
    nodes
}

fn compile_node(
    path: &str,
    value: &Json,
    templates: &mut Templates,
    errors: &mut Vec<BodyError>,
) -> Result<Node, BodyError> {
    Ok(match value {
        Json::String(source) if is_template(source) => {
            Node::Template(templates.add(path, source, Strictness::Lenient)?)
        }
        Json::Object(fields) => Node::Object(compile_fields(path, fields, templates, errors)),
        Json::Array(values) => {
            let mut nodes = Vec::with_capacity(values.len());
            for (index, value) in values.iter().enumerate() {
                nodes.push(compile_node(
                    &format!("{path}[{index}]"),
                    value,
                    templates,
                    errors,
                )?);
            }
            Node::Array(nodes)
        }
        constant => Node::Constant(constant.clone()),
    })
}

/// Whether a string may hold a template; plain text is kept as it is.
fn is_template(source: &str) -> bool {
    ["{{", "{%", "{#", "objectUrl", "-Response."]
        .iter()
        .any(|mark| source.contains(mark))
}

impl Node {
    fn responses<'a>(&'a self, uses: &mut Vec<&'a ResponseUse>) {
        match self {
            Node::Constant(_) => {}
            Node::Template(template) => uses.extend(template.responses()),
            Node::Bind(address) => uses.extend(address.responses()),
            Node::Object(fields) => fields.iter().for_each(|(_, node)| node.responses(uses)),
            Node::Array(nodes) => nodes.iter().for_each(|node| node.responses(uses)),
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
        Node::Bind(address) => match address.render("", templates, scope) {
            Ok(address) => Some(address.into()),
            Err(AddressError::Template(error)) => {
                gap(error.message);
                None
            }
            Err(error) => {
                gap(error.to_string());
                None
            }
        },
        Node::Object(fields) => Some(render_fields(fields, path, templates, scope, gaps).into()),
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
        let fields = json!({"a": "{{", "b": [{"c": "{{ x | nope }}"}], "{{d}}": 1});
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
            "the field name `{{d}}` holds a template",
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
