//! Models as a script uses them: asked about videos, stored in few bits, measured.

use spatial_ladder::model::{Device, Precision, bundled};
use spatial_ladder::processor::Processor;
use spatial_ladder_tests::{fail, run, succeed, text};
use std::path::{Path, PathBuf};

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// Frames `1.png` to `12.png`, each of another grey.
fn frames(dir: &Path, count: u8) -> PathBuf {
    let folder = dir.join("frames");
    std::fs::create_dir(&folder).unwrap();
    for number in 1..=count {
        let picture = image::RgbImage::from_pixel(224, 168, image::Rgb([20 * number; 3]));
        picture.save(folder.join(format!("{number}.png"))).unwrap();
    }
    // No picture, and not looked at.
    std::fs::write(folder.join("notes.txt"), "x").unwrap();
    folder
}

fn ask<'a>(video: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let fixed =
        ["ask", "--device", "cpu", "--question", "Where is the chair?", "--max-new-tokens", "4", "--video"];
    [fixed.as_slice(), &[text(video)], more].concat()
}

#[test]
fn a_folder_of_frames_is_a_video() {
    let dir = tempfile::tempdir().unwrap();
    let folder = frames(dir.path(), 12);
    let tokens = |more: &[&str]| {
        let answer = json(&succeed(&ask(&folder, &[&["--json"], more].concat())));
        assert!(answer["text"].is_string());
        answer["timings"]["prompt_tokens"].as_u64().unwrap()
    };
    // 224×168 pixels are 48 tokens, and every frame is by itself.
    let (all, half, third) = (tokens(&[]), tokens(&["--fps", "4"]), tokens(&["--max-frames", "4"]));
    assert_eq!((all - half, all - third), (48 * 6, 48 * 8));
}

#[test]
fn folders_that_are_no_video_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = frames(dir.path(), 2);
    fail(&ask(&dir.path().join("missing"), &[]), &["missing"]);
    fail(&ask(dir.path(), &[]), &["no pictures", text(dir.path())]);
    fail(&ask(&folder, &["--fps", "0"]), &["above 0"]);
    image::RgbImage::new(100, 80).save(folder.join("2.png")).unwrap();
    fail(&ask(&folder, &[]), &["frame 2", "100x80"]);
    std::fs::write(folder.join("2.png"), "no picture").unwrap();
    fail(&ask(&folder, &[]), &["2.png"]);
}

#[test]
fn the_boxes_of_a_thought_are_told() {
    use spatial_ladder::scenes::{rooms, scannet_intrinsics, stand_points};
    let dir = tempfile::tempdir().unwrap();
    // The room that the page begins with: a table fills much of its picture.
    let mut scene = rooms::generate(0x7061_6765, 1, &rooms::RoomOptions::default());
    scene.cameras = stand_points(&scene, 1, scannet_intrinsics(640, 480), 1);
    let picture = dir.path().join("room.png");
    spatial_ladder::render::render(&scene, &scene.cameras[0]).color.save(&picture).unwrap();
    let question = "What is the length of the longest dimension (length, width, or height) of the table, measured in centimeters?";
    let fixed = ["ask", "--device", "cpu", "--thinking", "--question", question, "--image", text(&picture)];

    let answer = json(&succeed(&[fixed.as_slice(), &["--json"]].concat()));
    assert!(answer["thought"].as_str().unwrap().contains("table"), "{answer}");
    let seen = answer["seen"].as_array().unwrap();
    let table = seen.iter().find(|found| found["label"] == "table").expect("the table is seen");
    let [x1, y1, x2, y2] = [0, 1, 2, 3].map(|side| table["bbox_2d"][side].as_i64().unwrap());
    assert!(0 <= x1 && x1 < x2 && x2 <= 640 && 0 <= y1 && y1 < y2 && y2 <= 480, "{answer}");

    let output = run(&fixed);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains(&format!("table: ({x1}, {y1}) – ({x2}, {y2}) pixels")), "{told}");
}

#[test]
fn a_quantized_folder_answers_like_the_one_it_was_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let model = bundled::Bundled::Ladder.open(0, &Device::flex()).unwrap();
    model.save(&whole, Precision::Bf16).unwrap();
    Processor::tiny().unwrap().save(&whole).unwrap();
    let picture = dir.path().join("picture.png");
    image::RgbImage::from_fn(224, 168, |x, y| image::Rgb([x as u8, y as u8, 90])).save(&picture).unwrap();

    let answer = |model: &Path| {
        let fixed = ["ask", "--device", "cpu", "--question", "Where is the chair?", "--json"];
        let files = ["--model", text(model), "--image", text(&picture)];
        json(&succeed(&[fixed.as_slice(), &files].concat()))["token_ids"].clone()
    };
    let small = dir.path().join("small");
    let quantize = ["quantize", text(&whole), "--bits", "8", "--out", text(&small)];
    let report = json(&succeed(&[quantize.as_slice(), &["--json"]].concat()));
    assert!(report["folder"]["bytes_after"].as_u64() < report["folder"]["bytes_before"].as_u64());
    assert!(report["agreement"]["same_likeliest"].as_f64().unwrap() > 0.95, "{report}");
    assert_eq!(answer(&small), answer(&whole));

    fail(&quantize, &["not empty", text(&small)]);
    let again = dir.path().join("again");
    fail(&["quantize", text(&small), "--out", text(&again)], &["quantized already"]);
    fail(&["quantize", text(&dir.path().join("none")), "--out", text(&again)], &["none"]);
    fail(&["quantize", text(&whole), "--bits", "5", "--out", text(&again)], &["--bits 5"]);
    assert!(!again.exists());
}

#[test]
fn the_tiny_shape_is_measured() {
    let report = succeed(&[
        "bench",
        "model",
        "--shape",
        "tiny",
        "--prompt-tokens",
        "16",
        "--new-tokens",
        "2",
        "--json",
    ]);
    let report = json(&report);
    let measured = &report["shapes"][0]["measured"][0];
    for field in ["load_s", "encode_s", "prefill_s", "decode_s", "decode_tokens_per_second"] {
        assert!(measured[field].as_f64().unwrap() > 0.0, "{field}: {measured}");
    }
}
