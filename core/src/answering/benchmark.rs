//! How fast a model is read, sees, reads a prompt and answers.

use super::{GenerationOptions, generate_blocking};
use crate::measure;
use crate::model::quantization::GROUP;
use crate::model::qwen2_5_vl::safetensors::{NamedTensor, write_safetensors};
use crate::model::qwen2_5_vl::weights::Init;
use crate::model::qwen2_5_vl::{Precision, replace_file};
use crate::model::{Device, ModelError, Qwen2_5Vl, Qwen2_5VlConfig, device};
use crate::processor::{Encoded, PixelPatches};
use burn::tensor::{DType, FloatDType, Tensor};
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

/// What the machine's processor can do, as the yardstick.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachineSpeed {
    pub threads: usize,
    /// 10⁹ bytes a second.
    pub memory_gb_per_second: f64,
    /// The largest rates of a product of matrices with 2,048 rows and columns, 10⁹ operations a second.
    pub f32_gflops: f64,
    pub bf16_gflops: f64,
}

/// Measures memory and matrix products on the CPU.
pub fn machine() -> MachineSpeed {
    const SIDE: usize = 2048;
    let device = Device::flex();
    let ones = Tensor::<2>::ones([SIDE, SIDE], &device);
    let gflops = |weight: Tensor<2>| {
        let product = || crate::model::qwen2_5_vl::layers::linear(ones.clone(), weight.clone(), None);
        2.0 * (SIDE * SIDE * SIDE) as f64 / measure::best_of(5, product) / 1e9
    };
    MachineSpeed {
        threads: rayon::current_num_threads(),
        memory_gb_per_second: measure::memory_bytes_per_second() / 1e9,
        f32_gflops: gflops(ones.clone()),
        bf16_gflops: gflops(ones.clone().cast(FloatDType::BF16)),
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
