//! Qwen2.5-VL (arXiv 2502.13923): a vision tower with window attention, and a language model with
//! three-dimensional rotary positions.
//!
//! Module fields are named as in the published checkpoints, so a parameter's path is its name on disk.

pub mod attention;
pub mod cache;
pub mod config;
pub mod input;
pub mod layers;
pub mod lora;
#[cfg(not(target_arch = "wasm32"))]
pub mod peft;
#[cfg(not(target_arch = "wasm32"))]
pub mod quantize;
pub mod rope;
pub mod safetensors;
pub mod text;
pub mod vision;
pub mod weights;

pub use cache::KvCache;
pub use config::{Qwen2_5VlConfig, SpecialTokens, TextConfig, VisionConfig};
pub use input::ModelInput;
pub use lora::LoraConfig;
pub use safetensors::Precision;

use super::ModelError;
use crate::processor::{Encoded, PixelPatches};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use layers::{Linear, linear};
use safetensors::NamedTensor;
#[cfg(not(target_arch = "wasm32"))]
use safetensors::write_safetensors;
use std::ops::Range;
use std::path::Path;
use text::TextModel;
use vision::VisionTower;
use weights::{OutlinedTensor, Weights};

/// The whole model. On a device with autodiff (`device.autodiff()`) its parameters take gradients;
/// `model.valid()` is the same model without.
#[derive(Module, Debug)]
pub struct Qwen2_5Vl {
    pub visual: VisionTower,
    pub model: TextModel,
    /// Absent when the embedding doubles as the output layer.
    pub lm_head: Option<Linear>,
    #[module(skip)]
    config: Qwen2_5VlConfig,
}

/// Ids of the tokens that stand for whole numbers, in order.
pub type NumberTokens = Range<u32>;

impl Qwen2_5Vl {
    /// Random weights with the config's standard deviation.
    ///
    /// Rows of `numbers`, if given, start as a smooth curve in the number instead, so that neighbouring
    /// coordinates start out alike: a tiny model cannot discover the order of a thousand tokens by itself.
    ///
    /// # Errors
    /// `numbers` beyond the vocabulary.
    pub fn init(
        config: &Qwen2_5VlConfig,
        numbers: Option<NumberTokens>,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let mut weights = Weights::random(seed, device);
        let mut model = Self::build(config, &mut weights)?;
        if let Some(numbers) = numbers {
            if numbers.end as usize > config.text.vocab_size {
                return Err(ModelError::Input(format!(
                    "number tokens {numbers:?} reach beyond the vocabulary of {}",
                    config.text.vocab_size
                )));
            }
            let (first, count) = (numbers.start as usize, numbers.len());
            let rows = smooth_rows(count, config.text.hidden_size, config.text.initializer_range, device);
            let place = [first..first + count, 0..config.text.hidden_size];
            // Written into the plain tensor, then made a parameter anew: an edited one would be no leaf.
            let table = model.model.embed_tokens.weight.val().detach().slice_assign(place, rows);
            model.model.embed_tokens.weight = Param::from_tensor(table.detach());
        }
        Ok(model)
    }

    /// Reads a model folder: `config.json` and the safetensors beside it; or a folder of adapters (PEFT), which names the
    /// folder of the model they belong to.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(dir: &Path, device: &Device) -> Result<Self, ModelError> {
        if let Some(base) = peft::base_folder(dir)? {
            return Self::load(&base, device)?.load_lora(dir);
        }
        let config = Qwen2_5VlConfig::load(dir)?;
        Self::build_all(&config, Weights::open(dir, device)?)
    }

    /// Reads a safetensors file from memory; `path` is only for error messages.
    pub fn from_safetensors(
        config: &Qwen2_5VlConfig,
        bytes: &[u8],
        path: &Path,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::build_all(config, Weights::from_bytes(bytes, path, device)?)
    }

    /// The parameters of a model of this shape, under their checkpoint names.
    pub fn outline(config: &Qwen2_5VlConfig) -> Result<Vec<OutlinedTensor>, ModelError> {
        let mut weights = Weights::outline();
        Self::build(config, &mut weights)?;
        Ok(weights.outlined())
    }

    fn build_all(config: &Qwen2_5VlConfig, mut weights: Weights<'_>) -> Result<Self, ModelError> {
        let model = Self::build(config, &mut weights)?;
        // Some exporters write tied weights twice, and old ones wrote tables that are computed.
        let tied = config.tie_word_embeddings;
        weights.finish(|name| name.ends_with(".inv_freq") || (tied && name == "lm_head.weight"))?;
        Ok(model)
    }

    fn build(config: &Qwen2_5VlConfig, weights: &mut Weights<'_>) -> Result<Self, ModelError> {
        let deviation = config.text.initializer_range;
        let lm_head = match config.tie_word_embeddings {
            true => None,
            false => {
                let shape = [config.text.hidden_size, config.text.vocab_size];
                Some(Linear::new(weights, "lm_head", shape, false, deviation)?)
            }
        };
        Ok(Self {
            visual: VisionTower::new(weights, &config.vision, deviation)?,
            model: TextModel::new(weights, &config.text)?,
            lm_head,
            config: config.clone(),
        })
    }

    pub fn config(&self) -> &Qwen2_5VlConfig {
        &self.config
    }

    /// Where the parameters live (with autodiff if they do).
    pub fn device(&self) -> Device {
        self.model.embed_tokens.weight.val().device()
    }

    /// Writes `config.json` and `model.safetensors` into a folder, each under its name only when complete.
    #[cfg(not(target_arch = "wasm32"))]
    ///
    /// # Errors
    /// The model is quantized, or the folder cannot be written.
    pub fn save(&self, dir: &Path, precision: Precision) -> Result<(), ModelError> {
        if self.config.quantization.is_some() {
            return Err(ModelError::Input(
                "a quantized model is not written again; copy its folder, or start from the one it was made of"
                    .to_owned(),
            ));
        }
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| ModelError::Io { path, source }
        };
        std::fs::create_dir_all(dir).map_err(io(dir))?;
        replace_file(&dir.join("config.json"), |file| {
            std::io::Write::write_all(file, self.config.to_json().as_bytes())
        })?;
        let tensors = self.named_tensors();
        replace_file(&dir.join("model.safetensors"), |file| {
            write_safetensors(&tensors, precision, std::io::BufWriter::new(file))
        })
    }

    /// All parameters but adapters under their checkpoint names, sorted.
    pub fn named_tensors(&self) -> Vec<NamedTensor> {
        let mut collector = Collector::default();
        self.visit(&mut collector);
        collector.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        collector.tensors
    }

    /// Runs the vision tower: `[merged tokens of all images, hidden]`, in order. What is shown several
    /// times is looked at once. Differentiable.
    ///
    /// # Errors
    /// An image whose grid does not fit the model.
    pub fn encode_images(&self, images: &[&PixelPatches]) -> Result<Tensor<2>, ModelError> {
        self.visual.forward(images)
    }

    /// A batch with its images encoded, ready for [`Self::hidden`].
    pub fn prepare(&self, encoded: &[&Encoded]) -> Result<ModelInput, ModelError> {
        let input = ModelInput::batch(encoded, &self.config, &self.device())?;
        let images: Vec<_> = encoded.iter().flat_map(|row| &row.images).collect();
        if images.is_empty() { Ok(input) } else { Ok(input.with_images(self.encode_images(&images)?)) }
    }

    /// `[batch, tokens, hidden]` after the final norm. With a cache, `input` is the next piece of each row.
    pub fn hidden(&self, input: &ModelInput, cache: Option<&mut KvCache>) -> Tensor<3> {
        self.hidden_watched(input, cache, &mut |_, _| {})
    }

    /// As [`Self::hidden`]; `watch` is shown what comes out of each layer of the language model, by its place.
    pub fn hidden_watched(
        &self,
        input: &ModelInput,
        cache: Option<&mut KvCache>,
        watch: &mut dyn FnMut(usize, &Tensor<3>),
    ) -> Tensor<3> {
        let text = self.model.embed_tokens.forward(input.token_ids.clone());
        let embedded = match (&input.sources, &input.image_embeddings) {
            (Some(sources), Some(images)) => {
                let [batch, tokens, hidden] = text.dims();
                let rows = Tensor::cat(vec![text.reshape([batch * tokens, hidden]), images.clone()], 0);
                rows.select(0, sources.clone()).reshape([batch, tokens, hidden])
            }
            _ => text,
        };
        self.model.forward(embedded, input.positions.clone(), &input.lengths, cache, watch)
    }

    /// `[…, hidden]` → `[…, vocabulary]`
    pub fn logits<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => linear(hidden, self.model.embed_tokens.weight.val(), None),
        }
    }
}

/// Rows for the numbers `0..count`: sines and cosines from one half wave to `hidden / 4` waves over the
/// whole range, with the same root mean square as random rows.
fn smooth_rows(count: usize, hidden: usize, deviation: f64, device: &Device) -> Tensor<2> {
    let amplitude = deviation * std::f64::consts::SQRT_2;
    let mut rows = Vec::with_capacity(count * hidden);
    for number in 0..count {
        let place = number as f64 / count as f64;
        for feature in 0..hidden {
            let angle = std::f64::consts::PI * (feature / 2 + 1) as f64 * place;
            let value = if feature.is_multiple_of(2) { libm::cos(angle) } else { libm::sin(angle) };
            rows.push((amplitude * value) as f32);
        }
    }
    Tensor::from_data(TensorData::new(rows, [count, hidden]), device)
}

/// Writes a file beside `path` and renames it when it is complete and on the disk.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn replace_file(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
) -> Result<(), ModelError> {
    let io = |source| ModelError::Io { path: path.to_owned(), source };
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; this one becomes an ordinary file, as the umask has it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(dir).map_err(io)?;
    write(file.as_file_mut()).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    tensors: Vec<NamedTensor>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Adapters are written by themselves.
        if self.path.iter().any(|part| part == "lora") {
            return;
        }
        let tensor = param.val().detach();
        self.tensors.push(NamedTensor {
            name: parameter_name(&self.path.join(".")),
            shape: tensor.dims().to_vec(),
            values: Box::new(move || tensor.clone().into_data().iter::<f32>().collect()),
        });
    }
}

/// A module path as a checkpoint name. They are equal but for the merger, where checkpoints count the
/// activation between the two linear layers.
pub fn parameter_name(path: &str) -> String {
    match path.strip_prefix("visual.merger.mlp.1.") {
        Some(rest) => format!("visual.merger.mlp.2.{rest}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod folder_tests;
