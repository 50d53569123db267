//! The model: Qwen2.5-VL by its Hugging Face config, on any Burn device, and the tiny checkpoints
//! that are built into the program.
//!
//! `device` picks where to compute, `remote` borrows and lends devices over a network, `qwen2_5_vl` is the
//! architecture with its weights in and out, `fused` its fast operations on the CPU, `bundled` the models
//! that need no download (the browser page fetches them as files instead).

#[cfg(not(target_arch = "wasm32"))]
pub mod bundled;
pub mod device;
pub mod fused;
mod gpu;
pub mod quantization;
pub mod qwen2_5_vl;
pub mod remote;

pub use burn::tensor::Device;
pub use device::DeviceChoice;
pub use qwen2_5_vl::{KvCache, ModelInput, NumberTokens, Precision, Qwen2_5Vl, Qwen2_5VlConfig};

use std::path::PathBuf;

/// What can go wrong between a model folder and its answers.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: no such file; {remedy}", path.display())]
    MissingFile { path: PathBuf, remedy: String },
    #[error("{}: {message}", path.display())]
    Config { path: PathBuf, message: String },
    #[error(
        "{}: the file is incomplete: its header promises {expected} bytes, it has {found}; \
         copy or download it again",
        path.display()
    )]
    Truncated { path: PathBuf, expected: u64, found: u64 },
    #[error("{}: not a safetensors file: {message}", path.display())]
    NotSafetensors { path: PathBuf, message: String },
    #[error(
        "{}: tensor `{tensor}` is missing; the weights do not belong to the config.json beside them",
        path.display()
    )]
    MissingTensor { path: PathBuf, tensor: String },
    #[error(
        "{}: the model has no place for {count} tensors, among them `{example}`; \
         the weights do not belong to the config.json beside them",
        path.display()
    )]
    UnexpectedTensors { path: PathBuf, count: usize, example: String },
    #[error(
        "{}: tensor `{tensor}` has shape {found:?}, config.json asks for {expected:?}",
        path.display()
    )]
    Shape { path: PathBuf, tensor: String, expected: Vec<usize>, found: Vec<usize> },
    #[error(
        "{}: tensor `{tensor}` is stored as {dtype}; convert the model to BF16, F16 or F32",
        path.display()
    )]
    Dtype { path: PathBuf, tensor: String, dtype: String },
    #[error(
        "{}: tensor `{tensor}` holds NaN or infinity; the training that wrote it diverged or the \
         file is damaged: take an earlier checkpoint",
        path.display()
    )]
    NotFinite { path: PathBuf, tensor: String },
    #[error("{0}")]
    Input(String),
    #[error("device `{name}`: {reason}")]
    Device { name: String, reason: String },
}
