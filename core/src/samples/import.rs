//! Taking over a data set in the released files of SpatialLadder-26k.

use super::check::spatial_faults;
use super::files::{self, FileError, PartialDir};
use super::{
    ColdStartSample, Counts, DataType, DatasetError, DatasetInfo, Fault, GroundingSample, JsonlReader,
    JsonlWriter, SpatialSample, names,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What to take over.
#[derive(Debug, Clone)]
pub struct ImportRequest<'a> {
    /// A folder with any of the released row files.
    pub rows: &'a Path,
    /// The folder that image paths are relative to.
    pub images: &'a Path,
    /// Must not exist yet, or be an empty folder.
    pub out: &'a Path,
    /// Whether to leave out faulty rows instead of stopping.
    pub skip_bad: bool,
}

/// What was taken over.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ImportReport {
    pub grounding: usize,
    pub spatial: usize,
    pub cold_start: usize,
    pub images: usize,
    /// Grounding rows that are the same question as a spatial row: by id, images and data type.
    pub joined: usize,
    /// Rows that were left out, and why.
    pub faults: Vec<Fault>,
}

/// A data set that could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "{} holds none of {}, {} and {}; name the folder that does", path.display(), names::GROUNDING, names::SPATIAL,
        names::COLD_START
    )]
    NoRows { path: PathBuf },
    #[error("{}; correct these rows, or leave them out with --skip-bad", list(faults))]
    Faults { faults: Vec<Fault> },
    #[error("every row is faulty: {}", list(faults))]
    NothingLeft { faults: Vec<Fault> },
    #[error("stopped before the end; nothing was written")]
    Cancelled,
}

/// Faults named in an error.
const LISTED: usize = 20;

fn list(faults: &[Fault]) -> String {
    let named = faults.iter().take(LISTED).map(|fault| {
        let line = fault.line.map_or(String::new(), |line| format!(", line {line}"));
        format!("\n  {}{line}: {}", fault.file, fault.message)
    });
    let more =
        if faults.len() > LISTED { format!("\n  and {} more", faults.len() - LISTED) } else { String::new() };
    format!("{} faulty rows:{}{more}", faults.len(), named.collect::<String>())
}

/// A row as it is read: image paths may be one text, and questions hold `<image>`.
trait Released: DeserializeOwned {
    fn id(&self) -> u64;
    fn images(&mut self) -> &mut Vec<String>;
    /// Removes what only the published code's own reader needs, and says what is wrong.
    fn tidy(&mut self) -> Vec<String>;
    /// Boxes to be found in the only image.
    fn boxes(&self) -> Vec<[i64; 4]> {
        Vec::new()
    }
}

fn without_marks(text: &mut String) {
    if text.contains("<image>") {
        *text = text.replace("<image>", "").trim_start().to_owned();
    }
}

fn image_count(data_type: DataType, count: usize) -> Option<String> {
    super::check::image_count_fault(count, data_type)
}

impl Released for GroundingSample {
    fn id(&self) -> u64 {
        self.question_id
    }

    fn images(&mut self) -> &mut Vec<String> {
        &mut self.image
    }

    fn tidy(&mut self) -> Vec<String> {
        without_marks(&mut self.question);
        let mut faults: Vec<String> = image_count(self.data_type, self.image.len()).into_iter().collect();
        if self.question.trim().is_empty() {
            faults.push("the question is empty".to_owned());
        }
        if self.answer.is_empty() {
            faults.push("the answer has no box".to_owned());
        }
        for found in &self.answer {
            let [x1, y1, x2, y2] = found.bbox_2d;
            if x1 >= x2 || y1 >= y2 {
                faults.push(format!("{}: the box {:?} has no area", found.label, found.bbox_2d));
            }
        }
        faults
    }

    fn boxes(&self) -> Vec<[i64; 4]> {
        self.answer.iter().map(|found| found.bbox_2d).collect()
    }
}

impl Released for SpatialSample {
    fn id(&self) -> u64 {
        self.question_id
    }

    fn images(&mut self) -> &mut Vec<String> {
        &mut self.image
    }

    fn tidy(&mut self) -> Vec<String> {
        without_marks(&mut self.question);
        if self.options.as_ref().is_some_and(Vec::is_empty) {
            self.options = None;
        }
        self.answer = self.answer.trim().to_owned();
        spatial_faults(self)
    }
}

impl Released for ColdStartSample {
    fn id(&self) -> u64 {
        self.question_id
    }

    fn images(&mut self) -> &mut Vec<String> {
        &mut self.image
    }

    fn tidy(&mut self) -> Vec<String> {
        without_marks(&mut self.prompt);
        let mut faults: Vec<String> = image_count(self.data_type, self.image.len()).into_iter().collect();
        if !(self.solution.contains("<think>") && self.solution.contains("<answer>")) {
            faults.push("the solution has no <think> and <answer>".to_owned());
        }
        faults
    }
}

/// Reads, checks and joins the rows, links or copies the images, and writes a data set folder: all or nothing.
/// `progress` is told how many images of how many are in place.
pub fn import(
    request: &ImportRequest<'_>,
    progress: &dyn Fn(usize, usize),
    cancel: &AtomicBool,
) -> Result<ImportReport, ImportError> {
    let mut reader = Reader { request, sizes: HashMap::new(), faults: Vec::new() };
    let released = [names::GROUNDING, names::SPATIAL, names::COLD_START];
    if !released.iter().any(|name| request.rows.join(name).is_file()) {
        return Err(ImportError::NoRows { path: request.rows.to_owned() });
    }
    let mut grounding: Vec<GroundingSample> = reader.read(names::GROUNDING)?;
    let mut spatial: Vec<SpatialSample> = reader.read(names::SPATIAL)?;
    let mut cold_start: Vec<ColdStartSample> = reader.read(names::COLD_START)?;
    let faults = std::mem::take(&mut reader.faults);
    if !request.skip_bad && !faults.is_empty() {
        return Err(ImportError::Faults { faults });
    }
    if grounding.is_empty() && spatial.is_empty() && cold_start.is_empty() {
        return Err(ImportError::NothingLeft { faults });
    }
    let keys: HashSet<(u64, &[String], DataType)> =
        spatial.iter().map(|row| (row.question_id, row.image.as_slice(), row.data_type)).collect();
    let is_joined = |row: &&GroundingSample| keys.contains(&(row.question_id, &row.image, row.data_type));
    let joined = grounding.iter().filter(is_joined).count();

    let folder = PartialDir::create(request.out)?;
    let images: Vec<String> = reader.used(&grounding, &spatial, &cold_start);
    for (done, image) in images.iter().enumerate() {
        if cancel.load(Ordering::Relaxed) {
            return Err(ImportError::Cancelled);
        }
        link_or_copy(&request.images.join(image), &folder.path().join(names::IMAGES).join(image))?;
        progress(done + 1, images.len());
    }
    let inside = |image: &mut String| *image = format!("{}/{image}", names::IMAGES);
    grounding.iter_mut().for_each(|row| row.image.iter_mut().for_each(inside));
    spatial.iter_mut().for_each(|row| row.image.iter_mut().for_each(inside));
    cold_start.iter_mut().for_each(|row| row.image.iter_mut().for_each(inside));

    let mut counts = Counts { images: images.len(), cold_start: cold_start.len(), ..Counts::default() };
    grounding.iter().for_each(|row| counts.add_grounding(row));
    spatial.iter().for_each(|row| counts.add_spatial(row));
    write_rows(folder.path(), names::GROUNDING, &grounding)?;
    write_rows(folder.path(), names::SPATIAL, &spatial)?;
    write_rows(folder.path(), names::COLD_START, &cold_start)?;
    let left_out: Vec<String> = faults
        .iter()
        .map(|fault| format!("{}, line {}: {}", fault.file, fault.line.unwrap_or(0), fault.message))
        .collect();
    let info = DatasetInfo {
        program: format!("spatial-ladder {}", env!("CARGO_PKG_VERSION")),
        source: format!("spatialladder-26k:{}", request.rows.display()),
        seed: 0,
        limit: None,
        train: counts,
        validation: Counts::default(),
        left_out,
        shortfalls: Vec::new(),
        config: serde_json::Value::Null,
    };
    info.write(folder.path())?;
    folder.finish()?;
    Ok(ImportReport {
        grounding: grounding.len(),
        spatial: spatial.len(),
        cold_start: cold_start.len(),
        images: images.len(),
        joined,
        faults,
    })
}

fn write_rows<T: Serialize>(folder: &Path, name: &str, rows: &[T]) -> Result<(), FileError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut writer = JsonlWriter::create(&folder.join(name))?;
    rows.iter().try_for_each(|row| writer.write(row))?;
    writer.finish()
}

/// Images are read only, so one copy on disk serves both folders where the file system allows it.
fn link_or_copy(from: &Path, to: &Path) -> Result<(), FileError> {
    if let Some(folder) = to.parent() {
        files::create_dir_all(folder)?;
    }
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to).map_err(FileError::io("copy", from))?;
    }
    Ok(())
}

struct Reader<'a> {
    request: &'a ImportRequest<'a>,
    /// Of every image asked for, or what is wrong with it.
    sizes: HashMap<String, Result<(u32, u32), String>>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    /// The good rows of a file; none where there is no such file.
    fn read<T: Released>(&mut self, file: &str) -> Result<Vec<T>, ImportError> {
        let path = self.request.rows.join(file);
        if !path.is_file() {
            return Ok(Vec::new());
        }
        let mut ids: HashMap<u64, usize> = HashMap::new();
        let mut rows = Vec::new();
        for read in JsonlReader::<serde_json::Value>::open(&path)? {
            let (line, value) = match read {
                Ok(row) => row,
                Err(DatasetError::Row { line, message, .. }) => {
                    self.fault(file, line, message);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let mut row: T = match serde_json::from_value(with_image_list(value)) {
                Ok(row) => row,
                Err(error) => {
                    self.fault(file, line, error.to_string());
                    continue;
                }
            };
            let mut messages = row.tidy();
            messages.extend(self.image_faults(&mut row));
            match ids.get(&row.id()) {
                Some(first) => messages.push(format!("question_id {} is that of line {first}", row.id())),
                None => {
                    ids.insert(row.id(), line);
                }
            }
            if messages.is_empty() {
                rows.push(row);
            } else {
                self.fault(file, line, messages.join("; "));
            }
        }
        Ok(rows)
    }

    fn fault(&mut self, file: &str, line: usize, message: String) {
        self.faults.push(Fault { file: file.to_owned(), line: Some(line), message });
    }

    fn image_faults<T: Released>(&mut self, row: &mut T) -> Vec<String> {
        let mut faults = Vec::new();
        for image in row.images().iter_mut() {
            // Paths that were written on another system or as absolute within the image folder.
            *image = image.trim_start_matches("./").replace('\\', "/");
            let sizes = &mut self.sizes;
            let known = sizes.entry(image.clone()).or_insert_with(|| size_of(self.request.images, image));
            if let Err(problem) = known {
                faults.push(problem.clone());
            }
        }
        if let [image] = row.images().as_slice()
            && let Some(Ok((width, height))) = self.sizes.get(image)
        {
            for [x1, y1, x2, y2] in row.boxes() {
                if x1 < 0 || y1 < 0 || x2 > i64::from(*width) || y2 > i64::from(*height) {
                    let bbox = [x1, y1, x2, y2];
                    faults.push(format!("the box {bbox:?} leaves the image of {width}x{height}"));
                }
            }
        }
        faults
    }

    /// The images that good rows name, by path.
    fn used(
        &self,
        grounding: &[GroundingSample],
        spatial: &[SpatialSample],
        cold_start: &[ColdStartSample],
    ) -> Vec<String> {
        let images = grounding.iter().map(|row| &row.image);
        let images = images.chain(spatial.iter().map(|row| &row.image));
        let images = images.chain(cold_start.iter().map(|row| &row.image)).flatten().cloned();
        images.collect::<std::collections::BTreeSet<String>>().into_iter().collect()
    }
}

/// The released files write one image as a text or as a list.
fn with_image_list(mut value: serde_json::Value) -> serde_json::Value {
    if let Some(image) = value.get_mut("image")
        && image.is_string()
    {
        *image = serde_json::Value::Array(vec![image.take()]);
    }
    value
}

/// Width and height by the image's header; the error says what is wrong with which file.
pub fn size_of(root: &Path, image: &str) -> Result<(u32, u32), String> {
    let inside = Path::new(image).components().all(|part| matches!(part, Component::Normal(_)));
    if image.is_empty() || !inside {
        return Err(format!("the path {image:?} does not stay inside the image folder"));
    }
    let path = root.join(image);
    if !path.is_file() {
        return Err(format!("there is no image {}", path.display()));
    }
    image::image_dimensions(&path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const GROUNDING: &str = r#"{"question_id":1,"question":"<image>How far is the tv?","answer":[{"bbox_2d":[1,2,30,40],"label":"tv"}],"image":"a/0.jpg","data_type":"single_image"}"#;
    const SPATIAL: &str = r#"{"question_id":1,"question":"How far is the tv?","options":[],"answer":2.5,"image":["a/0.jpg"],"question_type":"absolute distance","data_type":"single_image"}"#;

    fn folder(grounding: &str, spatial: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("images/a")).unwrap();
        image::RgbImage::new(64, 48).save(folder.path().join("images/a/0.jpg")).unwrap();
        fs::write(folder.path().join(names::GROUNDING), grounding).unwrap();
        fs::write(folder.path().join(names::SPATIAL), spatial).unwrap();
        folder
    }

    fn run(folder: &tempfile::TempDir, skip_bad: bool) -> Result<ImportReport, ImportError> {
        let (images, out) = (folder.path().join("images"), folder.path().join("out"));
        let request = ImportRequest { rows: folder.path(), images: &images, out: &out, skip_bad };
        import(&request, &|_, _| (), &AtomicBool::new(false))
    }

    #[test]
    fn released_rows_become_a_sound_data_set() {
        let folder = folder(GROUNDING, SPATIAL);
        let report = run(&folder, false).unwrap();
        assert_eq!((report.grounding, report.spatial, report.images, report.joined), (1, 1, 1, 1));
        let dataset = super::super::Dataset::open(&folder.path().join("out")).unwrap();
        assert_eq!(dataset.train.grounding[0].question, "How far is the tv?");
        assert_eq!(dataset.train.grounding[0].image, ["images/a/0.jpg"]);
        assert_eq!(dataset.train.spatial[0].options, None);
        let report =
            super::super::check(&folder.path().join("out"), &|_, _| (), &AtomicBool::new(false)).unwrap();
        assert_eq!(report.faults, []);
    }

    #[test]
    fn each_faulty_row_is_named_and_the_good_ones_can_be_kept() {
        let bad = [
            ("\"question_id\":1", "\"question_id\":2", ""),
            ("[1,2,30,40]", "[1,2,1,40]", "has no area"),
            ("[1,2,30,40]", "[1,2,65,40]", "leaves the image of 64x48"),
            ("a/0.jpg", "a/1.jpg", "there is no image"),
            ("a/0.jpg", "../images/a/0.jpg", "does not stay inside"),
            ("single_image", "video", "has 1 images"),
            ("\"label\":\"tv\"}]", "\"label\":\"tv\"", "EOF while parsing"),
        ];
        let mut rows = vec![GROUNDING.to_owned()];
        rows.extend(bad.iter().enumerate().map(|(i, (from, to, _))| {
            GROUNDING.replace("\"question_id\":1", &format!("\"question_id\":{}", 10 + i)).replace(from, to)
        }));
        rows.push(GROUNDING.to_owned());
        let folder = folder(&rows.join("\n"), &SPATIAL.replace("absolute distance", "volume"));
        let message = run(&folder, false).unwrap_err().to_string();
        assert!(message.contains("--skip-bad") && message.contains("line 3"), "{message}");
        let report = run(&folder, true).unwrap();
        assert_eq!((report.grounding, report.spatial, report.faults.len()), (2, 0, 8));
        for ((line, (_, _, part)), fault) in (2..).zip(&bad).skip(1).zip(&report.faults) {
            assert!(fault.line == Some(line) && fault.message.contains(part), "{fault:?}");
        }
        assert!(report.faults[6].message.contains("question_id 1 is that of line 1"));
        assert!(report.faults[7].message.contains("volume"), "{:?}", report.faults[7]);
    }

    #[test]
    fn nothing_is_written_when_every_row_is_faulty() {
        let folder = folder("{", "[");
        assert!(matches!(run(&folder, true), Err(ImportError::NothingLeft { .. })));
        assert!(!folder.path().join("out").exists());
    }
}
