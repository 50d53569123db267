//! Finds what is wrong with a data set folder before training does.

mod agreement;
mod cold_start;
mod evidence;
mod foundation;
mod grounding;
mod images;
mod rows;
mod spatial;

pub(super) use cold_start::faults as cold_start_faults;
pub(super) use grounding::faults as grounding_faults;
pub(super) use spatial::faults as spatial_faults;

use super::{Dataset, DatasetError, SpatialSample, names};
use evidence::SceneFacts;
use images::ImageSizes;
use rayon::prelude::*;
use rows::{Place, Rows};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// What [`check`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Of all files together, evidence among them; broken lines are not counted.
    pub rows: usize,
    /// Different images that the rows name.
    pub images: usize,
    /// Whether all images were looked at; `false` when the check was stopped.
    pub complete: bool,
    /// In the order of files and lines.
    pub faults: Vec<Fault>,
}

/// Something to repair.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// Relative to the data set folder.
    pub file: String,
    /// Counted from 1.
    pub line: Option<usize>,
    pub message: String,
}

/// A checked data set.
#[derive(Debug, Clone)]
pub struct Checked {
    pub report: CheckReport,
    /// All rows that can be read, those with faults among them.
    pub dataset: Dataset,
}

/// [`check_and_read`] for whoever needs only the report.
///
/// # Errors
/// Only when the folder is no data set.
pub fn check(
    root: &Path,
    progress: &(dyn Fn(usize, usize) + Sync),
    cancel: &AtomicBool,
) -> Result<CheckReport, DatasetError> {
    Ok(check_and_read(root, progress, cancel)?.report)
}

/// Checks a data set folder: each row for itself, the images, scenes and questions that rows name, what rows must
/// agree on, and the numbers of `dataset.json`. `progress` is told how many images of how many are done.
///
/// # Errors
/// Only when the folder is no data set; everything else is a [`Fault`].
pub fn check_and_read(
    root: &Path,
    progress: &(dyn Fn(usize, usize) + Sync),
    cancel: &AtomicBool,
) -> Result<Checked, DatasetError> {
    if !names::ROWS.iter().any(|name| root.join(name).is_file()) {
        return Err(DatasetError::NotADataset { path: root.to_owned() });
    }
    let mut faults = Vec::new();
    let rows = Rows::read(root, &mut faults);
    let places = rows.places();
    let images: BTreeSet<&str> =
        places.iter().flat_map(|place| place.images.iter().map(String::as_str)).collect();
    let images: Vec<&str> = images.into_iter().collect();
    let (sizes, problems) = images::measure(root, &images, progress, cancel);

    faults.extend(image_faults(&places, &problems));
    faults.extend(agreement::id_faults(&places));
    faults.extend(agreement::part_faults(&places));
    faults.extend(row_faults(root, &rows, &sizes, cancel));
    let info = agreement::read_info(root).unwrap_or_else(|fault| {
        faults.push(fault);
        None
    });
    if let Some(info) = &info {
        faults.extend(agreement::count_faults(info, &rows));
    }
    faults.sort();
    faults.dedup();
    let report = CheckReport {
        rows: rows.len(),
        images: images.len(),
        complete: !cancel.load(Ordering::Relaxed),
        faults,
    };
    Ok(Checked { report, dataset: rows.into_dataset(root, info) })
}

/// Each image that cannot be used, named once: by the first row that needs it.
fn image_faults(places: &[Place<'_>], problems: &HashMap<&str, String>) -> Vec<Fault> {
    let mut needed: BTreeMap<&str, (&Place<'_>, usize)> = BTreeMap::new();
    for place in places {
        let different: BTreeSet<&str> = place.images.iter().map(String::as_str).collect();
        for image in different.into_iter().filter(|image| problems.contains_key(image)) {
            needed.entry(image).or_insert((place, 0)).1 += 1;
        }
    }
    let fault = |(image, (place, rows)): (&str, (&Place<'_>, usize))| {
        let others = match rows - 1 {
            0 => String::new(),
            1 => " (1 more row needs it)".to_owned(),
            more => format!(" ({more} more rows need it)"),
        };
        place.fault(format!("{}{others}", problems[image]))
    };
    needed.into_iter().map(fault).collect()
}

/// What is wrong with single rows, and with what they refer to.
fn row_faults(root: &Path, rows: &Rows, sizes: &ImageSizes<'_>, cancel: &AtomicBool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for row in rows.grounding.iter().flatten() {
        let size = match row.sample.image.as_slice() {
            [image] => sizes.get(image.as_str()).copied(),
            _ => None,
        };
        faults.extend(grounding::faults(&row.sample, size).into_iter().map(|message| row.fault(message)));
    }
    let mut questions: HashMap<u64, &SpatialSample> = HashMap::new();
    for row in rows.spatial.iter().flatten() {
        questions.entry(row.sample.question_id).or_insert(&row.sample);
        faults.extend(spatial::faults(&row.sample).into_iter().map(|message| row.fault(message)));
    }
    for row in rows.cold_start.iter().flatten() {
        let question = questions.get(&row.sample.question_id).copied();
        let messages = cold_start::faults(&row.sample, question);
        faults.extend(messages.into_iter().map(|message| row.fault(message)));
    }
    let of_foundation: Vec<Fault> = rows
        .foundation
        .par_iter()
        .flatten()
        .filter(|_| !cancel.load(Ordering::Relaxed))
        .flat_map_iter(|row| {
            let messages = foundation::faults(root, &row.sample, sizes);
            messages.into_iter().map(|message| row.fault(message))
        })
        .collect();
    faults.extend(of_foundation);
    faults.extend(evidence_faults(root, rows, &questions, cancel));
    faults
}

/// Reads each scene that evidence names once, and checks the evidence against it.
fn evidence_faults(
    root: &Path,
    rows: &Rows,
    questions: &HashMap<u64, &SpatialSample>,
    cancel: &AtomicBool,
) -> Vec<Fault> {
    let names: HashSet<&str> = rows.evidence.iter().map(|row| row.sample.scene.as_str()).collect();
    let scenes: HashMap<&str, Result<SceneFacts, String>> = names
        .into_par_iter()
        .filter(|_| !cancel.load(Ordering::Relaxed))
        .map(|name| (name, SceneFacts::read(root, name)))
        .collect();
    let mut faults = Vec::new();
    let mut lines: HashMap<u64, usize> = HashMap::new();
    for row in &rows.evidence {
        let id = row.sample.question_id;
        if let Some(line) = lines.insert(id, row.line) {
            faults.push(row.fault(format!("question_id {id} has evidence on line {line} already")));
        }
        if let Some(scene) = scenes.get(row.sample.scene.as_str()) {
            let messages = evidence::faults(&row.sample, questions.get(&id).copied(), scene);
            faults.extend(messages.into_iter().map(|message| row.fault(message)));
        }
    }
    faults
}

fn info_fault(message: String) -> Fault {
    Fault { file: names::INFO.to_owned(), line: None, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Pose;
    use crate::samples::{
        ColdStartSample, Counts, DataType, DatasetInfo, Evidence, GroundedBox, GroundingSample, QuestionType,
        Reason, Segment,
    };
    use crate::scenes::{Camera, scannet_intrinsics};
    use std::fs;

    fn row(id: u64, image: &str, bbox_2d: [i64; 4]) -> String {
        let sample = GroundingSample {
            question_id: id,
            question: "Where is the tv?".to_owned(),
            answer: vec![GroundedBox { bbox_2d, label: "tv".to_owned() }],
            image: vec![image.to_owned()],
            data_type: DataType::SingleImage,
        };
        serde_json::to_string(&sample).unwrap()
    }

    pub(super) fn messages(root: &Path) -> Vec<(Option<usize>, String)> {
        let report = check(root, &|_, _| (), &AtomicBool::new(false)).unwrap();
        assert!(report.complete);
        report.faults.into_iter().map(|fault| (fault.line, fault.message)).collect()
    }

    #[test]
    fn every_kind_of_broken_localization_row_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("images/a")).unwrap();
        let picture = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 3, y as u8 * 5, 7]));
        picture.save(root.join("images/a/0.jpg")).unwrap();
        let whole = fs::read(root.join("images/a/0.jpg")).unwrap();
        fs::write(root.join("images/a/cut.jpg"), &whole[..whole.len() - 20]).unwrap();
        let rows = [
            row(0, "images/a/0.jpg", [0, 0, 64, 48]),
            row(0, "images/a/0.jpg", [1, 1, 5, 5]),
            row(2, "images/a/0.jpg", [1, 1, 65, 5]),
            row(3, "images/a/0.jpg", [9, 1, 9, 5]),
            row(4, "images/a/none.jpg", [1, 1, 5, 5]),
            row(5, "images/a/cut.jpg", [1, 1, 5, 5]),
            row(6, "../0.jpg", [1, 1, 5, 5]),
            "{\"question_id\": 7".to_owned(),
        ];
        fs::write(root.join(names::GROUNDING), rows.join("\n")).unwrap();
        fs::write(root.join(names::GROUNDING_VALIDATION), row(9, "images/a/0.jpg", [1, 1, 5, 5])).unwrap();

        let found = messages(root);
        let expected = [
            (2, "question_id 0"),
            (3, "leaves the image of 64x48"),
            (4, "is empty"),
            (5, "none.jpg"),
            (6, "cut off"),
            (7, "does not stay inside"),
            (8, "EOF"),
            (1, "both trained on and held out"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for ((line, part), (found_line, message)) in expected.into_iter().zip(found) {
            assert!(found_line == Some(line) && message.contains(part), "{message}");
        }
    }

    fn spatial(id: u64, answer: &str, image: &str) -> SpatialSample {
        SpatialSample {
            question_id: id,
            question: "Is the tv to the left or to the right of the bed?".to_owned(),
            options: Some(vec!["A. left".to_owned(), "B. right".to_owned()]),
            answer: answer.to_owned(),
            image: vec![image.to_owned()],
            question_type: QuestionType::RelativeDirection,
            data_type: DataType::SingleImage,
        }
    }

    fn write_rows<T: Serialize>(path: &Path, rows: &[T]) {
        let lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        fs::write(path, lines.join("\n")).unwrap();
    }

    /// A folder with an image of each of two scenes.
    fn folder_with_images() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for scene in ["a", "b"] {
            let images = folder.path().join(names::IMAGES).join(scene);
            fs::create_dir_all(&images).unwrap();
            image::RgbImage::new(8, 8).save(images.join("0000.jpg")).unwrap();
        }
        folder
    }

    /// Every expected line and part of a message was found, and nothing else.
    fn assert_found(found: &[(Option<usize>, String)], expected: &[(usize, &str)]) {
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (line, part) in expected {
            let is_it =
                |(found, message): &(Option<usize>, String)| *found == Some(*line) && message.contains(part);
            assert!(found.iter().any(is_it), "line {line}: {part}: {found:#?}");
        }
    }

    #[test]
    fn every_kind_of_broken_spatial_row_is_found_and_named() {
        let folder = folder_with_images();
        let image = "images/a/0000.jpg";
        let number = |id, answer| SpatialSample {
            options: None,
            question_type: QuestionType::ObjectSize,
            ..spatial(id, answer, image)
        };
        let options = |id, options: &[&str]| SpatialSample {
            options: Some(options.iter().map(|&option| option.to_owned()).collect()),
            ..spatial(id, "A", image)
        };
        let rows = [
            spatial(1, "A", image),
            spatial(1, "B", image),
            spatial(3, "C", image),
            spatial(4, "b", image),
            options(5, &["A. left", "B. Left"]),
            options(6, &["left", "B. right"]),
            options(7, &["A. left"]),
            SpatialSample { question: " ".to_owned(), ..spatial(8, "A", image) },
            number(9, "172"),
            number(10, "-3"),
            SpatialSample { options: Some(vec![]), ..number(11, "12.5") },
            SpatialSample { data_type: DataType::Video, ..spatial(12, "A", image) },
            spatial(13, "A", "images/a/0001.jpg"),
            spatial(14, "A", "images/a/0001.jpg"),
        ];
        write_rows(&folder.path().join(names::SPATIAL), &rows);
        write_rows(
            &folder.path().join(names::SPATIAL_VALIDATION),
            &[spatial(20, "A", "images/b/0000.jpg"), spatial(21, "A", image)],
        );
        let expected = [
            (2, "question_id 1 is that of spld_spatial_data.jsonl, line 1"),
            (3, "is not the letter"),
            (4, "is not the letter"),
            (5, "says the same"),
            (6, "does not read \"A. \""),
            (7, "2 or more options"),
            (8, "the question is empty"),
            (10, "not a positive decimal"),
            (11, "has options"),
            (12, "a video row has 2 or more"),
            (13, "(1 more row needs it)"),
            (2, "images of images/a are both trained on and held out"),
        ];
        assert_found(&messages(folder.path()), &expected);
    }

    #[test]
    fn rows_that_share_an_id_must_be_about_the_same_images() {
        let folder = folder_with_images();
        let root = folder.path();
        let (image, other) = ("images/a/0000.jpg", "images/b/0000.jpg");
        write_rows(&root.join(names::SPATIAL), &[spatial(1, "A", image), spatial(2, "B", image)]);
        let localization = [row(1, image, [1, 1, 5, 5]), row(2, other, [1, 1, 5, 5])];
        fs::write(root.join(names::GROUNDING), localization.join("\n")).unwrap();
        let cold_start = |id, solution: &str| ColdStartSample {
            question_id: id,
            prompt: "Question: Where?".to_owned(),
            solution: solution.to_owned(),
            image: vec![image.to_owned()],
            data_type: DataType::SingleImage,
        };
        let rows = [
            cold_start(1, "<think>It is left.</think>\n<answer>A</answer>"),
            cold_start(2, "<think>It is left.</think>\n<answer>A</answer>"),
            cold_start(3, "<answer>A</answer>"),
        ];
        write_rows(&root.join(names::COLD_START), &rows);
        let expected = [
            (2, "question_id 2 is that of spld_grounding_data.jsonl, line 2, which has other images"),
            (2, "question_id 2 is that of spld_grounding_data.jsonl, line 2, which has other images"),
            (2, "the solution answers \"A\""),
            (3, "<think>"),
        ];
        assert_found(&messages(root), &expected);
    }

    fn scene_camera() -> Camera {
        let pose = Pose { rotation: glam::Quat::IDENTITY, translation: glam::Vec3::ZERO };
        Camera { pose, intrinsics: scannet_intrinsics(8, 8), time: None }
    }

    #[test]
    fn evidence_must_refer_to_what_is_there_and_give_the_answer() {
        let folder = folder_with_images();
        let root = folder.path();
        let mut scene = crate::scenes::rooms::generate(7, 0, &Default::default());
        scene.name = "a".to_owned();
        scene.cameras = vec![scene_camera()];
        let known = scene.objects[0].id;
        let unknown = scene.objects.iter().map(|object| object.id).max().unwrap() + 1;
        fs::create_dir_all(root.join(names::SCENES)).unwrap();
        fs::write(root.join("scenes/a.json"), serde_json::to_string(&scene).unwrap()).unwrap();
        let size = |id| SpatialSample {
            options: None,
            question_type: QuestionType::ObjectSize,
            ..spatial(id, "150", "images/a/0000.jpg")
        };
        let rows: Vec<SpatialSample> = (1..=7).map(size).collect();
        write_rows(&root.join(names::SPATIAL), &rows);
        let evidence = |question_id, object, metres| Evidence {
            question_id,
            scene: "a".to_owned(),
            cameras: vec![0],
            categories: Vec::new(),
            visibility: None,
            reason: Reason::ObjectSize {
                object,
                longest: Segment { from: glam::Vec3::ZERO, to: glam::Vec3::X * metres },
            },
        };
        let rows = [
            evidence(1, known, 1.5),
            evidence(1, known, 1.5),
            evidence(99, known, 1.5),
            evidence(3, unknown, 1.5),
            evidence(4, known, 2.0),
            Evidence { scene: "c".to_owned(), ..evidence(5, known, 1.5) },
            Evidence { cameras: vec![scene.cameras.len()], ..evidence(6, known, 1.5) },
            Evidence {
                reason: Reason::ObjectCount { category: "tv".to_owned(), objects: vec![known] },
                ..evidence(7, known, 1.5)
            },
        ];
        write_rows(&root.join(names::EVIDENCE), &rows);
        let expected = [
            (2, "has evidence on line 1 already"),
            (3, "no spatial row has the question_id 99"),
            (4, "is none of scene a"),
            (5, "measures 200.00 cm, but the question is answered 150"),
            (6, "scenes/c.json cannot be read"),
            (6, "names camera 0 of scene c for the image images/a/0000.jpg"),
            (7, "is none of the"),
            (7, "for the image images/a/0000.jpg"),
            (8, "gives a reason for object count"),
        ];
        assert_found(&messages(root), &expected);
    }

    #[test]
    fn the_numbers_of_the_data_set_must_be_those_of_its_rows() {
        let folder = folder_with_images();
        let root = folder.path();
        write_rows(&root.join(names::SPATIAL), &[spatial(1, "A", "images/a/0000.jpg")]);
        let mut info = DatasetInfo {
            program: String::new(),
            source: String::new(),
            seed: 0,
            limit: None,
            train: Counts::default(),
            validation: Counts::default(),
            left_out: Vec::new(),
            shortfalls: Vec::new(),
            config: serde_json::Value::Null,
        };
        info.train.add_spatial(&spatial(1, "A", "images/a/0000.jpg"));
        info.write(root).unwrap();
        assert_found(&messages(root), &[]);
        info.train.add_spatial(&spatial(2, "A", "images/a/0000.jpg"));
        info.validation.cold_start = 3;
        info.write(root).unwrap();
        let found: Vec<String> = messages(root).into_iter().map(|(_, message)| message).collect();
        let expected = [
            "states 2 rows of single_image/relative direction in train, but there are 1",
            "states 2 spatial rows in train, but there are 1",
            "states 3 cold-start rows in validation, but there are 0",
        ];
        assert_eq!(found, expected);
    }
}
