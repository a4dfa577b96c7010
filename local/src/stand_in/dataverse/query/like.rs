//! Comparison with a pattern, as SQL's `LIKE` makes it: `%`, `_`, `[...]` and `[^...]`.
//!
//! <https://learn.microsoft.com/power-apps/developer/data-platform/wildcard-characters>. A wildcard in
//! brackets is a character like any other. Letters are compared without regard to case.

/// A part of a pattern.
enum Part {
    /// Any text, or none.
    Any,
    /// One character.
    One,
    Is(char),
    /// One character of these ranges, or, where it is negated, of no one of them.
    Set {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// A bracket that nothing closes.
    Never,
}

impl Part {
    fn is_met_by(&self, c: char) -> bool {
        match self {
            Part::Any | Part::One => true,
            Part::Is(wanted) => *wanted == c,
            Part::Set { is_negated, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *is_negated
            }
            Part::Never => false,
        }
    }
}

/// Whether a text fits a pattern.
pub(super) fn like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let parts = parts(&pattern.to_lowercase());
    let (mut at, mut part) = (0, 0);
    // Where the last `%` stood, and how much of the text it has taken.
    let mut taken = None;
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Any) => {
                taken = Some((part, at));
                part += 1;
            }
            Some(wanted) if wanted.is_met_by(text[at]) => {
                at += 1;
                part += 1;
            }
            _ => match taken {
                Some((any, end)) => {
                    taken = Some((any, end + 1));
                    at = end + 1;
                    part = any + 1;
                }
                None => return false,
            },
        }
    }
    parts[part..].iter().all(|part| matches!(part, Part::Any))
}

fn parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        parts.push(match c {
            '%' => Part::Any,
            '_' => Part::One,
            '[' => match rest.split_once(']') {
                Some((inside, behind)) => {
                    rest = behind;
                    set(inside)
                }
                None => {
                    rest = "";
                    Part::Never
                }
            },
            c => Part::Is(c),
        });
    }
    parts
}

fn set(inside: &str) -> Part {
    let (is_negated, inside) = match inside.strip_prefix('^') {
        Some(inside) => (true, inside),
        None => (false, inside),
    };
    let chars: Vec<char> = inside.chars().collect();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let is_range = chars.get(at + 1) == Some(&'-') && at + 2 < chars.len();
        let to = if is_range { at + 2 } else { at };
        ranges.push((chars[at], chars[to]));
        at = to + 1;
    }
    Part::Set { is_negated, ranges }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_other_characters() {
        for (text, pattern, expected) in [
            ("(206) 555-0100", "%206%555%0100", true),
            ("(206) 555-0100", "%206%556%0100", false),
            ("206-555-0100", "___-___-____", true),
            ("206-555-010", "___-___-____", false),
            ("206.555.0100", "206[-. ]555[-. ]0100", true),
            ("206/555/0100", "206[-. ]555[-. ]0100", false),
            ("206/555/0100", "206[^-. ]555[^0-9]0100", true),
            ("Ada", "a[c-e]a", true),
            ("Ada", "a[^c-e]a", false),
            ("", "%", true),
            ("", "", true),
            ("a", "", false),
            ("aab", "%ab", true),
            ("abab", "%ab%ab", true),
            ("ab", "%ab%ab", false),
            ("ab", "ab%", true),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} {pattern}");
        }
    }

    #[test]
    fn a_wildcard_in_brackets_is_a_character_like_any_other() {
        for (text, pattern, expected) in [
            ("100%", "100[%]", true),
            ("1000", "100[%]", false),
            ("a_b", "a[_]b", true),
            ("axb", "a[_]b", false),
            ("a[b", "a[[]b", true),
            ("a[b", "a[b", false),
            ("a-b", "a[-]b", true),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} {pattern}");
        }
    }
}
