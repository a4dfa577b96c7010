//! Amazon Connect contacts into Microsoft Dynamics 365.
//!
//! An event of AWS goes one way through these modules, each of which knows only those before it:
//!
//! | stage | module |
//! |---|---|
//! | AWS event | [`event`] |
//! | contact | [`contact`], [`recording`] |
//! | step of the integration | [`integration`], compiled from [`pasted`] JSON into [`template`]s, [`address`]es and [`body`]s that see a [`scope`] |
//! | rendered request | [`request`] |
//! | Dynamics and its response | [`dataverse`], with the client secret from [`secret`] |
//! | stored | [`history`], kept in the table by [`store`] |
//! | reply | [`reply`] |
//!
//! [`delivery`] takes an event along that way, with [`integrations`] at hand, and [`redelivery`] takes
//! along what was left behind; [`function`] is what the Lambda functions' `main` calls.

pub mod address;
pub mod body;
pub mod cause;
mod certificates;
pub mod clock;
pub mod contact;
mod crash;
pub mod dataverse;
pub mod delivery;
pub mod event;
pub mod function;
pub mod history;
pub mod integration;
pub mod integrations;
mod metrics;
pub mod pasted;
pub mod recording;
pub mod redelivery;
pub mod reply;
pub mod request;
pub mod scope;
pub mod secret;
pub mod store;
pub mod template;
