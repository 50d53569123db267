//! A sample: its pictures, boxes and text, in the scene it was asked about where that is known.

use super::{APPLICATION, RecordingError, layout, reasons, scene};
use crate::samples::{
    DataType, Dataset, DatasetError, GroundedBox, Reason, Sample, SampleKind, browse, names,
};
use crate::scenes::{Camera, Scene};
use rerun::components::{Color, MediaType, Radius};
use rerun::log::LogMsg;
use rerun::sink::MemorySinkStorage;
use rerun::{RecordingStream, RecordingStreamBuilder, StoreId, archetypes as rr};
use std::path::{Path, PathBuf};

/// The cameras of the sample on show stand out.
const SAMPLE_COLOR: Color = Color(rerun::datatypes::Rgba32::from_rgb(255, 200, 60));
const PICTURE_DISTANCE: f32 = 0.8;
/// The timeline of a video's frames.
pub(super) const FRAME_TIMELINE: &str = "frame";

/// Messages that show a sample, to be sent to a viewer in order.
#[derive(Debug)]
pub struct Recorded {
    /// The recording that the messages belong to. Samples of one scene and modality share it, so that the
    /// viewer keeps the room and the user's view of it while stepping through them.
    pub store: StoreId,
    pub messages: Vec<LogMsg>,
}

/// Turns samples into messages for a viewer that shows one at a time, the last one recorded.
#[derive(Default)]
pub struct SampleRecorder {
    open: Option<OpenRecording>,
}

impl SampleRecorder {
    /// What a viewer that has seen the earlier messages needs to show this sample.
    pub fn record(&mut self, dataset: &Dataset, sample: &Sample) -> Result<Recorded, RecordingError> {
        let found = FoundScene::of(dataset, sample)?;
        let open = match self.open.take().filter(|open| open.fits(dataset, &found, sample)) {
            Some(open) => open,
            None => OpenRecording::start(dataset, found, sample)?,
        };
        let open = self.open.insert(open);
        open.show(dataset, sample)?;
        Ok(Recorded { store: open.store.clone(), messages: open.storage.take() })
    }
}

/// Most samples of each scene and modality that [`save_dataset`] writes: each keeps its pictures in the file.
pub const SAVED_SAMPLES: usize = 4;

/// Writes samples of a data set as one `.rrd` file: each scene and modality is a recording of its own, which shows
/// the last of its samples; single images follow each other on the timeline `sample`.
pub fn save_dataset(dataset: &Dataset, path: &Path) -> Result<(), RecordingError> {
    let mut recordings: Vec<(OpenRecording, usize)> = Vec::new();
    for (number, found) in browse(dataset).iter().enumerate() {
        let Some(sample) = dataset.sample(found) else {
            continue;
        };
        let scene = FoundScene::of(dataset, &sample)?;
        let at = match recordings.iter().position(|(open, _)| open.fits(dataset, &scene, &sample)) {
            Some(at) => at,
            None => {
                recordings.push((OpenRecording::start(dataset, scene, &sample)?, 0));
                recordings.len() - 1
            }
        };
        let (open, count) = &mut recordings[at];
        *count += 1;
        if sample.data_type == DataType::SingleImage {
            open.recording.set_time_sequence("sample", number as i64);
            open.show_single(dataset, &sample, false)?;
        } else if *count <= SAVED_SAMPLES {
            open.show(dataset, &sample)?;
        }
    }
    let storages: Vec<&MemorySinkStorage> = recordings.iter().map(|(open, _)| &open.storage).collect();
    super::write(path, &storages)
}

/// A recording that waits in memory.
struct OpenRecording {
    root: PathBuf,
    found: FoundScene,
    data_type: DataType,
    recording: RecordingStream,
    storage: MemorySinkStorage,
    store: StoreId,
    /// The video that it holds, by its frames.
    video: Vec<String>,
}

impl OpenRecording {
    /// A new recording of a scene, without samples yet.
    fn start(dataset: &Dataset, found: FoundScene, sample: &Sample) -> Result<Self, RecordingError> {
        let (recording, storage) =
            RecordingStreamBuilder::new(APPLICATION).recording_name(&found.name).memory()?;
        let store = storage.store_id().ok_or(RecordingError::SwitchedOff)?;
        if let Some((scene, _)) = &found.scene {
            // A video brings its pictures itself, and so do views; the others are shown where they were taken.
            let wanted = |camera: usize| {
                let image = format!("{}/{}/{camera:04}.jpg", names::IMAGES, scene.name);
                (sample.data_type == DataType::SingleImage)
                    .then(|| std::fs::read(dataset.image_path(&image)).ok())
            };
            let pictures: Vec<_> = (0..scene.cameras.len()).map(|camera| wanted(camera).flatten()).collect();
            scene::log_scene(&recording, scene, &pictures)?;
            scene::log_surface(&recording, scene, &dataset.root)?;
        }
        let room = found.scene.as_ref().map(|(scene, _)| &scene.room);
        layout::send(&recording, room, sample.data_type, sample.image.len())?;
        let (root, data_type) = (dataset.root.clone(), sample.data_type);
        Ok(Self { root, found, data_type, recording, storage, store, video: Vec::new() })
    }

    fn fits(&self, dataset: &Dataset, found: &FoundScene, sample: &Sample) -> bool {
        self.root == dataset.root && self.found.name == found.name && self.data_type == sample.data_type
    }

    /// Shows the sample in the place of the one before.
    fn show(&mut self, dataset: &Dataset, sample: &Sample) -> Result<(), RecordingError> {
        match sample.data_type {
            DataType::SingleImage => self.show_single(dataset, sample, true)?,
            DataType::MultiView => self.show_views(dataset, sample)?,
            DataType::Video => self.show_video(dataset, sample)?,
        }
        if let Some((scene, _)) = &self.found.scene {
            reasons::log(&self.recording, scene, sample.evidence)?;
        }
        let text = rr::TextDocument::new(text_of(sample)).with_media_type(MediaType::markdown());
        Ok(self.recording.log_static("/question", &text)?)
    }

    fn camera(&self, sample: &Sample, at: usize) -> Option<&Camera> {
        let (scene, first) = self.found.scene.as_ref()?;
        let camera = match sample.evidence {
            Some(evidence) => evidence.cameras.get(at).copied()?,
            None => sample.image.get(at).and_then(|image| camera_of(image)).unwrap_or(*first),
        };
        scene.cameras.get(camera)
    }

    /// `always`: for all times, else at the time that the recording stands at.
    fn show_single(&self, dataset: &Dataset, sample: &Sample, always: bool) -> Result<(), RecordingError> {
        let recording = &self.recording;
        if let Some(camera) = self.camera(sample, 0) {
            let (pose, pinhole) = scene::camera(camera, PICTURE_DISTANCE, SAMPLE_COLOR);
            recording.log_with_static("/sample", always, &pose)?;
            recording.log_with_static("/sample", always, &pinhole)?;
        }
        if let Some(image) = sample.image.first() {
            recording.log_with_static("/sample/image", always, &picture(dataset, image)?)?;
        }
        recording.log_with_static("/sample/boxes", always, &boxes(sample.boxes))?;
        if always {
            return Ok(());
        }
        let text = rr::TextDocument::new(text_of(sample)).with_media_type(MediaType::markdown());
        Ok(recording.log("/question", &text)?)
    }

    fn show_views(&self, dataset: &Dataset, sample: &Sample) -> Result<(), RecordingError> {
        for (at, image) in sample.image.iter().enumerate() {
            let path = format!("/views/{:02}", at + 1);
            if let Some(camera) = self.camera(sample, at) {
                let (pose, pinhole) = scene::camera(camera, PICTURE_DISTANCE * 0.6, SAMPLE_COLOR);
                self.recording.log_static(path.as_str(), &pose)?;
                self.recording.log_static(path.as_str(), &pinhole)?;
            }
            self.recording.log_static(format!("{path}/image"), &picture(dataset, image)?)?;
        }
        Ok(())
    }

    fn show_video(&mut self, dataset: &Dataset, sample: &Sample) -> Result<(), RecordingError> {
        let recording = &self.recording;
        if self.video != sample.image {
            let path: Vec<[f32; 3]> = (0..sample.image.len())
                .filter_map(|at| Some(self.camera(sample, at)?.pose.translation.to_array()))
                .collect();
            recording.log_static(
                "/walk",
                &rr::LineStrips3D::new([path])
                    .with_colors([SAMPLE_COLOR])
                    .with_radii([Radius::new_ui_points(1.5)]),
            )?;
            for (at, image) in sample.image.iter().enumerate() {
                recording.set_time_sequence(FRAME_TIMELINE, at as i64 + 1);
                if let Some(camera) = self.camera(sample, at) {
                    let (pose, pinhole) = scene::camera(camera, PICTURE_DISTANCE, SAMPLE_COLOR);
                    recording.log("/sample", &pose)?;
                    recording.log("/sample", &pinhole)?;
                }
                recording.log("/sample/image", &picture(dataset, image)?)?;
            }
        }
        // Beside each frame, what comes into view in it. A sample's texts replace those of the one before.
        let first_sight = |frame: usize| match sample.evidence.map(|evidence| (&evidence.reason, evidence)) {
            Some((Reason::AppearanceOrder { first_frames, .. }, evidence)) => first_frames
                .iter()
                .zip(&evidence.categories)
                .filter(|(first, _)| **first == frame)
                .map(|(_, category)| category.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            _ => String::new(),
        };
        for frame in 0..sample.image.len() {
            recording.set_time_sequence(FRAME_TIMELINE, frame as i64 + 1);
            let seen = first_sight(frame);
            let text = if seen.is_empty() {
                format!("frame {} of {}", frame + 1, sample.image.len())
            } else {
                format!("frame {}: first sight of the {seen}", frame + 1)
            };
            recording.log("/first_sight", &rr::TextDocument::new(text))?;
        }
        recording.disable_timeline(FRAME_TIMELINE);
        self.video = sample.image.to_vec();
        Ok(())
    }
}

fn picture(dataset: &Dataset, image: &str) -> Result<rr::EncodedImage, RecordingError> {
    let path = dataset.image_path(image);
    let bytes = std::fs::read(&path).map_err(|source| RecordingError::Picture { path, source })?;
    Ok(rr::EncodedImage::from_file_contents(bytes))
}

fn boxes(found: &[GroundedBox]) -> rr::Boxes2D {
    let halves = |found: &GroundedBox| found.bbox_2d.map(|pixels| pixels as f32 / 2.0);
    rr::Boxes2D::from_centers_and_half_sizes(
        found.iter().map(halves).map(|[x1, y1, x2, y2]| [x1 + x2, y1 + y2]),
        found.iter().map(halves).map(|[x1, y1, x2, y2]| [x2 - x1, y2 - y1]),
    )
    .with_labels(found.iter().map(|found| found.label.as_str()))
    .with_colors(found.iter().map(|found| scene::label_color(&found.label)))
    .with_radii([Radius::new_ui_points(1.5)])
    .with_show_labels(true)
}

/// Question, options, answer and thought in Markdown.
fn text_of(sample: &Sample) -> String {
    let mut text = format!("**{}**\n\n", sample.question.trim().replace('\n', "  \n"));
    for option in sample.options {
        let is_right = option.strip_prefix(sample.answer).is_some_and(|rest| rest.starts_with(". "));
        let line = if is_right { format!("- **{option}** ✔\n") } else { format!("- {option}\n") };
        text.push_str(&line);
    }
    if sample.kind == SampleKind::Spatial && sample.options.is_empty() {
        text.push_str(&format!("Answer: **{}**\n", sample.answer));
    }
    if sample.kind == SampleKind::Localization {
        for GroundedBox { bbox_2d: [x1, y1, x2, y2], label } in sample.boxes {
            text.push_str(&format!("- {label}: ({x1}, {y1}) to ({x2}, {y2})\n"));
        }
        if sample.boxes.is_empty() {
            text.push_str("Nothing to find.\n");
        }
    }
    if let Some(solution) = sample.solution {
        let thought =
            solution.replace("<think>", "").replace("</think>", "\n\n").replace("<answer>", "Answer: ");
        text.push_str(&format!("\nThought: {}\n", thought.replace("</answer>", "")));
    }
    text
}

/// The camera that took an image of a built data set: `images/SCENE/0003.jpg`.
fn camera_of(image: &str) -> Option<usize> {
    Path::new(image).file_stem()?.to_str()?.parse().ok()
}

/// What a sample was asked about.
struct FoundScene {
    /// The scene's name; where there is no scene, the picture's path.
    name: String,
    /// With the camera of the first image.
    scene: Option<(Scene, usize)>,
}

impl FoundScene {
    fn of(dataset: &Dataset, sample: &Sample) -> Result<Self, RecordingError> {
        let image = sample.image.first().map_or("", String::as_str);
        match dataset.scene_of(image) {
            Ok((scene, camera)) => Ok(Self { name: scene.name.clone(), scene: Some((scene, camera)) }),
            // Imported data sets hold pictures only.
            Err(DatasetError::NoScene { .. }) => Ok(Self { name: image.to_owned(), scene: None }),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Evidence, GroundingSample, QuestionType, Segment, SpatialSample, Split};
    use glam::Vec3;

    fn dataset(root: &Path) -> Dataset {
        std::fs::create_dir_all(root.join("images/a")).expect("a folder");
        std::fs::create_dir_all(root.join("scenes")).expect("a folder");
        for camera in 0..3 {
            let path = root.join(format!("images/a/{camera:04}.jpg"));
            image::RgbImage::new(64, 48).save(path).expect("saved");
        }
        std::fs::write(
            root.join("scenes/a.json"),
            serde_json::to_string(&scene::tests::scene("a", 3)).expect("json"),
        )
        .expect("written");
        image::RgbImage::new(64, 48).save(root.join("images/alone.jpg")).expect("saved");
        let sample = |id, image: &str| GroundingSample {
            question_id: id,
            question: "Detect all the chairs.".into(),
            answer: vec![GroundedBox { bbox_2d: [4, 5, 30, 40], label: "chair".into() }],
            image: vec![image.into()],
            data_type: DataType::SingleImage,
        };
        let grounding = vec![
            sample(1, "images/a/0000.jpg"),
            sample(2, "images/a/0001.jpg"),
            sample(3, "images/alone.jpg"),
        ];
        let spatial = |id, data_type| SpatialSample {
            question_id: id,
            question: "How large is the chair?".into(),
            options: None,
            answer: "80".into(),
            image: (0..3).map(|camera| format!("images/a/{camera:04}.jpg")).collect(),
            question_type: QuestionType::ObjectSize,
            data_type,
        };
        let evidence = |question_id| Evidence {
            question_id,
            scene: "a".into(),
            cameras: vec![0, 1, 2],
            categories: vec!["chair".into()],
            visibility: Some(1.0),
            reason: Reason::ObjectSize { object: 1, longest: Segment { from: Vec3::ZERO, to: Vec3::X } },
        };
        let spatial = vec![spatial(4, DataType::MultiView), spatial(5, DataType::Video)];
        Dataset {
            root: root.to_owned(),
            info: None,
            train: Split { grounding, spatial, ..Split::default() },
            validation: Split::default(),
            evidence: vec![evidence(4), evidence(5)],
        }
    }

    #[test]
    fn samples_of_one_scene_and_modality_share_a_recording() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dataset = dataset(dir.path());
        let mut recorder = SampleRecorder::default();
        let recorded: Vec<Recorded> = browse(&dataset)
            .iter()
            .map(|found| dataset.sample(found).expect("there"))
            .map(|sample| recorder.record(&dataset, &sample).expect("recorded"))
            .collect();
        assert_eq!(recorded.len(), 5);
        assert_eq!(recorded[0].store, recorded[1].store);
        assert_ne!(recorded[1].store, recorded[2].store);
        assert_ne!(recorded[3].store, recorded[4].store);
        assert!(recorded[1].messages.len() < recorded[0].messages.len(), "the scene is sent once");
        assert!(recorded.iter().all(|recorded| !recorded.messages.is_empty()));
    }

    #[test]
    fn a_missing_picture_is_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dataset = dataset(dir.path());
        std::fs::remove_file(dir.path().join("images/a/0001.jpg")).expect("removed");
        let found = browse(&dataset)[1];
        let sample = dataset.sample(&found).expect("there");
        let error = SampleRecorder::default().record(&dataset, &sample).expect_err("no picture");
        assert!(error.to_string().contains("0001.jpg"), "{error}");
    }

    #[test]
    fn a_data_set_becomes_one_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dataset = dataset(dir.path());
        let path = dir.path().join("all.rrd");
        save_dataset(&dataset, &path).expect("saved");
        assert_eq!(&std::fs::read(&path).expect("read")[..3], b"RRF");
    }

    #[test]
    fn the_right_option_is_marked() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dataset = dataset(dir.path());
        let found = browse(&dataset)[3];
        let mut sample = dataset.sample(&found).expect("there");
        let options = ["A. left".to_owned(), "B. right".to_owned()];
        (sample.options, sample.answer) = (&options, "B");
        let text = text_of(&sample);
        assert!(text.contains("- A. left\n- **B. right** ✔"), "{text}");
    }
}
