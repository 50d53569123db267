//! Wrong input is answered with an error that names the file and the remedy; nothing panics, and
//! nothing half-written is left under a final name.

use spatial_ladder_tests::{fail, root, run, succeed, text};
use std::path::{Path, PathBuf};

const QUESTION: &str = "Where is the chair?";

fn question<'a>(model: &'a str, image: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments =
        vec!["ask", "--device", "cpu", "--model", model, "--image", text(image), "--question", QUESTION];
    arguments.extend(more);
    arguments
}

fn refused(image: &Path, words: &[&str]) {
    let errors = fail(&question("tiny", image, &[]), words);
    assert!(errors.contains(text(image)), "the file is not named:\n{errors}");
}

fn photograph(dir: &Path, width: u32, height: u32) -> PathBuf {
    let path = dir.join(format!("{width}x{height}.jpg"));
    let color = |x, y| image::Rgb([(x * 7) as u8, (y * 3) as u8, (x + y) as u8]);
    image::RgbImage::from_fn(width, height, color).save(&path).expect("written");
    path
}

#[test]
fn pictures_that_are_none() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    refused(&dir.path().join("missing.jpg"), &[]);
    let bytes = std::fs::read(photograph(dir.path(), 320, 240)).expect("read");
    let cut = dir.path().join("cut.jpg");
    std::fs::write(&cut, &bytes[..bytes.len() / 3]).expect("written");
    refused(&cut, &[]);
    let words = dir.path().join("words.png");
    std::fs::write(&words, "these are words").expect("written");
    refused(&words, &[]);
    refused(dir.path(), &[]);
}

#[test]
fn pictures_of_extreme_shape() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let point = photograph(dir.path(), 1, 1);
    let answer = succeed(&question("tiny", &point, &["--max-new-tokens", "4", "--json"]));
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON on stdout");
    assert!(answer["text"].is_string() && answer["timings"]["new_tokens"].as_u64() > Some(0), "{answer}");
    refused(&photograph(dir.path(), 20_000, 2), &["20000"]);
    succeed(&question("tiny", &photograph(dir.path(), 20_000, 200), &["--max-new-tokens", "4"]));
}

/// A copy of the bundled model as a folder.
fn model_folder(dir: &Path) -> PathBuf {
    let model = dir.join("model");
    std::fs::create_dir(&model).expect("created");
    let assets = root().join("assets/tiny");
    for entry in std::fs::read_dir(&assets).expect("assets/tiny").flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), model.join(entry.file_name())).expect("copied");
        }
    }
    std::fs::copy(assets.join("ladder/model.safetensors"), model.join("model.safetensors")).expect("copied");
    model
}

#[test]
fn models_that_are_damaged() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let picture = photograph(dir.path(), 64, 48);
    let model = model_folder(dir.path());
    let refused = |words: &[&str]| fail(&question(text(&model), &picture, &[]), words);

    let weights = model.join("model.safetensors");
    let bytes = std::fs::read(&weights).expect("read");
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).expect("cut in half");
    refused(&["model.safetensors", "incomplete"]);
    std::fs::write(&weights, b"").expect("emptied");
    refused(&["model.safetensors"]);
    std::fs::remove_file(&weights).expect("removed");
    refused(&["model.safetensors"]);
    std::fs::write(&weights, &bytes).expect("restored");

    let config = model.join("config.json");
    let good = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, good.replacen('{', "{{", 1)).expect("broken");
    refused(&["config.json"]);
    std::fs::write(&config, good.replace("qwen2_5_vl", "some_other_model")).expect("changed");
    refused(&["config.json", "some_other_model"]);
    std::fs::write(&config, &good).expect("restored");
    std::fs::remove_file(model.join("tokenizer.json")).expect("removed");
    refused(&["tokenizer.json"]);

    fail(&question("/no/such/model", &picture, &[]), &["/no/such/model"]);
    fail(&question("tiny", &picture, &["--device", "cpu"]), &["--device"]);
    fail(
        &["ask", "--model", "tiny", "--device", "tpu", "--image", text(&picture), "--question", QUESTION],
        &["tpu", "cpu"],
    );
}

#[test]
fn data_sets_that_cannot_be_built() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("out");
    let refused = |source: &str, more: &[&str], words: &[&str]| {
        let mut arguments = vec!["data", "build", "--source", source, "--out", text(&out)];
        arguments.extend(more);
        fail(&arguments, words);
        assert!(!out.exists(), "{source}: something is left under the final name");
    };
    refused("castles:3", &[], &["castles", "rooms:"]);
    refused("rooms:many", &[], &["many"]);
    refused("vsi-meta:/no/such/file.json", &[], &["/no/such/file.json"]);

    let config = dir.path().join("config.toml");
    std::fs::write(&config, "framez_per_scene = 3\n").expect("written");
    refused("rooms:2", &["--config", text(&config)], &["config.toml", "framez_per_scene"]);

    let metadata = dir.path().join("meta.json");
    let broken = r#"{"scene_a": {"room_size": 12.0, "object_bbox": {"chair": [{"centroid": [0, 0]}]}}}"#;
    std::fs::write(&metadata, broken).expect("written");
    refused(&format!("vsi-meta:{}", text(&metadata)), &[], &["meta.json", "scene_a"]);

    // A folder cannot be made below a file, whoever asks: root may write almost anywhere else.
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    fail(&["data", "build", "--source", "rooms:1", "--out", text(&file.join("out"))], &[text(&file)]);

    std::fs::create_dir(&out).expect("created");
    std::fs::write(out.join("precious.txt"), "mine").expect("written");
    fail(&["data", "build", "--source", "rooms:1", "--out", text(&out)], &["not empty"]);
    assert_eq!(std::fs::read_to_string(out.join("precious.txt")).expect("still there"), "mine");
}

#[cfg(target_os = "linux")]
#[test]
fn full_disks() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mount = dir.path().join("small");
    std::fs::create_dir(&mount).expect("created");
    let call = |program: &str, arguments: &[&str]| {
        std::process::Command::new(program)
            .args(arguments)
            .arg(&mount)
            .status()
            .is_ok_and(|status| status.success())
    };
    if !call("mount", &["-t", "tmpfs", "-o", "size=256k", "tmpfs"]) {
        eprintln!("skipped: a small file system cannot be mounted here (needs root)");
        return;
    }
    let out = mount.join("out");
    let output = run(&["data", "build", "--source", "rooms:20", "--out", text(&out)]);
    let left = out.exists();
    assert!(call("umount", &[]), "unmounted");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && !errors.contains("panicked"), "{errors}");
    assert!(errors.to_lowercase().contains("full") || errors.contains("space"), "{errors}");
    assert!(!left, "something is left under the final name");
}

#[test]
fn unknown_categories_are_drawn_and_said() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let metadata = dir.path().join("meta.json");
    let scene = r#"{"scene_a": {"room_size": 16.0, "room_center": [0, 0, 1],
        "object_counts": {"perpetuum mobile": 1},
        "object_bbox": {"perpetuum mobile": [{"centroid": [0, 0, 0.5], "axesLengths": [0.8, 0.9, 1.0],
        "normalizedAxes": [1, 0, 0, 0, 1, 0, 0, 0, 1], "min": [-0.4, -0.45, 0.0], "max": [0.4, 0.45, 1.0]}]}}}"#;
    std::fs::write(&metadata, scene).expect("written");
    let out = dir.path().join("out");
    let source = format!("vsi-meta:{}", text(&metadata));
    let output = run(&["data", "build", "--source", &source, "--out", text(&out)]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("perpetuum mobile"), "the unknown category is not named:\n{errors}");
    assert!(out.join("dataset.json").is_file());
}

#[test]
fn training_that_cannot_start() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let run = dir.path().join("run");
    let refused = |more: &[&str], words: &[&str]| {
        let mut arguments = vec!["train", "perception", "--device", "cpu", "--run", text(&run)];
        arguments.extend(more);
        fail(&arguments, words);
    };
    refused(&["--data", "/no/such/data", "--model", "tiny"], &["/no/such/data"]);
    refused(&["--data", text(dir.path()), "--model", "/no/such/model"], &["/"]);
    refused(&["--data", text(dir.path()), "--model", "tiny", "--set", "stepz=3"], &["stepz", "steps"]);
    fail(
        &["train", "daydreaming", "--data", "x", "--model", "tiny", "--run", "y"],
        &["daydreaming", "perception"],
    );
}
