//! Conditions: whether a request is wanted for a contact.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::template::{ResponseUse, Scope, Strictness, Template, TemplateError, Templates};

const ONE_EXPRESSION: &str = "a condition is one expression, like `Customer.count == 0`";

/// A compiled condition: an expression of the template language, with or without double curly braces.
#[derive(Debug, Clone)]
pub struct Condition {
    source: String,
    template: Template,
}

impl Condition {
    /// Compiles a condition; `field` is its place in the configuration.
    ///
    /// # Errors
    /// [`TemplateError`] when it is no expression.
    pub fn compile(
        field: &str,
        source: &str,
        templates: &mut Templates,
    ) -> Result<Condition, TemplateError> {
        let refused = |message: &str| TemplateError {
            field: field.to_owned(),
            line: 1,
            column: 1,
            message: message.to_owned(),
        };
        let source = source.trim();
        if source.is_empty() {
            return Err(refused(ONE_EXPRESSION));
        }
        let wrapped = as_template(source);
        // Those that were added before it.
        let braces = (wrapped.len() - source.len()) / 2;
        let template = templates.add(field, &wrapped, Strictness::Lenient);
        let template = template.map_err(|error| TemplateError {
            column: match error.line {
                1 => error.column.saturating_sub(braces).max(1),
                _ => error.column,
            },
            ..error
        })?;
        let bare = wrapped.trim_matches(['{', '}']).trim();
        if matches!(bare, "Customer" | "not Customer") {
            return Err(refused(&format!(
                "Customer is known as soon as somebody was looked for, also when nobody was found; write `{bare}.id`"
            )));
        }
        if !template.is_single_expression() {
            return Err(refused(ONE_EXPRESSION));
        }
        Ok(Condition {
            source: source.to_owned(),
            template,
        })
    }

    /// What its author wrote.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The responses that it uses.
    pub fn responses(&self) -> &[ResponseUse] {
        self.template.responses()
    }

    /// Whether it holds for a contact. What is missing, null, false, zero or empty does not hold, and neither
    /// does the text `false`: attributes are texts.
    ///
    /// # Errors
    /// [`TemplateError`] when it cannot be worked out with these attributes.
    pub fn holds(&self, templates: &Templates, scope: &Arc<Scope>) -> Result<bool, TemplateError> {
        let value = templates.render(&self.template, scope)?.value;
        Ok(match value {
            None | Some(Json::Null) => false,
            Some(Json::Bool(value)) => value,
            Some(Json::Number(number)) => number.as_f64() != Some(0.0),
            Some(Json::String(text)) => !text.is_empty() && !text.eq_ignore_ascii_case("false"),
            Some(Json::Array(values)) => !values.is_empty(),
            Some(Json::Object(fields)) => !fields.is_empty(),
        })
    }
}

/// The expression between double curly braces.
pub(crate) fn as_template(source: &str) -> String {
    let source = source.trim();
    if source.starts_with("{{") {
        source.to_owned()
    } else {
        format!("{{{{{source}}}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(source: &str) -> Result<bool, TemplateError> {
        let mut templates = Templates::default();
        let condition = Condition::compile("f.when", source, &mut templates)?;
        let scope = Scope::of_contact(json!({
            "Channel": "VOICE",
            "Attributes": {"vip": "true", "not": "False", "empty": "", "zero": "0", "bad": "x"}
        }));
        condition.holds(&templates, &Arc::new(scope))
    }

    #[test]
    fn what_is_missing_false_or_empty_does_not_hold() {
        for (source, expected) in [
            ("Channel == 'VOICE'", true),
            ("{{ Channel == 'CHAT' }}", false),
            ("vip", true),
            ("Attributes.not", false),
            ("empty", false),
            ("Nothing", false),
            ("not Nothing", true),
            ("Nothing.count == 0", false),
            ("zero | int", false),
            ("[]", false),
            ("[1]", true),
            ("{}", false),
            ("none", false),
        ] {
            assert_eq!(holds(source), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused_with_its_place() {
        for source in [
            "",
            "Channel ==",
            "{% if x %}y{% endif %}",
            "a }} b {{ c",
            "Channel == 'x' | nope",
            "Customer",
            "{{ not Customer }}",
        ] {
            let error = holds(source).unwrap_err();
            assert_eq!(error.field, "f.when", "{source}: {error}");
        }
        assert!(holds("bad | int").is_err(), "nobody knows what it says");
    }
}
