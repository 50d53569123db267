//! Where parameters come from: random numbers, or safetensors files.
//!
//! Layers ask for every tensor by its Hugging Face name, so that nothing has to be renamed or
//! transposed on the way, and whatever is left over in the files is an error too.

use super::layers::PackedWeight;
use super::safetensors::Files;
use crate::model::ModelError;
use crate::model::device::{is_cpu, is_cuda};
use crate::model::quantization::dequantize;
use burn::module::{Param, ParamId};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use half::f16;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

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
        Ok(Self { origin: Origin::Files(Files::from_bytes(path, bytes)?), device: device.clone() })
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
        match self.origin {
            Origin::Files(files) => files.finish(ignored),
            _ => Ok(()),
        }
    }
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
