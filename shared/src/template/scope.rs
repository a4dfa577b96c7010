//! Everything that a template can name, for one step of one contact.
//!
//! Owns the names that the product adds to a contact's attributes: the integration's settings
//! (`appid`, ...), the steps' responses (`STEP2-Response`) and the recording bucket's objects
//! (`objectUrl`, `recordingUrl`, ...).

use serde_json::{Map, Value};

use crate::contact::Attributes;

/// What a step's templates see.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    attributes: Attributes,
    product: Map<String, Value>,
}

/// Names that only the product gives a meaning: an attribute of the same name never shows through.
const PRODUCT_NAMES: &[&str] = &[
    "analysisUrl",
    "apiVersion",
    "appid",
    "bucket",
    "clientId",
    "environmentUri",
    "integration",
    "objectKey",
    "objectKind",
    "objectUrl",
    "recordingBucket",
    "recordingUrl",
    "scope",
    "tenantId",
    "transcriptUrl",
];

impl Scope {
    pub fn new(attributes: Attributes) -> Scope {
        Scope {
            attributes,
            product: Map::new(),
        }
    }

    /// Sets one of the product's own names.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.product.insert(name.into(), value.into());
    }

    /// Makes a step's response known as `STEP<number>-Response`.
    ///
    /// A query answers with a list under `value`; the fields of its first record can be named as if
    /// the response were that record, so a step that finds a record and one that creates it are
    /// used alike.
    pub fn set_response(&mut self, number: u8, response: &Value) {
        let mut response = response.clone();
        if let Value::Object(fields) = &mut response
            && let Some(Value::Object(first)) = fields
                .get("value")
                .and_then(Value::as_array)
                .and_then(|records| records.first())
                .cloned()
        {
            for (name, value) in first {
                fields.entry(name).or_insert(value);
            }
        }
        self.set(response_name(number), response);
    }

    /// What a name means, or none when nothing bears it. Null is as good as nothing, and so is an
    /// endpoint whose address is empty: there is nobody at it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let value = match self.product.get(name) {
            Some(value) => Some(value),
            None if PRODUCT_NAMES.contains(&name) || name.ends_with("-Response") => None,
            None => self.attributes.get(name),
        };
        value.filter(|value| {
            let is_nobody = name.ends_with("Endpoint")
                && value.get("Address").and_then(Value::as_str) == Some("");
            !value.is_null() && !is_nobody
        })
    }

    /// The user-defined attributes: the map that `Attributes` names.
    pub fn user_attributes(&self) -> &Map<String, Value> {
        self.attributes.user()
    }
}

#[cfg(test)]
impl Scope {
    /// The scope of a flow's event with this `ContactData`, which needs no contact id.
    pub(crate) fn of_contact(mut contact_data: Value) -> Scope {
        use crate::{contact::Contact, event::Event};
        contact_data["ContactId"] = "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90".into();
        let event = serde_json::json!({"Details": {"ContactData": contact_data}});
        let Ok(Event::Flow(event)) = Event::parse(event) else {
            panic!("no flow event")
        };
        Scope::new(Contact::try_from(event).unwrap().attributes)
    }
}

/// The name of a step's response in templates: `STEP2-Response` for `contact-start`.
pub fn response_name(number: u8) -> String {
    format!("STEP{number}-Response")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_record_of_a_query_can_be_named_like_a_created_one() {
        let mut scope = Scope::default();
        scope.set_response(
            2,
            &json!({"@odata.context": "x", "value": [{"contactid": "1"}, {"contactid": "2"}]}),
        );
        let response = scope.get("STEP2-Response").unwrap();
        assert_eq!(response["contactid"], "1");
        assert_eq!(response["value"][1]["contactid"], "2");
    }
}
