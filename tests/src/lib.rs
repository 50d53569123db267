//! What the whole-program tests share: the program, and what it says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program under test, built beside this test by `cargo build --workspace`.
///
/// # Panics
/// When it is not there, saying what to build.
pub fn program() -> Command {
    let test = std::env::current_exe().expect("the test knows where it is");
    let path = test
        .ancestors()
        .nth(2)
        .map(|dir| dir.join(format!("spatial-ladder{}", std::env::consts::EXE_SUFFIX)))
        .expect("tests run from target/PROFILE/deps");
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace` first", path.display());
    let mut command = Command::new(path);
    // What a test says must not depend on who runs it.
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

/// Runs it and returns what it said.
pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program starts")
}

/// Runs it and expects success; returns stdout.
pub fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed:\n{errors}");
    String::from_utf8(output.stdout).expect("stdout is UTF-8")
}

/// Runs it and expects a clean failure: a non-zero exit, no panic, and each of `words` in what it says.
pub fn fail(arguments: &[&str], words: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?} should have failed:\n{errors}");
    assert!(!errors.contains("panicked"), "{arguments:?} panicked:\n{errors}");
    for word in words {
        assert!(errors.contains(word), "{arguments:?} does not mention {word:?}:\n{errors}");
    }
    errors
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}
