//! Crash points: where a test kills the process to show that nothing is lost or doubled.
//!
//! Owns their place in the program being nothing but a call, and their absence from a release build.
//! A debug build dies at the point that the environment variable `FAILPOINTS` names (as
//! <https://docs.rs/fail> reads it, `after-the-answer=return`), the first time only: the process that
//! takes its place finds the file that `CRASH_MARKER` names.

/// Dies here, if that is asked for.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &'static str) {
    fail::fail_point!(name, |_| die());
}

#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &'static str) {}

/// Reads which points are asked for.
pub(crate) fn set_up() {
    #[cfg(debug_assertions)]
    if std::env::var_os("FAILPOINTS").is_some() {
        std::mem::forget(fail::FailScenario::setup());
    }
}

#[cfg(debug_assertions)]
fn die() {
    let marker = std::env::var_os("CRASH_MARKER").unwrap_or_default();
    if std::fs::File::create_new(marker).is_ok() {
        std::process::abort();
    }
}
