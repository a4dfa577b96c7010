//! JSON objects as administrators paste them into the configuration.
//!
//! Owns the tolerance for how the reference prints its examples, and the error for everything else.

use serde_json::{Map, Value as Json};

use crate::template::position;

/// Text that is no JSON object.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[error("{field}, line {line}, column {column}: {message}")]
pub struct JsonSyntaxError {
    pub field: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// Parses a JSON object as people paste it: besides plain JSON, quotes escaped with a backslash
/// (`{\"a\": ...`, as the reference's source has them) and a string that a line break was pasted into.
///
/// # Errors
/// [`JsonSyntaxError`] with the line and column in `source`.
pub fn parse_object(field: &str, source: &str) -> Result<Map<String, Json>, JsonSyntaxError> {
    let parsed = serde_json::from_str(source)
        .or_else(|error| serde_json::from_str(&repair(source)).map_err(|_| error));
    let failure = |line, column, message: String| JsonSyntaxError {
        field: field.to_owned(),
        line,
        column,
        message,
    };
    match parsed {
        Ok(Json::Object(map)) => Ok(map),
        Ok(other) => Err(failure(
            1,
            1,
            format!(
                "this must be a JSON object in curly braces, not {}",
                crate::event::json_type(&other)
            ),
        )),
        Err(error) => Err(match source.find(['\u{201c}', '\u{201d}', '\u{201e}']) {
            Some(at) => {
                let (line, column) = position(source, at);
                failure(
                    line,
                    column,
                    "this is a typographic quote; JSON needs the straight one, \"".into(),
                )
            }
            None => {
                // serde_json ends its message with the position, in bytes; ours is in characters.
                let message = error.to_string();
                let message = message
                    .split(" at line ")
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                failure(
                    error.line().max(1),
                    error.column().max(1),
                    format!("this is no JSON: {message}"),
                )
            }
        }),
    }
}

fn repair(source: &str) -> String {
    let unescaped = match source.trim_start().strip_prefix('{') {
        Some(rest) if rest.trim_start().starts_with("\\\"") => source.replace("\\\"", "\""),
        _ => source.to_owned(),
    };
    let mut repaired = String::with_capacity(unescaped.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in unescaped.chars() {
        match c {
            '"' if !escaped => in_string = !in_string,
            '\r' if in_string => continue,
            '\n' if in_string => {
                repaired.push(' ');
                continue;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        repaired.push(c);
    }
    repaired
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_reference_pastes_in_with_its_backslashes_and_line_breaks() {
        let printed = "{\"phonenumber\":\"{{CustomerEndpoint}}\",\"subject\":\"Call between Username and CustomerEndpoint\"}";
        let source = "{\\\"phonenumber\\\":\\\"{{CustomerEndpoint}}\\\",\\\"subject\\\":\\\"Call\nbetween Username and CustomerEndpoint\\\"}";
        let expected = json!({"phonenumber": "{{CustomerEndpoint}}", "subject": "Call between Username and CustomerEndpoint"});
        for text in [printed, source] {
            assert_eq!(
                Json::from(parse_object("f", text).unwrap()),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_refused_where_it_goes_wrong() {
        for (text, expected) in [
            (
                "{\"a\": 1,}",
                "contact-start body, line 1, column 9: this is no JSON: trailing comma",
            ),
            (
                "{\n \u{201c}a\u{201d}: 1}",
                "line 2, column 2: this is a typographic quote",
            ),
            ("[]", "must be a JSON object in curly braces, not an array"),
            ("", "line 1, column 1: this is no JSON"),
            ("{\"a\": {{x}} }", "line 1, column 8"),
        ] {
            let error = parse_object("contact-start body", text)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
