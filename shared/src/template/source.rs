//! A template's source: the product's additions to the language, turned into minijinja's own forms.
//!
//! Owns names with hyphens and names without braces, the way back from a place in what minijinja
//! reads to the place in what the author wrote, and what can be told of a source without rendering
//! it: which names its expressions use, and which of its stretches are plain text.

use std::{collections::BTreeSet, ops::Range};

use super::{ResponseUse, SCOPE, Source};

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
    /// The words of expressions that may be names of the scope, loop variables among them.
    pub(super) names: Vec<Name>,
    /// Every word, string and number in expressions, as the author wrote it.
    pub(super) written: BTreeSet<String>,
    /// The stretches of the source that are text: what is outside of braces.
    pub(super) literals: Vec<Range<usize>>,
}

/// A name with the field right behind it, as in `Queue.Name`.
pub(super) struct Name {
    pub(super) name: String,
    pub(super) field: Option<String>,
    pub(super) at: usize,
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

    /// Copies text that the template prints as it is.
    fn push_literal(&mut self, text: &str, at: usize) {
        self.push(text, at);
        let end = at + text.len();
        match self.literals.last_mut() {
            Some(last) if last.end == at => last.end = end,
            _ => self.literals.push(at..end),
        }
    }
}

/// Turns the product's additions to the language into minijinja's own forms.
pub(super) fn prepare(source: &str) -> Prepared {
    let mut prepared = Prepared {
        text: String::with_capacity(source.len() + 16),
        anchors: Vec::new(),
        calls: Vec::new(),
        responses: Vec::new(),
        names: Vec::new(),
        written: BTreeSet::new(),
        literals: Vec::new(),
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
            prepared.push_literal(&rest[..length], at);
            at += length;
        }
    }
    prepared
}

/// The known names that stand as plain words in the text of a source, with their offsets. Of two
/// that begin at the same place it is the longer one.
pub(super) fn words_in_text<'a>(
    source: &str,
    literals: &[Range<usize>],
    known: &[&'a str],
) -> Vec<(usize, &'a str)> {
    let mut words = Vec::new();
    for literal in literals {
        let mut at = literal.start;
        while at < literal.end {
            let rest = &source[at..literal.end];
            let word = known
                .iter()
                .filter(|name| {
                    rest.strip_prefix(**name)
                        .is_some_and(|behind| !behind.starts_with(part_of_word))
                })
                .max_by_key(|name| name.len())
                .filter(|name| !name.is_empty() && !source[..at].ends_with(part_of_word));
            at += match word {
                Some(name) => {
                    words.push((at, *name));
                    name.len()
                }
                None => rest.chars().next().map_or(1, char::len_utf8),
            };
        }
    }
    words
}

fn part_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of `objectUrl` or `STEP2-Response.activityid` at `at` in plain text.
fn bare_name(source: &str, at: usize) -> Option<usize> {
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
                prepared.push_literal(&source[at..end], at);
                at = end;
            }
            return at;
        }
        let first = rest.chars().next().unwrap_or(' ');
        if first == '"' || first == '\'' {
            let end = string_end(source, at, first);
            if let Some(text) = source.get(at + 1..end - 1) {
                prepared.written.insert(text.to_owned());
            }
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
            prepared.written.insert(rest[..length].to_owned());
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
/// subscript. Notes names, filters, tests and functions.
fn prepare_word(source: &str, at: usize, end: usize, prepared: &mut Prepared) -> usize {
    let rest = &source[at..end];
    let length = word_length(rest);
    if length == 0 {
        let length = rest.chars().next().map_or(1, char::len_utf8);
        prepared.push(&rest[..length], at);
        return at + length;
    }
    let word = &rest[..length];
    let before = prepared.text.trim_end();
    let is_field = before.ends_with('.');
    let behind = &rest[length..];
    if !is_field {
        prepared.responses.extend(response_use(word, behind));
    }
    let name = Name {
        name: word.to_owned(),
        field: first_field(behind),
        at,
    };
    if word.contains('-') {
        prepared.written.insert(word.to_owned());
        if is_field {
            prepared.text.truncate(before.len() - 1);
            prepared.push(&format!("[\"{word}\"]"), at);
        } else {
            prepared.names.push(name);
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
    } else if !is_field && behind.trim_start().starts_with('(') && !is_keyword(word) {
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
    } else {
        prepared.written.insert(word.to_owned());
        // `x=` names an argument, or a variable that is set.
        let is_assigned = behind
            .trim_start()
            .strip_prefix('=')
            .is_some_and(|behind| !behind.starts_with('='));
        if !is_field && !is_assigned {
            prepared.names.push(name);
        }
    }
    prepared.push(word, at);
    at + length
}

/// The response that a word and what stands behind it name.
fn response_use(word: &str, behind: &str) -> Option<ResponseUse> {
    let (source, behind) = match word {
        "Customer" => (Source::Customer, behind),
        "ContactLens" => (Source::ContactLens, behind),
        "Agent" => match fields_behind(behind) {
            Some((field, behind)) if field == "User" || field == "Owner" => (Source::Agent, behind),
            _ => return None,
        },
        "Responses" => match fields_behind(behind) {
            Some((name, behind)) => (Source::Request(name), behind),
            None => (Source::Request(String::new()), ""),
        },
        word => {
            let step = word.strip_prefix("STEP")?.strip_suffix("-Response")?;
            (Source::Step(step.parse().ok()?), behind)
        }
    };
    Some(ResponseUse {
        source,
        field: first_field(behind),
    })
}

/// The field that is taken of a name: `.Name`, or `["first name"]`.
fn first_field(behind: &str) -> Option<String> {
    fields_behind(behind).map(|(field, _)| field)
}

/// The first field behind a name, and what follows it.
fn fields_behind(behind: &str) -> Option<(String, &str)> {
    let behind = behind.trim_start();
    if let Some(field) = behind.strip_prefix('.') {
        let field = field.trim_start();
        let length = word_length(field);
        return (length > 0).then(|| (field[..length].to_owned(), &field[length..]));
    }
    let subscript = behind.strip_prefix('[')?.trim_start();
    let quote = subscript
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\''))?;
    let end = string_end(subscript, 0, quote);
    let rest = subscript[end..].trim_start().strip_prefix(']')?;
    Some((subscript.get(1..end - 1)?.to_owned(), rest))
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

    use super::*;
    use crate::template::{
        Strictness, Templates,
        fixture::{call, refusal, render, value},
    };

    #[test]
    fn a_position_is_counted_in_lines_and_characters_from_one() {
        let source = "aé\n\nb📞c";
        for (at, expected) in [
            (0, (1, 1)),
            (1, (1, 2)),
            // Inside of a character: where it begins.
            (2, (1, 2)),
            (3, (1, 3)),
            (4, (2, 1)),
            (5, (3, 1)),
            (6, (3, 2)),
            (9, (3, 2)),
            (10, (3, 3)),
            (11, (3, 4)),
            (99, (3, 4)),
        ] {
            assert_eq!(position(source, at), expected, "{at}");
        }
    }

    fn names(source: &str) -> Vec<String> {
        let mut templates = Templates::default();
        let template = templates.add("f", source, Strictness::Strict).unwrap();
        let names = template.names(&templates);
        names
            .into_iter()
            .map(|used| {
                assert_eq!(used.field, "f");
                format!("{} {}:{}", used.name, used.line, used.column)
            })
            .collect()
    }

    #[test]
    fn the_names_that_a_template_looks_up_are_told_with_their_places() {
        for (source, expected) in [
            ("{{ CustmerEndpoint }}", vec!["CustmerEndpoint 1:4"]),
            ("a\n é {{ Queue.Name | upper }}", vec!["Queue.Name 2:7"]),
            (
                "{{ Attributes['first name'] }}{{ Attributes [ \"b\" ] }}",
                vec!["Attributes.first name 1:4", "Attributes.b 1:34"],
            ),
            ("{{ Attributes[who] }}", vec!["Attributes 1:4", "who 1:15"]),
            (
                "{{ Attributes['a' ~ who] }}",
                vec!["Attributes 1:4", "who 1:21"],
            ),
            (
                "{{ Account-Number }}{{ Attributes.Account-Type.x }}",
                vec!["Account-Number 1:4", "Attributes.Account-Type 1:24"],
            ),
            (
                "objectUrl at STEP2-Response.activityid",
                vec!["objectUrl 1:1", "STEP2-Response.activityid 1:14"],
            ),
            (
                "{{ a | default(b.c) | minutes_since(d) }}",
                vec!["a 1:4", "b.c 1:16", "d 1:37"],
            ),
            (
                "{{ a | default(value=b) if c is defined and d is not none else 'e' }}",
                vec!["a 1:4", "b 1:22", "c 1:28", "d 1:45"],
            ),
            (
                "{% for x, y in items %}{{ loop.index }}{{ x }}{{ y.z }}{% endfor %}",
                vec!["items 1:16"],
            ),
            (
                "{% set t = tier %}{{ t }}{% if t == true or s %}{% endif %}{{ range(n) }}{{ range }}",
                vec!["tier 1:12", "s 1:45", "n 1:69"],
            ),
            ("{# Queue #}{% raw %}{{ Queue }}{% endraw %}Queue", vec![]),
            ("{{ x == 1 }}", vec!["x 1:4"]),
            ("{{ a.b }}{{ b }}", vec!["a.b 1:4", "b 1:13"]),
            (
                "{{ value | default(value=b) }}",
                vec!["value 1:4", "b 1:26"],
            ),
            ("{{ 1.5 }}{{ ['Queue'] }}{{ {'Queue': 1} }}", vec![]),
        ] {
            assert_eq!(names(source), expected, "{source}");
        }
    }

    #[test]
    fn known_names_are_found_as_plain_words_outside_of_braces() {
        let known = ["Channel", "Queue", "Queue.Name", "Username", ""];
        for (source, expected) in [
            (
                "Call between Username\nand {{ Channel }}Channel",
                vec!["Username 1:14", "Channel 2:18"],
            ),
            (
                "Queue.Name, Queue.Names",
                vec!["Queue.Name 1:1", "Queue 1:13"],
            ),
            ("Channels MyChannel _Channel Channel_ Channel1", vec![]),
            ("(Channel)", vec!["Channel 1:2"]),
            ("é Channel{# Queue #}{{ x }}", vec!["Channel 1:3"]),
            ("{% raw %}Queue{% endraw %}", vec!["Queue 1:10"]),
            ("channel", vec![]),
        ] {
            let mut templates = Templates::default();
            let template = templates.add("f", source, Strictness::Lenient).unwrap();
            let found: Vec<String> = template
                .names_in_text(&known)
                .into_iter()
                .map(|used| format!("{} {}:{}", used.name, used.line, used.column))
                .collect();
            assert_eq!(found, expected, "{source}");
        }
    }

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
            ("{{ 5-3 }}", json!(2)),
            (r"{{ 'a-b\'c-d' }}", json!("a-b'c-d")),
        ] {
            assert_eq!(value(source), expected, "{source}");
        }
    }

    #[test]
    fn what_stands_behind_a_keyword_is_no_filter_test_or_function() {
        for (source, expected) in [
            ("{{ not seconds }}", json!(false)),
            ("{{ true and not seconds }}", json!(false)),
            ("{{ seconds is not defined }}", json!(false)),
            ("{{ 1 if (Channel) else 2 }}", json!(1)),
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
