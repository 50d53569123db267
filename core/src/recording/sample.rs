//! A sample: its picture and boxes, in the scene it was asked about where that is known.

use super::{APPLICATION, RecordingError, layout, scene};
use crate::samples::{Dataset, DatasetError, GroundedBox, GroundingSample};
use crate::scenes::{Camera, Scene};
use rerun::components::{Color, MediaType, Radius};
use rerun::log::LogMsg;
use rerun::sink::MemorySinkStorage;
use rerun::{RecordingStream, RecordingStreamBuilder, StoreId, archetypes as rr};
use std::path::{Path, PathBuf};

/// The camera of the sample on show stands out.
const SAMPLE_COLOR: Color = Color(rerun::datatypes::Rgba32::from_rgb(255, 200, 60));
const PICTURE_DISTANCE: f32 = 0.8;

/// Messages that show a sample, to be sent to a viewer in order.
#[derive(Debug)]
pub struct Recorded {
    /// The recording that the messages belong to. Samples of one scene share it, so that the viewer
    /// keeps the room and the user's view of it while stepping through them.
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
    pub fn record(
        &mut self,
        dataset: &Dataset,
        sample: &GroundingSample,
    ) -> Result<Recorded, RecordingError> {
        let found = FoundScene::of(dataset, sample)?;
        let open = match self.open.take().filter(|open| open.root == dataset.root && open.name == found.name)
        {
            Some(open) => open,
            None => OpenRecording::start(dataset, &found)?,
        };
        let open = self.open.insert(open);
        log_sample(&open.recording, dataset, sample, found.camera(), Moment::Always)?;
        Ok(Recorded { store: open.store.clone(), messages: open.storage.take() })
    }
}

/// Writes the samples of a data set as one `.rrd` file: each scene is a recording of its own, in which
/// its samples follow each other on the timeline `sample`.
pub fn save_dataset(dataset: &Dataset, path: &Path) -> Result<(), RecordingError> {
    let mut recordings: Vec<OpenRecording> = Vec::new();
    let samples = dataset.train.grounding.iter().chain(&dataset.validation.grounding);
    for (number, sample) in samples.enumerate() {
        let found = FoundScene::of(dataset, sample)?;
        let open = match recordings.iter().position(|open| open.name == found.name) {
            Some(at) => &recordings[at],
            None => {
                let open = OpenRecording::start(dataset, &found)?;
                recordings.push(open);
                &recordings[recordings.len() - 1]
            }
        };
        log_sample(&open.recording, dataset, sample, found.camera(), Moment::Number(number as i64))?;
    }
    let storages: Vec<&MemorySinkStorage> = recordings.iter().map(|open| &open.storage).collect();
    super::write(path, &storages)
}

/// When a sample is on show.
#[derive(Clone, Copy)]
pub(super) enum Moment {
    /// Until another one replaces it.
    Always,
    /// At this place of the timeline `sample`.
    Number(i64),
}

/// Logs camera, picture, boxes and text of a sample.
pub(super) fn log_sample(
    recording: &RecordingStream,
    dataset: &Dataset,
    sample: &GroundingSample,
    camera: Option<&Camera>,
    moment: Moment,
) -> Result<(), RecordingError> {
    let always = match moment {
        Moment::Always => true,
        Moment::Number(number) => {
            recording.set_time_sequence("sample", number);
            false
        }
    };
    if let Some(camera) = camera {
        let (pose, pinhole) = scene::camera(camera, PICTURE_DISTANCE, SAMPLE_COLOR);
        recording.log_with_static("/sample", always, &pose)?;
        recording.log_with_static("/sample", always, &pinhole)?;
    }
    if let Some(image) = sample.image.first() {
        let path = dataset.image_path(image);
        let bytes = std::fs::read(&path).map_err(|source| RecordingError::Picture { path, source })?;
        recording.log_with_static("/sample/image", always, &rr::EncodedImage::from_file_contents(bytes))?;
    }
    let boxes = || sample.answer.iter();
    let halves = |found: &GroundedBox| found.bbox_2d.map(|pixels| pixels as f32 / 2.0);
    let answer = rr::Boxes2D::from_centers_and_half_sizes(
        boxes().map(halves).map(|[x1, y1, x2, y2]| [x1 + x2, y1 + y2]),
        boxes().map(halves).map(|[x1, y1, x2, y2]| [x2 - x1, y2 - y1]),
    )
    .with_labels(boxes().map(|found| found.label.as_str()))
    .with_colors(boxes().map(|found| scene::label_color(&found.label)))
    .with_radii([Radius::new_ui_points(1.5)])
    .with_show_labels(true);
    recording.log_with_static("/sample/boxes", always, &answer)?;
    let text = rr::TextDocument::new(text_of(sample)).with_media_type(MediaType::markdown());
    Ok(recording.log_with_static("/question", always, &text)?)
}

/// Question and answer in Markdown.
fn text_of(sample: &GroundingSample) -> String {
    let mut text = format!("**{}**\n\n", sample.question.trim());
    for GroundedBox { bbox_2d: [x1, y1, x2, y2], label } in &sample.answer {
        text.push_str(&format!("- {label}: ({x1}, {y1}) to ({x2}, {y2})\n"));
    }
    if sample.answer.is_empty() {
        text.push_str("Nothing to find.\n");
    }
    text
}

/// What a sample was asked about.
struct FoundScene {
    /// The scene's name; where there is no scene, the picture's path.
    name: String,
    scene: Option<(Scene, usize)>,
}

impl FoundScene {
    fn of(dataset: &Dataset, sample: &GroundingSample) -> Result<Self, RecordingError> {
        let image = sample.image.first().map_or("", String::as_str);
        match dataset.scene_of(image) {
            Ok((scene, camera)) => Ok(Self { name: scene.name.clone(), scene: Some((scene, camera)) }),
            // Imported data sets hold pictures only.
            Err(DatasetError::NoScene { .. }) => Ok(Self { name: image.to_owned(), scene: None }),
            Err(error) => Err(error.into()),
        }
    }

    fn camera(&self) -> Option<&Camera> {
        self.scene.as_ref().and_then(|(scene, camera)| scene.cameras.get(*camera))
    }
}

/// A recording that waits in memory.
struct OpenRecording {
    root: PathBuf,
    name: String,
    recording: RecordingStream,
    storage: MemorySinkStorage,
    store: StoreId,
}

impl OpenRecording {
    /// A new recording of a scene, without samples yet.
    fn start(dataset: &Dataset, found: &FoundScene) -> Result<Self, RecordingError> {
        let (recording, storage) =
            RecordingStreamBuilder::new(APPLICATION).recording_name(&found.name).memory()?;
        let store = storage.store_id().ok_or(RecordingError::SwitchedOff)?;
        if let Some((scene, _)) = &found.scene {
            // Pictures are kept for every camera that a question was asked about, not for all.
            let picture = |camera| dataset.image_path(&format!("images/{}/{camera:04}.jpg", scene.name));
            let pictures: Vec<_> =
                (0..scene.cameras.len()).map(|camera| std::fs::read(picture(camera)).ok()).collect();
            scene::log_scene(&recording, scene, &pictures)?;
        }
        layout::send(&recording, found.scene.as_ref().map(|(scene, _)| &scene.room))?;
        Ok(Self { root: dataset.root.clone(), name: found.name.clone(), recording, storage, store })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{DataType, Split};

    fn dataset(root: &Path) -> Dataset {
        std::fs::create_dir_all(root.join("images/a")).expect("a folder");
        std::fs::create_dir_all(root.join("scenes")).expect("a folder");
        for camera in 0..2 {
            let path = root.join(format!("images/a/{camera:04}.jpg"));
            image::RgbImage::new(64, 48).save(path).expect("saved");
        }
        std::fs::write(
            root.join("scenes/a.json"),
            serde_json::to_string(&scene::tests::scene("a", 2)).expect("json"),
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
        let train = Split { grounding, ..Split::default() };
        Dataset {
            root: root.to_owned(),
            info: None,
            train,
            validation: Split::default(),
            evidence: Vec::new(),
        }
    }

    #[test]
    fn samples_of_one_scene_share_a_recording() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dataset = dataset(dir.path());
        let mut recorder = SampleRecorder::default();
        let recorded: Vec<Recorded> = dataset
            .train
            .grounding
            .iter()
            .map(|sample| recorder.record(&dataset, sample).expect("recorded"))
            .collect();
        assert_eq!(recorded[0].store, recorded[1].store);
        assert_ne!(recorded[1].store, recorded[2].store);
        assert!(recorded[1].messages.len() < recorded[0].messages.len(), "the scene is sent once");
        assert!(recorded.iter().all(|recorded| !recorded.messages.is_empty()));
    }

    #[test]
    fn a_missing_picture_is_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dataset = dataset(dir.path());
        std::fs::remove_file(dir.path().join("images/a/0001.jpg")).expect("removed");
        let error =
            SampleRecorder::default().record(&dataset, &dataset.train.grounding[1]).expect_err("no picture");
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
}
