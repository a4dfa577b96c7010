//! Amazon Connect contacts into Microsoft Dynamics 365.
//!
//! An event of AWS goes one way through these modules, each of which knows only those before it:
//!
//! | stage | module |
//! |---|---|
//! | AWS event | [`event`], several of them in a batch of a [`queue`] |
//! | contact | [`contact`], [`recording`], and what was said in it: [`analysis`] of its [`objects`] |
//! | step | [`step`], and what the [`configuration`] says of it |
//! | what is remembered | [`history`], the state machine |
//! | rendered request | [`integration`], the configuration compiled: [`template`]s make a [`request`] |
//! | Dynamics and its response | [`dataverse`], with a credential from [`secret`], [`signing`] or [`federation`] |
//! | stored | [`store`], the table |
//! | reply | [`reply`] |
//!
//! [`delivery`] takes an event along that way; [`function`] is what the Lambda functions' `main` calls.
//!
//! # Follow one contact
//!
//! 1. [`delivery::Worker::handle`] reads the event into a task: a contact, a step, perhaps an object.
//! 2. It loads the contact's integration ([`integrations::Integrations::get`]), or parks the contact.
//! 3. It loads the contact's history ([`store::Store::load`]) and adds the event
//!    ([`history::History::intend`]).
//! 4. It stores that, and takes the contact's lease in the same write ([`history::History::claim`]).
//! 5. As long as a step is due ([`history::History::next`]),
//! 6. it renders the step's request ([`integration::Integration::render`]),
//! 7. sends it ([`dataverse::Dynamics::send`]),
//! 8. and stores what became of it ([`history::History::delivered`] and its kin).
//! 9. It replies with what the history then says ([`reply::Reply::of`]).

pub mod agents;
pub mod analysis;
pub mod cause;
mod certificates;
pub mod clock;
pub mod configuration;
pub mod contact;
mod crash;
pub mod custom_resource;
pub mod dataverse;
pub mod delivery;
pub mod event;
pub mod federation;
pub mod function;
pub mod history;
pub mod integration;
pub mod integrations;
mod metrics;
pub mod number;
pub mod objects;
pub mod queue;
pub mod recording;
pub mod reply;
pub mod request;
pub mod secret;
pub mod signing;
pub mod sources;
pub mod step;
pub mod store;
pub mod template;
