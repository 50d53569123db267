//! How fast the trainer is: a supervised step and a reinforced one (GRPO) on random weights.
//!
//! The steps are the trainer's own, from the loss over the shards of the batch to the clipped update; only what they
//! learn from is made up, all of one length. Completions do not end early, and are called good and bad by turns: so
//! every step does the same work, whatever random weights say.

mod operations;
mod workload;

pub use operations::Operations;
pub use workload::Workload;

use super::reinforcement::Summary;
use super::trainer::{StepDone, Trainer};
use super::{MixedPrecision, Stage, TrainError};
use crate::answering::GenerationOptions;
use crate::measure;
use crate::model::qwen2_5_vl::layers::{in_bf16, linear};
use crate::model::{Device, ModelError, Qwen2_5VlConfig, device};
use crate::processor::Processor;
use crate::runs::RunDir;
use crate::samples::{Dataset, Split};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;
use workload::ramp;

/// What was measured, by [`benchmark`] or by another implementation given [`Workload::description`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingTimes {
    /// What computed.
    pub device: String,
    /// The largest rate of a product of large matrices in the precision of the layers, 10⁹ operations a second.
    pub matrix_gflops: f64,
    /// Of the first supervised step: what the weights say before they learn.
    pub first_loss: f64,
    pub supervised: StepTimes,
    pub reinforced: StepTimes,
}

/// Of the shortest of several steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepTimes {
    /// Sampling the completions, seconds; 0 in a supervised step.
    pub rollout_s: f64,
    /// Losses, gradients and optimizer, seconds.
    pub update_s: f64,
    /// The most memory that the process held during the steps, or that the device's allocator had taken after one; files
    /// that are mapped included.
    pub peak_memory_mib: Option<f64>,
}

/// [`TrainingTimes`] as rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingSpeed {
    pub device: String,
    pub matrix_gflops: f64,
    pub first_loss: f64,
    pub supervised: StepSpeed,
    pub reinforced: StepSpeed,
    /// Sampling the completions of the reinforced step.
    pub rollout_s: f64,
    pub rollouts_per_second: f64,
    /// Tokens sampled, in all completions.
    pub rollout_tokens_per_second: f64,
    /// What follows in the reinforced step.
    pub update_s: f64,
}

/// Of a whole step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepSpeed {
    pub seconds: f64,
    /// Samples, or completions.
    pub samples_per_second: f64,
    /// Prompts with their pictures, and answers.
    pub tokens_per_second: f64,
    /// [`Operations`], 10⁹ a second.
    pub gflops: f64,
    /// The same as a share of the rate of matrix products.
    pub matrix_share: f64,
    pub peak_memory_mib: Option<f64>,
}

impl TrainingSpeed {
    pub fn new(config: &Qwen2_5VlConfig, workload: &Workload, times: &TrainingTimes) -> Self {
        let operations = Operations::count(config, workload);
        let completions = workload.batch * workload.group;
        let length = workload.prompt_length(config) + workload.answer_tokens;
        let step = |step: &StepTimes, samples: usize, operations: f64| {
            let seconds = step.rollout_s + step.update_s;
            let gflops = operations / seconds / 1e9;
            StepSpeed {
                seconds,
                samples_per_second: samples as f64 / seconds,
                tokens_per_second: (samples * length) as f64 / seconds,
                gflops,
                matrix_share: gflops / times.matrix_gflops,
                peak_memory_mib: step.peak_memory_mib,
            }
        };
        let StepTimes { rollout_s, update_s, .. } = times.reinforced;
        Self {
            device: times.device.clone(),
            matrix_gflops: times.matrix_gflops,
            first_loss: times.first_loss,
            supervised: step(&times.supervised, workload.batch, operations.supervised),
            reinforced: step(&times.reinforced, completions, operations.rollout + operations.update),
            rollout_s,
            rollouts_per_second: completions as f64 / rollout_s,
            rollout_tokens_per_second: (completions * workload.answer_tokens) as f64 / rollout_s,
            update_s,
        }
    }
}

/// Measures both steps with the model of a folder, which needs no tokenizer. `progress` hears what is measured next.
///
/// # Errors
/// The work does not fit the model, or the device fails.
pub fn benchmark(
    dir: &Path,
    device: &Device,
    workload: &Workload,
    progress: impl Fn(&str),
) -> Result<TrainingTimes, TrainError> {
    let model = Qwen2_5VlConfig::load(dir)?;
    let (length, limit) =
        (workload.prompt_length(&model) + workload.answer_tokens, model.text.max_position_embeddings);
    if length > limit {
        return Err(TrainError::Config(format!(
            "samples of {length} tokens are too long for the model, which reads at most {limit}; give fewer or smaller \
             pictures, or fewer tokens"
        )));
    }
    if [workload.batch, workload.images, workload.answer_tokens].contains(&0) {
        return Err(TrainError::Config(
            "there is nothing to learn without samples, pictures and answers".into(),
        ));
    }
    progress("multiplying matrices");
    let matrix_gflops = matrix_gflops(device, workload.mixed_precision)?;
    let scratch = tempfile::tempdir().map_err(TrainError::io(std::env::temp_dir()))?;
    let run = RunDir::create(scratch.path())?;
    progress("supervised steps");
    let (supervised, first_loss) = supervised(dir, device, workload, &run)?;
    progress("reinforced steps");
    let reinforced = reinforced(dir, device, workload, &run)?;
    Ok(TrainingTimes { device: device::describe(device), matrix_gflops, first_loss, supervised, reinforced })
}

fn trainer(stage: Stage, dir: &Path, device: &Device, workload: &Workload) -> Result<Trainer, TrainError> {
    let dataset = Dataset {
        root: dir.to_owned(),
        info: None,
        train: Split::default(),
        validation: Split::default(),
        evidence: Vec::new(),
    };
    // Any tokenizer will do: what random weights say means nothing.
    Trainer::over(&workload.config(stage, dir)?, device, dataset, Processor::tiny()?, None)
}

/// Also the loss of the first step.
fn supervised(
    dir: &Path,
    device: &Device,
    workload: &Workload,
    run: &RunDir,
) -> Result<(StepTimes, f64), TrainError> {
    let mut trainer = trainer(Stage::Understanding, dir, device, workload)?;
    let samples = [workload.samples(trainer.model.config())];
    let mut losses = Vec::new();
    let times = shortest(device, workload.steps, || {
        let start = Instant::now();
        losses.push(trainer.supervised_step(&samples, run)?.loss);
        wait(device)?;
        Ok([0.0, start.elapsed().as_secs_f64()])
    })?;
    Ok((times, losses[0]))
}

fn reinforced(
    dir: &Path,
    device: &Device,
    workload: &Workload,
    run: &RunDir,
) -> Result<StepTimes, TrainError> {
    let mut trainer = trainer(Stage::Reasoning, dir, device, workload)?;
    let prompts = workload.prompts(trainer.model.config());
    shortest(device, workload.steps, || {
        let options = GenerationOptions { ignore_end: true, ..trainer.sampling(trainer.step) };
        let start = Instant::now();
        let never = || false;
        let mut rollouts = trainer.roll_out(&prompts, &options, &never)?.unwrap_or_default();
        let rollout_s = start.elapsed().as_secs_f64();
        for (at, rollout) in rollouts.iter_mut().enumerate() {
            rollout.advantage = if at.is_multiple_of(2) { 1.0 } else { -1.0 };
        }
        let start = Instant::now();
        trainer.learn(rollouts, &mut Summary::default(), &mut StepDone::default(), run)?;
        wait(device)?;
        trainer.step += 1;
        Ok([rollout_s, start.elapsed().as_secs_f64()])
    })
}

/// Takes one step, then `steps` more, of which the shortest counts. `step` tells its seconds: rollout and update.
fn shortest(
    device: &Device,
    steps: usize,
    mut step: impl FnMut() -> Result<[f64; 2], TrainError>,
) -> Result<StepTimes, TrainError> {
    device.memory_cleanup();
    measure::forget_peak_memory();
    step()?;
    let mut best = StepTimes { rollout_s: f64::INFINITY, update_s: 0.0, peak_memory_mib: None };
    for _ in 0..steps.max(1) {
        let [rollout_s, update_s] = step()?;
        if rollout_s + update_s < best.rollout_s + best.update_s {
            best = StepTimes { rollout_s, update_s, ..best };
        }
        // An allocator of a graphics card keeps what it took.
        let now = match device.memory_pool_usage() {
            Some(usage) => Some(usage.bytes_reserved as f64 / f64::from(1 << 20)),
            None => measure::peak_memory_mib(),
        };
        best.peak_memory_mib = best.peak_memory_mib.into_iter().chain(now).reduce(f64::max);
    }
    Ok(best)
}

fn matrix_gflops(device: &Device, precision: MixedPrecision) -> Result<f64, TrainError> {
    // Large enough for the device to be busy with nothing else.
    let side = if *device == Device::flex() { 2048 } else { 8192 };
    let matrix = Tensor::<2>::from_data(TensorData::new(ramp(side * side, 0), [side, side]), device);
    let weight = match precision {
        MixedPrecision::No => matrix.clone(),
        MixedPrecision::Bf16 => in_bf16(matrix.clone()),
    };
    let mut finished = Ok(());
    let seconds = measure::best_of(5, || {
        let product = linear(matrix.clone(), weight.clone(), None);
        finished = wait(device);
        product
    });
    finished?;
    Ok(2.0 * (side as f64).powi(3) / seconds / 1e9)
}

/// For what was given to the device.
fn wait(device: &Device) -> Result<(), TrainError> {
    device.sync().map_err(|error| {
        ModelError::Device { name: device::describe(device), reason: error.to_string() }.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answering::benchmark::write_random_folder;
    use crate::model::Precision;
    use crate::model::qwen2_5_vl::SpecialTokens;

    pub fn tiny() -> Qwen2_5VlConfig {
        let tokens =
            SpecialTokens { image: 5, video: 6, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
        Qwen2_5VlConfig::tiny(1792, &tokens)
    }

    pub fn workload() -> Workload {
        Workload {
            batch: 2,
            prompt_tokens: 9,
            answer_tokens: 4,
            images: 1,
            image_patches: [4, 8],
            group: 3,
            micro_batch: 4,
            steps: 1,
            lora_rank: 0,
            shards: Some(2),
            gradient_checkpointing: None,
            mixed_precision: MixedPrecision::No,
        }
    }

    #[test]
    fn both_steps_are_measured() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let config = tiny();
        write_random_folder(&config, dir.path(), Precision::F32).expect("written");
        for lora_rank in [0, 2] {
            let workload = Workload { lora_rank, ..workload() };
            let times = benchmark(dir.path(), &Device::flex(), &workload, |_| ()).expect("measured");
            // Random weights know nothing of 1,792 tokens.
            assert!((times.first_loss - 1792f64.ln()).abs() < 1.0, "{times:?}");
            let speed = TrainingSpeed::new(&config, &workload, &times);
            for step in [speed.supervised, speed.reinforced] {
                let numbers =
                    [step.samples_per_second, step.tokens_per_second, step.gflops, step.matrix_share];
                assert!(numbers.iter().all(|number| number.is_finite() && *number > 0.0), "{step:?}");
            }
            assert!(speed.rollout_s > 0.0 && speed.update_s > 0.0, "{speed:?}");
        }
        let long = Workload { prompt_tokens: 5000, ..workload() };
        let error = benchmark(dir.path(), &Device::flex(), &long, |_| ()).expect_err("too long").to_string();
        assert!(error.contains("4096"), "{error}");
    }
}
