//! Writing a data set for others: the released files, Parquet for Hugging Face `datasets`, or the table of SPBench.

use super::files::{self, FileError, PartialDir};
use super::parquet::{BATCH, Column, ParquetError, ParquetWriter, StoredImage};
use super::{DataType, Dataset, JsonlWriter, QuestionType, Reason, SectorScheme, SpatialSample, names};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a data set is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// The released row files, image paths relative to `images/`.
    Jsonl,
    /// `KIND/train-00000-of-00001.parquet`, with images beside them or inside.
    Parquet { embed_images: bool },
    /// The held-out questions as SPBench keeps its own.
    Spbench,
}

/// A data set that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    #[error("{} holds no rows that this format can hold; build or import some first", path.display())]
    Nothing { path: std::path::PathBuf },
    #[error("stopped before the end; nothing was written")]
    Cancelled,
}

/// Rows written at a time when they hold their pictures: a video of 32 frames is some megabytes.
const EMBEDDED_BATCH: usize = 8;

/// Rows written, by file.
pub type Written = Vec<(String, usize)>;

/// Writes the data set as a new folder: all or nothing.
pub fn export(
    dataset: &Dataset,
    format: ExportFormat,
    out: &Path,
    cancel: &AtomicBool,
) -> Result<Written, ExportError> {
    let folder = PartialDir::create(out)?;
    let exporter = Exporter { dataset, out: folder.path(), cancel };
    let written = match format {
        ExportFormat::Jsonl => exporter.jsonl()?,
        ExportFormat::Parquet { embed_images } => exporter.parquet(embed_images)?,
        ExportFormat::Spbench => exporter.spbench()?,
    };
    if written.is_empty() {
        return Err(ExportError::Nothing { path: dataset.root.clone() });
    }
    folder.finish()?;
    Ok(written)
}

struct Exporter<'a> {
    dataset: &'a Dataset,
    out: &'a Path,
    cancel: &'a AtomicBool,
}

/// The path within `images/`, which readers of the released files are given as the image root.
fn within_images(image: &str) -> &str {
    let rest = image.strip_prefix(names::IMAGES).and_then(|rest| rest.strip_prefix('/'));
    rest.unwrap_or(image)
}

impl Exporter<'_> {
    fn go_on(&self) -> Result<(), ExportError> {
        if self.cancel.load(Ordering::Relaxed) { Err(ExportError::Cancelled) } else { Ok(()) }
    }

    fn jsonl(&self) -> Result<Written, ExportError> {
        let mut written = Vec::new();
        let mut images = BTreeSet::new();
        let parts = [&self.dataset.train, &self.dataset.validation];
        let files = [
            [names::GROUNDING, names::SPATIAL, names::COLD_START],
            [names::GROUNDING_VALIDATION, names::SPATIAL_VALIDATION, names::COLD_START_VALIDATION],
        ];
        for (part, [grounding, spatial, cold_start]) in parts.into_iter().zip(files) {
            self.rows(grounding, &part.grounding, |row| &mut row.image, &mut images, &mut written)?;
            self.rows(spatial, &part.spatial, |row| &mut row.image, &mut images, &mut written)?;
            self.rows(cold_start, &part.cold_start, |row| &mut row.image, &mut images, &mut written)?;
        }
        self.place_images(images, |image| format!("{}/{}", names::IMAGES, within_images(image)))?;
        Ok(written)
    }

    fn rows<T: Serialize + Clone>(
        &self,
        file: &str,
        rows: &[T],
        images_of: fn(&mut T) -> &mut Vec<String>,
        images: &mut BTreeSet<String>,
        written: &mut Written,
    ) -> Result<(), ExportError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut writer = JsonlWriter::create(&self.out.join(file))?;
        for row in rows {
            let mut row = row.clone();
            for image in images_of(&mut row) {
                images.insert(image.clone());
                *image = within_images(image).to_owned();
            }
            writer.write(&row)?;
        }
        writer.finish()?;
        written.push((file.to_owned(), rows.len()));
        Ok(())
    }

    /// Links or copies images to where `place` says, relative to the new folder.
    fn place_images(
        &self,
        images: BTreeSet<String>,
        place: impl Fn(&str) -> String,
    ) -> Result<(), ExportError> {
        for image in images {
            self.go_on()?;
            let (from, to) = (self.dataset.image_path(&image), self.out.join(place(&image)));
            files::link_or_copy(&from, &to)?;
        }
        Ok(())
    }

    fn image_column(&self, rows: Vec<&[String]>, embed: bool) -> Result<Column, ExportError> {
        if !embed {
            let paths = rows
                .into_iter()
                .map(|row| Some(row.iter().map(|image| within_images(image).to_owned()).collect()));
            return Ok(Column::Texts(paths.collect()));
        }
        let stored = |image: &String| -> Result<StoredImage, FileError> {
            Ok(StoredImage {
                bytes: files::read(&self.dataset.image_path(image))?,
                path: Some(within_images(image).to_owned()),
            })
        };
        let rows: Result<Vec<Vec<StoredImage>>, FileError> =
            rows.into_iter().map(|row| row.iter().map(stored).collect()).collect();
        Ok(Column::Images(rows?))
    }

    fn parquet(&self, embed: bool) -> Result<Written, ExportError> {
        let mut written = Vec::new();
        let mut images = BTreeSet::new();
        let modality = |data_type: DataType| data_type.name().to_owned();
        // Pictures are held in memory until they are written.
        let at_a_time = if embed { EMBEDDED_BATCH } else { BATCH };
        for (split, part) in [("train", &self.dataset.train), ("validation", &self.dataset.validation)] {
            let file = |kind: &str| format!("{kind}/{split}-00000-of-00001.parquet");
            let table = |kind: &str, count: usize, written: &mut Written| {
                (count > 0).then(|| {
                    written.push((file(kind), count));
                    ParquetWriter::new(&self.out.join(file(kind)))
                })
            };
            if let Some(mut table) = table("grounding", part.grounding.len(), &mut written) {
                for rows in part.grounding.chunks(at_a_time) {
                    self.go_on()?;
                    table.write(vec![
                        (
                            "question_id",
                            Column::Integer(rows.iter().map(|row| row.question_id as i64).collect()),
                        ),
                        ("question", Column::Text(rows.iter().map(|row| row.question.clone()).collect())),
                        ("answer", Column::Boxes(rows.iter().map(|row| row.answer.clone()).collect())),
                        ("image", self.image_column(rows.iter().map(|row| &row.image[..]).collect(), embed)?),
                        ("data_type", Column::Text(rows.iter().map(|row| modality(row.data_type)).collect())),
                    ])?;
                    images.extend(rows.iter().flat_map(|row| row.image.iter().cloned()));
                }
                table.finish()?;
            }
            if let Some(mut table) = table("spatial", part.spatial.len(), &mut written) {
                for rows in part.spatial.chunks(at_a_time) {
                    self.go_on()?;
                    let types = rows.iter().map(|row| row.question_type.name().to_owned());
                    table.write(vec![
                        (
                            "question_id",
                            Column::Integer(rows.iter().map(|row| row.question_id as i64).collect()),
                        ),
                        ("question", Column::Text(rows.iter().map(|row| row.question.clone()).collect())),
                        ("options", Column::Texts(rows.iter().map(|row| row.options.clone()).collect())),
                        ("answer", Column::Text(rows.iter().map(|row| row.answer.clone()).collect())),
                        ("image", self.image_column(rows.iter().map(|row| &row.image[..]).collect(), embed)?),
                        ("question_type", Column::Text(types.collect())),
                        ("data_type", Column::Text(rows.iter().map(|row| modality(row.data_type)).collect())),
                    ])?;
                    images.extend(rows.iter().flat_map(|row| row.image.iter().cloned()));
                }
                table.finish()?;
            }
            if let Some(mut table) = table("cold_start", part.cold_start.len(), &mut written) {
                for rows in part.cold_start.chunks(at_a_time) {
                    self.go_on()?;
                    table.write(vec![
                        (
                            "question_id",
                            Column::Integer(rows.iter().map(|row| row.question_id as i64).collect()),
                        ),
                        ("prompt", Column::Text(rows.iter().map(|row| row.prompt.clone()).collect())),
                        ("solution", Column::Text(rows.iter().map(|row| row.solution.clone()).collect())),
                        ("image", self.image_column(rows.iter().map(|row| &row.image[..]).collect(), embed)?),
                        ("data_type", Column::Text(rows.iter().map(|row| modality(row.data_type)).collect())),
                    ])?;
                    images.extend(rows.iter().flat_map(|row| row.image.iter().cloned()));
                }
                table.finish()?;
            }
        }
        if !embed {
            self.place_images(images, |image| format!("{}/{}", names::IMAGES, within_images(image)))?;
        }
        files::write_atomic(&self.out.join("README.md"), card(&written).as_bytes())?;
        Ok(written)
    }

    fn spbench(&self) -> Result<Written, ExportError> {
        let schemes: HashMap<u64, SectorScheme> = self
            .dataset
            .evidence
            .iter()
            .filter_map(|evidence| match &evidence.reason {
                Reason::RelativeDirection { scheme, .. } => Some((evidence.question_id, *scheme)),
                _ => None,
            })
            .collect();
        let mut written = Vec::new();
        let mut images = BTreeSet::new();
        // SPBench has no videos; ours stand in a table of their own, with their frames as images.
        for (file, data_type) in [
            ("SPBench-SI.parquet", DataType::SingleImage),
            ("SPBench-MV.parquet", DataType::MultiView),
            ("SPBench-Video.parquet", DataType::Video),
        ] {
            let rows: Vec<&SpatialSample> =
                self.dataset.validation.spatial.iter().filter(|row| row.data_type == data_type).collect();
            if rows.is_empty() {
                continue;
            }
            let source = self.dataset.info.as_ref().map_or("spatial-ladder", |info| info.source.as_str());
            let mut table = ParquetWriter::new(&self.out.join(file));
            for rows in rows.chunks(BATCH) {
                self.go_on()?;
                let text = |of: &dyn Fn(&SpatialSample) -> String| {
                    Column::Text(rows.iter().map(|row| of(row)).collect())
                };
                let names = rows.iter().map(|row| {
                    let scene = scene_of(row);
                    let within_scene = |image: &String| {
                        let name = within_images(image);
                        name.strip_prefix(scene).unwrap_or(name).trim_start_matches('/').to_owned()
                    };
                    Some(row.image.iter().map(within_scene).collect())
                });
                table.write(vec![
                    ("id", Column::Integer(rows.iter().map(|row| row.question_id as i64).collect())),
                    ("dataset", text(&|_| source.split(':').next().unwrap_or(source).to_owned())),
                    ("scene_name", text(&|row| scene_of(row).to_owned())),
                    ("question_type", text(&|row| vsi_name(row, &schemes).to_owned())),
                    ("question", text(&|row| row.question.clone())),
                    ("ground_truth", text(&|row| row.answer.clone())),
                    ("options", Column::Texts(rows.iter().map(|row| row.options.clone()).collect())),
                    ("images", Column::Texts(names.collect())),
                ])?;
                images.extend(rows.iter().flat_map(|row| row.image.iter().cloned()));
            }
            table.finish()?;
            written.push((file.to_owned(), rows.len()));
        }
        self.place_images(images, |image| within_images(image).to_owned())?;
        Ok(written)
    }
}

/// The folder within `images/` that all images of a row lie in; empty where there is none.
fn scene_of(row: &SpatialSample) -> &str {
    let mut images = row.image.iter().map(|image| within_images(image));
    let first = images.next().unwrap_or_default();
    let mut common = first.rsplit_once('/').map_or("", |(folder, _)| folder);
    for other in images {
        let holds = |folder: &str| other.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        while !common.is_empty() && !holds(common) {
            common = common.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }
    common
}

/// A question type as VSI-Bench and SPBench name it.
fn vsi_name(row: &SpatialSample, schemes: &HashMap<u64, SectorScheme>) -> &'static str {
    match row.question_type {
        QuestionType::AbsoluteDistance => "object_abs_distance",
        QuestionType::RelativeDistance => "object_rel_distance",
        QuestionType::ObjectSize => "object_size_estimation",
        QuestionType::ObjectCount => "object_counting",
        QuestionType::RoomSize => "room_size_estimation",
        QuestionType::AppearanceOrder => "obj_appearance_order",
        QuestionType::RelativeDirection => match schemes.get(&row.question_id) {
            Some(SectorScheme::Easy) => "object_rel_direction_easy",
            Some(SectorScheme::Medium) => "object_rel_direction_medium",
            Some(SectorScheme::Hard) => "object_rel_direction_hard",
            _ => "object_rel_direction",
        },
    }
}

/// What `datasets.load_dataset(FOLDER, KIND)` needs to know.
fn card(written: &Written) -> String {
    let mut text = "---\nconfigs:\n".to_owned();
    for kind in ["spatial", "grounding", "cold_start"] {
        let files: Vec<&str> =
            written.iter().map(|(file, _)| file.as_str()).filter(|file| file.starts_with(kind)).collect();
        if files.is_empty() {
            continue;
        }
        text.push_str(&format!("- config_name: {kind}\n  data_files:\n"));
        for file in files {
            let split = if file.contains("/train-") { "train" } else { "validation" };
            text.push_str(&format!("  - split: {split}\n    path: {file}\n"));
        }
    }
    text.push_str("---\n\nSpatial questions in the schema of SpatialLadder-26k.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{ColdStartSample, Evidence, GroundedBox, GroundingSample, Split};

    fn dataset(root: &Path) -> Dataset {
        std::fs::create_dir_all(root.join("images/a")).unwrap();
        image::RgbImage::new(8, 8).save(root.join("images/a/0000.jpg")).unwrap();
        let image = vec!["images/a/0000.jpg".to_owned()];
        let data_type = DataType::SingleImage;
        let spatial = SpatialSample {
            question_id: 4,
            question: "Where?".to_owned(),
            options: Some(vec!["A. left".to_owned(), "B. right".to_owned()]),
            answer: "B".to_owned(),
            image: image.clone(),
            question_type: QuestionType::RelativeDirection,
            data_type,
        };
        let grounding = GroundingSample {
            question_id: 4,
            question: "Where?".to_owned(),
            answer: vec![GroundedBox { bbox_2d: [1, 2, 3, 4], label: "tv".to_owned() }],
            image: image.clone(),
            data_type,
        };
        let (prompt, solution) = ("Where?".to_owned(), "<think>b</think><answer>B</answer>".to_owned());
        let cold_start = ColdStartSample { question_id: 4, prompt, solution, image, data_type };
        let split = Split {
            grounding: vec![grounding],
            spatial: vec![spatial],
            cold_start: vec![cold_start],
            foundation: Vec::new(),
        };
        Dataset {
            root: root.to_owned(),
            info: None,
            train: split.clone(),
            validation: split,
            evidence: Vec::new(),
        }
    }

    #[test]
    fn released_files_go_out_and_come_in_again() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset(folder.path());
        let out = folder.path().join("out");
        let cancel = AtomicBool::new(false);
        assert_eq!(export(&dataset, ExportFormat::Jsonl, &out, &cancel).unwrap().len(), 6);
        let (images, back) = (out.join("images"), folder.path().join("back"));
        let request = crate::samples::import::ImportRequest {
            rows: &out,
            images: &images,
            out: &back,
            skip_bad: false,
            validation_share: 0.0,
        };
        crate::samples::import::import(&request, &|_, _| (), &cancel).unwrap();
        let again = Dataset::open(&back).unwrap();
        assert_eq!(again.train.spatial, dataset.train.spatial);
        assert_eq!(again.train.grounding, dataset.train.grounding);
        assert_eq!(again.train.cold_start, dataset.train.cold_start);
    }

    #[test]
    fn tables_hold_the_rows_and_embedded_images() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset(folder.path());
        let out = folder.path().join("out");
        let cancel = AtomicBool::new(false);
        export(&dataset, ExportFormat::Parquet { embed_images: true }, &out, &cancel).unwrap();
        let table = out.join("spatial/validation-00000-of-00001.parquet");
        let batch = super::super::parquet::ParquetReader::open(&table).unwrap().next().unwrap().unwrap();
        assert_eq!(batch.texts("answer").unwrap(), [Some("B".to_owned())]);
        let bytes = std::fs::read(dataset.image_path("images/a/0000.jpg")).unwrap();
        assert_eq!(batch.images("image").unwrap()[0][0].bytes, bytes);
        assert!(std::fs::read_to_string(out.join("README.md")).unwrap().contains("config_name: grounding"));
    }

    #[test]
    fn held_out_questions_are_an_evaluation_set() {
        use crate::benchmarks::sets::{Benchmark, EvaluationSet};
        let folder = tempfile::tempdir().unwrap();
        let mut dataset = dataset(folder.path());
        let mut video = dataset.validation.spatial[0].clone();
        (video.question_id, video.data_type) = (5, DataType::Video);
        video.image = ["images/a/b/0.jpg", "images/a/c/1.jpg"].map(str::to_owned).to_vec();
        for image in &video.image {
            files::link_or_copy(&dataset.image_path("images/a/0000.jpg"), &dataset.image_path(image))
                .unwrap();
        }
        dataset.validation.spatial.push(video);
        let reason = Reason::RelativeDirection {
            scheme: SectorScheme::Hard,
            objects: vec![1, 2, 3],
            standpoint: glam::Vec3::ZERO,
            facing: glam::Vec3::X,
            target: glam::Vec3::Y,
            angle_deg: 270.0,
        };
        dataset.evidence = vec![Evidence {
            question_id: 5,
            scene: "a".to_owned(),
            cameras: vec![0, 1],
            reason,
            categories: Default::default(),
            visibility: Default::default(),
        }];
        let bench = folder.path().join("bench");
        export(&dataset, ExportFormat::Spbench, &bench, &AtomicBool::new(false)).unwrap();
        let set = EvaluationSet::open(Benchmark::Spbench, &bench, None).unwrap();
        assert!(set.faults.is_empty(), "{:?}", set.faults);
        let found: Vec<_> = set.items.iter().map(|item| (item.task.as_str(), item.answer.as_str())).collect();
        assert_eq!(found, [("object_rel_direction", "B"), ("object_rel_direction_hard", "B")]);
        assert_eq!(set.items[1].images().unwrap().len(), 2);
    }
}
