//! Where parameters come from: random numbers, or safetensors files (one or several shards).
//!
//! Layers ask for every tensor by its Hugging Face name, so that nothing has to be renamed or
//! transposed on the way, and whatever is left over in the files is an error too.

use super::layers::PackedWeight;
use crate::model::ModelError;
use crate::model::device::is_cuda;
use crate::model::quantization::{Bits, GROUP, dequantize};
use burn::module::{Param, ParamId};
#[cfg(not(target_arch = "wasm32"))]
use burn::tensor::AllocationProperty;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
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
        Ok(Self { origin: Origin::Files(Files::open(dir)?), device: device.clone() })
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

    /// The matrix of a linear layer or an embedding: kept in 16 bits where it is stored so and the device computes with
    /// such weights (see [`matrix_dtype`]), which on the CPU means without copying it from the mapped file.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_matrix(
        &mut self,
        name: &str,
        shape: [usize; 2],
        init: Init,
    ) -> Result<Param<Tensor<2>>, ModelError> {
        let wanted = matrix_dtype(&self.device);
        if let Origin::Files(files) = &mut self.origin
            && wanted != DType::F32
            && let Some(data) = files.read_half(name, shape)?
        {
            // f16 is finer than bfloat16, so the CPU, whose products are of the latter, widens it.
            if data.dtype() == wanted {
                return Ok(Param::from_tensor(Tensor::from_data(data, (&self.device, wanted))));
            } else if !is_cpu(&self.device) {
                let data = data.convert_dtype(wanted);
                return Ok(Param::from_tensor(Tensor::from_data(data, (&self.device, wanted))));
            }
        }
        self.get(name, shape, init)
    }

    /// The weight of a linear layer, which may be stored in few bits.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_linear(
        &mut self,
        name: &str,
        shape: [usize; 2],
        init: Init,
    ) -> Result<LinearWeight, ModelError> {
        let wanted = matrix_dtype(&self.device);
        if let Origin::Files(files) = &mut self.origin
            && let Some((bits, values, scales)) = files.read_packed(name, shape)?
        {
            if is_cpu(&self.device) && wanted != DType::F32 {
                let (of_values, of_scales) = (values.dtype(), scales.dtype());
                let values = Tensor::<2, Int>::from_data(values, (&self.device, of_values));
                let scales = Tensor::from_data(scales, (&self.device, of_scales));
                let values = Param::initialized(ParamId::new(), values);
                return Ok(LinearWeight::Packed(PackedWeight {
                    values,
                    scales: Param::from_tensor(scales),
                    bits,
                }));
            }
            let scales: Vec<f16> = scales.iter::<f16>().collect();
            let wide = dequantize(values.as_bytes(), &scales, bits);
            let wide = TensorData::new(wide, shape).convert_dtype(wanted);
            let wide = Tensor::from_data(wide, (&self.device, wanted));
            return Ok(LinearWeight::Plain(Param::from_tensor(wide)));
        }
        Ok(LinearWeight::Plain(self.get_matrix(name, shape, init)?))
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

fn is_cpu(device: &Device) -> bool {
    device.clone().without_autodiff() == Device::flex()
}

/// The number type that matrices stored in 16 bits keep on a device: bfloat16 where it multiplies them (the CPU, CUDA),
/// else f16 where it has that (Vulkan with 16-bit arithmetic), else f32. Training wants the whole precision for its steps.
pub fn matrix_dtype(device: &Device) -> DType {
    if device.is_autodiff() {
        return DType::F32;
    }
    if is_cpu(device) {
        return DType::BF16;
    }
    // What Vulkan calls support of bfloat16 is storage; CUDA computes with it.
    let computes_bf16 = is_cuda(device) && device.supports_dtype(DType::BF16);
    match (computes_bf16, device.supports_dtype(DType::F16)) {
        (true, _) => DType::BF16,
        (false, true) => DType::F16,
        (false, false) => DType::F32,
    }
}

/// The weight of a linear layer.
pub enum LinearWeight {
    Plain(Param<Tensor<2>>),
    Packed(PackedWeight),
}

/// Numbers that depend on seed and name only, so that adding a layer leaves the others as they were.
pub(super) fn random_values(seed: u64, name: &str, count: usize, init: Init) -> Vec<f32> {
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
pub(super) struct Files<'a> {
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
pub(super) struct HeaderEntry {
    pub dtype: String,
    pub shape: Vec<usize>,
    /// Relative to the end of the header.
    pub data_offsets: (usize, usize),
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
    fn read_half(&mut self, name: &str, expected: [usize; 2]) -> Result<Option<TensorData>, ModelError> {
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
    fn read_packed(
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
pub(super) fn write_header(
    entries: &[(String, HeaderEntry)],
    out: &mut impl std::io::Write,
) -> std::io::Result<()> {
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
