//! Taking over a data set in the released files of SpatialLadder-26k.

mod images;
mod rows;

pub use images::{ImageSizes, header_size};
pub use rows::{Numbered, Released, read_rows};

use super::check::cold_start_faults;
use super::files::{self, FileError, PartialDir};
use super::{
    ColdStartSample, Counts, DatasetError, DatasetInfo, Fault, GroundingSample, JsonlWriter, SpatialSample,
    names,
};
use images::scene_of;
use rows::Key;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
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
    /// About which share of the scenes is held out, 0 to 0.9. The folder of an image stands for its scene; of
    /// ScanNet all scans of one room are one scene.
    pub validation_share: f32,
}

/// What was taken over.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ImportReport {
    pub grounding: usize,
    pub spatial: usize,
    pub cold_start: usize,
    /// Rows of all kinds that are held out.
    pub held_out: usize,
    pub scenes: usize,
    /// Different images.
    pub images: usize,
    /// Of all images together.
    pub image_bytes: u64,
    /// Images that share their bytes on disk with the originals; the others were copied.
    pub linked_images: usize,
    /// Grounding rows that are the same question as a spatial row: by id, images and data type.
    pub joined: usize,
    /// Questions that were given another id, because theirs is also that of a question about other images.
    pub renumbered: usize,
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
    #[error("{} is no folder; name the one that the image paths of the rows start from", path.display())]
    NoImages { path: PathBuf },
    #[error("a share of {share} cannot be held out; choose one from 0 to 0.9")]
    Share { share: f32 },
    #[error("{}; correct these rows, or leave them out with --skip-bad", list(faults))]
    Faults { faults: Vec<Fault> },
    #[error("every row is faulty: {}; is the image folder the right one?", list(faults))]
    NothingLeft { faults: Vec<Fault> },
    #[error("stopped before the end; nothing was written")]
    Cancelled,
}

/// Faults named in an error.
const LISTED: usize = 20;

fn list(faults: &[Fault]) -> String {
    let named = faults.iter().take(LISTED).map(|fault| format!("\n  {}", place_and_message(fault)));
    let more =
        if faults.len() > LISTED { format!("\n  and {} more", faults.len() - LISTED) } else { String::new() };
    format!("{} faulty rows:{}{more}", faults.len(), named.collect::<String>())
}

fn place_and_message(fault: &Fault) -> String {
    let line = fault.line.map_or(String::new(), |line| format!(", line {line}"));
    format!("{}{line}: {}", fault.file, fault.message)
}

/// Reads, checks and joins the rows, links or copies the images, and writes a data set folder: all or nothing.
/// `progress` is told how many images of how many are in place.
pub fn import(
    request: &ImportRequest<'_>,
    progress: &dyn Fn(usize, usize),
    cancel: &AtomicBool,
) -> Result<ImportReport, ImportError> {
    if !(0.0..=0.9).contains(&request.validation_share) {
        return Err(ImportError::Share { share: request.validation_share });
    }
    let released = [names::GROUNDING, names::SPATIAL, names::COLD_START];
    if !released.iter().any(|name| request.rows.join(name).is_file()) {
        return Err(ImportError::NoRows { path: request.rows.to_owned() });
    }
    if !request.images.is_dir() {
        return Err(ImportError::NoImages { path: request.images.to_owned() });
    }
    let mut faults = Vec::new();
    let mut rows = Rows::read(request, &mut faults)?;
    if !request.skip_bad && !faults.is_empty() {
        return Err(ImportError::Faults { faults });
    }
    if rows.len() == 0 {
        return Err(ImportError::NothingLeft { faults });
    }
    let mut report = ImportReport {
        grounding: rows.grounding.len(),
        spatial: rows.spatial.len(),
        cold_start: rows.cold_start.len(),
        joined: rows.joined(),
        renumbered: rows.renumber(),
        ..ImportReport::default()
    };

    let folder = PartialDir::create(request.out)?;
    let images: BTreeSet<String> = rows.images().flatten().cloned().collect();
    report.images = images.len();
    for (done, image) in images.iter().enumerate() {
        if cancel.load(Ordering::Relaxed) {
            return Err(ImportError::Cancelled);
        }
        let to = folder.path().join(names::IMAGES).join(image);
        let placed = files::link_or_copy(&request.images.join(image), &to)?;
        report.image_bytes += placed.bytes;
        report.linked_images += usize::from(placed.linked);
        progress(done + 1, images.len());
    }

    let held_out = held_out_scenes(rows.images(), request.validation_share);
    report.scenes = images.iter().map(|image| scene_of(image)).collect::<BTreeSet<&str>>().len();
    let [train, validation] = rows.split(&held_out).map(Rows::within_folder);
    report.held_out = validation.len();
    train.write(folder.path(), released)?;
    let validation_files =
        [names::GROUNDING_VALIDATION, names::SPATIAL_VALIDATION, names::COLD_START_VALIDATION];
    validation.write(folder.path(), validation_files)?;
    let info = DatasetInfo {
        program: format!("spatial-ladder {}", env!("CARGO_PKG_VERSION")),
        source: format!("spatialladder-26k:{}", request.rows.display()),
        seed: 0,
        limit: None,
        train: train.counts(),
        validation: validation.counts(),
        left_out: faults.iter().map(place_and_message).collect(),
        shortfalls: Vec::new(),
        config: serde_json::json!({ "validation_share": request.validation_share }),
    };
    info.write(folder.path())?;
    folder.finish()?;
    report.faults = faults;
    Ok(report)
}

/// Sound rows of all kinds.
#[derive(Default)]
struct Rows {
    grounding: Vec<GroundingSample>,
    spatial: Vec<SpatialSample>,
    cold_start: Vec<ColdStartSample>,
}

fn key<T: Released>(row: &T) -> Key {
    (row.id(), row.images().to_vec(), row.data_type())
}

impl Rows {
    fn read(request: &ImportRequest<'_>, faults: &mut Vec<Fault>) -> Result<Self, ImportError> {
        let mut sizes = ImageSizes::new(request.images);
        let grounding: Vec<Numbered<GroundingSample>> =
            read_file(request.rows, names::GROUNDING, &mut sizes, faults)?;
        let spatial: Vec<Numbered<SpatialSample>> =
            read_file(request.rows, names::SPATIAL, &mut sizes, faults)?;
        let cold_start: Vec<Numbered<ColdStartSample>> =
            read_file(request.rows, names::COLD_START, &mut sizes, faults)?;

        let questions: HashMap<Key, &SpatialSample> =
            spatial.iter().map(|numbered| (key(&numbered.row), &numbered.row)).collect();
        let mut agreeing = Vec::new();
        for Numbered { line, row } in cold_start {
            let problems = cold_start_faults(&row, questions.get(&key(&row)).copied());
            if problems.is_empty() {
                agreeing.push(row);
            } else {
                let message = problems.join("; ");
                faults.push(Fault { file: names::COLD_START.to_owned(), line: Some(line), message });
            }
        }
        Ok(Self {
            grounding: grounding.into_iter().map(|numbered| numbered.row).collect(),
            spatial: spatial.into_iter().map(|numbered| numbered.row).collect(),
            cold_start: agreeing,
        })
    }

    fn len(&self) -> usize {
        self.grounding.len() + self.spatial.len() + self.cold_start.len()
    }

    /// Localization rows that a spatial row asks again.
    fn joined(&self) -> usize {
        let keys: HashSet<Key> = self.spatial.iter().map(key).collect();
        self.grounding.iter().filter(|row| keys.contains(&key(*row))).count()
    }

    /// The images of each row.
    fn images(&self) -> impl Iterator<Item = &[String]> {
        let grounding = self.grounding.iter().map(|row| row.image.as_slice());
        let spatial = self.spatial.iter().map(|row| row.image.as_slice());
        grounding.chain(spatial).chain(self.cold_start.iter().map(|row| row.image.as_slice()))
    }

    /// Gives questions about different images different ids, as a data set folder has them; rows of the same
    /// question keep a common one. The first of several keeps its id. Says how many got another.
    fn renumber(&mut self) -> usize {
        let mut ids = Numbering::default();
        self.grounding.iter().for_each(|row| ids.claim(row));
        self.spatial.iter().for_each(|row| ids.claim(row));
        self.cold_start.iter().for_each(|row| ids.claim(row));
        let renumbered = ids.resolve();
        self.grounding.iter_mut().for_each(|row| ids.apply(row));
        self.spatial.iter_mut().for_each(|row| ids.apply(row));
        self.cold_start.iter_mut().for_each(|row| ids.apply(row));
        renumbered
    }

    /// Rows to train on, and rows of held-out scenes.
    fn split(self, held_out: &BTreeSet<String>) -> [Self; 2] {
        let is_held_out =
            |images: &[String]| images.first().is_some_and(|image| held_out.contains(scene_of(image)));
        let (grounding_validation, grounding) =
            self.grounding.into_iter().partition(|row| is_held_out(&row.image));
        let (spatial_validation, spatial) = self.spatial.into_iter().partition(|row| is_held_out(&row.image));
        let (cold_start_validation, cold_start) =
            self.cold_start.into_iter().partition(|row| is_held_out(&row.image));
        [
            Self { grounding, spatial, cold_start },
            Self {
                grounding: grounding_validation,
                spatial: spatial_validation,
                cold_start: cold_start_validation,
            },
        ]
    }

    /// Paths relative to the data set folder instead of the image folder.
    fn within_folder(mut self) -> Self {
        let inside = |image: &mut String| *image = format!("{}/{image}", names::IMAGES);
        self.grounding.iter_mut().for_each(|row| row.image.iter_mut().for_each(inside));
        self.spatial.iter_mut().for_each(|row| row.image.iter_mut().for_each(inside));
        self.cold_start.iter_mut().for_each(|row| row.image.iter_mut().for_each(inside));
        self
    }

    fn counts(&self) -> Counts {
        let images: HashSet<&String> = self.images().flatten().collect();
        let scenes: HashSet<&str> = images.iter().map(|image| scene_of(image)).collect();
        let mut counts = Counts {
            scenes: scenes.len(),
            images: images.len(),
            cold_start: self.cold_start.len(),
            ..Counts::default()
        };
        self.grounding.iter().for_each(|row| counts.add_grounding(row));
        self.spatial.iter().for_each(|row| counts.add_spatial(row));
        counts
    }

    fn write(&self, folder: &Path, [grounding, spatial, cold_start]: [&str; 3]) -> Result<(), FileError> {
        write_rows(&folder.join(grounding), &self.grounding)?;
        write_rows(&folder.join(spatial), &self.spatial)?;
        write_rows(&folder.join(cold_start), &self.cold_start)
    }
}

/// No file counts as one without rows.
fn read_file<T: Released>(
    folder: &Path,
    name: &str,
    sizes: &mut ImageSizes,
    faults: &mut Vec<Fault>,
) -> Result<Vec<Numbered<T>>, ImportError> {
    let path = folder.join(name);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let file = File::open(&path).map_err(FileError::io("open", &path))?;
    Ok(read_rows(name, BufReader::new(file), sizes, faults)?)
}

fn write_rows<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), FileError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut writer = JsonlWriter::create(path)?;
    rows.iter().try_for_each(|row| writer.write(row))?;
    writer.finish()
}

/// Which question has which id.
#[derive(Default)]
struct Numbering {
    /// In the order of first mention.
    questions: Vec<Key>,
    ids: HashMap<Key, u64>,
}

impl Numbering {
    fn claim<T: Released>(&mut self, row: &T) {
        let key = key(row);
        if !self.ids.contains_key(&key) {
            self.ids.insert(key.clone(), key.0);
            self.questions.push(key);
        }
    }

    /// Moves all but the first question of an id to free ones; says how many.
    fn resolve(&mut self) -> usize {
        let mut taken: HashSet<u64> = self.questions.iter().map(|question| question.0).collect();
        let (mut seen, mut next, mut renumbered) = (HashSet::new(), 0, 0);
        for question in &self.questions {
            if seen.insert(question.0) {
                continue;
            }
            while !taken.insert(next) {
                next += 1;
            }
            self.ids.insert(question.clone(), next);
            renumbered += 1;
        }
        renumbered
    }

    fn apply<T: Released>(&self, row: &mut T) {
        if let Some(id) = self.ids.get(&key(row)) {
            row.set_id(*id);
        }
    }
}

/// Every so manieth scene by name. Scenes that some row shows together are held out together, or not at all.
fn held_out_scenes<'a>(rows: impl Iterator<Item = &'a [String]>, share: f32) -> BTreeSet<String> {
    // Of each scene the first one, by name, that it belongs together with, or one on the way there.
    let mut groups: BTreeMap<&str, &str> = BTreeMap::new();
    fn first_of<'a>(groups: &BTreeMap<&'a str, &'a str>, mut scene: &'a str) -> &'a str {
        while let Some(&next) = groups.get(scene).filter(|next| **next != scene) {
            scene = next;
        }
        scene
    }
    for row in rows {
        let mut scenes = row.iter().map(|image| scene_of(image));
        let Some(mut first) = scenes.next() else { continue };
        groups.entry(first).or_insert(first);
        first = first_of(&groups, first);
        for scene in scenes {
            groups.entry(scene).or_insert(scene);
            let other = first_of(&groups, scene);
            let (low, high) = (first.min(other), first.max(other));
            groups.insert(high, low);
            first = low;
        }
    }
    let heads: BTreeSet<&str> = groups.keys().map(|scene| first_of(&groups, scene)).collect();
    let share = f64::from(share);
    let is_due = |at: usize| ((at + 1) as f64 * share).floor() > (at as f64 * share).floor();
    let chosen: HashSet<&str> =
        heads.into_iter().enumerate().filter(|(at, _)| is_due(*at)).map(|(_, head)| head).collect();
    let held_out = groups.keys().filter(|scene| chosen.contains(first_of(&groups, scene)));
    held_out.map(|scene| (*scene).to_owned()).collect()
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
        let request = ImportRequest {
            rows: folder.path(),
            images: &images,
            out: &out,
            skip_bad,
            validation_share: 0.0,
        };
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
            ("[1,2,30,40]", "[1,2,1,40]", "is empty"),
            ("[1,2,30,40]", "[1,2,65,40]", "leaves the image of 64x48"),
            ("a/0.jpg", "a/1.jpg", "there is no image"),
            ("a/0.jpg", "../images/a/0.jpg", "does not stay inside"),
            ("single_image", "video", "has 1 images"),
            ("\"label\":\"tv\"}]", "\"label\":\"tv\"", "EOF"),
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
    fn questions_about_other_images_get_other_ids() {
        let other = GROUNDING.replace("a/0.jpg", "b/1.jpg");
        let of_other = SPATIAL.replace("a/0.jpg", "b/1.jpg");
        let folder = folder(&format!("{GROUNDING}\n{other}"), &format!("{of_other}\n{SPATIAL}"));
        fs::create_dir_all(folder.path().join("images/b")).unwrap();
        fs::copy(folder.path().join("images/a/0.jpg"), folder.path().join("images/b/1.jpg")).unwrap();
        let report = run(&folder, false).unwrap();
        assert_eq!((report.joined, report.renumbered, report.scenes), (2, 1, 2));
        let train = super::super::Dataset::open(&folder.path().join("out")).unwrap().train;
        let ids = [&train.grounding[0].question_id, &train.grounding[1].question_id];
        assert_eq!(ids, [&1, &0]);
        assert_eq!((train.spatial[0].question_id, train.spatial[1].question_id), (0, 1));
    }

    #[test]
    fn scenes_that_a_row_shows_together_are_held_out_together() {
        let rows: Vec<Vec<String>> = (0..10)
            .map(|scene| vec![format!("s{scene}/0.jpg"), format!("s{}/1.jpg", (scene / 2) * 2)])
            .collect();
        let of_share = |share| held_out_scenes(rows.iter().map(Vec::as_slice), share);
        assert!(of_share(0.0).is_empty());
        let held_out: Vec<String> = of_share(0.4).into_iter().collect();
        assert_eq!(held_out, ["s4", "s5", "s8", "s9"]);
    }

    #[test]
    fn nothing_is_written_when_every_row_is_faulty() {
        let folder = folder("{", "[");
        assert!(matches!(run(&folder, true), Err(ImportError::NothingLeft { .. })));
        assert!(!folder.path().join("out").exists());
    }
}
