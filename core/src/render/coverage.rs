//! How large an object would be in a picture with nothing before it.

use super::Renderer;
use super::raster::{self, DepthPlane, EMPTY, NEAR, Visibility};
use crate::scenes::Camera;
use glam::{Mat3, Vec2, vec2};

/// The picture is thought to go on by this many times its size on every side: enough for what stands half
/// outside it, and an end to what reaches behind the camera.
const REACH: f32 = 1.0;

/// Objects larger than this many pixels are counted at a coarser scale.
const FINE_PIXELS: f32 = 65_536.0;

impl Renderer {
    /// Pixels that the object of this instance id would cover if nothing stood before it and the picture had
    /// no border (up to one more picture on every side). 0 when there is no such object before the camera.
    pub fn pixels_alone(&self, instance: u16, camera: &Camera) -> f32 {
        let intrinsics = &camera.intrinsics;
        let focal = vec2(intrinsics.fx, intrinsics.fy);
        let middle = vec2(intrinsics.cx, intrinsics.cy);
        let to_camera = Mat3::from_quat(camera.pose.rotation).transpose();
        let eye = camera.pose.translation;

        let mut triangles = Vec::new();
        for part in self.parts.iter().filter(|part| part.id == instance) {
            for face in &self.faces[part.faces.clone()] {
                let corners = face.corners.map(|i| to_camera * (self.vertices[i as usize] - eye));
                let faces_away = (to_camera * face.normal).dot(corners[0]) >= 0.0;
                if faces_away && !face.two_sided {
                    continue;
                }
                let (polygon, count) = raster::clip_near(corners);
                let projected = polygon.map(|p| vec2(p.x, p.y) / p.z.max(NEAR) * focal + middle);
                triangles.extend((2..count).map(|i| [projected[0], projected[i - 1], projected[i]]));
            }
        }
        pixels(triangles, vec2(intrinsics.width as f32, intrinsics.height as f32))
    }
}

/// Pixels that these triangles cover of a picture of this size that goes on by [`REACH`].
pub(super) fn pixels(triangles: Vec<[Vec2; 3]>, size: Vec2) -> f32 {
    let corners = || triangles.iter().flatten();
    let low = corners().fold(Vec2::INFINITY, |low, &corner| low.min(corner));
    let high = corners().fold(Vec2::NEG_INFINITY, |high, &corner| high.max(corner));
    if triangles.is_empty() {
        return 0.0;
    }

    let low = low.max(-size * REACH).floor();
    let high = high.min(size * (1.0 + REACH)).ceil();
    let extent = high - low;
    if extent.min_element() <= 0.0 {
        return 0.0;
    }
    let mut scale = 1.0;
    while extent.x * extent.y * scale * scale > FINE_PIXELS {
        scale *= 0.5;
    }
    let cells = (extent * scale).ceil();
    let mut canvas = Visibility::new(cells.x as usize, cells.y as usize);
    let flat = DepthPlane { dx: 0.0, dy: 0.0, origin: 1.0 };
    for triangle in triangles {
        canvas.fill(triangle.map(|corner| (corner - low) * scale), flat, 0);
    }
    let covered = canvas.triangle.iter().filter(|&&triangle| triangle != EMPTY).count();
    covered as f32 / (scale * scale)
}
