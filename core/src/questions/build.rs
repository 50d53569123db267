//! From a source of scenes to a data set folder.

use super::{Localization, QuestionConfig, QuestionError, SourceSpec, foundation, localization, observe};
use crate::geometry::Intrinsics;
use crate::render::Renderer;
use crate::samples::files::{self, PartialDir};
use crate::samples::{Counts, DataType, DatasetInfo, FoundationSample, GroundingSample, JsonlWriter, names};
use crate::scenes::rooms::{self, RoomOptions};
use crate::scenes::{self, Dice, Scene};
use image::ImageEncoder as _;
use image::codecs::{jpeg, png};
use rayon::prelude::*;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Keeps the dice of the questions apart from those of rooms and cameras, which share the user's seed.
const QUESTION_DICE: u64 = 0x7175_6573_7469_6f6e;

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest<'a> {
    pub source: &'a SourceSpec,
    /// Must not exist yet, or be an empty folder.
    pub out: &'a Path,
    pub config: &'a QuestionConfig,
    pub seed: u64,
    /// At most this many scenes of the source.
    pub limit: Option<usize>,
}

/// How far a build is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub scenes: usize,
    pub total_scenes: usize,
    pub images: usize,
    /// Localization questions.
    pub questions: usize,
}

/// Builds a data set folder: all of it, or, on failure and when `cancel` is set, nothing.
///
/// Scenes are worked on in parallel and written in their order: the bytes depend on source, config and
/// seed only, not on the number of threads.
pub fn build(
    request: &BuildRequest<'_>,
    progress: &dyn Fn(Progress),
    cancel: &AtomicBool,
) -> Result<DatasetInfo, QuestionError> {
    let source = SceneSource::open(request.source, request.config)?;
    let total = source.len().min(request.limit.unwrap_or(usize::MAX));
    let folder = PartialDir::create(request.out)?;
    let worker = Worker { root: folder.path(), config: request.config, seed: request.seed, cancel };
    let mut output = Output::create(folder.path(), request.config)?;
    let mut report = Progress { total_scenes: total, ..Progress::default() };
    progress(report);

    // Few scenes at a time: progress is smooth, and only their rows are held in memory.
    let together = 4 * rayon::current_num_threads();
    for start in (0..total).step_by(together) {
        let scenes: Vec<_> = (start..total.min(start + together))
            .into_par_iter()
            .map(|index| worker.pictures(source.scene(index, request.seed)?, index))
            .collect();
        for (index, pictures) in (start..).zip(scenes) {
            let Some(pictures) = pictures? else {
                return Err(QuestionError::Cancelled { out: request.out.to_owned() });
            };
            output.write(pictures, is_held_out(index, request.config.validation_share))?;
            report.scenes += 1;
        }
        report.images = output.train.counts.images + output.validation.counts.images;
        report.questions = output.train.counts.grounding + output.validation.counts.grounding;
        progress(report);
    }
    if report.images == 0 {
        return Err(QuestionError::NothingToAsk { source_spec: request.source.to_string() });
    }

    let (train, validation) = output.finish()?;
    let info = DatasetInfo {
        program: format!("spatial-ladder {}", env!("CARGO_PKG_VERSION")),
        source: request.source.to_string(),
        seed: request.seed,
        limit: request.limit,
        train,
        validation,
        config: serde_json::to_value(request.config).unwrap_or_default(),
    };
    info.write(folder.path())?;
    folder.finish()?;
    Ok(info)
}

/// Whether a scene belongs to the validation part. Held-out scenes are spread evenly over the source, and a
/// scene stays where it is when the source grows.
fn is_held_out(index: usize, share: f32) -> bool {
    let before = |count: usize| (count as f64 * f64::from(share) + 0.5).floor();
    before(index + 1) > before(index)
}

enum SceneSource {
    Rooms { count: usize, options: RoomOptions },
    Listed(Vec<Scene>),
}

impl SceneSource {
    fn open(spec: &SourceSpec, config: &QuestionConfig) -> Result<Self, QuestionError> {
        Ok(match spec {
            SourceSpec::Rooms(count) => Self::Rooms { count: *count, options: config.rooms },
            SourceSpec::VsiMeta(path) => {
                let scenes = scenes::vsi_meta::read(path)?;
                let plain = scenes::vsi_meta::plain_categories(&scenes);
                if !plain.is_empty() {
                    let named: Vec<_> =
                        plain.iter().map(|(name, count)| format!("{name} ({count})")).collect();
                    log::warn!(
                        "{spec}: no shape is known for {}; they are drawn as plain blocks. To leave them out of \
                         the questions, list the other categories in the config",
                        named.join(", ")
                    );
                }
                Self::Listed(scenes)
            }
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Rooms { count, .. } => *count,
            Self::Listed(scenes) => scenes.len(),
        }
    }

    fn scene(&self, index: usize, seed: u64) -> Result<Scene, QuestionError> {
        let scene = match self {
            Self::Rooms { options, .. } => rooms::generate(seed, index as u64, options),
            Self::Listed(scenes) => scenes[index].clone(),
        };
        let harmless = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if scene.name.is_empty() || scene.name.starts_with('.') || !scene.name.chars().all(harmless) {
            return Err(QuestionError::SceneName { name: scene.name });
        }
        Ok(scene)
    }
}

/// What one scene gives; its images are on disk already.
#[derive(Default)]
struct Pictures {
    images: usize,
    /// Image path and questions.
    grounding: Vec<(String, Vec<Localization>)>,
    foundation: Vec<FoundationSample>,
}

/// Draws scenes and asks about them; one is shared by all threads.
struct Worker<'a> {
    root: &'a Path,
    config: &'a QuestionConfig,
    seed: u64,
    cancel: &'a AtomicBool,
}

impl Worker<'_> {
    /// `None` when the build is to stop.
    fn pictures(&self, mut scene: Scene, index: usize) -> Result<Option<Pictures>, QuestionError> {
        let config = self.config;
        let mut dice = Dice::new(self.seed ^ QUESTION_DICE, index as u64);
        let intrinsics = Intrinsics::from_horizontal_fov(
            config.image_width,
            config.image_height,
            config.horizontal_fov_deg.to_radians(),
        );
        scene.cameras = scenes::stand_points(&scene, config.frames_per_scene, intrinsics, dice.seed());
        let renderer = Renderer::new(&scene);
        let mut pictures = Pictures::default();
        for (number, camera) in scene.cameras.iter().enumerate() {
            if self.cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let frame = renderer.render(camera);
            let observations = observe(&scene, &renderer, camera, &frame, config.visibility_rule);
            let image = format!("{}/{}/{number:04}.jpg", names::IMAGES, scene.name);
            let mask = format!("{}/{}/{number:04}.png", names::INSTANCES, scene.name);
            let questions = localization(&scene, &observations, config, &mut dice);
            let taught = if config.foundation {
                foundation(&frame, &observations, config, &image, &mask)
            } else {
                None
            };
            if questions.is_empty() && taught.is_none() {
                continue;
            }

            self.write_jpeg(&image, &frame.color)?;
            pictures.images += 1;
            if let Some((row, pixels)) = taught {
                self.write_png(&mask, &pixels)?;
                pictures.foundation.push(row);
            }
            if !questions.is_empty() {
                pictures.grounding.push((image, questions));
            }
        }
        if pictures.images > 0 {
            let path = format!("{}/{}.json", names::SCENES, scene.name);
            let text = serde_json::to_vec(&scene).map_err(|error| encode_error(&path, &error))?;
            self.write(&path, &text)?;
        }
        Ok(Some(pictures))
    }

    fn write_jpeg(&self, path: &str, image: &image::RgbImage) -> Result<(), QuestionError> {
        let mut bytes = Vec::new();
        jpeg::JpegEncoder::new_with_quality(&mut bytes, self.config.jpeg_quality)
            .encode_image(image)
            .map_err(|error| encode_error(path, &error))?;
        self.write(path, &bytes)
    }

    fn write_png(&self, path: &str, image: &image::GrayImage) -> Result<(), QuestionError> {
        let mut bytes = Vec::new();
        // Ids come in runs, which filters would only break up.
        let (compression, filter) = (png::CompressionType::Fast, png::FilterType::NoFilter);
        png::PngEncoder::new_with_quality(&mut bytes, compression, filter)
            .write_image(image.as_raw(), image.width(), image.height(), image::ExtendedColorType::L8)
            .map_err(|error| encode_error(path, &error))?;
        self.write(path, &bytes)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), QuestionError> {
        let path = self.root.join(path);
        if let Some(parent) = path.parent() {
            files::create_dir_all(parent)?;
        }
        Ok(std::fs::write(&path, bytes).map_err(files::FileError::io("write", &path))?)
    }
}

fn encode_error(path: &str, error: &dyn std::error::Error) -> QuestionError {
    QuestionError::Encode { path: path.to_owned(), message: error.to_string() }
}

/// The row files of both parts.
struct Output {
    next_id: u64,
    train: Part,
    validation: Part,
}

/// The row files of one part; those that the config does not ask for are absent.
struct Part {
    grounding: Option<JsonlWriter>,
    foundation: Option<JsonlWriter>,
    counts: Counts,
}

impl Output {
    fn create(root: &Path, config: &QuestionConfig) -> Result<Self, QuestionError> {
        let part = |grounding: &str, foundation: &str| -> Result<Part, QuestionError> {
            let create =
                |wanted: bool, name: &str| wanted.then(|| JsonlWriter::create(&root.join(name))).transpose();
            Ok(Part {
                grounding: create(config.questions_per_frame > 0, grounding)?,
                foundation: create(config.foundation, foundation)?,
                counts: Counts::default(),
            })
        };
        Ok(Self {
            next_id: 0,
            train: part(names::GROUNDING, names::FOUNDATION)?,
            validation: part(names::GROUNDING_VALIDATION, names::FOUNDATION_VALIDATION)?,
        })
    }

    fn write(&mut self, pictures: Pictures, held_out: bool) -> Result<(), QuestionError> {
        let part = if held_out { &mut self.validation } else { &mut self.train };
        part.counts.scenes += usize::from(pictures.images > 0);
        part.counts.images += pictures.images;
        for (image, questions) in pictures.grounding {
            for Localization { question, answer } in questions {
                let row = GroundingSample {
                    question_id: self.next_id,
                    question,
                    answer,
                    image: vec![image.clone()],
                    data_type: DataType::SingleImage,
                };
                self.next_id += 1;
                part.counts.add_grounding(&row);
                if let Some(writer) = &mut part.grounding {
                    writer.write(&row)?;
                }
            }
        }
        for row in pictures.foundation {
            part.counts.foundation += 1;
            if let Some(writer) = &mut part.foundation {
                writer.write(&row)?;
            }
        }
        Ok(())
    }

    /// The counts of training and validation part.
    fn finish(self) -> Result<(Counts, Counts), QuestionError> {
        let finish = |part: Part| -> Result<Counts, QuestionError> {
            for writer in [part.grounding, part.foundation].into_iter().flatten() {
                writer.finish()?;
            }
            Ok(part.counts)
        };
        Ok((finish(self.train)?, finish(self.validation)?))
    }
}

#[cfg(test)]
mod tests {
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
        let request = BuildRequest { source: &source, out, config: &config, seed, limit: None };
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
        let request = BuildRequest { source: &source, out: &fresh, config: &config, seed: 0, limit: None };
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
}
