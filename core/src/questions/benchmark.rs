//! How fast data sets are built.

use super::{BuildRequest, QuestionConfig, QuestionError, SourceSpec, build};
use crate::samples::files::FileError;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What [`benchmark`] measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Throughput {
    pub threads: usize,
    pub scenes: usize,
    /// Rendered, observed, encoded and written; those that no question was asked about not counted.
    pub images: usize,
    /// Rows of all kinds.
    pub questions: usize,
    /// From the first room to the finished folder.
    pub seconds: f64,
    pub scenes_per_second: f64,
    pub images_per_second: f64,
    pub questions_per_second: f64,
    /// Most memory that this process has ever held, MiB; `None` where the system does not tell.
    pub peak_memory_mib: Option<f64>,
}

/// Builds a data set of so many generated rooms in a temporary folder under `scratch`, with all threads.
pub fn benchmark(rooms: usize, config: &QuestionConfig, scratch: &Path) -> Result<Throughput, QuestionError> {
    let folder = tempfile::tempdir_in(scratch).map_err(FileError::io("create a folder in", scratch))?;
    let out = folder.path().join("data");
    let source = SourceSpec::Rooms(rooms.max(1));
    let request = BuildRequest { source: &source, out: &out, config, seed: 0, limit: None, skip_bad: false };
    let start = Instant::now();
    let info = build(&request, &|_| (), &AtomicBool::new(false))?;
    let seconds = start.elapsed().as_secs_f64();
    let parts = [&info.train, &info.validation];
    let scenes = parts.iter().map(|part| part.scenes).sum();
    let images = parts.iter().map(|part| part.images).sum();
    let questions =
        parts.iter().map(|part| part.grounding + part.spatial + part.cold_start + part.foundation).sum();
    let rate = |count: usize| count as f64 / seconds.max(1e-9);
    Ok(Throughput {
        threads: rayon::current_num_threads(),
        scenes,
        images,
        questions,
        seconds,
        scenes_per_second: rate(scenes),
        images_per_second: rate(images),
        questions_per_second: rate(questions),
        peak_memory_mib: crate::measure::peak_memory_mib(),
    })
}
