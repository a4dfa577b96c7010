//! The operators' tool: configures the integration, tries it, and shows what became of every contact.
//!
//! | module | what it owns |
//! |---|---|
//! | [`deployment`] | what the tool is used on: a stack in an AWS account, or the system that `local serve` keeps up |
//! | [`aws`] | signed calls of AWS's services |
//! | [`draft`], [`form`] | what is being edited, and the way from a step's document to its form and back |
//! | [`sample`], [`preview`] | sample contacts, and what would be sent for one |
//! | `trial` | a test contact, and what is deleted of it |
//! | [`environment`] | a Dynamics environment: whether it is reached, what it holds, what it would refuse |
//! | [`contacts`] | contacts: how they are found, what became of each, delivering again, forgetting |
//! | [`doctor`] | looking at a deployment from end to end, and what to mend |
//! | [`words`] | how things are said to people, in the browser and in the terminal |
//! | [`web`] | the console in the browser: its pages, and who may ask for them |
//!
//! What an integration is, how its requests are made and what is remembered of a contact is the library's,
//! `connect_dynamics`, which the functions use too: what the console shows is what they do.

pub mod aws;
pub mod contacts;
pub mod deployment;
pub mod doctor;
pub mod draft;
pub mod environment;
pub mod form;
pub mod preview;
pub mod sample;
mod trial;
pub mod web;
pub mod words;
