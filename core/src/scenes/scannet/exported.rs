//! Frames exported from a recording: `color/N.jpg`, `depth/N.png` (16-bit millimetres), `pose/N.txt` (camera to
//! world) and `intrinsic/intrinsic_color.txt`. Numbers often go up in tens.

use crate::scenes::SceneError;
use crate::scenes::scan::{SensorDepth, decode_color, decode_depth, read_picture, rows_of};
use glam::DMat4;
use std::path::{Path, PathBuf};

const EXPORT_AGAIN: &str = "export the frame again";
/// Depth units to the metre.
const DEPTH_SHIFT: f32 = 1000.0;

/// The frames of a folder.
pub struct Exported {
    folder: PathBuf,
    pub intrinsic: DMat4,
    /// Of the first picture; all are alike.
    pub color_size: [u32; 2],
    /// Number and pose of each frame that has a picture and a pose, by number.
    pub frames: Vec<(u64, DMat4)>,
    pub warnings: Vec<String>,
    color_extension: &'static str,
}

impl Exported {
    /// Whether frames were exported into this folder.
    pub fn is_in(folder: &Path) -> bool {
        folder.join("color").is_dir() && folder.join("pose").is_dir()
    }

    pub fn open(folder: &Path, skip_bad: bool) -> Result<Self, SceneError> {
        let colors = folder.join("color");
        let entries =
            std::fs::read_dir(&colors).map_err(|source| SceneError::Read { path: colors.clone(), source })?;
        let mut color_extension = "jpg";
        let mut numbers: Vec<u64> = Vec::new();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let extension = path.extension().and_then(|extension| extension.to_str());
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            if let (Some(extension @ ("jpg" | "png")), Some(number)) = (extension, number) {
                color_extension = if extension == "png" { "png" } else { "jpg" };
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        let first = numbers.first().ok_or_else(|| SceneError::File {
            path: colors.clone(),
            place: "folder".to_owned(),
            problem: "holds no picture with a number for a name".to_owned(),
            remedy: "export the frames again",
        })?;
        let mut exported = Self {
            folder: folder.to_owned(),
            intrinsic: matrix(&folder.join("intrinsic/intrinsic_color.txt"))?,
            color_size: [0, 0],
            frames: Vec::new(),
            warnings: Vec::new(),
            color_extension,
        };
        let path = exported.color_path(*first);
        let (width, height) = image::image_dimensions(&path).map_err(|error| SceneError::File {
            path,
            place: "picture".to_owned(),
            problem: error.to_string(),
            remedy: EXPORT_AGAIN,
        })?;
        exported.color_size = [width, height];
        for number in numbers {
            match matrix(&folder.join(format!("pose/{number}.txt"))) {
                Ok(pose) => exported.frames.push((number, pose)),
                Err(error) if skip_bad => {
                    exported.warnings.push(format!("frame {number} is left out: {error}"))
                }
                Err(error) => return Err(error),
            }
        }
        Ok(exported)
    }

    fn color_path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("color/{number}.{}", self.color_extension))
    }

    /// The colour picture of the frame with this number.
    pub fn color(&self, number: u64) -> Result<image::RgbImage, SceneError> {
        read_picture(&self.color_path(number), EXPORT_AGAIN, decode_color)
    }

    /// Its depth; `None` where none was exported.
    pub fn depth(&self, number: u64) -> Result<Option<SensorDepth>, SceneError> {
        let path = self.folder.join(format!("depth/{number}.png"));
        if !path.is_file() {
            return Ok(None);
        }
        read_picture(&path, EXPORT_AGAIN, |bytes| decode_depth(bytes, DEPTH_SHIFT)).map(Some)
    }
}

/// A matrix of 4×4 numbers in a text file. Lost tracking is written as infinities, which are numbers too.
fn matrix(path: &Path) -> Result<DMat4, SceneError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| SceneError::Read { path: path.to_owned(), source })?;
    let numbers: Option<Vec<f64>> = text.split_whitespace().take(17).map(|word| word.parse().ok()).collect();
    let numbers = numbers.and_then(|numbers| <[f64; 16]>::try_from(numbers).ok());
    numbers.map(|numbers| rows_of(&numbers)).ok_or_else(|| SceneError::File {
        path: path.to_owned(),
        place: "matrix".to_owned(),
        problem: "does not hold 16 numbers".to_owned(),
        remedy: "export the frame again, or leave it out with --skip-bad",
    })
}
