//! The tiny models that are part of the program: the same architecture with a small config and a small
//! vocabulary, so that everything can be tried without a download and without a GPU.

use super::qwen2_5_vl::SpecialTokens;
use super::{ModelError, Qwen2_5Vl, Qwen2_5VlConfig};
use crate::processor::{Processor, ProcessorError, Tokenizer};
use burn::tensor::Device;
use std::path::{Path, PathBuf};

const CONFIG: &str = include_str!("../../../assets/tiny/config.json");
const FOUNDATION: &[u8] = include_bytes!("../../../assets/tiny/foundation/model.safetensors");
const LADDER: &[u8] = include_bytes!("../../../assets/tiny/ladder/model.safetensors");

/// A model that needs no folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bundled {
    /// `tiny` or `tiny:foundation`: what the ladder starts from.
    Foundation,
    /// `tiny:ladder`: the same after the stages of the ladder.
    Ladder,
    /// `tiny:random`: the same shape with random weights.
    Random,
}

impl Bundled {
    /// The bundled model that a `--model` argument names; `None` when it is a folder.
    ///
    /// # Errors
    /// `tiny:` with anything else behind it.
    pub fn from_name(name: &str) -> Result<Option<Self>, ModelError> {
        match name {
            "tiny" | "tiny:foundation" => Ok(Some(Self::Foundation)),
            "tiny:ladder" => Ok(Some(Self::Ladder)),
            "tiny:random" => Ok(Some(Self::Random)),
            other if other.starts_with("tiny:") => Err(ModelError::Input(format!(
                "there is no built-in model `{other}`; use tiny:foundation, tiny:ladder, tiny:random or a folder"
            ))),
            _ => Ok(None),
        }
    }

    /// The model; `seed` is for random weights.
    pub fn open(self, seed: u64, device: &Device) -> Result<Qwen2_5Vl, ModelError> {
        let config = config()?;
        let (bytes, name) = match self {
            Self::Foundation => (FOUNDATION, "tiny/foundation/model.safetensors"),
            Self::Ladder => (LADDER, "tiny/ladder/model.safetensors"),
            Self::Random => return random(&config, seed, device),
        };
        Qwen2_5Vl::from_safetensors(&config, bytes, Path::new(name), device)
    }
}

/// The folder that a `--model` argument names: a run directory stands for its finished model. Names of bundled models stay
/// as they are.
pub fn folder(name: &str) -> PathBuf {
    let dir = PathBuf::from(name);
    let finished = dir.join("model");
    let is_run = matches!(Bundled::from_name(name), Ok(None))
        && !dir.join("config.json").exists()
        && finished.join("config.json").exists();
    if is_run { finished } else { dir }
}

/// A bundled model by name, or the one in a folder.
pub fn open_model(name: &str, seed: u64, device: &Device) -> Result<Qwen2_5Vl, ModelError> {
    match Bundled::from_name(name)? {
        Some(bundled) => bundled.open(seed, device),
        None => Qwen2_5Vl::load(&folder(name), device),
    }
}

/// The processor of all bundled models.
pub fn processor() -> Result<Processor, ProcessorError> {
    Processor::tiny()
}

/// The config of all bundled models.
pub fn config() -> Result<Qwen2_5VlConfig, ModelError> {
    Qwen2_5VlConfig::from_json(CONFIG, Path::new("tiny/config.json"))
}

/// The config that goes with the bundled tokenizer: what `assets/tiny/config.json` has to hold.
pub fn config_for(tokenizer: &Tokenizer) -> Qwen2_5VlConfig {
    let special = tokenizer.special();
    let tokens = SpecialTokens {
        image: special.image_pad,
        video: special.video_pad,
        vision_start: special.vision_start,
        vision_end: special.vision_end,
        end_of_turn: special.im_end,
        pad: special.end_of_text,
    };
    Qwen2_5VlConfig::tiny(tokenizer.vocab_size(), &tokens)
}

fn random(config: &Qwen2_5VlConfig, seed: u64, device: &Device) -> Result<Qwen2_5Vl, ModelError> {
    let processor = processor().map_err(|error| ModelError::Input(error.to_string()))?;
    let numbers = processor.tokenizer.number_token_range();
    Qwen2_5Vl::init(config, Some(numbers), seed, device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_belongs_to_the_tokenizer() {
        let expected = config_for(&processor().unwrap().tokenizer);
        assert_eq!(
            config().unwrap(),
            expected,
            "write assets/tiny/config.json anew:\n{}",
            expected.to_json()
        );
    }

    #[test]
    fn names() {
        assert_eq!(Bundled::from_name("tiny").unwrap(), Some(Bundled::Foundation));
        assert_eq!(Bundled::from_name("models/tiny").unwrap(), None);
        assert!(Bundled::from_name("tiny:huge").unwrap_err().to_string().contains("tiny:ladder"));
    }

    #[test]
    fn a_run_stands_for_its_finished_model() {
        let dir = tempfile::tempdir().unwrap();
        let name = |path: &Path| path.to_str().unwrap().to_owned();
        let model = dir.path().join("model");
        assert_eq!(folder(&name(dir.path())), dir.path());
        std::fs::create_dir(&model).unwrap();
        std::fs::write(model.join("config.json"), CONFIG).unwrap();
        assert_eq!(folder(&name(dir.path())), model);
        assert_eq!(folder(&name(&model)), model);
        std::fs::write(dir.path().join("config.json"), CONFIG).unwrap();
        assert_eq!(folder(&name(dir.path())), dir.path());
        assert_eq!(folder("tiny"), Path::new("tiny"));
    }
}
