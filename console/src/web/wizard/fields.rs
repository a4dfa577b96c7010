//! The parts that forms are made of: a label, what is filled in, what it comes to, and what is wrong with it.
//!
//! Owns how a field is found by what is said of it: its slot (see [`crate::form`]).

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::draft::Remark;

/// What is said of a form's fields, by their slots. What has no field stands under an empty one.
#[derive(Debug, Default)]
pub(super) struct Says {
    pub(super) errors: BTreeMap<String, Vec<String>>,
    pub(super) warnings: BTreeMap<String, Vec<String>>,
    /// What fields come to for the sample contact.
    pub(super) values: BTreeMap<String, String>,
}

impl Says {
    /// What the library says, by the slots that `slot` gives the places. What it gives none is not shown.
    pub(super) fn of(remarks: &[Remark], slot: impl Fn(&Remark) -> Option<String>) -> Says {
        let mut says = Says::default();
        for remark in remarks {
            if let Some(slot) = slot(remark) {
                let message = if slot.is_empty() && !remark.place.is_empty() {
                    format!("{}: {}", remark.place, remark.message)
                } else {
                    remark.message.clone()
                };
                says.add(&slot, message, remark.is_error);
            }
        }
        says
    }

    pub(super) fn add(&mut self, slot: &str, message: String, is_error: bool) {
        let messages = if is_error {
            &mut self.errors
        } else {
            &mut self.warnings
        };
        let messages = messages.entry(slot.to_owned()).or_default();
        if !messages.contains(&message) {
            messages.push(message);
        }
    }

    fn has_error(&self, slot: &str) -> bool {
        self.errors.contains_key(slot)
    }

    /// The messages of a slot, below its field.
    pub(super) fn messages(&self, slot: &str) -> Markup {
        let of = |messages: &BTreeMap<String, Vec<String>>| {
            messages.get(slot).cloned().unwrap_or_default()
        };
        html! {
            @for message in of(&self.errors) { p.error { span.visually-hidden { "Error: " } (message) } }
            @for message in of(&self.warnings) { p.warning { span.visually-hidden { "Warning: " } (message) } }
        }
    }

    /// What is wrong and has no field of its own, above the form.
    pub(super) fn summary(&self) -> Markup {
        html! {
            div.summary data-says="" { (self.messages("")) }
        }
    }
}

/// A field of a form.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    pub(super) says: &'a Says,
    pub(super) slot: &'a str,
    /// What the value is sent as.
    pub(super) name: &'a str,
    pub(super) label: &'a str,
    pub(super) hint: &'a str,
    pub(super) value: &'a str,
    /// Whether it takes a template, and is completed while one types.
    pub(super) completes: Option<&'a str>,
    /// The list of suggestions.
    pub(super) list: Option<&'a str>,
}

impl<'a> Field<'a> {
    pub(super) fn new(says: &'a Says, name: &'a str, label: &'a str, value: &'a str) -> Field<'a> {
        Field {
            says,
            slot: name,
            name,
            label,
            hint: "",
            value,
            completes: None,
            list: None,
        }
    }

    pub(super) fn at(self, slot: &'a str) -> Field<'a> {
        Field { slot, ..self }
    }

    pub(super) fn hint(self, hint: &'a str) -> Field<'a> {
        Field { hint, ..self }
    }

    /// Completes names: in double curly braces (`template`), or everywhere (`expression`).
    pub(super) fn completes(self, how: &'a str) -> Field<'a> {
        Field {
            completes: Some(how),
            ..self
        }
    }

    pub(super) fn suggested(self, list: &'a str) -> Field<'a> {
        Field {
            list: Some(list),
            ..self
        }
    }

    fn id(&self) -> String {
        format!("f-{}", self.name.replace('.', "-"))
    }

    fn described_by(&self) -> String {
        let id = self.id();
        format!("{id}-hint {id}-comes {id}-says")
    }

    /// The field around what is filled in.
    pub(super) fn around(&self, input: &Markup) -> Markup {
        let id = self.id();
        html! {
            div.field data-slot=(self.slot) {
                label for=(id) { (self.label) }
                (input)
                @if !self.hint.is_empty() { p.hint id={ (id) "-hint" } { (self.hint) } }
                p.comes id={ (id) "-comes" } data-comes {
                    @if let Some(value) = self.says.values.get(self.slot) { (value) }
                }
                div.says id={ (id) "-says" } data-says=(self.slot) { (self.says.messages(self.slot)) }
            }
        }
    }

    pub(super) fn text(&self) -> Markup {
        self.input("text")
    }

    pub(super) fn input(&self, kind: &str) -> Markup {
        let is_wrong = self.says.has_error(self.slot).then_some("true");
        self.around(&html! {
            input type=(kind) id=(self.id()) name=(self.name) value=(self.value)
                list=[self.list] data-completes=[self.completes]
                autocomplete="off" spellcheck="false" aria-invalid=[is_wrong] aria-describedby=(self.described_by());
        })
    }

    pub(super) fn area(&self, rows: u8) -> Markup {
        let is_wrong = self.says.has_error(self.slot).then_some("true");
        self.around(&html! {
            textarea.code id=(self.id()) name=(self.name) rows=(rows) data-completes=[self.completes]
                autocomplete="off" spellcheck="false" aria-invalid=[is_wrong] aria-describedby=(self.described_by()) { "\n" (self.value) }
        })
    }

    pub(super) fn select(&self, options: &[(&str, &str)]) -> Markup {
        let is_wrong = self.says.has_error(self.slot).then_some("true");
        let is_known = options.iter().any(|(value, _)| *value == self.value);
        self.around(&html! {
            select id=(self.id()) name=(self.name) aria-invalid=[is_wrong] aria-describedby=(self.described_by()) {
                @for (value, title) in options {
                    option value=(value) selected[*value == self.value] { (title) }
                }
                @if !is_known { option value=(self.value) selected { (self.value) } }
            }
        })
    }
}

/// A box to tick, with its label.
pub(super) fn tick(name: &str, label: &str, is_on: bool, hint: &str) -> Markup {
    let id = format!("f-{}", name.replace('.', "-"));
    html! {
        div.choice {
            input type="checkbox" id=(id) name=(name) checked[is_on];
            label for=(id) {
                (label)
                @if !hint.is_empty() { br; span.muted.small { (hint) } }
            }
        }
    }
}
