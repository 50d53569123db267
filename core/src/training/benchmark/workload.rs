//! What is measured: samples made up for it.

use super::super::batches::Prepared;
use super::super::{MixedPrecision, Preset, ReinforcementConfig, Stage, TrainConfig, TrainError};
use crate::model::Qwen2_5VlConfig;
use crate::processor::{Encoded, PixelPatches};
use crate::samples::{DataType, QuestionType, SpatialSample};
use serde::Serialize;
use std::path::Path;

/// What a step learns from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Samples of the supervised step; prompts of the reinforced one.
    pub batch: usize,
    /// Text of a prompt, its pictures not counted.
    pub prompt_tokens: usize,
    /// Learned in the supervised step, sampled in the reinforced one.
    pub answer_tokens: usize,
    /// Pictures of a sample.
    pub images: usize,
    /// Patches of a picture, down and across.
    pub image_patches: [usize; 2],
    /// Completions of a prompt.
    pub group: usize,
    /// Completions whose gradients are computed at a time.
    pub micro_batch: usize,
    /// Measured steps of each kind, after one that is not.
    pub steps: usize,
    /// Adapters of this rank learn in place of the model's own weights; 0 for none.
    pub lora_rank: usize,
    /// As in the configuration of a run, which says what `None` stands for.
    pub shards: Option<usize>,
    /// As `shards`.
    pub gradient_checkpointing: Option<bool>,
    pub mixed_precision: MixedPrecision,
}

impl Workload {
    /// Tokens of a prompt, its pictures and their marks included.
    pub fn prompt_length(&self, config: &Qwen2_5VlConfig) -> usize {
        self.prompt_tokens + self.images * (self.image_tokens(config) + 2)
    }

    fn image_tokens(&self, config: &Qwen2_5VlConfig) -> usize {
        self.image_patches.iter().product::<usize>() / config.vision.merge_unit()
    }

    /// Samples with their answers. Pictures stand behind a few words, as in the chat template.
    pub(super) fn samples(&self, config: &Qwen2_5VlConfig) -> Vec<Prepared> {
        const WORDS_BEFORE: usize = 4;
        let mut special = vec![
            config.image_token_id,
            config.video_token_id,
            config.vision_start_token_id,
            config.vision_end_token_id,
        ];
        special.extend(config.eos_token_ids.iter().chain(&config.pad_token_id));
        let plain: Vec<u32> = (0..config.text.vocab_size as u32).filter(|id| !special.contains(id)).collect();
        let mut word = 0;
        let mut words = |count: usize| -> Vec<u32> {
            let start = word;
            word += count;
            (start..word).map(|at| plain[at * 7919 % plain.len()]).collect()
        };
        let sample = |number: usize| {
            let before = self.prompt_tokens.min(WORDS_BEFORE);
            let mut token_ids = words(before);
            for _ in 0..self.images {
                token_ids.push(config.vision_start_token_id);
                token_ids.extend(std::iter::repeat_n(config.image_token_id, self.image_tokens(config)));
                token_ids.push(config.vision_end_token_id);
            }
            token_ids.extend(words(self.prompt_tokens - before));
            let prompt = token_ids.len();
            token_ids.extend(words(self.answer_tokens));
            let images = (0..self.images).map(|image| self.picture(config, number * self.images + image));
            Prepared {
                encoded: Encoded {
                    images: images.collect(),
                    answer_spans: std::iter::once(prompt..token_ids.len()).collect(),
                    token_ids,
                },
                labels: None,
                question: None,
            }
        };
        (0..self.batch).map(sample).collect()
    }

    fn picture(&self, config: &Qwen2_5VlConfig, number: usize) -> PixelPatches {
        let [down, across] = self.image_patches;
        let size = [across, down].map(|side| (side * config.vision.patch_size) as u32);
        PixelPatches {
            data: ramp(down * across * config.vision.patch_len(), 31 * number),
            grid_thw: [1, down, across],
            seconds_per_grid: None,
            original_size: size.into(),
            resized_size: size.into(),
        }
    }

    /// The prompts of [`Self::samples`], with a question that their completions can be judged by.
    pub(super) fn prompts(&self, config: &Qwen2_5VlConfig) -> Vec<Prepared> {
        let question = SpatialSample {
            question_id: 0,
            question: String::new(),
            options: None,
            answer: "1".into(),
            image: Vec::new(),
            question_type: QuestionType::ObjectCount,
            data_type: DataType::SingleImage,
        };
        let mut prompts = self.samples(config);
        for prompt in &mut prompts {
            prompt.encoded.token_ids.truncate(self.prompt_length(config));
            prompt.encoded.answer_spans.clear();
            prompt.question = Some(question.clone());
        }
        prompts
    }

    /// The same samples and settings for another implementation. Pixels are a formula: number `i` of picture `n` is
    /// `(7919 i + 31 n + 13) mod 1000 / 500 - 1`.
    pub fn description(&self, config: &Qwen2_5VlConfig) -> serde_json::Value {
        let samples = self.samples(config);
        let token_ids: Vec<&[u32]> =
            samples.iter().map(|sample| sample.encoded.token_ids.as_slice()).collect();
        let run = TrainConfig::new(Stage::Reasoning, Preset::Corrected, "".into(), "tiny".into());
        serde_json::json!({
            "workload": self,
            "token_ids": token_ids,
            "learning_rate": run.learning_rate,
            "weight_decay": run.weight_decay,
            "max_gradient_norm": run.max_gradient_norm,
            "top_k": run.reinforcement.top_k,
            "top_p": run.reinforcement.top_p,
            "temperature": run.reinforcement.temperature,
            "clip": run.reinforcement.clip,
            "kl": KL,
            "lora_alpha": run.lora.alpha,
        })
    }

    /// A run of the stage on this work.
    pub(super) fn config(&self, stage: Stage, dir: &Path) -> Result<TrainConfig, TrainError> {
        let mut config =
            TrainConfig::new(stage, Preset::Corrected, dir.to_owned(), dir.display().to_string());
        config.batch_size = self.batch;
        config.accumulation = 1;
        config.lora.rank = self.lora_rank;
        config.shards = self.shards.unwrap_or(config.shards);
        config.gradient_checkpointing = self.gradient_checkpointing.unwrap_or(config.gradient_checkpointing);
        config.mixed_precision = self.mixed_precision;
        config.reinforcement = ReinforcementConfig {
            group: self.group,
            max_new_tokens: self.answer_tokens,
            micro_batch: self.micro_batch,
            updates_per_rollout: 1,
            kl: KL,
            // Completions of random weights are all cut off and all wrong; they shall teach nevertheless.
            mask_truncated: false,
            drop_zero_spread: false,
            ..config.reinforcement
        };
        config.check()?;
        Ok(config)
    }
}

/// Every shape reads its reference, as published.
const KL: f64 = 0.01;

/// Numbers from −1 to 1, the same everywhere.
pub(super) fn ramp(count: usize, offset: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + offset + 13) % 1000) as f32 / 500.0 - 1.0).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{tiny, workload};

    #[test]
    fn samples_are_alike_and_hold_what_they_should() {
        let (config, workload) = (tiny(), workload());
        let samples = workload.samples(&config);
        assert_eq!(samples.len(), 2);
        for (sample, prompt) in samples.iter().zip(workload.prompts(&config)) {
            let encoded = &sample.encoded;
            assert_eq!(encoded.token_ids.len(), 9 + 2 + 8 + 4);
            assert_eq!(encoded.answer_spans, std::slice::from_ref(&(19..23)));
            assert_eq!(encoded.token_ids.iter().filter(|id| **id == config.image_token_id).count(), 8);
            assert_eq!(prompt.encoded.token_ids, encoded.token_ids[..19]);
        }
        assert_ne!(samples[0].encoded.token_ids, samples[1].encoded.token_ids);
        assert_ne!(samples[0].encoded.images, samples[1].encoded.images);
    }
}
