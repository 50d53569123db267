use super::compose::is_held_out;
use super::gather::Gatherer;
use super::source::SceneSource;
use super::*;
use crate::samples::{DataType, Dataset, QuestionType, caption};
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
    let own = row.captioned((row.width, row.height));
    assert_eq!(row.caption, caption(&[own], None));
}

#[test]
fn nothing_is_overwritten_and_a_stop_leaves_no_data_set() {
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
    // Only what the next build goes on with.
    let partial = parent.path().join("fresh.partial");
    assert!(!fresh.exists() && partial.is_dir());
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 2);

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

/// Builds in a pool of so many threads until this many scenes are gathered. Returns the error of the stop, if
/// there was one, and how far the build came.
fn build_until(
    request: &BuildRequest<'_>,
    threads: usize,
    scenes: usize,
) -> (Option<QuestionError>, Progress) {
    let cancel = AtomicBool::new(scenes == 0);
    let last = Mutex::new(Progress::default());
    let watch = |progress: Progress| {
        // Threads report out of turn.
        let mut last = last.lock().unwrap();
        if progress.scenes >= last.scenes {
            *last = progress;
        }
        if progress.scenes >= scenes {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let error = pool.install(|| build(request, &watch, &cancel)).err();
    (error, last.into_inner().unwrap())
}

#[test]
fn an_interrupted_build_goes_on_and_ends_with_the_same_bytes() {
    const SCENES: usize = 8;
    let parent = tempfile::tempdir().unwrap();
    let (source, config) = (SourceSpec::Rooms(SCENES), small());
    let request = |out: &'static str| {
        let out: &Path = Box::leak(parent.path().join(out).into_boxed_path());
        BuildRequest { source: &source, out, config: &config, seed: 6, limit: None, skip_bad: false }
    };
    let whole = request("whole");
    build(&whole, &|_| (), &AtomicBool::new(false)).unwrap();
    let whole = bytes(whole.out);

    for (name, threads, moments) in
        [("early", [1, 2], [0, 1]), ("twice", [2, 1], [2, 5]), ("late", [2, 2], [7, SCENES])]
    {
        let request = request(name);
        // Which scenes are done when it stops depends on the threads; their records say how many.
        let records = || {
            let work = parent.path().join(format!("{name}.partial")).join(names::WORK);
            let entries = std::fs::read_dir(work).into_iter().flatten().flatten();
            entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "json")).count()
        };
        for (threads, moment) in threads.into_iter().zip(moments) {
            let before = records();
            let (error, progress) = build_until(&request, threads, moment);
            assert!(matches!(error, Some(QuestionError::Cancelled { .. })), "{name}: {error:?}");
            assert!(progress.scenes >= moment && progress.resumed_scenes <= before, "{progress:?}");
            assert!(records() >= before.max(moment), "{name}: {} records", records());
        }
        let gathered = records();
        let (error, progress) = build_until(&request, 1, usize::MAX);
        assert!(error.is_none(), "{name}: {error:?}");
        assert_eq!((progress.scenes, progress.resumed_scenes), (SCENES, gathered), "{name}");
        assert!(bytes(request.out) == whole, "{name}");
    }
}

#[test]
fn what_a_kill_left_half_written_is_made_anew() {
    const SCENES: usize = 6;
    let parent = tempfile::tempdir().unwrap();
    let (whole, torn, composed) =
        (parent.path().join("whole"), parent.path().join("torn"), parent.path().join("composed"));
    let (source, config) = (SourceSpec::Rooms(SCENES), small());
    let request =
        |out| BuildRequest { source: &source, out, config: &config, seed: 6, limit: None, skip_bad: false };
    build(&request(&whole), &|_| (), &AtomicBool::new(false)).unwrap();
    let whole = bytes(&whole);

    // One record cut short, a picture of another scene cut short, one of a third lost.
    let (error, _) = build_until(&request(&torn), 2, SCENES);
    assert!(error.is_some());
    let partial = parent.path().join("torn.partial");
    let cut = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    cut(&partial.join(names::WORK).join("0000001.json"));
    let pictures: Vec<PathBuf> =
        bytes(&partial).into_keys().filter(|path| path.starts_with(names::IMAGES)).collect();
    let of = |scene: &str| partial.join(pictures.iter().find(|path| path.starts_with(scene)).unwrap());
    cut(&of(&format!("{}/room_000002", names::IMAGES)));
    std::fs::remove_file(of(&format!("{}/room_000003", names::IMAGES))).unwrap();
    let (error, progress) = build_until(&request(&torn), 1, usize::MAX);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(progress.resumed_scenes, SCENES - 3);
    assert!(bytes(&torn) == whole);

    // Rows written and unused pictures removed, but not finished.
    let (error, _) = build_until(&request(&composed), 2, SCENES);
    assert!(error.is_some());
    let partial = parent.path().join("composed.partial");
    let open = SceneSource::open(&source, &config, false).unwrap();
    let cancel = AtomicBool::new(false);
    let gatherer = Gatherer {
        root: &partial,
        source: &open,
        config: &config,
        seed: 6,
        skip_bad: false,
        cancel: &cancel,
    };
    compose::compose(&gatherer, &request(&composed), SCENES).unwrap();
    build(&request(&composed), &|_| (), &cancel).unwrap();
    assert!(bytes(&composed) == whole);
}

/// A data set of all kinds of questions with quotas that the supply allows.
fn build_by_quotas(out: &Path) -> Dataset {
    let mut config = small();
    config.questions_per_frame = 0;
    config.frames_per_scene = 6;
    config.min_rival_pixels = 4;
    config.rooms.min_objects = 10;
    config.rooms.max_objects = 18;
    config.spatial = crate::questions::SpatialConfig {
        views: 4,
        video_frames: 10,
        video_seconds: 16.0,
        ground_single_image: true,
        cold_start: 40,
        cold_start_evaluation: 9,
        train: crate::questions::Quotas::new([
            ("single_image", 60),
            ("multi_view", 40),
            ("video", 50),
            ("video/object size", 7),
        ]),
        evaluation: crate::questions::Quotas::new([
            ("single_image/absolute distance", 3),
            ("single_image/relative direction", 4),
            ("multi_view", 9),
            ("video", 12),
        ]),
        ..config.spatial
    };
    let source = SourceSpec::Rooms(16);
    let request =
        BuildRequest { source: &source, out, config: &config, seed: 2, limit: None, skip_bad: false };
    build(&request, &|_| (), &AtomicBool::new(false)).unwrap();
    Dataset::open(out).unwrap()
}

#[test]
fn thoughts_of_small_models_find_the_letter_of_the_answer() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("data");
    let mut config = small();
    config.spatial.boxes_in_thoughts = true;
    let source = SourceSpec::Rooms(12);
    let request =
        BuildRequest { source: &source, out: &out, config: &config, seed: 1, limit: None, skip_bad: false };
    build(&request, &|_| (), &AtomicBool::new(false)).unwrap();
    let part = Dataset::open(&out).unwrap().train;
    let mut found: BTreeMap<QuestionType, usize> = BTreeMap::new();
    for thought in &part.cold_start {
        let row = part.spatial.iter().find(|row| row.question_id == thought.question_id).unwrap();
        let (reasons, _) = thought.solution.split_once("</think>").unwrap();
        let Some(place) = row.answer_index() else { continue };
        let (letter, words) = row.options()[place].split_once(". ").unwrap();
        let ends = match row.question_type {
            QuestionType::RelativeDistance => reasons.ends_with(&format!(" {letter}, {words}.")),
            QuestionType::AppearanceOrder => {
                let (first, _) = words.split_once(", ").unwrap();
                reasons.contains(&format!(". The order starts with {first}: A. "))
                    && reasons.ends_with(&format!(", which is {letter}."))
            }
            _ => {
                let told = row.options()[..=place].join(". ");
                reasons.ends_with(&format!(" {words}: {told}, which is {letter}."))
            }
        };
        assert!(ends, "{reasons} {:?}", row.options());
        *found.entry(row.question_type).or_default() += 1;
    }
    assert!(found.len() == 3 && found.values().all(|count| *count > 4), "{found:?}");
}

#[test]
fn quotas_are_met_letters_balanced_and_thoughts_end_in_the_answer() {
    let parent = tempfile::tempdir().unwrap();
    let dataset = build_by_quotas(&parent.path().join("data"));
    let mut cold_start = 0;
    for (part, quotas) in [
        (&dataset.train, [Some(60), Some(40), Some(57)]),
        // Types without a quota of their own are taken whole.
        (&dataset.validation, [None, Some(9), Some(12)]),
    ] {
        let mut letters: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let mut kinds: BTreeMap<_, usize> = BTreeMap::new();
        for row in &part.spatial {
            *kinds.entry((row.data_type, row.question_type)).or_default() += 1;
            if let Some(options) = row.options.as_ref() {
                let place = row.answer_index().unwrap();
                // From the camera's perspective the options stand in the order of the question.
                if row.data_type != DataType::SingleImage
                    || row.question_type != QuestionType::RelativeDirection
                {
                    let kind = (row.data_type, row.question_type, options.len());
                    letters.entry(kind).or_insert_with(|| vec![0; options.len()])[place] += 1;
                }
            }
        }
        for (data_type, quota) in DataType::ALL.into_iter().zip(quotas) {
            let count: usize = kinds.iter().filter(|((of, _), _)| *of == data_type).map(|(_, n)| n).sum();
            assert!(quota.is_none_or(|quota| quota == count), "{data_type:?}: {count} of {quota:?}");
        }
        assert!(letters.len() > 3);
        for (kind, counts) in &letters {
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{kind:?}: {counts:?}");
        }
        if quotas[0].is_none() {
            assert_eq!(kinds[&(DataType::SingleImage, QuestionType::AbsoluteDistance)], 3);
            assert_eq!(kinds[&(DataType::SingleImage, QuestionType::RelativeDirection)], 4);
        } else {
            assert_eq!(kinds[&(DataType::Video, QuestionType::ObjectSize)], 7);
        }

        // First localized, then answered: the same question, picture and number.
        let single: Vec<_> =
            part.spatial.iter().filter(|row| row.data_type == DataType::SingleImage).collect();
        assert_eq!(single.len(), part.grounding.len());
        for (row, grounding) in single.into_iter().zip(&part.grounding) {
            assert_eq!((row.question_id, &row.question), (grounding.question_id, &grounding.question));
            assert_eq!((&row.image, row.data_type), (&grounding.image, grounding.data_type));
            let asked = grounding.answer.iter().all(|boxed| row.question.contains(&boxed.label));
            assert!(asked && !grounding.answer.is_empty());
        }

        for thought in &part.cold_start {
            let row = part.spatial.iter().find(|row| row.question_id == thought.question_id).unwrap();
            assert_eq!((&thought.image, thought.data_type), (&row.image, row.data_type));
            assert_eq!(thought.prompt, crate::samples::prompts::stage3(&row.question, row.options()));
            let inside = thought.solution.strip_prefix("<think>").unwrap();
            let (reasons, answer) = inside.split_once("</think><answer>").unwrap();
            assert_eq!(answer.strip_suffix("</answer>").unwrap(), row.answer);
            assert!(!reasons.contains(['<', '>']));
            let named = match row.answer_index() {
                Some(place) => {
                    let (letter, words) = row.options()[place].split_once(". ").unwrap();
                    format!(" {words}, which is {letter}.")
                }
                None => format!(" {}.", row.answer),
            };
            assert!(reasons.ends_with(&named), "{reasons} {named}");
            cold_start += 1;
        }
    }
    assert_eq!(cold_start, 49);
}
