//! Floating-point operations of a training step, counted from the model's shape.
//!
//! Counted are products of matrices, a multiply-add as two operations: every weight of a linear layer once for each
//! token or patch that goes through it, and attention's two products as far as a query sees keys. The output layer
//! works for the answer's tokens only. Norms, activations, rotations and the optimizer are left out: they grow with
//! the tokens or with the weights, not with both (Kaplan et al., arXiv 2001.08361, section 2.1).
//!
//! Backward a product costs twice what it costs forward, once for each factor's gradient: in all six operations a
//! weight and token. The patches themselves have no gradient. With adapters there is none in the vision tower, and
//! through the decoder's frozen weights only that of what goes in.

use super::Workload;
use crate::model::Qwen2_5VlConfig;
use serde::Serialize;

/// Of one step on the whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Operations {
    /// The supervised step.
    pub supervised: f64,
    /// Sampling all completions of the reinforced step. A prompt and its pictures count once for its group, here and in the
    /// update: whoever reads them again for each completion does more than there is to do.
    pub rollout: f64,
    /// What follows: the reference forward, the policy forward and backward.
    pub update: f64,
}

impl Operations {
    pub fn count(config: &Qwen2_5VlConfig, workload: &Workload) -> Self {
        let rank = workload.lora_rank;
        let (prompt, answer) = (workload.prompt_length(config), workload.answer_tokens);
        let output = output(config, answer);
        let vision = Vision::of(config, workload.image_patches).times(workload.images as f64);
        let trained = |decoder: &Decoder, output: f64| match rank {
            0 => 2.0 * vision.projection + 3.0 * (vision.rest + decoder.sum() + output),
            _ => {
                vision.projection
                    + vision.rest
                    + 2.0 * (decoder.linear + output)
                    + 3.0 * (decoder.attention + decoder.adapters)
            }
        };
        let group = workload.group;
        // The last token of a completion is never read.
        let completions = |rank| Decoder::of(config, prompt, [group, answer - 1], rank);
        let outputs = group as f64 * output;
        let reference = vision.sum() + completions(0).sum() + outputs;
        let prompts = workload.batch as f64;
        Self {
            supervised: prompts * trained(&Decoder::of(config, prompt, [1, answer], rank), output),
            rollout: prompts * (vision.sum() + completions(rank).sum() + outputs),
            update: prompts * (reference + trained(&completions(rank), outputs)),
        }
    }
}

/// The vision tower, forward.
struct Vision {
    /// From pixels to patches.
    projection: f64,
    rest: f64,
}

impl Vision {
    /// For a picture of so many patches, down and across.
    fn of(config: &Qwen2_5VlConfig, [down, across]: [usize; 2]) -> Self {
        let vision = &config.vision;
        let [hidden, intermediate, output] =
            [vision.hidden_size, vision.intermediate_size, vision.out_hidden_size].map(|size| size as f64);
        let patches = (down * across) as f64;
        let unit = vision.merge_unit() as f64;
        let edge = vision.window_size / vision.patch_size / vision.spatial_merge_size;
        let squares = |tokens: usize| -> f64 {
            let spans = (0..tokens).step_by(edge.max(1)).map(|start| edge.min(tokens - start));
            spans.map(|span| (span * span) as f64).sum()
        };
        let [rows, columns] = [down, across].map(|side| side / vision.spatial_merge_size);
        let in_windows = unit * unit * squares(rows) * squares(columns);
        let full = (0..vision.depth).filter(|block| vision.fullatt_block_indexes.contains(block)).count();
        let (full, windowed) = (full as f64, (vision.depth - full) as f64);
        let linear = vision.depth as f64 * (4.0 * hidden * hidden + 3.0 * hidden * intermediate);
        let pairs = full * patches * patches + windowed * in_windows;
        let merged = unit * hidden;
        Self {
            projection: 2.0 * patches * hidden * vision.patch_len() as f64,
            rest: 2.0 * patches * linear
                + 4.0 * hidden * pairs
                + 2.0 * patches / unit * (merged * merged + merged * output),
        }
    }

    fn times(self, count: f64) -> Self {
        Self { projection: count * self.projection, rest: count * self.rest }
    }

    fn sum(&self) -> f64 {
        self.projection + self.rest
    }
}

/// The decoder's layers, forward.
struct Decoder {
    linear: f64,
    attention: f64,
    adapters: f64,
}

impl Decoder {
    /// For a prompt of so many tokens and so many answers to it of so many tokens each; `rank` is that of adapters on every
    /// linear layer.
    fn of(config: &Qwen2_5VlConfig, prompt: usize, [answers, length]: [usize; 2], rank: usize) -> Self {
        let text = &config.text;
        let [hidden, intermediate, layers] =
            [text.hidden_size, text.intermediate_size, text.num_hidden_layers].map(|size| size as f64);
        let key_value = (text.num_key_value_heads * text.head_dim()) as f64;
        // Query and output, key and value, then the gated layer: inputs, outputs, how many of them.
        let shapes = [
            (hidden, hidden, 2.0),
            (hidden, key_value, 2.0),
            (hidden, intermediate, 2.0),
            (intermediate, hidden, 1.0),
        ];
        let weights: f64 = shapes.iter().map(|(inputs, outputs, count)| inputs * outputs * count).sum();
        let ends: f64 = shapes.iter().map(|(inputs, outputs, count)| (inputs + outputs) * count).sum();
        let [prompt, answers, length] = [prompt, answers, length].map(|count| count as f64);
        let tokens = prompt + answers * length;
        let up_to = |count: f64| count * (count + 1.0) / 2.0;
        let pairs = up_to(prompt) + answers * (length * prompt + up_to(length));
        Self {
            linear: 2.0 * layers * tokens * weights,
            attention: 4.0 * layers * hidden * pairs,
            adapters: 2.0 * layers * tokens * rank as f64 * ends,
        }
    }

    fn sum(&self) -> f64 {
        self.linear + self.attention + self.adapters
    }
}

/// The output layer for so many tokens.
fn output(config: &Qwen2_5VlConfig, tokens: usize) -> f64 {
    2.0 * (tokens * config.text.vocab_size * config.text.hidden_size) as f64
}

#[cfg(test)]
mod tests {
    use super::super::tests::{tiny, workload};
    use super::*;
    use crate::model::Qwen2_5Vl;

    /// Numbers in all matrices whose name begins so.
    fn weights(config: &Qwen2_5VlConfig, prefix: &str) -> f64 {
        let outline = Qwen2_5Vl::outline(config).expect("an outline");
        let matrices =
            outline.iter().filter(|tensor| tensor.shape.len() > 1 && tensor.name.starts_with(prefix));
        matrices.map(|tensor| tensor.shape.iter().product::<usize>() as f64).sum()
    }

    #[test]
    fn every_weight_counts_six_times_a_token() {
        let config = tiny();
        // Two pictures of 12 × 16 patches, which make 48 tokens each, between two marks.
        let workload = Workload {
            image_patches: [12, 16],
            images: 2,
            prompt_tokens: 100,
            answer_tokens: 60,
            ..workload()
        };
        let tokens = 100.0 + 2.0 * 50.0 + 60.0;
        let decoder = weights(&config, "model.layers.");
        let causal = 5.0 * 4.0 * 160.0 * tokens * (tokens + 1.0) / 2.0;
        let output = 2.0 * 60.0 * weights(&config, "model.embed_tokens.");
        // Windows of 4 × 4 tokens: two whole ones, two cut in half. Two of four blocks look at everything.
        let pairs = 2.0 * (2.0 * 64f64.powi(2) + 2.0 * 32f64.powi(2)) + 2.0 * 192f64.powi(2);
        let rest = 192.0 * 2.0 * weights(&config, "visual.blocks.")
            + 48.0 * 2.0 * weights(&config, "visual.merger.")
            + 4.0 * 128.0 * pairs;
        let projection = 192.0 * 2.0 * weights(&config, "visual.patch_embed.");
        let (language, vision) = (2.0 * decoder * tokens + causal + output, 2.0 * (rest + projection));
        let trained = 3.0 * (language + vision) - 2.0 * projection;

        let close = |found: f64, expected: f64| {
            assert!((found / expected - 1.0).abs() < 1e-12, "{found} instead of {expected}");
        };
        let found = Operations::count(&config, &workload);
        let (batch, group) = (workload.batch as f64, workload.group as f64);
        close(found.supervised, batch * trained);
        // The prompt once, and what each completion adds to it, without its last token.
        let read = |tokens: f64| 2.0 * decoder * tokens + 5.0 * 4.0 * 160.0 * tokens * (tokens + 1.0) / 2.0;
        let prompt = read(tokens - 60.0);
        let shared = prompt + group * (read(tokens - 1.0) - prompt + output);
        close(found.rollout, batch * (vision + shared));
        close(found.update, batch * (4.0 * (vision + shared) - 2.0 * projection));

        let adapted = Operations::count(&config, &Workload { lora_rank: 4, ..workload });
        let ends = 2.0 * (160.0 + 160.0) + 2.0 * (160.0 + 80.0) + 3.0 * (160.0 + 432.0);
        let adapters = 2.0 * 5.0 * tokens * 4.0 * ends;
        close(
            adapted.supervised,
            batch * (vision + 2.0 * (2.0 * decoder * tokens + output) + 3.0 * (causal + adapters)),
        );
    }
}
