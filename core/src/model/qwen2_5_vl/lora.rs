//! Low-rank adapters (LoRA, arXiv 2106.09685): `y = x Wᵀ + (alpha / rank) · (x Aᵀ) Bᵀ`, with W frozen. Read and written in
//! the form of Hugging Face's PEFT: `adapter_config.json` and `adapter_model.safetensors`.

use super::layers::{Linear, in_bf16, linear};
use super::weights::Init;
use super::{Precision, Qwen2_5Vl};
use crate::model::ModelError;
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use serde::{Deserialize, Serialize};
#[cfg(not(target_arch = "wasm32"))]
use {
    super::replace_file,
    super::weights::{Files, NamedTensor, write_safetensors},
    std::path::{Path, PathBuf},
};

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
const TARGETS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

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

/// PEFT's name for everything under the wrapped model.
const PREFIX: &str = "base_model.model.";

/// A layer's name in `transformers`, as PEFT writes it: `model.layers.0.…` is `model.language_model.layers.0.…`.
fn peft_name(layer: &str) -> String {
    let inner = layer.strip_prefix("model.").map(|rest| format!("model.language_model.{rest}"));
    format!("{PREFIX}{}", inner.unwrap_or_else(|| layer.to_owned()))
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
    fn decoder_linears(&mut self, each: &mut dyn FnMut(&str, &mut Linear)) {
        for (index, layer) in self.model.layers.iter_mut().enumerate() {
            for (part, linear) in layer.linears_mut() {
                each(&format!("model.layers.{index}.{part}"), linear);
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Qwen2_5Vl {
    /// Writes the adapters as PEFT does. `base` is the folder or name of the model without them.
    ///
    /// # Errors
    /// There are none, or the folder cannot be written.
    pub fn save_lora(&self, dir: &Path, base: &str) -> Result<(), ModelError> {
        let mut tensors = Vec::new();
        let mut targets = Vec::new();
        let mut shape = None;
        for (index, layer) in self.model.layers.iter().enumerate() {
            for (part, linear) in layer.linears() {
                let Some(lora) = &linear.lora else { continue };
                let name = peft_name(&format!("model.layers.{index}.{part}"));
                targets.push(name.trim_start_matches(PREFIX).to_owned());
                shape = Some((lora.down.dims()[0], lora.scale));
                for (which, tensor) in [("lora_A", &lora.down), ("lora_B", &lora.up)] {
                    let tensor = tensor.val().detach();
                    tensors.push(NamedTensor {
                        name: format!("{name}.{which}.weight"),
                        shape: tensor.dims().to_vec(),
                        values: Box::new(move || tensor.clone().into_data().iter::<f32>().collect()),
                    });
                }
            }
        }
        let Some((rank, scale)) = shape else {
            return Err(ModelError::Input("the model has no adapters to write".to_owned()));
        };
        let config = serde_json::json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "r": rank,
            "lora_alpha": scale * rank as f64,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "target_modules": targets,
        });
        std::fs::create_dir_all(dir).map_err(|source| ModelError::Io { path: dir.to_owned(), source })?;
        let config = serde_json::to_string_pretty(&config).unwrap_or_default();
        replace_file(&dir.join(ADAPTER_CONFIG), |file| std::io::Write::write_all(file, config.as_bytes()))?;
        replace_file(&dir.join(ADAPTER_WEIGHTS), |file| {
            write_safetensors(&tensors, Precision::F32, std::io::BufWriter::new(file))
        })
    }

    /// Puts the adapters of a PEFT folder onto this model. Everything else is frozen.
    ///
    /// # Errors
    /// The folder holds something else, or adapters of another model.
    pub fn load_lora(mut self, dir: &Path) -> Result<Self, ModelError> {
        let config = AdapterConfig::read(dir)?;
        let device = self.device();
        self = self.no_grad();
        let mut files = Files::open_file(&dir.join(ADAPTER_WEIGHTS))?;
        let mut failed = None;
        let mut found = 0;
        self.decoder_linears(&mut |name, linear| {
            let [outputs, inputs] = linear.dims();
            let rank = config.r;
            let mut read = |which: &str, shape: [usize; 2]| -> Result<Option<Param<Tensor<2>>>, ModelError> {
                let name = adapter_name(&files, name, which);
                let Some(name) = name else { return Ok(None) };
                let values = files.read(&name, &shape)?;
                let tensor = Tensor::from_data(TensorData::new(values, shape), (&device, DType::F32));
                Ok(Some(Param::from_tensor(tensor)))
            };
            let both =
                read("lora_A", [rank, inputs]).and_then(|down| Ok((down, read("lora_B", [outputs, rank])?)));
            match both {
                Ok((Some(down), Some(up))) => {
                    found += 2;
                    linear.lora = Some(Lora { down, up, scale: config.scale(), narrow: false });
                }
                Ok((None, None)) => {}
                Ok(_) => {
                    failed = Some(ModelError::MissingTensor {
                        path: dir.join(ADAPTER_WEIGHTS),
                        tensor: format!("{} (lora_A or lora_B)", peft_name(name)),
                    });
                }
                Err(error) => failed = Some(error),
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let names = files.names();
        if found < names.len() {
            let known = |name: &String| {
                name.contains("layers.") && TARGETS.iter().any(|target| name.contains(target))
            };
            let example =
                names.iter().find(|name| !known(name)).or(names.first()).cloned().unwrap_or_default();
            let (path, count) = (dir.join(ADAPTER_WEIGHTS), names.len() - found);
            return Err(ModelError::UnexpectedTensors { path, count, example });
        }
        Ok(self)
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub(super) const ADAPTER_CONFIG: &str = "adapter_config.json";
#[cfg(not(target_arch = "wasm32"))]
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// The name under which an adapter's part is stored: as `transformers` 5 or 4 calls the layer.
#[cfg(not(target_arch = "wasm32"))]
fn adapter_name(files: &Files<'_>, layer: &str, which: &str) -> Option<String> {
    let names = [peft_name(layer), format!("{PREFIX}{layer}")];
    let stored = names.into_iter().map(|name| format!("{name}.{which}.weight"));
    stored.into_iter().find(|name| files.has(name))
}

/// What is needed of `adapter_config.json`.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Deserialize)]
pub(super) struct AdapterConfig {
    peft_type: String,
    pub base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    rank_pattern: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    alpha_pattern: serde_json::Map<String, serde_json::Value>,
}

#[cfg(not(target_arch = "wasm32"))]
impl AdapterConfig {
    pub fn read(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join(ADAPTER_CONFIG);
        let fault = |message: String| ModelError::Config { path: path.clone(), message };
        let text =
            std::fs::read_to_string(&path).map_err(|source| ModelError::Io { path: path.clone(), source })?;
        let config: Self = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
        if config.peft_type != "LORA" || config.use_dora {
            return Err(fault(format!("adapters of type {} are not known; LORA is", config.peft_type)));
        }
        if config.r == 0 {
            return Err(fault("r must be above zero".into()));
        }
        if !config.rank_pattern.is_empty() || !config.alpha_pattern.is_empty() {
            return Err(fault(
                "rank_pattern and alpha_pattern are not supported; merge the adapter with PEFT".into(),
            ));
        }
        Ok(config)
    }

    fn scale(&self) -> f64 {
        let rank = self.r as f64;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// The folder of the model that the adapters belong to: absolute, or beside the adapters, or from here.
    pub fn base(&self, dir: &Path) -> Result<PathBuf, ModelError> {
        let name = self.base_model_name_or_path.as_deref().unwrap_or_default();
        let places = [dir.join(name), PathBuf::from(name)];
        let found = places.into_iter().find(|place| !name.is_empty() && place.join("config.json").exists());
        found.ok_or_else(|| ModelError::Config {
            path: dir.join(ADAPTER_CONFIG),
            message: format!(
                "base_model_name_or_path is {name:?}, and there is no such model folder; set it to the folder of the model \
                 that the adapters belong to"
            ),
        })
    }
}

/// Of a folder of adapters, the folder of the model that they belong to; `None` for a folder of a whole model.
#[cfg(not(target_arch = "wasm32"))]
pub fn base_folder(dir: &Path) -> Result<Option<PathBuf>, ModelError> {
    if dir.join("config.json").exists() || !dir.join(ADAPTER_CONFIG).exists() {
        return Ok(None);
    }
    AdapterConfig::read(dir)?.base(dir).map(Some)
}

/// Where the tokenizer and the preprocessing of a model lie: of adapters beside them, or with their model.
#[cfg(not(target_arch = "wasm32"))]
pub fn processor_folder(dir: &Path) -> Result<PathBuf, ModelError> {
    match base_folder(dir)? {
        Some(base) if !dir.join("tokenizer.json").exists() => Ok(base),
        _ => Ok(dir.to_owned()),
    }
}

/// Writes the model of a folder of adapters with these added into it to the folder `to`, which must not hold anything.
///
/// # Errors
/// The model is quantized, something cannot be read, or the folder cannot be written.
#[cfg(not(target_arch = "wasm32"))]
pub fn merge_folder(from: &Path, to: &Path) -> Result<(), ModelError> {
    super::quantize::expect_empty(to)?;
    let base = base_folder(from)?.ok_or_else(|| ModelError::MissingFile {
        path: from.join(ADAPTER_CONFIG),
        remedy: "give a folder of adapters as PEFT writes them".into(),
    })?;
    let merged = Qwen2_5Vl::load(from, &Device::flex())?.merge_lora()?;
    let half = merged.model.embed_tokens.weight.val().dtype() == DType::BF16;
    merged.save(to, if half { Precision::Bf16 } else { Precision::F32 })?;
    super::quantize::copy_companions(&base, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelInput;
    use crate::model::qwen2_5_vl::{Qwen2_5VlConfig, SpecialTokens};
    use crate::processor::Encoded;

    fn model(device: &Device) -> Qwen2_5Vl {
        let tokens =
            SpecialTokens { image: 5, video: 6, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
        Qwen2_5Vl::init(&Qwen2_5VlConfig::tiny(64, &tokens), None, 3, device).unwrap()
    }

    fn logits(model: &Qwen2_5Vl) -> Vec<f32> {
        let encoded = Encoded { token_ids: (10..30).collect(), images: Vec::new(), answer_spans: Vec::new() };
        let input = ModelInput::batch(&[&encoded], model.config(), &model.device()).unwrap();
        model.logits(model.hidden(&input, None)).into_data().iter::<f32>().collect()
    }

    fn off(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    fn adapted(device: &Device) -> Qwen2_5Vl {
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

    #[test]
    fn a_folder_reads_back_and_names_its_faults() {
        let device = Device::flex();
        let dir = tempfile::tempdir().unwrap();
        let (base, folder) = (dir.path().join("base"), dir.path().join("adapter"));
        model(&device).save(&base, Precision::F32).unwrap();
        let trained = adapted(&device);
        trained.save_lora(&folder, "../base").unwrap();
        let read = Qwen2_5Vl::load(&folder, &device).unwrap();
        assert!(off(&logits(&read), &logits(&trained)) < 1e-6);
        let merged = dir.path().join("merged");
        merge_folder(&folder, &merged).unwrap();
        let merged = Qwen2_5Vl::load(&merged, &device).unwrap();
        assert!(!merged.has_lora() && off(&logits(&merged), &logits(&trained)) < 1e-4);
        assert!(merge_folder(&folder, &base).is_err() && merge_folder(&base, &dir.path().join("x")).is_err());
        // The base's tensors are as they were: adapters are no part of a saved model.
        assert_eq!(read.named_tensors().len(), model(&device).named_tensors().len());

        let config = folder.join(ADAPTER_CONFIG);
        let text = std::fs::read_to_string(&config).unwrap();
        for (from, to, word) in [
            ("\"LORA\"", "\"IA3\"", "IA3"),
            ("../base", "../elsewhere", "elsewhere"),
            ("\"r\": 4", "\"r\": 5", "lora_A"),
            ("\"r\": 4", "\"r\": 0", "above zero"),
        ] {
            std::fs::write(&config, text.replace(from, to)).unwrap();
            let error = Qwen2_5Vl::load(&folder, &device).err().unwrap().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(model(&device).save_lora(&folder, "x").is_err());
        for (config, word) in [
            (LoraConfig { rank: 0, ..Default::default() }, "rank"),
            (LoraConfig { targets: vec!["qkv".into()], ..Default::default() }, "qkv"),
        ] {
            let error = model(&device).with_lora(&config, 0).err().unwrap().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
