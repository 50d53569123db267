//! Kinds of rooms: how large, and what else is found in them once the main pieces stand.

use crate::scenes::Dice;
use serde::{Deserialize, Serialize};

/// What a room is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomKind {
    Bedroom,
    LivingRoom,
    Office,
    Kitchen,
    Bathroom,
    MeetingRoom,
    Hallway,
}

impl RoomKind {
    /// As often as rooms of this kind are met in ScanNet, roughly.
    pub fn draw(dice: &mut Dice) -> Self {
        match dice.index(100) {
            0..24 => Self::Bedroom,
            24..47 => Self::LivingRoom,
            47..68 => Self::Office,
            68..82 => Self::Kitchen,
            82..91 => Self::Bathroom,
            91..97 => Self::MeetingRoom,
            _ => Self::Hallway,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Bedroom => "bedroom",
            Self::LivingRoom => "living room",
            Self::Office => "office",
            Self::Kitchen => "kitchen",
            Self::Bathroom => "bathroom",
            Self::MeetingRoom => "meeting room",
            Self::Hallway => "hallway",
        }
    }

    /// Shortest and longest side, metres.
    pub(super) fn side_lengths(self) -> [f32; 2] {
        match self {
            Self::Bedroom => [3.2, 5.2],
            Self::LivingRoom => [3.8, 7.0],
            Self::Office => [3.0, 6.0],
            Self::Kitchen => [2.9, 5.2],
            Self::Bathroom => [2.5, 3.8],
            Self::MeetingRoom => [4.0, 7.0],
            Self::Hallway => [2.6, 4.5],
        }
    }

    /// What may stand in the room in larger numbers.
    pub(super) fn repeated(self) -> &'static [&'static str] {
        match self {
            Self::Bedroom => &["pillow", "picture", "box", "backpack", "plant", "chair"],
            Self::LivingRoom => &["pillow", "picture", "plant", "stool", "chair", "box"],
            Self::Office => &["monitor", "chair", "bookshelf", "box", "picture", "plant"],
            Self::Kitchen => &["stool", "chair", "box", "picture", "basket"],
            Self::Bathroom => &["towel", "basket", "bucket", "plant"],
            Self::MeetingRoom => &["chair", "picture", "plant", "backpack"],
            Self::Hallway => &["stool", "picture", "suitcase", "box"],
        }
    }

    /// What may fill up the room, in no order.
    pub(super) fn extras(self) -> &'static [&'static str] {
        match self {
            Self::Bedroom => &[
                "wardrobe",
                "dresser",
                "chair",
                "bookshelf",
                "desk",
                "lamp",
                "picture",
                "mirror",
                "curtain",
                "trash can",
                "backpack",
                "suitcase",
                "plant",
                "shoes",
                "radiator",
                "armchair",
                "basket",
                "box",
                "ottoman",
                "guitar",
                "clock",
                "shoe rack",
                "fan",
            ],
            Self::LivingRoom => &[
                "armchair",
                "bookshelf",
                "cabinet",
                "lamp",
                "picture",
                "plant",
                "ottoman",
                "curtain",
                "clock",
                "radiator",
                "piano",
                "guitar",
                "box",
                "trash can",
                "fireplace",
                "table",
                "backpack",
                "mirror",
                "stool",
                "basket",
                "fan",
            ],
            Self::Office => &[
                "desk",
                "bookshelf",
                "file cabinet",
                "cabinet",
                "whiteboard",
                "trash can",
                "backpack",
                "plant",
                "picture",
                "clock",
                "radiator",
                "chair",
                "box",
                "lamp",
                "coat hanger",
                "suitcase",
                "sofa",
                "printer",
                "fan",
                "crate",
            ],
            Self::Kitchen => &[
                "table",
                "refrigerator",
                "trash can",
                "stool",
                "chair",
                "clock",
                "picture",
                "radiator",
                "plant",
                "bucket",
                "crate",
                "cabinet",
                "washing machine",
                "basket",
                "box",
                "dishwasher",
            ],
            Self::Bathroom => &[
                "towel",
                "trash can",
                "mirror",
                "toilet paper",
                "radiator",
                "washing machine",
                "basket",
                "stool",
                "cabinet",
                "bucket",
                "plant",
                "picture",
            ],
            Self::MeetingRoom => &[
                "whiteboard",
                "trash can",
                "chair",
                "clock",
                "picture",
                "plant",
                "cabinet",
                "radiator",
                "backpack",
                "bookshelf",
                "coat hanger",
                "lamp",
            ],
            Self::Hallway => &[
                "shoe rack",
                "mirror",
                "coat hanger",
                "bench",
                "shoes",
                "cabinet",
                "suitcase",
                "backpack",
                "plant",
                "picture",
                "wardrobe",
                "clock",
                "stool",
                "box",
                "basket",
                "radiator",
            ],
        }
    }
}
