//! The tool's commands. Each group is a module; what it shows and does is the library's.

pub(crate) mod configuration;
pub(crate) mod contacts;
pub(crate) mod doctor;

/// A text as a terminal may show it: what others have written must not move the cursor, hide a line or turn its
/// direction. Lines and tabs stay.
pub(crate) fn plain(text: &str) -> String {
    let steers = |c: char| {
        let is_of_direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
        is_of_direction || c.is_control() && c != '\n' && c != '\t'
    };
    text.replace(steers, "\u{fffd}")
}
