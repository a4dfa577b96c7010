//! A template's source: the product's additions to the language, turned into minijinja's own forms.
//!
//! Owns names with hyphens and names without braces, and the way back from a place in what minijinja
//! reads to the place in what the author wrote.

use super::{ResponseUse, SCOPE};

/// Line and column (in characters, from 1) of a byte offset.
pub(crate) fn position(source: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// A template's source in minijinja's own language, the way back to the original's positions, and
/// what it calls.
pub(super) struct Prepared {
    pub(super) text: String,
    /// Pairs of offsets, prepared and original, from where on the two run in parallel.
    anchors: Vec<(usize, usize)>,
    pub(super) calls: Vec<Call>,
    pub(super) responses: Vec<ResponseUse>,
}

pub(super) struct Call {
    pub(super) kind: CallKind,
    pub(super) name: String,
    pub(super) at: usize,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum CallKind {
    Filter,
    Test,
    Function,
}

impl Prepared {
    pub(super) fn original(&self, at: usize) -> usize {
        let after = self
            .anchors
            .partition_point(|(prepared, _)| *prepared <= at);
        match after.checked_sub(1).map(|index| self.anchors[index]) {
            Some((prepared, original)) => original + (at - prepared),
            None => at,
        }
    }

    fn push(&mut self, text: &str, original: usize) {
        self.anchors.push((self.text.len(), original));
        self.text.push_str(text);
    }
}

/// Turns the product's additions to the language into minijinja's own forms.
pub(super) fn prepare(source: &str) -> Prepared {
    let mut prepared = Prepared {
        text: String::with_capacity(source.len() + 16),
        anchors: Vec::new(),
        calls: Vec::new(),
        responses: Vec::new(),
    };
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        if let Some((open, close)) = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
            .into_iter()
            .find(|(open, _)| rest.starts_with(open))
        {
            if open == "{#" {
                let end = rest.find(close).map_or(source.len(), |end| at + end + 2);
                prepared.push(&source[at..end], at);
                at = end;
            } else {
                at = prepare_code(source, at, close, &mut prepared);
            }
        } else if let Some(length) = bare_name(source, at) {
            prepared.push("{{ ", at);
            let end = at + length;
            let mut from = at;
            while from < end {
                from = prepare_word(source, from, end, &mut prepared);
            }
            prepared.push(" }}", end);
            at = end;
        } else {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            prepared.push(&rest[..length], at);
            at += length;
        }
    }
    prepared
}

/// The length of `objectUrl` or `STEP2-Response.activityid` at `at` in plain text.
fn bare_name(source: &str, at: usize) -> Option<usize> {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    if source[..at].ends_with(part_of_word) {
        return None;
    }
    let rest = &source[at..];
    let length = if rest.starts_with("objectUrl") {
        "objectUrl".len()
    } else {
        let digit = rest.strip_prefix("STEP")?.chars().next()?;
        if !digit.is_ascii_digit() || !rest[5..].starts_with("-Response.") {
            return None;
        }
        let response = "STEP2-Response".len();
        let mut length = response;
        while let Some(field) = rest[length..].strip_prefix('.') {
            match word_length(field) {
                0 => break,
                word => length += 1 + word,
            }
        }
        if length == response {
            return None;
        }
        length
    };
    (!rest[length..].starts_with(part_of_word)).then_some(length)
}

/// The length of an identifier at the start of the text.
fn identifier_length(text: &str) -> usize {
    match text.bytes().next() {
        Some(first) if first.is_ascii_alphabetic() || first == b'_' => text
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count(),
        _ => 0,
    }
}

/// The length of a word: identifiers joined by hyphens.
fn word_length(text: &str) -> usize {
    let mut length = identifier_length(text);
    while length > 0
        && let Some(next) = text[length..].strip_prefix('-')
    {
        match identifier_length(next) {
            0 => break,
            more => length += 1 + more,
        }
    }
    length
}

/// Copies a `{{ ... }}` or `{% ... %}` that starts at `at`; returns where it ends.
fn prepare_code(source: &str, start: usize, close: &str, prepared: &mut Prepared) -> usize {
    prepared.push(&source[start..start + 2], start);
    let mut at = start + 2;
    while at < source.len() {
        let rest = &source[at..];
        if rest.starts_with(close) {
            prepared.push(close, at);
            at += 2;
            let tag =
                source[start + 2..at - 2].trim_matches(|c: char| c == '-' || c.is_whitespace());
            if close == "%}" && tag == "raw" {
                // What is raw stays as it is.
                let end = source[at..].find("{%").map_or(source.len(), |end| at + end);
                prepared.push(&source[at..end], at);
                at = end;
            }
            return at;
        }
        let first = rest.chars().next().unwrap_or(' ');
        if first == '"' || first == '\'' {
            let end = string_end(source, at, first);
            prepared.push(&source[at..end], at);
            at = end;
        } else if word_length(rest) > 0 {
            at = prepare_word(source, at, source.len(), prepared);
        } else if first.is_ascii_digit() {
            // A number, and not the start of a name.
            let length = rest
                .bytes()
                .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
                .count();
            prepared.push(&rest[..length], at);
            at += length;
        } else {
            prepared.push(&rest[..first.len_utf8()], at);
            at += first.len_utf8();
        }
    }
    at
}

fn string_end(source: &str, start: usize, quote: char) -> usize {
    let mut escaped = false;
    for (offset, c) in source[start + 1..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return start + 1 + offset + 1,
            _ => {}
        }
    }
    source.len()
}

/// Copies a word of an expression (or the character before one); a hyphenated one becomes a
/// subscript. Notes filters, tests and functions.
fn prepare_word(source: &str, at: usize, end: usize, prepared: &mut Prepared) -> usize {
    let rest = &source[at..end];
    let length = word_length(rest);
    if length == 0 {
        let length = rest.chars().next().map_or(1, char::len_utf8);
        prepared.push(&rest[..length], at);
        return at + length;
    }
    let word = &rest[..length];
    if let Some(step) = word
        .strip_prefix("STEP")
        .and_then(|word| word.strip_suffix("-Response"))
        && let Ok(step) = step.parse()
    {
        let field = rest[length..]
            .strip_prefix('.')
            .map(|field| &field[..word_length(field)]);
        prepared.responses.push(ResponseUse {
            step,
            field: field.filter(|field| !field.is_empty()).map(str::to_owned),
        });
    }
    let before = prepared.text.trim_end();
    if word.contains('-') {
        if before.ends_with('.') {
            prepared.text.truncate(before.len() - 1);
            prepared.push(&format!("[\"{word}\"]"), at);
        } else {
            prepared.push(&format!("{SCOPE}[\"{word}\"]"), at);
        }
        return at + length;
    }
    let previous_word = before
        .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or_default();
    let kind = if before.ends_with('|') {
        Some(CallKind::Filter)
    } else if word != "not"
        && (previous_word == "is" || previous_word == "not" && ends_with_is_not(before))
    {
        Some(CallKind::Test)
    } else if !before.ends_with('.')
        && rest[length..].trim_start().starts_with('(')
        && !is_keyword(word)
    {
        Some(CallKind::Function)
    } else {
        None
    };
    if let Some(kind) = kind {
        prepared.calls.push(Call {
            kind,
            name: word.to_owned(),
            at,
        });
    }
    prepared.push(word, at);
    at + length
}

fn ends_with_is_not(text: &str) -> bool {
    text.strip_suffix("not")
        .is_some_and(|text| text.trim_end().ends_with("is") && text.ends_with(char::is_whitespace))
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "if" | "elif"
            | "else"
            | "and"
            | "or"
            | "not"
            | "in"
            | "is"
            | "for"
            | "set"
            | "with"
            | "filter"
            | "recursive"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use crate::template::fixture::{call, refusal, render, value};

    #[test]
    fn a_hyphen_between_words_belongs_to_the_name() {
        for (source, expected) in [
            ("{{STEP2-Response.activityid}}", json!("42")),
            (
                "{{ STEP2-Response.nested.a-b[1].c | upper }}",
                json!("DEEP"),
            ),
            ("{{ Account-Number }}", json!("7")),
            ("{{ Attributes.Account-Number }}", json!("7")),
            ("{{ (a | int) - (b | int) }}", json!(2)),
            ("{{- Channel -}}", json!("VOICE")),
            ("{{ 'a-b' }}", json!("a-b")),
            ("{{ (a|int)-1 }}", json!(4)),
        ] {
            assert_eq!(value(source), expected, "{source}");
        }
    }

    #[test]
    fn only_object_url_and_step_responses_work_without_braces() {
        for (source, expected) in [
            (
                "Your Recording URI is objectUrl",
                "Your Recording URI is https://recordings.example.com/a.wav",
            ),
            ("objectUrl.", "https://recordings.example.com/a.wav."),
            ("my_objectUrl objectUrls", "my_objectUrl objectUrls"),
            ("(STEP2-Response.activityid)", "(42)"),
            ("STEP2-Response.activityid.", "42."),
            (
                "STEP2-Response and STEPX-Response.a",
                "STEP2-Response and STEPX-Response.a",
            ),
            (
                "Call between Username and CustomerEndpoint",
                "Call between Username and CustomerEndpoint",
            ),
            ("{% raw %}objectUrl{% endraw %}", "objectUrl"),
        ] {
            assert_eq!(value(source), json!(expected), "{source}");
        }
    }

    #[test]
    fn mistakes_are_found_when_the_template_is_compiled_with_line_and_column() {
        for (source, expected) in [
            (
                "Hello {{ Channel",
                "contact-start body.subject, line 1, column ",
            ),
            (
                "{{ Channel | uper }}",
                "line 1, column 14: there is no filter `uper`",
            ),
            (
                "a\n  {{ Channel is strnge }}",
                "line 2, column 17: there is no test `strnge`",
            ),
            ("{{ Channel is not strnge }}", "there is no test `strnge`"),
            (
                "{{ env('HOME') }}",
                "line 1, column 4: there is no function `env`",
            ),
            ("{% include 'x' %}", "line 1, column"),
            ("{% if Channel %}x", "line 1, column"),
            ("ab {{ STEP2-Response.activityid + }}", "line 1, column 35"),
        ] {
            let refusal = refusal(source);
            assert!(refusal.contains(expected), "{source}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn text_without_braces_stays_as_it_is(text in "[a-zA-Z0-9 .,;:()'\"/\\\\<>\n-]{0,60}") {
            prop_assume!(!text.contains("objectUrl") && !text.contains("-Response"));
            prop_assert_eq!(render(&text, &call()).value, Some(json!(text)));
        }
    }
}
