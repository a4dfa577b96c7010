//! Building the functions' binaries, for whoever is about to start them.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
};

use crate::system::FUNCTIONS;

/// The packages that this process was built with. The functions are built with the same, as cargo then
/// gives their dependencies the features that they have already, and builds none twice.
#[derive(Debug, Clone, Copy)]
pub enum With {
    /// `cargo run -p local`.
    Local,
    /// `cargo test`.
    Workspace,
}

/// Builds the functions' binaries into `folder`, such as `target/debug`, as this process was built.
/// Takes a fraction of a second when nothing has changed. Says nothing but what is wrong.
///
/// # Errors
/// When cargo cannot be run, or the functions do not build, with the compiler's words.
pub fn functions(folder: &Path, with: With) -> io::Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--quiet", "--manifest-path"]);
    cargo.arg(workspace);
    if let Some(target) = folder.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    match with {
        With::Workspace => {
            cargo.arg("--workspace");
        }
        With::Local => {
            cargo.args(["--package", "local"]);
            for (function, _) in FUNCTIONS {
                cargo.args(["--package", function]);
            }
        }
    }
    for (function, _) in FUNCTIONS {
        cargo.args(["--bin", function]);
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let built = cargo.stdin(Stdio::null()).output().map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cargo cannot be run to build the functions: {error}"),
        )
    })?;
    if built.status.success() {
        Ok(())
    } else {
        let words = String::from_utf8_lossy(&built.stderr);
        Err(io::Error::other(format!(
            "the functions do not build:\n{}",
            words.trim_end()
        )))
    }
}
