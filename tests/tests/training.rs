//! A run can be stopped, killed and resumed, and ends as if nothing had happened.

use spatial_ladder::runs::{Event, RunDir, read_events};
use spatial_ladder_tests::{fail, program, succeed, text};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const STEPS: u64 = 6;

fn data_set(dir: &Path) -> PathBuf {
    let out = dir.join("data");
    succeed(&[
        "data",
        "build",
        "--source",
        "rooms:12",
        "--out",
        text(&out),
        "--config",
        "climb",
        "--seed",
        "5",
    ]);
    out
}

fn arguments<'a>(data: &'a Path, run: &'a Path) -> Vec<&'a str> {
    let mut arguments = vec!["train", "perception", "--model", "tiny", "--device", "cpu"];
    arguments.extend(["--data", text(data), "--run", text(run)]);
    for setting in [
        "steps=6",
        "batch_size=4",
        "checkpoint_every=2",
        "evaluate_every=3",
        "evaluate_samples=4",
        "keep_checkpoints=3",
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
