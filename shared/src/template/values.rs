//! What templates see of a [`Scope`].
//!
//! Owns the places in a scope that expressions look up, and the note of what they found missing.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use serde_json::Value as Json;

use super::{SCOPE, Scope};

/// Names that were looked up and found missing while a template ran.
#[derive(Debug, Default)]
pub(super) struct Misses {
    /// Since the last print. `{{ a | default("x") }}` misses `a` and prints all the same.
    pending: BTreeSet<String>,
    /// Those that left a print empty.
    printed: BTreeSet<String>,
}

impl Misses {
    pub(super) fn after_print(&mut self, absent: bool) {
        if absent {
            self.printed.append(&mut self.pending);
        } else {
            self.pending.clear();
        }
    }

    pub(super) fn printed(&self) -> Vec<String> {
        self.printed.iter().cloned().collect()
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.printed.union(&self.pending).cloned().collect()
    }
}

/// A place in a [`Scope`]: the scope itself, or an object or list in it. Templates see these; the
/// scope's values are not copied for them.
#[derive(Clone)]
pub(super) struct Node {
    scope: Arc<Scope>,
    path: Vec<Key>,
    /// What the template's author wrote. Any other key came from a value, and is never told.
    written: Arc<BTreeSet<String>>,
    pub(super) misses: Arc<Mutex<Misses>>,
}

#[derive(Debug, Clone)]
enum Key {
    Name(String),
    Index(usize),
}

impl Node {
    pub(super) fn root(scope: &Arc<Scope>, written: &Arc<BTreeSet<String>>) -> Node {
        Node {
            scope: scope.clone(),
            path: Vec::new(),
            written: written.clone(),
            misses: Arc::default(),
        }
    }

    fn child(&self, key: Key) -> Node {
        let mut path = self.path.clone();
        path.push(key);
        Node {
            scope: self.scope.clone(),
            path,
            written: self.written.clone(),
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

    /// The place's name for a log: `Queue.ARN`, or `Attributes[...]` where the key came from a value.
    fn label(&self) -> String {
        let mut label = String::new();
        for key in &self.path {
            let key = match key {
                Key::Name(name) => name.clone(),
                Key::Index(index) => index.to_string(),
            };
            if !self.written.contains(&key) {
                label.push_str("[...]");
                continue;
            }
            if !label.is_empty() {
                label.push('.');
            }
            label.push_str(&key);
        }
        label
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
        if self.with_json(|json| json.is_some_and(Json::is_array)) {
            ObjectRepr::Seq
        } else {
            ObjectRepr::Map
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

pub(super) fn to_json(value: &Value) -> Json {
    if let Some(node) = value.downcast_object_ref::<Node>() {
        return node.to_json();
    }
    if value.is_undefined() {
        return Json::Null;
    }
    serde_json::to_value(value).unwrap_or(Json::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::template::fixture::{call, render, scope_of, value};

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
    fn a_key_that_came_from_a_value_is_not_told() {
        let scope = scope_of(json!({
            "Attributes": {"who": "Ada Lovelace +15550100", "n": "7", "tier": "gold"}
        }));
        for (source, missing) in [
            ("{{ Attributes[who] }}", "Attributes[...]"),
            ("{{ Attributes[who].x }}", "Attributes[...]"),
            ("{{ Attributes | attr(who) }}", "Attributes[...]"),
            ("{{ __scope[who] }}", "[...]"),
            (
                "{{ STEP2-Response.nested[who ~ 'x'].y }}",
                "STEP2-Response.nested[...]",
            ),
            (
                "{{ STEP2-Response.nested.a-b[n | int] }}",
                "STEP2-Response.nested.a-b[...]",
            ),
            (
                "{{ STEP2-Response.nested.a-b[1].d }}",
                "STEP2-Response.nested.a-b.1.d",
            ),
            ("{{ Attributes['last name'] }}", "Attributes.last name"),
            ("{{ Attributes.Account-Type }}", "Attributes.Account-Type"),
        ] {
            assert_eq!(render(source, &scope).missing, [missing], "{source}");
        }
    }

    #[test]
    fn only_an_endpoint_prints_as_its_address() {
        let scope = scope_of(json!({
            "CustomerEndpoint": {"Address": "+15550100"}, "Queue": {"Address": "here"}
        }));
        let value = |source| render(source, &scope).value;
        assert_eq!(value("{{ CustomerEndpoint }}"), Some(json!("+15550100")));
        assert_eq!(value("{{ Queue }}"), Some(json!({"Address": "here"})));
    }

    #[test]
    fn lists_and_objects_can_be_gone_through_and_shown() {
        for (source, expected) in [
            (
                "{% for x in STEP2-Response.nested.a-b %}[{{ x }}]{% endfor %}",
                r#"[1][{"c":"deep"}]"#,
            ),
            (
                "{% for name in Queue %}{{ name }}={{ Queue[name] }}{% endfor %}",
                "Name=Support",
            ),
            ("{{ Queue | pprint }}", r#"{"Name":"Support"}"#),
        ] {
            assert_eq!(value(source), json!(expected), "{source}");
        }
    }

    #[test]
    fn an_endpoint_without_an_address_is_missing() {
        let scope = scope_of(json!({
            "CustomerEndpoint": {"Address": "", "Type": "TELEPHONE_NUMBER"},
            "Attributes": {"MyEndpoint": "", "Address": ""}
        }));
        for (source, expected, missing) in [
            ("{{ CustomerEndpoint }}", None, vec!["CustomerEndpoint"]),
            (
                "{{ CustomerEndpoint.Type }}",
                None,
                vec!["CustomerEndpoint"],
            ),
            (
                "Call from {{ CustomerEndpoint | default('an unknown number') }}",
                Some("Call from an unknown number"),
                vec![],
            ),
            (
                "{{ 'yes' if CustomerEndpoint else 'no' }}",
                Some("no"),
                vec![],
            ),
            ("{{ MyEndpoint }}", Some(""), vec![]),
        ] {
            let rendered = render(source, &scope);
            assert_eq!(rendered.value, expected.map(Json::from), "{source}");
            assert_eq!(rendered.missing, missing, "{source}");
        }
    }
}
