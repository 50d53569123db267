//! Answers: generation (one prompt or many, streamed, cancellable) and what an answer's text means.

mod generate;
mod sampling;

#[cfg(not(target_arch = "wasm32"))]
pub use generate::generate_blocking;
pub use generate::{Ending, Generation, GenerationOptions, GenerationTime, generate};
