//! Training: a stage takes a model folder and a data set folder and works in a run directory.

mod batches;
pub mod benchmark;
mod checkpoints;
mod config;
mod evaluation;
mod foundation;
mod losses;
mod optimizer;
mod pace;
mod reinforcement;
mod rewards;
mod sampler;
mod schedule;
mod shards;
mod supervised;
mod trainer;

pub use config::{
    Decay, FoundationConfig, Freeze, LossNormalization, MixedPrecision, Mixture, Preset, PublishedFaults,
    ReinforcementConfig, Stage, TrainConfig,
};
pub use evaluation::{Evaluation, Evaluator, HeldOutAnswer, KindScore, Task, blind_scores};
pub use rewards::Rewards;
pub use trainer::{Outcome, StageSize, train};

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Data(String),
    #[error("{path}: {source}. Check that it exists, may be written and that the disk is not full")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}")]
    Checkpoint { path: PathBuf, message: String },
    #[error(
        "step {step}: the {what} is {value}. The last good checkpoint is untouched; the questions of the \
         offending batch are in {batch}. Try a lower learning_rate"
    )]
    Diverged { step: u64, what: &'static str, value: f64, batch: PathBuf },
    #[error(
        "the computation broke off after step {step}: {message}. Checkpoints are untouched{batch}. If a device was lost, go on with \
         --resume. If memory ran out, also set a smaller batch_size and accumulation so much larger, in the reasoning stage a \
         smaller reinforcement.micro_batch. Anything else is a bug"
    )]
    BrokeOff {
        step: u64,
        message: String,
        /// Where the batch under way is, in words; empty without one.
        batch: String,
    },
    #[error(transparent)]
    Run(#[from] crate::runs::RunError),
    #[error(transparent)]
    Dataset(#[from] crate::samples::DatasetError),
    #[error(transparent)]
    File(#[from] crate::samples::files::FileError),
    #[error(transparent)]
    Processor(#[from] crate::processor::ProcessorError),
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    #[error(transparent)]
    Answer(#[from] crate::answering::AnswerError),
}

impl TrainError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
