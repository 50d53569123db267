//! Everything a training run can be told. A run directory holds the resolved form as `config.toml`.

use super::TrainError;
use crate::model::{bundled, qwen2_5_vl::LoraConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A stage of the ladder, or what comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The tiny model's stand-in for the pretraining that Qwen2.5-VL brings: dense labels and captions.
    Foundation,
    /// Stage 1 of the paper: localize objects.
    Perception,
    /// Stage 2: the seven spatial dimensions, answered at once.
    Understanding,
    /// Chains of thought, written by rule, before stage 3.
    ColdStart,
    /// Stage 3: reinforcement learning with verifiable rewards (GRPO).
    Reasoning,
}

impl Stage {
    pub const ALL: [Self; 5] =
        [Self::Foundation, Self::Perception, Self::Understanding, Self::ColdStart, Self::Reasoning];

    pub fn name(self) -> &'static str {
        match self {
            Self::Foundation => "foundation",
            Self::Perception => "perception",
            Self::Understanding => "understanding",
            Self::ColdStart => "cold-start",
            Self::Reasoning => "reasoning",
        }
    }
}

impl std::str::FromStr for Stage {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        Self::ALL.into_iter().find(|stage| stage.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            TrainError::Config(format!("unknown stage {text}; stages are {names}"))
        })
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

/// How the learning rate falls after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Half a cosine down to zero.
    Cosine,
    /// In a straight line down to zero.
    Linear,
}

/// What the products of the model's layers are computed in; weights that learn, gradients, sums and everything between the
/// products are f32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixedPrecision {
    /// f32 too.
    No,
    /// bfloat16, which CUDA GPUs multiply many times as fast. f16 is not offered: its range ends where gradients are still
    /// of use.
    Bf16,
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
    /// `auto | cpu | wgpu | vulkan | cuda[:n] | remote:HOST:PORT[/n]`, or several separated by commas.
    pub device: String,
    pub seed: u64,
    /// Optimizer steps; each takes `batch_size * accumulation` samples.
    pub steps: u64,
    /// Samples computed at a time; in the reasoning stage, prompts that each get a group of answers.
    pub batch_size: usize,
    pub accumulation: usize,
    /// Up to so many questions about the same pictures become one sample, a conversation of several turns: the pictures
    /// are looked at once and answered about many times. 1 as published, and always in the reasoning stage.
    pub turns: usize,
    /// Weight of two losses beside that of the answers, where there are several pictures or the frames of a video: image
    /// tokens are to tell the number of their picture after the first layer of the language model, and the numbers with which
    /// answers name a picture count once more. A model of a few layers does not learn to name pictures else. It begins in the
    /// foundation stage: before a model can tell pictures apart, this takes more from what a later stage teaches than it
    /// brings. Nothing to the reasoning stage.
    pub picture_numbers: f64,
    /// Share of the batches that are texts alone, of questions that are answered from their own text
    /// (`questions::look_up`): which option a letter stands for, and which letter an option has. Pretrained models know how;
    /// small ones are taught in the cold start.
    /// What is drawn of the data for such a batch is left out. Not in the reasoning stage.
    pub look_ups: f64,
    /// Parts of a batch computed at the same time on the CPU, each on its share of the cores. The sums of
    /// their gradients round differently from those of the whole, so a resumed run keeps its number.
    pub shards: usize,
    /// Batches of samples of about the same length, so that little is padding. Of sixteen batches drawn together each
    /// takes its share of the length's range; in what order they come is drawn too.
    pub group_by_length: bool,
    /// Whether cheap operations are computed again on the way back instead of kept: less memory, more time.
    pub gradient_checkpointing: bool,
    /// `no | bf16`
    pub mixed_precision: MixedPrecision,
    /// Peak learning rate of AdamW.
    pub learning_rate: f64,
    /// Share of the steps over which the rate rises linearly from zero, before it falls to zero.
    pub warmup: f64,
    pub decay: Decay,
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm.
    pub max_gradient_norm: f64,
    /// Least and most pixels of an image that the model sees; 0 as the model's own preprocessing has it.
    pub min_pixels: u64,
    pub max_pixels: u64,
    /// Steps between held-out evaluations; 0 for never.
    pub evaluate_every: u64,
    /// Held-out samples an evaluation answers.
    pub evaluate_samples: usize,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Checkpoints kept, newest first. The one with the best evaluation is kept beside them.
    pub keep_checkpoints: usize,
    pub mixture: Mixture,
    pub freeze: Freeze,
    /// Adapters that are trained in place of the model's own weights; rank 0 for none.
    pub lora: LoraConfig,
    pub foundation: FoundationConfig,
    pub reinforcement: ReinforcementConfig,
    pub faults: PublishedFaults,
}

/// How often samples of each kind are drawn: 1 for every one once an epoch, 2 for twice, 0.5 for every second, 0 for
/// none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixture {
    pub localization: f64,
    pub single_image: f64,
    pub multi_view: f64,
    pub video: f64,
    pub cold_start: f64,
    /// Whether every kind of spatial question is drawn as often as the others, however many rows there are of each, and so is
    /// every kind with thoughts: scores are means over kinds. The numbers above then weigh kinds instead of rows.
    pub even_kinds: bool,
}

/// Parts of the model that do not learn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// The vision tower up to the merger.
    pub vision: bool,
    /// The merger, which makes the language model's tokens of the tower's.
    pub merger: bool,
    pub language: bool,
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
    /// L1 of the distance of the object under each patch, in metres.
    pub distance: f64,
    /// L1 of each merged token's own centre, in shares of the image.
    pub position: f64,
    /// Cross-entropy of the caption.
    pub caption: f64,
    /// Share of the batches whose samples have several pictures each, as views or as the frames of a video, so that the model
    /// learns to find things among them. `batch_size` counts pictures.
    pub several: f64,
    /// Most pictures of such a sample.
    pub most_pictures: usize,
}

/// What a completion's loss is a mean over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossNormalization {
    /// Over the tokens of each completion, then over completions, as published (GRPO, arXiv 2402.03300).
    #[serde(rename = "grpo")]
    Grpo,
    /// Over all tokens of all completions (DAPO, arXiv 2503.14476).
    #[serde(rename = "dapo")]
    Dapo,
    /// Over the greatest length times completions, with advantages that are not divided by the group's deviation
    /// (Dr. GRPO, arXiv 2503.20783).
    #[serde(rename = "dr_grpo")]
    DrGrpo,
}

/// The reasoning stage: group relative policy optimization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReinforcementConfig {
    /// Completions of each prompt.
    pub group: usize,
    pub temperature: f64,
    /// Sampled from the k likeliest tokens; 0 for all.
    pub top_k: usize,
    pub top_p: f64,
    /// Longest completion.
    pub max_new_tokens: usize,
    /// Optimizer steps from the same completions. The first of them counts as the step; clipping acts from the second on.
    pub updates_per_rollout: usize,
    /// Ratios of probabilities beyond 1 ± this have no gradient.
    pub clip: f64,
    /// Weight of the divergence from the model that the stage started with (the estimator k3).
    pub kl: f64,
    pub normalization: LossNormalization,
    /// Added to the deviation of a group's rewards before dividing by it.
    pub advantage_epsilon: f64,
    pub accuracy_weight: f64,
    pub format_weight: f64,
    /// Completions that were cut off teach nothing.
    pub mask_truncated: bool,
    /// Groups whose rewards are all alike teach nothing, not even to stay near the reference.
    pub drop_zero_spread: bool,
    /// Completions whose gradients are computed at a time.
    pub micro_batch: usize,
}

/// Faults of the published training code that can be reproduced. All off unless preset `paper` is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedFaults {
    /// The loss includes the prompt's tokens, those that stand for a video among them.
    pub prompt_in_loss: bool,
    /// Answers of stage 1 are JSON-encoded twice.
    pub double_encoded_answers: bool,
    /// Boxes are scaled for one resize while the pictures go through two: x is too large by 364 / 336.
    pub boxes_scaled_for_one_resize: bool,
    /// Stage 3 computes the log-probabilities of answers about videos without the videos.
    pub blind_videos: bool,
    /// Stage 3 puts the question before the video, which everything else puts after it.
    pub text_before_video: bool,
    /// The reward of choice questions takes "A" only, not "A. chair".
    pub strict_choice: bool,
}

impl TrainConfig {
    /// The published numbers are for a model of three billion parameters, which starts from a pretrained
    /// state and takes steps of 1e-5. The tiny model needs steps a hundred times larger and more of them, and unless they
    /// are to be as published, texts to look things up in, kinds drawn evenly, and in the reasoning stage more answers a step,
    /// no pull towards the model before and advantages that are not divided. `model` may be the directory of the run before.
    pub fn new(stage: Stage, preset: Preset, data: PathBuf, model: String) -> Self {
        let model = bundled::folder(&model).to_string_lossy().into_owned();
        let tiny = model.starts_with("tiny") || is_small(Path::new(&model));
        let reasons = stage == Stage::Reasoning;
        let published = preset == Preset::Paper;
        Self {
            stage,
            preset,
            data,
            device: "auto".into(),
            seed: 42,
            steps: match (tiny, stage) {
                (true, Stage::Foundation) => 3_800,
                (true, Stage::Understanding) => 2_200,
                (true, Stage::ColdStart) => 8_000,
                (true, Stage::Reasoning) if published => 200,
                (true, Stage::Reasoning) => 150,
                (true, Stage::Perception) => 5_000,
                (false, Stage::Reasoning) => 2_500,
                (false, Stage::ColdStart) => 63,
                (false, Stage::Understanding) => 1_293,
                (false, _) => 370,
            },
            batch_size: match (tiny, stage) {
                (true, Stage::Foundation) => 32,
                // Words are learned by many small steps: a conversation has hundreds of tokens to learn from.
                (true, Stage::ColdStart) => 4,
                // Steps of few answers brought nothing to small models.
                (true, Stage::Reasoning) if !published => 32,
                (true, _) => 8,
                (false, _) => 1,
            },
            accumulation: if tiny || reasons { 1 } else { 16 },
            turns: match (tiny && !published, stage) {
                (false, _) => 1,
                // Thoughts are long.
                (true, Stage::ColdStart) => 3,
                (true, _) => 6,
            },
            picture_numbers: if tiny && stage == Stage::Foundation { 1.0 } else { 0.0 },
            look_ups: if tiny && !published && stage == Stage::ColdStart { 0.2 } else { 0.0 },
            shards: if tiny { std::thread::available_parallelism().map_or(1, |n| n.get().min(8)) } else { 1 },
            group_by_length: tiny && !reasons,
            gradient_checkpointing: !tiny,
            mixed_precision: MixedPrecision::No,
            learning_rate: match (tiny, stage) {
                (true, Stage::Foundation) => 2e-3,
                (true, Stage::Reasoning) if published => 3e-5,
                (true, Stage::Reasoning) => 2e-4,
                (true, _) => 1e-3,
                (false, Stage::Reasoning) => 1e-6,
                (false, _) => 1e-5,
            },
            warmup: match (tiny, reasons) {
                (_, true) => 0.0,
                (true, false) => 0.05,
                (false, false) => 0.1,
            },
            decay: if reasons { Decay::Linear } else { Decay::Cosine },
            weight_decay: 0.0,
            max_gradient_norm: 1.0,
            min_pixels: if tiny { 0 } else { 16 * 28 * 28 },
            max_pixels: if tiny { 0 } else { 128 * 28 * 28 },
            evaluate_every: match (tiny, reasons) {
                (true, true) => 50,
                (true, false) => 200,
                (false, _) => 100,
            },
            evaluate_samples: 128,
            checkpoint_every: match (reasons && tiny, published) {
                (false, _) => 200,
                (true, true) => 25,
                (true, false) => 5,
            },
            keep_checkpoints: 2,
            mixture: Mixture::of(stage, tiny && !published),
            freeze: Freeze::default(),
            lora: LoraConfig { rank: 0, ..LoraConfig::default() },
            foundation: FoundationConfig {
                captions_after: 0.5,
                category: 1.0,
                bounds: 5.0,
                distance: 0.5,
                position: 5.0,
                caption: 1.0,
                several: 0.0,
                most_pictures: 8,
            },
            reinforcement: ReinforcementConfig {
                group: match (tiny, published) {
                    (true, false) => 16,
                    (true, true) => 8,
                    (false, _) => 4,
                },
                temperature: 1.0,
                top_k: 50,
                // Of a model that has seen few words the unlikely ones are slips of the pen, several in a thought: what a
                // thought earns would be decided by them.
                top_p: if tiny && !published { 0.9 } else { 1.0 },
                max_new_tokens: if tiny { 448 } else { 1024 },
                updates_per_rollout: 1,
                clip: 0.2,
                kl: if tiny && !published { 0.0 } else { 0.01 },
                normalization: match (tiny, published) {
                    (_, true) => LossNormalization::Grpo,
                    (true, false) => LossNormalization::DrGrpo,
                    (false, false) => LossNormalization::Dapo,
                },
                advantage_epsilon: 1e-4,
                accuracy_weight: 1.0,
                format_weight: 1.0,
                mask_truncated: !published,
                drop_zero_spread: !published,
                micro_batch: match (tiny, published) {
                    (true, false) => 64,
                    (true, true) => 32,
                    (false, _) => 1,
                },
            },
            faults: match preset {
                Preset::Corrected => PublishedFaults::default(),
                Preset::Paper => PublishedFaults {
                    prompt_in_loss: true,
                    double_encoded_answers: true,
                    boxes_scaled_for_one_resize: true,
                    blind_videos: true,
                    text_before_video: true,
                    strict_choice: true,
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
            ("turns", self.turns as f64),
            ("shards", self.shards as f64),
            ("learning_rate", self.learning_rate),
            ("max_gradient_norm", self.max_gradient_norm),
            ("checkpoint_every", self.checkpoint_every as f64),
            ("keep_checkpoints", self.keep_checkpoints as f64),
            ("reinforcement.temperature", self.reinforcement.temperature),
            ("reinforcement.top_p", self.reinforcement.top_p),
            ("reinforcement.max_new_tokens", self.reinforcement.max_new_tokens as f64),
            ("reinforcement.updates_per_rollout", self.reinforcement.updates_per_rollout as f64),
            ("reinforcement.clip", self.reinforcement.clip),
            ("reinforcement.advantage_epsilon", self.reinforcement.advantage_epsilon),
            ("reinforcement.micro_batch", self.reinforcement.micro_batch as f64),
        ];
        for (field, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(TrainError::Config(format!("{field} must be above zero, not {value}")));
            }
        }
        for (field, share, of) in [
            ("warmup", self.warmup, "steps"),
            ("foundation.captions_after", self.foundation.captions_after, "steps"),
            ("foundation.several", self.foundation.several, "batches"),
            ("look_ups", self.look_ups, "batches"),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(TrainError::Config(format!(
                    "{field} is a share of the {of}, 0 to 1, not {share}"
                )));
            }
        }
        let Mixture { localization, single_image, multi_view, video, cold_start, even_kinds: _ } =
            self.mixture;
        let not_negative = [
            ("weight_decay", self.weight_decay),
            ("picture_numbers", self.picture_numbers),
            ("mixture.localization", localization),
            ("mixture.single_image", single_image),
            ("mixture.multi_view", multi_view),
            ("mixture.video", video),
            ("mixture.cold_start", cold_start),
            ("reinforcement.kl", self.reinforcement.kl),
            ("reinforcement.accuracy_weight", self.reinforcement.accuracy_weight),
            ("reinforcement.format_weight", self.reinforcement.format_weight),
        ];
        for (field, value) in not_negative {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(TrainError::Config(format!("{field} must not be below zero: {value}")));
            }
        }
        let fault = |message: String| Err(TrainError::Config(message));
        if self.stage == Stage::Reasoning && self.reinforcement.group < 2 {
            return fault(
                "reinforcement.group must be at least 2: advantages compare answers to one prompt".into(),
            );
        }
        if self.stage == Stage::Reasoning && localization + cold_start > 0.0 {
            return fault(
                "mixture.localization and mixture.cold_start must be 0: only spatial questions have a reward"
                    .into(),
            );
        }
        if self.foundation.several > 0.0 && self.foundation.most_pictures < 2 {
            return fault(format!(
                "foundation.most_pictures must be at least 2 where foundation.several is above zero, not {}",
                self.foundation.most_pictures
            ));
        }
        if self.stage == Stage::Foundation && self.foundation.several > 0.0 && self.batch_size < 2 {
            return fault(
                "foundation.several puts pictures of a batch together: batch_size must be at least 2".into(),
            );
        }
        if self.max_pixels > 0 && self.min_pixels > self.max_pixels {
            return fault(format!("min_pixels {} is above max_pixels {}", self.min_pixels, self.max_pixels));
        }
        if self.freeze.vision && self.freeze.merger && self.freeze.language && self.lora.rank == 0 {
            return fault("freeze leaves nothing to learn".into());
        }
        if self.look_ups > 0.0 {
            if self.stage == Stage::Reasoning {
                return fault(
                    "look_ups must be 0: answers of the reasoning stage are the model's own".into(),
                );
            }
            if self.freeze.language && self.lora.rank == 0 {
                return fault(
                    "look_ups must be 0 where freeze.language is set: nothing else learns from texts".into(),
                );
            }
        }
        if self.lora.rank > 0 {
            if self.stage == Stage::Foundation {
                return fault("lora.rank: the foundation stage trains the whole model".into());
            }
            self.lora.check().or_else(|message| fault(format!("lora.{message}")))?;
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

    pub fn to_toml(&self) -> Result<String, TrainError> {
        toml::to_string_pretty(self).map_err(|error| TrainError::Config(error.to_string()))
    }

    /// The fields in which another run's configuration differs, as `steps=500, not 130`, but for those that say only where it
    /// computes.
    pub fn differences(&self, other: &Self) -> Result<Vec<String>, TrainError> {
        let fields = |config: &Self| -> Result<BTreeMap<String, String>, TrainError> {
            let table =
                toml::Table::try_from(config).map_err(|error| TrainError::Config(error.to_string()))?;
            let mut found = BTreeMap::new();
            flatten("", &table, &mut found);
            Ok(found)
        };
        let (own, other) = (fields(self)?, fields(other)?);
        let differs = |name: &&String| {
            !["device", "shards"].contains(&name.as_str()) && own.get(*name) != other.get(*name)
        };
        let value = |of: &BTreeMap<String, String>, name: &String| of.get(name).cloned().unwrap_or_default();
        let names = own.keys().chain(other.keys().filter(|name| !own.contains_key(*name))).filter(differs);
        Ok(names.map(|name| format!("{name}={}, not {}", value(&own, name), value(&other, name))).collect())
    }
}

/// The fields of a table by their names with dots.
fn flatten(prefix: &str, table: &toml::Table, found: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{name}."), inner, found),
            value => {
                found.insert(format!("{prefix}{name}"), value.to_string());
            }
        }
    }
}

impl Mixture {
    /// Whether nothing is drawn.
    pub fn is_empty(&self) -> bool {
        let Self { localization, single_image, multi_view, video, cold_start, even_kinds: _ } = *self;
        [localization, single_image, multi_view, video, cold_start].iter().all(|weight| *weight == 0.0)
    }

    /// What the stage learns from in the published recipe. With `rehearsal`, the supervised stages repeat some of what
    /// came before: a model of a few million parameters has no room to keep what it does not use, and forgets boxes
    /// within minutes of questions. Its thoughts and its few steps of reinforcement are spread evenly over the kinds of
    /// questions.
    fn of(stage: Stage, rehearsal: bool) -> Self {
        let none = Self {
            localization: 0.0,
            single_image: 0.0,
            multi_view: 0.0,
            video: 0.0,
            cold_start: 0.0,
            even_kinds: false,
        };
        let repeated = |share: f64| if rehearsal { share } else { 0.0 };
        match stage {
            Stage::Foundation => none,
            Stage::Perception => Self { localization: 1.0, ..none },
            Stage::Understanding => {
                Self { localization: repeated(0.4), single_image: 1.0, multi_view: 1.0, video: 1.0, ..none }
            }
            // Thoughts are longer than boxes, so that this is a small part of the tokens.
            Stage::ColdStart => {
                Self { localization: repeated(1.0), cold_start: 1.0, even_kinds: rehearsal, ..none }
            }
            Stage::Reasoning => {
                Self { single_image: 1.0, multi_view: 1.0, video: 1.0, even_kinds: rehearsal, ..none }
            }
        }
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
        toml::Value::Array(_) => {
            toml::Value::Array(text.split(',').map(|part| part.trim().to_owned().into()).collect())
        }
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
        config.set("reinforcement.normalization=dr_grpo").expect("a name");
        config.set("lora.targets=q_proj, v_proj").expect("a list");
        assert_eq!(config.lora.targets, ["q_proj", "v_proj"]);
        assert_eq!((config.steps, config.learning_rate), (1500, 2e-4));
        assert_eq!(config.foundation.bounds, 2.5);
        config.set("foundation.several=0.5").expect("a share");
        for (assignment, word) in [
            ("stepz=1", "stepz"),
            ("steps=many", "integer"),
            ("steps=0", "above zero"),
            ("steps", "key=value"),
            ("stage=sleep", "stage"),
            ("reinforcement.normalization=mean", "grpo"),
            ("mixture.video=-1", "mixture.video"),
            ("foundation.most_pictures=1", "most_pictures"),
            ("look_ups=1.5", "look_ups is a share of the batches"),
        ] {
            let error = config.clone().set(assignment).expect_err(assignment).to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn texts_alone_are_refused_where_nothing_learns_from_them() {
        let mut config = config();
        config.set("freeze.language=true").expect("something is left");
        let refused = |mut config: TrainConfig| config.set("look_ups=0.1").expect_err("refused").to_string();
        assert!(refused(config).contains("freeze.language"));
        let reasons = TrainConfig::new(Stage::Reasoning, Preset::Corrected, "data".into(), "tiny".into());
        assert!(refused(reasons).contains("reasoning stage"));
    }

    #[test]
    fn small_models_are_taught_what_published_recipes_take_for_granted() {
        let [own, published] = [Preset::Corrected, Preset::Paper].map(|preset| {
            [Stage::ColdStart, Stage::Reasoning]
                .map(|stage| TrainConfig::new(stage, preset, "data".into(), "tiny".into()))
        });
        assert!(own[0].look_ups > 0.0 && own[0].mixture.even_kinds);
        assert!(published[0].look_ups == 0.0 && !published[0].mixture.even_kinds);
        let answers = |config: &TrainConfig| config.batch_size * config.reinforcement.group;
        assert_eq!([answers(&own[1]), answers(&published[1])], [512, 64]);
        assert_eq!(own[1].reinforcement.normalization, LossNormalization::DrGrpo);
        assert_eq!(published[1].reinforcement.normalization, LossNormalization::Grpo);
        assert!(own[1].reinforcement.kl == 0.0 && published[1].reinforcement.kl > 0.0);
        for config in own.iter().chain(&published) {
            config.check().expect("a recipe that can be run");
        }
    }

    #[test]
    fn configurations_tell_how_they_differ() {
        let mut other = config();
        (other.steps, other.mixture.video, other.device) = (config().steps + 1, 7.5, "cuda:1".into());
        let expected = [
            "mixture.video=0.0, not 7.5".to_owned(),
            format!("steps={}, not {}", config().steps, config().steps + 1),
        ];
        assert_eq!(config().differences(&other).expect("told"), expected);
        assert!(config().differences(&config()).expect("told").is_empty());
    }

    #[test]
    fn the_resolved_form_reads_back_and_unknown_fields_are_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("config.toml");
        std::fs::write(&path, config().to_toml().expect("toml")).expect("written");
        assert_eq!(TrainConfig::read(&path).expect("read"), config());
        std::fs::write(&path, format!("stepz = 3\n{}", config().to_toml().expect("toml"))).expect("written");
        let error = TrainConfig::read(&path).expect_err("unknown field").to_string();
        assert!(error.contains("stepz") && error.contains("config.toml"), "{error}");
    }
}
