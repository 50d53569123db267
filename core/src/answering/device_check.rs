//! Whether a device computes what the CPU computes. Compilers and drivers of graphics cards do get it wrong: fusion with
//! autotune has given wrong cached decoding on Vulkan (tracel-ai/burn issue 5257).

use super::{GenerationOptions, generate_blocking};
use crate::model::device::is_cuda;
use crate::model::qwen2_5_vl::SpecialTokens;
use crate::model::{Device, ModelError, ModelInput, Precision, Qwen2_5Vl, Qwen2_5VlConfig};
use crate::processor::{Encoded, PixelPatches};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Int, Tensor, TensorData};
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::Path;

/// Differences of a device from the CPU, each the largest as a share of the largest value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DeviceCheck {
    /// Of the vision tower's tokens, f32.
    pub vision: f64,
    /// Of the logits after a picture and a text, f32.
    pub logits: f64,
    /// Of the logits read token by token through the cache from those read at once, both on the device, f32.
    pub cached: f64,
    /// Of the gradients of every parameter, f32, as a share of the gradient's norm.
    pub gradients: f64,
    /// The same with products in bfloat16, where a run can be told to train so.
    pub mixed_gradients: Option<f64>,
    /// Of the logits of weights stored in 16 bits, from f32 on the CPU with the same weights.
    pub half_logits: f64,
    /// Whether the likeliest answer is the CPU's, token for token, f32.
    pub same_answer: bool,
    /// Whether the device multiplies f32 with fewer bits.
    pub tf32: bool,
}

/// Bounds for f32, for f32 that is multiplied with ten bits behind the point (TF32, which CUDA's matrix units take it
/// for), and for 16 bits.
const EXACT: f64 = 1e-4;
const TF32: f64 = 3e-3;
const HALF: f64 = 3e-2;
/// For gradients whose products are rounded to eight bits, forward and backward.
const MIXED: f64 = 0.15;

impl DeviceCheck {
    /// What is outside its bound, for people; empty where all is well.
    pub fn faults(&self) -> Vec<String> {
        let exact = if self.tf32 { TF32 } else { EXACT };
        let measured = [
            ("the vision tower", self.vision, exact),
            ("logits", self.logits, exact),
            ("logits through the cache", self.cached, exact),
            ("gradients", self.gradients, 10.0 * exact),
            ("logits with 16-bit weights", self.half_logits, HALF),
            ("gradients in mixed precision", self.mixed_gradients.unwrap_or(0.0), MIXED),
        ];
        // NaN is outside every bound.
        let off = measured.iter().filter(|(_, found, bound)| found.is_nan() || found > bound);
        let mut faults: Vec<String> = off
            .map(|(what, found, bound)| format!("{what} off by {found:.1e}, allowed {bound:.0e}"))
            .collect();
        if !self.same_answer {
            faults.push("another answer than the CPU's".to_owned());
        }
        faults
    }
}

/// Compares a device with the CPU on a small model with random weights. `progress` hears what is compared next.
///
/// # Errors
/// The device fails.
pub fn check_device(device: &Device, progress: &dyn Fn(&str)) -> Result<DeviceCheck, ModelError> {
    let tokens = SpecialTokens { image: 5, video: 6, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
    let config = Qwen2_5VlConfig::tiny(512, &tokens);
    let cpu = Device::flex();
    // Written and read, so that both get the same numbers.
    let dir = tempfile::tempdir().map_err(|source| ModelError::Io { path: std::env::temp_dir(), source })?;
    let written = |name: &str, precision| {
        let folder = dir.path().join(name);
        Qwen2_5Vl::init(&config, None, 1, &cpu)?.save(&folder, precision).map(|()| folder)
    };
    let (whole, half) = (written("whole", Precision::F32)?, written("half", Precision::Bf16)?);
    let prompt = prompt(&config);

    let load = |folder: &Path, device: &Device| Qwen2_5Vl::load(folder, device);
    progress("reading a model");
    let (here, there) = (load(&whole, &cpu)?, load(&whole, device)?);
    let vision = |model: &Qwen2_5Vl| model.encode_images(&[&prompt.images[0]]).map(values);
    progress("a picture");
    let seen = difference(&vision(&there)?, &vision(&here)?);
    progress("a picture and a text");
    let expected = logits(&here, &prompt)?;
    let found = logits(&there, &prompt)?;
    progress("the text word by word");
    let cached = cached_logits(&there, &prompt)?;
    let rows = cached.len();
    let answer = |model: &Qwen2_5Vl| {
        let options = GenerationOptions { max_new_tokens: 24, ignore_end: true, ..Default::default() };
        generate_blocking(model, &[&prompt], &options, |_, _| ControlFlow::Continue(()))
            .map(|(mut answers, _)| answers.remove(0).token_ids)
    };
    // The same numbers in f32 on the CPU: on a device that trains, weights are widened.
    let rounded = load(&half, &cpu.clone().autodiff())?.valid();
    progress("an answer");
    let same_answer = answer(&there)? == answer(&here)?;
    progress("16-bit weights");
    let half_logits = difference(&logits(&load(&half, device)?, &prompt)?, &logits(&rounded, &prompt)?);
    progress("gradients");
    let (learning, reference) = (load(&whole, &device.clone().autodiff())?, load(&whole, &cpu.autodiff())?);
    let gradients = gradient_difference(&learning, &reference, &prompt)?;
    let mixed_gradients = is_cuda(device)
        .then(|| gradient_difference(&learning.multiply_in_bf16(), &reference, &prompt))
        .transpose()?;
    Ok(DeviceCheck {
        vision: seen,
        logits: difference(&found, &expected),
        cached: difference(&cached, &found[found.len() - rows..]),
        gradients,
        mixed_gradients,
        half_logits,
        same_answer,
        tf32: is_cuda(device),
    })
}

/// A picture of 12 by 16 patches, and words after it.
fn prompt(config: &Qwen2_5VlConfig) -> Encoded {
    const GRID: [usize; 3] = [1, 12, 16];
    let count = GRID.iter().product::<usize>();
    let wave = |i: usize| ((i * 7919 + 13) % 1000) as f32 / 500.0 - 1.0;
    let image = PixelPatches {
        data: (0..count * config.vision.patch_len()).map(wave).collect(),
        grid_thw: GRID,
        seconds_per_grid: None,
        original_size: (224, 168),
        resized_size: (224, 168),
    };
    let mut token_ids = vec![7, config.vision_start_token_id];
    token_ids.resize(2 + count / 4, config.image_token_id);
    token_ids.push(config.vision_end_token_id);
    token_ids.extend((0..WORDS as u32).map(|i| 10 + i * 31 % 500));
    Encoded { token_ids, images: vec![image], answer_spans: Vec::new() }
}

/// Words after the picture, read one by one where the cache is checked.
const WORDS: usize = 20;

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn logits(model: &Qwen2_5Vl, prompt: &Encoded) -> Result<Vec<f32>, ModelError> {
    Ok(values(model.logits(model.hidden(&model.prepare(&[prompt])?, None))))
}

/// The logits of the words, each read alone after what came before it.
fn cached_logits(model: &Qwen2_5Vl, prompt: &Encoded) -> Result<Vec<f32>, ModelError> {
    let first = prompt.token_ids.len() - WORDS;
    let start = Encoded { token_ids: prompt.token_ids[..first].to_vec(), ..prompt.clone() };
    let input = model.prepare(&[&start])?;
    let mut cache = crate::model::KvCache::with_capacity(prompt.token_ids.len());
    model.hidden(&input, Some(&mut cache));
    let mut positions = input.next_positions.clone();
    let mut found = Vec::new();
    for token in &prompt.token_ids[first..] {
        let next = ModelInput::next_tokens(&[std::slice::from_ref(token)], &positions, 1, &model.device());
        found.extend(values(model.logits(model.hidden(&next, Some(&mut cache)))));
        positions[0] += 1;
    }
    Ok(found)
}

/// The largest difference over the largest value expected; NaN is the largest of all.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs() / largest));
    let all = found.len() == expected.len();
    differences.fold(if all { 0.0 } else { f64::INFINITY }, |worst, d| {
        if d.is_nan() { f64::INFINITY } else { worst.max(d) }
    })
}

fn gradient_difference(found: &Qwen2_5Vl, expected: &Qwen2_5Vl, prompt: &Encoded) -> Result<f64, ModelError> {
    let gradients = |model: &Qwen2_5Vl| {
        let hidden = model.hidden(&model.prepare(&[prompt])?, None);
        let [_, tokens, _] = hidden.dims();
        let logits = model.logits(hidden.slice_dim(1, tokens - WORDS..tokens - 1)).squeeze_dim::<2>(0);
        let targets: Vec<i64> =
            prompt.token_ids[tokens - WORDS + 1..].iter().map(|id| i64::from(*id)).collect();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [WORDS - 1]), &logits.device());
        let loss = crate::model::fused::cross_entropy(logits, targets).mean();
        let mut collected = Collected { of: loss.backward(), found: Vec::new() };
        model.visit(&mut collected);
        Ok::<_, ModelError>(collected.found)
    };
    let (found, expected) = (gradients(found)?, gradients(expected)?);
    let norm = |values: &[f32]| values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    // Key biases shift all scores of a row alike: their gradient is rounding error, and so is its difference.
    let largest = expected.iter().map(|values| norm(values)).fold(0.0, f64::max);
    let off = found.iter().zip(&expected).map(|(found, expected)| {
        let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        norm(&difference) / norm(expected).max(1e-4 * largest)
    });
    Ok(off.fold(0.0, |worst, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) }))
}

struct Collected {
    of: Gradients,
    found: Vec<Vec<f32>>,
}

impl ModuleVisitor for Collected {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push(param.val().grad(&self.of).map(values).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fused;

    #[test]
    fn the_cpu_agrees_with_itself_and_faults_are_named() {
        let check = check_device(&Device::flex(), &|_| ()).unwrap();
        assert!(check.faults().is_empty(), "{check:?}");
        assert_eq!((check.vision, check.logits), (0.0, 0.0));
        // Without products of bfloat16 the same numbers are multiplied, stored in 16 bits or in 32.
        assert_eq!(check.half_logits > 0.0, fused::rounds_activations(), "{check:?}");
        let wrong = DeviceCheck { cached: f64::INFINITY, same_answer: false, ..check };
        assert_eq!(wrong.faults().len(), 2, "{:?}", wrong.faults());
        assert_eq!(difference(&[f32::NAN], &[1.0]), f64::INFINITY);
    }

    /// As a graphics card computes it, with Burn's own operations.
    #[test]
    fn composed_operations_pass() {
        let check = crate::model::fused::composed(|| check_device(&Device::flex(), &|_| ())).unwrap();
        assert!(check.faults().is_empty(), "{check:?}");
    }
}
