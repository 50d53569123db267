//! The files that weights lie in.

mod read;
mod write;

pub(super) use read::Files;
#[cfg(not(target_arch = "wasm32"))]
pub(super) use write::write_header;
pub use write::{NamedTensor, Precision, write_safetensors};

/// One entry of a safetensors header.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct HeaderEntry {
    pub dtype: String,
    pub shape: Vec<usize>,
    /// Relative to the end of the header.
    pub data_offsets: (usize, usize),
}
