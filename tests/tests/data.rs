//! `spatial-ladder data`: build, stats, check, as a script uses them.

use spatial_ladder_tests::{fail, succeed, text};
use std::fs;
use std::path::Path;

/// Twelve rooms in small pictures, written with these further arguments.
fn build(dir: &Path, name: &str, more: &[&str]) -> std::path::PathBuf {
    let config = dir.join("small.toml");
    fs::write(&config, "image_width = 96\nimage_height = 72\nframes_per_scene = 2\nmin_box_side = 4\n")
        .unwrap();
    let out = dir.join(name);
    let arguments = ["data", "build", "--source", "rooms:12", "--out", text(&out), "--config", text(&config)];
    let stdout = succeed(&[&arguments[..], more].concat());
    assert!(stdout.is_empty(), "only --json may write to stdout: {stdout}");
    out
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn what_is_built_is_counted_and_found_sound() {
    let dir = tempfile::tempdir().unwrap();
    let out = build(dir.path(), "data", &["--seed", "5"]);
    let info = json(&fs::read_to_string(out.join("dataset.json")).unwrap());
    assert_eq!((&info["seed"], &info["source"]), (&5.into(), &"rooms:12".into()));
    assert_eq!(info["config"]["image_width"], 96);

    let stats = json(&succeed(&["data", "stats", text(&out), "--json"]));
    for part in ["train", "validation"] {
        assert_eq!(stats[part]["questions"], info[part]["grounding"]);
        assert_eq!(stats[part]["categories"], info[part]["categories"]);
        assert!(stats[part]["images"].as_u64().unwrap() > 0);
    }
    assert!(succeed(&["data", "stats", text(&out)]).contains("localization questions"));

    let check = json(&succeed(&["data", "check", text(&out), "--json"]));
    assert_eq!((&check["faults"], &check["complete"]), (&serde_json::json!([]), &true.into()));
}

#[test]
fn the_limit_takes_the_first_scenes_and_the_seed_decides_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let images = |out: &Path| fs::read_dir(out.join("images")).unwrap().count();
    let few = build(dir.path(), "few", &["--limit", "6"]);
    let all = build(dir.path(), "all", &[]);
    let other = build(dir.path(), "other", &["--seed", "1"]);
    assert!(images(&few) <= 6 && images(&few) < images(&all));
    let room = |out: &Path| fs::read(out.join("scenes/room_000001.json")).unwrap();
    assert_eq!(room(&few), room(&all));
    assert_ne!(room(&all), room(&other));
}

#[test]
fn damage_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let out = build(dir.path(), "data", &[]);
    let rows = out.join("spld_grounding_data.jsonl");
    let lines = fs::read_to_string(&rows).unwrap();
    let first = json(lines.lines().next().unwrap());
    let image = first["image"][0].as_str().unwrap();
    let bytes = fs::read(out.join(image)).unwrap();
    fs::write(out.join(image), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(&rows, format!("{lines}{{\"question_id\": \n")).unwrap();

    fail(&["data", "check", text(&out)], &["faults", "correct the lines named"]);
    let last = format!("line {}", lines.lines().count() + 1);
    fail(&["data", "stats", text(&out)], &["spld_grounding_data.jsonl", &last]);
    fail(&["data", "stats", text(dir.path())], &["not a data set", "data build"]);
}
