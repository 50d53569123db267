//! `spatial-ladder bench model`, beside the reference implementation where it is asked for.

use super::reference;
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use spatial_ladder::answering::benchmark::{self, MachineSpeed, ModelSpeed, Workload};
use spatial_ladder::model::quantization::Bits;
use spatial_ladder::model::qwen2_5_vl::SpecialTokens;
use spatial_ladder::model::qwen2_5_vl::quantize::quantize_folder;
use spatial_ladder::model::{DeviceChoice, Precision, Qwen2_5VlConfig};
use std::path::{Path, PathBuf};

const REFERENCE: &str = include_str!("../../../../tests/reference/bench_model.py");

#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Which shapes; can be repeated. `full` is Qwen2.5-VL-3B: 7.5 GB on disk for the time of the measurement
    #[arg(long = "shape", value_enum, default_values = ["tiny", "mid"])]
    shapes: Vec<Shape>,
    /// How the weights are stored; bf16 as published
    #[arg(long, value_enum, default_value = "bf16")]
    weights: Stored,
    /// auto | cpu | wgpu | vulkan | cuda[:n] | remote:HOST:PORT[/n]; can be repeated
    #[arg(long = "device", value_name = "D", default_values = ["cpu"])]
    devices: Vec<String>,
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=32768))]
    prompt_tokens: u32,
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    new_tokens: u32,
    /// Where the random models are written while they are measured
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Measure PyTorch's transformers too, on the same kind of device, with this Python interpreter
    #[arg(long, value_name = "PYTHON")]
    reference: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// The bundled model, 2.8 million parameters
    Tiny,
    /// 0.25 billion
    Mid,
    /// Qwen2.5-VL-3B
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stored {
    F32,
    Bf16,
    /// The decoder's linear layers in eight bits, the rest in bf16
    Q8,
    /// In four bits
    Q4,
}

impl Stored {
    /// How the weights are written, and what is made of them then.
    fn steps(self) -> (Precision, Option<Bits>) {
        match self {
            Self::F32 => (Precision::F32, None),
            Self::Bf16 => (Precision::Bf16, None),
            Self::Q8 => (Precision::Bf16, Some(Bits::Eight)),
            Self::Q4 => (Precision::Bf16, Some(Bits::Four)),
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    /// Of the processor; graphics cards are measured by what models do on them.
    machine: MachineSpeed,
    shapes: Vec<ShapeReport>,
}

#[derive(Debug, Serialize)]
struct ShapeReport {
    shape: String,
    weights: String,
    /// One entry for each device.
    measured: Vec<ModelSpeed>,
    /// One entry for each number type that the reference was run with.
    reference: Vec<Value>,
}

impl Shape {
    pub fn config(self) -> Qwen2_5VlConfig {
        let tokens =
            SpecialTokens { image: 5, video: 6, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
        match self {
            Self::Tiny => Qwen2_5VlConfig::tiny(1792, &tokens),
            Self::Mid => Qwen2_5VlConfig::mid(),
            Self::Full => Qwen2_5VlConfig::published_3b(),
        }
    }

    /// 640×480 pixels as the processor resizes them; the tiny model sees 224×168.
    fn image_patches(self) -> [usize; 2] {
        if self == Self::Tiny { [12, 16] } else { [34, 46] }
    }

    pub fn name(self) -> String {
        name(self)
    }
}

/// As it is given on the command line.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

pub fn run(args: &ModelArgs, json: bool) -> anyhow::Result<()> {
    let open = |name: &String| -> anyhow::Result<_> { Ok(name.parse::<DeviceChoice>()?.open()?) };
    let devices = args.devices.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
    eprintln!("measuring the machine …");
    let mut report = Report { machine: benchmark::machine(), shapes: Vec::new() };
    for &shape in &args.shapes {
        let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::tempdir_in(&scratch)
            .with_context(|| format!("cannot make a folder in {}", scratch.display()))?;
        eprintln!("{}: writing random weights …", shape.name());
        let (precision, bits) = args.weights.steps();
        benchmark::write_random_folder(&shape.config(), folder.path(), precision)?;
        let quantized = folder.path().join("quantized");
        let measured_folder = match bits {
            Some(bits) => {
                eprintln!("{}: quantizing …", shape.name());
                quantize_folder(folder.path(), &quantized, bits, &|_, _| ())?;
                quantized.as_path()
            }
            None => folder.path(),
        };
        let workload = Workload {
            image_patches: shape.image_patches(),
            prompt_tokens: args.prompt_tokens as usize,
            new_tokens: args.new_tokens as usize,
        };
        let say = |what: &str| eprintln!("{}: {what} …", shape.name());
        let mut measured = Vec::new();
        for (name, device) in args.devices.iter().zip(&devices) {
            let say = |what: &str| say(&format!("{name}: {what}"));
            measured.push(benchmark::benchmark(measured_folder, device, workload, say)?);
        }
        let reference = match &args.reference {
            Some(python) => {
                say("measuring the reference");
                measure_reference(python, folder.path(), workload, args)?
            }
            None => Vec::new(),
        };
        let weights = name(args.weights);
        report.shapes.push(ShapeReport { shape: shape.name(), weights, measured, reference });
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn measure_reference(
    python: &Path,
    folder: &Path,
    workload: Workload,
    args: &ModelArgs,
) -> anyhow::Result<Vec<Value>> {
    let [down, across] = workload.image_patches;
    let numbers = [down, across, workload.prompt_tokens, workload.new_tokens].map(|n| n.to_string());
    // Both number types on the CPU, so that neither choice of the reference is left out.
    let types = if args.weights == Stored::F32 { "float32" } else { "bfloat16,float32" };
    let mut given = vec![folder.as_os_str().to_owned()];
    given.extend(numbers.map(Into::into));
    given.extend([types, reference::device(&args.devices)].map(Into::into));
    reference::run(python, REFERENCE, &given)
}

fn print(report: &Report) {
    let machine = &report.machine;
    println!(
        "{} threads, memory {:.0} GB/s, products of matrices {:.0} GFLOP/s in f32, {:.0} in bf16",
        machine.threads, machine.memory_gb_per_second, machine.f32_gflops, machine.bf16_gflops
    );
    println!(
        "{:<30} {:>8} {:>9} {:>9} {:>12} {:>12} {:>10}",
        "", "load s", "MiB", "image s", "prompt tok/s", "answer tok/s", "answer GB/s"
    );
    for ShapeReport { shape, weights, measured, reference } in &report.shapes {
        for measured in measured {
            println!(
                "{:<30} {:>8.2} {:>9.0} {:>9.3} {:>12.0} {:>12.1} {:>10.1}",
                format!("{shape}, {weights}, {}", measured.device),
                measured.load_s,
                measured.peak_memory_mib.unwrap_or(f64::NAN),
                measured.encode_s,
                measured.prefill_tokens_per_second,
                measured.decode_tokens_per_second,
                measured.decode_gb_per_second,
            );
        }
        for row in reference {
            let number = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
            println!(
                "{:<30} {:>8.2} {:>9} {:>9.3} {:>12.0} {:>12.1} {:>10}",
                format!("{shape}, PyTorch {}", row["precision"].as_str().unwrap_or_default()),
                number("load_s"),
                "",
                number("encode_s"),
                number("prefill_tokens_per_second"),
                number("decode_tokens_per_second"),
                "",
            );
        }
    }
}
