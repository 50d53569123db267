//! What a stage is examined on while it trains, and the best model of its examinations.

use super::super::TrainError;
use super::super::batches::{DenseLabels, Prepared};
use super::super::config::Stage;
use super::super::evaluation::{Evaluator, Task};
use super::super::foundation::DenseScore;
use super::{Journal, Trainer, recover, write_lines};
use crate::processor::Processor;
use crate::runs::{Event, RunDir};
use burn::module::Module as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What a stage is examined on while it trains.
pub enum HeldOut<'a> {
    Questions(Evaluator<'a>),
    Pictures(Vec<Prepared>),
}

impl HeldOut<'_> {
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Questions(questions) => questions.is_empty(),
            Self::Pictures(pictures) => pictures.is_empty(),
        }
    }
}

/// The name of the best model's score within its folder.
const BEST: &str = "best.json";

#[derive(serde::Serialize, serde::Deserialize)]
struct Best {
    step: u64,
    score: f64,
}

impl Trainer {
    pub(super) fn held_out<'a>(&self, processor: &'a Processor) -> Result<HeldOut<'a>, TrainError> {
        let count = if self.config.evaluate_every == 0 { 0 } else { self.config.evaluate_samples };
        let task = match self.config.stage {
            Stage::Foundation => return Ok(HeldOut::Pictures(self.held_out_pictures(count)?)),
            Stage::Perception => Task::Localization,
            Stage::Understanding => Task::Direct,
            Stage::ColdStart | Stage::Reasoning => {
                Task::Thinking { max_new_tokens: self.config.reinforcement.max_new_tokens }
            }
        };
        Ok(HeldOut::Questions(Evaluator::new(&self.dataset, processor, task, count)?))
    }

    /// `count` of the held-out foundation rows, evenly spread.
    fn held_out_pictures(&self, count: usize) -> Result<Vec<Prepared>, TrainError> {
        let rows = &self.dataset.validation.foundation;
        let count = count.min(rows.len());
        let encoder = self.encoder();
        (0..count).map(|i| encoder.prepare_foundation(&[&rows[i * rows.len() / count]], None)).collect()
    }

    /// Whether it came to its end: a stop cuts it short, and then nothing is written.
    pub(super) fn evaluate(
        &self,
        evaluator: &HeldOut<'_>,
        run: &RunDir,
        stop: &AtomicBool,
        journal: &mut Journal<'_>,
    ) -> Result<bool, TrainError> {
        if evaluator.is_empty() {
            return Ok(true);
        }
        let since = Instant::now();
        let asked_to_stop = || stop.load(Ordering::Relaxed) || run.stop_requested();
        let (event, headline) = match evaluator {
            HeldOut::Questions(questions) => {
                let Some(evaluation) = questions.run(&self.answering(), &asked_to_stop, |_| ())? else {
                    return Ok(false);
                };
                write_lines(
                    &run.samples_dir().join(format!("step_{:06}.jsonl", self.step)),
                    &evaluation.answers,
                )?;
                let event = Event::Evaluation {
                    step: self.step,
                    samples: evaluation.answers.len(),
                    mean_iou: evaluation.mean_iou,
                    accuracy_50: evaluation.accuracy_50,
                    score: evaluation.score,
                    kinds: match evaluation.score {
                        Some(_) => {
                            evaluation.kinds.iter().map(|(kind, found)| (kind.clone(), found.score)).collect()
                        }
                        None => Default::default(),
                    },
                    parsed: Some(evaluation.parsed),
                    category_accuracy: None,
                    seconds: since.elapsed().as_secs_f64(),
                };
                (event, evaluation.headline())
            }
            HeldOut::Pictures(pictures) => {
                let Some(heads) = &self.heads else { return Ok(true) };
                let (model, heads) = (self.model.valid(), heads.valid());
                let mut score = DenseScore::default();
                for part in pictures.chunks(self.config.batch_size) {
                    if asked_to_stop() {
                        return Ok(false);
                    }
                    let images: Vec<_> = part.iter().flat_map(|sample| &sample.encoded.images).collect();
                    let labels = part.iter().filter_map(|sample| sample.labels.as_ref());
                    let tokens = model.encode_images(&images)?;
                    score.add(part.len(), heads.predict(&tokens), &DenseLabels::concat(labels));
                }
                let event = Event::Evaluation {
                    step: self.step,
                    samples: score.pictures,
                    mean_iou: Some(score.mean_iou),
                    accuracy_50: Some(score.accuracy_50),
                    score: None,
                    kinds: Default::default(),
                    parsed: None,
                    category_accuracy: Some(score.category_accuracy),
                    seconds: since.elapsed().as_secs_f64(),
                };
                (event, score.mean_iou)
            }
        };
        self.keep_if_best(headline, run)?;
        journal.write(event)?;
        Ok(true)
    }

    /// Keeps the model with the highest score of all evaluations of the run in `checkpoints/best`.
    fn keep_if_best(&self, score: f64, run: &RunDir) -> Result<(), TrainError> {
        let (dir, step) = (run.checkpoints_dir().join("best"), self.step);
        recover(&dir)?;
        // A resumed run repeats what came after its checkpoint, and must find what it found the first time.
        let held = std::fs::read_to_string(dir.join(BEST)).ok();
        let held: Option<Best> = held.and_then(|text| serde_json::from_str(&text).ok());
        if step == 0 || held.is_some_and(|held| held.step < step && held.score >= score) {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&Best { step, score }).unwrap_or_default();
        self.write_model(&dir, Some((BEST, &text)))
    }
}
