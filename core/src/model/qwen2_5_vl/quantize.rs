//! A model folder with the decoder's linear layers in few bits, from one without.
//!
//! Only these: they are what a token costs. The embedding, the output layer and the norms stay as they are, and so does
//! the vision tower, which runs once an image and is the more sensitive part.

use super::config::Qwen2_5VlConfig;
use super::replace_file;
use super::safetensors::{Files, HeaderEntry, write_header};
use crate::model::ModelError;
use crate::model::quantization::{Bits, GROUP, quantize};
use half::f16;
use rayon::prelude::*;
use serde::Serialize;
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// What [`quantize_folder`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuantizedFolder {
    /// Weights that are now in few bits, and the tensors that hold them.
    pub weights: usize,
    pub tensors: usize,
    /// Tensors of linear layers whose rows are no whole groups and stay as they were.
    pub left: usize,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// Writes the model of folder `from` to the folder `to`, which must not hold anything, with the decoder's linear layers
/// in so many bits. `progress` hears how many of all bytes are done.
///
/// # Errors
/// The model is quantized already, cannot be read, or the folder cannot be written.
pub fn quantize_folder(
    from: &Path,
    to: &Path,
    bits: Bits,
    progress: &dyn Fn(u64, u64),
) -> Result<QuantizedFolder, ModelError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ModelError::Io { path, source }
    };
    let config = Qwen2_5VlConfig::load(from)?;
    if config.quantization.is_some() {
        return Err(ModelError::Input(format!(
            "{}: the model is quantized already; start from the one it was made of",
            from.display()
        )));
    }
    expect_empty(to)?;
    let mut files = Files::open(from)?;
    std::fs::create_dir_all(to).map_err(io(to))?;

    // Every tensor as it will stand, numbers and scales one after the other.
    let mut entries: Vec<(String, HeaderEntry)> = Vec::new();
    let mut offset = 0;
    let mut add = |name: String, dtype: &str, shape: Vec<usize>, bytes: usize| {
        let data_offsets = (offset, offset + bytes);
        offset += bytes;
        entries.push((name, HeaderEntry { dtype: dtype.to_owned(), shape, data_offsets }));
    };
    let mut done = QuantizedFolder { weights: 0, tensors: 0, left: 0, bytes_before: 0, bytes_after: 0 };
    let names = files.names();
    for name in &names {
        let (dtype, shape, bytes) = files.describe(name);
        done.bytes_before += bytes as u64;
        match shape.as_slice() {
            &[outputs, inputs] if is_decoder_linear(name) && inputs.is_multiple_of(GROUP) => {
                done.weights += outputs * inputs;
                done.tensors += 1;
                let row = bits.row_bytes(inputs);
                add(name.clone(), bits.stored_type(), vec![outputs, row], outputs * row);
                let groups = inputs / GROUP;
                add(format!("{name}_scale"), "F16", vec![outputs, groups], outputs * groups * 2);
            }
            _ => {
                done.left += usize::from(is_decoder_linear(name));
                add(name.clone(), &dtype, shape, bytes);
            }
        }
    }
    done.bytes_after = offset as u64;

    let path = to.join("model.safetensors");
    let mut failed = None;
    replace_file(&path, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        write_header(&entries, &mut out)?;
        let mut written = 0;
        for name in &names {
            let (_, shape, bytes) = files.describe(name);
            match shape.as_slice() {
                &[_, inputs] if is_decoder_linear(name) && inputs.is_multiple_of(GROUP) => {
                    let weights = match files.read(name, &shape) {
                        Ok(weights) => weights,
                        Err(error) => {
                            failed = Some(error);
                            return Err(std::io::Error::other("a tensor cannot be read"));
                        }
                    };
                    let rows: Vec<(Vec<u8>, Vec<f16>)> =
                        weights.par_chunks(inputs).map(|row| quantize(row, bits)).collect();
                    rows.iter().try_for_each(|(values, _)| out.write_all(values))?;
                    for scale in rows.iter().flat_map(|(_, scales)| scales) {
                        out.write_all(&scale.to_le_bytes())?;
                    }
                }
                _ => out.write_all(files.bytes(name))?,
            }
            written += bytes as u64;
            progress(written, done.bytes_before);
        }
        out.flush()
    })
    .map_err(|error| failed.take().unwrap_or(error))?;
    copy_companions(from, to)?;
    let config = Qwen2_5VlConfig { quantization: Some(bits), ..config };
    replace_file(&to.join("config.json"), |file| file.write_all(config.to_json().as_bytes()))?;
    Ok(done)
}

/// Refuses a folder that holds anything.
pub(super) fn expect_empty(dir: &Path) -> Result<(), ModelError> {
    match std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        true => Err(ModelError::Input(format!("{}: the folder is not empty; give a new one", dir.display()))),
        false => Ok(()),
    }
}

fn is_decoder_linear(name: &str) -> bool {
    name.starts_with("model.layers.") && name.ends_with("_proj.weight")
}

/// All files beside the weights and the config: tokenizer, processor, template.
pub(super) fn copy_companions(from: &Path, to: &Path) -> Result<(), ModelError> {
    let io = |source| ModelError::Io { path: from.to_owned(), source };
    for entry in std::fs::read_dir(from).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let is_own = text == "config.json" || text.contains(".safetensors");
        if !is_own && entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(&name))
                .map_err(|source| ModelError::Io { path: entry.path(), source })?;
        }
    }
    Ok(())
}
