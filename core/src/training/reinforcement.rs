//! The reasoning stage: group relative policy optimization (GRPO, arXiv 2402.03300) with verifiable rewards.
//!
//! Each prompt is answered several times by the current model; answers that earn more than their group become likelier,
//! the others less likely, and the divergence from the model that the stage started with is held down.

use super::TrainError;
use super::batches::Prepared;
use super::config::{LossNormalization, ReinforcementConfig};
use super::evaluation::kind;
use super::losses::AnswerTargets;
use super::rewards::Rewards;
use super::shards::{GradientSums, part};
use super::supervised::{Replica, next_batch};
use super::trainer::{Batches, StepDone, Trainer, write_lines};
use crate::answering::{Ending, Generation, GenerationOptions, generate_blocking};
use crate::model::{ModelError, ModelInput, Qwen2_5Vl};
use crate::processor::Encoded;
use crate::runs::RunDir;
use crate::samples::SpatialSample;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// A completion with what it earned.
pub(super) struct Rollout {
    /// Prompt and completion; the span is the completion's, up to and including the token that ended it.
    encoded: Encoded,
    /// Log-probability of each token of the completion when it was sampled.
    sampled: Vec<f32>,
    rewards: Rewards,
    /// The weighted sum of the rewards.
    reward: f64,
    pub(super) advantage: f64,
    truncated: bool,
    /// Whether it teaches anything.
    counts: bool,
}

/// A completion as it is written to `samples/`.
#[derive(Serialize)]
struct RolloutRow {
    question_id: u64,
    kind: String,
    image: String,
    question: String,
    truth: String,
    text: String,
    accuracy: f64,
    format: f64,
    advantage: f64,
    tokens: usize,
    truncated: bool,
}

impl Trainer {
    pub(super) fn reinforced_step(
        &mut self,
        batches: &Batches,
        run: &RunDir,
    ) -> Result<StepDone, TrainError> {
        let mut done = StepDone::default();
        let mut rollouts = Vec::new();
        let mut summary = Summary::default();
        let mut rows = Vec::new();
        for part in 0..self.config.accumulation {
            let batch = next_batch(batches)?;
            let number = self.step * self.config.accumulation as u64 + part as u64;
            let found = self.roll_out(&batch, &self.sampling(number))?;
            for (group, prompt) in found.chunks(self.config.reinforcement.group).zip(&batch) {
                let Some(question) = &prompt.question else { continue };
                summary.add(group, question);
                rows.extend(group.iter().map(|rollout| self.row(rollout, question)));
            }
            done.samples += found.len();
            done.tokens += found.iter().map(|rollout| rollout.encoded.token_ids.len()).sum::<usize>();
            rollouts.extend(found);
        }
        write_lines(&run.samples_dir().join(format!("rollouts_{:06}.jsonl", self.step + 1)), &rows)?;
        self.learn(rollouts, &mut summary, &mut done, run)?;
        done.parts = summary.parts();
        self.step += 1;
        Ok(done)
    }

    /// Moves the model by what the completions teach.
    pub(super) fn learn(
        &mut self,
        rollouts: Vec<Rollout>,
        summary: &mut Summary,
        done: &mut StepDone,
        run: &RunDir,
    ) -> Result<(), TrainError> {
        let kept: Vec<Rollout> = rollouts.into_iter().filter(|rollout| rollout.counts).collect();
        let tokens = self.weigh(&kept)?;
        let mut old: Option<Vec<Vec<f32>>> = None;
        for update in 0..self.config.reinforcement.updates_per_rollout {
            let mut copies = Vec::new();
            let mut gradients = GradientSums::new();
            let mut values = Vec::with_capacity(kept.len());
            let (mut loss, mut sums) = (0.0, Sums::default());
            let micro = self.config.reinforcement.micro_batch;
            for (at, chunk) in kept.chunks(micro).enumerate() {
                let range = at * micro..at * micro + chunk.len();
                let work: Vec<(&Rollout, &Weighed, Option<&[f32]>)> = range
                    .map(|i| (&kept[i], &tokens[i], old.as_ref().map(|old| old[i].as_slice())))
                    .collect();
                for part in self.policy_gradients(&work, &mut copies)? {
                    loss += part.loss;
                    sums.add(&part.sums);
                    values.extend(part.values);
                    gradients.add(&part.device, &self.model, part.gradients);
                }
            }
            if !loss.is_finite() {
                let offending: Vec<Prepared> = kept
                    .iter()
                    .map(|rollout| Prepared {
                        encoded: rollout.encoded.clone(),
                        labels: None,
                        question: None,
                    })
                    .collect();
                return Err(self.diverged(loss, &offending, run));
            }
            // The optimizer writes into weights that nobody else holds.
            drop(copies);
            // A step from which nothing can be learned leaves the model as it is.
            if !kept.is_empty() {
                self.update(done, gradients.total(&self.model));
            }
            if update == 0 {
                done.loss = loss;
                summary.first_update(&kept, &values, &sums);
                old = Some(values);
            } else {
                summary.clipped = sums.clipped / sums.tokens.max(1.0);
            }
        }
        Ok(())
    }

    /// How the completions of the run's batch of this number are sampled.
    pub(super) fn sampling(&self, number: u64) -> GenerationOptions {
        let config = &self.config.reinforcement;
        let special = self.processor.tokenizer.special();
        GenerationOptions {
            max_new_tokens: config.max_new_tokens,
            temperature: config.temperature as f32,
            top_k: config.top_k,
            top_p: config.top_p as f32,
            // Another sequence of random numbers in each step, whatever came before.
            seed: self.config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number),
            stop_tokens: vec![special.im_end, special.end_of_text],
            logprobs: true,
            ..Default::default()
        }
    }

    /// Answers each prompt of a batch in a group, and compares the answers of a group.
    pub(super) fn roll_out(
        &self,
        batch: &[Prepared],
        options: &GenerationOptions,
    ) -> Result<Vec<Rollout>, TrainError> {
        use burn::module::Module as _;
        let config = &self.config.reinforcement;
        // The CPU answers everything in one batch, several devices each their part of the prompts.
        let model = self.answering();
        let models = if self.shards.has_several_devices() {
            let copy = |_, device: &Device| model.clone().to_device(&device.clone().without_autodiff());
            self.shards.contexts(batch.len(), &mut Vec::new(), copy)
        } else {
            vec![model]
        };
        let parts = models.len();
        let models = models.into_iter().enumerate().collect();
        let completions = self.shards.run(batch, models, |(at, model): (usize, Qwen2_5Vl), prompts| {
            let first_answer = part(at, parts, batch.len()).start * config.group;
            let options = GenerationOptions { first_answer, ..options.clone() };
            let prompts: Vec<&Encoded> = prompts
                .iter()
                .flat_map(|prompt| std::iter::repeat_n(&prompt.encoded, config.group))
                .collect();
            generate_blocking(&model, &prompts, &options, |_, _| ControlFlow::Continue(()))
        });
        let completions: Vec<Vec<Generation>> =
            completions.into_iter().map(|found| Ok(found?.0)).collect::<Result<_, ModelError>>()?;
        let completions = completions.concat();
        let mut rollouts = Vec::with_capacity(completions.len());
        for (group, prompt) in completions.chunks(config.group).zip(batch) {
            let Some(question) = &prompt.question else {
                return Err(TrainError::Data("a prompt of the reasoning stage has no question".into()));
            };
            let mut found: Vec<Rollout> = group
                .iter()
                .map(|completion| {
                    let text = self.processor.decode(&completion.token_ids);
                    let rewards = Rewards::of(&text, question, self.config.faults.strict_choice);
                    rollout(&prompt.encoded, completion, rewards)
                })
                .collect();
            compare(&mut found, config);
            rollouts.extend(found);
        }
        Ok(rollouts)
    }

    /// What each token of the completions weighs in the loss, and its log-probability under the reference.
    fn weigh(&self, kept: &[Rollout]) -> Result<Vec<Weighed>, TrainError> {
        let config = &self.config.reinforcement;
        let total: usize = kept.iter().map(|rollout| rollout.sampled.len()).sum();
        let mut weighed = Vec::with_capacity(kept.len());
        for chunk in kept.chunks(config.micro_batch) {
            let reference = match &self.reference {
                Some(model) if config.kl > 0.0 => {
                    let encoded: Vec<&Encoded> = chunk.iter().map(|rollout| &rollout.encoded).collect();
                    let device = self.device.clone().inner();
                    let found =
                        completion_log_probs(model, &encoded, self.config.faults.blind_videos, &device)?;
                    split(&found.into_data().iter::<f32>().collect::<Vec<_>>(), chunk)
                }
                _ => chunk.iter().map(|rollout| rollout.sampled.clone()).collect(),
            };
            weighed.extend(chunk.iter().zip(reference).map(|(rollout, reference)| {
                let length = rollout.sampled.len().max(1) as f64;
                let weight = match config.normalization {
                    LossNormalization::Grpo => 1.0 / (length * kept.len() as f64),
                    LossNormalization::Dapo => 1.0 / total.max(1) as f64,
                    LossNormalization::DrGrpo => 1.0 / (config.max_new_tokens as f64 * kept.len() as f64),
                };
                Weighed { weight, reference }
            }));
        }
        Ok(weighed)
    }

    /// Loss and gradients of some completions, part by part. `copies` are those of the model that the update has made
    /// already.
    fn policy_gradients(
        &self,
        work: &[(&Rollout, &Weighed, Option<&[f32]>)],
        copies: &mut Vec<Replica>,
    ) -> Result<Vec<PolicyPart>, TrainError> {
        let copies = self.shards.contexts(work.len(), copies, |at, device| self.replica(at, device, true));
        let parts = self.shards.run(work, copies, |copy, part| {
            let Replica { device, model, .. } = copy;
            let encoded: Vec<&Encoded> = part.iter().map(|(rollout, ..)| &rollout.encoded).collect();
            let blind = self.config.faults.blind_videos;
            let policy = completion_log_probs(&model, &encoded, blind, &device)?;
            let values: Vec<f32> = policy.clone().detach().into_data().iter::<f32>().collect();
            let lengths: Vec<usize> = part.iter().map(|(rollout, ..)| rollout.sampled.len()).collect();
            let spread = |of: &dyn Fn(usize) -> f64| -> Vec<f32> {
                (0..part.len()).flat_map(|i| std::iter::repeat_n(of(i) as f32, lengths[i])).collect()
            };
            let row = |values: Vec<f32>| {
                let count = values.len();
                Tensor::<1>::from_data(TensorData::new(values, [count]), &device)
            };
            let advantages = row(spread(&|i| part[i].0.advantage));
            let weights = row(spread(&|i| part[i].1.weight));
            let reference = row(part.iter().flat_map(|(_, weighed, _)| weighed.reference.clone()).collect());
            let old: Vec<f32> = match part[0].2 {
                Some(_) => part.iter().flat_map(|(.., old)| old.unwrap_or_default().to_vec()).collect(),
                None => values.clone(),
            };
            let (loss, sums) =
                policy_loss(policy, row(old), reference, advantages, weights, &self.config.reinforcement);
            let value = f64::from(loss.clone().into_scalar::<f32>());
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            let values = split_lengths(&values, &lengths);
            Ok(PolicyPart { device, loss: value, sums, values, gradients })
        });
        parts.into_iter().collect()
    }

    fn row(&self, rollout: &Rollout, question: &SpatialSample) -> RolloutRow {
        let span = rollout.encoded.answer_spans.first().cloned().unwrap_or_default();
        RolloutRow {
            question_id: question.question_id,
            kind: kind(question),
            image: question.image.first().cloned().unwrap_or_default(),
            question: question.question.clone(),
            truth: question.answer.clone(),
            text: self.processor.decode(&rollout.encoded.token_ids[span.clone()]),
            accuracy: rollout.rewards.accuracy,
            format: rollout.rewards.format,
            advantage: rollout.advantage,
            tokens: span.len(),
            truncated: rollout.truncated,
        }
    }
}

/// A completion behind its prompt.
fn rollout(prompt: &Encoded, completion: &Generation, rewards: Rewards) -> Rollout {
    let start = prompt.token_ids.len();
    let mut token_ids = prompt.token_ids.clone();
    token_ids.extend(&completion.token_ids);
    token_ids.extend(completion.ended_by);
    let encoded = Encoded {
        answer_spans: std::iter::once(start..token_ids.len()).collect(),
        token_ids,
        images: prompt.images.clone(),
    };
    Rollout {
        encoded,
        sampled: completion.logprobs.clone(),
        rewards,
        reward: 0.0,
        advantage: 0.0,
        truncated: completion.ending != Ending::Complete,
        counts: true,
    }
}

/// Gives the answers of one group their advantages, and says which of them count.
fn compare(group: &mut [Rollout], config: &ReinforcementConfig) {
    for rollout in &mut *group {
        let Rewards { accuracy, format } = rollout.rewards;
        rollout.reward = config.accuracy_weight * accuracy + config.format_weight * format;
    }
    let Spread { mean, deviation, level } = Spread::of(group);
    for rollout in group {
        let reward = rollout.reward;
        let above = if level { 0.0 } else { reward - mean };
        rollout.advantage = match config.normalization {
            LossNormalization::DrGrpo => above,
            LossNormalization::Grpo | LossNormalization::Dapo => {
                above / (deviation + config.advantage_epsilon)
            }
        };
        let left_out = level && config.drop_zero_spread || rollout.truncated && config.mask_truncated;
        rollout.counts = !left_out && !rollout.sampled.is_empty();
    }
}

/// Of the rewards of a group.
struct Spread {
    mean: f64,
    /// Of the population that they are drawn from: divided by one less than their number.
    deviation: f64,
    /// Whether all are alike: equal ones differ by nothing, however their sums were rounded.
    level: bool,
}

impl Spread {
    fn of(group: &[Rollout]) -> Self {
        let rewards = || group.iter().map(|rollout| rollout.reward);
        let count = group.len().max(1) as f64;
        let mean = rewards().sum::<f64>() / count;
        let squares: f64 = rewards().map(|reward| (reward - mean).powi(2)).sum();
        let level = rewards().all(|reward| (reward - group[0].reward).abs() < 1e-9);
        Self { mean, deviation: (squares / (count - 1.0).max(1.0)).sqrt(), level }
    }
}

/// What the tokens of a completion weigh, and their log-probabilities under the reference.
struct Weighed {
    weight: f64,
    reference: Vec<f32>,
}

struct PolicyPart {
    /// Where the gradients lie.
    device: Device,
    loss: f64,
    sums: Sums,
    /// Log-probabilities under the policy, by completion.
    values: Vec<Vec<f32>>,
    gradients: GradientsParams,
}

/// Sums over tokens.
#[derive(Default, Clone)]
struct Sums {
    tokens: f64,
    divergence: f64,
    clipped: f64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.divergence += other.divergence;
        self.clipped += other.clipped;
    }
}

/// The log-probabilities of the completions' tokens one after the other: what the update differentiates, and what the
/// rollout must have seen. `blind`: the published fault that videos are not looked at.
fn completion_log_probs(
    model: &Qwen2_5Vl,
    encoded: &[&Encoded],
    blind: bool,
    device: &Device,
) -> Result<Tensor<1>, ModelError> {
    let mut input = ModelInput::batch(encoded, model.config(), device)?;
    let images: Vec<_> = encoded.iter().flat_map(|row| &row.images).collect();
    if !images.is_empty() {
        let mut tokens = model.encode_images(&images)?;
        if blind {
            let merge = model.config().vision.spatial_merge_size.pow(2);
            let unseen = Tensor::<2, Int>::from_data([[model.config().video_token_id as i32]], device);
            let unseen =
                model.model.embed_tokens.forward(unseen).reshape([1, model.config().text.hidden_size]);
            let mut start = 0;
            for image in &images {
                let count = image.grid_thw.iter().product::<usize>() / merge;
                if image.is_video() {
                    let place = [start..start + count, 0..tokens.dims()[1]];
                    tokens = tokens.slice_assign(place, unseen.clone().repeat_dim(0, count));
                }
                start += count;
            }
        }
        input = input.with_images(tokens);
    }
    let targets = AnswerTargets::new(encoded, input.token_ids.dims()[1]);
    Ok(targets.losses(model, &input, device).neg())
}

/// The clipped objective with the divergence from the reference: what is to be made small, and sums over the tokens.
/// All tensors hold one number a token.
fn policy_loss(
    policy: Tensor<1>,
    old: Tensor<1>,
    reference: Tensor<1>,
    advantages: Tensor<1>,
    weights: Tensor<1>,
    config: &ReinforcementConfig,
) -> (Tensor<1>, Sums) {
    let ratio = (policy.clone() - old).exp();
    let clipped = ratio.clone().clamp(1.0 - config.clip, 1.0 + config.clip);
    let objective = (ratio.clone() * advantages.clone()).min_pair(clipped.clone() * advantages.clone());
    // k3 of Schulman, "Approximating KL divergence": never negative, and unbiased.
    let apart = reference - policy;
    let divergence = apart.clone().exp() - apart - 1.0;
    let outside = (ratio - clipped).detach().abs().greater_elem(1e-6).float();
    let sum = |tensor: Tensor<1>| f64::from(tensor.detach().sum().into_scalar::<f32>());
    let sums =
        Sums { tokens: weights.dims()[0] as f64, divergence: sum(divergence.clone()), clipped: sum(outside) };
    let loss = ((divergence.mul_scalar(config.kl) - objective) * weights).sum();
    (loss, sums)
}

fn split(values: &[f32], rollouts: &[Rollout]) -> Vec<Vec<f32>> {
    split_lengths(values, &rollouts.iter().map(|rollout| rollout.sampled.len()).collect::<Vec<_>>())
}

fn split_lengths(mut values: &[f32], lengths: &[usize]) -> Vec<Vec<f32>> {
    lengths
        .iter()
        .map(|length| {
            let (part, rest) = values.split_at((*length).min(values.len()));
            values = rest;
            part.to_vec()
        })
        .collect()
}

/// What a step's completions were like.
#[derive(Default)]
pub(super) struct Summary {
    completions: f64,
    groups: f64,
    accuracy: f64,
    /// Sum over groups of their best accuracy.
    best: f64,
    format: f64,
    reward: f64,
    /// Sum over groups of the deviation of their rewards.
    spread: f64,
    level: f64,
    tokens: f64,
    truncated: f64,
    /// Minus the mean log-probability of the tokens sampled: an estimate of the entropy.
    surprise: f64,
    kinds: BTreeMap<String, (f64, f64)>,
    divergence: f64,
    /// Largest difference between a token's log-probability when it was sampled and in the first update.
    gap: f64,
    clipped: f64,
}

impl Summary {
    fn add(&mut self, group: &[Rollout], question: &SpatialSample) {
        let Spread { mean, deviation, level } = Spread::of(group);
        self.groups += 1.0;
        self.spread += deviation;
        self.level += f64::from(u8::from(level));
        self.completions += group.len() as f64;
        self.reward += mean * group.len() as f64;
        self.best += group.iter().map(|rollout| rollout.rewards.accuracy).fold(0.0, f64::max);
        let of_kind = self.kinds.entry(kind(question)).or_default();
        for rollout in group {
            self.accuracy += rollout.rewards.accuracy;
            self.format += rollout.rewards.format;
            self.tokens += rollout.sampled.len() as f64;
            self.truncated += f64::from(u8::from(rollout.truncated));
            self.surprise -= rollout.sampled.iter().map(|value| f64::from(*value)).sum::<f64>();
            of_kind.0 += rollout.rewards.accuracy;
            of_kind.1 += 1.0;
        }
    }

    fn first_update(&mut self, kept: &[Rollout], values: &[Vec<f32>], sums: &Sums) {
        self.divergence = sums.divergence / sums.tokens.max(1.0);
        let pairs = kept.iter().zip(values).flat_map(|(rollout, values)| rollout.sampled.iter().zip(values));
        self.gap = pairs.map(|(sampled, value)| f64::from((sampled - value).abs())).fold(0.0, f64::max);
    }

    fn parts(&self) -> Vec<(String, f64)> {
        let all = self.completions.max(1.0);
        let mut parts: Vec<(String, f64)> = [
            ("reward", self.reward / all),
            ("reward_spread", self.spread / self.groups.max(1.0)),
            ("accuracy", self.accuracy / all),
            ("best_of_group", self.best / self.groups.max(1.0)),
            ("format", self.format / all),
            ("zero_spread_groups", self.level / self.groups.max(1.0)),
            ("truncated", self.truncated / all),
            ("length", self.tokens / all),
            ("entropy", self.surprise / self.tokens.max(1.0)),
            ("kl", self.divergence),
            ("log_prob_gap", self.gap),
            ("clipped", self.clipped),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        parts.extend(
            self.kinds.iter().map(|(kind, (sum, count))| (format!("accuracy/{kind}"), sum / count.max(1.0))),
        );
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::qwen2_5_vl::{Qwen2_5VlConfig, SpecialTokens};
    use crate::processor::PixelPatches;

    const IMAGE: u32 = 5;
    const VIDEO: u32 = 6;

    fn model(device: &Device) -> Qwen2_5Vl {
        let tokens = SpecialTokens {
            image: IMAGE,
            video: VIDEO,
            vision_start: 3,
            vision_end: 4,
            end_of_turn: 2,
            pad: 0,
        };
        Qwen2_5Vl::init(&Qwen2_5VlConfig::tiny(120, &tokens), None, 1, device).unwrap()
    }

    /// So many images of two by two tokens, or a video of so many frames, then words.
    fn prompt(grids: usize, frames: usize, words: usize) -> Encoded {
        let grid = [frames.max(1), 4, 4];
        let patches = |number: usize| PixelPatches {
            data: (0..grid.iter().product::<usize>() * 1176)
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

    fn config(normalization: LossNormalization) -> ReinforcementConfig {
        let config = crate::training::TrainConfig::new(
            crate::training::Stage::Reasoning,
            crate::training::Preset::Corrected,
            "data".into(),
            "tiny".into(),
        );
        ReinforcementConfig { normalization, group: 4, ..config.reinforcement }
    }

    /// Sampled answers of different lengths to each prompt, four of each.
    fn rollouts(model: &Qwen2_5Vl, prompts: &[Encoded]) -> Vec<Rollout> {
        let repeated: Vec<&Encoded> =
            prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, 4)).collect();
        let options = GenerationOptions {
            max_new_tokens: 9,
            temperature: 1.0,
            top_k: 50,
            seed: 3,
            // A fifth of all tokens, so that most answers end early and the rest are cut off.
            stop_tokens: (7..120).step_by(5).collect(),
            logprobs: true,
            ..Default::default()
        };
        let (found, _) =
            generate_blocking(model, &repeated, &options, |_, _| ControlFlow::Continue(())).unwrap();
        let rewards = Rewards { accuracy: 0.0, format: 0.0 };
        repeated.iter().zip(&found).map(|(prompt, found)| rollout(prompt, found, rewards)).collect()
    }

    #[test]
    fn the_update_sees_the_log_probabilities_of_the_rollout() {
        let device = Device::flex();
        let model = model(&device);
        // An image, several images, a video, and no image at all, in one padded batch.
        let prompts = [prompt(1, 0, 7), prompt(3, 0, 4), prompt(1, 3, 12), prompt(0, 0, 20)];
        let rollouts = rollouts(&model, &prompts);
        assert!(rollouts.iter().any(|rollout| rollout.truncated));
        assert!(rollouts.iter().any(|rollout| !rollout.truncated));
        let encoded: Vec<&Encoded> = rollouts.iter().map(|rollout| &rollout.encoded).collect();
        let gap = |blind| {
            let found = completion_log_probs(&model, &encoded, blind, &device).unwrap().into_data();
            let found = split(&found.iter::<f32>().collect::<Vec<_>>(), &rollouts);
            let gap = |rollout: &Rollout, found: &Vec<f32>| {
                assert_eq!(rollout.sampled.len(), found.len());
                rollout.sampled.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
            };
            let gaps: Vec<f32> =
                rollouts.iter().zip(&found).map(|(rollout, found)| gap(rollout, found)).collect();
            gaps.chunks(4).map(|of| of.iter().copied().fold(0.0, f32::max)).collect::<Vec<_>>()
        };
        assert!(gap(false).iter().all(|gap| *gap < 1e-4), "{:?}", gap(false));
        // With the published fault the video is not seen, and only the video.
        let blind = gap(true);
        assert!(blind[2] > 1e-3 && [0, 1, 3].iter().all(|at| blind[*at] < 1e-4), "{blind:?}");
    }

    fn graded(rewards: [f64; 4]) -> Vec<Rollout> {
        let one = |accuracy| Rollout {
            encoded: prompt(0, 0, 3),
            sampled: vec![-1.0],
            rewards: Rewards { accuracy, format: 1.0 },
            reward: 0.0,
            advantage: 0.0,
            truncated: false,
            counts: true,
        };
        rewards.map(one).into()
    }

    #[test]
    fn advantages_compare_a_group() {
        let mut group = graded([1.0, 0.0, 0.0, 1.0]);
        compare(&mut group, &config(LossNormalization::Grpo));
        // Mean 1.5; the unbiased deviation of two halves above and two below is 1 / √3.
        let expected = 0.5 / (1.0 / 3f64.sqrt() + 1e-4);
        assert!(
            (group[0].advantage - expected).abs() < 1e-12 && (group[1].advantage + expected).abs() < 1e-12
        );
        compare(&mut group, &config(LossNormalization::DrGrpo));
        assert_eq!(group[3].advantage, 0.5);

        group[1].truncated = true;
        compare(&mut group, &config(LossNormalization::Dapo));
        assert_eq!(group.iter().map(|rollout| rollout.counts).collect::<Vec<_>>(), [true, false, true, true]);
        let mut level = graded([0.3; 4]);
        compare(&mut level, &config(LossNormalization::Dapo));
        assert!(level.iter().all(|rollout| rollout.advantage == 0.0 && !rollout.counts));
        let keeps = ReinforcementConfig { drop_zero_spread: false, ..config(LossNormalization::Dapo) };
        compare(&mut level, &keeps);
        assert!(level.iter().all(|rollout| rollout.advantage == 0.0 && rollout.counts));
    }

    #[test]
    fn the_objective_is_clipped_and_held_near_the_reference() {
        let device = Device::flex().autodiff();
        let row = |values: [f32; 3]| Tensor::<1>::from_data(values, &device);
        let config = config(LossNormalization::Dapo);
        let policy = row([-1.0, -1.0, -1.0]).require_grad();
        // Ratios 1, 1.49 (clipped for a good token) and 0.67 (not clipped for a good token).
        let old = row([-1.0, -1.4, -0.6]);
        let reference = row([-1.0, -1.0, -0.5]);
        let (loss, sums) = policy_loss(policy.clone(), old, reference, row([2.0; 3]), row([1.0; 3]), &config);
        let k3 = 0.5f64.exp() - 0.5 - 1.0;
        let expected = config.kl * k3 - 2.0 * (1.0 + 1.2 + (-0.4f64).exp());
        assert!((f64::from(loss.clone().into_scalar::<f32>()) - expected).abs() < 1e-5);
        assert!((sums.divergence - k3).abs() < 1e-6 && sums.clipped == 2.0 && sums.tokens == 3.0);
        let gradients: Vec<f32> = policy.grad(&loss.backward()).unwrap().into_data().iter::<f32>().collect();
        let last = config.kl * (1.0 - 0.5f64.exp()) - 2.0 * (-0.4f64).exp();
        for (found, expected) in gradients.iter().zip([-2.0, 0.0, last]) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{gradients:?}");
        }
    }
}
