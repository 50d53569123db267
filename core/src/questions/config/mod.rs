//! Every threshold of the question generator, in one type with presets.

mod source;
mod spatial;

pub use source::{ScanFormat, SourceSpec};
pub use spatial::{Quotas, SpatialConfig};

use super::QuestionError;
use crate::scenes::rooms::RoomOptions;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How questions are made. As a TOML file: any of these fields, the rest as the `preset` it names has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuestionConfig {
    /// Where the fields that a file leaves out come from.
    pub preset: Preset,

    /// Pixels of the stored images.
    pub image_width: u32,
    pub image_height: u32,
    /// Horizontal field of view of the cameras, degrees. ScanNet's colour camera has 58.
    pub horizontal_fov_deg: f32,
    /// JPEG quality of the stored images, 1 to 100.
    pub jpeg_quality: u8,
    /// Stand-points a scene; of a scan, frames spread over the recording. Those from which there is nothing to see
    /// or to ask give no image.
    pub frames_per_scene: u32,

    /// Localization questions an image, at most; 0 for none.
    pub questions_per_frame: usize,
    /// Objects a localization question, at most.
    pub max_objects_per_question: usize,
    /// How [`visibility`](super::Observation::visibility) is measured. Of a scan, pixels of an instance count where
    /// its surface agrees with the measured depth.
    pub visibility_rule: VisibilityRule,
    /// A corner of a 3D box is hidden when the scene is this much nearer, metres (ViewSpatial-Bench).
    pub corner_depth_tolerance_m: f32,
    /// A scanned surface is hidden when the measured depth differs by more than this share of it (VSI).
    pub depth_tolerance: f32,
    /// Least visibility, 0 to 1, of an object that is asked about.
    pub min_visibility: f32,
    /// Least area of the box of an object that is asked about, as a share of the image. 0.0075 is the
    /// smallest box of the released data (128×73 of 1296×968).
    pub min_box_share: f32,
    /// Least side of such a box, pixels: what is thinner cannot be recognised whatever its area.
    pub min_box_side: u32,
    /// Where the category of an object that is asked about occurs only once.
    pub unique_category: UniqueCategory,
    /// Categories that a person may take for one another: for uniqueness, all of a group count as one.
    pub confusable: Vec<Vec<String>>,
    /// An object of the same category counts against uniqueness when at least this many of its pixels are
    /// in sight.
    pub min_rival_pixels: u32,
    /// Categories that are asked about; empty for all.
    pub categories: Vec<String>,

    /// Whether to write rows for the foundation stage.
    pub foundation: bool,
    /// Least share of the image's pixels that an object covers to be taught in the foundation stage.
    pub min_foundation_share: f32,

    /// The spatial questions.
    pub spatial: SpatialConfig,

    /// Share of the scenes that is held out for validation, 0 to 0.9.
    pub validation_share: f32,

    /// Frames of a scan that are looked at, at most, spread evenly over the recording.
    pub max_scan_frames: usize,

    /// What rooms are generated, where the source is `rooms:COUNT`.
    pub rooms: RoomOptions,
}

/// Default groups of [`QuestionConfig::confusable`].
const CONFUSABLE: [&[&str]; 10] = [
    &["chair", "armchair"],
    &["table", "desk", "coffee table"],
    &["tv", "monitor"],
    &["cabinet", "file cabinet", "dresser", "nightstand", "wardrobe", "closet", "shoe rack"],
    &["trash can", "trash bin", "bucket", "basket"],
    &["lamp", "table lamp", "ceiling light"],
    &["fan", "exhaust fan"],
    &["box", "crate"],
    &["pillow", "cushion"],
    &["blanket", "towel"],
];

/// Named starting points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 640×480, everything, as much as the scenes give.
    #[default]
    Default,
    /// The numbers of SpatialLadder-26k, and an evaluation split of SPBench's shape. Needs about 600 rooms.
    #[serde(rename = "spatialladder-26k")]
    Spatialladder26k,
    /// Single images with the rules of ViewSpatial-Bench: an object is seen by the corners of its box.
    Viewspatial,
    /// Videos with the rules of the VSI-style generator.
    Vsi,
    /// 320×240, few views and short videos, more questions an image: what `climb` trains the tiny model on.
    Climb,
    /// 224×168, the tiny model's own frame, with dense labels and no questions: for the foundation stage.
    Foundation,
}

/// Ways of measuring how much of an object is in sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VisibilityRule {
    /// Pixels in sight over the pixels that the object would cover with nothing before it and no image
    /// border. Exact where the shapes are known.
    Pixels,
    /// Corners of the 3D box in sight over eight, with depth tested to 0.10 m: the rule of ViewSpatial-Bench,
    /// which needs no shapes.
    Viewspatial,
}

/// Where a category must occur once to be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UniqueCategory {
    /// In the picture.
    Frame,
    /// In the whole scene.
    Scene,
}

impl Default for QuestionConfig {
    fn default() -> Self {
        Self::preset(Preset::Default)
    }
}

impl Preset {
    pub const ALL: [Self; 6] =
        [Self::Default, Self::Spatialladder26k, Self::Viewspatial, Self::Vsi, Self::Climb, Self::Foundation];

    /// As written in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Spatialladder26k => "spatialladder-26k",
            Self::Viewspatial => "viewspatial",
            Self::Vsi => "vsi",
            Self::Climb => "climb",
            Self::Foundation => "foundation",
        }
    }
}

impl QuestionConfig {
    /// Whether things of these categories may be taken for one another.
    pub fn are_alike(&self, one: &str, other: &str) -> bool {
        let both = |group: &Vec<String>| {
            group.iter().any(|name| name == one) && group.iter().any(|name| name == other)
        };
        one == other || self.confusable.iter().any(both)
    }

    pub fn preset(preset: Preset) -> Self {
        let default = Self {
            preset,
            image_width: 640,
            image_height: 480,
            horizontal_fov_deg: 60.0,
            jpeg_quality: 90,
            frames_per_scene: 12,
            questions_per_frame: 2,
            max_objects_per_question: 3,
            visibility_rule: VisibilityRule::Pixels,
            corner_depth_tolerance_m: 0.10,
            depth_tolerance: 0.2,
            min_visibility: 0.3,
            min_box_share: 0.0075,
            min_box_side: 12,
            unique_category: UniqueCategory::Frame,
            confusable: CONFUSABLE
                .iter()
                .map(|group| group.iter().map(|&name| name.to_owned()).collect())
                .collect(),
            min_rival_pixels: 30,
            categories: Vec::new(),
            foundation: true,
            min_foundation_share: 0.001,
            spatial: SpatialConfig::default(),
            validation_share: 0.1,
            max_scan_frames: 240,
            rooms: RoomOptions { repeats: 0.5, ..RoomOptions::default() },
        };
        match preset {
            Preset::Default => default,
            Preset::Spatialladder26k => Self {
                questions_per_frame: 0,
                min_visibility: 0.4,
                foundation: false,
                validation_share: 0.15,
                spatial: SpatialConfig::spatialladder_26k(),
                rooms: RoomOptions { size_spread: 0.35, ..default.rooms },
                ..default
            },
            Preset::Viewspatial => Self {
                visibility_rule: VisibilityRule::Viewspatial,
                min_visibility: 0.1,
                foundation: false,
                spatial: SpatialConfig {
                    multi_view: false,
                    video: false,
                    ground_single_image: true,
                    ..SpatialConfig::default()
                },
                ..default
            },
            Preset::Vsi => Self {
                questions_per_frame: 0,
                foundation: false,
                spatial: SpatialConfig {
                    single_image: false,
                    multi_view: false,
                    max_count_share: 1.0,
                    ..SpatialConfig::default()
                },
                ..default
            },
            Preset::Climb => Self {
                image_width: 320,
                image_height: 240,
                frames_per_scene: 10,
                questions_per_frame: 3,
                min_rival_pixels: 8,
                foundation: false,
                spatial: SpatialConfig::climb(),
                validation_share: 0.15,
                rooms: RoomOptions { size_spread: 0.35, ..default.rooms },
                ..default
            },
            Preset::Foundation => Self {
                image_width: 224,
                image_height: 168,
                frames_per_scene: 10,
                questions_per_frame: 0,
                spatial: SpatialConfig::none(),
                rooms: RoomOptions::default(),
                validation_share: 0.02,
                ..default
            },
        }
    }

    /// Reads a config from the name of a preset or the path of a TOML file.
    pub fn load(preset_or_file: &str) -> Result<Self, QuestionError> {
        match Preset::ALL.into_iter().find(|preset| preset.name() == preset_or_file) {
            Some(preset) => Ok(Self::preset(preset)),
            None => Self::read(Path::new(preset_or_file)),
        }
    }

    /// Reads a TOML file.
    pub fn read(path: &Path) -> Result<Self, QuestionError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| QuestionError::ReadConfig { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|(line, message)| QuestionError::Config {
            path: path.to_owned(),
            line,
            message,
        })
    }

    /// The error is a line, counted from 1, and what is wrong there.
    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let explain = |error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start).min(text.len());
            (text.as_bytes()[..start].iter().filter(|&&b| b == b'\n').count() + 1, error.message().to_owned())
        };
        // The first pass finds every mistake with its line; the second puts the fields over the preset's.
        let plain: Self = toml::from_str(text).map_err(explain)?;
        let mut fields =
            toml::Table::try_from(Self::preset(plain.preset)).map_err(|error| (1, error.to_string()))?;
        lay_over(&mut fields, toml::from_str(text).map_err(explain)?);
        let config: Self = fields.try_into().map_err(explain)?;
        config.check().map_err(|(field, message)| {
            let line = text.lines().position(|line| line.trim_start().starts_with(field)).unwrap_or(0);
            (line + 1, format!("{field} {message}"))
        })?;
        Ok(config)
    }

    /// The first field out of its range, and the range.
    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let require = |holds: bool, field, message| if holds { Ok(()) } else { Err((field, message)) };
        let share = 0.0..=1.0;
        require((32..=4096).contains(&self.image_width), "image_width", "must be 32 to 4096 pixels")?;
        require((32..=4096).contains(&self.image_height), "image_height", "must be 32 to 4096 pixels")?;
        let fov = (20.0..=120.0).contains(&self.horizontal_fov_deg);
        require(fov, "horizontal_fov_deg", "must be 20 to 120 degrees")?;
        require((1..=100).contains(&self.jpeg_quality), "jpeg_quality", "must be 1 to 100")?;
        require((1..=9999).contains(&self.frames_per_scene), "frames_per_scene", "must be 1 to 9999")?;
        let objects = (1..=8).contains(&self.max_objects_per_question);
        require(objects, "max_objects_per_question", "must be 1 to 8")?;
        require(share.contains(&self.min_visibility), "min_visibility", "must be 0 to 1")?;
        require(share.contains(&self.min_box_share), "min_box_share", "must be 0 to 1")?;
        require(share.contains(&self.min_foundation_share), "min_foundation_share", "must be 0 to 1")?;
        let held_out = (0.0..=0.9).contains(&self.validation_share);
        require(held_out, "validation_share", "must be 0 to 0.9")?;
        require(
            (0.0..=10.0).contains(&self.corner_depth_tolerance_m),
            "corner_depth_tolerance_m",
            "must be 0 to 10 metres",
        )?;
        require((0.0..=1.0).contains(&self.depth_tolerance), "depth_tolerance", "must be 0 to 1")?;
        require((1..=100_000).contains(&self.max_scan_frames), "max_scan_frames", "must be 1 to 100000")?;
        require((0.0..=0.7).contains(&self.rooms.size_spread), "size_spread", "must be 0 to 0.7")?;
        require(share.contains(&self.rooms.repeats), "repeats", "must be 0 to 1")?;
        self.spatial.check()?;
        let asks = self.foundation || self.questions_per_frame > 0 || self.spatial.asks();
        require(
            asks,
            "questions_per_frame",
            "must be above 0 when foundation is false and nothing spatial is asked: nothing would be written",
        )
    }
}

/// Puts the entries of `upper` in the place of those of `lower`, in tables within them too.
fn lay_over(lower: &mut toml::Table, upper: toml::Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(toml::Value::Table(lower)), toml::Value::Table(upper)) => lay_over(lower, upper),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_file_lie_over_its_preset() {
        let text = "preset = \"climb\"\nquestions_per_frame = 7\n[rooms]\nmax_objects = 6\n";
        let config = QuestionConfig::parse(text).unwrap();
        let climb = QuestionConfig::preset(Preset::Climb);
        let rooms = RoomOptions { max_objects: 6, ..climb.rooms };
        let expected = QuestionConfig { questions_per_frame: 7, rooms, ..climb };
        assert_eq!(config, expected);
        // A table that says something leaves the rest as the preset has it, the default one too.
        let plain = QuestionConfig::parse("[rooms]\nmax_objects = 6\n").unwrap();
        assert_eq!(plain.rooms.repeats, QuestionConfig::default().rooms.repeats);
        for preset in Preset::ALL {
            let config = QuestionConfig::load(preset.name()).unwrap();
            assert_eq!(QuestionConfig::parse(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn mistakes_are_named_by_line_and_field() {
        let wrong = |text: &str| QuestionConfig::parse(text).unwrap_err();
        let (line, message) = wrong("image_width = 64\n\nimage_hight = 48\n");
        assert_eq!(line, 3);
        assert!(message.contains("image_hight") && message.contains("image_height"), "{message}");
        assert_eq!(wrong("\njpeg_quality = 300").0, 2);
        let (line, message) = wrong("foundation = true\nmin_visibility = 1.5");
        assert_eq!((line, message.as_str()), (2, "min_visibility must be 0 to 1"));
        assert_eq!(wrong("foundation = true\nimage_width 3").0, 2);
    }

    #[test]
    fn a_missing_file_is_told_apart_from_a_mistyped_preset() {
        let message = QuestionConfig::load("clim").unwrap_err().to_string();
        assert!(message.contains("clim") && message.contains("foundation"), "{message}");
    }

    #[test]
    fn sources_are_parsed_or_refused_with_what_is_possible() {
        assert_eq!("rooms:20".parse::<SourceSpec>().unwrap(), SourceSpec::Rooms(20));
        let spec: SourceSpec = "vsi-meta:C:/a.json".parse().unwrap();
        assert_eq!(spec, SourceSpec::VsiMeta("C:/a.json".into()));
        for wrong in ["rooms", "rooms:0", "rooms:x", "vsi-meta:", "scannet:", "hall:3"] {
            let message = wrong.parse::<SourceSpec>().unwrap_err().to_string();
            assert!(message.contains(wrong) && message.contains("rooms:COUNT"), "{message}");
        }
    }
}
