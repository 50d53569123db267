//! What can be wrong with files that scenes come from.

use std::path::PathBuf;

/// A scene could not be read. Every message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    #[error("{}: cannot be read ({source}); check that the path is right and the file may be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },

    #[error(
        "{file}: not JSON at line {line}, column {column} ({message}); the file may be cut off: fetch it again"
    )]
    Json { file: String, line: usize, column: usize, message: String },

    #[error("{file}: {place}: expected {expected}, found {found}; correct the file or leave this entry out")]
    Content { file: String, place: String, expected: &'static str, found: String },

    #[error("{}: {place}: {problem}; {remedy}", path.display())]
    File { path: PathBuf, place: String, problem: String, remedy: &'static str },
}
