//! `spatial-ladder climb`: the whole ladder on generated rooms: data, foundation where asked for, perception,
//! understanding, cold start, reasoning, and after every stage what it brought on rooms never seen.

mod arms;
mod examine;
mod page;
mod report;

use super::interrupt;
use super::places::same_place;
use super::progress::{TrainingProgress, bar};
use anyhow::Context as _;
use arms::Arm;
use clap::Args;
use examine::Examiner;
use report::{Headroom, Report};
use spatial_ladder::questions::{BuildRequest, Preset as DataPreset, QuestionConfig, SourceSpec, build};
use spatial_ladder::runs::{Event, RunDir, read_events};
use spatial_ladder::samples::files::write_atomic;
use spatial_ladder::samples::{Dataset, DatasetError, DatasetInfo};
use spatial_ladder::training::{Outcome, Preset, Stage, TrainConfig, train};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Climb the ladder on generated rooms: build data, train every stage, evaluate on rooms never seen
#[derive(Debug, Args)]
pub struct ClimbArgs {
    /// Minutes instead of hours: fewer rooms, fewer steps
    #[arg(long)]
    pub quick: bool,
    /// So many times the steps of every stage
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub scale: f64,
    /// Train the foundation too, from random weights, instead of starting from the bundled checkpoint
    #[arg(long)]
    pub from_scratch: bool,
    /// auto | cpu | wgpu | vulkan | cuda[:n] | remote:HOST:PORT[/n], or several separated by commas, as for `train`
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Where data, runs and the report go; a climb that was stopped goes on from there
    #[arg(long, default_value = "runs/climb")]
    pub out: PathBuf,
    /// Change one field of the configuration of one stage, as `understanding.steps=500`; can be repeated
    #[arg(long, value_name = "STAGE.KEY=VALUE")]
    pub set: Vec<String>,
    /// Instead of one climb, compare ways of spending its compute: all of them for `--arms` alone, else those named,
    /// separated by commas. Writes arms.json, arms.html and arms.svg
    #[arg(long, value_enum, value_delimiter = ',', num_args = 0.., default_missing_value = ALL_ARMS)]
    pub arms: Vec<Arm>,
    /// Seeds of every arm
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100), requires = "arms")]
    pub seeds: u64,
    /// The first of them. Several processes may share one --out, each with arms or seeds of its own: what one trains the
    /// others wait for; all of them once more, in one process, then makes the report of what is there
    #[arg(long, value_name = "SEED", default_value_t = 1, requires = "arms")]
    pub first_seed: u64,
    /// Also climb with these multiples of the understanding stage's steps, separated by commas, as 0.25,0.5,2,4
    #[arg(long, value_name = "FACTORS", value_delimiter = ',', requires = "arms")]
    pub sweep: Vec<f64>,
    /// Also print the report as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

impl ClimbArgs {
    /// `climb --quick` with everything else at its default.
    pub fn quick() -> Self {
        Self {
            quick: true,
            scale: 1.0,
            from_scratch: false,
            device: "auto".into(),
            out: "runs/climb".into(),
            set: Vec::new(),
            arms: Vec::new(),
            seeds: 3,
            first_seed: 1,
            sweep: Vec::new(),
            json: false,
        }
    }
}

const ALL_ARMS: &str =
    "ladder,joint,no-perception,no-understanding,no-cold-start,no-reasoning,reversed,from-scratch";

/// How much of everything.
pub struct Scale {
    rooms: usize,
    foundation_rooms: usize,
    /// Steps of the stages that take other than the preset's.
    steps: &'static [(Stage, u64)],
    /// Of localization, and of spatial questions.
    test_questions: [usize; 2],
}

impl Scale {
    const QUICK: Self = Self {
        rooms: 250,
        foundation_rooms: 2_000,
        steps: &[
            (Stage::Foundation, 1_000),
            (Stage::Perception, 500),
            (Stage::Understanding, 130),
            (Stage::ColdStart, 450),
            (Stage::Reasoning, 6),
        ],
        test_questions: [120, 208],
    };
    const FULL: Self =
        Self { rooms: 2_000, foundation_rooms: 6_000, steps: &[], test_questions: [1_000, 2_000] };
}

/// The stages of the ladder, lowest first.
const LADDER: [Stage; 4] = [Stage::Perception, Stage::Understanding, Stage::ColdStart, Stage::Reasoning];

pub fn run(args: ClimbArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let stop = interrupt::flag();
    let scale = if args.quick { Scale::QUICK } else { Scale::FULL };
    for assignment in &args.set {
        let stage = assignment.split_once('.').map(|(stage, _)| stage.parse::<Stage>());
        anyhow::ensure!(
            matches!(stage, Some(Ok(_))),
            "--set {assignment}: expected STAGE.KEY=VALUE, for example understanding.steps=500"
        );
        anyhow::ensure!(
            args.from_scratch || !assignment.starts_with("foundation."),
            "--set {assignment}: the foundation stage is climbed with --from-scratch only"
        );
    }
    // What cannot be set is said now, not hours later.
    for stage in [&[Stage::Foundation][..], &LADDER].concat() {
        stage_config(&args, &scale, stage, Path::new("data"), "tiny")?;
    }

    let factors = std::iter::once(&args.scale).chain(&args.sweep);
    anyhow::ensure!(
        factors.copied().all(|factor| (0.001..=1000.0).contains(&factor)),
        "--scale and --sweep take numbers from 0.001 to 1000"
    );
    let mut model = "tiny".to_owned();
    if args.from_scratch {
        let data = args.out.join("foundation_data");
        build_data(&data, scale.foundation_rooms, DataPreset::Foundation, &stop)?;
        let config = stage_config(&args, &scale, Stage::Foundation, &data, "tiny:random")?;
        model = climb_stage(config, &args, &stop)?.model_dir().display().to_string();
    }

    let data = args.out.join("data");
    build_data(&data, scale.rooms, DataPreset::Climb, &stop)?;
    if !args.arms.is_empty() {
        return arms::run(&args, &scale, &data, &model, &stop);
    }
    let reasoning = stage_config(&args, &scale, Stage::Reasoning, &data, &model)?.reinforcement;
    let examiner = Examiner::new(&data, scale.test_questions, reasoning.max_new_tokens, &args.device, &stop)?;
    let mut examined = vec![examiner.examine("foundation", &model, Stage::Perception)?];
    for stage in LADDER {
        let config = stage_config(&args, &scale, stage, &data, &model)?;
        let run = climb_stage(config, &args, &stop)?;
        examined.push(examiner.examine_run(stage.name(), &run, stage)?);
        model = run.model_dir().display().to_string();
    }

    let events = read_events(&RunDir::open(args.out.join(Stage::Reasoning.name()))?.events_path())?;
    let (end, seconds) = (PathBuf::from(&model), started.elapsed().as_secs_f64());
    let report = Report::new(&examiner, &examined, Headroom::of(&events), end, seconds)?;
    let path = args.out.join("report.json");
    let json = serde_json::to_string_pretty(&report)?;
    write_atomic(&path, json.as_bytes())?;
    report.print(&path);
    if args.json {
        println!("{json}");
    }
    Ok(())
}

/// What a stage of this climb is to do.
fn stage_config(
    args: &ClimbArgs,
    scale: &Scale,
    stage: Stage,
    data: &Path,
    model: &str,
) -> anyhow::Result<TrainConfig> {
    let mut config = TrainConfig::new(stage, Preset::Corrected, data.to_owned(), model.to_owned());
    let own = scale.steps.iter().find(|(named, _)| *named == stage);
    let steps = own.map_or(config.steps, |(_, steps)| *steps);
    config.steps = ((steps as f64 * args.scale).round() as u64).max(1);
    if args.quick {
        config.evaluate_samples = 32;
        // Looking things up takes some thousand batches of texts.
        config.look_ups = 0.0;
        if stage == Stage::Reasoning {
            // A step of 512 answers takes most of a minute. What few say about the way is no reason to go far.
            config.batch_size = 8;
            (config.reinforcement.group, config.reinforcement.micro_batch) = (8, 32);
            config.learning_rate = 3e-5;
        }
    }
    let own = args.set.iter().filter_map(|set| set.strip_prefix(stage.name())?.strip_prefix('.'));
    config.set_all(own.clone())?;
    if !own.into_iter().any(|set| set.split('=').next().is_some_and(|name| name.trim() == "evaluate_every")) {
        config.evaluate_every = config.steps.div_ceil(if args.quick { 3 } else { 10 });
    }
    Ok(config)
}

/// One of the measures of a step.
fn part(parts: &[(String, f64)], name: &str) -> Option<f64> {
    parts.iter().find(|(part, _)| part == name).map(|(_, value)| *value)
}

/// Waits until no other process works on `path`, and holds it until the file is dropped.
fn hold(path: &Path, stop: &AtomicBool) -> anyhow::Result<File> {
    let lock = path.with_extension("lock");
    let context = || format!("{} cannot be locked", lock.display());
    if let Some(parent) = lock.parent() {
        std::fs::create_dir_all(parent).with_context(context)?;
    }
    let file = File::create(&lock).with_context(context)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error).with_context(context),
            Err(TryLockError::WouldBlock) => {}
        }
        if !std::mem::replace(&mut told, true) {
            eprintln!("waiting for another process that works on {}", path.display());
        }
        anyhow::ensure!(!stop.load(Ordering::Relaxed), "stopped; the same command goes on from here");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Of the rooms that a climb is made of.
const DATA_SEED: u64 = 17;

fn build_data(out: &Path, rooms: usize, preset: DataPreset, stop: &AtomicBool) -> anyhow::Result<()> {
    let _held = hold(out, stop)?;
    let config = QuestionConfig::preset(preset);
    let found = match Dataset::open(out) {
        Err(DatasetError::NotADataset { .. }) => None,
        found => Some(found?),
    };
    if let Some(found) = found {
        let source = format!("rooms:{rooms}");
        let same = |info: &DatasetInfo| {
            let built = serde_json::from_value::<QuestionConfig>(info.config.clone());
            let whole = info.seed == DATA_SEED && info.limit.is_none();
            whole && info.source == source && built.is_ok_and(|built| built == config)
        };
        anyhow::ensure!(
            found.info.as_ref().is_some_and(same),
            "{} holds another data set than this climb makes ({source}, preset {}): choose another --out, or remove the folder",
            out.display(),
            preset.name(),
        );
        eprintln!("{} is there already and is used as it is", out.display());
        return Ok(());
    }
    let progress = bar("rooms", rooms as u64);
    let request = BuildRequest {
        source: &SourceSpec::Rooms(rooms),
        out,
        config: &config,
        seed: DATA_SEED,
        limit: None,
        skip_bad: false,
    };
    build(&request, &|done| progress.set_position(done.scenes as u64), stop)
        .with_context(|| format!("the data set {} could not be built", out.display()))?;
    progress.finish();
    Ok(())
}

/// Trains one stage in `OUT/STAGE`; the finished run.
fn climb_stage(config: TrainConfig, args: &ClimbArgs, stop: &AtomicBool) -> anyhow::Result<RunDir> {
    let root = args.out.join(config.stage.name());
    train_in(config, &root, &args.device, stop)
}

/// Trains one stage in a run directory, going on where an earlier climb was stopped; the finished run.
fn train_in(mut config: TrainConfig, root: &Path, device: &str, stop: &AtomicBool) -> anyhow::Result<RunDir> {
    let stage = config.stage.name();
    let _held = hold(root, stop)?;
    let run = RunDir::create(root)?;
    let events = read_events(&run.events_path())?;
    if !events.is_empty() {
        // As it was begun, so that it ends as if it had never been stopped.
        let mut begun = TrainConfig::read(&run.config_path())?;
        // The whole climb may have been moved, or be named from elsewhere.
        if same_place(&config.data, &begun.data, 1) {
            begun.data.clone_from(&config.data);
        }
        if same_place(Path::new(&config.model), Path::new(&begun.model), 2) {
            begun.model.clone_from(&config.model);
        }
        let others = config.differences(&begun)?;
        anyhow::ensure!(
            others.is_empty(),
            "{} was begun with other settings than these ({}): choose another --out, or remove the folder",
            run.root().display(),
            others.join("; "),
        );
        config = begun;
    }
    device.clone_into(&mut config.device);
    if events.iter().any(|event| matches!(event.event, Event::Finished { .. })) {
        eprintln!("stage {stage} is finished already; remove {} to train it anew", run.root().display());
        return Ok(run);
    }
    let mut progress = TrainingProgress::new(stage, config.steps);
    let outcome = train(config, &run, !events.is_empty(), stop, &mut |event| progress.show(event))?;
    progress.finish();
    anyhow::ensure!(outcome == Outcome::Finished, "stopped; the same command goes on from here");
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_climb_does_not_go_on_with_other_settings() {
        let dir = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(true);
        let data = dir.path().join("data");
        let mut config = TrainConfig::new(Stage::Perception, Preset::Corrected, data, "tiny".into());
        let root = dir.path().join("perception");
        let run = RunDir::create(&root).unwrap();
        write_atomic(&run.config_path(), config.to_toml().unwrap().as_bytes()).unwrap();
        std::fs::write(run.events_path(), "{\"time\":1.0,\"kind\":\"stopped\",\"step\":3}\n").unwrap();
        config.steps += 1;
        let error = train_in(config.clone(), &root, "cpu", &stop).err().unwrap().to_string();
        assert!(error.contains(&format!("steps={}, not {}", config.steps, config.steps - 1)), "{error}");
        assert!(error.contains("perception") && error.contains("--out"), "{error}");
    }
}
