//! Everything a training run can be told. A run directory holds the resolved form as `config.toml`.

use super::TrainError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A stage of the ladder, or what comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The tiny model's stand-in for the pretraining that Qwen2.5-VL brings: dense labels and captions.
    Foundation,
    /// Stage 1 of the paper: localize objects.
    Perception,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Self::Foundation => "foundation",
            Self::Perception => "perception",
        }
    }
}

impl std::str::FromStr for Stage {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        match text {
            "foundation" => Ok(Self::Foundation),
            "perception" => Ok(Self::Perception),
            "understanding" | "cold-start" | "reasoning" => Err(TrainError::Config(format!(
                "stage {text} is not built yet; this version trains foundation and perception"
            ))),
            _ => {
                Err(TrainError::Config(format!("unknown stage {text}; stages are foundation and perception")))
            }
        }
    }
}

/// Which set of defaults a configuration starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The published recipe without its faults.
    #[default]
    Corrected,
    /// The published recipe as its code ran, faults included (each behind a switch of its own).
    Paper,
}

impl std::str::FromStr for Preset {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        match text {
            "corrected" => Ok(Self::Corrected),
            "paper" => Ok(Self::Paper),
            _ => Err(TrainError::Config(format!("unknown preset {text}; presets are corrected and paper"))),
        }
    }
}

/// The resolved configuration of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    pub stage: Stage,
    pub preset: Preset,
    /// Data set folder made by `data build`.
    pub data: PathBuf,
    /// Hugging Face folder to start from; `tiny` is the bundled foundation checkpoint; `tiny:random`
    /// the same shape with random weights.
    pub model: String,
    /// `auto | cpu | wgpu | vulkan | cuda[:n]`
    pub device: String,
    pub seed: u64,
    /// Optimizer steps; each takes `batch_size * accumulation` samples.
    pub steps: u64,
    pub batch_size: usize,
    pub accumulation: usize,
    /// Parts of a batch computed at the same time on the CPU, each on its share of the cores. The sums of
    /// their gradients round differently from those of the whole, so a resumed run keeps its number.
    pub shards: usize,
    /// Peak learning rate of AdamW.
    pub learning_rate: f64,
    /// Share of the steps over which the rate rises linearly from zero, before its cosine falls to zero.
    pub warmup: f64,
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm.
    pub max_gradient_norm: f64,
    /// Steps between held-out evaluations; 0 for never.
    pub evaluate_every: u64,
    /// Held-out samples an evaluation answers.
    pub evaluate_samples: usize,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Checkpoints kept, newest first.
    pub keep_checkpoints: usize,
    pub foundation: FoundationConfig,
    pub faults: PublishedFaults,
}

/// The foundation stage: weights of its losses, and their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundationConfig {
    /// Share of the steps in which the vision tower learns alone, from the dense labels, before captions
    /// join in. A language model has nothing to say about tokens that mean nothing yet, and costs more
    /// than the tower.
    pub captions_after: f64,
    /// Cross-entropy of the category under each patch.
    pub category: f64,
    /// L1 of the box of the object under each patch, in shares of the image.
    pub bounds: f64,
    /// L1 of each merged token's own centre, in shares of the image.
    pub position: f64,
    /// Cross-entropy of the caption.
    pub caption: f64,
}

/// Faults of the published training code that can be reproduced. All off unless preset `paper` is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedFaults {
    /// The loss includes the prompt's tokens.
    pub prompt_in_loss: bool,
    /// Answers are JSON-encoded twice.
    pub double_encoded_answers: bool,
    /// Boxes are scaled for one resize while the pictures go through two: x is too large by 364 / 336.
    pub boxes_scaled_for_one_resize: bool,
}

impl TrainConfig {
    /// The published numbers are for a model of three billion parameters, which starts from a pretrained
    /// state and takes steps of 1e-5. The tiny model needs steps a hundred times larger and more of them;
    /// everything else of the recipe stays.
    pub fn new(stage: Stage, preset: Preset, data: PathBuf, model: String) -> Self {
        let tiny = model.starts_with("tiny") || is_small(Path::new(&model));
        let foundation = stage == Stage::Foundation;
        Self {
            stage,
            preset,
            data,
            device: "auto".into(),
            seed: 42,
            steps: match (tiny, foundation) {
                (true, true) => 3_800,
                (true, false) => 1_000,
                (false, _) => 370,
            },
            batch_size: match (tiny, foundation) {
                (true, true) => 32,
                (true, false) => 16,
                (false, _) => 1,
            },
            accumulation: if tiny { 1 } else { 16 },
            shards: if tiny { std::thread::available_parallelism().map_or(1, |n| n.get().min(8)) } else { 1 },
            learning_rate: match (tiny, foundation) {
                (true, true) => 2e-3,
                (true, false) => 1e-3,
                (false, _) => 1e-5,
            },
            warmup: if tiny { 0.05 } else { 0.1 },
            weight_decay: 0.0,
            max_gradient_norm: 1.0,
            evaluate_every: if tiny { 200 } else { 100 },
            evaluate_samples: 128,
            checkpoint_every: 200,
            keep_checkpoints: 2,
            foundation: FoundationConfig {
                captions_after: 0.5,
                category: 1.0,
                bounds: 5.0,
                position: 5.0,
                caption: 1.0,
            },
            faults: match preset {
                Preset::Corrected => PublishedFaults::default(),
                Preset::Paper => PublishedFaults {
                    prompt_in_loss: true,
                    double_encoded_answers: true,
                    boxes_scaled_for_one_resize: true,
                },
            },
            model,
        }
    }

    /// Sets one field from `key=value`; nested fields by dots: `foundation.bounds=2`.
    pub fn set(&mut self, assignment: &str) -> Result<(), TrainError> {
        let fault = |message: String| TrainError::Config(format!("--set {assignment}: {message}"));
        let (key, value) = assignment.split_once('=').ok_or_else(|| fault("expected key=value".into()))?;
        let mut table = toml::Table::try_from(&*self).map_err(|error| fault(error.to_string()))?;
        let mut slot = &mut table;
        let mut parts = key.trim().split('.').peekable();
        while let Some(part) = parts.next() {
            let names = slot.keys().cloned().collect::<Vec<_>>().join(", ");
            let unknown = || fault(format!("there is no field {part}; fields are {names}"));
            let field = slot.get_mut(part).ok_or_else(unknown)?;
            if parts.peek().is_none() {
                *field = parse_like(field, value.trim())
                    .ok_or_else(|| fault(format!("{value} is not a {}", field.type_str())))?;
                break;
            }
            slot = field.as_table_mut().ok_or_else(|| fault(format!("{part} has no fields")))?;
        }
        *self = table.try_into().map_err(|error: toml::de::Error| fault(error.message().to_owned()))?;
        self.check()
    }

    /// Refuses numbers that cannot work, naming the field.
    pub fn check(&self) -> Result<(), TrainError> {
        let positive = [
            ("steps", self.steps as f64),
            ("batch_size", self.batch_size as f64),
            ("accumulation", self.accumulation as f64),
            ("shards", self.shards as f64),
            ("learning_rate", self.learning_rate),
            ("max_gradient_norm", self.max_gradient_norm),
            ("checkpoint_every", self.checkpoint_every as f64),
            ("keep_checkpoints", self.keep_checkpoints as f64),
        ];
        for (field, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(TrainError::Config(format!("{field} must be above zero, not {value}")));
            }
        }
        for (field, share) in
            [("warmup", self.warmup), ("foundation.captions_after", self.foundation.captions_after)]
        {
            if !(0.0..=1.0).contains(&share) {
                return Err(TrainError::Config(format!(
                    "{field} is a share of the steps, 0 to 1, not {share}"
                )));
            }
        }
        Ok(())
    }

    /// Reads the `config.toml` of a run.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::io(path))?;
        let config: Self = toml::from_str(&text)
            .map_err(|error| TrainError::Config(format!("{}: {error}", path.display())))?;
        config.check()?;
        Ok(config)
    }

    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

/// Whether the weights of a model folder are those of a toy: below 100 MB.
fn is_small(dir: &Path) -> bool {
    std::fs::metadata(dir.join("model.safetensors")).is_ok_and(|file| file.len() < 100_000_000)
}

/// `text` as a value of the same type as `like`.
fn parse_like(like: &toml::Value, text: &str) -> Option<toml::Value> {
    Some(match like {
        toml::Value::Integer(_) => toml::Value::Integer(text.replace('_', "").parse().ok()?),
        toml::Value::Float(_) => toml::Value::Float(text.parse().ok()?),
        toml::Value::Boolean(_) => toml::Value::Boolean(text.parse().ok()?),
        toml::Value::String(_) => toml::Value::String(text.to_owned()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TrainConfig {
        TrainConfig::new(Stage::Perception, Preset::Corrected, "data".into(), "tiny".into())
    }

    #[test]
    fn fields_are_set_by_name_and_faults_are_named() {
        let mut config = config();
        config.set("steps=1_500").expect("an integer");
        config.set("learning_rate=2e-4").expect("a number");
        config.set("foundation.bounds=2.5").expect("a nested number");
        config.set("faults.prompt_in_loss=true").expect("a switch");
        assert_eq!((config.steps, config.learning_rate), (1500, 2e-4));
        assert_eq!(config.foundation.bounds, 2.5);
        for (assignment, word) in [
            ("stepz=1", "stepz"),
            ("steps=many", "integer"),
            ("steps=0", "above zero"),
            ("steps", "key=value"),
            ("stage=sleep", "stage"),
        ] {
            let error = config.clone().set(assignment).expect_err(assignment).to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_resolved_form_reads_back_and_unknown_fields_are_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("config.toml");
        std::fs::write(&path, config().to_toml()).expect("written");
        assert_eq!(TrainConfig::read(&path).expect("read"), config());
        std::fs::write(&path, format!("stepz = 3\n{}", config().to_toml())).expect("written");
        let error = TrainConfig::read(&path).expect_err("unknown field").to_string();
        assert!(error.contains("stepz") && error.contains("config.toml"), "{error}");
    }
}
