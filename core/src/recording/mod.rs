//! Scenes and samples as Rerun recordings: for the viewer embedded in the window, for `.rrd` files and
//! for the browser page. Native only: a recording stream has threads of its own.
//!
//! ```text
//! /room             outline of floor and ceiling
//! /surface          floor and objects as triangles, or the scanned surface without its ceiling
//! /objects          oriented boxes with their categories
//! /cameras/03       pose and pinhole of camera 3, with /cameras/03/image
//! /sample           the camera of the sample on show, with /sample/image and /sample/boxes
//! /views/01         the cameras of several views, each with /views/01/image
//! /walk             the path of a video's camera; its frames are /sample/image on the timeline `frame`
//! /first_sight      on the same timeline, what comes into view
//! /reason           why the answer is the answer: lines, points, arrows, area, objects
//! /question         question, options, answer and thought as text
//! ```
//! World frame: metres, right-handed, +Z up, as everywhere.

mod layout;
mod reasons;
mod sample;
mod scene;

pub use sample::{Recorded, SAVED_SAMPLES, SampleRecorder, save_dataset};
pub use scene::{log_scene, save_scene};

use rerun::sink::MemorySinkStorage;
use std::path::{Path, PathBuf};

/// Recordings of one application share a layout in the viewer.
pub const APPLICATION: &str = "spatial_ladder";

#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("the recording could not be made: {0}. If memory is short, close other programs and try again")]
    Stream(#[from] rerun::RecordingStreamError),
    #[error(transparent)]
    Dataset(#[from] crate::samples::DatasetError),
    #[error("{path}: {source}. Check that the file exists and can be read")]
    Picture { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}. Check that the folder exists, is writable and that the disk is not full")]
    Save { path: PathBuf, message: String },
    #[error("recording is switched off. Unset the environment variable RERUN")]
    SwitchedOff,
}

/// Writes recordings as one `.rrd` file, whole or not at all.
fn write(path: &Path, recordings: &[&MemorySinkStorage]) -> Result<(), RecordingError> {
    let fail = |message: String| RecordingError::Save { path: path.to_owned(), message };
    let bytes = MemorySinkStorage::concat_memory_sinks_as_bytes(recordings)
        .map_err(|error| fail(error.to_string()))?;
    crate::samples::files::write_atomic(path, &bytes).map_err(|error| fail(error.to_string()))
}
