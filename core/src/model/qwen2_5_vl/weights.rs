//! Where parameters come from: random numbers, or safetensors files (one or several shards).
//!
//! Layers ask for every tensor by its Hugging Face name, so that nothing has to be renamed or
//! transposed on the way, and whatever is left over in the files is an error too.

use crate::model::ModelError;
use burn::module::Param;
#[cfg(not(target_arch = "wasm32"))]
use burn::tensor::AllocationProperty;
use burn::tensor::{DType, Device, Tensor, TensorData};
use half::{bf16, f16};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a parameter starts as when there are no weights to read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    Zeros,
    Ones,
    /// Normal with this standard deviation.
    Normal(f64),
}

/// A parameter that a model asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct OutlinedTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub init: Init,
}

/// Hands out parameters by name, on one device.
pub struct Weights<'a> {
    origin: Origin<'a>,
    device: Device,
}

enum Origin<'a> {
    Random {
        seed: u64,
    },
    /// Takes down what is asked for and gives empty parameters.
    Outline(Vec<OutlinedTensor>),
    Files(Files<'a>),
}

impl<'a> Weights<'a> {
    /// Random weights. Each tensor's numbers depend only on the seed and on its name.
    pub fn random(seed: u64, device: &Device) -> Self {
        Self { origin: Origin::Random { seed }, device: device.clone() }
    }

    /// Takes down which parameters are asked for: see [`Self::outlined`].
    pub fn outline() -> Self {
        Self { origin: Origin::Outline(Vec::new()), device: Device::flex() }
    }

    /// What was asked for, of [`Self::outline`].
    pub fn outlined(self) -> Vec<OutlinedTensor> {
        match self.origin {
            Origin::Outline(tensors) => tensors,
            _ => Vec::new(),
        }
    }

    /// The weights of a model folder: `model.safetensors`, or the shards of `model.safetensors.index.json`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(dir: &Path, device: &Device) -> Result<Self, ModelError> {
        let mut files = Files::default();
        for path in shard_paths(dir)? {
            files.add(path.clone(), map_file(&path)?)?;
        }
        Ok(Self { origin: Origin::Files(files), device: device.clone() })
    }

    /// The weights of one safetensors file in memory; `path` is only for error messages.
    pub fn from_bytes(bytes: &'a [u8], path: &Path, device: &Device) -> Result<Self, ModelError> {
        let mut files = Files::default();
        files.add(path.to_owned(), Bytes::Borrowed(bytes))?;
        Ok(Self { origin: Origin::Files(files), device: device.clone() })
    }

    /// One parameter.
    ///
    /// # Errors
    /// The tensor is missing, has another shape, is stored in an unknown type, or is not finite.
    pub fn get<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        init: Init,
    ) -> Result<Param<Tensor<D>>, ModelError> {
        let values = match &mut self.origin {
            Origin::Outline(tensors) => {
                tensors.push(OutlinedTensor { name: name.to_owned(), shape: shape.to_vec(), init });
                return Ok(Param::from_tensor(Tensor::empty([0; D], &self.device)));
            }
            Origin::Random { seed } => random_values(*seed, name, shape.iter().product(), init),
            Origin::Files(files) => files.read(name, &shape)?,
        };
        Ok(Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), &self.device)))
    }

    /// The matrix of a linear layer or an embedding: kept in bfloat16 where it is stored so and the device computes
    /// with such weights, which on the CPU means without copying it from the mapped file.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_matrix(
        &mut self,
        name: &str,
        shape: [usize; 2],
        init: Init,
    ) -> Result<Param<Tensor<2>>, ModelError> {
        // Training wants the whole precision for its steps.
        let keeps = self.device == Device::flex();
        if let Origin::Files(files) = &mut self.origin
            && keeps
            && let Some(data) = files.read_bf16(name, shape)?
        {
            return Ok(Param::from_tensor(Tensor::from_data(data, (&self.device, DType::BF16))));
        }
        self.get(name, shape, init)
    }

    /// Call when the model is complete: tensors that nobody asked for mean that the weights belong to
    /// another model. `ignored` says which ones may stay.
    pub fn finish(self, ignored: impl Fn(&str) -> bool) -> Result<(), ModelError> {
        let Origin::Files(files) = self.origin else {
            return Ok(());
        };
        let mut left: Vec<_> =
            files.tensors.iter().filter(|(name, tensor)| !tensor.used && !ignored(name)).collect();
        left.sort_by_key(|(name, _)| *name);
        match left.first() {
            None => Ok(()),
            Some((name, tensor)) => Err(ModelError::UnexpectedTensors {
                path: files.files[tensor.file].0.clone(),
                count: left.len(),
                example: (*name).clone(),
            }),
        }
    }
}

/// Numbers that depend on seed and name only, so that adding a layer leaves the others as they were.
fn random_values(seed: u64, name: &str, count: usize, init: Init) -> Vec<f32> {
    match init {
        Init::Zeros => vec![0.0; count],
        Init::Ones => vec![1.0; count],
        Init::Normal(deviation) => {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(u64::from(crc32fast::hash(name.as_bytes())));
            (0..count).map(|_| (deviation * normal(&mut rng)) as f32).collect()
        }
    }
}

/// A standard normal number (Box and Muller), through `libm` for equal bits on every machine.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius: f64 = 1.0 - rng.random::<f64>();
    let angle = std::f64::consts::TAU * rng.random::<f64>();
    libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(angle)
}

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

#[derive(Default)]
struct Files<'a> {
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

/// One entry of a safetensors header.
#[derive(serde::Serialize, serde::Deserialize)]
struct HeaderEntry {
    dtype: String,
    shape: Vec<usize>,
    /// Relative to the end of the header.
    data_offsets: (usize, usize),
}

impl<'a> Files<'a> {
    fn add(&mut self, path: PathBuf, bytes: Bytes<'a>) -> Result<(), ModelError> {
        let file = self.files.len();
        for (name, mut tensor) in read_header(&path, bytes.as_ref())? {
            tensor.file = file;
            self.tensors.insert(canonical_name(&name), tensor);
        }
        self.files.push((path, bytes));
        Ok(())
    }

    /// A matrix as it lies in its file, `None` where it is not stored in bfloat16.
    fn read_bf16(&mut self, name: &str, expected: [usize; 2]) -> Result<Option<TensorData>, ModelError> {
        let (tensor, path, file) = self.find(name, &expected)?;
        if tensor.dtype != "BF16" {
            return Ok(None);
        }
        let range = tensor.bytes.clone();
        let stored = &file.as_ref()[range.clone()];
        if !all_finite(stored) {
            return Err(ModelError::NotFinite { path: path.to_owned(), tensor: name.to_owned() });
        }
        Ok(Some(match file {
            #[cfg(not(target_arch = "wasm32"))]
            Bytes::Mapped(map) if stored.as_ptr().addr().is_multiple_of(align_of::<bf16>()) => {
                let mapped = burn::tensor::Bytes::from_shared(map.slice(range), AllocationProperty::File);
                TensorData::from_bytes(mapped, expected, DType::BF16)
            }
            _ => {
                let values = stored.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]));
                TensorData::new(values.collect::<Vec<_>>(), expected)
            }
        }))
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

    fn read(&mut self, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
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

/// Whether no bfloat16 among these little-endian bytes has all bits of its exponent set.
fn all_finite(bytes: &[u8]) -> bool {
    // Without branches within a piece, so that it vectorizes.
    let piece = |piece: &[u8]| {
        let exponents = piece.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]) & 0x7f80);
        exponents.fold(true, |finite, exponent| finite & (exponent != 0x7f80))
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
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!({ "format": "pt" }));
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + tensor.shape.iter().product::<usize>() * precision.bytes();
        let entry = HeaderEntry {
            dtype: precision.dtype().into(),
            shape: tensor.shape.clone(),
            data_offsets: (offset, end),
        };
        header.insert(tensor.name.clone(), serde_json::to_value(entry)?);
        offset = end;
    }
    let mut header = serde_json::to_vec(&header)?;
    // The data start at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for tensor in tensors {
        let values = (tensor.values)();
        let bytes: Vec<u8> = match precision {
            Precision::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Precision::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
            Precision::Bf16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
        };
        out.write_all(&bytes)?;
    }
    out.flush()
}
