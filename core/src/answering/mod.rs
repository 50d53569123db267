//! Answers: generation (one prompt or many, streamed, cancellable) and what an answer's text means.

#[cfg(not(target_arch = "wasm32"))]
mod agreement;
mod answerer;
#[cfg(not(target_arch = "wasm32"))]
pub mod benchmark;
#[cfg(not(target_arch = "wasm32"))]
mod constraint;
#[cfg(not(target_arch = "wasm32"))]
mod device_check;
mod generate;
mod memory;
pub mod parse;
mod sampling;
pub mod sightings;

#[cfg(not(target_arch = "wasm32"))]
pub use agreement::{Agreement, agreement};
#[cfg(not(target_arch = "wasm32"))]
pub use answerer::generate_batch;
pub use answerer::{Answer, Answerer, AskOptions, Prompt, Timings, Visuals, lettered};
#[cfg(not(target_arch = "wasm32"))]
pub use constraint::{AnswerForm, Constraint};
#[cfg(not(target_arch = "wasm32"))]
pub use device_check::{DeviceCheck, check_device};
#[cfg(not(target_arch = "wasm32"))]
pub use generate::generate_blocking;
pub use generate::{Ending, Generation, GenerationOptions, GenerationTime, generate};
pub use memory::Memory;

use crate::model::ModelError;
use crate::processor::ProcessorError;

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    #[error(
        "the tokenizer knows {tokenizer} tokens, the model {model}; tokenizer.json and config.json belong to \
         different models"
    )]
    Vocabulary { tokenizer: usize, model: usize },
    #[error(
        "the question and its images take {tokens} tokens, the model reads at most {limit}; give fewer or \
         smaller images"
    )]
    TooLong { tokens: usize, limit: usize },
    #[error("{0} options: there are letters for 26")]
    TooManyOptions(usize),
    #[error("the answer cannot be held to a form: {0}")]
    Constraint(String),
}
