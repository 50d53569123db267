//! SpatialLadder Workbench without its windows: from 3D scenes to questions, from questions to a
//! trained vision-language model, from its answers to a report. `ARCHITECTURE.md` draws the modules.
//!
//! Modules are listed lowest floor first: each may use those above it in this list, never below.
//!
//! Failures: every module has one `thiserror` enum that names the file, the line or the tensor, and
//! what to do. Nothing panics on input; a panic is a bug.

pub mod geometry;
pub mod scenes;
pub mod render;
pub mod samples;
pub mod questions;
pub mod processor;
pub mod model;
pub mod answering;
#[cfg(not(target_arch = "wasm32"))]
pub mod runs;
#[cfg(not(target_arch = "wasm32"))]
pub mod training;
#[cfg(all(feature = "recording", not(target_arch = "wasm32")))]
pub mod recording;
