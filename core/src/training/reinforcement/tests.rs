//! Rollouts of a small model, what the update sees of them, and what is learned from them.

use super::group::{Rollout, compare};
use super::log_probs::{Judging, padded_log_probs};
use super::objective::policy_loss;
use super::summary::Summary;
use super::{by_length, completion_log_probs, split};
use crate::answering::{GenerationOptions, generate_blocking};
use crate::model::Qwen2_5Vl;
use crate::model::qwen2_5_vl::{Qwen2_5VlConfig, SpecialTokens};
use crate::processor::{Encoded, PixelPatches};
use crate::training::config::{LossNormalization, ReinforcementConfig};
use crate::training::optimizer::AdamW;
use crate::training::rewards::Rewards;
use burn::module::{Module as _, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use std::ops::ControlFlow;

const SEEING: Judging = Judging { temperature: 1.0, blind_videos: false };
const IMAGE: u32 = 5;
const VIDEO: u32 = 6;

fn model(device: &Device) -> Qwen2_5Vl {
    let tokens =
        SpecialTokens { image: IMAGE, video: VIDEO, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
    Qwen2_5Vl::init(&Qwen2_5VlConfig::tiny(120, &tokens), None, 1, device).unwrap()
}

/// So many images of two by two tokens, or a video of so many frames, then words.
fn prompt(grids: usize, frames: usize, words: usize) -> Encoded {
    let grid = [frames.max(1), 4, 4];
    let patches = |number: usize| PixelPatches {
        data: (0..grid.iter().product::<usize>() * 588)
            .map(|i| ((i * 7919 + 31 * number) % 1000) as f32 / 500.0 - 1.0)
            .collect(),
        grid_thw: grid,
        seconds_per_grid: (frames > 0).then_some(1.0),
        original_size: (56, 56),
        resized_size: (56, 56),
    };
    let pad = if frames > 0 { VIDEO } else { IMAGE };
    let mut token_ids = vec![10];
    for _ in 0..grids {
        token_ids.push(3);
        token_ids.extend(std::iter::repeat_n(pad, 4 * grid[0]));
        token_ids.push(4);
    }
    token_ids.extend((0..words as u32).map(|word| 20 + word));
    Encoded { token_ids, images: (0..grids).map(patches).collect(), answer_spans: Vec::new() }
}

pub fn config(normalization: LossNormalization) -> ReinforcementConfig {
    let config = crate::training::TrainConfig::new(
        crate::training::Stage::Reasoning,
        crate::training::Preset::Corrected,
        "data".into(),
        "tiny".into(),
    );
    ReinforcementConfig { normalization, group: 4, kl: 0.5, ..config.reinforcement }
}

/// Sampled answers of different lengths to each prompt, four of each.
fn rollouts(model: &Qwen2_5Vl, prompts: &[Encoded], temperature: f32, seed: u64) -> Vec<Rollout> {
    let repeated: Vec<&Encoded> = prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, 4)).collect();
    let options = GenerationOptions {
        max_new_tokens: 9,
        temperature,
        top_k: 50,
        seed,
        // A fifth of all tokens, so that most answers end early and the rest are cut off.
        stop_tokens: (7..120).step_by(5).collect(),
        logprobs: true,
        ..Default::default()
    };
    let (found, _) = generate_blocking(model, &repeated, &options, |_, _| ControlFlow::Continue(())).unwrap();
    let rewards = Rewards { accuracy: 0.0, format: 0.0 };
    repeated.iter().zip(&found).map(|(prompt, found)| Rollout::new(prompt, found, rewards)).collect()
}

#[test]
fn the_update_sees_the_log_probabilities_of_the_rollout() {
    let device = Device::flex();
    let model = model(&device);
    // An image, several images, a video, and no image at all, in one padded batch.
    let prompts = [prompt(1, 0, 7), prompt(3, 0, 4), prompt(1, 3, 12), prompt(0, 0, 20)];
    let temperature = 0.7;
    let rollouts = rollouts(&model, &prompts, temperature, 3);
    assert!(rollouts.iter().any(|rollout| rollout.truncated));
    assert!(rollouts.iter().any(|rollout| !rollout.truncated));
    let encoded: Vec<&Encoded> = rollouts.iter().map(|rollout| &rollout.encoded).collect();
    let gap = |blind_videos, multiple| {
        let judging = Judging { temperature: f64::from(temperature), blind_videos };
        let found = padded_log_probs(&model, &encoded, &judging, multiple, &device).unwrap().into_data();
        let found = split(&found.iter::<f32>().collect::<Vec<_>>(), &rollouts);
        let gap = |rollout: &Rollout, found: &Vec<f32>| {
            assert_eq!(rollout.sampled.len(), found.len());
            rollout.sampled.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        let gaps: Vec<f32> =
            rollouts.iter().zip(&found).map(|(rollout, found)| gap(rollout, found)).collect();
        gaps.chunks(4).map(|of| of.iter().copied().fold(0.0, f32::max)).collect::<Vec<_>>()
    };
    for multiple in [1, 16] {
        let gap = gap(false, multiple);
        assert!(gap.iter().all(|gap| *gap < 1e-4), "{multiple}: {gap:?}");
    }
    // With the published fault the video is not seen, and only the video.
    let blind = gap(true, 1);
    assert!(blind[2] > 1e-3 && [0, 1, 3].iter().all(|at| blind[*at] < 1e-4), "{blind:?}");
}

/// All gradients, one after the other.
struct Values<'a>(&'a GradientsParams, Vec<f32>);

impl ModuleVisitor for Values<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.0.get::<D>(param.id).expect("every parameter has a part in it");
        self.1.extend(gradient.into_data().iter::<f32>());
    }
}

#[test]
fn a_prompt_that_completions_share_is_read_once_and_learned_from_for_all() {
    let device = Device::flex().autodiff();
    let model = model(&device);
    let prompts = [prompt(1, 0, 7), prompt(1, 3, 12), prompt(2, 0, 3)];
    let rollouts = rollouts(&model.valid(), &prompts, 1.0, 5);
    let encoded: Vec<&Encoded> = rollouts.iter().map(|rollout| &rollout.encoded).collect();
    // Each token weighs otherwise.
    let learned = |rows: &[&Encoded], first: usize| {
        let found = completion_log_probs(&model, rows, &SEEING, &device).unwrap();
        let count = found.dims()[0];
        let weights: Vec<f32> = (first..first + count).map(|at| (at as f32 * 0.7).sin()).collect();
        let loss = (found.clone() * Tensor::from_data(TensorData::new(weights, [count]), &device)).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let mut values = Values(&gradients, Vec::new());
        model.visit(&mut values);
        (found.into_data().iter::<f32>().collect::<Vec<_>>(), values.1)
    };
    let (together, of_all) = learned(&encoded, 0);
    let (mut alone, mut sum) = (Vec::new(), vec![0.0; of_all.len()]);
    for row in &encoded {
        let (found, gradient) = learned(&[row], alone.len());
        alone.extend(found);
        sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value);
    }
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let largest = sum.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    assert!(together.len() == alone.len() && apart(&together, &alone) < 1e-4);
    assert!(largest > 0.01 && apart(&of_all, &sum) < 1e-4 * largest, "{largest}");
}

/// The share of an answer's tokens from the lower half of the vocabulary.
fn low_tokens(rollout: &Rollout) -> f64 {
    let answer = &rollout.encoded.token_ids[rollout.encoded.answer_spans[0].clone()];
    answer.iter().filter(|token| **token < 60).count() as f64 / answer.len().max(1) as f64
}

/// Completions of so many tokens each, with what their accuracy is.
fn graded(answers: &[(usize, f64)]) -> Vec<Rollout> {
    let one = |(length, accuracy): &(usize, f64)| Rollout {
        encoded: prompt(0, 0, 3),
        sampled: vec![-1.0; *length],
        rewards: Rewards { accuracy: *accuracy, format: 1.0 },
        reward: 0.0,
        advantage: 0.0,
        truncated: false,
        counts: true,
    };
    answers.iter().map(one).collect()
}

#[test]
fn groups_of_like_length_are_computed_beside_each_other() {
    let lengths = |counts: &dyn Fn(usize) -> bool| -> Vec<usize> {
        let mut rollouts = graded(&[(7, 1.0), (2, 0.0), (1, 0.0), (1, 1.0), (4, 0.0), (3, 1.0)]);
        rollouts.iter_mut().enumerate().for_each(|(at, rollout)| rollout.counts = counts(at));
        by_length(rollouts, 2).iter().map(|rollout| rollout.sampled.len()).collect()
    };
    assert_eq!(lengths(&|_| true), [1, 1, 4, 3, 7, 2]);
    // The longest of those that count; a group stays together.
    assert_eq!(lengths(&|at| at != 0), [1, 1, 2, 4, 3]);
    assert!(lengths(&|_| false).is_empty());
}

#[test]
fn groups_that_teach_nothing_are_counted() {
    let config = config(LossNormalization::Dapo);
    let question = crate::samples::SpatialSample {
        question_id: 1,
        question: "How many?".into(),
        options: None,
        answer: "2".into(),
        image: vec!["room.jpg".into()],
        data_type: crate::samples::DataType::SingleImage,
        question_type: crate::samples::QuestionType::ObjectCount,
    };
    let share = |truncated: Option<usize>, groups: &[[f64; 3]]| {
        let mut summary = Summary::default();
        for rewards in groups {
            let mut group = graded(&rewards.map(|accuracy| (5, accuracy)));
            if let Some(at) = truncated {
                group[at].truncated = true;
            }
            compare(&mut group, &config);
            summary.add(&group, &question);
        }
        summary.parts().into_iter().find(|(name, _)| name == "zero_spread_groups").unwrap().1
    };
    assert_eq!(share(None, &[[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]), 0.5);
    // What was cut off is no measure: without it nothing is better than the rest.
    assert_eq!(share(Some(1), &[[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]), 1.0);
    assert_eq!(share(Some(2), &[[1.0, 0.0, 1.0], [0.5, 0.0, 1.0]]), 0.0);
}

#[test]
fn what_earns_more_becomes_likelier() {
    let device = Device::flex().autodiff();
    let mut model = model(&device);
    let mut optimizer = AdamW::new(0.0);
    let prompts = [prompt(1, 0, 7), prompt(1, 2, 4), prompt(0, 0, 9)];
    let config = config(LossNormalization::Dapo);
    let mut earned = Vec::new();
    for round in 0..16 {
        let mut rollouts = rollouts(&model.valid(), &prompts, 1.0, round);
        for group in rollouts.chunks_mut(4) {
            for rollout in &mut *group {
                rollout.rewards = Rewards { accuracy: low_tokens(rollout), format: 0.0 };
            }
            compare(group, &config);
        }
        earned.push(rollouts.iter().map(|rollout| rollout.reward).sum::<f64>() / rollouts.len() as f64);
        rollouts.retain(|rollout| rollout.counts);
        if rollouts.is_empty() {
            continue;
        }
        let encoded: Vec<&Encoded> = rollouts.iter().map(|rollout| &rollout.encoded).collect();
        let policy = completion_log_probs(&model, &encoded, &SEEING, &device).unwrap();
        let row = |of: &dyn Fn(&Rollout) -> f64| {
            let all = rollouts
                .iter()
                .flat_map(|rollout| std::iter::repeat_n(of(rollout) as f32, rollout.sampled.len()));
            let all: Vec<f32> = all.collect();
            let count = all.len();
            Tensor::<1>::from_data(TensorData::new(all, [count]), &device)
        };
        let old = policy.clone().detach();
        let tokens = old.dims()[0] as f64;
        let (advantages, weights) = (row(&|rollout| rollout.advantage), row(&|_| 1.0 / tokens));
        let (loss, _) = policy_loss(policy, old.clone(), old, advantages, weights, &config);
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(3e-3, model, gradients);
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&earned[..3]), mean(&earned[13..]));
    assert!(first < 0.65 && last > first + 0.2, "{earned:?}");
}
