//! A run can be stopped, killed and resumed, and ends as if nothing had happened.

use spatial_ladder::runs::{Event, RunDir, Timed, read_events};
use spatial_ladder::training::{Outcome, Preset, Stage, TrainConfig, train};
use spatial_ladder_tests::{fail, program, succeed, text};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const STEPS: u64 = 6;

fn data_set(dir: &Path) -> PathBuf {
    let (out, config) = (dir.join("data"), dir.join("questions.toml"));
    std::fs::write(&config, "preset = \"climb\"\nfoundation = true\nframes_per_scene = 4\n")
        .expect("written");
    succeed(&[
        "data",
        "build",
        "--source",
        "rooms:12",
        "--out",
        text(&out),
        "--config",
        text(&config),
        "--seed",
        "5",
    ]);
    out
}

fn arguments<'a>(data: &'a Path, run: &'a Path) -> Vec<&'a str> {
    stage_arguments("perception", data, run)
}

fn stage_arguments<'a>(stage: &'a str, data: &'a Path, run: &'a Path) -> Vec<&'a str> {
    let mut arguments = vec!["train", stage, "--model", "tiny", "--device", "cpu"];
    arguments.extend(["--data", text(data), "--run", text(run)]);
    for setting in [
        "steps=6",
        "batch_size=4",
        "checkpoint_every=2",
        "evaluate_every=3",
        "evaluate_samples=4",
        "keep_checkpoints=3",
        "reinforcement.group=3",
        "reinforcement.max_new_tokens=12",
        // An untrained model earns nothing, and a group that earns nothing teaches nothing: here its weights decay, and
        // it is pulled back to the reference, so that there is something to resume.
        "reinforcement.drop_zero_spread=false",
        "reinforcement.mask_truncated=false",
        "reinforcement.kl=1",
        "reinforcement.updates_per_rollout=2",
        "weight_decay=0.1",
        "learning_rate=1e-3",
    ] {
        arguments.extend(["--set", setting]);
    }
    arguments
}

fn start(arguments: &[&str]) -> Child {
    program().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
}

/// Waits until the run has logged step `step`.
fn wait_for_step(run: &Path, step: u64) {
    let since = Instant::now();
    let reached = || {
        let events = read_events(&run.join("events.jsonl")).unwrap_or_default();
        events.iter().any(|event| matches!(event.event, Event::Step { step: at, .. } if at >= step))
    };
    while !reached() {
        assert!(since.elapsed() < Duration::from_secs(120), "step {step} was not reached");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Step and loss, which must not depend on interruptions, to the last bit.
fn losses(run: &Path) -> Vec<(u64, f64)> {
    let events = read_events(&run.join("events.jsonl")).expect("readable");
    events
        .iter()
        .filter_map(|event| match event.event {
            Event::Step { step, loss, .. } => Some((step, loss)),
            _ => None,
        })
        .collect()
}

fn weights(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("model/model.safetensors")).expect("the finished model")
}

#[test]
fn stopped_and_killed_runs_resume_to_the_same_weights() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = data_set(dir.path());
    let whole = dir.path().join("whole");
    succeed(&arguments(&data, &whole));
    assert_eq!(losses(&whole).iter().map(|step| step.0).collect::<Vec<_>>(), (1..=STEPS).collect::<Vec<_>>());
    fail(&arguments(&data, &whole), &["--resume"]);
    let resume = |run: &Path| {
        let mut arguments = arguments(&data, run);
        arguments.push("--resume");
        succeed(&arguments);
        assert_eq!(losses(run), losses(&whole));
        assert!(
            weights(run) == weights(&whole),
            "{}: other weights than without interruption",
            run.display()
        );
    };

    // Asked to stop: the step under way is finished and saved.
    let stopped = dir.path().join("stopped");
    let mut child = start(&arguments(&data, &stopped));
    wait_for_step(&stopped, 1);
    RunDir::open(&stopped).expect("a run").request_stop().expect("asked");
    assert!(child.wait().expect("ends").success(), "stopping on request is no failure");
    resume(&stopped);

    // Killed without warning, and the newest checkpoint damaged on top of it.
    let killed = dir.path().join("killed");
    let mut child = start(&arguments(&data, &killed));
    wait_for_step(&killed, 5);
    child.kill().expect("killed");
    child.wait().expect("reaped");
    std::fs::write(killed.join("checkpoints/step_000004/optimizer.bpk"), b"damaged").expect("damaged");
    resume(&killed);
    let events = read_events(&killed.join("events.jsonl")).expect("readable");
    let mentioned =
        |event: &Event| matches!(event, Event::Warning { message } if message.contains("step_000004"));
    assert!(events.iter().any(|event| mentioned(&event.event)), "the damaged checkpoint is not mentioned");
}

#[test]
fn an_evaluation_that_was_stopped_is_made_up_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = dir.path().join("run");
    let run = RunDir::create(&root).expect("a run");
    let data = data_set(dir.path());
    let mut config = TrainConfig::new(Stage::Perception, Preset::Corrected, data, "tiny".into());
    for setting in ["device=cpu", "steps=4", "batch_size=2", "evaluate_every=2", "evaluate_samples=4"] {
        config.set(setting).expect("set");
    }
    let evaluations = || -> Vec<u64> {
        let events = read_events(&root.join("events.jsonl")).expect("readable");
        let of = |event: &Event| match event {
            Event::Evaluation { step, .. } => Some(*step),
            _ => None,
        };
        events.iter().filter_map(|timed| of(&timed.event)).collect()
    };
    // As a step is done, so that the evaluation after it is cut short; that of the last step too.
    for (at, resume, before) in [(2, false, vec![0]), (4, true, vec![0, 2])] {
        let stop = AtomicBool::new(false);
        let mut watch = |timed: &Timed| {
            if matches!(timed.event, Event::Step { step, .. } if step == at) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let outcome = train(config.clone(), &run, resume, &stop, &mut watch).expect("it stops");
        assert_eq!((outcome, evaluations()), (Outcome::Stopped, before));
    }
    let outcome = train(config, &run, true, &AtomicBool::new(false), &mut |_| ()).expect("it goes on");
    assert_eq!((outcome, evaluations()), (Outcome::Finished, vec![0, 2, 4]));
}

/// What a device that fails does to a run, as far as that can be had without one: Burn panics.
#[test]
fn a_run_that_breaks_off_says_so_and_can_be_resumed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = dir.path().join("run");
    let run = RunDir::create(&root).expect("a run");
    let mut config =
        TrainConfig::new(Stage::Perception, Preset::Corrected, data_set(dir.path()), "tiny".into());
    for setting in ["device=cpu", "steps=3", "batch_size=2", "evaluate_every=0", "checkpoint_every=1"] {
        config.set(setting).expect("set");
    }
    let stop = AtomicBool::new(false);
    let mut fail = |timed: &Timed| {
        assert!(!matches!(timed.event, Event::Step { step: 2, .. }), "the device\nis lost");
    };
    let error = train(config.clone(), &run, false, &stop, &mut fail).expect_err("it broke off");
    let text = error.to_string();
    assert!(text.contains("after step 2: the device is lost.") && text.contains("--resume"), "{text}");
    let events = read_events(&root.join("events.jsonl")).expect("readable");
    let last = events.last().map(|timed| &timed.event);
    assert!(matches!(last, Some(Event::Failed { step: 2, message }) if *message == text), "{last:?}");
    let outcome = train(config, &run, true, &stop, &mut |_| ()).expect("it goes on");
    assert_eq!(outcome, Outcome::Finished);
    assert_eq!(losses(&root).iter().map(|step| step.0).collect::<Vec<_>>(), [1, 2, 3]);
}

/// Every stage, killed once and resumed. `tests/reference/kill_and_resume.py` does so at many random moments.
#[test]
fn every_stage_resumes_to_the_same_weights() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = data_set(dir.path());
    for (stage, step) in [("foundation", 3), ("understanding", 5), ("cold-start", 2), ("reasoning", 3)] {
        let of = |name: &str| dir.path().join(format!("{stage}_{name}"));
        let (whole, killed) = (of("whole"), of("killed"));
        succeed(&stage_arguments(stage, &data, &whole));
        let mut child = start(&stage_arguments(stage, &data, &killed));
        wait_for_step(&killed, step);
        child.kill().expect("killed");
        child.wait().expect("reaped");
        succeed(&[stage_arguments(stage, &data, &killed).as_slice(), &["--resume"]].concat());
        assert_eq!(losses(&killed), losses(&whole), "{stage}");
        assert!(weights(&killed) == weights(&whole), "{stage}: other weights than without interruption");
        assert!(weights(&whole) != weights_of_the_start(), "{stage} learned nothing");
        // One row for each number of each step.
        let metrics = std::fs::read_to_string(killed.join("metrics.csv")).expect("metrics");
        let rows = metrics.lines().filter(|line| line.contains(",train/loss,")).count();
        assert_eq!(rows as u64, STEPS, "{stage}");
    }
}

/// As a run writes the model that it starts from.
fn weights_of_the_start() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = spatial_ladder::model::bundled::open_model("tiny", 0, &spatial_ladder::model::Device::flex());
    model.expect("bundled").save(dir.path(), spatial_ladder::model::Precision::F32).expect("saved");
    std::fs::read(dir.path().join("model.safetensors")).expect("written")
}

#[test]
fn rollouts_are_kept_with_their_rewards() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (data, run) = (data_set(dir.path()), dir.path().join("run"));
    succeed(&[stage_arguments("reasoning", &data, &run).as_slice(), &["--set", "steps=1"]].concat());
    let rows = std::fs::read_to_string(run.join("samples/rollouts_000001.jsonl")).expect("rollouts");
    let rows: Vec<serde_json::Value> =
        rows.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    // Four prompts, three answers each.
    assert_eq!(rows.len(), 12);
    assert!(rows.iter().all(|row| row["accuracy"].is_number() && row["text"].is_string()));
    assert!(
        rows.chunks(3).all(|group| group.iter().all(|row| row["question_id"] == group[0]["question_id"]))
    );
    let events = read_events(&run.join("events.jsonl")).expect("readable");
    let parts = events.iter().find_map(|event| match &event.event {
        Event::Step { parts, .. } => Some(parts.clone()),
        _ => None,
    });
    let gap = parts.iter().flatten().find(|(name, _)| name == "log_prob_gap").expect("measured").1;
    assert!(gap < 1e-4, "the update sees other log-probabilities than the rollout: {gap}");
}

#[test]
fn adapters_are_trained_resumed_and_added_in() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = data_set(dir.path());
    let set = ["--set", "lora.rank=4", "--set", "lora.alpha=8", "--set", "lora.targets=q_proj,v_proj"];
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let of = |run| [stage_arguments("understanding", &data, run).as_slice(), &set].concat();
    succeed(&of(&whole));
    let mut child = start(&of(&killed));
    wait_for_step(&killed, 3);
    child.kill().expect("killed");
    child.wait().expect("reaped");
    succeed(&[of(&killed).as_slice(), &["--resume"]].concat());
    assert!(weights(&killed) == weights(&whole), "other weights than without interruption");
    let config = std::fs::read_to_string(whole.join("adapter/adapter_config.json")).expect("PEFT's form");
    assert!(config.contains("\"lora_alpha\": 8.0") && config.contains("q_proj"), "{config}");
    assert!(weights(&whole) != weights_of_the_start(), "nothing was learned");
    // The adapters added into the bundled model are the finished model.
    assert_eq!(weights(&whole).len(), weights_of_the_start().len());
}

#[test]
fn frozen_parts_stay_as_they_are() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (data, run) = (data_set(dir.path()), dir.path().join("run"));
    let set = ["--set", "freeze.vision=true", "--set", "freeze.merger=true", "--set", "steps=2"];
    succeed(&[stage_arguments("perception", &data, &run).as_slice(), &set].concat());
    let device = spatial_ladder::model::Device::flex();
    let before = spatial_ladder::model::bundled::open_model("tiny", 0, &device).expect("bundled");
    let after = spatial_ladder::model::Qwen2_5Vl::load(&run.join("model"), &device).expect("finished");
    let pairs = before.named_tensors().into_iter().zip(after.named_tensors());
    let changed: Vec<String> = pairs
        .filter(|(before, after)| (before.values)() != (after.values)())
        .map(|(before, _)| before.name)
        .collect();
    assert!(!changed.is_empty() && changed.iter().all(|name| name.starts_with("model.")), "{changed:?}");
    let all = ["--set", "freeze.language=true", "--set", "steps=2"];
    fail(
        &[stage_arguments("perception", &data, &dir.path().join("none")).as_slice(), &set, &all].concat(),
        &["nothing to learn"],
    );
}

#[test]
fn parts_of_a_batch_add_up_to_the_whole() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = data_set(dir.path());
    let with_shards = |stage: &str, shards: &str| {
        let run = dir.path().join(format!("{stage}_{shards}"));
        let mut arguments = arguments(&data, &run);
        arguments[1] = stage;
        let shards = format!("shards={shards}");
        // Captions from the first step on, so that all losses take part.
        arguments.extend(["--set", &shards, "--set", "foundation.captions_after=0"]);
        succeed(&arguments);
        losses(&run)
    };
    for stage in ["perception", "foundation"] {
        let whole = with_shards(stage, "1");
        assert_eq!(whole.len() as u64, STEPS);
        // Three parts of four samples: sizes differ, and so do their numbers of answer tokens.
        for ((step, loss), (_, in_parts)) in whole.into_iter().zip(with_shards(stage, "3")) {
            assert!((loss - in_parts).abs() < 2e-3 * loss.abs(), "{stage} step {step}: {loss}, {in_parts}");
        }
    }
}

#[test]
fn the_foundation_is_examined_on_held_out_pictures() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (data, run) = (data_set(dir.path()), dir.path().join("run"));
    let mut arguments = arguments(&data, &run);
    arguments[1] = "foundation";
    succeed(&arguments);
    let events = read_events(&run.join("events.jsonl")).expect("readable");
    let examined: Vec<_> = events
        .iter()
        .filter_map(|event| match event.event {
            Event::Evaluation { step, samples, mean_iou, category_accuracy, parsed, .. } => {
                assert!(mean_iou.is_some_and(|iou| (0.0..=1.0).contains(&iou)) && parsed.is_none());
                Some((step, samples, category_accuracy.is_some()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(examined, [(0, 4, true), (3, 4, true), (6, 4, true)]);
}
