//! The operators' tool: configures the integration, tries it, and shows what became of every contact.
//!
//! | module | what it owns |
//! |---|---|
//! | [`deployment`] | what the tool is used on: a stack in an AWS account, or the system that `local serve` keeps up |
//! | [`aws`] | signed calls of AWS's services |
//! | [`doctor`] | looking at a deployment from end to end, and what to mend |
//! | [`web`] | the console in the browser: its pages, and who may ask for them |
//!
//! What an integration is, how its requests are made and what is remembered of a contact is the library's,
//! `connect_dynamics`, which the functions use too: what the console shows is what they do.

pub mod aws;
pub mod deployment;
pub mod doctor;
pub mod web;
