//! How things are said to people, in the browser and in the terminal alike.

use serde_json::Value as Json;

/// `3 contacts`, `1 contact`.
pub fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// A message as a sentence.
pub(crate) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(char::to_uppercase);
    let text: String = first.into_iter().flatten().chain(letters).collect();
    if text.ends_with(['.', '!', '?']) {
        text
    } else {
        format!("{text}.")
    }
}

/// A document as people compare it. What is no JSON stays as it is.
pub fn in_lines(document: &str) -> String {
    match serde_json::from_str::<Json>(document) {
        Ok(document) => format!("{document:#}\n"),
        Err(_) => document.to_owned(),
    }
}

/// A value as an input shows it: a text as it is, nothing for null, anything else as JSON.
pub(crate) fn text_of(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
