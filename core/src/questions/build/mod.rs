//! From a source of scenes to a data set folder, in two steps. Gathering draws each scene and collects what can be
//! asked about it, scenes in parallel, each kept on disk when done; composing chooses from all of it, numbers the
//! rows and writes them in the order of the scenes. A build that was stopped or killed goes on with the scenes it
//! had not gathered, and ends with the same bytes.

mod compose;
mod gather;
mod select;
mod source;

use super::{QuestionConfig, QuestionError, SourceSpec};
use crate::samples::files::PartialDir;
use crate::samples::{DatasetInfo, names};
use gather::Gatherer;
use rayon::prelude::*;
use source::SceneSource;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest<'a> {
    pub source: &'a SourceSpec,
    /// Must not exist yet, or be an empty folder.
    pub out: &'a Path,
    pub config: &'a QuestionConfig,
    pub seed: u64,
    /// At most this many scenes of the source.
    pub limit: Option<usize>,
    /// Whether scenes that cannot be read are left out, and listed in [`DatasetInfo::left_out`], instead of ending
    /// the build.
    pub skip_bad: bool,
}

/// How far a build is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub scenes: usize,
    pub total_scenes: usize,
    /// Of these, the scenes that an earlier build had gathered.
    pub resumed_scenes: usize,
    pub images: usize,
    /// Questions to choose from.
    pub questions: usize,
}

/// Builds a data set folder. Its bytes depend on source, config, seed and limit only, not on the number of threads
/// nor on interruptions.
///
/// # Errors
/// After any error `OUT.partial` keeps the scenes that were gathered; the same request goes on from there.
pub fn build(
    request: &BuildRequest<'_>,
    progress: &(dyn Fn(Progress) + Sync),
    cancel: &AtomicBool,
) -> Result<DatasetInfo, QuestionError> {
    let source = SceneSource::open(request.source, request.config, request.skip_bad)?;
    let total = source.len().min(request.limit.unwrap_or(usize::MAX));
    let folder = PartialDir::resume(request.out, &purpose(request))?;
    let gatherer = Gatherer {
        root: folder.path(),
        source: &source,
        config: request.config,
        seed: request.seed,
        skip_bad: request.skip_bad,
        cancel,
    };

    let report = Mutex::new(Progress { total_scenes: total, ..Progress::default() });
    progress(Progress { total_scenes: total, ..Progress::default() });
    let gathered: Result<Vec<()>, QuestionError> = (0..total)
        .into_par_iter()
        .map(|index| {
            if cancel.load(Ordering::Relaxed) {
                return Ok(());
            }
            let Some((summary, resumed)) = gatherer.gather(index)? else {
                return Ok(());
            };
            if let Ok(mut report) = report.lock() {
                report.scenes += 1;
                report.resumed_scenes += usize::from(resumed);
                report.images += summary.images;
                report.questions += summary.questions;
                progress(*report);
            }
            Ok(())
        })
        .collect();
    gathered?;
    if cancel.load(Ordering::Relaxed) {
        return Err(QuestionError::Cancelled {
            out: request.out.to_owned(),
            partial: folder.path().to_owned(),
        });
    }

    let info = match compose::compose(&gatherer, request, total) {
        Err(error @ QuestionError::NothingToAsk { .. }) => {
            folder.discard();
            return Err(error);
        }
        composed => composed?,
    };
    info.write(folder.path())?;
    let work = folder.path().join(names::WORK);
    std::fs::remove_dir_all(&work).map_err(crate::samples::files::FileError::io("remove", &work))?;
    folder.finish()?;
    Ok(info)
}

/// What a partial folder is to become: only the same goes on with it.
fn purpose(request: &BuildRequest<'_>) -> String {
    serde_json::json!({
        "program": program(),
        "source": request.source.to_string(),
        "seed": request.seed,
        "limit": request.limit,
        "skip_bad": request.skip_bad,
        "config": request.config,
    })
    .to_string()
}

fn program() -> String {
    format!("spatial-ladder {}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests;
