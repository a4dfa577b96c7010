//! The tool's commands. Each group is a module; what it shows and does is the library's.

pub(crate) mod configuration;
pub(crate) mod contacts;
pub(crate) mod doctor;
