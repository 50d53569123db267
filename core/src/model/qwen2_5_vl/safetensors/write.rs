//! Writing safetensors files.

use super::HeaderEntry;
use half::{bf16, f16};

/// The number type of a written checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F32,
    F16,
    Bf16,
}

impl Precision {
    fn dtype(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// A tensor to be written: name, shape, and its values when their turn comes.
pub struct NamedTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Box<dyn Fn() -> Vec<f32>>,
}

/// Writes a safetensors file, one tensor in memory at a time.
pub fn write_safetensors(
    tensors: &[NamedTensor],
    precision: Precision,
    mut out: impl std::io::Write,
) -> std::io::Result<()> {
    let mut offset = 0;
    let entries: Vec<(String, HeaderEntry)> = tensors
        .iter()
        .map(|tensor| {
            let start = offset;
            offset += tensor.shape.iter().product::<usize>() * precision.bytes();
            let (dtype, shape) = (precision.dtype().to_owned(), tensor.shape.clone());
            (tensor.name.clone(), HeaderEntry { dtype, shape, data_offsets: (start, offset) })
        })
        .collect();
    write_header(&entries, &mut out)?;
    for tensor in tensors {
        let values = (tensor.values)();
        let bytes: Vec<u8> = match precision {
            Precision::F32 => bytes_of(&values, f32::to_le_bytes),
            Precision::F16 => bytes_of(&values, |x| f16::from_f32(x).to_le_bytes()),
            Precision::Bf16 => bytes_of(&values, |x| bf16::from_f32(x).to_le_bytes()),
        };
        out.write_all(&bytes)?;
    }
    out.flush()
}

fn bytes_of<const N: usize>(values: &[f32], bytes: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    let mut all = vec![0; N * values.len()];
    for (place, value) in all.chunks_exact_mut(N).zip(values) {
        place.copy_from_slice(&bytes(*value));
    }
    all
}

/// Writes the beginning of a safetensors file, up to the data.
pub fn write_header(entries: &[(String, HeaderEntry)], out: &mut impl std::io::Write) -> std::io::Result<()> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!({ "format": "pt" }));
    for (name, entry) in entries {
        header.insert(name.clone(), serde_json::to_value(entry)?);
    }
    let mut header = serde_json::to_vec(&header)?;
    // The data start at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)
}
