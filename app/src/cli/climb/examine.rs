//! What a model knows after a stage: boxes, and the spatial questions in the way that the stage answers them.

use crate::cli::places::same_place;
use crate::cli::progress::bar;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use spatial_ladder::benchmarks::Interval;
use spatial_ladder::model::{Device, bundled, device};
use spatial_ladder::processor::Processor;
use spatial_ladder::runs::RunDir;
use spatial_ladder::samples::Dataset;
use spatial_ladder::samples::files::write_atomic;
use spatial_ladder::training::{Evaluation, Evaluator, HeldOutAnswer, Stage, Task, blind_scores};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The questions that every stage of a climb is examined with.
pub struct Examiner<'a> {
    data: PathBuf,
    dataset: Dataset,
    processor: Processor,
    questions: [usize; 2],
    /// Longest thought, in tokens.
    thought_tokens: usize,
    device: Device,
    stop: &'a AtomicBool,
}

/// What a model scored.
pub struct Examined {
    /// The stage that the model has just been through.
    pub stage: String,
    pub localization: Evaluation,
    pub spatial: Evaluation,
    /// Whether it thought before it answered the spatial questions.
    pub thinking: bool,
}

/// An examination as a run's folder keeps it: `examined.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    data: PathBuf,
    questions: [usize; 2],
    thought_tokens: usize,
    thinking: bool,
    /// With the answers, which the scores alone leave out.
    localization: (Evaluation, Vec<HeldOutAnswer>),
    spatial: (Evaluation, Vec<HeldOutAnswer>),
}

impl Kept {
    /// `None` for a file that cannot be read, and for one older than these weights, which is about others.
    fn read(path: &Path, weights: &Path) -> Option<Self> {
        let written = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
        let text = std::fs::read_to_string(path).ok().filter(|_| written(path) >= written(weights))?;
        serde_json::from_str(&text).ok()
    }
}

/// What one model scored above another, paired by question, resampled by scene, 95 %.
#[derive(Debug, Serialize)]
pub struct Gain {
    pub mean_iou: Interval,
    /// Mean over the kinds of spatial questions.
    pub score: Interval,
}

impl<'a> Examiner<'a> {
    pub fn new(
        data: &Path,
        questions: [usize; 2],
        thought_tokens: usize,
        device: &str,
        stop: &'a AtomicBool,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            data: data.to_owned(),
            dataset: Dataset::open(data)?,
            processor: bundled::processor()?,
            questions,
            thought_tokens,
            device: device::open_all(device)?.swap_remove(0),
            stop,
        })
    }

    /// Asks the finished model of a run everything, as [`Self::examine`]; what was found earlier with the same questions
    /// is kept in the run's folder and taken from there.
    pub fn examine_run(&self, name: &str, run: &RunDir, stage: Stage) -> anyhow::Result<Examined> {
        let path = run.root().join("examined.json");
        let kept = Kept::read(&path, &run.model_dir().join("model.safetensors"));
        let same = |kept: &Kept| {
            let asked = (kept.questions, kept.thought_tokens) == (self.questions, self.thought_tokens);
            asked && same_place(&self.data, &kept.data, 1)
        };
        if let Some(kept) = kept.filter(same) {
            let [localization, spatial] =
                [kept.localization, kept.spatial].map(|(found, answers)| Evaluation { answers, ..found });
            return Ok(Examined { stage: name.to_owned(), localization, spatial, thinking: kept.thinking });
        }
        let found = self.examine(name, &run.model_dir().display().to_string(), stage)?;
        let keep = |found: &Evaluation| (found.clone(), found.answers.clone());
        let kept = Kept {
            data: self.data.clone(),
            questions: self.questions,
            thought_tokens: self.thought_tokens,
            thinking: found.thinking,
            localization: keep(&found.localization),
            spatial: keep(&found.spatial),
        };
        write_atomic(&path, &serde_json::to_vec(&kept)?)?;
        Ok(found)
    }

    /// Asks a model everything; `stage` says how the spatial questions are asked.
    pub fn examine(&self, name: &str, model: &str, stage: Stage) -> anyhow::Result<Examined> {
        let model = bundled::open_model(model, 0, &self.device)?;
        let thinking = matches!(stage, Stage::ColdStart | Stage::Reasoning);
        let task =
            if thinking { Task::Thinking { max_new_tokens: self.thought_tokens } } else { Task::Direct };
        let ask = |task: Task, count: usize| -> anyhow::Result<Evaluation> {
            let evaluator = self.evaluator(task, count)?;
            let progress = bar(&format!("after {name}"), evaluator.len() as u64);
            let stop = || self.stop.load(Ordering::Relaxed);
            let found = evaluator.run(&model, &stop, |done| progress.set_position(done as u64))?;
            progress.finish_and_clear();
            found.context("stopped; the same command goes on from here")
        };
        let [boxes, spatial] = self.questions;
        Ok(Examined {
            stage: name.to_owned(),
            localization: ask(Task::Localization, boxes)?,
            spatial: ask(task, spatial)?,
            thinking,
        })
    }

    fn evaluator(&self, task: Task, count: usize) -> anyhow::Result<Evaluator<'_>> {
        Ok(Evaluator::new(&self.dataset, &self.processor, task, count)?)
    }

    /// How far one comes with the same boxes without looking.
    pub fn average_box(&self) -> anyhow::Result<Evaluation> {
        Ok(self.evaluator(Task::Localization, self.questions[0])?.average_box(&self.dataset)?)
    }

    /// How far one comes without looking, by kind of spatial question.
    pub fn blind(&self) -> BTreeMap<String, f64> {
        blind_scores(&self.dataset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    #[test]
    fn an_examination_of_earlier_weights_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let [path, weights] = ["examined.json", "model.safetensors"].map(|name| folder.path().join(name));
        let found = |score| Evaluation {
            mean_iou: None,
            accuracy_50: None,
            score,
            parsed: 1.0,
            kinds: BTreeMap::new(),
            answers: Vec::new(),
        };
        let kept = Kept {
            data: PathBuf::from("data"),
            questions: [3, 4],
            thought_tokens: 448,
            thinking: true,
            localization: (found(None), Vec::new()),
            spatial: (found(Some(0.5)), Vec::new()),
        };
        std::fs::write(&path, serde_json::to_vec(&kept).unwrap()).unwrap();
        std::fs::write(&weights, b"weights").unwrap();
        let trained = |seconds_after: i64| {
            let now = SystemTime::now();
            let apart = Duration::from_secs(seconds_after.unsigned_abs());
            let time = if seconds_after < 0 { now - apart } else { now + apart };
            File::options().write(true).open(&weights).unwrap().set_modified(time).unwrap();
            Kept::read(&path, &weights)
        };
        let kept = trained(-60).unwrap();
        assert_eq!((kept.questions, kept.thinking, kept.spatial.0.score), ([3, 4], true, Some(0.5)));
        assert!(trained(60).is_none());
        std::fs::write(&path, b"{").unwrap();
        assert!(trained(-60).is_none());
    }
}
