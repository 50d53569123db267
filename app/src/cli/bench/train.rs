//! `spatial-ladder bench train`, beside the reference implementation where it is asked for.

use super::model::Shape;
use super::reference;
use anyhow::Context as _;
use clap::{ArgAction, Args, value_parser};
use serde::Serialize;
use spatial_ladder::answering::benchmark::write_random_folder;
use spatial_ladder::model::{Device, DeviceChoice, Precision, Qwen2_5VlConfig};
use spatial_ladder::processor::smart_resize;
use spatial_ladder::training::MixedPrecision;
use spatial_ladder::training::benchmark::{
    Operations, StepSpeed, TrainingSpeed, TrainingTimes, Workload, benchmark,
};
use std::path::{Path, PathBuf};

const REFERENCE: &str = include_str!("../../../../tests/reference/bench_train.py");

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Which shapes; can be repeated. `full` is Qwen2.5-VL-3B: 15 GB on disk for the time of the measurement, and
    /// without --lora-rank some 65 GB of memory
    #[arg(long = "shape", value_enum, default_values = ["tiny", "mid"])]
    shapes: Vec<Shape>,
    /// auto | cpu | wgpu | vulkan | cuda[:n] | remote:HOST:PORT[/n]; can be repeated
    #[arg(long = "device", value_name = "D", default_values = ["cpu"])]
    devices: Vec<String>,
    /// Samples of the supervised step, prompts of the reinforced one: 16 for tiny, 4 for mid, 1 for full
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=4096))]
    batch: Option<u32>,
    /// Text of a prompt, pictures not counted
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(0..=32768))]
    prompt_tokens: u32,
    /// Learned in the supervised step, sampled in the reinforced one
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = value_parser!(u32).range(1..=32768))]
    answer_tokens: u32,
    /// Pictures of a sample
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    images: u32,
    /// Their size in pixels, rounded to whole tokens: 224x168 for tiny, else 448x336
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = parse_size)]
    picture: Option<(u32, u32)>,
    /// Completions of a prompt: 8 for tiny, else 4
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(2..=1024))]
    group: Option<u32>,
    /// Completions whose gradients are computed at a time: 32 for tiny, 4 for mid, 1 for full
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=4096))]
    micro_batch: Option<u32>,
    /// Measured steps of each kind, after one that is not; the shortest counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=1000))]
    steps: u32,
    /// Train adapters of this rank in place of the weights; 0 for none
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u32).range(0..=1024))]
    lora_rank: u32,
    /// Parts of a batch side by side on the CPU; as `train` has it for a model of this size
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=256))]
    shards: Option<u32>,
    /// Whether cheap operations are computed again on the way back; as `train` has it for a model of this size
    #[arg(long, value_name = "true|false", action = ArgAction::Set)]
    gradient_checkpointing: Option<bool>,
    /// Multiply as bfloat16 in the layers, as `train --set mixed_precision=bf16` does
    #[arg(long)]
    bf16: bool,
    /// Where the random models are written while they are measured
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Measure PyTorch's transformers too, on the same kind of device, with this Python interpreter; it needs peft for
    /// --lora-rank
    #[arg(long, value_name = "PYTHON")]
    reference: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct ShapeReport {
    shape: String,
    workload: Workload,
    operations: Operations,
    /// One entry for each device.
    measured: Vec<TrainingSpeed>,
    /// One entry for each precision of products that the reference was run with.
    reference: Vec<TrainingSpeed>,
}

/// `448x336`
fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| (1..=8192).contains(side));
    let sides = text.split_once(['x', '×']).map(|(width, height)| (side(width), side(height)));
    match sides {
        Some((Some(width), Some(height))) => Ok((width, height)),
        _ => Err("a width and a height of 1 to 8192 pixels, like 448x336".to_owned()),
    }
}

impl TrainArgs {
    fn workload(&self, shape: Shape, config: &Qwen2_5VlConfig) -> anyhow::Result<Workload> {
        let (batch, picture, group, micro_batch) = match shape {
            Shape::Tiny => (16, (224, 168), 8, 32),
            Shape::Mid => (4, (448, 336), 4, 4),
            Shape::Full => (1, (448, 336), 4, 1),
        };
        let patch = config.vision.patch_size as u32;
        let token = patch * config.vision.spatial_merge_size as u32;
        let (width, height) = smart_resize(self.picture.unwrap_or(picture), token, 1, u64::MAX)?;
        let (width, height) = (width.max(token), height.max(token));
        Ok(Workload {
            batch: self.batch.unwrap_or(batch) as usize,
            prompt_tokens: self.prompt_tokens as usize,
            answer_tokens: self.answer_tokens as usize,
            images: self.images as usize,
            image_patches: [height / patch, width / patch].map(|patches| patches as usize),
            group: self.group.unwrap_or(group) as usize,
            micro_batch: self.micro_batch.unwrap_or(micro_batch) as usize,
            steps: self.steps as usize,
            lora_rank: self.lora_rank as usize,
            shards: self.shards.map(|shards| shards as usize),
            gradient_checkpointing: self.gradient_checkpointing,
            mixed_precision: if self.bf16 { MixedPrecision::Bf16 } else { MixedPrecision::No },
        })
    }
}

pub fn run(args: &TrainArgs, json: bool) -> anyhow::Result<()> {
    let open = |name: &String| -> anyhow::Result<_> { Ok(name.parse::<DeviceChoice>()?.open()?) };
    let devices = args.devices.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
    let mut report = Vec::new();
    for &shape in &args.shapes {
        report.push(measure(args, shape, &devices)?);
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "shapes": report }))?);
    } else {
        print(&report);
    }
    Ok(())
}

fn measure(args: &TrainArgs, shape: Shape, devices: &[Device]) -> anyhow::Result<ShapeReport> {
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(&scratch)
        .with_context(|| format!("cannot make a folder in {}", scratch.display()))?;
    let config = shape.config();
    let workload = args.workload(shape, &config)?;
    let say = |what: &str| eprintln!("{}: {what} …", shape.name());
    say("writing random weights");
    let stored = if args.bf16 { Precision::Bf16 } else { Precision::F32 };
    write_random_folder(&config, folder.path(), stored)?;
    let mut measured = Vec::new();
    for (name, device) in args.devices.iter().zip(devices) {
        let times = benchmark(folder.path(), device, &workload, |what| say(&format!("{name}: {what}")))?;
        measured.push(TrainingSpeed::new(&config, &workload, &times));
    }
    let mut reference = Vec::new();
    if let Some(python) = &args.reference {
        say("measuring the reference");
        for times in measure_reference(python, folder.path(), &config, &workload, &args.devices)? {
            reference.push(TrainingSpeed::new(&config, &workload, &times));
        }
    }
    let operations = Operations::count(&config, &workload);
    Ok(ShapeReport { shape: shape.name(), workload, operations, measured, reference })
}

fn measure_reference(
    python: &Path,
    folder: &Path,
    config: &Qwen2_5VlConfig,
    workload: &Workload,
    devices: &[String],
) -> anyhow::Result<Vec<TrainingTimes>> {
    let description = folder.join("workload.json");
    std::fs::write(&description, workload.description(config).to_string())
        .with_context(|| format!("cannot write {}", description.display()))?;
    let device = reference::device(devices);
    // Where ours multiplies f32 as TF32, so may the reference; its default is left beside it.
    let precisions = match (device, workload.mixed_precision) {
        (_, MixedPrecision::Bf16) => "bf16",
        ("cuda", MixedPrecision::No) => "highest,high",
        (_, MixedPrecision::No) => "highest",
    };
    let given = [folder.as_os_str(), description.as_os_str(), device.as_ref(), precisions.as_ref()];
    let rows = reference::run(python, REFERENCE, &given.map(ToOwned::to_owned))?;
    let read =
        |row| serde_json::from_value(row).context("the reference printed something else than its times");
    rows.into_iter().map(read).collect()
}

fn print(report: &[ShapeReport]) {
    println!(
        "{:<48} {:>9} {:>10} {:>9} {:>9} {:>6} {:>8} {:>10} {:>9} {:>9}",
        "",
        "a step, s",
        "samples/s",
        "tokens/s",
        "GFLOP/s",
        "share",
        "MiB",
        "rollouts/s",
        "rollout, s",
        "update, s"
    );
    for ShapeReport { shape, measured, reference, .. } in report {
        for speed in measured.iter().chain(reference) {
            let TrainingSpeed { device, supervised, reinforced, .. } = speed;
            println!("{}", line(&format!("{shape} SFT, {device}"), supervised));
            println!(
                "{} {:>10.2} {:>9.3} {:>9.3}",
                line(&format!("{shape} GRPO, {device}"), reinforced),
                speed.rollouts_per_second,
                speed.rollout_s,
                speed.update_s
            );
        }
    }
    println!(
        "Share: of the rate of large f32 matrix products there, {}. SFT: a supervised step; GRPO: a reinforced one.",
        report
            .iter()
            .flat_map(|shape| shape.measured.iter().chain(&shape.reference))
            .map(|speed| format!("{:.0} GFLOP/s ({})", speed.matrix_gflops, speed.device))
            .collect::<Vec<_>>()
            .join(", ")
    );
}

fn line(name: &str, step: &StepSpeed) -> String {
    format!(
        "{name:<48} {:>9.3} {:>10.2} {:>9.0} {:>9.1} {:>5.0}% {:>8.0}",
        step.seconds,
        step.samples_per_second,
        step.tokens_per_second,
        step.gflops,
        100.0 * step.matrix_share,
        step.peak_memory_mib.unwrap_or(f64::NAN),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("448x336"), Ok((448, 336)));
        for wrong in ["448", "0x3", "448x", "x", "9000x9", "4 x 4"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
