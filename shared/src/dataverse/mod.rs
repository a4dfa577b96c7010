//! What is Dataverse's own.

pub(crate) mod literal;
