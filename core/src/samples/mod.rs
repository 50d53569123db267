//! Samples: the questions and answers a model is trained and tested on, in the schema of the released
//! SpatialLadder-26k, and the data set folder that holds them.
//!
//! A data set folder, as `data build` writes it:
//! ```text
//! dataset.json                       where it came from, with which config; counts (DatasetInfo)
//! spld_grounding_data.jsonl          stage 1, training: one GroundingSample a line
//! spld_grounding_validation.jsonl    stage 1, held out
//! spld_spatial_data.jsonl            stages 2 and 3, training: one SpatialSample a line
//! spld_spatial_validation.jsonl      stages 2 and 3, held out
//! spld_coldstart_data.jsonl          cold start, training: one ColdStartSample a line
//! spld_coldstart_validation.jsonl    cold start, held out
//! evidence.jsonl                     why each spatial answer is the answer: one Evidence a line
//! foundation.jsonl                   foundation stage, training: one FoundationSample a line
//! foundation_validation.jsonl        foundation stage, held out
//! images/SCENE/0003.jpg              what camera 3 of the scene sees
//! instances/SCENE/0003.png           which object each of its pixels shows
//! scenes/SCENE.json                  the scene with its cameras (scenes::Scene)
//! scenes/SCENE.ply                   the scanned surface, for scenes that were scanned
//! ```
//! A grounding row and a spatial row with the same `(question_id, image, data_type)` are the same question,
//! to be localized first and answered then.
//! Whole scenes are held out, never single pictures of a scene that is trained on.

#[cfg(not(target_arch = "wasm32"))]
mod browse;
mod caption;
#[cfg(not(target_arch = "wasm32"))]
mod check;
mod colors;
#[cfg(not(target_arch = "wasm32"))]
mod dataset;
mod evidence;
#[cfg(not(target_arch = "wasm32"))]
pub mod export;
#[cfg(not(target_arch = "wasm32"))]
pub mod files;
#[cfg(not(target_arch = "wasm32"))]
pub mod import;
#[cfg(not(target_arch = "wasm32"))]
pub mod parquet;
pub mod prompts;
mod spatial;
#[cfg(not(target_arch = "wasm32"))]
mod stats;

#[cfg(not(target_arch = "wasm32"))]
pub use browse::{Sample, SampleKind, SampleRef, browse};
pub use caption::{CAPTION_OBJECTS, Captioned, caption};
#[cfg(not(target_arch = "wasm32"))]
pub use check::{CheckReport, Checked, Fault, check, check_and_read};
pub use colors::label_color;
#[cfg(not(target_arch = "wasm32"))]
pub use dataset::{Counts, Dataset, DatasetError, DatasetInfo, JsonlReader, JsonlWriter, Split, names};
pub use evidence::{Evidence, Reason, SectorScheme, Segment};
pub use spatial::{ColdStartSample, QuestionType, SpatialSample};
#[cfg(not(target_arch = "wasm32"))]
pub use stats::{BOX_SHARE_BORDERS, PartStatistics, Statistics, statistics};

use serde::{Deserialize, Serialize};

/// How the pictures of a sample belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    SingleImage,
    MultiView,
    Video,
}

impl DataType {
    pub const ALL: [Self; 3] = [Self::SingleImage, Self::MultiView, Self::Video];

    /// As the rows write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleImage => "single_image",
            Self::MultiView => "multi_view",
            Self::Video => "video",
        }
    }
}

/// A labelled box, in pixels of the image file as stored: `[x1, y1, x2, y2]`, `x2` and `y2` exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroundedBox {
    pub bbox_2d: [i64; 4],
    pub label: String,
}

/// A row of `spld_grounding_data.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroundingSample {
    /// Unique in the data set.
    pub question_id: u64,
    /// Without the stage's instruction, which [`prompts::stage1`] adds.
    pub question: String,
    /// In the order in which the question names the objects.
    pub answer: Vec<GroundedBox>,
    /// Paths relative to the data set folder.
    pub image: Vec<String>,
    pub data_type: DataType,
}

/// A row of `foundation.jsonl`: what the `foundation` stage learns from, never a question of the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundationSample {
    /// Path relative to the data set folder.
    pub image: String,
    /// Pixels of the stored image.
    pub width: u32,
    pub height: u32,
    /// 8-bit greyscale PNG of the image's size; each pixel holds an `instance` of `objects`, or 0.
    pub instances: String,
    /// The largest box first.
    pub objects: Vec<FoundationObject>,
    /// What is in the picture and where, in plain words; pixels are those of the stored image.
    /// [`caption`] words it for a resized one, or for several.
    pub caption: String,
}

/// An object that a foundation picture shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundationObject {
    /// Its value in the instance image, from 1.
    pub instance: u8,
    pub label: String,
    /// Tight around its visible pixels; `[x1, y1, x2, y2]`, `x2` and `y2` exclusive.
    pub bbox_2d: [i64; 4],
    /// From the camera to the centre of the object's 3D box, along the camera's Z axis, in metres.
    pub distance_m: f32,
}
