//! Bodies: JSON first, templates second.
//!
//! Owns a body's compiled form and filling it in. The JSON is parsed once, when the configuration is
//! loaded, and each string in it is a template; so no attribute's value can ever break out of its
//! string.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{
    AddressError, JsonSyntaxError, Linkable,
    link::{Link, party},
    reference::Reference,
};
use crate::{
    dataverse::{
        Table,
        literal::{RECORD_URL, is_reference_property},
        lookup::{
            LookupError, PARTY, is_parties_property, part_played, parties_property,
            target_of_property,
        },
    },
    template::{
        NameUse, ResponseUse, Scope, Strictness, Template, TemplateError, Templates,
        names_in_constant,
    },
};

/// A compiled body.
#[derive(Debug, Clone)]
pub struct Body {
    field: String,
    /// The property that holds the record's parties, if it is an activity.
    parties: String,
    fields: Vec<(String, Node)>,
}

#[derive(Debug, Clone)]
enum Node {
    Constant(Json),
    Template(Template),
    /// What stands under `...@odata.bind` or `@odata.id`: as strict as any address.
    Reference(Reference),
    /// The same, where it is a record that is known by its name; it must be of this table, where the
    /// property tells.
    LinkUrl(Link, Option<String>),
    /// A lookup under its own name, of a record of this table. It is written under another.
    Lookup(Link, String),
    /// Parties of an activity, and the part that they play.
    Parties(Vec<Link>, u8),
    Object(Vec<(String, Node)>),
    /// A party as its author writes it: without who it is, it is left out.
    Party(Vec<(String, Node)>),
    Array(Vec<Node>),
}

/// Where a value of a body stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The table of the record that it is a field of, where that is known.
    table: Option<&'a Table>,
    /// Whether it stands under the name of a reference, in lists too.
    is_reference: bool,
    /// Whether it stands in a list of parties.
    is_party: bool,
    linkable: &'a Linkable,
}

/// What of a body uses a response.
#[derive(Debug)]
pub struct Divided {
    /// The fields that use it, but for the parties; none when there are none.
    pub with: Option<Body>,
    /// The parties, when one of them uses it.
    pub parties: Option<Body>,
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
    #[error("{0}: {1}")]
    Lookup(String, LookupError),
    #[error(
        "{0}: a list of parties holds records only, as in [\"{{{{ Customer }}}}\", \"{{{{ Agent.User }}}}\"]"
    )]
    NoParty(String),
}

impl Body {
    /// Compiles a body.
    ///
    /// # Errors
    /// [`BodyError`] for a template that does not compile, with the field's path, line and column.
    pub fn compile(
        field: &str,
        fields: &Map<String, Json>,
        table: &Table,
        linkable: &Linkable,
        templates: &mut Templates,
    ) -> Result<Body, Vec<BodyError>> {
        let mut errors = Vec::new();
        let place = Place {
            table: Some(table),
            is_reference: false,
            is_party: false,
            linkable,
        };
        let fields = compile_fields(field, fields, place, templates, &mut errors);
        if errors.is_empty() {
            Ok(Body {
                field: field.to_owned(),
                parties: parties_property(table),
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

    /// The responses that the body uses.
    pub fn responses(&self) -> Vec<&ResponseUse> {
        let mut uses = Vec::new();
        for (name, node) in &self.fields {
            node.visit(name, &mut |_, node| uses.extend(node.responses()));
        }
        uses
    }

    /// Whether a line of the body links its record to another.
    pub fn has_links(&self) -> bool {
        let is_link = |(_, node): &(String, Node)| {
            matches!(
                node,
                Node::Lookup(..) | Node::LinkUrl(..) | Node::Parties(..)
            )
        };
        self.fields.iter().any(is_link)
    }

    /// Whether the body names parties of an activity.
    pub fn has_parties(&self) -> bool {
        let is_list = |(name, node): &(String, Node)| self.are_parties(name, node);
        self.fields.iter().any(is_list)
    }

    fn are_parties(&self, name: &str, node: &Node) -> bool {
        name == self.parties || matches!(node, Node::Parties(..))
    }

    /// The same body without what is not a reference to another record.
    pub fn only_links(&self) -> Body {
        let is_link = |(_, node): &&(String, Node)| {
            matches!(
                node,
                Node::Lookup(..) | Node::LinkUrl(..) | Node::Reference(_)
            )
        };
        Body {
            fields: self.fields.iter().filter(is_link).cloned().collect(),
            ..self.clone()
        }
    }

    /// The fields of the body that use a response.
    ///
    /// The parties of an activity stand in one list, which is written as a whole: if one of them uses the
    /// response, all are told.
    pub fn divide(&self, uses: impl Fn(&ResponseUse) -> bool) -> Divided {
        let is_used = |node: &Node| {
            let mut is_used = false;
            node.visit("", &mut |_, node| {
                is_used |= node.responses().iter().any(|used| uses(used));
            });
            is_used
        };
        let fields = self.fields.iter().cloned();
        let (mut parties, mut others): (Vec<_>, Vec<_>) =
            fields.partition(|(name, node)| self.are_parties(name, node));
        others.retain(|(_, node)| is_used(node));
        if !parties.iter().any(|(_, node)| is_used(node)) {
            parties.clear();
        }
        let body = |fields: Vec<_>| {
            let is_any = !fields.is_empty();
            is_any.then(|| Body {
                fields,
                ..self.clone()
            })
        };
        Divided {
            with: body(others),
            parties: body(parties),
        }
    }

    /// The property that holds the parties of the body's record, if it is an activity.
    pub fn parties_property(&self) -> &str {
        &self.parties
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
        let mut rendering = Rendering {
            body: self,
            templates,
            scope,
            gaps: Vec::new(),
        };
        let json = rendering.fields(&self.fields, "");
        RenderedBody {
            json,
            gaps: rendering.gaps,
        }
    }
}

fn compile_fields(
    path: &str,
    fields: &Map<String, Json>,
    place: Place,
    templates: &mut Templates,
    errors: &mut Vec<BodyError>,
) -> Vec<(String, Node)> {
    let party = Table::new(PARTY, None, Some(PARTY.to_owned()));
    let mut nodes = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        if name.contains("{{") || name.contains("{%") {
            errors.push(BodyError::TemplateInName {
                field: path.to_owned(),
                name: name.clone(),
            });
        }
        let path = format!("{path}.{name}");
        if let Some(linked) = compile_link(&path, name, value, place) {
            match linked {
                Ok(node) => nodes.push((name.clone(), node)),
                Err(error) => errors.push(error),
            }
            continue;
        }
        let is_party = is_parties_property(name);
        let below = Place {
            table: is_party.then_some(&party),
            is_reference: is_reference_property(name),
            is_party,
            ..place
        };
        let node = compile_node(&path, value, below, templates, errors);
        nodes.extend(node.map(|node| (name.clone(), node)));
    }
    nodes
}

/// Compiles a field that links to other records; none when it does not.
fn compile_link(
    path: &str,
    name: &str,
    value: &Json,
    place: Place,
) -> Option<Result<Node, BodyError>> {
    let read = |value: &Json| Link::read(value.as_str()?, place.linkable);
    let part = place.table.and_then(|table| part_played(table, name));
    if let (Some(part), Json::Array(values)) = (part, value) {
        let links: Option<Vec<Link>> = values.iter().map(read).collect();
        let links = links.ok_or_else(|| BodyError::NoParty(path.to_owned()));
        return Some(links.map(|links| Node::Parties(links, part)));
    }
    let link = read(value)?;
    let table = place.table.map(|table| table.logical_name.as_str());
    let node = if is_reference_property(name) {
        let target = target_of_property(table, name);
        let checked = link.check_target(name, target.as_deref());
        checked.map(|()| Node::LinkUrl(link, target))
    } else if let Some(part) = part {
        Ok(Node::Parties(vec![link], part))
    } else if table.is_none() && name != "ownerid" {
        Err(LookupError::NoTable {
            column: name.to_owned(),
        })
    } else {
        let table = table.unwrap_or_default();
        let checked = link.check(table, name);
        checked.map(|()| Node::Lookup(link, table.to_owned()))
    };
    Some(node.map_err(|error| BodyError::Lookup(path.to_owned(), error)))
}

/// Compiles a value, or notes its errors.
fn compile_node(
    path: &str,
    value: &Json,
    place: Place,
    templates: &mut Templates,
    errors: &mut Vec<BodyError>,
) -> Option<Node> {
    if place.is_reference
        && let Some(link) = value
            .as_str()
            .and_then(|value| Link::read(value, place.linkable))
    {
        return Some(Node::LinkUrl(link, None));
    }
    let node = match value {
        Json::String(source) if is_template(source) && place.is_reference => {
            Reference::compile(path, source, templates)
                .map(Node::Reference)
                .map_err(BodyError::from)
        }
        Json::String(source) if is_template(source) => templates
            .add(path, source, Strictness::Lenient)
            .map(Node::Template)
            .map_err(BodyError::from),
        Json::Object(fields) => {
            let fields = compile_fields(path, fields, place, templates, errors);
            Ok(if place.is_party {
                Node::Party(fields)
            } else {
                Node::Object(fields)
            })
        }
        Json::Array(values) => Ok(Node::Array(
            values
                .iter()
                .enumerate()
                .filter_map(|(index, value)| {
                    let path = format!("{path}[{index}]");
                    compile_node(&path, value, place, templates, errors)
                })
                .collect(),
        )),
        constant => Ok(Node::Constant(constant.clone())),
    };
    node.map_err(|error| errors.push(error)).ok()
}

/// Whether a string of a body may hold a template; plain text is kept as it is.
pub fn is_template(source: &str) -> bool {
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
            Node::Constant(_)
            | Node::LinkUrl(..)
            | Node::Lookup(..)
            | Node::Parties(..)
            | Node::Object(_)
            | Node::Party(_)
            | Node::Array(_) => None,
        }
    }

    /// The responses that the node itself uses.
    fn responses(&self) -> Vec<&ResponseUse> {
        match self {
            Node::LinkUrl(link, _) | Node::Lookup(link, _) => vec![link.uses()],
            Node::Parties(links, _) => links.iter().map(Link::uses).collect(),
            node => node
                .template()
                .into_iter()
                .flat_map(Template::responses)
                .collect(),
        }
    }

    /// Shows `see` this node and each one in it, with its path.
    fn visit<'a>(&'a self, path: &str, see: &mut impl FnMut(&str, &'a Node)) {
        see(path, self);
        match self {
            Node::Constant(_)
            | Node::Template(_)
            | Node::Reference(_)
            | Node::LinkUrl(..)
            | Node::Lookup(..)
            | Node::Parties(..) => {}
            Node::Object(fields) | Node::Party(fields) => {
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

/// A body being filled in for one contact.
struct Rendering<'a> {
    body: &'a Body,
    templates: &'a Templates,
    scope: &'a Arc<Scope>,
    gaps: Vec<Gap>,
}

impl Rendering<'_> {
    fn gap(&mut self, path: &str, reason: impl Into<String>) {
        self.gaps.push(Gap {
            field: path.to_owned(),
            reason: reason.into(),
        });
    }

    fn fields(&mut self, fields: &[(String, Node)], path: &str) -> Map<String, Json> {
        let mut json = Map::with_capacity(fields.len());
        for (name, node) in fields {
            let path = match path {
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            match node {
                Node::Lookup(link, table) => match link.render(table, name, self.scope) {
                    Ok(property) => json.extend(property),
                    Err(error) => self.gap(&path, error.to_string()),
                },
                Node::Parties(links, part) => {
                    let parties = self.parties(links, *part, &path);
                    add_parties(&mut json, &self.body.parties, parties);
                }
                node => match self.node(node, &path) {
                    Some(Json::Array(parties)) if *name == self.body.parties => {
                        add_parties(&mut json, name, parties);
                    }
                    Some(value) => {
                        json.insert(name.clone(), value);
                    }
                    None => {}
                },
            }
        }
        json
    }

    fn parties(&mut self, links: &[Link], part: u8, path: &str) -> Vec<Json> {
        let mut parties = Vec::new();
        for link in links {
            match link.render(PARTY, "partyid", self.scope) {
                Ok(reference) => parties.extend(reference.map(|reference| party(reference, part))),
                Err(error) => self.gap(path, error.to_string()),
            }
        }
        parties
    }

    fn node(&mut self, node: &Node, path: &str) -> Option<Json> {
        match node {
            Node::Constant(value) => Some(value.clone()),
            Node::Template(template) => match self.templates.render(template, self.scope) {
                Ok(rendered) => {
                    if !rendered.missing.is_empty() {
                        let missing = rendered.missing.join(", ");
                        self.gap(path, format!("the contact has no {missing}"));
                    }
                    rendered.value
                }
                Err(error) => {
                    self.gap(path, error.message);
                    None
                }
            },
            Node::Reference(reference) => match reference.render(self.templates, self.scope) {
                // A condition of its author's has left nothing.
                Ok(url) => (!url.is_empty()).then(|| url.into()),
                Err(AddressError::Template(error)) => {
                    self.gap(path, error.message);
                    None
                }
                Err(error) => {
                    self.gap(path, error.to_string());
                    None
                }
            },
            Node::LinkUrl(link, target) => match link.url(self.scope, path, target.as_deref()) {
                Ok(url) => url.map(Json::from),
                Err(error) => {
                    self.gap(path, error.to_string());
                    None
                }
            },
            // These are written under other names, so by `fields`.
            Node::Lookup(..) | Node::Parties(..) => None,
            Node::Object(fields) => {
                let json = self.fields(fields, path);
                let named = fields.iter().any(|(name, _)| name == RECORD_URL);
                // Without its reference the object would be a new record instead of one that exists.
                (!named || json.contains_key(RECORD_URL)).then(|| json.into())
            }
            Node::Party(fields) => {
                let json = self.fields(fields, path);
                let refers = |(name, node): &&(String, Node)| {
                    is_reference_property(name) || matches!(node, Node::Lookup(..))
                };
                let wanted = fields.iter().filter(refers).count();
                let written = json.keys().filter(|name| is_reference_property(name));
                (written.count() == wanted).then(|| json.into())
            }
            Node::Array(nodes) => {
                let mut values = Vec::with_capacity(nodes.len());
                for (index, node) in nodes.iter().enumerate() {
                    values.extend(self.node(node, &format!("{path}[{index}]")));
                }
                Some(values.into())
            }
        }
    }
}

/// Adds parties to the one list that an activity has of them.
fn add_parties(json: &mut Map<String, Json>, property: &str, parties: Vec<Json>) {
    if parties.is_empty() {
        return;
    }
    match json.get_mut(property) {
        Some(Json::Array(list)) => list.extend(parties),
        _ => {
            json.insert(property.to_owned(), parties.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parse_object;
    use proptest::prelude::*;
    use serde_json::json;

    fn call() -> Table {
        Table::new("phonecalls", None, None)
    }

    fn render(body: &str, attributes: Json) -> RenderedBody {
        let scope = Scope::of_contact(json!({"Channel": "VOICE", "Attributes": attributes}));
        let mut templates = Templates::default();
        let fields = parse_object("contact-start body", body).unwrap();
        let (table, linkable) = (call(), Linkable::default());
        Body::compile(
            "contact-start body",
            &fields,
            &table,
            &linkable,
            &mut templates,
        )
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
            &call(),
            &Linkable::default(),
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
        let body = Body::compile(
            "body",
            fields.as_object().unwrap(),
            &call(),
            &Linkable::default(),
            &mut templates,
        )
        .unwrap();
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
            (&responses[0].source, responses[0].field.as_deref()),
            (&crate::template::Source::Step(3), Some("id"))
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
