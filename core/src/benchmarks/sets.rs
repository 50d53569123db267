//! The files of the benchmarks, read as questions to be asked. Images stay on disk until they are asked for.

use crate::samples::Fault;
use crate::samples::files::{self, FileError};
use crate::samples::parquet::{Batch, ParquetError, ParquetReader};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A benchmark of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Benchmark {
    VsiBench,
    /// Both SPBench-SI and SPBench-MV, which share one form.
    Spbench,
    CvBench,
    SparBench,
    ViewSpatialBench,
}

/// A benchmark that cannot be opened at all; faults of single rows are listed instead.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    #[error(
        "there is no benchmark \"{name}\"; possible are spatialladder-26k (to import), vsi-bench, spbench, cv-bench, \
         spar-bench and viewspatial-bench"
    )]
    Unknown { name: String },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    #[error("{} holds no {expected}; name the file, or the folder that holds it", path.display())]
    NoFiles { path: PathBuf, expected: &'static str },
    #[error("{}: {message}; fetch the file again", path.display())]
    Json { path: PathBuf, message: String },
    #[error("{}, row {row}: there is no image in it; fetch the file again", path.display())]
    NoImage { path: PathBuf, row: usize },
}

/// The questions of a benchmark.
#[derive(Debug, Clone)]
pub struct EvaluationSet {
    pub benchmark: Benchmark,
    pub items: Vec<EvaluationItem>,
    /// Rows that cannot be asked, and why.
    pub faults: Vec<Fault>,
}

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationItem {
    pub id: String,
    /// `question_type`, or `task` where the benchmark calls it that.
    pub task: String,
    /// Where the question comes from, by the benchmark's own column; empty where it has none.
    pub source: String,
    /// Without options and instruction; for CV-Bench the benchmark's own prompt.
    pub question: String,
    pub options: Vec<String>,
    /// As the file has it.
    pub answer: String,
    pub media: Media,
}

/// What is shown with a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    Images(Vec<PathBuf>),
    Video(PathBuf),
    /// In this column of this row of a Parquet file.
    Embedded {
        file: PathBuf,
        row: usize,
        column: &'static str,
    },
}

/// Numbers for a first look.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub benchmark: Benchmark,
    pub questions: usize,
    pub tasks: BTreeMap<String, usize>,
    pub faults: Vec<Fault>,
}

impl Benchmark {
    pub const ALL: [Self; 5] =
        [Self::VsiBench, Self::Spbench, Self::CvBench, Self::SparBench, Self::ViewSpatialBench];

    /// As the command line writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::VsiBench => "vsi-bench",
            Self::Spbench => "spbench",
            Self::CvBench => "cv-bench",
            Self::SparBench => "spar-bench",
            Self::ViewSpatialBench => "viewspatial-bench",
        }
    }
}

impl std::str::FromStr for Benchmark {
    type Err = SetError;

    fn from_str(name: &str) -> Result<Self, SetError> {
        let found = Self::ALL.into_iter().find(|benchmark| benchmark.name() == name);
        found.ok_or_else(|| SetError::Unknown { name: name.to_owned() })
    }
}

impl EvaluationSet {
    /// Opens a benchmark's file, or the folder that holds it. `media` is the folder that videos and images are
    /// relative to; by default that of the file.
    pub fn open(benchmark: Benchmark, path: &Path, media: Option<&Path>) -> Result<Self, SetError> {
        let mut set = Self { benchmark, items: Vec::new(), faults: Vec::new() };
        if benchmark == Benchmark::ViewSpatialBench {
            for file in find(path, "json")? {
                set.read_json(&file, media)?;
            }
        } else {
            for file in find(path, "parquet")? {
                set.read_parquet(&file, media)?;
            }
        }
        Ok(set)
    }

    /// Questions by task.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for item in &self.items {
            *counts.entry(item.task.clone()).or_insert(0) += 1;
        }
        counts
    }

    pub fn summary(&self) -> Summary {
        Summary {
            benchmark: self.benchmark,
            questions: self.items.len(),
            tasks: self.counts(),
            faults: self.faults.clone(),
        }
    }

    fn read_parquet(&mut self, file: &Path, media: Option<&Path>) -> Result<(), SetError> {
        let folder = media.or_else(|| file.parent()).unwrap_or(Path::new("")).to_owned();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let columns: &[&str] = match self.benchmark {
            Benchmark::VsiBench | Benchmark::Spbench => &[
                "id",
                "dataset",
                "scene_name",
                "question_type",
                "question",
                "ground_truth",
                "options",
                "images",
            ],
            Benchmark::CvBench => {
                &["idx", "prompt", "question", "answer", "type", "task", "source", "choices"]
            }
            _ => &["id", "img_type", "format_type", "task", "source", "question", "answer"],
        };
        let reader = ParquetReader::open_part(file, Some(columns), None)?;
        if matches!(self.benchmark, Benchmark::CvBench | Benchmark::SparBench) {
            reader.require("image")?;
        }
        let has_id = reader.has("id");
        let mut row = 0;
        for batch in reader {
            let batch = batch?;
            let items = match self.benchmark {
                Benchmark::VsiBench => scene_items(&batch, |dataset, scene, _| {
                    Media::Video(folder.join(dataset).join(format!("{scene}.mp4")))
                })?,
                Benchmark::Spbench => {
                    let images = batch.text_lists("images")?;
                    let at = std::cell::Cell::new(0);
                    scene_items(&batch, |_, scene, _| {
                        let names = images[at.replace(at.get() + 1)].iter().flatten();
                        Media::Images(names.map(|name| folder.join(scene).join(name)).collect())
                    })?
                }
                Benchmark::CvBench => embedded_items(&batch, "prompt", false, file, row, "image")?,
                _ => embedded_items(&batch, "question", has_id, file, row, "image")?,
            };
            for item in items {
                row += 1;
                self.add(item, &name, row);
            }
        }
        Ok(())
    }

    fn read_json(&mut self, file: &Path, media: Option<&Path>) -> Result<(), SetError> {
        #[derive(Deserialize)]
        struct Row {
            question_type: String,
            image_path: Vec<String>,
            question: String,
            answer: String,
            choices: Choices,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Choices {
            Lines(String),
            List(Vec<String>),
        }
        let folder = media.or_else(|| file.parent()).unwrap_or(Path::new(""));
        // The benchmark's own folder, in which the file lies, begins its paths.
        let own = |path: &'_ str| path.strip_prefix("ViewSpatial-Bench/").unwrap_or(path).to_owned();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let json =
            |error: serde_json::Error| SetError::Json { path: file.to_owned(), message: error.to_string() };
        let bytes = files::read(file)?;
        // The published code takes both an array and a row a line.
        let rows: Vec<serde_json::Value> = if bytes.trim_ascii_start().starts_with(b"[") {
            serde_json::from_slice(&bytes).map_err(json)?
        } else {
            serde_json::Deserializer::from_slice(&bytes)
                .into_iter()
                .collect::<Result<_, _>>()
                .map_err(json)?
        };
        for (number, value) in (1..).zip(rows) {
            match serde_json::from_value::<Row>(value) {
                Ok(row) => self.add(
                    EvaluationItem {
                        id: (number - 1).to_string(),
                        task: row.question_type,
                        source: String::new(),
                        question: row.question,
                        options: match row.choices {
                            Choices::Lines(lines) => lines.lines().map(str::to_owned).collect(),
                            Choices::List(list) => list,
                        },
                        answer: row.answer,
                        media: Media::Images(
                            row.image_path.iter().map(|path| folder.join(own(path))).collect(),
                        ),
                    },
                    &name,
                    number,
                ),
                Err(error) => self.fault(&name, number, error.to_string()),
            }
        }
        Ok(())
    }

    /// A letter that no option has; or no number where the benchmark's questions without options need one.
    fn answer_fault(&self, item: &EvaluationItem) -> Option<String> {
        let answer = item.answer.trim();
        if !item.options.is_empty() {
            let letter = answer.bytes().next().unwrap_or_default();
            let index = letter.checked_sub(b'A').map(usize::from);
            let is_option = index.is_some_and(|index| index < item.options.len());
            return (!is_option).then(|| {
                format!(
                    "the answer {answer:?} is not the letter of one of its {} options",
                    item.options.len()
                )
            });
        }
        let is_numeric = matches!(self.benchmark, Benchmark::VsiBench | Benchmark::Spbench);
        let is_number = answer.parse::<f64>().is_ok_and(f64::is_finite);
        (is_numeric && !is_number).then(|| format!("has no options, but its answer {answer:?} is no number"))
    }

    fn fault(&mut self, file: &str, row: usize, message: String) {
        self.faults.push(Fault { file: file.to_owned(), line: Some(row), message });
    }

    fn add(&mut self, item: EvaluationItem, file: &str, row: usize) {
        let missing = match &item.media {
            Media::Images(paths) if paths.is_empty() => Some("names no image".to_owned()),
            Media::Images(paths) => paths
                .iter()
                .find(|path| !path.is_file())
                .map(|path| format!("there is no image {}", path.display())),
            Media::Video(path) if !path.is_file() => Some(format!("there is no video {}", path.display())),
            _ => None,
        };
        let empty = [("question", &item.question), ("answer", &item.answer), ("task", &item.task)]
            .into_iter()
            .find(|(_, text)| text.trim().is_empty())
            .map(|(name, _)| format!("has no {name}"));
        match empty.or_else(|| self.answer_fault(&item)).or(missing) {
            Some(message) => self.fault(file, row, message),
            None => self.items.push(item),
        }
    }
}

impl EvaluationItem {
    /// The encoded images; none of a video, whose frames have to be taken from its file.
    pub fn images(&self) -> Result<Vec<Vec<u8>>, SetError> {
        match &self.media {
            Media::Images(paths) => paths.iter().map(|path| Ok(files::read(path)?)).collect(),
            Media::Video(_) => Ok(Vec::new()),
            Media::Embedded { file, row, column } => {
                let none = || SetError::NoImage { path: file.clone(), row: row + 1 };
                let mut reader = ParquetReader::open_part(file, Some(&[column]), Some(*row))?;
                let batch = reader.next().ok_or_else(none)??;
                let images = batch.images(column)?.into_iter().next().unwrap_or_default();
                let bytes: Vec<Vec<u8>> = images.into_iter().map(|image| image.bytes).collect();
                if bytes.is_empty() || bytes.iter().any(Vec::is_empty) { Err(none()) } else { Ok(bytes) }
            }
        }
    }
}

/// Rows of VSI-Bench and SPBench; `media` is given data set, scene and the row's place in the batch.
fn scene_items(
    batch: &Batch,
    media: impl Fn(&str, &str, usize) -> Media,
) -> Result<Vec<EvaluationItem>, ParquetError> {
    let [ids, sources, scenes, tasks, questions, answers] =
        ["id", "dataset", "scene_name", "question_type", "question", "ground_truth"]
            .map(|column| batch.texts(column));
    let (ids, sources, scenes, tasks, questions, answers) =
        (ids?, sources?, scenes?, tasks?, questions?, answers?);
    let options = batch.text_lists("options")?;
    let text = |column: &[Option<String>], at: usize| column[at].clone().unwrap_or_default();
    Ok((0..batch.len())
        .map(|at| EvaluationItem {
            id: text(&ids, at),
            task: text(&tasks, at),
            source: text(&sources, at),
            question: text(&questions, at),
            options: options[at].clone().unwrap_or_default(),
            answer: text(&answers, at),
            media: media(&text(&sources, at), &text(&scenes, at), at),
        })
        .collect())
}

/// Rows of CV-Bench and SPAR-Bench, which hold their images.
fn embedded_items(
    batch: &Batch,
    question: &str,
    has_id: bool,
    file: &Path,
    first_row: usize,
    column: &'static str,
) -> Result<Vec<EvaluationItem>, ParquetError> {
    let ids = if has_id { Some(batch.texts("id")?) } else { None };
    let [tasks, sources, questions, answers] =
        ["task", "source", question, "answer"].map(|column| batch.texts(column));
    let (tasks, sources, questions, answers) = (tasks?, sources?, questions?, answers?);
    let text = |column: &[Option<String>], at: usize| column[at].clone().unwrap_or_default();
    Ok((0..batch.len())
        .map(|at| EvaluationItem {
            id: ids.as_ref().map_or_else(|| (first_row + at).to_string(), |ids| text(ids, at)),
            task: text(&tasks, at),
            source: text(&sources, at),
            question: text(&questions, at),
            options: Vec::new(),
            answer: text(&answers, at),
            media: Media::Embedded { file: file.to_owned(), row: first_row + at, column },
        })
        .collect())
}

/// The file itself, or the files with this extension in the folder, by name.
fn find(path: &Path, extension: &'static str) -> Result<Vec<PathBuf>, SetError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(FileError::io("open", path))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    let expected = if extension == "json" { ".json file" } else { ".parquet file" };
    if found.is_empty() { Err(SetError::NoFiles { path: path.to_owned(), expected }) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::parquet::{Column, ParquetWriter, StoredImage};

    fn texts(texts: &[&str]) -> Column {
        Column::Text(texts.iter().map(|&text| text.to_owned()).collect())
    }

    fn table(path: &Path, columns: Vec<(&str, Column)>) {
        let mut writer = ParquetWriter::new(path);
        writer.write(columns).unwrap();
        writer.finish().unwrap();
    }

    fn scene_table(path: &Path, more: Vec<(&str, Column)>) {
        let options = vec![Some(vec!["A. x".to_owned(), "B. y".to_owned()]), None, None];
        let mut columns = vec![
            ("id", Column::Integer(vec![3, 4, 5])),
            ("dataset", texts(&["scannet", "scannet", "scannet"])),
            ("scene_name", texts(&["s1", "s1", "s2"])),
            ("question_type", texts(&["object_rel_distance", "object_counting", "object_counting"])),
            ("question", texts(&["Which?", "How many?", "How many?"])),
            ("ground_truth", texts(&["B", "3", "2"])),
            ("options", Column::Texts(options)),
        ];
        columns.extend(more);
        table(path, columns);
    }

    #[test]
    fn vsi_bench_and_spbench_find_their_media() {
        let folder = tempfile::tempdir().unwrap();
        scene_table(&folder.path().join("test.parquet"), Vec::new());
        std::fs::create_dir_all(folder.path().join("scannet")).unwrap();
        std::fs::write(folder.path().join("scannet/s1.mp4"), "x").unwrap();
        let set = EvaluationSet::open(Benchmark::VsiBench, folder.path(), None).unwrap();
        assert_eq!((set.items.len(), set.faults.len()), (2, 1));
        assert_eq!((set.items[0].id.as_str(), set.items[0].options.len()), ("3", 2));
        assert!(set.faults[0].message.contains("s2.mp4") && set.faults[0].line == Some(3));

        let names = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        let images = Column::Texts(vec![names(&["1.jpg", "2.jpg"]), names(&["1.jpg"]), names(&[])]);
        let path = folder.path().join("SPBench-MV.parquet");
        scene_table(&path, vec![("images", images)]);
        std::fs::create_dir_all(folder.path().join("s1")).unwrap();
        std::fs::write(folder.path().join("s1/1.jpg"), "one").unwrap();
        std::fs::write(folder.path().join("s1/2.jpg"), "two").unwrap();
        let set = EvaluationSet::open(Benchmark::Spbench, &path, None).unwrap();
        assert_eq!(set.items[0].images().unwrap(), [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(set.counts()["object_counting"], 1);
        assert!(set.faults[0].message.contains("names no image"));
    }

    #[test]
    fn embedded_images_are_read_one_row_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spar.parquet");
        let image = |byte: u8| StoredImage { bytes: vec![byte; 5], path: None };
        let rows = 300_u16;
        let all = |text: &str| Column::Text(vec![text.to_owned(); usize::from(rows)]);
        table(
            &path,
            vec![
                ("id", Column::Text((0..rows).map(|i| format!("q{i}")).collect())),
                ("task", all("depth_prediction_oc")),
                ("source", all("scannet")),
                ("question", all("How deep?")),
                ("answer", all("1.5")),
                ("image", Column::Images((0..rows).map(|i| vec![image(i as u8), image(7)]).collect())),
            ],
        );
        let set = EvaluationSet::open(Benchmark::SparBench, &path, None).unwrap();
        assert_eq!(set.items.len(), 300);
        assert_eq!(set.items[200].id, "q200");
        assert_eq!(set.items[200].images().unwrap(), [vec![200; 5], vec![7; 5]]);
        let error = EvaluationSet::open(Benchmark::CvBench, &path, None).unwrap_err().to_string();
        assert!(error.contains("no column \"prompt\""), "{error}");
    }

    #[test]
    fn answers_have_to_fit_their_options() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("scannet")).unwrap();
        std::fs::write(folder.path().join("scannet/s1.mp4"), "x").unwrap();
        let options = || Some(vec!["A. x".to_owned(), "B. y".to_owned()]);
        let columns = vec![
            ("id", Column::Integer(vec![1, 2, 3])),
            ("dataset", texts(&["scannet"; 3])),
            ("scene_name", texts(&["s1"; 3])),
            ("question_type", texts(&["object_rel_distance", "object_rel_distance", "object_counting"])),
            ("question", texts(&["Which?"; 3])),
            ("ground_truth", texts(&["B", "C", "three"])),
            ("options", Column::Texts(vec![options(), options(), None])),
        ];
        table(&folder.path().join("test.parquet"), columns);
        let set = EvaluationSet::open(Benchmark::VsiBench, folder.path(), None).unwrap();
        assert_eq!((set.items.len(), set.faults.len()), (1, 2));
        assert!(set.faults[0].message.contains("\"C\" is not the letter of one of its 2 options"));
        assert!(set.faults[1].message.contains("\"three\" is no number"));
    }

    #[test]
    fn viewspatial_bench_keeps_its_choices_in_lines() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("1.jpg"), "x").unwrap();
        let rows = r#"[{"question_type": "Camera", "image_path": ["1.jpg"], "question": "Where?", "answer": "A. right",
            "choices": "A. right\nB. left"}, {"question_type": "Camera"}]"#;
        std::fs::write(folder.path().join("a.json"), rows).unwrap();
        let set = EvaluationSet::open(Benchmark::ViewSpatialBench, folder.path(), None).unwrap();
        assert_eq!(set.items[0].options, ["A. right", "B. left"]);
        assert!(set.faults[0].line == Some(2) && set.faults[0].message.contains("missing field"));
        let line = r#"{"question_type": "Camera", "image_path": ["ViewSpatial-Bench/1.jpg"], "question": "Where?",
            "answer": "B. left", "choices": ["A. right", "B. left"]}"#;
        std::fs::write(folder.path().join("a.json"), format!("{0}\n{0}", line.replace('\n', ""))).unwrap();
        let set = EvaluationSet::open(Benchmark::ViewSpatialBench, folder.path(), None).unwrap();
        assert_eq!((set.items.len(), set.faults.len()), (2, 0), "{:?}", set.faults);
        assert!("cv".parse::<Benchmark>().is_err());
        let empty = tempfile::tempdir().unwrap();
        let error = EvaluationSet::open(Benchmark::CvBench, empty.path(), None).unwrap_err().to_string();
        assert!(error.contains("no .parquet file"), "{error}");
    }
}
