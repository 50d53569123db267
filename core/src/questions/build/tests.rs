use super::compose::is_held_out;
use super::*;
use crate::questions::{Quotas, SpatialConfig};
use crate::samples::{DataType, Dataset, QuestionType, SpatialSample};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn small() -> QuestionConfig {
    QuestionConfig {
        image_width: 96,
        image_height: 72,
        frames_per_scene: 3,
        validation_share: 0.25,
        min_box_side: 4,
        spatial: SpatialConfig { video_frames: 6, views: 3, ..SpatialConfig::default() },
        ..QuestionConfig::default()
    }
}

fn build_rooms(count: usize, out: &Path, seed: u64) -> Result<DatasetInfo, QuestionError> {
    let (source, config) = (SourceSpec::Rooms(count), small());
    let request = BuildRequest { source: &source, out, config: &config, seed, limit: None, skip_bad: false };
    build(&request, &|_| (), &AtomicBool::new(false))
}

/// All files below a folder with their bytes.
fn bytes(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_same_bytes_whatever_the_number_of_threads() {
    let parent = tempfile::tempdir().unwrap();
    let with_threads = |threads: usize, name: &str| {
        let out = parent.path().join(name);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| build_rooms(10, &out, 3)).unwrap();
        bytes(&out)
    };
    let one = with_threads(1, "one");
    assert!(one.len() > 40 && one == with_threads(2, "two"));
    let other = parent.path().join("other");
    build_rooms(10, &other, 4).unwrap();
    assert_ne!(one, bytes(&other));
}

#[test]
fn what_is_built_passes_the_check_and_keeps_its_parts_apart() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("data");
    let info = build_rooms(12, &out, 1).unwrap();
    assert_eq!((info.train.scenes, info.validation.scenes), (9, 3));
    assert!(info.train.grounding > 9 && info.validation.grounding > 2, "{info:?}");
    let report = crate::samples::check(&out, &|_, _| (), &AtomicBool::new(false)).unwrap();
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    assert_eq!(report.images, info.train.images + info.validation.images);

    let dataset = Dataset::open(&out).unwrap();
    let sample = &dataset.train.grounding[0];
    let (scene, camera) = dataset.scene_of(&sample.image[0]).unwrap();
    assert!(sample.image[0].contains(&scene.name) && camera < scene.cameras.len());
    assert!(sample.answer.iter().all(|a| scene.objects.iter().any(|o| o.category == a.label)));
    let row = &dataset.train.foundation[0];
    assert_eq!(row.caption, row.caption_for((row.width, row.height), None));
}

#[test]
fn nothing_is_overwritten() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("data");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("precious"), "x").unwrap();
    let message = build_rooms(2, &out, 1).unwrap_err().to_string();
    assert!(message.contains("not empty"), "{message}");
    let message = build_rooms(2, &out.join("precious/data"), 1).unwrap_err().to_string();
    assert!(message.contains("precious"), "{message}");
}

#[test]
fn a_build_that_was_stopped_goes_on_and_ends_with_the_same_bytes() {
    let parent = tempfile::tempdir().unwrap();
    let whole = parent.path().join("whole");
    build_rooms(14, &whole, 2).unwrap();
    let whole = bytes(&whole);
    for stop_after in [1, 5, 11] {
        let out = parent.path().join(format!("stopped{stop_after}"));
        let (source, config) = (SourceSpec::Rooms(14), small());
        let request =
            BuildRequest { source: &source, out: &out, config: &config, seed: 2, limit: None, skip_bad: false };
        let cancel = AtomicBool::new(false);
        let stop = |progress: Progress| cancel.store(progress.scenes >= stop_after, Ordering::Relaxed);
        let error = build(&request, &stop, &cancel).unwrap_err();
        assert!(matches!(error, QuestionError::Cancelled { .. }) && !out.exists(), "{error}");
        // As a kill in the middle of a scene leaves it: a record without one of its pictures, and half a record.
        let partial = parent.path().join(format!("stopped{stop_after}.partial"));
        let picture = bytes(&partial).into_keys().find(|path| path.extension().is_some_and(|e| e == "jpg"));
        std::fs::remove_file(partial.join(picture.unwrap())).unwrap();
        std::fs::write(partial.join("work/0000013.json"), "{\"scene\":\"ro").unwrap();

        let last = Mutex::new(Progress::default());
        let keep = |progress: Progress| *last.lock().unwrap() = progress;
        build(&request, &keep, &AtomicBool::new(false)).unwrap();
        let last = last.into_inner().unwrap();
        assert!(last.scenes == 14 && last.resumed_scenes + 1 >= stop_after, "{last:?}");
        assert!(bytes(&out) == whole, "stopped after {stop_after}");
    }
}

#[test]
fn quotas_are_met_letters_are_dealt_evenly_and_rows_join() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("data");
    let mut config = small();
    config.questions_per_frame = 0;
    config.spatial.ground_single_image = true;
    config.spatial.cold_start = 12;
    config.spatial.train = Quotas::new([("single_image", 40), ("multi_view", 30), ("video/room size", 3)]);
    config.spatial.evaluation = Quotas::new([("single_image", 5), ("multi_view", 100_000)]);
    let source = SourceSpec::Rooms(16);
    let request =
        BuildRequest { source: &source, out: &out, config: &config, seed: 5, limit: None, skip_bad: false };
    let info = build(&request, &|_| (), &AtomicBool::new(false)).unwrap();
    assert_eq!((info.train.grounding, info.validation.grounding, info.train.cold_start), (40, 5, 12));
    assert_eq!(info.train.question_types["video/room size"], 3);
    assert_eq!(info.shortfalls.len(), 1, "{:?}", info.shortfalls);
    assert!(info.shortfalls[0].contains("of 100000 held out"), "{:?}", info.shortfalls);

    let dataset = Dataset::open(&out).unwrap();
    let count = |data_type| dataset.train.spatial.iter().filter(|row| row.data_type == data_type).count();
    assert_eq!((count(DataType::SingleImage), count(DataType::MultiView)), (40, 30));
    for row in &dataset.train.grounding {
        let same = |other: &&SpatialSample| other.question_id == row.question_id && other.image == row.image;
        assert_eq!(dataset.train.spatial.iter().find(same).unwrap().question, row.question);
    }
    let mut letters: BTreeMap<(DataType, QuestionType, usize), BTreeMap<&str, usize>> = BTreeMap::new();
    let rows = dataset.train.spatial.iter().chain(&dataset.validation.spatial);
    for row in rows.filter(|row| row.question_type == QuestionType::RelativeDistance) {
        let kind = (row.data_type, row.question_type, row.options().len());
        *letters.entry(kind).or_default().entry(&row.answer).or_default() += 1;
    }
    for counts in letters.values() {
        let most = counts.values().max().unwrap();
        let least = if counts.len() == 4 { *counts.values().min().unwrap() } else { 0 };
        assert!(most - least <= 1, "{letters:?}");
    }
    let report = crate::samples::check(&out, &|_, _| (), &AtomicBool::new(false)).unwrap();
    assert_eq!(report.faults, []);
}

#[test]
fn held_out_scenes_are_spread_and_as_many_as_asked() {
    for share in [0.0, 0.1, 0.25, 0.5] {
        let count = (0..1000).filter(|&index| is_held_out(index, share)).count();
        assert_eq!(count, (1000.0 * share) as usize);
    }
    assert_eq!((0..20).filter(|&index| is_held_out(index, 0.1)).collect::<Vec<_>>(), [4, 14]);
}
