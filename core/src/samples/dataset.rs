//! The data set folder: reading and writing its rows and its `dataset.json`.

use super::files::{self, FileError};
use super::{ColdStartSample, Evidence, FoundationSample, GroundingSample, SpatialSample};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// File names in a data set folder. Those of the rows are the released data's own where it has them.
pub mod names {
    pub const INFO: &str = "dataset.json";
    pub const GROUNDING: &str = "spld_grounding_data.jsonl";
    pub const GROUNDING_VALIDATION: &str = "spld_grounding_validation.jsonl";
    pub const SPATIAL: &str = "spld_spatial_data.jsonl";
    pub const SPATIAL_VALIDATION: &str = "spld_spatial_validation.jsonl";
    pub const COLD_START: &str = "spld_coldstart_data.jsonl";
    pub const COLD_START_VALIDATION: &str = "spld_coldstart_validation.jsonl";
    pub const EVIDENCE: &str = "evidence.jsonl";
    pub const FOUNDATION: &str = "foundation.jsonl";
    pub const FOUNDATION_VALIDATION: &str = "foundation_validation.jsonl";
    /// Files of rows to train on; a folder with one of them is a data set.
    pub const ROWS: [&str; 4] = [GROUNDING, SPATIAL, COLD_START, FOUNDATION];
    pub const IMAGES: &str = "images";
    pub const INSTANCES: &str = "instances";
    pub const SCENES: &str = "scenes";
    /// What a build under way has gathered; gone when it is finished.
    pub const WORK: &str = "work";
}

/// A data set that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}, line {line}: {message}; correct or remove this line", path.display())]
    Row { path: PathBuf, line: usize, message: String },
    #[error("{}: {message}; restore the file, or build the data set anew", path.display())]
    Info { path: PathBuf, message: String },
    #[error(
        "{} is not a data set: it holds none of {}; build one with \
         `spatial-ladder data build --source rooms:200 --out DIR`",
        path.display(), names::ROWS.join(", ")
    )]
    NotADataset { path: PathBuf },
    #[error("no scene is known for the image {image}: only built data sets have scenes, under scenes/")]
    NoScene { image: String },
}

/// A data set folder, read whole (rows only; images are opened when needed).
#[derive(Debug, Clone)]
pub struct Dataset {
    pub root: PathBuf,
    /// `None` for a folder that was not written by `data build`.
    pub info: Option<DatasetInfo>,
    pub train: Split,
    /// Rows of scenes that no row of `train` shows.
    pub validation: Split,
    /// Of training and held-out rows, in no order that matters; empty where the data set does not say.
    pub evidence: Vec<Evidence>,
}

/// The rows to train on, or those held out.
#[derive(Debug, Clone, Default)]
pub struct Split {
    pub grounding: Vec<GroundingSample>,
    pub spatial: Vec<SpatialSample>,
    pub cold_start: Vec<ColdStartSample>,
    pub foundation: Vec<FoundationSample>,
}

impl Split {
    /// What its boxes are called, each once, sorted.
    pub fn labels(&self) -> Vec<String> {
        let found = self.grounding.iter().flat_map(|row| row.answer.iter().map(|grounded| &grounded.label));
        let shown = self.foundation.iter().flat_map(|row| row.objects.iter().map(|object| &object.label));
        found.chain(shown).cloned().collect::<BTreeSet<String>>().into_iter().collect()
    }
}

/// `dataset.json`: all that is needed to build the same bytes again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// Name and version of the program that wrote the folder.
    pub program: String,
    /// As given to `data build --source`.
    pub source: String,
    pub seed: u64,
    /// As given to `data build --limit`: at most this many scenes.
    pub limit: Option<usize>,
    pub train: Counts,
    pub validation: Counts,
    /// What of the source was left out, and why: frames without a pose, and with `--skip-bad` all that could not be
    /// read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Quotas that the scenes could not fill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortfalls: Vec<String>,
    /// Every field of the question config, as resolved from preset and file.
    pub config: serde_json::Value,
}

/// How much a part of a data set holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub scenes: usize,
    pub images: usize,
    /// Localization questions.
    pub grounding: usize,
    /// Boxes in their answers.
    pub boxes: usize,
    /// Spatial questions.
    #[serde(default)]
    pub spatial: usize,
    /// Spatial questions by `data_type/question_type`.
    #[serde(default)]
    pub question_types: BTreeMap<String, usize>,
    /// Cold-start rows.
    #[serde(default)]
    pub cold_start: usize,
    /// Foundation rows.
    pub foundation: usize,
    /// Boxes in the answers by label.
    pub categories: BTreeMap<String, usize>,
}

impl Counts {
    /// Counts one row of localization.
    pub fn add_grounding(&mut self, sample: &GroundingSample) {
        self.grounding += 1;
        self.boxes += sample.answer.len();
        for answer in &sample.answer {
            *self.categories.entry(answer.label.clone()).or_default() += 1;
        }
    }

    /// Counts one spatial row.
    pub fn add_spatial(&mut self, sample: &SpatialSample) {
        self.spatial += 1;
        let key = format!("{}/{}", sample.data_type.name(), sample.question_type.name());
        *self.question_types.entry(key).or_default() += 1;
    }
}

impl Dataset {
    /// Reads the rows of a data set folder. Files that are absent count as empty, as long as there is
    /// one to train on.
    pub fn open(root: &Path) -> Result<Self, DatasetError> {
        if !names::ROWS.iter().any(|name| root.join(name).is_file()) {
            return Err(DatasetError::NotADataset { path: root.to_owned() });
        }
        Ok(Self {
            root: root.to_owned(),
            info: DatasetInfo::read(root)?,
            train: Split {
                grounding: read_rows(&root.join(names::GROUNDING))?,
                spatial: read_rows(&root.join(names::SPATIAL))?,
                cold_start: read_rows(&root.join(names::COLD_START))?,
                foundation: read_rows(&root.join(names::FOUNDATION))?,
            },
            validation: Split {
                grounding: read_rows(&root.join(names::GROUNDING_VALIDATION))?,
                spatial: read_rows(&root.join(names::SPATIAL_VALIDATION))?,
                cold_start: read_rows(&root.join(names::COLD_START_VALIDATION))?,
                foundation: read_rows(&root.join(names::FOUNDATION_VALIDATION))?,
            },
            evidence: read_rows(&root.join(names::EVIDENCE))?,
        })
    }

    /// Where an image of a row lies.
    pub fn image_path(&self, image: &str) -> PathBuf {
        self.root.join(image)
    }

    /// The scene and the index of its camera that took `image` (`images/SCENE/CAMERA.jpg`).
    pub fn scene_of(&self, image: &str) -> Result<(crate::scenes::Scene, usize), DatasetError> {
        let no_scene = || DatasetError::NoScene { image: image.to_owned() };
        let path = Path::new(image);
        let camera = path.file_stem().and_then(|stem| stem.to_str()?.parse::<usize>().ok());
        let name = path.parent().and_then(|folder| folder.file_name()?.to_str());
        let (Some(name), Some(camera)) = (name, camera) else {
            return Err(no_scene());
        };
        let path = self.root.join(names::SCENES).join(format!("{name}.json"));
        if !path.is_file() {
            return Err(no_scene());
        }
        let scene: crate::scenes::Scene = serde_json::from_str(&files::read_to_string(&path)?)
            .map_err(|error| DatasetError::Info { path, message: error.to_string() })?;
        if camera >= scene.cameras.len() {
            return Err(no_scene());
        }
        Ok((scene, camera))
    }
}

impl DatasetInfo {
    /// `None` when the folder has no `dataset.json`.
    pub fn read(root: &Path) -> Result<Option<Self>, DatasetError> {
        let path = root.join(names::INFO);
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read_to_string(&path)?;
        match serde_json::from_str(&text) {
            Ok(info) => Ok(Some(info)),
            Err(error) => Err(DatasetError::Info { path, message: error.to_string() }),
        }
    }

    /// Writes `dataset.json` into the folder `root`.
    pub fn write(&self, root: &Path) -> Result<(), DatasetError> {
        let path = root.join(names::INFO);
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| DatasetError::Info { path: path.clone(), message: error.to_string() })?;
        text.push('\n');
        Ok(files::write_atomic(&path, text.as_bytes())?)
    }
}

fn read_rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, DatasetError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    JsonlReader::open(path)?.map(|row| Ok(row?.1)).collect()
}

/// Rows of a jsonl file with their line numbers, counted from 1. Blank lines are passed over. A broken
/// row is an error that names its line, after which reading goes on with the next one.
pub struct JsonlReader<T, R = BufReader<File>> {
    path: PathBuf,
    input: R,
    line: usize,
    row: PhantomData<T>,
}

/// Bytes of a row. The longest that there are, foundation rows, have some thousands; a file without line ends is
/// not gathered in memory.
const LONGEST_ROW: usize = 16 << 20;

impl<T: DeserializeOwned> JsonlReader<T> {
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::io("open", path))?;
        Ok(Self::new(path, BufReader::new(file)))
    }
}

impl<T: DeserializeOwned, R: BufRead> JsonlReader<T, R> {
    /// Reads `input`, of which errors speak as of the file `path`.
    pub fn new(path: &Path, input: R) -> Self {
        Self { path: path.to_owned(), input, line: 0, row: PhantomData }
    }

    /// The next line that is not blank, with its end; `None` after the last one. A longer one than a row may be is
    /// cut off one byte after that length.
    fn next_line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        loop {
            text.clear();
            let limit = LONGEST_ROW as u64 + 1;
            if self.input.by_ref().take(limit).read_until(b'\n', &mut text)? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if text.len() > LONGEST_ROW {
                self.input.skip_until(b'\n')?;
            }
            if !text.trim_ascii().is_empty() {
                return Ok(Some(text));
            }
        }
    }
}

impl<T: DeserializeOwned, R: BufRead> Iterator for JsonlReader<T, R> {
    type Item = Result<(usize, T), DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = match self.next_line() {
            Ok(text) => text?,
            Err(error) => return Some(Err(FileError::io("read", &self.path)(error).into())),
        };
        if text.len() > LONGEST_ROW {
            let message = format!("the row is longer than {} MiB", LONGEST_ROW >> 20);
            return Some(Err(DatasetError::Row { path: self.path.clone(), line: self.line, message }));
        }
        Some(match serde_json::from_slice(text.trim_ascii_end()) {
            Ok(row) => Ok((self.line, row)),
            Err(error) => {
                let (path, line) = (self.path.clone(), self.line);
                // serde_json's own "at line 1" would contradict the line of the file.
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default().to_owned();
                let message = format!("{message} (column {})", error.column());
                Err(DatasetError::Row { path, line, message })
            }
        })
    }
}

/// Writes rows one a line, as they come. Call [`JsonlWriter::finish`]: what a writer dropped before
/// that has written may be incomplete.
pub struct JsonlWriter {
    path: PathBuf,
    output: BufWriter<File>,
}

impl JsonlWriter {
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let file = File::create(path).map_err(FileError::io("create", path))?;
        Ok(Self { path: path.to_owned(), output: BufWriter::new(file) })
    }

    pub fn write<T: Serialize>(&mut self, row: &T) -> Result<(), FileError> {
        serde_json::to_writer(&mut self.output, row)
            .map_err(std::io::Error::from)
            .and_then(|()| self.output.write_all(b"\n"))
            .map_err(FileError::io("write", &self.path))
    }

    /// Writes out what is buffered and makes it durable.
    pub fn finish(mut self) -> Result<(), FileError> {
        self.output
            .flush()
            .and_then(|()| self.output.get_ref().sync_all())
            .map_err(FileError::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ROW: &str = r#"{"question_id":7,"question":"Where is the tv?","answer":[{"bbox_2d":[1,2,30,40],"label":"tv"}],"image":["images/a/0000.jpg"],"data_type":"single_image"}"#;

    #[test]
    fn rows_of_the_released_schema_survive_the_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(names::GROUNDING);
        fs::write(&path, format!("{ROW}\n\n{ROW}\n")).unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        assert_eq!(dataset.train.grounding.len(), 2);
        assert!(dataset.validation.grounding.is_empty() && dataset.info.is_none());
        let copy = folder.path().join("copy.jsonl");
        let mut writer = JsonlWriter::create(&copy).unwrap();
        writer.write(&dataset.train.grounding[0]).unwrap();
        writer.finish().unwrap();
        assert_eq!(fs::read_to_string(&copy).unwrap(), format!("{ROW}\n"));
    }

    #[test]
    fn a_broken_row_is_named_by_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(names::GROUNDING);
        fs::write(&path, format!("{ROW}\n\n{}\n{ROW}", &ROW[..50])).unwrap();
        let message = Dataset::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("spld_grounding_data.jsonl, line 3: EOF"), "{message}");
        let rows: Vec<_> = JsonlReader::<GroundingSample>::open(&path).unwrap().collect();
        assert_eq!(rows.iter().filter(|row| row.is_ok()).count(), 2);
    }

    #[test]
    fn an_endless_row_is_passed_over() {
        let mut text = vec![b' '; LONGEST_ROW + 5];
        text[0] = b'"';
        text.extend(b"\n7");
        let rows: Vec<_> = JsonlReader::<u32, _>::new(Path::new("a.jsonl"), text.as_slice()).collect();
        let message = rows[0].as_ref().unwrap_err().to_string();
        assert!(message.contains("line 1: the row is longer than 16 MiB"), "{message}");
        assert!(matches!(rows[1], Ok((2, 7))) && rows.len() == 2);
    }

    #[test]
    fn a_folder_without_rows_says_how_to_get_some() {
        let folder = tempfile::tempdir().unwrap();
        let message = Dataset::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("data build"), "{message}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_reported_as_such() {
        let mut writer = JsonlWriter::create(Path::new("/dev/full")).unwrap();
        writer.write(&"x").unwrap();
        let error = writer.finish().unwrap_err();
        assert!(error.is_disk_full() && error.to_string().contains("free some disk space"), "{error}");
    }
}
