//! The reasoning stage: group relative policy optimization (GRPO, arXiv 2402.03300) with verifiable rewards.
//!
//! Each prompt is answered several times by the current model; answers that earn more than their group become likelier,
//! the others less likely, and the divergence from the model that the stage started with is held down.

mod group;
mod log_probs;
mod objective;
mod summary;
#[cfg(test)]
mod tests;

pub(super) use group::Rollout;
pub(super) use summary::Summary;

use super::TrainError;
use super::batches::Prepared;
use super::config::LossNormalization;
use super::evaluation::kind;
use super::rewards::Rewards;
use super::shards::{GradientSums, part};
use super::supervised::{Learning, Replica};
use super::trainer::{StepDone, Trainer, write_lines};
use crate::answering::{Generation, GenerationOptions, generate_blocking};
use crate::model::{ModelError, Qwen2_5Vl};
use crate::processor::Encoded;
use crate::runs::RunDir;
use crate::samples::SpatialSample;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use group::compare;
use log_probs::{Judging, completion_log_probs};
use objective::{Sums, policy_loss};
use serde::Serialize;
use std::ops::ControlFlow;

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
    /// `work`: a batch of prompts for each accumulation. `None` when the answers were not whole before it was to `stop`.
    pub(super) fn reinforced_step(
        &mut self,
        work: &[Vec<Prepared>],
        run: &RunDir,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<StepDone>, TrainError> {
        let mut done = StepDone::default();
        let mut rollouts = Vec::new();
        let mut summary = Summary::default();
        let mut rows = Vec::new();
        for (batch, number) in work.iter().zip(self.step * work.len() as u64..) {
            let Some(found) = self.roll_out(batch, &self.sampling(number), stop)? else { return Ok(None) };
            for (group, prompt) in found.chunks(self.config.reinforcement.group).zip(batch) {
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
        Ok(Some(done))
    }

    /// Moves the model by what the completions teach.
    pub(super) fn learn(
        &mut self,
        rollouts: Vec<Rollout>,
        summary: &mut Summary,
        done: &mut StepDone,
        run: &RunDir,
    ) -> Result<(), TrainError> {
        // Means are over everything sampled: a step whose groups say little moves the model less.
        let sampled = [rollouts.len(), rollouts.iter().map(|rollout| rollout.sampled.len()).sum()];
        let kept = by_length(rollouts, self.config.reinforcement.group);
        let tokens = self.weigh(&kept, sampled)?;
        // Of a step that moves nothing too.
        done.learning_rate = self.learning_rate();
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
            // Before the optimizer makes new weights beside the old ones.
            drop(copies);
            let offending = || kept.iter().map(|rollout| &rollout.encoded);
            if !loss.is_finite() {
                return Err(self.diverged("loss", loss, offending(), run));
            }
            // A step from which nothing can be learned leaves the model as it is.
            let mut moved = StepDone::default();
            if !kept.is_empty() && !self.update(&mut moved, gradients.total(&self.model)) {
                return Err(self.diverged("gradient's norm", moved.gradient_norm, offending(), run));
            }
            if update == 0 {
                (done.loss, done.gradient_norm) = (loss, moved.gradient_norm);
                summary.first_update(&kept, &values, &sums, self.reference.is_some());
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

    /// How log-probabilities of completions are computed: as they were sampled.
    fn judging(&self) -> Judging {
        Judging {
            temperature: self.config.reinforcement.temperature,
            blind_videos: self.config.faults.blind_videos,
        }
    }

    /// Answers each prompt of a batch in a group, and compares the answers of a group; `None` when it was to `stop` before they
    /// were whole.
    pub(super) fn roll_out(
        &self,
        batch: &[Prepared],
        options: &GenerationOptions,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<Rollout>>, TrainError> {
        use burn::module::Module as _;
        let config = &self.config.reinforcement;
        // As in the update each part has threads of its own: one token of many answers is little work, and cores that share
        // it wait for each other at every operation.
        let model = self.answering();
        let copy = |_, device: &Device| model.clone().to_device(&device.clone().without_autodiff());
        let models = self.shards.contexts(batch.len(), &mut Vec::new(), copy);
        let parts = models.len();
        let models = models.into_iter().enumerate().collect();
        let completions = self.shards.run(batch, models, |(at, model): (usize, Qwen2_5Vl), prompts| {
            let first_answer = part(at, parts, batch.len()).start * config.group;
            let options = GenerationOptions { first_answer, ..options.clone() };
            let prompts: Vec<&Encoded> = prompts
                .iter()
                .flat_map(|prompt| std::iter::repeat_n(&prompt.encoded, config.group))
                .collect();
            let on_token = |_, _| if stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            generate_blocking(&model, &prompts, &options, on_token)
        });
        if stop() {
            return Ok(None);
        }
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
                    Rollout::new(&prompt.encoded, completion, rewards)
                })
                .collect();
            compare(&mut found, config);
            rollouts.extend(found);
        }
        Ok(Some(rollouts))
    }

    /// What each token of the completions weighs in the loss, and its log-probability under the reference. Of all that were
    /// sampled there are so many `completions` and `tokens`.
    fn weigh(&self, kept: &[Rollout], [completions, tokens]: [usize; 2]) -> Result<Vec<Weighed>, TrainError> {
        let config = &self.config.reinforcement;
        let mut weighed = Vec::with_capacity(kept.len());
        for chunk in kept.chunks(config.micro_batch) {
            let reference = match &self.reference {
                Some(model) => {
                    let encoded: Vec<&Encoded> = chunk.iter().map(|rollout| &rollout.encoded).collect();
                    let device = self.device.clone().inner();
                    let found = completion_log_probs(model, &encoded, &self.judging(), &device)?;
                    split(&found.into_data().iter::<f32>().collect::<Vec<_>>(), chunk)
                }
                // Weighed with nothing, and not logged.
                None => chunk.iter().map(|rollout| rollout.sampled.clone()).collect(),
            };
            weighed.extend(chunk.iter().zip(reference).map(|(rollout, reference)| {
                let length = rollout.sampled.len().max(1) as f64;
                let weight = match config.normalization {
                    LossNormalization::Grpo => 1.0 / (length * completions as f64),
                    LossNormalization::Dapo => 1.0 / tokens.max(1) as f64,
                    LossNormalization::DrGrpo => 1.0 / (config.max_new_tokens * completions) as f64,
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
        let parts = Learning { vision: true, language: true };
        let copies = self.shards.contexts(work.len(), copies, |at, device| self.replica(at, device, parts));
        let parts = self.shards.run(work, copies, |copy, part| {
            let Replica { device, model, .. } = copy;
            let encoded: Vec<&Encoded> = part.iter().map(|(rollout, ..)| &rollout.encoded).collect();
            let policy = completion_log_probs(&model, &encoded, &self.judging(), &device)?;
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

/// Those that count, groups of like length beside each other: what is computed together is padded to the longest.
fn by_length(rollouts: Vec<Rollout>, group: usize) -> Vec<Rollout> {
    let mut rollouts = rollouts.into_iter();
    let mut groups = Vec::new();
    loop {
        let answers: Vec<Rollout> = rollouts.by_ref().take(group).collect();
        if answers.is_empty() {
            break;
        }
        groups.push(answers.into_iter().filter(|rollout| rollout.counts).collect::<Vec<_>>());
    }
    groups.sort_by_key(|answers| answers.iter().map(|rollout| rollout.sampled.len()).max());
    groups.into_iter().flatten().collect()
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
