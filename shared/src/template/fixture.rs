//! What the language's tests share: a call, and a way to render one template for it.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Rendered, Scope, Strictness, Templates};

/// A call with some attributes of each kind, and the response of contact-start.
pub(super) fn call() -> Arc<Scope> {
    scope_of(json!({
        "Channel": "VOICE", "CustomerEndpoint": {"Address": "+15550100", "Type": "TELEPHONE_NUMBER"},
        "Queue": {"Name": "Support"}, "TransferredToEndpoint": {"Address": null, "Type": "TELEPHONE_NUMBER"},
        "InitiationTimestamp": "2026-02-04T21:14:16Z", "DisconnectTimestamp": "2026-02-04T21:16:17Z",
        "Attributes": {"seconds": "61", "Account-Number": "7", "first name": "Ada", "a": "5", "b": "3", "bad": "x"}
    }))
}

/// A contact of this data, with the response of contact-start.
pub(super) fn scope_of(contact_data: Json) -> Arc<Scope> {
    let mut scope = Scope::of_contact(contact_data);
    scope.set("appid", "a0000000-0000-0000-0000-000000000001");
    scope.set("objectUrl", "https://recordings.example.com/a.wav");
    scope.set_response(
        2,
        &json!({"activityid": "42", "nested": {"a-b": [1, {"c": "deep"}]}}),
    );
    Arc::new(scope)
}

pub(super) fn render(source: &str, scope: &Arc<Scope>) -> Rendered {
    let mut templates = Templates::default();
    let template = templates
        .add("contact-start body.field", source, Strictness::Lenient)
        .unwrap_or_else(|error| panic!("{source}: {error}"));
    templates
        .render(&template, scope)
        .unwrap_or_else(|error| panic!("{source}: {error}"))
}

pub(super) fn value(source: &str) -> Json {
    render(source, &call()).value.expect("a value")
}

pub(super) fn refusal(source: &str) -> String {
    Templates::default()
        .add("contact-start body.subject", source, Strictness::Lenient)
        .unwrap_err()
        .to_string()
}
