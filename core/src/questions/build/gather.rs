//! What one scene gives: its pictures, written, and all that could be asked about them.

use super::source::{OpenScene, SceneSource};
use crate::questions::spatial::{self, Candidate, Sights};
use crate::questions::{
    Localization, QuestionConfig, QuestionError, Sight, foundation, localization, observe,
};
use crate::samples::files::{self, FileError};
use crate::samples::{FoundationSample, names};
use crate::scenes::{Dice, ply};
use image::ImageEncoder as _;
use image::codecs::{jpeg, png};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Keeps the dice of the questions apart from those of rooms and cameras, which share the user's seed.
const QUESTION_DICE: u64 = 0x7175_6573_7469_6f6e;

/// What a scene gives; its pictures are on disk already.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Gathered {
    pub scene: String,
    /// Bytes of each picture, by camera.
    pub images: BTreeMap<usize, u64>,
    /// By camera.
    pub localization: Vec<(usize, Vec<Localization>)>,
    pub foundation: Vec<FoundationSample>,
    pub candidates: Vec<Candidate>,
    /// Of the scene's objects, by their ids.
    pub categories: BTreeMap<u16, String>,
    /// Why the scene was left out.
    pub left_out: Option<String>,
    pub warnings: Vec<String>,
}

/// How much a scene gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Summary {
    pub images: usize,
    pub questions: usize,
}

/// Gathers scenes; one is shared by all threads.
pub(super) struct Gatherer<'a> {
    pub root: &'a Path,
    pub source: &'a SceneSource,
    pub config: &'a QuestionConfig,
    pub seed: u64,
    pub skip_bad: bool,
    pub cancel: &'a AtomicBool,
}

impl Gatherer<'_> {
    /// Gathers scene number `index`, or finds it gathered: then the second value is true. `None` when the build is
    /// to stop.
    pub fn gather(&self, index: usize) -> Result<Option<(Summary, bool)>, QuestionError> {
        if let Some(gathered) = self.resumed(index) {
            return Ok(Some((gathered.summary(), true)));
        }
        let mut dice = Dice::new(self.seed ^ QUESTION_DICE, index as u64);
        let gathered = match self.source.scene(index, self.seed, self.config, &mut dice) {
            Ok(open) => match self.look_around(&open, &mut dice) {
                Ok(None) => return Ok(None),
                Ok(Some(gathered)) => gathered,
                Err(error) => self.left_out(error)?,
            },
            Err(error) => self.left_out(error)?,
        };
        let path = self.record(index);
        let text = serde_json::to_vec(&gathered).map_err(|error| encode_error(&path, &error))?;
        if let Some(folder) = path.parent() {
            files::create_dir_all(folder)?;
        }
        files::write_atomic(&path, &text)?;
        Ok(Some((gathered.summary(), false)))
    }

    /// A record without questions for a scene that cannot be read, where such scenes are skipped.
    fn left_out(&self, error: QuestionError) -> Result<Gathered, QuestionError> {
        match error {
            QuestionError::Scene(_) | QuestionError::SceneName { .. } if self.skip_bad => {
                Ok(Gathered { left_out: Some(error.to_string()), ..Gathered::default() })
            }
            error => Err(error),
        }
    }

    /// What was gathered of a scene.
    pub fn load(&self, index: usize) -> Result<Gathered, QuestionError> {
        let path = self.record(index);
        serde_json::from_slice(&files::read(&path)?).map_err(|error| encode_error(&path, &error))
    }

    fn record(&self, index: usize) -> PathBuf {
        self.root.join(names::WORK).join(format!("{index:07}.json"))
    }

    /// What an earlier build gathered of the scene, if all its pictures are there whole.
    fn resumed(&self, index: usize) -> Option<Gathered> {
        if !self.record(index).is_file() {
            return None;
        }
        let gathered = self.load(index).ok()?;
        let whole = |(camera, bytes): (&usize, &u64)| {
            let path = self.root.join(image_path(&gathered.scene, *camera));
            std::fs::metadata(path).is_ok_and(|file| file.len() == *bytes)
        };
        gathered.images.iter().all(whole).then_some(gathered)
    }

    /// Looks through every camera of a scene and asks about what it sees.
    fn look_around(&self, open: &OpenScene, dice: &mut Dice) -> Result<Option<Gathered>, QuestionError> {
        let (config, scene) = (self.config, &open.scene);
        let mut gathered =
            Gathered { scene: scene.name.clone(), warnings: open.warnings.clone(), ..Gathered::default() };
        let mut encoded: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        let mut observations = BTreeMap::new();
        let cameras: BTreeSet<usize> = open.stills.iter().chain(&open.video).copied().collect();
        for camera in cameras {
            if self.cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let look = open.look(camera)?;
            let sight = Sight {
                depth: &look.depth,
                instances: &look.instances,
                pixels_alone: &|object| open.pixels_alone(object, camera),
            };
            let seen = observe(scene, &scene.cameras[camera], &sight, config);
            encoded.insert(camera, self.jpeg(&look.color)?);
            if open.stills.contains(&camera) {
                let questions = localization(scene, &seen, config, dice);
                if !questions.is_empty() {
                    gathered.localization.push((camera, questions));
                }
                if config.foundation {
                    let mask = format!("{}/{}/{camera:04}.png", names::INSTANCES, scene.name);
                    let image = image_path(&scene.name, camera);
                    let size = look.color.dimensions();
                    if let Some((row, pixels)) =
                        foundation(size, &look.instances, &seen, config, &image, &mask)
                    {
                        self.write(&mask, &png(&pixels)?)?;
                        gathered.foundation.push(row);
                    }
                }
            }
            observations.insert(camera, seen);
        }
        // A stand-point without anything to ask about is of no use as a view either.
        let is_useful = |camera: &usize| observations[camera].iter().any(|seen| seen.is_clear(config));
        let stills = open.stills.iter().copied().filter(is_useful).collect();
        let sights = Sights { scene, observations, stills, video: open.video.clone() };
        gathered.categories = scene.objects.iter().map(|o| (o.id, o.category.clone())).collect();
        gathered.candidates = spatial::ask_all(&sights, config, dice);

        let mut used: BTreeSet<usize> = gathered.localization.iter().map(|(camera, _)| *camera).collect();
        used.extend(gathered.candidates.iter().flat_map(|candidate| &candidate.cameras));
        let taught: BTreeSet<&str> = gathered.foundation.iter().map(|row| row.image.as_str()).collect();
        encoded.retain(|camera, _| {
            used.contains(camera) || taught.contains(image_path(&scene.name, *camera).as_str())
        });
        for (camera, bytes) in &encoded {
            self.write(&image_path(&scene.name, *camera), bytes)?;
            gathered.images.insert(*camera, bytes.len() as u64);
        }
        if !encoded.is_empty() {
            let path = format!("{}/{}.json", names::SCENES, scene.name);
            let text = serde_json::to_vec(scene).map_err(|error| encode_error(Path::new(&path), &error))?;
            self.write(&path, &text)?;
            if let Some(mesh) = open.mesh() {
                let surface = ply::Ply {
                    vertices: mesh.vertices.clone(),
                    colors: Some(mesh.colors.clone()),
                    triangles: mesh.triangles.clone(),
                };
                self.write(&format!("{}/{}.ply", names::SCENES, scene.name), &ply::to_bytes(&surface))?;
            }
        }
        Ok(Some(gathered))
    }

    fn jpeg(&self, image: &image::RgbImage) -> Result<Vec<u8>, QuestionError> {
        let mut bytes = Vec::new();
        jpeg::JpegEncoder::new_with_quality(&mut bytes, self.config.jpeg_quality)
            .encode_image(image)
            .map_err(|error| encode_error(Path::new("a picture"), &error))?;
        Ok(bytes)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), QuestionError> {
        let path = self.root.join(path);
        if let Some(parent) = path.parent() {
            files::create_dir_all(parent)?;
        }
        Ok(std::fs::write(&path, bytes).map_err(FileError::io("write", &path))?)
    }
}

impl Gathered {
    fn summary(&self) -> Summary {
        let localization: usize = self.localization.iter().map(|(_, questions)| questions.len()).sum();
        Summary { images: self.images.len(), questions: localization + self.candidates.len() }
    }
}

/// The picture of a camera, relative to the data set folder.
pub(super) fn image_path(scene: &str, camera: usize) -> String {
    format!("{}/{scene}/{camera:04}.jpg", names::IMAGES)
}

fn png(image: &image::GrayImage) -> Result<Vec<u8>, QuestionError> {
    let mut bytes = Vec::new();
    // Ids come in runs, which filters would only break up.
    let (compression, filter) = (png::CompressionType::Fast, png::FilterType::NoFilter);
    png::PngEncoder::new_with_quality(&mut bytes, compression, filter)
        .write_image(image.as_raw(), image.width(), image.height(), image::ExtendedColorType::L8)
        .map_err(|error| encode_error(Path::new("an instance image"), &error))?;
    Ok(bytes)
}

fn encode_error(path: &Path, error: &dyn std::error::Error) -> QuestionError {
    QuestionError::Encode { path: path.display().to_string(), message: error.to_string() }
}
