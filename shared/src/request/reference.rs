//! References: the URL of a record as the value of a body's field.
//!
//! Owns rendering what stands under `...@odata.bind` and `@odata.id`. Dataverse takes `/contacts(...)`,
//! `contacts(...)` and an absolute URL alike
//! (<https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-entity-web-api#associate-table-rows-on-create>),
//! so nothing is added to what the author wrote; values obey the rules of an [`Address`](super::Address).

use std::sync::Arc;

use super::address::{AddressError, Encoder, Rules, check_quotes};
use crate::template::{Scope, Strictness, Template, Templates};

/// A compiled reference.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    field: String,
    template: Template,
}

impl Reference {
    /// Compiles a reference; `field` is its place in the configuration.
    ///
    /// # Errors
    /// [`AddressError`] for a template that does not compile, or a quote that is left open.
    pub(super) fn compile(
        field: &str,
        source: &str,
        templates: &mut Templates,
    ) -> Result<Reference, AddressError> {
        let template = templates.add(field, source.trim(), Strictness::Strict)?;
        check_quotes(field, &template)?;
        Ok(Reference {
            field: field.to_owned(),
            template,
        })
    }

    pub(super) fn template(&self) -> &Template {
        &self.template
    }

    /// Renders the reference.
    ///
    /// # Errors
    /// [`AddressError`] when a value is missing, empty, or would change which record is meant.
    pub(super) fn render(
        &self,
        templates: &Templates,
        scope: &Arc<Scope>,
    ) -> Result<String, AddressError> {
        let pieces = templates.render_pieces(&self.template, scope)?;
        let mut url = Encoder::new("");
        url.pieces(&self.field, &pieces, Rules::OData)?;
        url.finish(&self.field)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90";

    fn render(source: &str, value: &str) -> Result<String, AddressError> {
        let mut templates = Templates::default();
        let scope = Scope::of_contact(json!({"Attributes": {"v": value}}));
        Reference::compile("body.x@odata.bind", source, &mut templates)?
            .render(&templates, &Arc::new(scope))
    }

    #[test]
    fn every_form_that_dataverse_takes_is_sent_as_it_is_written() {
        for (source, value, expected) in [
            ("/contacts({{v}})", ID, "/contacts(ID)"),
            ("contacts({{v}})", ID, "contacts(ID)"),
            (" contacts({{v}}) ", ID, "contacts(ID)"),
            (
                "https://example.crm.dynamics.com/api/data/v9.2/contacts({{v}})",
                ID,
                "https://example.crm.dynamics.com/api/data/v9.2/contacts(ID)",
            ),
            (
                "contacts(emailaddress1='{{v}}')",
                "a',lastname='b",
                "contacts(emailaddress1='a%27%27%2Clastname%3D%27%27b')",
            ),
        ] {
            let expected = expected.replace("ID", ID);
            assert_eq!(render(source, value), Ok(expected), "{source}");
        }
    }

    #[test]
    fn a_value_that_would_change_the_record_is_refused() {
        for value in ["1)/x(2", "/accounts(1)", "https://example.com/contacts(1)"] {
            for source in ["/contacts({{v}})", "contacts({{v}})", "{{v}}"] {
                assert_eq!(
                    render(source, value),
                    Err(AddressError::NotALiteral("body.x@odata.bind".into())),
                    "{source} with {value}"
                );
            }
        }
        assert!(matches!(
            render("contacts({{v}})", ""),
            Err(AddressError::Template(error)) if error.message.contains("a value is empty")
        ));
    }

    #[test]
    fn a_quote_that_stays_open_is_found_when_the_reference_is_compiled() {
        assert_eq!(
            Reference::compile("f", "contacts(name='{{v}})", &mut Templates::default()).err(),
            Some(AddressError::OpenQuote("f".into()))
        );
    }
}
