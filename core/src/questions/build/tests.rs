use super::compose::is_held_out;
use super::*;
use crate::samples::Dataset;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn small() -> QuestionConfig {
    QuestionConfig {
        image_width: 96,
        image_height: 72,
        frames_per_scene: 3,
        validation_share: 0.25,
        min_box_side: 4,
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
fn nothing_is_overwritten_and_nothing_is_left_after_a_stop() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("data");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("precious"), "x").unwrap();
    let message = build_rooms(2, &out, 1).unwrap_err().to_string();
    assert!(message.contains("not empty"), "{message}");

    let fresh = parent.path().join("fresh");
    let (source, config) = (SourceSpec::Rooms(100), small());
    let request =
        BuildRequest { source: &source, out: &fresh, config: &config, seed: 0, limit: None, skip_bad: false };
    let cancel = AtomicBool::new(false);
    let stop = |progress: Progress| cancel.store(progress.scenes > 0, Ordering::Relaxed);
    let error = build(&request, &stop, &cancel).unwrap_err();
    assert!(matches!(error, QuestionError::Cancelled { .. }));
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);

    let message = build_rooms(2, &out.join("precious/data"), 1).unwrap_err().to_string();
    assert!(message.contains("precious"), "{message}");
}

#[test]
fn held_out_scenes_are_spread_and_as_many_as_asked() {
    for share in [0.0, 0.1, 0.25, 0.5] {
        let count = (0..1000).filter(|&index| is_held_out(index, share)).count();
        assert_eq!(count, (1000.0 * share) as usize);
    }
    assert_eq!((0..20).filter(|&index| is_held_out(index, 0.1)).collect::<Vec<_>>(), [4, 14]);
}
