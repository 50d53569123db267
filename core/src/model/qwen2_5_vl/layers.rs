//! The small layers that both halves of the model share. Field names are Hugging Face's, so that a
//! parameter's path in the module is its name in the checkpoint.

use super::lora::Lora;
use super::weights::{Init, LinearWeight, Weights};
use crate::model::quantization::{Bits, GROUP};
use crate::model::{ModelError, fused};
use burn::module::{Module, Param};
use burn::tensor::{DType, FloatDType, Int, Tensor, activation::silu};
use std::ops::Range;

/// `y = x Wᵀ + b`, with the weight as PyTorch keeps it: `[out, in]`.
#[derive(Module, Debug)]
pub struct Linear {
    /// Absent when the weight is kept in few bits.
    pub weight: Option<Param<Tensor<2>>>,
    pub packed: Option<PackedWeight>,
    pub bias: Option<Param<Tensor<1>>>,
    /// What is trained in place of the weight.
    pub lora: Option<Lora>,
    /// Whether an f32 weight is multiplied as bfloat16: see [`super::Qwen2_5Vl::multiply_in_bf16`].
    #[module(skip)]
    narrow: bool,
}

/// A weight in few bits, as it is stored: see [`crate::model::quantization`]. Only on the CPU; elsewhere such weights are
/// widened when they are read.
#[derive(Module, Debug)]
pub struct PackedWeight {
    pub values: Param<Tensor<2, Int>>,
    pub scales: Param<Tensor<2>>,
    #[module(skip)]
    pub bits: Bits,
}

impl PackedWeight {
    /// Outputs and inputs.
    fn dims(&self) -> [usize; 2] {
        let [outputs, groups] = self.scales.dims();
        [outputs, groups * GROUP]
    }
}

impl Linear {
    pub fn new(
        weights: &mut Weights<'_>,
        name: &str,
        [inputs, outputs]: [usize; 2],
        bias: bool,
        deviation: f64,
    ) -> Result<Self, ModelError> {
        let weight =
            weights.get_linear(&format!("{name}.weight"), [outputs, inputs], Init::Normal(deviation))?;
        let bias = match bias {
            true => Some(weights.get(&format!("{name}.bias"), [outputs], Init::Zeros)?),
            false => None,
        };
        let (weight, packed) = match weight {
            LinearWeight::Plain(weight) => (Some(weight), None),
            LinearWeight::Packed(packed) => (None, Some(packed)),
        };
        Ok(Self { weight, packed, bias, lora: None, narrow: false })
    }

    /// The part of the result that these rows of the weight make: `[…, in]` → `[…, rows]`.
    pub fn forward_rows<const D: usize>(&self, x: Tensor<D>, rows: Range<usize>) -> Tensor<D> {
        let (Some(weight), None) = (&self.weight, &self.lora) else {
            return self.forward(x).slice_dim(D - 1, rows);
        };
        let bias = self.bias.as_ref().map(|bias| bias.val().slice_dim(0, rows.clone()));
        linear(x, self.factor(weight.val().slice_dim(0, rows)), bias)
    }

    /// Multiplies as bfloat16 from here on. A weight that learns stays f32 beside it, and is rounded each time.
    pub fn multiply_in_bf16(&mut self) {
        self.narrow = true;
        if let Some(weight) = self.weight.as_mut().filter(|weight| !weight.is_require_grad()) {
            *weight = weight.clone().map(|weight| weight.cast(FloatDType::BF16));
        }
        for part in self.lora.iter_mut() {
            part.narrow = true;
        }
    }

    fn factor(&self, weight: Tensor<2>) -> Tensor<2> {
        if self.narrow { in_bf16(weight) } else { weight }
    }

    /// Outputs and inputs.
    pub fn dims(&self) -> [usize; 2] {
        match (&self.weight, &self.packed) {
            (Some(weight), _) => weight.dims(),
            (None, Some(packed)) => packed.dims(),
            (None, None) => [0, 0],
        }
    }

    /// `[…, in]` → `[…, out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match &self.lora {
            Some(lora) => self.forward_frozen(x.clone()) + lora.forward(x),
            None => self.forward_frozen(x),
        }
    }

    fn forward_frozen<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        match (&self.weight, &self.packed) {
            (Some(weight), _) => linear(x, self.factor(weight.val()), bias),
            (None, Some(packed)) => {
                let mut dims = x.dims();
                let rows = dims[..D - 1].iter().product::<usize>();
                let x = x.reshape([rows, dims[D - 1]]);
                let y = fused::linear_packed(x, packed.values.val(), packed.scales.val(), packed.bits);
                dims[D - 1] = y.dims()[1];
                match bias {
                    Some(bias) => (y + bias.unsqueeze()).reshape(dims),
                    None => y.reshape(dims),
                }
            }
            // `new` makes one or the other.
            (None, None) => x,
        }
    }
}

/// The same as bfloat16; its gradient is f32 again.
pub fn in_bf16(weight: Tensor<2>) -> Tensor<2> {
    if weight.dtype() == DType::BF16 { weight } else { weight.cast(FloatDType::BF16) }
}

/// `x Wᵀ + b` as one matrix product over all leading dimensions: `[…, in]`, `[out, in]` and `[out]` → `[…, out]`.
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let mut dims = x.dims();
    let [outputs, inputs] = weight.dims();
    let rows = dims[..D - 1].iter().product::<usize>();
    dims[D - 1] = outputs;
    let x = x.reshape([rows, inputs]);
    if fused::applies(&x) {
        return fused::linear(x, weight, bias).reshape(dims);
    }
    let y = match weight.dtype() {
        DType::BF16 => x.cast(FloatDType::BF16).matmul(weight.transpose()).cast(FloatDType::F32),
        DType::F16 => product_in_f16(x, weight),
        _ => x.matmul(weight.transpose()),
    };
    match bias {
        Some(bias) => (y + bias.unsqueeze()).reshape(dims),
        None => y.reshape(dims),
    }
}

/// `x weightᵀ` through f16, which ends at 65,504: the activations of Qwen2.5-VL go beyond it in the last block of the
/// vision tower and in the decoder. Every row is divided by its largest number before, and multiplied by it after.
fn product_in_f16(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let largest = x.clone().abs().max_dim(1).clamp_min(f32::MIN_POSITIVE);
    let scaled = (x / largest.clone()).cast(FloatDType::F16);
    scaled.matmul(weight.transpose()).cast(FloatDType::F32) * largest
}

/// Root-mean-square normalisation over the last dimension.
#[derive(Module, Debug)]
pub struct RmsNorm {
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl RmsNorm {
    pub fn new(weights: &mut Weights<'_>, name: &str, size: usize, epsilon: f64) -> Result<Self, ModelError> {
        Ok(Self { weight: weights.get(&format!("{name}.weight"), [size], Init::Ones)?, epsilon })
    }

    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if fused::applies(&x) {
            return fused::rms_norm(x, self.weight.val(), self.epsilon);
        }
        let mean = x.clone().square().mean_dim(D - 1);
        x * (mean + self.epsilon).sqrt().recip() * self.weight.val().unsqueeze()
    }
}

/// The gated feed-forward layer of both towers.
#[derive(Module, Debug)]
pub struct Mlp {
    pub gate_proj: Linear,
    pub up_proj: Linear,
    pub down_proj: Linear,
}

impl Mlp {
    pub fn new(
        weights: &mut Weights<'_>,
        name: &str,
        [hidden, intermediate]: [usize; 2],
        bias: bool,
        deviation: f64,
    ) -> Result<Self, ModelError> {
        let mut linear =
            |part: &str, shape| Linear::new(weights, &format!("{name}.{part}"), shape, bias, deviation);
        Ok(Self {
            gate_proj: linear("gate_proj", [hidden, intermediate])?,
            up_proj: linear("up_proj", [hidden, intermediate])?,
            down_proj: linear("down_proj", [intermediate, hidden])?,
        })
    }

    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (gate, up) = (self.gate_proj.forward(x.clone()), self.up_proj.forward(x));
        let gated = if fused::applies(&gate) { fused::gate(gate, up) } else { silu(gate) * up };
        self.down_proj.forward(gated)
    }
}
