//! `spatial-ladder train`: one stage, in this process, in a run directory.

use super::interrupt;
use super::places::same_place;
use super::progress::TrainingProgress;
use anyhow::Context as _;
use clap::Args;
use spatial_ladder::runs::RunDir;
use spatial_ladder::training::{Outcome, Preset, Stage, TrainConfig, train};
use std::path::{Path, PathBuf};

/// Train one stage of the ladder
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// foundation | perception | understanding | cold-start | reasoning
    pub stage: Stage,
    /// Data set folder made by `data build`
    #[arg(long)]
    pub data: PathBuf,
    /// What to start from: the run directory of the stage before, a Hugging Face model folder, `tiny` for the bundled
    /// foundation checkpoint, `tiny:ladder` for what came of it, or `tiny:random` for the same shape with random weights
    #[arg(long)]
    pub model: String,
    /// Run directory; created, or continued with --resume
    #[arg(long)]
    pub run: PathBuf,
    /// corrected | paper
    #[arg(long, default_value = "corrected")]
    pub preset: Preset,
    /// Change one field of the configuration (repeatable); RUN/config.toml shows them all
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Go on where the run was stopped or killed
    #[arg(long)]
    pub resume: bool,
    /// auto | cpu | wgpu | vulkan | cuda[:n] | remote:HOST:PORT[/n], or several separated by commas: each then computes
    /// its part of every batch, the first holds the model and the optimizer [default: auto, or what the resumed run had]
    #[arg(long, visible_alias = "devices", value_name = "DEVICE,…")]
    pub device: Option<String>,
}

pub fn run(args: TrainArgs) -> anyhow::Result<()> {
    let run_config = args.run.join("config.toml");
    let mut config = TrainConfig::new(args.stage, args.preset, args.data.clone(), args.model.clone());
    if args.resume && run_config.is_file() {
        config = as_begun(&config, &run_config)?;
    }
    anyhow::ensure!(
        config.stage == args.stage,
        "{} is a run of stage {}, not {}",
        args.run.display(),
        config.stage.name(),
        args.stage.name()
    );
    if let Some(device) = &args.device {
        config.device.clone_from(device);
    }
    config.set_all(args.set.iter().map(String::as_str))?;
    let run = RunDir::create(&args.run).context("the run directory cannot be made")?;
    let mut progress = TrainingProgress::new(config.stage.name(), config.steps);
    let outcome = train(config, &run, args.resume, &interrupt::flag(), &mut |event| progress.show(event))?;
    progress.finish();
    match outcome {
        Outcome::Finished => eprintln!("The model is in {}", run.model_dir().display()),
        Outcome::Stopped => eprintln!(
            "Stopped. Go on with: spatial-ladder train {} --data {} --model {} --run {} --resume",
            args.stage.name(),
            args.data.display(),
            args.model,
            args.run.display()
        ),
    }
    Ok(())
}

/// The configuration of a run that goes on. Its data and its model may have been moved since, and are where they are now.
fn as_begun(now: &TrainConfig, run_config: &Path) -> anyhow::Result<TrainConfig> {
    let begun = TrainConfig::read(run_config)?;
    let places = [
        ("--data", now.data.as_path(), begun.data.as_path(), 1),
        ("--model", Path::new(&now.model), Path::new(&begun.model), 2),
    ];
    for (name, now, then, names) in places {
        anyhow::ensure!(
            same_place(now, then, names),
            "{} was begun with {name} {}, not {}: name that, or choose another --run folder",
            run_config.display(),
            then.display(),
            now.display()
        );
    }
    Ok(TrainConfig { data: now.data.clone(), model: now.model.clone(), ..begun })
}
