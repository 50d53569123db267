//! How fast a model is read, sees, reads a prompt and answers.

use super::{GenerationOptions, generate_blocking};
use crate::measure;
use crate::model::quantization::GROUP;
use crate::model::qwen2_5_vl::weights::{Init, NamedTensor, write_safetensors};
use crate::model::qwen2_5_vl::{Precision, replace_file};
use crate::model::{Device, ModelError, Qwen2_5Vl, Qwen2_5VlConfig, device};
use crate::processor::{Encoded, PixelPatches};
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

/// What is asked of each model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Patches of the picture that is encoded, down and across.
    pub image_patches: [usize; 2],
    /// Words of a prompt without a picture.
    pub prompt_tokens: usize,
    pub new_tokens: usize,
}

/// What [`benchmark`] measured; times in seconds, each the best of several.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSpeed {
    pub device: String,
    pub parameters: usize,
    /// Of the weight file.
    pub stored_mib: f64,
    pub load_s: f64,
    /// Held by this process beside mapped files, after reading the model.
    pub own_memory_mib: Option<f64>,
    pub workload: Workload,
    pub encode_s: f64,
    pub prefill_s: f64,
    pub prefill_tokens_per_second: f64,
    /// Two operations for each weight of the decoder and token, 10⁹ a second.
    pub prefill_gflops: f64,
    pub decode_s: f64,
    pub decode_tokens_per_second: f64,
    /// The decoder's weights, once for each token, 10⁹ bytes a second.
    pub decode_gb_per_second: f64,
    /// The most memory that this process has held, mapped files included.
    pub peak_memory_mib: Option<f64>,
}

/// What the machine can do, as the yardstick.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachineSpeed {
    pub device: String,
    /// Of the processor.
    pub threads: usize,
    /// 10⁹ bytes a second, read and written.
    pub memory_gb_per_second: f64,
    /// The largest rates of a product of square matrices (2,048 rows, 8,192 on a graphics card), 10⁹ operations a second.
    pub f32_gflops: f64,
    pub bf16_gflops: f64,
}

/// Measures memory and matrix products of a device.
pub fn machine(device: &Device) -> MachineSpeed {
    let on_cpu = *device == Device::flex();
    let side: usize = if on_cpu { 2048 } else { 8192 };
    let wave = |step: f32| {
        let values = (0..side * side).map(|i| (i % 997) as f32 * step - 0.5).collect::<Vec<_>>();
        Tensor::<2>::from_data(TensorData::new(values, [side, side]), device)
    };
    let (one, other) = (wave(1e-3), wave(0.9e-3));
    let timed = |work: &dyn Fn() -> Tensor<2>| {
        // The first run compiles and tunes.
        let finished = || {
            let result = work();
            // Reading one number waits for all before it.
            result.slice([0..1, 0..1]).into_data()
        };
        finished();
        measure::best_of(5, finished)
    };
    let operations = 2.0 * (side as f64).powi(3) / 1e9;
    let half = [&one, &other].map(|tensor| tensor.clone().cast(FloatDType::BF16));
    let f32_s = timed(&|| crate::model::qwen2_5_vl::layers::linear(one.clone(), other.clone(), None));
    let bf16_s = match on_cpu {
        // Whose products take f32 and give f32.
        true => timed(&|| crate::model::qwen2_5_vl::layers::linear(one.clone(), half[1].clone(), None)),
        false if device.supports_dtype(DType::BF16) => {
            timed(&|| half[0].clone().matmul(half[1].clone().transpose()))
        }
        false => f64::NAN,
    };
    let memory_gb_per_second = match on_cpu {
        true => measure::memory_bytes_per_second() / 1e9,
        // Read once, written once.
        false => 2.0 * 4.0 * (side * side) as f64 / timed(&|| one.clone() + 1.0) / 1e9,
    };
    MachineSpeed {
        device: device::describe(device),
        threads: rayon::current_num_threads(),
        memory_gb_per_second,
        f32_gflops: operations / f32_s,
        bf16_gflops: operations / bf16_s,
    }
}

/// Writes a model folder of this shape with random weights, one tensor in memory at a time. For measuring only: the
/// numbers repeat.
pub fn write_random_folder(
    config: &Qwen2_5VlConfig,
    dir: &Path,
    precision: Precision,
) -> Result<(), ModelError> {
    const NUMBERS: usize = (1 << 20) - 3;
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ModelError::Io { path, source }
    };
    let mut random = ChaCha8Rng::seed_from_u64(0);
    // Of the same variance as a standard normal number.
    let table: Vec<f32> = (0..NUMBERS).map(|_| (random.random::<f32>() - 0.5) * 12_f32.sqrt()).collect();
    let table = std::sync::Arc::new(table);
    let tensors: Vec<NamedTensor> = Qwen2_5Vl::outline(config)?
        .into_iter()
        .enumerate()
        .map(|(number, tensor)| {
            let (count, table) = (tensor.shape.iter().product::<usize>(), table.clone());
            let values = move || match tensor.init {
                Init::Zeros => vec![0.0; count],
                Init::Ones => vec![1.0; count],
                Init::Normal(deviation) => {
                    let cycle = table.iter().cycle().skip(number * 7919 % NUMBERS);
                    cycle.take(count).map(|value| value * deviation as f32).collect()
                }
            };
            NamedTensor { name: tensor.name, shape: tensor.shape, values: Box::new(values) }
        })
        .collect();
    std::fs::create_dir_all(dir).map_err(io(dir))?;
    replace_file(&dir.join("config.json"), |file| file.write_all(config.to_json().as_bytes()))?;
    replace_file(&dir.join("model.safetensors"), |file| {
        write_safetensors(&tensors, precision, BufWriter::new(file))
    })
}

/// Reads the model of a folder and measures it. `progress` hears what is measured next.
pub fn benchmark(
    dir: &Path,
    device: &Device,
    workload: Workload,
    progress: impl Fn(&str),
) -> Result<ModelSpeed, ModelError> {
    let weights = dir.join("model.safetensors");
    let stored =
        std::fs::metadata(&weights).map_err(|source| ModelError::Io { path: weights, source })?.len();
    progress("reading the model");
    let start = Instant::now();
    let model = Qwen2_5Vl::load(dir, device)?;
    device.sync().map_err(|error| device_error(device, &error))?;
    let load_s = start.elapsed().as_secs_f64();
    let own_memory_mib = measure::own_memory_mib();

    progress("encoding a picture");
    let config = model.config();
    let [down, across] = workload.image_patches;
    let count = down * across * config.vision.patch_len();
    let image = PixelPatches {
        data: (0..count).map(|i| ((i * 7919 + 13) % 1000) as f32 / 500.0 - 1.0).collect(),
        grid_thw: [1, down, across],
        seconds_per_grid: None,
        original_size: (1, 1),
        resized_size: (1, 1),
    };
    let mut failed = None;
    let encode_s = repeated(|| match model.encode_images(&[&image]).map(|tokens| tokens.into_data()) {
        Ok(_) => (),
        Err(error) => failed = Some(error),
    });
    if let Some(error) = failed {
        return Err(error);
    }

    progress("reading a prompt and answering");
    let plain =
        config.text.vocab_size.min(config.vision_start_token_id.min(config.image_token_id) as usize).max(2);
    let prompt = Encoded {
        token_ids: (0..workload.prompt_tokens).map(|i| (i * 31 % plain) as u32).collect(),
        images: Vec::new(),
        answer_spans: Vec::new(),
    };
    let options = GenerationOptions {
        max_new_tokens: workload.new_tokens + 1,
        // The measured answers must not end early.
        ignore_end: true,
        ..Default::default()
    };
    let (mut prefill_s, mut decode_s) = (f64::INFINITY, f64::INFINITY);
    let start = Instant::now();
    for round in 0.. {
        let (_, time) = generate_blocking(&model, &[&prompt], &options, |_, _| ControlFlow::Continue(()))?;
        prefill_s = prefill_s.min(time.prefill_s);
        decode_s = decode_s.min(time.decode_s);
        if round >= 1 && start.elapsed().as_secs_f64() > 3.0 || round >= 5 {
            break;
        }
    }

    let outline = Qwen2_5Vl::outline(config)?;
    let size = |shape: &[usize]| shape.iter().product::<usize>();
    let parameters = outline.iter().map(|tensor| size(&tensor.shape)).sum();
    // What every token passes through: the layers, and the output layer for the last token.
    let is_layer = |name: &str| name.starts_with("model.layers.");
    let layers: usize =
        outline.iter().filter(|tensor| is_layer(&tensor.name)).map(|tensor| size(&tensor.shape)).sum();
    let output = config.text.vocab_size * config.text.hidden_size;
    let is_half = model.model.embed_tokens.weight.val().dtype() != DType::F32;
    let each = if is_half { 2.0 } else { 4.0 };
    // A group in few bits has a scale of two bytes.
    let is_packed = model.model.layers.first().is_some_and(|layer| layer.mlp.up_proj.packed.is_some());
    let layer_each = match config.quantization.filter(|_| is_packed) {
        Some(bits) => bits.number() as f64 / 8.0 + 2.0 / GROUP as f64,
        None => each,
    };
    let bytes_a_token = layers as f64 * layer_each + output as f64 * each;
    let tokens = workload.prompt_tokens as f64;
    Ok(ModelSpeed {
        device: device::describe(device),
        parameters,
        stored_mib: stored as f64 / f64::from(1 << 20),
        load_s,
        own_memory_mib,
        workload,
        encode_s,
        prefill_s,
        prefill_tokens_per_second: tokens / prefill_s,
        prefill_gflops: 2.0 * (layers as f64 * tokens + output as f64) / prefill_s / 1e9,
        decode_s,
        decode_tokens_per_second: workload.new_tokens as f64 / decode_s,
        decode_gb_per_second: bytes_a_token * workload.new_tokens as f64 / decode_s / 1e9,
        peak_memory_mib: measure::peak_memory_mib(),
    })
}

/// The shortest of as many runs as fit into three seconds: at least two, at most six.
fn repeated(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut best = f64::INFINITY;
    for round in 0..6 {
        best = best.min(measure::best_of(1, &mut work));
        if round >= 1 && start.elapsed().as_secs_f64() > 3.0 {
            break;
        }
    }
    best
}

fn device_error(device: &Device, error: &dyn std::fmt::Display) -> ModelError {
    ModelError::Device { name: device::describe(device), reason: error.to_string() }
}
