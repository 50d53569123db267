//! `spatial-ladder climb`: the ladder as far as it is built, on generated rooms: data, foundation where
//! asked for, perception, and what it brought on rooms never seen.

use super::interrupt;
use super::progress::{TrainingProgress, bar};
use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use spatial_ladder::benchmarks::{Interval, paired_bootstrap};
use spatial_ladder::model::{DeviceChoice, Qwen2_5Vl, bundled};
use spatial_ladder::processor::Processor;
use spatial_ladder::questions::{BuildRequest, Preset as DataPreset, QuestionConfig, SourceSpec, build};
use spatial_ladder::runs::{Event, RunDir, read_events};
use spatial_ladder::samples::Dataset;
use spatial_ladder::samples::files::write_atomic;
use spatial_ladder::training::{Evaluation, Evaluator, Outcome, Preset, Stage, TrainConfig, train};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Climb the ladder on generated rooms: build data, train, evaluate on rooms never seen
#[derive(Debug, Args)]
pub struct ClimbArgs {
    /// Minutes instead of hours: fewer rooms, fewer steps
    #[arg(long)]
    pub quick: bool,
    /// Train the foundation too, from random weights, instead of starting from the bundled checkpoint
    #[arg(long)]
    pub from_scratch: bool,
    /// auto | cpu | wgpu | vulkan | cuda[:n]
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Where data, runs and the report go; a climb that was stopped goes on from there
    #[arg(long, default_value = "runs/climb")]
    pub out: PathBuf,
    /// Also print the report as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

impl ClimbArgs {
    /// `climb --quick` with everything else at its default.
    pub fn quick() -> Self {
        Self {
            quick: true,
            from_scratch: false,
            device: "auto".into(),
            out: "runs/climb".into(),
            json: false,
        }
    }
}

/// How much of everything.
struct Scale {
    rooms: usize,
    foundation_rooms: usize,
    foundation_steps: u64,
    perception_steps: u64,
    test_questions: usize,
}

impl Scale {
    const QUICK: Self = Self {
        rooms: 1_200,
        foundation_rooms: 2_000,
        foundation_steps: 1_000,
        perception_steps: 1_200,
        test_questions: 400,
    };
    const FULL: Self = Self {
        rooms: 8_000,
        foundation_rooms: 6_000,
        foundation_steps: 3_800,
        perception_steps: 8_000,
        test_questions: 1_000,
    };
}

/// What a climb found: `report.json`.
#[derive(Debug, Serialize)]
struct Report {
    test_questions: usize,
    test_scenes: usize,
    average_box: Row,
    untrained: Row,
    trained: Row,
    /// Paired by question, resampled by scene, 95 %.
    trained_minus_untrained: Interval,
    trained_minus_average_box: Interval,
    /// Held-out mean IoU while training: step, value.
    curve: Vec<(u64, f64)>,
    seconds: f64,
    model: PathBuf,
}

#[derive(Debug, Clone, Serialize)]
struct Row {
    mean_iou: f64,
    accuracy_50: f64,
    parsed: f64,
}

impl From<&Evaluation> for Row {
    fn from(evaluation: &Evaluation) -> Self {
        Self { mean_iou: evaluation.mean_iou, accuracy_50: evaluation.accuracy_50, parsed: evaluation.parsed }
    }
}

pub fn run(args: ClimbArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let stop = interrupt::flag();
    let scale = if args.quick { Scale::QUICK } else { Scale::FULL };

    let mut model = "tiny".to_owned();
    if args.from_scratch {
        let data = args.out.join("foundation_data");
        build_data(&data, scale.foundation_rooms, DataPreset::Foundation, &stop)?;
        let mut config =
            TrainConfig::new(Stage::Foundation, Preset::Corrected, data, "tiny:random".to_owned());
        config.steps = scale.foundation_steps;
        model = climb_stage(config, &args, &stop)?.display().to_string();
    }

    let data = args.out.join("data");
    build_data(&data, scale.rooms, DataPreset::Climb, &stop)?;
    let mut config = TrainConfig::new(Stage::Perception, Preset::Corrected, data.clone(), model.clone());
    config.steps = scale.perception_steps;
    config.evaluate_every = scale.perception_steps / 5;
    let trained = climb_stage(config, &args, &stop)?;

    let report = evaluate(&args, &data, &model, &trained, scale.test_questions, &stop, started)?;
    let path = args.out.join("report.json");
    let json = serde_json::to_string_pretty(&report)?;
    write_atomic(&path, json.as_bytes())?;
    print_report(&report, &path);
    if args.json {
        println!("{json}");
    }
    Ok(())
}

fn build_data(out: &Path, rooms: usize, preset: DataPreset, stop: &AtomicBool) -> anyhow::Result<()> {
    if Dataset::open(out).is_ok() {
        eprintln!("{} is there already and is used as it is", out.display());
        return Ok(());
    }
    let progress = bar("rooms", rooms as u64);
    let config = QuestionConfig::preset(preset);
    let request = BuildRequest {
        source: &SourceSpec::Rooms(rooms),
        out,
        config: &config,
        seed: 17,
        limit: None,
        skip_bad: false,
    };
    build(&request, &|done| progress.set_position(done.scenes as u64), stop)
        .with_context(|| format!("the data set {} could not be built", out.display()))?;
    progress.finish();
    Ok(())
}

/// Trains one stage in `OUT/STAGE`, going on where an earlier climb was stopped; the finished model's folder.
fn climb_stage(mut config: TrainConfig, args: &ClimbArgs, stop: &AtomicBool) -> anyhow::Result<PathBuf> {
    let stage = config.stage.name();
    let run = RunDir::create(args.out.join(stage))?;
    let events = read_events(&run.events_path())?;
    if !events.is_empty() {
        // As it was begun, so that it ends as if it had never been stopped.
        config = TrainConfig::read(&run.config_path())?;
    }
    config.device.clone_from(&args.device);
    if events.iter().any(|event| matches!(event.event, Event::Finished { .. })) {
        eprintln!("stage {stage} is finished already; remove {} to train it anew", run.root().display());
        return Ok(run.model_dir());
    }
    let mut progress = TrainingProgress::new(stage, config.steps);
    let outcome = train(config, &run, !events.is_empty(), stop, &mut |event| progress.show(event))?;
    progress.finish();
    anyhow::ensure!(outcome == Outcome::Finished, "stopped; the same command goes on from here");
    Ok(run.model_dir())
}

fn evaluate(
    args: &ClimbArgs,
    data: &Path,
    untrained: &str,
    trained: &Path,
    questions: usize,
    stop: &AtomicBool,
    started: Instant,
) -> anyhow::Result<Report> {
    let device = args.device.parse::<DeviceChoice>()?.open()?;
    let dataset = Dataset::open(data)?;
    let processor = Processor::load(trained)?;
    let evaluator = Evaluator::new(&dataset, &processor, questions)?;
    let ask = |name: &str, model: Qwen2_5Vl| -> anyhow::Result<Evaluation> {
        let progress = bar(name, evaluator.len() as u64);
        let evaluation = evaluator.run(&model, stop, |done| progress.set_position(done as u64))?;
        progress.finish();
        evaluation.context("stopped; the same command goes on from here")
    };
    let before = ask("untrained", bundled::open_model(untrained, 0, &device)?)?;
    let after = ask("trained", Qwen2_5Vl::load(trained, &device)?)?;
    let blind = evaluator.average_box(&dataset)?;
    anyhow::ensure!(!stop.load(Ordering::Relaxed), "stopped; the same command goes on from here");

    let scenes = after.scenes();
    let mut distinct = scenes.clone();
    distinct.sort();
    distinct.dedup();
    let curve = read_events(&RunDir::open(args.out.join("perception"))?.events_path())?
        .iter()
        .filter_map(|event| match event.event {
            Event::Evaluation { step, mean_iou, .. } => Some((step, mean_iou)),
            _ => None,
        })
        .collect();
    Ok(Report {
        test_questions: after.answers.len(),
        test_scenes: distinct.len(),
        trained_minus_untrained: paired_bootstrap(&after.ious(), &before.ious(), &scenes, 1),
        trained_minus_average_box: paired_bootstrap(&after.ious(), &blind.ious(), &scenes, 2),
        average_box: (&blind).into(),
        untrained: (&before).into(),
        trained: (&after).into(),
        curve,
        seconds: started.elapsed().as_secs_f64(),
        model: trained.to_owned(),
    })
}

fn print_report(report: &Report, path: &Path) {
    eprintln!("\n{} questions about {} rooms never seen", report.test_questions, report.test_scenes);
    eprintln!("{:<24}{:>10}{:>12}{:>12}", "", "mean IoU", "IoU ≥ 0.5", "readable");
    for (name, row) in [
        ("average box (blind)", &report.average_box),
        ("before stage 1", &report.untrained),
        ("after stage 1", &report.trained),
    ] {
        eprintln!(
            "{name:<24}{:>10.3}{:>10.1} %{:>10.1} %",
            row.mean_iou,
            100.0 * row.accuracy_50,
            100.0 * row.parsed
        );
    }
    for (name, gain) in [
        ("after − before", report.trained_minus_untrained),
        ("after − average box", report.trained_minus_average_box),
    ] {
        let verdict = if gain.low > 0.0 {
            "clear of zero"
        } else if gain.high < 0.0 {
            "below zero"
        } else {
            "not clear of zero"
        };
        eprintln!("{name:<24}{:>+10.3}   95 % [{:+.3}, {:+.3}], {verdict}", gain.mean, gain.low, gain.high);
    }
    let curve: Vec<String> = report.curve.iter().map(|(step, iou)| format!("{step}: {iou:.3}")).collect();
    eprintln!("held-out mean IoU by step    {}", curve.join("   "));
    eprintln!("report: {}   model: {}   {:.0} s", path.display(), report.model.display(), report.seconds);
    eprintln!(
        "Ask it: spatial-ladder ask --model {} --image PICTURE --question \"Where is the chair?\"",
        report.model.display()
    );
}
