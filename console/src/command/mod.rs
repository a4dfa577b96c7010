//! The tool's commands in the terminal: each takes its arguments, asks the library, and prints what it says.

pub(crate) mod doctor;
