//! Safetensors files, one or several shards, mapped or in memory.

use super::HeaderEntry;
use crate::model::ModelError;
use crate::model::quantization::{Bits, GROUP};
#[cfg(not(target_arch = "wasm32"))]
use burn::tensor::AllocationProperty;
use burn::tensor::{DType, TensorData};
use half::{bf16, f16};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The bytes of a file, mapped or lent.
enum Bytes<'a> {
    Borrowed(&'a [u8]),
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(bytes::Bytes),
}

impl AsRef<[u8]> for Bytes<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            #[cfg(not(target_arch = "wasm32"))]
            Self::Mapped(map) => map,
        }
    }
}

impl Bytes<'_> {
    /// A tensor of this file: without a copy from a mapped one, if it lies where such numbers may.
    fn data(&self, range: Range<usize>, shape: [usize; 2], dtype: DType) -> TensorData {
        let stored = &self.as_ref()[range.clone()];
        #[cfg(not(target_arch = "wasm32"))]
        if let Self::Mapped(map) = self
            && stored.as_ptr().addr().is_multiple_of(dtype.size())
        {
            let mapped = burn::tensor::Bytes::from_shared(map.slice(range), AllocationProperty::File);
            return TensorData::from_bytes(mapped, shape, dtype);
        }
        let pairs = || stored.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        match dtype {
            DType::BF16 => TensorData::new(pairs().map(bf16::from_bits).collect::<Vec<_>>(), shape),
            DType::F16 => TensorData::new(pairs().map(f16::from_bits).collect::<Vec<_>>(), shape),
            DType::I8 => TensorData::new(stored.iter().map(|byte| *byte as i8).collect::<Vec<_>>(), shape),
            _ => TensorData::new(stored.to_vec(), shape),
        }
    }
}

/// The tensors of safetensors files.
#[derive(Default)]
pub struct Files<'a> {
    files: Vec<(PathBuf, Bytes<'a>)>,
    /// By the name that the layers use.
    tensors: HashMap<String, StoredTensor>,
}

struct StoredTensor {
    file: usize,
    dtype: String,
    shape: Vec<usize>,
    bytes: Range<usize>,
    used: bool,
}

#[cfg(not(target_arch = "wasm32"))]
impl Files<'static> {
    /// The files of a model folder, mapped.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let mut files = Self::default();
        for path in shard_paths(dir)? {
            files.add(path.clone(), map_file(&path)?)?;
        }
        Ok(files)
    }

    /// One file, mapped.
    pub fn open_file(path: &Path) -> Result<Self, ModelError> {
        let mut files = Self::default();
        files.add(path.to_owned(), map_file(path)?)?;
        Ok(files)
    }

    /// All tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors.keys().cloned().collect();
        names.sort();
        names
    }

    /// Type, shape and number of bytes of a tensor that [`Self::names`] gave.
    pub fn describe(&self, name: &str) -> (String, Vec<usize>, usize) {
        let tensor = &self.tensors[name];
        (tensor.dtype.clone(), tensor.shape.clone(), tensor.bytes.len())
    }

    /// What is stored of such a tensor.
    pub fn bytes(&self, name: &str) -> &[u8] {
        let tensor = &self.tensors[name];
        &self.files[tensor.file].1.as_ref()[tensor.bytes.clone()]
    }
}

impl<'a> Files<'a> {
    #[cfg(not(target_arch = "wasm32"))]
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// One file in memory; `path` is only for error messages.
    pub fn from_bytes(path: &Path, bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut files = Self::default();
        files.add(path.to_owned(), Bytes::Borrowed(bytes))?;
        Ok(files)
    }

    fn add(&mut self, path: PathBuf, bytes: Bytes<'a>) -> Result<(), ModelError> {
        let file = self.files.len();
        for (name, mut tensor) in read_header(&path, bytes.as_ref())? {
            tensor.file = file;
            self.tensors.insert(canonical_name(&name), tensor);
        }
        self.files.push((path, bytes));
        Ok(())
    }

    /// A matrix as it lies in its file, `None` where it is not stored in 16 bits.
    pub fn read_half(&mut self, name: &str, expected: [usize; 2]) -> Result<Option<TensorData>, ModelError> {
        let (tensor, path, file) = self.find(name, &expected)?;
        let (dtype, exponent) = match tensor.dtype.as_str() {
            "BF16" => (DType::BF16, 0x7f80),
            "F16" => (DType::F16, 0x7c00),
            _ => return Ok(None),
        };
        if !all_finite(&file.as_ref()[tensor.bytes.clone()], exponent) {
            return Err(ModelError::NotFinite { path: path.to_owned(), tensor: name.to_owned() });
        }
        Ok(Some(file.data(tensor.bytes.clone(), expected, dtype)))
    }

    /// A weight in few bits, its numbers and its scales as they lie in their file; `None` where it is not stored so.
    pub fn read_packed(
        &mut self,
        name: &str,
        [outputs, inputs]: [usize; 2],
    ) -> Result<Option<(Bits, TensorData, TensorData)>, ModelError> {
        let bits = match self.tensors.get(name).map(|tensor| tensor.dtype.as_str()) {
            Some("U8") => Bits::Four,
            Some("I8") => Bits::Eight,
            _ => return Ok(None),
        };
        let shape = [outputs, bits.row_bytes(inputs)];
        let (tensor, _, file) = self.find(name, &shape)?;
        let dtype = if bits == Bits::Four { DType::U8 } else { DType::I8 };
        let values = file.data(tensor.bytes.clone(), shape, dtype);
        let (name, shape) = (format!("{name}_scale"), [outputs, inputs / GROUP]);
        let (tensor, path, file) = self.find(&name, &shape)?;
        if tensor.dtype != "F16" {
            let (path, dtype) = (path.to_owned(), tensor.dtype.clone());
            return Err(ModelError::Dtype { path, tensor: name, dtype });
        }
        if !all_finite(&file.as_ref()[tensor.bytes.clone()], 0x7c00) {
            return Err(ModelError::NotFinite { path: path.to_owned(), tensor: name });
        }
        Ok(Some((bits, values, file.data(tensor.bytes.clone(), shape, DType::F16))))
    }

    /// A tensor of this shape with the file that holds it.
    fn find(
        &mut self,
        name: &str,
        expected: &[usize],
    ) -> Result<(&StoredTensor, &Path, &Bytes<'a>), ModelError> {
        let Some(tensor) = self.tensors.get_mut(name) else {
            let path = self.files.first().map(|(path, _)| path.clone()).unwrap_or_default();
            return Err(ModelError::MissingTensor { path, tensor: name.to_owned() });
        };
        tensor.used = true;
        let (path, bytes) = &self.files[tensor.file];
        if tensor.shape != expected {
            return Err(ModelError::Shape {
                path: path.clone(),
                tensor: name.to_owned(),
                expected: expected.to_vec(),
                found: tensor.shape.clone(),
            });
        }
        Ok((tensor, path, bytes))
    }

    /// An error if there are tensors that nobody has read, but for those `ignored`.
    pub fn finish(&self, ignored: impl Fn(&str) -> bool) -> Result<(), ModelError> {
        let mut left: Vec<_> =
            self.tensors.iter().filter(|(name, tensor)| !tensor.used && !ignored(name)).collect();
        left.sort_by_key(|(name, _)| *name);
        match left.first() {
            None => Ok(()),
            Some((name, tensor)) => Err(ModelError::UnexpectedTensors {
                path: self.files[tensor.file].0.clone(),
                count: left.len(),
                example: (*name).clone(),
            }),
        }
    }

    /// A tensor in full precision.
    pub fn read(&mut self, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        let (tensor, path, bytes) = self.find(name, expected)?;
        let bytes = &bytes.as_ref()[tensor.bytes.clone()];
        let values: Vec<f32> = match tensor.dtype.as_str() {
            "F32" => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            "BF16" => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            "F16" => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            other => {
                return Err(ModelError::Dtype {
                    path: path.to_owned(),
                    tensor: name.to_owned(),
                    dtype: other.to_owned(),
                });
            }
        };
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(ModelError::NotFinite { path: path.to_owned(), tensor: name.to_owned() })
        }
    }
}

/// Whether no number of 16 bits among these little-endian bytes has all bits of its exponent set.
fn all_finite(bytes: &[u8], exponent: u16) -> bool {
    // Without branches within a piece, so that it vectorizes.
    let piece = |piece: &[u8]| {
        let exponents = piece.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]) & exponent);
        exponents.fold(true, |finite, found| finite & (found != exponent))
    };
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        bytes.par_chunks(1 << 20).all(|bytes| bytes.chunks(1 << 14).all(piece))
    }
    #[cfg(target_arch = "wasm32")]
    bytes.chunks(1 << 14).all(piece)
}

/// Every tensor in a safetensors file by name, after checking that the file holds them all.
fn read_header(path: &Path, bytes: &[u8]) -> Result<Vec<(String, StoredTensor)>, ModelError> {
    let malformed = |message: String| ModelError::NotSafetensors { path: path.to_owned(), message };
    let found = bytes.len() as u64;
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(ModelError::Truncated { path: path.to_owned(), expected: 8, found });
    };
    let length = u64::from_le_bytes(*length);
    // The format's own limit; a larger number means that this is some other kind of file.
    if length > 100_000_000 {
        return Err(malformed("it does not start with the length of a header".into()));
    }
    let start = 8 + length as usize;
    let Some(header) = rest.get(..length as usize) else {
        return Err(ModelError::Truncated { path: path.to_owned(), expected: start as u64, found });
    };
    let header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header)
        .map_err(|error| malformed(format!("its header is not valid JSON: {error}")))?;
    let mut tensors = Vec::with_capacity(header.len());
    let mut end = start;
    for (name, value) in header {
        if name == "__metadata__" {
            continue;
        }
        let entry: HeaderEntry = serde_json::from_value(value)
            .map_err(|error| malformed(format!("header entry `{name}`: {error}")))?;
        let (from, to) = entry.data_offsets;
        let bytes_each = match entry.dtype.as_str() {
            "F32" => Some(4),
            "BF16" | "F16" => Some(2),
            "I8" | "U8" => Some(1),
            _ => None,
        };
        let size = bytes_each.and_then(|each| {
            entry.shape.iter().try_fold(each as usize, |product, dimension| product.checked_mul(*dimension))
        });
        if from > to || (bytes_each.is_some() && size != Some(to - from)) {
            return Err(malformed(format!("header entry `{name}`: offsets do not fit type and shape")));
        }
        let range = start.checked_add(from).zip(start.checked_add(to));
        let (from, to) =
            range.ok_or_else(|| malformed(format!("header entry `{name}`: offset too large")))?;
        end = end.max(to);
        let tensor =
            StoredTensor { file: 0, dtype: entry.dtype, shape: entry.shape, bytes: from..to, used: false };
        tensors.push((name, tensor));
    }
    if end as u64 > found {
        return Err(ModelError::Truncated { path: path.to_owned(), expected: end as u64, found });
    }
    Ok(tensors)
}

/// Published checkpoints say `model.layers…` and `visual…`; transformers 5 says
/// `model.language_model.layers…` and `model.visual…`. The layers use the former.
fn canonical_name(stored: &str) -> String {
    if let Some(rest) = stored.strip_prefix("model.language_model.") {
        format!("model.{rest}")
    } else if let Some(rest) = stored.strip_prefix("model.visual.") {
        format!("visual.{rest}")
    } else {
        stored.to_owned()
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn map_file(path: &Path) -> Result<Bytes<'static>, ModelError> {
    let io = |source| ModelError::Io { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.len() == 0 {
        return Ok(Bytes::Borrowed(&[]));
    }
    // SAFETY: the map is read-only. Another process that truncates the file while the model is in use would end
    // this one, as with every mapped file; checkpoints are replaced by renaming, which leaves the old file whole.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
    Ok(Bytes::Mapped(bytes::Bytes::from_owner(map)))
}

/// The weight files of a model folder.
#[cfg(not(target_arch = "wasm32"))]
fn shard_paths(dir: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let single = dir.join("model.safetensors");
    if single.exists() {
        return Ok(vec![single]);
    }
    let index_path = dir.join("model.safetensors.index.json");
    let text = match std::fs::read_to_string(&index_path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ModelError::MissingFile {
                path: single,
                remedy: "give a folder with model.safetensors, or with model.safetensors.index.json and its shards"
                    .into(),
            });
        }
        Err(source) => {
            return Err(ModelError::Io { path: index_path, source });
        }
    };
    let fail = |message: &str| ModelError::Config { path: index_path.clone(), message: message.to_owned() };
    let index: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| fail(&format!("not valid JSON: {error}")))?;
    let map = index.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| fail("the object `weight_map` is missing"))?;
    let mut names = std::collections::BTreeSet::new();
    for name in map.values() {
        let name = name.as_str().ok_or_else(|| fail("`weight_map` should name a file for each tensor"))?;
        if Path::new(name).components().count() != 1 {
            return Err(fail(&format!("`weight_map` names {name:?}; shards have to lie beside the index")));
        }
        names.insert(name);
    }
    names
        .into_iter()
        .map(|name| {
            let path = dir.join(name);
            if path.exists() {
                Ok(path)
            } else {
                Err(ModelError::MissingFile {
                    path,
                    remedy: "model.safetensors.index.json lists this shard; copy or download it too".into(),
                })
            }
        })
        .collect()
}
