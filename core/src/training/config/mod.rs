//! Everything a training run can be told. A run directory holds the resolved form as `config.toml`.

mod fields;
mod recipe;

use super::TrainError;
use crate::model::qwen2_5_vl::LoraConfig;
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
    /// Gradients of the model are scaled down to this global norm; those of the foundation stage's heads are not.
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
}

impl Mixture {
    /// Whether nothing is drawn.
    pub fn is_empty(&self) -> bool {
        let Self { localization, single_image, multi_view, video, cold_start, even_kinds: _ } = *self;
        [localization, single_image, multi_view, video, cold_start].iter().all(|weight| *weight == 0.0)
    }
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
        config.set_all(["min_pixels=900", "max_pixels=1000"]).expect("in this order too");
        config.set_all(["min_pixels=5000", "max_pixels=6000"]).expect("neither goes with what was before");
        for (assignment, word) in [
            ("stepz=1", "stepz"),
            ("steps=many", "integer"),
            ("steps=0", "above zero"),
            ("steps", "key=value"),
            ("stage=sleep", "stage"),
            ("reinforcement.normalization=mean", "grpo"),
            ("mixture.video=-1", "mixture.video"),
            ("foundation.bounds=nan", "foundation.bounds"),
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
