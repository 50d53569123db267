//! The thresholds of the spatial questions.

use crate::samples::{DataType, QuestionType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How spatial questions are made: `[spatial]` in a config file. Distances are metres, closest point to closest
/// point of the objects' 3D boxes unless said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpatialConfig {
    /// Whether to ask about single images: absolute and relative distance, size, direction seen by the camera.
    pub single_image: bool,
    /// Whether to ask about several views: the same (directions seen from an object), and counting.
    pub multi_view: bool,
    /// Whether to film scenes and ask about the video: all seven dimensions.
    pub video: bool,

    /// Questions of a type about one image, at most.
    pub max_per_image_and_type: usize,
    /// Questions of a type about the views or the video of a scene, at most; of directions this many of each
    /// difficulty, of the room's size one.
    pub max_per_scene_and_type: usize,

    /// Pictures of a multi-view question, chosen by the rule of split evidence: together they show all objects
    /// asked about, and none of them shows all.
    pub views: usize,
    /// Frames of a video.
    pub video_frames: usize,
    /// Length of a walk through a generated room, seconds. A scan's video spans the whole recording.
    pub video_seconds: f32,

    /// Least absolute distance asked about.
    pub min_distance_m: f32,
    /// Objects to choose from in a question of relative distance.
    pub distance_options: usize,
    /// Least distance of the nearest of them.
    pub min_nearest_m: f32,
    /// Their distances differ by more than this; by more than `wide_min_gap_m` in rooms of more than
    /// `wide_room_m2` square metres.
    pub min_gap_m: f32,
    pub wide_min_gap_m: f32,
    pub wide_room_m2: f32,
    /// Least and greatest distance between the middles of any two objects of a question of direction, along the
    /// floor.
    pub direction_range_m: [f32; 2],
    /// A direction nearer than this to the border between two answers is not asked about.
    pub direction_margin_deg: f32,
    /// Nor is one where more than this many of the eight corners of the object lie in another answer's sector.
    pub max_stray_corners: usize,
    /// Pictures of a camera that is turned about its line of sight by more than this are not asked about
    /// directions.
    pub max_camera_roll_deg: f32,
    /// Least number of objects that are counted.
    pub min_count: usize,
    /// Categories that are not counted, because one of them may be one thing or two.
    pub uncounted: Vec<String>,
    /// Greatest share of the counting questions that have the same answer, 0 to 1. Where there are too few different
    /// numbers for that, all are kept.
    pub max_count_share: f32,
    /// Seconds between first appearances are more than this.
    pub min_apart_s: f32,
    /// Orders to choose from.
    pub order_options: usize,

    /// Whether each single-image question also becomes a localization row with the same id, as in the released
    /// data: first localized, then answered.
    pub ground_single_image: bool,
    /// Whether a thought that says where it sees something gives its box too: `(x1, y1, x2, y2)` in pixels of the stored
    /// picture. Training turns them into pixels of the picture that the model sees. Such thoughts tell places in whole half
    /// meters and directions by the clock, from which a small model can learn to work out the answer.
    pub boxes_in_thoughts: bool,
    /// Cold-start rows to train on, at most.
    pub cold_start: usize,
    /// Cold-start rows held out, at most.
    pub cold_start_evaluation: usize,
    /// How many questions to train on. Whatever is not limited is taken whole.
    pub train: Quotas,
    /// How many questions are held out.
    pub evaluation: Quotas,
}

/// Numbers of questions: by `single_image`, `multi_view`, `video` (spread evenly over the types), or by
/// `MODALITY/TYPE` with the type's name as in the rows (`video/room size`), which counts against no other limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quotas(pub BTreeMap<String, usize>);

impl Quotas {
    pub fn new<const N: usize>(quotas: [(&str, usize); N]) -> Self {
        Self(quotas.map(|(name, count)| (name.to_owned(), count)).into())
    }

    /// The limit on one type of one modality, where it has its own.
    pub fn of_type(&self, data_type: DataType, question_type: QuestionType) -> Option<usize> {
        self.0.get(&format!("{}/{}", data_type.name(), question_type.name())).copied()
    }

    /// The limit on all types of a modality that have none of their own.
    pub fn of_modality(&self, data_type: DataType) -> Option<usize> {
        self.0.get(data_type.name()).copied()
    }

    /// The first name that means nothing.
    pub(super) fn unknown(&self) -> Option<&str> {
        let known = |name: &str| {
            let (modality, kind) = name.split_once('/').unwrap_or((name, ""));
            DataType::ALL.iter().any(|data_type| data_type.name() == modality)
                && (!name.contains('/') || QuestionType::ALL.iter().any(|question| question.name() == kind))
        };
        self.0.keys().map(String::as_str).find(|name| !known(name))
    }
}

impl Default for SpatialConfig {
    fn default() -> Self {
        Self {
            single_image: true,
            multi_view: true,
            video: true,
            max_per_image_and_type: 1,
            max_per_scene_and_type: 6,
            views: 8,
            video_frames: 32,
            video_seconds: 32.0,
            min_distance_m: 0.2,
            distance_options: 4,
            min_nearest_m: 0.15,
            min_gap_m: 0.15,
            wide_min_gap_m: 0.30,
            wide_room_m2: 40.0,
            direction_range_m: [0.3, 5.0],
            direction_margin_deg: 10.0,
            max_stray_corners: 2,
            max_camera_roll_deg: 20.0,
            min_count: 2,
            uncounted: vec!["shoes".to_owned()],
            max_count_share: 0.5,
            min_apart_s: 1.0,
            order_options: 4,
            ground_single_image: false,
            boxes_in_thoughts: false,
            cold_start: 1000,
            cold_start_evaluation: 100,
            train: Quotas::default(),
            evaluation: Quotas::default(),
        }
    }
}

impl SpatialConfig {
    /// No spatial questions.
    pub fn none() -> Self {
        Self { single_image: false, multi_view: false, video: false, ..Self::default() }
    }

    /// The shape of SpatialLadder-26k with the numbers of the paper, and an evaluation split of SPBench's shape.
    pub fn spatialladder_26k() -> Self {
        Self {
            ground_single_image: true,
            max_per_image_and_type: 4,
            max_count_share: 0.35,
            train: Quotas::new([("single_image", 5929), ("multi_view", 5752), ("video", 9000)]),
            evaluation: Quotas::new([
                ("single_image/absolute distance", 149),
                ("single_image/object size", 463),
                ("single_image/relative distance", 91),
                ("single_image/relative direction", 306),
                ("multi_view", 319),
                ("video", 500),
            ]),
            ..Self::default()
        }
    }

    /// What a model of a few million parameters can read at once: four views, eight frames.
    pub fn climb() -> Self {
        Self {
            views: 4,
            video_frames: 8,
            video_seconds: 12.0,
            max_per_image_and_type: 2,
            max_per_scene_and_type: 4,
            max_count_share: 0.35,
            boxes_in_thoughts: true,
            // A thought about everything: there is too little to learn language from else.
            cold_start: 1_000_000,
            cold_start_evaluation: 200,
            // Hardly two of these questions are about the same views, so that each costs four pictures of its own.
            train: Quotas::new([("multi_view", 12_000)]),
            // Few of many, so that they can be chosen whose names say little about the answer.
            evaluation: Quotas::new([("single_image", 800), ("multi_view", 1000), ("video", 1400)]),
            ..Self::default()
        }
    }

    /// Whether anything is asked.
    pub fn asks(&self) -> bool {
        self.single_image || self.multi_view || self.video
    }

    /// The first field out of its range, and the range.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let require = |holds: bool, field, message| if holds { Ok(()) } else { Err((field, message)) };
        let metres = |value: f32| (0.0..=100.0).contains(&value);
        require((2..=64).contains(&self.views), "views", "must be 2 to 64")?;
        require((2..=1024).contains(&self.video_frames), "video_frames", "must be 2 to 1024")?;
        let seconds = (1.0..=3600.0).contains(&self.video_seconds);
        require(seconds, "video_seconds", "must be 1 to 3600")?;
        let options = (2..=26).contains(&self.distance_options);
        require(options, "distance_options", "must be 2 to 26")?;
        require((2..=24).contains(&self.order_options), "order_options", "must be 2 to 24")?;
        require(metres(self.min_distance_m), "min_distance_m", "must be 0 to 100 metres")?;
        require(metres(self.min_nearest_m), "min_nearest_m", "must be 0 to 100 metres")?;
        require(metres(self.min_gap_m), "min_gap_m", "must be 0 to 100 metres")?;
        require(metres(self.wide_min_gap_m), "wide_min_gap_m", "must be 0 to 100 metres")?;
        let [low, high] = self.direction_range_m;
        require(metres(low) && low < high, "direction_range_m", "must be two distances, the smaller first")?;
        let margin = (0.0..=22.0).contains(&self.direction_margin_deg);
        require(margin, "direction_margin_deg", "must be 0 to 22 degrees")?;
        let roll = (0.0..=180.0).contains(&self.max_camera_roll_deg);
        require(roll, "max_camera_roll_deg", "must be 0 to 180 degrees")?;
        require(self.min_count >= 1, "min_count", "must be at least 1")?;
        let share = (0.0..=1.0).contains(&self.max_count_share);
        require(share, "max_count_share", "must be 0 to 1")?;
        require(self.min_apart_s >= 0.0, "min_apart_s", "must be at least 0 seconds")?;
        let names =
            "may only hold single_image, multi_view, video, or one of these, \"/\" and a question type";
        require(self.train.unknown().is_none(), "train", names)?;
        require(self.evaluation.unknown().is_none(), "evaluation", names)
    }
}
