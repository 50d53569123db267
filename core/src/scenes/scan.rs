//! Scanned rooms: a reconstructed surface with instances, and a recording of pictures with known poses.
//! Readers of the formats ([`super::scannet`], [`super::arkitscenes`], [`super::scannetpp`]) all give this.

use super::{Scene, SceneError};
use glam::Vec3;
use std::path::PathBuf;

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
