//! Why an answer is the answer: the geometry behind a spatial question, kept beside the released rows, which
//! have no place for it. Reports and the viewer draw it.

use glam::{Vec2, Vec3};
use serde::{Deserialize, Serialize};

/// A row of `evidence.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// That of the spatial row.
    pub question_id: u64,
    /// Name of the scene asked about: `scenes/SCENE.json`.
    pub scene: String,
    /// The cameras of the scene that took the row's images, in the same order.
    pub cameras: Vec<usize>,
    /// Categories of [`Reason::objects`], in the same order.
    #[serde(default)]
    pub categories: Vec<String>,
    /// How much of the object that is seen least is in sight, where it is seen best, 0 to 1; `None` for questions
    /// about no object.
    #[serde(default)]
    pub visibility: Option<f32>,
    pub reason: Reason,
}

/// A straight line between two points of the world, metres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    pub from: Vec3,
    pub to: Vec3,
}

impl Segment {
    /// Metres.
    pub fn length(&self) -> f32 {
        self.from.distance(self.to)
    }
}

/// Which directions a question tells apart. Angles are clockwise from straight ahead, seen from above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SectorScheme {
    /// Left or right of the line of sight.
    Easy,
    /// Left or right up to 135° off the line of sight; beyond that, back.
    Medium,
    /// The four quadrants: front-left, front-right, back-left, back-right.
    Hard,
    /// Seen by the camera: front, right, back, left, each within 22.5° of its axis; back is away from the camera.
    Cardinal,
    /// Seen by the camera: the four diagonals, each within 22.5° of its axis.
    Diagonal,
}

/// The measured geometry. Objects are given by [`crate::scenes::Object::id`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// The shortest way between the two objects.
    AbsoluteDistance { objects: [u16; 2], shortest: Segment },
    /// The shortest way from `target` to each candidate, in the order of the options.
    RelativeDistance { target: u16, candidates: Vec<u16>, shortest: Vec<Segment> },
    /// The longest axis of the object's box.
    ObjectSize { object: u16, longest: Segment },
    /// Standing at `standpoint`, looking at `facing`, where `target` is (world frame). For the schemes that the
    /// camera sees, `standpoint` is the middle of the reference object, and `facing` lies away from the camera:
    /// straight ahead is back.
    RelativeDirection {
        scheme: SectorScheme,
        /// In the order in which the question names them.
        objects: Vec<u16>,
        standpoint: Vec3,
        facing: Vec3,
        target: Vec3,
        /// Clockwise from straight ahead, seen from above, in 0..360.
        angle_deg: f32,
    },
    /// All objects of the category.
    ObjectCount { category: String, objects: Vec<u16> },
    /// What of the floor was counted: counter-clockwise outlines, and the height they lie at.
    RoomSize { outlines: Vec<Vec<Vec2>>, floor: f32 },
    /// The objects in the order of their first appearance, and the place of that frame in the row's images.
    AppearanceOrder { objects: Vec<u16>, first_frames: Vec<usize> },
}

impl Reason {
    /// The objects that the question is about.
    pub fn objects(&self) -> Vec<u16> {
        match self {
            Self::AbsoluteDistance { objects, .. } => objects.to_vec(),
            Self::RelativeDistance { target, candidates, .. } => {
                std::iter::once(*target).chain(candidates.iter().copied()).collect()
            }
            Self::ObjectSize { object, .. } => vec![*object],
            Self::RelativeDirection { objects, .. }
            | Self::ObjectCount { objects, .. }
            | Self::AppearanceOrder { objects, .. } => objects.clone(),
            Self::RoomSize { .. } => Vec::new(),
        }
    }
}
