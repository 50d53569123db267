//! What every field is unless told otherwise: the published recipe, what a small model needs instead, and what is put right.

use super::{
    Decay, FoundationConfig, Freeze, LossNormalization, MixedPrecision, Mixture, Preset, PublishedFaults,
    ReinforcementConfig, Stage, TrainConfig,
};
use crate::model::bundled::{self, Bundled};
use crate::model::qwen2_5_vl::LoraConfig;
use std::path::{Path, PathBuf};

impl TrainConfig {
    /// The defaults of a stage for this model. `model` may be the directory of the run before.
    pub fn new(stage: Stage, preset: Preset, data: PathBuf, model: String) -> Self {
        let model = bundled::folder(&model).to_string_lossy().into_owned();
        // What is called like a built-in model is told to be none where it is opened.
        let small = !matches!(Bundled::from_name(&model), Ok(None)) || is_small(Path::new(&model));
        let mut config = Self::published(stage, data, model);
        if small {
            config.resize();
        }
        if preset == Preset::Corrected {
            config.correct();
            if small {
                config.teach();
            }
        }
        config
    }

    /// As the published code ran, for a pretrained model of three billion parameters.
    fn published(stage: Stage, data: PathBuf, model: String) -> Self {
        let reasons = stage == Stage::Reasoning;
        Self {
            stage,
            preset: Preset::Paper,
            data,
            model,
            device: "auto".into(),
            seed: 42,
            steps: match stage {
                Stage::Foundation | Stage::Perception => 370,
                Stage::Understanding => 1_293,
                Stage::ColdStart => 63,
                Stage::Reasoning => 2_500,
            },
            batch_size: 1,
            accumulation: if reasons { 1 } else { 16 },
            turns: 1,
            picture_numbers: 0.0,
            look_ups: 0.0,
            shards: 1,
            group_by_length: false,
            gradient_checkpointing: true,
            mixed_precision: MixedPrecision::No,
            learning_rate: if reasons { 1e-6 } else { 1e-5 },
            warmup: if reasons { 0.0 } else { 0.1 },
            decay: if reasons { Decay::Linear } else { Decay::Cosine },
            weight_decay: 0.0,
            max_gradient_norm: 1.0,
            min_pixels: 16 * 28 * 28,
            max_pixels: 128 * 28 * 28,
            evaluate_every: 100,
            evaluate_samples: 128,
            checkpoint_every: 200,
            keep_checkpoints: 2,
            mixture: Mixture::published(stage),
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
                group: 4,
                temperature: 1.0,
                top_k: 50,
                top_p: 1.0,
                max_new_tokens: 1024,
                updates_per_rollout: 1,
                clip: 0.2,
                kl: 0.01,
                normalization: LossNormalization::Grpo,
                advantage_epsilon: 1e-4,
                accuracy_weight: 1.0,
                format_weight: 1.0,
                mask_truncated: false,
                drop_zero_spread: false,
                micro_batch: 1,
            },
            faults: PublishedFaults {
                prompt_in_loss: true,
                double_encoded_answers: true,
                boxes_scaled_for_one_resize: true,
                blind_videos: true,
                text_before_video: true,
                strict_choice: true,
            },
        }
    }

    /// The same for a model of a few million parameters: its steps are a hundred times larger and more, each costs little,
    /// and the pictures have the size that it was made for.
    fn resize(&mut self) {
        (self.steps, self.batch_size, self.learning_rate) = match self.stage {
            Stage::Foundation => (3_800, 32, 2e-3),
            Stage::Perception => (5_000, 8, 1e-3),
            Stage::Understanding => (2_200, 8, 1e-3),
            // Words are learned by many small steps: a conversation has hundreds of tokens to learn from.
            Stage::ColdStart => (8_000, 4, 1e-3),
            Stage::Reasoning => (200, 8, 3e-5),
        };
        let reasons = self.stage == Stage::Reasoning;
        (self.evaluate_every, self.checkpoint_every) = if reasons { (50, 25) } else { (200, 200) };
        self.accumulation = 1;
        self.picture_numbers = if self.stage == Stage::Foundation { 1.0 } else { 0.0 };
        self.shards = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
        self.group_by_length = !reasons;
        self.gradient_checkpointing = false;
        self.warmup = if reasons { 0.0 } else { 0.05 };
        (self.min_pixels, self.max_pixels) = (0, 0);
        self.reinforcement.group = 8;
        self.reinforcement.max_new_tokens = 448;
        self.reinforcement.micro_batch = 32;
    }

    /// Leaves the faults of the published code out.
    fn correct(&mut self) {
        self.preset = Preset::Corrected;
        self.faults = PublishedFaults::default();
        self.reinforcement.normalization = LossNormalization::Dapo;
        self.reinforcement.mask_truncated = true;
        self.reinforcement.drop_zero_spread = true;
    }

    /// What a small model needs that the published recipe takes for granted or does without.
    fn teach(&mut self) {
        self.mixture = self.mixture.clone().rehearsed(self.stage);
        self.turns = match self.stage {
            Stage::Perception | Stage::Understanding => 6,
            // Thoughts are long.
            Stage::ColdStart => 3,
            Stage::Foundation | Stage::Reasoning => 1,
        };
        self.look_ups = if self.stage == Stage::ColdStart { 0.2 } else { 0.0 };
        // Of a model that has seen few words the unlikely ones are slips of the pen, several in a thought: what a
        // thought earns would be decided by them.
        self.reinforcement.top_p = 0.9;
        // Steps of few answers brought nothing, nor did longer stages with a pull towards the model before.
        self.reinforcement.group = 16;
        self.reinforcement.micro_batch = 64;
        self.reinforcement.kl = 0.0;
        self.reinforcement.normalization = LossNormalization::DrGrpo;
        if self.stage == Stage::Reasoning {
            (self.steps, self.batch_size, self.learning_rate) = (150, 32, 2e-4);
            self.checkpoint_every = 5;
        }
    }
}

impl Mixture {
    /// What the stage learns from in the published recipe.
    fn published(stage: Stage) -> Self {
        let none = Self {
            localization: 0.0,
            single_image: 0.0,
            multi_view: 0.0,
            video: 0.0,
            cold_start: 0.0,
            even_kinds: false,
        };
        match stage {
            Stage::Foundation => none,
            Stage::Perception => Self { localization: 1.0, ..none },
            Stage::ColdStart => Self { cold_start: 1.0, ..none },
            Stage::Understanding | Stage::Reasoning => {
                Self { single_image: 1.0, multi_view: 1.0, video: 1.0, ..none }
            }
        }
    }

    /// With some of what came before: a model of a few million parameters has no room to keep what it does not use, and
    /// forgets boxes within minutes of questions. Its thoughts and its few steps of reinforcement are spread evenly over the
    /// kinds of questions.
    fn rehearsed(self, stage: Stage) -> Self {
        let localization = match stage {
            Stage::Understanding => 0.4,
            // Thoughts are longer than boxes, so that this is a small part of the tokens.
            Stage::ColdStart => 1.0,
            Stage::Foundation | Stage::Perception | Stage::Reasoning => self.localization,
        };
        Self { localization, even_kinds: matches!(stage, Stage::ColdStart | Stage::Reasoning), ..self }
    }
}

/// Whether the weights of a model folder are those of a toy: below 100 MB.
fn is_small(dir: &Path) -> bool {
    std::fs::metadata(dir.join("model.safetensors")).is_ok_and(|file| file.len() < 100_000_000)
}
