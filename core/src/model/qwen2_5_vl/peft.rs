//! Adapters in the form of Hugging Face's PEFT: folders of `adapter_config.json` and `adapter_model.safetensors`.

use super::lora::{Lora, TARGETS};
use super::safetensors::{Files, NamedTensor, write_safetensors};
use super::{Precision, Qwen2_5Vl, replace_file};
use crate::model::ModelError;
use burn::module::{Module as _, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// PEFT's name for everything under the wrapped model.
const PREFIX: &str = "base_model.model.";

/// A layer's name in `transformers`, as PEFT writes it: `model.layers.0.…` is `model.language_model.layers.0.…`.
fn peft_name(layer: &str) -> String {
    let inner = layer.strip_prefix("model.").map(|rest| format!("model.language_model.{rest}"));
    format!("{PREFIX}{}", inner.unwrap_or_else(|| layer.to_owned()))
}

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

const ADAPTER_CONFIG: &str = "adapter_config.json";
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// The name under which an adapter's part is stored: as `transformers` 5 or 4 calls the layer.
fn adapter_name(files: &Files<'_>, layer: &str, which: &str) -> Option<String> {
    let names = [peft_name(layer), format!("{PREFIX}{layer}")];
    let stored = names.into_iter().map(|name| format!("{name}.{which}.weight"));
    stored.into_iter().find(|name| files.has(name))
}

/// What is needed of `adapter_config.json`.
#[derive(Debug, Deserialize)]
struct AdapterConfig {
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
pub fn base_folder(dir: &Path) -> Result<Option<PathBuf>, ModelError> {
    if dir.join("config.json").exists() || !dir.join(ADAPTER_CONFIG).exists() {
        return Ok(None);
    }
    AdapterConfig::read(dir)?.base(dir).map(Some)
}

/// Where the tokenizer and the preprocessing of a model lie: of adapters beside them, or with their model.
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
    use super::super::LoraConfig;
    use super::super::lora::tests::{adapted, logits, model, off};
    use super::*;

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
