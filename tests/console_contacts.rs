//! The console's pages of contacts.
