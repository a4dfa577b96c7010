//! Amazon Connect contacts into Microsoft Dynamics 365.
//!
//! An event of AWS goes one way through these modules, each of which knows only those before it:
//!
//! | stage | module |
//! |---|---|
//! | AWS event | [`event`] |
//! | contact | [`contact`], [`recording`] |
//! | step of the integration | [`integration`], compiled from pasted JSON into [`template`]s, [addresses](request::Address) and [bodies](request::Body) that see a [scope](template::Scope) |
//! | rendered request | [`request`] |
//! | Dynamics and its response | [`dynamics`], with the client secret from [`secret`] |
//! | stored | [`history`], kept in the table by [`store`] |
//! | reply | [`reply`] |
//!
//! [`delivery`] takes an event along that way, with [`integrations`] at hand, and [`redelivery`] takes
//! along what was left behind; [`function`] is what the Lambda functions' `main` calls.

pub mod cause;
pub mod contact;
mod crash;
mod dataverse;
pub mod delivery;
pub mod dynamics;
pub mod event;
pub mod function;
pub mod history;
pub mod integration;
pub mod integrations;
mod metrics;
pub mod recording;
pub mod redelivery;
pub mod reply;
pub mod request;
pub mod secret;
pub mod store;
pub mod template;
