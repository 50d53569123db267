//! SpatialLadder Workbench without its windows: from 3D scenes to questions, from questions to a
//! trained vision-language model, from its answers to a report. `ARCHITECTURE.md` draws the modules.
//!
//! Lowest floor first: geometry, scenes, render, samples, scan_writers, questions, processor, model, answering,
//! benchmarks, runs, training, recording. Each may use those before it in this list, never those after; `measure`
//! stands beside them.
//!
//! Failures: every module that can fail has its own `thiserror` types, which name the file, the line or the tensor,
//! and what to do. Nothing panics on input; a panic is a bug, or Burn's word for a device that
//! failed (`training` catches those).

pub mod answering;
pub mod geometry;
pub mod model;
pub mod processor;
pub mod questions;
pub mod render;
pub mod samples;
pub mod scenes;

#[cfg(not(target_arch = "wasm32"))]
pub mod benchmarks;
#[cfg(not(target_arch = "wasm32"))]
pub mod measure;
#[cfg(not(target_arch = "wasm32"))]
pub mod runs;
#[cfg(not(target_arch = "wasm32"))]
pub mod scan_writers;
#[cfg(not(target_arch = "wasm32"))]
pub mod training;

#[cfg(all(feature = "recording", not(target_arch = "wasm32")))]
pub mod recording;
