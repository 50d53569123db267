//! Scanned rooms: a reconstructed surface with instances, and a recording of pictures with known poses.
//! Readers of the formats ([`super::scannet`], [`super::arkitscenes`], [`super::scannetpp`]) all give this.

mod matrix;
mod pictures;
mod surroundings;
mod upright;

pub(super) use matrix::{pose_of, rows_of};
pub(super) use pictures::{decode_color, decode_depth, fit, read_picture, resized};
pub(super) use surroundings::{axis_aligned_box, room_around};
pub(super) use upright::QuarterTurns;

use super::{Scene, SceneError};
use glam::Vec3;
use std::path::{Path, PathBuf};

/// A reconstructed surface, world frame (the scene's).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScanMesh {
    /// Metres.
    pub vertices: Vec<Vec3>,
    /// sRGB, one a vertex.
    pub colors: Vec<[u8; 3]>,
    pub triangles: Vec<[u32; 3]>,
    /// [`super::Object::id`], one a vertex; 0 for what belongs to no object.
    pub instances: Vec<u16>,
}

/// One picture of a recording, with what the depth sensor measured.
#[derive(Debug, Clone)]
pub struct ScanFrame {
    pub color: image::RgbImage,
    pub depth: Option<SensorDepth>,
}

/// Distance along the camera's Z axis, row-major; 0 where nothing was measured. It covers the same field of view
/// as the colour picture, often at a lower resolution.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorDepth {
    pub width: u32,
    pub height: u32,
    pub metres: Vec<f32>,
}

/// One scanned room, opened. Pictures are decoded when asked for.
pub trait Scan: Send + Sync {
    /// Objects with their boxes, the room's floor, and one camera (with time) for every usable frame.
    fn scene(&self) -> &Scene;

    fn mesh(&self) -> &ScanMesh;

    /// The frame that `scene().cameras[camera]` took.
    fn frame(&self, camera: usize) -> Result<ScanFrame, SceneError>;

    /// What was left out while reading, in words: frames without a pose, categories not in the label map, …
    fn warnings(&self) -> &[String];
}

/// Scanned rooms under a folder, found but not opened.
pub trait ScanSource: Send + Sync {
    /// The folders, sorted by name; a scene's name is its folder's.
    fn folders(&self) -> &[PathBuf];

    fn open(&self, index: usize) -> Result<Box<dyn Scan>, SceneError>;
}

/// How scans are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanOptions {
    /// Frames kept, at most, spread evenly over the recording.
    pub max_frames: usize,
    /// Pictures are made smaller, never larger, to fit into this many pixels.
    pub max_width: u32,
    pub max_height: u32,
    /// Whether what is damaged is left out, with a warning, where the rest is of use.
    pub skip_bad: bool,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self { max_frames: 240, max_width: 640, max_height: 480, skip_bad: false }
    }
}

/// Opens one folder.
type OpenScan = fn(&Path, &ScanOptions) -> Result<Box<dyn Scan>, SceneError>;

/// Folders that one reader opens.
pub(super) struct ScanFolders {
    pub folders: Vec<PathBuf>,
    pub options: ScanOptions,
    pub open: OpenScan,
}

impl ScanSource for ScanFolders {
    fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    fn open(&self, index: usize) -> Result<Box<dyn Scan>, SceneError> {
        (self.open)(&self.folders[index], &self.options)
    }
}

/// At most `wanted` of `count` places, evenly spread from the first to the last.
pub fn spread(count: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let wanted = wanted.min(count);
    (0..wanted).map(move |i| if wanted < 2 { 0 } else { i * (count - 1) / (wanted - 1) })
}

/// The folders to read at `path`: itself, if it is a scan by `is_scan`, else those right below it, by name.
pub(super) fn find_folders(
    path: &Path,
    expected: &'static str,
    is_scan: fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, SceneError> {
    let read = |source| SceneError::Read { path: path.to_owned(), source };
    if is_scan(path) {
        return Ok(vec![path.canonicalize().map_err(read)?]);
    }
    let mut folders: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(read)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|entry| entry.is_dir() && is_scan(entry))
        .collect();
    folders.sort();
    if folders.is_empty() {
        return Err(SceneError::File {
            path: path.to_owned(),
            place: "folder".to_owned(),
            problem: format!("neither it nor a folder in it holds {expected}"),
            remedy: "name a scan, or the folder that holds the scans",
        });
    }
    Ok(folders)
}

/// Recordings count pixels from the middle of the top left one, [`crate::geometry::Intrinsics`] from its corner.
pub(crate) const PIXEL_MIDDLE: f32 = 0.5;

/// A folder's own name.
pub(super) fn folder_name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_spread_from_first_to_last() {
        assert_eq!(spread(10, 4).collect::<Vec<_>>(), [0, 3, 6, 9]);
        assert_eq!(spread(3, 8).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(5, 1).collect::<Vec<_>>(), [0]);
        assert_eq!(spread(0, 4).count(), 0);
    }
}
