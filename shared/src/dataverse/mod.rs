//! All that is Dataverse's: a [`Request`] goes in, a [`Response`] or a [`DynamicsError`] comes out.
//!
//! | module | what it owns |
//! |---|---|
//! | `request` | what is sent: method, path, body, and what repeating it does |
//! | `table` | a table's three names, and how Dataverse makes them |
//! | `connection` | the addresses of an environment and of its tenant |
//! | `client` | sending: headers, repeats, the read after a create that was there already |
//! | `pace` | how many requests an environment is sent at once, and when none: limits and the breaker |
//! | `token` | Entra ID's tokens |
//! | `credential` | proving to Entra ID who we are |
//! | `assertion` | the form of what a certificate's key signs for that |
//! | `http` | one exchange, bounded in size and time |
//! | `columns` | the tables that contacts are usually written to: their columns and lookups |
//! | `lookup` | which property of a body makes a record point to another |
//! | `literal` | how values are written in an address |
//! | `answer` | what an answer says |
//! | `error` | what an answer that is no success means, and what to do about it |
//!
//! Nothing here knows of contacts, steps, templates, or what becomes of a request afterwards. No
//! other module of the library knows reqwest.

mod answer;
mod assertion;
mod client;
pub mod columns;
mod connection;
mod credential;
mod error;
mod http;
pub(crate) mod literal;
pub(crate) mod lookup;
mod pace;
mod request;
mod table;
mod token;

pub use self::{
    answer::Response,
    client::{Dynamics, Repeats},
    credential::CredentialError,
    error::{DynamicsError, Refusal},
    http::{Http, HttpError},
    lookup::{
        LookupError, is_parties_property, navigation_property, part_played, parties_property,
    },
    pace::Room,
    request::{Kind, Method, Request},
    table::Table,
    token::TokenError,
};
