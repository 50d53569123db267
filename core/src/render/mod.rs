//! Pictures of a scene: colour, depth and instance ids for any camera, by a software rasteriser that
//! gives the same bytes on every machine, in WebAssembly too.

use crate::scenes::{Camera, Scene};

/// What one camera sees. All images are row-major, `width * height`.
#[derive(Debug, Clone)]
pub struct RenderedFrame {
    pub color: image::RgbImage,
    /// Distance along the camera's Z axis in metres; 0 where nothing was hit.
    pub depth: Vec<f32>,
    /// [`crate::scenes::Object::id`] of what is seen; 0 for walls, floor, ceiling.
    pub instances: Vec<u16>,
}

/// Draws the scene as this camera sees it.
pub fn render(_scene: &Scene, _camera: &Camera) -> RenderedFrame {
    unimplemented!("helper A")
}
