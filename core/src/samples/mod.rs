//! Samples: the questions and answers a model is trained and tested on, in the schema of the released
//! SpatialLadder-26k, and the data set folder that holds them.

pub mod files;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    SingleImage,
    MultiView,
    Video,
}

/// A labelled box, in pixels of the image file as stored: `[x1, y1, x2, y2]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroundedBox {
    pub bbox_2d: [i64; 4],
    pub label: String,
}

/// A row of `spld_grounding_data.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroundingSample {
    pub question_id: u64,
    pub question: String,
    pub answer: Vec<GroundedBox>,
    /// Paths relative to the data set folder.
    pub image: Vec<String>,
    pub data_type: DataType,
}

/// A row of `foundation.jsonl`: what the `foundation` stage learns from, never a question of the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundationSample {
    pub image: String,
    /// 8-bit greyscale PNG of the image's size; each pixel holds an `instance` of `objects`, or 0.
    pub instances: String,
    pub objects: Vec<FoundationObject>,
    /// What is in the picture and roughly where, in plain words.
    pub caption: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundationObject {
    pub instance: u8,
    pub label: String,
    pub bbox_2d: [i64; 4],
}

/// A data set folder, read whole (rows only; images are opened when needed).
#[derive(Debug, Clone)]
pub struct Dataset {
    pub root: PathBuf,
    pub grounding: Vec<GroundingSample>,
    pub foundation: Vec<FoundationSample>,
}
