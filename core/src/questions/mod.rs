//! Questions about scenes: what each camera sees of each object ([`Observation`]), which objects may be asked
//! about, the questions themselves, and the data set folder that they fill ([`build()`]).
//!
//! Everything that is a matter of choice is a field of [`QuestionConfig`].

mod config;
mod foundation;
mod localization;
mod look_up;
mod observations;
pub mod spatial;

#[cfg(not(target_arch = "wasm32"))]
mod benchmark;
#[cfg(not(target_arch = "wasm32"))]
mod build;

#[cfg(not(target_arch = "wasm32"))]
pub use benchmark::{Throughput, benchmark};
#[cfg(not(target_arch = "wasm32"))]
pub use build::{BuildRequest, Progress, build};
pub use config::{
    Preset, QuestionConfig, Quotas, ScanFormat, SourceSpec, SpatialConfig, UniqueCategory, VisibilityRule,
};
pub use foundation::foundation;
pub use localization::{Localization, TEMPLATES, ask, eligible, localization};
pub use look_up::{LOOK_UP_NAMES, look_up};
pub use observations::{Observation, Sight, observe};

use std::path::PathBuf;

/// Why questions could not be made.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    #[error(
        "cannot read the question config {}: {source}; name a TOML file, or one of the presets default, \
         spatialladder-26k, viewspatial, vsi, climb, foundation",
        path.display()
    )]
    ReadConfig { path: PathBuf, source: std::io::Error },
    #[error("{}, line {line}: {message}; correct or remove that line", path.display())]
    Config { path: PathBuf, line: usize, message: String },
    #[error(
        "the source \"{spec}\" {problem}; possible are rooms:COUNT, vsi-meta:FILE, scannet:PATH, \
             arkitscenes:PATH and scannetpp:PATH"
    )]
    Source { spec: String, problem: String },
    #[error(transparent)]
    Scene(#[from] crate::scenes::SceneError),
    #[error(
        "the scene name \"{name}\" cannot be a file name; rename it to letters, digits, \"_\", \"-\" and \".\" only"
    )]
    SceneName { name: String },
    #[error("cannot encode {path}: {message}; choose other image sizes")]
    Encode { path: String, message: String },
    #[error(
        "nothing in {source_spec} can be asked about; lower min_visibility, min_box_share or min_box_side in \
         the config, or empty its categories"
    )]
    NothingToAsk { source_spec: String },
    #[error(
        "stopped before {} was complete; the same command goes on from there (or remove {})",
        out.display(), partial.display()
    )]
    Cancelled { out: PathBuf, partial: PathBuf },
    #[cfg(not(target_arch = "wasm32"))]
    #[error(transparent)]
    Dataset(#[from] crate::samples::DatasetError),
    #[cfg(not(target_arch = "wasm32"))]
    #[error(transparent)]
    File(#[from] crate::samples::files::FileError),
}
