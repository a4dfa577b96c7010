//! Addresses: what follows the service's root in a request's URL, rendered so that no attribute
//! can change what is addressed.
//!
//! Owns the encoding rules. In an OData address
//! (<https://docs.oasis-open.org/odata/odata/v4.0/odata-v4.0-part2-url-conventions.html>) a value
//! inside single quotes has its quotes doubled and is then percent-encoded whole; outside quotes it
//! must be a plain literal (GUID, number, boolean, date) or it is refused. In a page's address a
//! value is percent-encoded whole.

use std::sync::Arc;

use percent_encoding::{AsciiSet, utf8_percent_encode};
use serde_json::Value as Json;

use super::{JsonSyntaxError, parse_object};
use crate::{
    dataverse::literal::{MAX_URL_LENGTH, UNRESERVED, encode, encode_quoted, is_plain_literal},
    template::{Piece, ResponseUse, Scope, Strictness, Template, TemplateError, Templates},
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
}

#[derive(Debug, Clone)]
enum Form {
    Empty,
    /// As it follows the entity set: `(key)`, `?$filter=...`, `(key)?$select=...`.
    Text(Template),
    /// A JSON object: each field a query option.
    Options(Vec<(String, Template)>),
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
        "{0}: a value outside single quotes is no GUID, number, boolean or date. Put single quotes around it, \
         as in $filter=phonenumber eq '{{{{CustomerEndpoint}}}}'"
    )]
    NotALiteral(String),
    #[error(
        "{field}: the address is {length} characters long; the service takes 32,768 at the most"
    )]
    TooLong { field: String, length: usize },
}

impl Address {
    /// Compiles a query string as the configuration gives it.
    ///
    /// # Errors
    /// [`AddressError`] for a template that does not compile, a JSON object that does not parse or
    /// a quote that is left open.
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
            Form::Options(compile_options(field, source, templates)?)
        } else {
            // Outside expressions every quote is the author's; an odd number leaves one open.
            let mut literal = String::new();
            let mut rest = source;
            while let Some(open) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
                literal.push_str(&rest[..open]);
                let close = if rest[open..].starts_with("{{") {
                    "}}"
                } else {
                    "%}"
                };
                rest = rest[open..]
                    .find(close)
                    .map_or("", |end| &rest[open + end + 2..]);
            }
            literal.push_str(rest);
            if literal.matches('\'').count() % 2 == 1 {
                return Err(AddressError::OpenQuote(field.to_owned()));
            }
            Form::Text(templates.add(field, source, Strictness::Strict)?)
        };
        Ok(Address {
            field: field.to_owned(),
            convention,
            form,
        })
    }

    /// Whether nothing follows the entity set.
    pub fn is_empty(&self) -> bool {
        matches!(self.form, Form::Empty)
    }

    /// The steps' responses that the address uses.
    pub fn responses(&self) -> impl Iterator<Item = &ResponseUse> {
        let templates: Vec<&Template> = match &self.form {
            Form::Empty => vec![],
            Form::Text(template) => vec![template],
            Form::Options(options) => options.iter().map(|(_, template)| template).collect(),
        };
        templates.into_iter().flat_map(Template::responses)
    }

    /// Renders the address: what is to follow `root` (an entity set or a page) in the URL.
    ///
    /// # Errors
    /// [`AddressError`] when a value is missing, empty or not what may stand there.
    pub fn render(
        &self,
        root: &str,
        templates: &Templates,
        scope: &Arc<Scope>,
    ) -> Result<String, AddressError> {
        let mut url = Encoder::new(root, &self.field);
        match &self.form {
            Form::Empty => {}
            Form::Text(template) => {
                let pieces = templates.render_pieces(template, scope)?;
                if !matches!(pieces.first(), Some(Piece::Literal(text)) if text.starts_with(['(', '?', '/']))
                {
                    url.literal("?");
                }
                url.pieces(&pieces, self.convention)?;
            }
            Form::Options(options) => {
                for (index, (name, template)) in options.iter().enumerate() {
                    url.literal(if index == 0 { "?" } else { "&" });
                    url.text
                        .push_str(&utf8_percent_encode(name, KEEP_IN_NAME).to_string());
                    url.text.push('=');
                    let convention = match name.starts_with('$') {
                        true => self.convention,
                        false => Convention::Page,
                    };
                    let pieces = templates.render_pieces(template, scope)?;
                    url.in_option = true;
                    url.pieces(&pieces, convention)?;
                    url.close()?;
                    url.in_option = false;
                }
            }
        }
        url.close()?;
        match url.text.len() {
            length if length > MAX_URL_LENGTH => Err(AddressError::TooLong {
                field: self.field.clone(),
                length,
            }),
            _ => Ok(url.text),
        }
    }
}

fn compile_options(
    field: &str,
    source: &str,
    templates: &mut Templates,
) -> Result<Vec<(String, Template)>, AddressError> {
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
            let template =
                templates.add(&format!("{field}.{name}"), &source, Strictness::Strict)?;
            Ok((name, template))
        })
        .collect()
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

/// Writes an address piece by piece, knowing whether it is inside single quotes.
struct Encoder<'a> {
    text: String,
    field: &'a str,
    in_quotes: bool,
    /// Inside one option of a JSON object, where `&` and `=` are text.
    in_option: bool,
}

impl<'a> Encoder<'a> {
    fn new(root: &str, field: &'a str) -> Encoder<'a> {
        Encoder {
            text: root.to_owned(),
            field,
            in_quotes: false,
            in_option: false,
        }
    }

    fn pieces(&mut self, pieces: &[Piece], convention: Convention) -> Result<(), AddressError> {
        for piece in pieces {
            match (piece, convention) {
                (Piece::Literal(text), _) => self.literal(text),
                (Piece::Value(value), Convention::Page) => self.text.push_str(&encode(value)),
                (Piece::Value(value), Convention::OData) if self.in_quotes => {
                    self.text.push_str(&encode_quoted(value));
                }
                (Piece::Value(value), Convention::OData) if is_plain_literal(value) => {
                    self.text.push_str(&encode(value));
                }
                _ => return Err(AddressError::NotALiteral(self.field.to_owned())),
            }
        }
        Ok(())
    }

    fn literal(&mut self, text: &str) {
        let bytes = text.as_bytes();
        for (at, c) in text.char_indices() {
            let escaped = c == '%'
                && bytes
                    .get(at + 1..at + 3)
                    .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
            if c == '\'' {
                self.in_quotes = !self.in_quotes;
                self.text.push('\'');
            } else if escaped {
                // The author has encoded it.
                self.text.push('%');
            } else {
                let keep = match self.in_quotes || self.in_option && matches!(c, '&' | '=' | '?') {
                    true => UNRESERVED,
                    false => KEEP_IN_LITERAL,
                };
                let mut buffer = [0; 4];
                let encoded = utf8_percent_encode(c.encode_utf8(&mut buffer), keep);
                self.text.extend(encoded);
            }
        }
    }

    fn close(&self) -> Result<(), AddressError> {
        match self.in_quotes {
            true => Err(AddressError::OpenQuote(self.field.to_owned())),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn scope_with(attributes: Json) -> Arc<Scope> {
        let mut scope = Scope::of_contact(
            json!({"CustomerEndpoint": {"Address": "+15550100"}, "Attributes": attributes}),
        );
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
            ("({{ STEP2-Response }})", "a whole object"),
        ] {
            let error = render(source, Convention::OData, json!({})).unwrap_err();
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
            ("{\"a\": }", "line 1, column 7"),
            ("{\"a\": []}", "option `a` must be a string, not an array"),
            ("({{ Channel )", "contact-end queryString, line 1"),
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
