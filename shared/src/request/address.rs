//! Addresses: what follows the service's root in a request's URL, rendered so that no attribute
//! can change what is addressed.
//!
//! Owns which rules hold where in an address. In OData
//! (<https://docs.oasis-open.org/odata/odata/v4.0/odata-v4.0-part2-url-conventions.html>) a value
//! inside single quotes has its quotes doubled and is then percent-encoded whole; outside quotes it
//! must be a plain literal (GUID, number, boolean, date) or it is refused. In FetchXML a value is
//! escaped for XML and then percent-encoded whole. In a page's address a value is percent-encoded
//! whole, and a quote is text.

use std::sync::Arc;

use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};
use serde_json::Value as Json;

use super::{JsonSyntaxError, parse_object};
use crate::{
    dataverse::literal::{
        MAX_URL_LENGTH, UNRESERVED, encode, encode_quoted, encode_xml, is_fetch_xml,
        is_plain_literal,
    },
    template::{
        NameUse, Piece, ResponseUse, Scope, Strictness, Template, TemplateError, Templates,
    },
};

/// Which rules a value must obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convention {
    OData,
    /// The address of a page: a value is a query parameter's value.
    Page,
}

/// A compiled query string: a key, query options, both, or neither.
#[derive(Debug, Clone)]
pub struct Address {
    field: String,
    convention: Convention,
    form: Form,
    has_path: bool,
}

#[derive(Debug, Clone)]
enum Form {
    Empty,
    /// As it follows the entity set: `(key)`, `?$filter=...`, `(key)?$select=...`.
    Text(Template),
    /// A JSON object: each field a query option.
    Options(Vec<QueryOption>),
}

#[derive(Debug, Clone)]
struct QueryOption {
    /// The place of the option in the configuration.
    field: String,
    name: String,
    rules: Rules,
    template: Template,
}

/// An address that does not compile, or must not be sent.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum AddressError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Json(#[from] JsonSyntaxError),
    #[error("{field}: option `{name}` must be a string, not {found}")]
    OptionType {
        field: String,
        name: String,
        found: &'static str,
    },
    #[error("{0}: a single quote is opened and never closed")]
    OpenQuote(String),
    #[error(
        "{0}: a value outside single quotes is no GUID, number, boolean or date. Put single quotes around it \
         where the column holds text, as in $filter=phonenumber eq '{{{{CustomerEndpoint}}}}'; any other column \
         needs another value"
    )]
    NotALiteral(String),
    #[error(
        "{field}: the address is {length} characters long; the service takes 32,768 at the most"
    )]
    TooLong { field: String, length: usize },
    #[error(
        "{0}: write `fetchXml` in the JSON form, {{\"fetchXml\": \"<fetch>...</fetch>\"}}; only there are values escaped for XML"
    )]
    FetchXmlInText(String),
    #[error(
        "{0}: write FetchXML as it is, beginning with `<`; it is percent-encoded when it is sent"
    )]
    EncodedFetchXml(String),
}

impl Address {
    /// Compiles a query string as the configuration gives it.
    ///
    /// # Errors
    /// [`AddressError`] for a template that does not compile, a JSON object that does not parse, a
    /// quote that is left open, or FetchXML where it cannot be escaped.
    pub fn compile(
        field: &str,
        source: &str,
        convention: Convention,
        templates: &mut Templates,
    ) -> Result<Address, AddressError> {
        let source = source.trim();
        let form = if source.is_empty() {
            Form::Empty
        } else if source.starts_with('{') && !source.starts_with("{{") && !source.starts_with("{%")
        {
            Form::Options(compile_options(field, source, convention, templates)?)
        } else {
            let template = templates.add(field, source, Strictness::Strict)?;
            if convention == Convention::OData {
                if names_fetch_xml(&template.text()) {
                    return Err(AddressError::FetchXmlInText(field.to_owned()));
                }
                check_quotes(field, &template)?;
            }
            Form::Text(template)
        };
        Ok(Address {
            field: field.to_owned(),
            convention,
            has_path: source.starts_with(['(', '/']),
            form,
        })
    }

    /// Whether the address uses any response of this kind.
    pub fn uses(&self, uses: impl Fn(&ResponseUse) -> bool) -> bool {
        self.responses().any(uses)
    }

    /// Whether more than a query follows the entity set: a record's key, or a path.
    pub fn has_path(&self) -> bool {
        self.has_path
    }

    /// The steps' responses that the address uses.
    pub fn responses(&self) -> impl Iterator<Item = &ResponseUse> {
        self.templates().into_iter().flat_map(Template::responses)
    }

    /// The names that the address looks up; see [`Template::names`].
    pub fn names_used(&self, templates: &Templates) -> Vec<NameUse> {
        let own = self.templates().into_iter();
        own.flat_map(|template| template.names(templates)).collect()
    }

    /// The known names that stand as plain words in the address; see [`Template::names_in_text`].
    pub fn names_in_text(&self, known: &[&str]) -> Vec<NameUse> {
        let own = self.templates().into_iter();
        own.flat_map(|template| template.names_in_text(known))
            .collect()
    }

    fn templates(&self) -> Vec<&Template> {
        match &self.form {
            Form::Empty => vec![],
            Form::Text(template) => vec![template],
            Form::Options(options) => options.iter().map(|option| &option.template).collect(),
        }
    }

    /// Renders the address: what is to follow `root` (an entity set or a page) in the URL.
    ///
    /// # Errors
    /// [`AddressError`] when a value is missing, empty or not what may stand there, and when the
    /// address becomes too long.
    pub fn render(
        &self,
        root: &str,
        templates: &Templates,
        scope: &Arc<Scope>,
    ) -> Result<String, AddressError> {
        let mut url = Encoder::new(root);
        match &self.form {
            Form::Empty => {}
            Form::Text(template) => {
                let pieces = templates.render_pieces(template, scope)?;
                if !matches!(pieces.first(), Some(Piece::Literal(text)) if text.starts_with(['(', '?', '/']))
                {
                    url.text.push('?');
                }
                let rules = match self.convention {
                    Convention::OData => Rules::OData,
                    Convention::Page => Rules::Page,
                };
                url.pieces(&self.field, &pieces, rules)?;
            }
            Form::Options(options) => {
                url.in_option = true;
                for (index, option) in options.iter().enumerate() {
                    url.text.push(if index == 0 { '?' } else { '&' });
                    url.text
                        .extend(utf8_percent_encode(&option.name, KEEP_IN_NAME));
                    url.text.push('=');
                    let pieces = templates.render_pieces(&option.template, scope)?;
                    url.pieces(&option.field, &pieces, option.rules)?;
                }
            }
        }
        url.finish(&self.field)
    }
}

/// The value of one query option of a request, compiled: of `$filter`.
#[derive(Debug, Clone)]
pub struct OptionValue {
    field: String,
    template: Template,
}

impl OptionValue {
    /// Compiles an option's value; `field` is its place in the configuration.
    ///
    /// # Errors
    /// [`AddressError`] for a template that does not compile, or a quote that is left open.
    pub fn compile(
        field: &str,
        source: &str,
        templates: &mut Templates,
    ) -> Result<OptionValue, AddressError> {
        let template = templates.add(field, source.trim(), Strictness::Strict)?;
        check_quotes(field, &template)?;
        Ok(OptionValue {
            field: field.to_owned(),
            template,
        })
    }

    /// The responses that it uses.
    pub fn responses(&self) -> &[ResponseUse] {
        self.template.responses()
    }

    /// Renders the value, encoded.
    ///
    /// # Errors
    /// [`AddressError`] as for an [`Address`].
    pub fn render(
        &self,
        templates: &Templates,
        scope: &Arc<Scope>,
    ) -> Result<String, AddressError> {
        let pieces = templates.render_pieces(&self.template, scope)?;
        let mut url = Encoder::new("");
        url.in_option = true;
        url.pieces(&self.field, &pieces, Rules::OData)?;
        url.finish(&self.field)
    }
}

fn compile_options(
    field: &str,
    source: &str,
    convention: Convention,
    templates: &mut Templates,
) -> Result<Vec<QueryOption>, AddressError> {
    parse_object(field, source)?
        .into_iter()
        .map(|(name, value)| {
            let source = match value {
                Json::String(source) => source,
                Json::Number(number) => number.to_string(),
                Json::Bool(value) => value.to_string(),
                other => {
                    return Err(AddressError::OptionType {
                        field: field.to_owned(),
                        name,
                        found: crate::event::json_type(&other),
                    });
                }
            };
            let field = format!("{field}.{name}");
            let template = templates.add(&field, &source, Strictness::Strict)?;
            let rules = match convention {
                Convention::Page => Rules::Page,
                Convention::OData if is_fetch_xml(&name) => Rules::FetchXml,
                Convention::OData => Rules::OData,
            };
            match rules {
                Rules::FetchXml if template.text().trim_start().starts_with('%') => {
                    return Err(AddressError::EncodedFetchXml(field));
                }
                Rules::OData => check_quotes(&field, &template)?,
                Rules::FetchXml | Rules::Page => {}
            }
            Ok(QueryOption {
                field,
                name,
                rules,
                template,
            })
        })
        .collect()
}

/// Outside of expressions every single quote is the author's; an odd number leaves one open.
pub(super) fn check_quotes(field: &str, template: &Template) -> Result<(), AddressError> {
    if template.text().matches('\'').count() % 2 == 1 {
        return Err(AddressError::OpenQuote(field.to_owned()));
    }
    Ok(())
}

/// Whether one of the options of a query string is `fetchXml`.
fn names_fetch_xml(text: &str) -> bool {
    text.split(['?', '&'])
        .filter_map(|option| option.split_once('='))
        .any(|(name, _)| is_fetch_xml(&percent_decode_str(name).decode_utf8_lossy()))
}

const KEEP_IN_NAME: &AsciiSet = &UNRESERVED.remove(b'$').remove(b'@');
/// What an author may write to structure an address.
const KEEP_IN_LITERAL: &AsciiSet = &UNRESERVED
    .remove(b'/')
    .remove(b'(')
    .remove(b')')
    .remove(b'=')
    .remove(b',')
    .remove(b'$')
    .remove(b'@')
    .remove(b':')
    .remove(b';')
    .remove(b'*')
    .remove(b'!')
    .remove(b'?')
    .remove(b'&');

/// How a stretch of an address is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    OData,
    FetchXml,
    Page,
}

/// Writes an address piece by piece, knowing whether it is inside single quotes.
pub(super) struct Encoder {
    text: String,
    in_quotes: bool,
    /// Inside one option of a JSON object, where `&`, `=` and `?` are text.
    in_option: bool,
}

impl Encoder {
    pub(super) fn new(root: &str) -> Encoder {
        Encoder {
            text: root.to_owned(),
            in_quotes: false,
            in_option: false,
        }
    }

    /// Writes the pieces of one template. `field` is named by an error.
    pub(super) fn pieces(
        &mut self,
        field: &str,
        pieces: &[Piece],
        rules: Rules,
    ) -> Result<(), AddressError> {
        for piece in pieces {
            let value = match piece {
                Piece::Value(value) => value,
                Piece::Literal(text) => {
                    self.literal(text, rules);
                    continue;
                }
            };
            let encoded = match rules {
                Rules::Page => encode(value),
                Rules::FetchXml => encode_xml(value),
                Rules::OData if self.in_quotes => encode_quoted(value),
                Rules::OData if is_plain_literal(value) => encode(value),
                Rules::OData => return Err(AddressError::NotALiteral(field.to_owned())),
            };
            self.text.push_str(&encoded);
        }
        if self.in_quotes {
            return Err(AddressError::OpenQuote(field.to_owned()));
        }
        Ok(())
    }

    fn literal(&mut self, text: &str, rules: Rules) {
        for (at, c) in text.char_indices() {
            if c == '\'' && rules == Rules::OData {
                self.in_quotes = !self.in_quotes;
                self.text.push('\'');
                continue;
            }
            // The author may have encoded it. In XML a percent sign is one: `like '%ad%'`.
            if is_encoded(&text[at..]) && rules != Rules::FetchXml {
                self.text.push('%');
                continue;
            }
            let is_text = self.in_quotes
                || rules == Rules::FetchXml
                || self.in_option && matches!(c, '&' | '=' | '?');
            let keep = if is_text { UNRESERVED } else { KEEP_IN_LITERAL };
            let mut buffer = [0; 4];
            self.text
                .extend(utf8_percent_encode(c.encode_utf8(&mut buffer), keep));
        }
    }

    /// The address, when it is not too long.
    pub(super) fn finish(self, field: &str) -> Result<String, AddressError> {
        let length = self.text.len();
        if length > MAX_URL_LENGTH {
            return Err(AddressError::TooLong {
                field: field.to_owned(),
                length,
            });
        }
        Ok(self.text)
    }
}

/// Whether a text begins with a percent-encoded byte.
fn is_encoded(text: &str) -> bool {
    matches!(text.as_bytes(), [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Source;
    use proptest::prelude::*;
    use serde_json::json;

    fn scope_with(attributes: Json) -> Arc<Scope> {
        let mut scope = Scope::of_contact(json!({
            "CustomerEndpoint": {"Address": "+15550100"},
            "SystemEndpoint": {"Address": ""},
            "Attributes": attributes,
        }));
        scope.set("appid", "a0000000-0000-0000-0000-000000000001");
        scope.set_response(
            2,
            &json!({"activityid": "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90", "empty": ""}),
        );
        Arc::new(scope)
    }

    fn render(source: &str, convention: Convention, attributes: Json) -> Result<String, String> {
        let mut templates = Templates::default();
        Address::compile(
            "contact-end queryString",
            source,
            convention,
            &mut templates,
        )
        .and_then(|address| address.render("phonecalls", &templates, &scope_with(attributes)))
        .map_err(|error| error.to_string())
    }

    #[test]
    fn the_references_forms_become_addresses() {
        for (source, convention, expected) in [
            ("", Convention::OData, "phonecalls"),
            (
                "(STEP2-Response.activityid)",
                Convention::OData,
                "phonecalls(5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90)",
            ),
            (
                "({{STEP2-Response.activityid}})?$select=subject, statecode",
                Convention::OData,
                "phonecalls(5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90)?$select=subject,%20statecode",
            ),
            (
                "$filter=phonenumber eq '{{CustomerEndpoint}}' and seconds gt {{seconds}}&$top=1",
                Convention::OData,
                "phonecalls?$filter=phonenumber%20eq%20'%2B15550100'%20and%20seconds%20gt%2061&$top=1",
            ),
            (
                "(emailaddress1='{{mail}}')",
                Convention::OData,
                "phonecalls(emailaddress1='o%27%27hara%40example.com')",
            ),
            (
                r#"{"$filter": "contains(subject,'A&B') and phonenumber eq '{{CustomerEndpoint}}'", "$top": 1}"#,
                Convention::OData,
                "phonecalls?$filter=contains(subject,'A%26B')%20and%20phonenumber%20eq%20'%2B15550100'&$top=1",
            ),
            (
                "{ \"appid\": \"{{appid}}\", \"pagetype\":\n\"entityrecord\", \"etn\": \"phonecall\", \"id\":\n\"{{STEP2-Response.activityid}}\"}",
                Convention::Page,
                "phonecalls?appid=a0000000-0000-0000-0000-000000000001&pagetype=entityrecord&etn=phonecall&id=5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90",
            ),
            (
                "?pagetype=search&q={{mail}}",
                Convention::Page,
                "phonecalls?pagetype=search&q=o%27hara%40example.com",
            ),
            (
                "?$filter=name eq 'a%27b'",
                Convention::OData,
                "phonecalls?$filter=name%20eq%20'a%27b'",
            ),
        ] {
            let attributes = json!({"seconds": "61", "mail": "o'hara@example.com"});
            assert_eq!(
                render(source, convention, attributes).as_deref(),
                Ok(expected),
                "{source}"
            );
        }
    }

    #[test]
    fn a_query_string_without_its_mark_gets_one() {
        for (source, expected) in [
            ("$top=1", "phonecalls?$top=1"),
            ("?$top=1", "phonecalls?$top=1"),
            ("(1)", "phonecalls(1)"),
            ("/$count", "phonecalls/$count"),
            ("{{n}}", "phonecalls?7"),
        ] {
            let url = render(source, Convention::OData, json!({"n": "7"}));
            assert_eq!(url.as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_the_author_encoded_stays_and_any_other_percent_sign_is_encoded() {
        for (written, expected) in [
            ("a%27b%2fc%2F", "a%27b%2fc%2F"),
            ("%", "%25"),
            ("%2", "%252"),
            ("%2g", "%252g"),
            ("%g2", "%25g2"),
            ("100%", "100%25"),
        ] {
            for source in [format!("?q={written}"), format!("?q='{written}'")] {
                let url = render(&source, Convention::OData, json!({})).unwrap();
                assert_eq!(url.replace('\'', ""), format!("phonecalls?q={expected}"));
            }
        }
    }

    #[test]
    fn what_structures_an_address_is_text_in_quotes_and_in_an_option() {
        let signs = "/(),$@:;*!?&=";
        let encoded = "%2F%28%29%2C%24%40%3A%3B%2A%21%3F%26%3D";
        for (source, expected) in [
            (format!("?q={signs}"), format!("?q={signs}")),
            (format!("?q='{signs}'"), format!("?q='{encoded}'")),
            (
                format!("{{\"q\": \"{signs}\"}}"),
                "?q=/(),$@:;*!%3F%26%3D".into(),
            ),
        ] {
            let url = render(&source, Convention::OData, json!({}));
            assert_eq!(url, Ok(format!("phonecalls{expected}")), "{source}");
        }
    }

    #[test]
    fn every_option_of_the_json_form_obeys_odata() {
        let render = |source, value: &str| render(source, Convention::OData, json!({"v": value}));
        assert_eq!(
            render(
                r#"{"$filter": "lastname eq @p", "@p": "'{{ v }}'"}"#,
                "o'hara' or true or '"
            )
            .unwrap(),
            "phonecalls?$filter=lastname%20eq%20@p&@p='o%27%27hara%27%27%20or%20true%20or%20%27%27'"
        );
        for source in [
            r#"{"$filter": "a eq @p", "@p": "{{ v }}"}"#,
            r#"{"savedQuery": "{{ v }}"}"#,
        ] {
            let error = render(source, "1 or true").unwrap_err();
            assert!(
                error.contains("a value outside single quotes is no GUID"),
                "{source}: {error}"
            );
            assert!(render(source, "5").unwrap().ends_with("=5"), "{source}");
        }
    }

    #[test]
    fn a_value_in_fetch_xml_never_adds_a_condition() {
        let source = r#"{"fetchXml": "<fetch><entity name='contact'><filter><condition attribute=\"telephone1\" operator='like' value='%ad%{{ v }}'/><value>{{ v | e }}</value></filter></entity></fetch>", "$top": 1}"#;
        let attack = "x'/>\"&<condition attribute='statecode' operator='ge' value='0";
        let url = render(source, Convention::OData, json!({"v": attack})).unwrap();
        let (xml, rest) = url
            .strip_prefix("phonecalls?fetchXml=")
            .unwrap()
            .split_once('&')
            .unwrap();
        assert_eq!(rest, "$top=1");
        let escaped = "x&apos;/&gt;&quot;&amp;&lt;condition attribute=&apos;statecode&apos; operator=&apos;ge&apos; value=&apos;0";
        assert_eq!(
            percent_decode_str(xml).decode_utf8().unwrap(),
            format!(
                "<fetch><entity name='contact'><filter><condition attribute=\"telephone1\" operator='like' value='%ad%{escaped}'/><value>{escaped}</value></filter></entity></fetch>"
            )
        );
        assert!(
            xml.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte))
        );
    }

    #[test]
    fn fetch_xml_is_taken_only_where_its_values_can_be_escaped() {
        let compile = |source, convention| {
            Address::compile("f", source, convention, &mut Templates::default()).map(|_| ())
        };
        for source in [
            "fetchXml=<fetch/>",
            "?fetchXml=<fetch/>",
            "?$top=1&FetchXML = {{ v }}",
            "?fetch%58ml=<a b='",
        ] {
            let refused = Err(AddressError::FetchXmlInText("f".into()));
            assert_eq!(compile(source, Convention::OData), refused, "{source}");
        }
        for source in ["?$filter=subject eq 'fetchXml'", "?$select=fetchXml&$top=1"] {
            assert_eq!(compile(source, Convention::OData), Ok(()), "{source}");
        }
        assert_eq!(compile("?fetchXml={{ v }}", Convention::Page), Ok(()));
        assert_eq!(
            compile(r#"{"fetchxml": "%3Cfetch%3E"}"#, Convention::OData),
            Err(AddressError::EncodedFetchXml("f.fetchxml".into()))
        );
        assert_eq!(
            AddressError::FetchXmlInText("f".into()).to_string(),
            r#"f: write `fetchXml` in the JSON form, {"fetchXml": "<fetch>...</fetch>"}; only there are values escaped for XML"#
        );
        assert_eq!(
            AddressError::EncodedFetchXml("f".into()).to_string(),
            "f: write FetchXML as it is, beginning with `<`; it is percent-encoded when it is sent"
        );
    }

    #[test]
    fn a_quote_in_a_pages_address_is_text() {
        for source in ["?title=it's {{ v }}", r#"{"title": "it's {{ v }}"}"#] {
            assert_eq!(
                render(source, Convention::Page, json!({"v": "o'hara & co"})).unwrap(),
                "phonecalls?title=it%27s%20o%27hara%20%26%20co",
                "{source}"
            );
        }
    }

    #[test]
    fn a_quote_that_only_a_contact_leaves_open_is_refused() {
        for source in [
            "?$filter=a eq 'x{% if v %}'{% endif %}",
            r#"{"$filter": "a eq 'x{% if v %}'{% endif %}"}"#,
        ] {
            assert_eq!(
                render(source, Convention::OData, json!({"v": "1"})).unwrap(),
                "phonecalls?$filter=a%20eq%20'x'"
            );
            let error = render(source, Convention::OData, json!({})).unwrap_err();
            assert!(
                error.ends_with(": a single quote is opened and never closed"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_address_may_be_as_long_as_the_service_takes_and_no_longer() {
        let length = 32_768 - "phonecalls?q=".len();
        let render = |length: usize| {
            render(
                &format!("?q={}", "a".repeat(length)),
                Convention::OData,
                json!({}),
            )
        };
        assert_eq!(render(length).unwrap().len(), 32_768);
        assert_eq!(
            render(length + 1).unwrap_err(),
            "contact-end queryString: the address is 32769 characters long; the service takes 32,768 at the most"
        );
    }

    #[test]
    fn an_address_tells_what_it_uses() {
        let mut templates = Templates::default();
        let mut compile = |source: &str| {
            let field = format!("f{}", source.len());
            Address::compile(&field, source, Convention::OData, &mut templates).unwrap()
        };
        let none = compile(" ");
        let text = compile("?$filter=Channel eq '{{ Channel }}' and id eq {{ STEP2-Response.id }}");
        let options = compile(r#"{"$top": 1, "$filter": "Channel eq '{{ Queue.Name }}'"}"#);
        assert!(!none.has_path() && !text.has_path() && !options.has_path());
        assert!(compile("(1)?$select=a").has_path() && compile("/Action").has_path());
        let responses: Vec<_> = text.responses().map(|used| &used.source).collect();
        assert_eq!(responses, [&Source::Step(2)]);
        let show = |uses: Vec<NameUse>| -> Vec<String> {
            uses.into_iter()
                .map(|used| format!("{} {}:{}", used.name, used.line, used.column))
                .collect()
        };
        assert_eq!(
            show(text.names_used(&templates)),
            ["Channel 1:25", "STEP2-Response.id 1:50"]
        );
        assert_eq!(show(options.names_used(&templates)), ["Queue.Name 1:16"]);
        assert_eq!(show(text.names_in_text(&["Channel"])), ["Channel 1:10"]);
        assert_eq!(show(options.names_in_text(&["Channel"])), ["Channel 1:1"]);
        assert!(none.names_used(&templates).is_empty());
    }

    #[test]
    fn a_missing_or_empty_value_is_an_error_that_names_it() {
        for (source, expected) in [
            (
                "(STEP4-Response.activityid)",
                "the contact has no STEP4-Response",
            ),
            (
                "(STEP2-Response.nothing)",
                "the contact has no STEP2-Response.nothing",
            ),
            ("({{ Nothing }})", "the contact has no Nothing"),
            ("({{ Nothing | upper }})", "the contact has no Nothing"),
            ("(STEP2-Response.empty)", "a value is empty"),
            ("(name='{{ Nothing }}')", "the contact has no Nothing"),
            (
                "(name='{{ SystemEndpoint }}')",
                "the contact has no SystemEndpoint",
            ),
            (
                "(name='{{ Attributes[who] }}')",
                "the contact has no Attributes[...],",
            ),
            ("({{ STEP2-Response }})", "a whole object"),
        ] {
            let attributes = json!({"who": "Ada Lovelace"});
            let error = render(source, Convention::OData, attributes).unwrap_err();
            assert!(
                error.starts_with("contact-end queryString, line 1") && error.contains(expected),
                "{source}: {error}"
            );
        }
    }

    #[test]
    fn mistakes_are_found_when_the_address_is_compiled() {
        for (source, expected) in [
            ("(name='x)", "a single quote is opened and never closed"),
            (
                "{\"$filter\": \"name eq '{{ v }}\"}",
                "contact-end queryString.$filter: a single quote is opened and never closed",
            ),
            ("{\"a\": }", "line 1, column 7"),
            ("{\"a\": []}", "option `a` must be a string, not an array"),
            ("({{ Channel )", "contact-end queryString, line 1"),
            (
                "(name='x{# ' #})",
                "a single quote is opened and never closed",
            ),
            (
                "({% autoescape false %}{{x}}{% endautoescape %})",
                "`autoescape` has no place",
            ),
        ] {
            let mut templates = Templates::default();
            let error = Address::compile(
                "contact-end queryString",
                source,
                Convention::OData,
                &mut templates,
            )
            .unwrap_err();
            assert!(error.to_string().contains(expected), "{source}: {error}");
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            r#"['"()/?&=#%$ ,;.:+a-c0-9-]{1,30}"#,
            prop::sample::select(vec![
                "')/accounts",
                "' or 1 eq 1 or '",
                "x&$expand=y",
                "%27",
                "%2F..%2F",
                "../..",
                "#",
                "?",
                "\u{0}",
                "1)/contacts(2",
                "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90)/x",
                "true or true",
            ])
            .prop_map(str::to_owned),
        ]
    }

    proptest! {
        #[test]
        fn a_quoted_value_stays_one_literal_in_key_and_filter(value in hostile()) {
            prop_assume!(!value.is_empty());
            for source in ["(name='{{v}}')", "?$filter=name eq '{{v}}' and a eq 1&$top=1", "{\"$filter\": \"name eq '{{v}}' and a eq 1\", \"$top\": 1}"] {
                let url = render(source, Convention::OData, json!({"v": value.clone()})).unwrap();
                let url = url::Url::parse(&format!("https://example.com/api/{url}")).unwrap();
                prop_assert_eq!(url.path_segments().unwrap().count(), 2);
                prop_assert_eq!(url.fragment(), None);
                let decoded = match url.query() {
                    None => percent_encoding::percent_decode_str(url.path()).decode_utf8().unwrap().into_owned(),
                    Some(query) => {
                        prop_assert_eq!(query.split('&').count(), 2);
                        let filter = query.split('&').next().unwrap();
                        percent_encoding::percent_decode_str(filter).decode_utf8().unwrap().into_owned()
                    }
                };
                let doubled = value.replace('\'', "''");
                prop_assert!(decoded.contains(&format!("'{doubled}'")), "{}", decoded);
                // The quotes that delimit are the template's two: all others come in pairs.
                let (_, literal) = decoded.split_once('\'').unwrap();
                let mut chars = literal.char_indices().peekable();
                let end = loop {
                    match chars.next().unwrap() {
                        (_, '\'') if chars.peek().is_some_and(|(_, next)| *next == '\'') => { chars.next(); }
                        (at, '\'') => break at,
                        _ => {}
                    }
                };
                prop_assert_eq!(&literal[..end], doubled);
            }
        }

        #[test]
        fn an_unquoted_value_is_a_plain_literal_or_refused(value in hostile()) {
            if let Ok(url) = render("({{v}})", Convention::OData, json!({"v": value.clone()})) {
                prop_assert!(is_plain_literal(&value));
                let encoded = utf8_percent_encode(&value, UNRESERVED).to_string();
                prop_assert_eq!(url, format!("phonecalls({encoded})"));
            }
        }

        #[test]
        fn a_pages_value_never_adds_a_parameter(value in hostile()) {
            prop_assume!(!value.is_empty());
            for source in ["?a={{v}}&b=1", "{\"a\": \"{{v}}\", \"b\": \"1\"}"] {
                let url = render(source, Convention::Page, json!({"v": value.clone()})).unwrap();
                let url = url::Url::parse(&format!("https://example.com/{url}")).unwrap();
                let pairs: Vec<(String, String)> = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
                prop_assert_eq!(pairs, vec![("a".into(), value.clone()), ("b".into(), "1".into())]);
                prop_assert_eq!(url.fragment(), None);
            }
        }
    }
}
