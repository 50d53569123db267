//! Low-rank adapters (LoRA, arXiv 2106.09685): `y = x Wᵀ + (alpha / rank) · (x Aᵀ) Bᵀ`, with W frozen.

use super::Qwen2_5Vl;
use super::layers::{Linear, in_bf16, linear};
use super::weights::Init;
use crate::model::ModelError;
use burn::module::{Module, Param};
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Which linear layers get adapters, and how large these are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    pub rank: usize,
    /// The adapters' part is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Last parts of the names of the decoder's linear layers: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`,
    /// `up_proj`, `down_proj`.
    pub targets: Vec<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        let targets = TARGETS.map(str::to_owned).to_vec();
        Self { rank: 64, alpha: 128.0, targets }
    }
}

/// The decoder's linear layers.
pub(super) const TARGETS: [&str; 7] =
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

impl LoraConfig {
    /// Refuses what cannot work, naming the field.
    pub fn check(&self) -> Result<(), String> {
        if self.rank == 0 {
            return Err("rank must be above zero".into());
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return Err(format!("alpha must be above zero, not {}", self.alpha));
        }
        match self.targets.iter().find(|target| !TARGETS.contains(&target.as_str())) {
            Some(unknown) => Err(format!("there is no target {unknown}; targets are {}", TARGETS.join(", "))),
            None if self.targets.is_empty() => Err("targets name no layer".into()),
            None => Ok(()),
        }
    }
}

/// The adapter of one linear layer.
#[derive(Module, Debug)]
pub struct Lora {
    /// A, `[rank, in]`.
    pub down: Param<Tensor<2>>,
    /// B, `[out, rank]`.
    pub up: Param<Tensor<2>>,
    #[module(skip)]
    pub scale: f64,
    /// As [`Linear`] has it.
    #[module(skip)]
    pub narrow: bool,
}

impl Lora {
    /// What it adds: `[…, in]` → `[…, out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let factor = |weight: Tensor<2>| if self.narrow { in_bf16(weight) } else { weight };
        let low = linear(x, factor(self.down.val()), None);
        linear(low, factor(self.up.val()), None).mul_scalar(self.scale)
    }
}

impl Qwen2_5Vl {
    /// The model with new adapters: A random, B zero, so that it computes as before. Everything else is frozen.
    ///
    /// # Errors
    /// The configuration cannot work.
    pub fn with_lora(self, config: &LoraConfig, seed: u64) -> Result<Self, ModelError> {
        config.check().map_err(|message| ModelError::Input(format!("lora: {message}")))?;
        let device = self.device();
        let mut model = self.no_grad();
        let rank = config.rank;
        model.decoder_linears(&mut |name, linear| {
            if config.targets.iter().any(|target| name.ends_with(target.as_str())) {
                let [outputs, inputs] = linear.dims();
                // As `kaiming_uniform` with a = √5, PEFT's choice, has its deviation.
                let deviation = 1.0 / (3.0 * inputs as f64).sqrt();
                let down = super::weights::random_values(seed, name, rank * inputs, Init::Normal(deviation));
                let down = Tensor::from_data(TensorData::new(down, [rank, inputs]), (&device, DType::F32));
                linear.lora = Some(Lora {
                    down: Param::from_tensor(down),
                    up: Param::from_tensor(Tensor::zeros([outputs, rank], (&device, DType::F32))),
                    scale: config.alpha / rank as f64,
                    narrow: false,
                });
            }
        });
        Ok(model)
    }

    /// Whether any layer has an adapter.
    pub fn has_lora(&self) -> bool {
        self.model.layers.iter().any(|layer| layer.linears().iter().any(|(_, linear)| linear.lora.is_some()))
    }

    /// Lets the adapters learn, and nothing else.
    pub fn freeze_all_but_lora(self) -> Self {
        let mut model = self.no_grad();
        model.decoder_linears(&mut |_, linear| {
            for part in linear.lora.iter_mut().flat_map(|lora| [&mut lora.down, &mut lora.up]) {
                *part = part.clone().set_require_grad(true);
            }
        });
        model
    }

    /// The model as it was before its adapters.
    pub fn without_lora(mut self) -> Self {
        self.decoder_linears(&mut |_, linear| linear.lora = None);
        self
    }

    /// Adds the adapters into the weights they stand beside: the same model without adapters, up to rounding.
    ///
    /// # Errors
    /// A weight with an adapter is kept in few bits.
    pub fn merge_lora(mut self) -> Result<Self, ModelError> {
        let mut packed = None;
        self.decoder_linears(&mut |name, linear| {
            let Some(lora) = linear.lora.take() else { return };
            let Some(weight) = &linear.weight else {
                packed = Some(name.to_owned());
                return;
            };
            let weight = weight.val();
            let dtype = weight.dtype();
            let added = lora.up.val().matmul(lora.down.val()).mul_scalar(lora.scale);
            let merged = weight.cast(FloatDType::F32) + added;
            let merged = if dtype == DType::BF16 { merged.cast(FloatDType::BF16) } else { merged };
            linear.weight = Some(Param::from_tensor(merged.detach()));
        });
        match packed {
            None => Ok(self),
            Some(name) => Err(ModelError::Input(format!(
                "`{name}` is kept in few bits, and an adapter cannot be added into it; merge it with the model that was \
                 quantized"
            ))),
        }
    }

    /// The model with the products of its layers in bfloat16 and everything between them in f32. Weights that learn stay
    /// f32, and so do their gradients; the output layer is left as it is.
    pub fn multiply_in_bf16(mut self) -> Self {
        self.decoder_linears(&mut |_, linear| linear.multiply_in_bf16());
        for linear in self.visual.linears_mut() {
            linear.multiply_in_bf16();
        }
        self
    }

    /// Calls `each` with every linear layer of the decoder and its checkpoint name.
    pub(super) fn decoder_linears(&mut self, each: &mut dyn FnMut(&str, &mut Linear)) {
        for (index, layer) in self.model.layers.iter_mut().enumerate() {
            for (part, linear) in layer.linears_mut() {
                each(&format!("model.layers.{index}.{part}"), linear);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::ModelInput;
    use crate::model::qwen2_5_vl::{Qwen2_5VlConfig, SpecialTokens};
    use crate::processor::Encoded;
    use burn::tensor::Device;

    pub fn model(device: &Device) -> Qwen2_5Vl {
        let tokens =
            SpecialTokens { image: 5, video: 6, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
        Qwen2_5Vl::init(&Qwen2_5VlConfig::tiny(64, &tokens), None, 3, device).unwrap()
    }

    pub fn logits(model: &Qwen2_5Vl) -> Vec<f32> {
        let encoded = Encoded { token_ids: (10..30).collect(), images: Vec::new(), answer_spans: Vec::new() };
        let input = ModelInput::batch(&[&encoded], model.config(), &model.device()).unwrap();
        model.logits(model.hidden(&input, None)).into_data().iter::<f32>().collect()
    }

    pub fn off(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    pub fn adapted(device: &Device) -> Qwen2_5Vl {
        let config = LoraConfig { rank: 4, alpha: 8.0, ..LoraConfig::default() };
        let mut model = model(device).with_lora(&config, 1).unwrap();
        model.decoder_linears(&mut |_, linear| {
            if let Some(lora) = &mut linear.lora {
                let dims = lora.up.dims();
                let values =
                    (0..dims[0] * dims[1]).map(|i| ((i * 31) % 17) as f32 * 0.01 - 0.08).collect::<Vec<_>>();
                lora.up = Param::from_tensor(Tensor::from_data(TensorData::new(values, dims), device));
            }
        });
        model
    }

    #[test]
    fn products_in_bf16_teach_f32_weights() {
        crate::model::fused::composed(|| {
            let device = Device::flex().autodiff();
            let plain = model(&device);
            let narrow = plain.clone().multiply_in_bf16();
            let (expected, found) = (logits(&plain), logits(&narrow));
            let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let apart = off(&expected, &found) / largest;
            assert!(apart > 1e-5 && apart < 3e-2, "rounded to eight bits: {apart}");
            let gradient = |model: &Qwen2_5Vl| {
                let encoded =
                    Encoded { token_ids: (10..30).collect(), images: Vec::new(), answer_spans: Vec::new() };
                let input = ModelInput::batch(&[&encoded], model.config(), &device).unwrap();
                let gradients = model.logits(model.hidden(&input, None)).square().mean().backward();
                let weight = model.model.layers[0].mlp.down_proj.weight.as_ref().unwrap().val();
                let gradient = weight.grad(&gradients).unwrap();
                assert_eq!((weight.dtype(), gradient.dtype()), (DType::F32, DType::F32));
                gradient.into_data().iter::<f32>().collect::<Vec<_>>()
            };
            let (expected, found) = (gradient(&plain), gradient(&narrow));
            let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let apart = off(&expected, &found) / largest;
            assert!(apart > 1e-5 && apart < 0.1, "{apart}");

            let frozen = plain.with_lora(&LoraConfig::default(), 1).unwrap().multiply_in_bf16();
            let layer = &frozen.model.layers[0].mlp.down_proj;
            assert_eq!(layer.weight.as_ref().unwrap().val().dtype(), DType::BF16);
            assert_eq!(layer.lora.as_ref().unwrap().down.val().dtype(), DType::F32);
            assert!(off(&logits(&frozen), &logits(&narrow)) < 1e-6);
        });
    }

    #[test]
    fn new_adapters_change_nothing_and_trained_ones_merge() {
        let device = Device::flex();
        let plain = model(&device);
        let fresh = plain.clone().with_lora(&LoraConfig::default(), 1).unwrap();
        assert!(fresh.has_lora() && !plain.has_lora());
        assert!(off(&logits(&plain), &logits(&fresh)) < 1e-6);

        let trained = adapted(&device);
        let expected = logits(&trained);
        assert!(off(&logits(&plain), &expected) > 1e-3, "the adapters do something");
        let merged = trained.clone().merge_lora().unwrap();
        assert!(!merged.has_lora());
        assert!(off(&logits(&merged), &expected) < 1e-4);
        assert_eq!(logits(&trained.without_lora()), logits(&plain));
    }

    #[test]
    fn only_adapters_learn() {
        let device = Device::flex().autodiff();
        let model = adapted(&device);
        let encoded = Encoded { token_ids: (10..30).collect(), images: Vec::new(), answer_spans: Vec::new() };
        let input = ModelInput::batch(&[&encoded], model.config(), &device).unwrap();
        let loss = model.logits(model.hidden(&input, None)).square().mean();
        let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &model);
        // Two for each of the seven layers of each block.
        assert_eq!(gradients.len(), 14 * model.config().text.num_hidden_layers);
    }
}
