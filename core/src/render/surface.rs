//! What a camera sees of a scanned surface: depth and instances, no colours (pictures come with the scan).

use super::coverage;
use super::raster::{self, DepthPlane, NEAR, Visibility};
use crate::scenes::Camera;
use crate::scenes::scan::ScanMesh;
use glam::{Mat3, Vec2, Vec3, vec2};
use std::collections::BTreeMap;

/// A scanned surface made ready for drawing.
#[derive(Debug)]
pub struct SurfaceRenderer {
    vertices: Vec<Vec3>,
    triangles: Vec<[u32; 3]>,
    /// One a triangle: that of most of its corners.
    instances: Vec<u16>,
    /// Triangles of each instance.
    by_instance: BTreeMap<u16, Vec<u32>>,
}

/// Row-major, as large as the camera's picture.
#[derive(Debug, Clone, PartialEq)]
pub struct SurfaceView {
    /// Metres along the camera's Z axis; 0 where nothing is.
    pub depth: Vec<f32>,
    /// [`crate::scenes::Object::id`]; 0 for no object.
    pub instances: Vec<u16>,
}

impl SurfaceRenderer {
    pub fn new(mesh: &ScanMesh) -> Self {
        let of = |corner: u32| mesh.instances.get(corner as usize).copied().unwrap_or(0);
        let instances: Vec<u16> =
            mesh.triangles.iter().map(|&[a, b, c]| if of(b) == of(c) { of(b) } else { of(a) }).collect();
        let mut by_instance: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
        for (triangle, &instance) in (0..).zip(&instances) {
            by_instance.entry(instance).or_default().push(triangle);
        }
        Self { vertices: mesh.vertices.clone(), triangles: mesh.triangles.clone(), instances, by_instance }
    }

    /// What this camera sees. Surfaces have two sides, since scans are open.
    pub fn view(&self, camera: &Camera) -> SurfaceView {
        let intrinsics = &camera.intrinsics;
        let (width, height) = (intrinsics.width as usize, intrinsics.height as usize);
        let mut seen = Visibility::new(width, height);
        let project = Projection::new(camera);
        for (triangle, corners) in (0..).zip(&self.triangles) {
            let corners = corners.map(|corner| project.to_camera(self.vertices[corner as usize]));
            let Some((polygon, plane)) = project.polygon(corners) else {
                continue;
            };
            for i in 2..polygon.len() {
                seen.fill([polygon[0], polygon[i - 1], polygon[i]], plane, triangle);
            }
        }
        let depth = seen.inverse_depth.iter().map(|&inverse| if inverse > 0.0 { 1.0 / inverse } else { 0.0 });
        let instances = seen.triangle.iter().map(|&at| self.instances.get(at as usize).copied().unwrap_or(0));
        SurfaceView { depth: depth.collect(), instances: instances.collect() }
    }

    /// Pixels that the object of this instance id would cover if nothing stood before it and the picture had no
    /// border; see [`super::Renderer::pixels_alone`].
    pub fn pixels_alone(&self, instance: u16, camera: &Camera) -> f32 {
        let project = Projection::new(camera);
        let triangles = self.by_instance.get(&instance).into_iter().flatten().flat_map(|&triangle| {
            let corners = self.triangles[triangle as usize];
            let corners = corners.map(|corner| project.to_camera(self.vertices[corner as usize]));
            let polygon = project.polygon(corners).map(|(polygon, _)| polygon).unwrap_or_default();
            (2..polygon.len()).map(move |i| [polygon[0], polygon[i - 1], polygon[i]]).collect::<Vec<_>>()
        });
        let size = vec2(camera.intrinsics.width as f32, camera.intrinsics.height as f32);
        coverage::pixels(triangles.collect(), size)
    }
}

/// From the world to pixels.
struct Projection {
    to_camera: Mat3,
    eye: Vec3,
    focal: Vec2,
    middle: Vec2,
}

impl Projection {
    fn new(camera: &Camera) -> Self {
        let intrinsics = &camera.intrinsics;
        Self {
            to_camera: Mat3::from_quat(camera.pose.rotation).transpose(),
            eye: camera.pose.translation,
            focal: vec2(intrinsics.fx, intrinsics.fy),
            middle: vec2(intrinsics.cx, intrinsics.cy),
        }
    }

    fn to_camera(&self, world: Vec3) -> Vec3 {
        self.to_camera * (world - self.eye)
    }

    /// What the near plane leaves of a triangle, in pixels, and its depth over these.
    fn polygon(&self, corners: [Vec3; 3]) -> Option<(Vec<Vec2>, DepthPlane)> {
        let (kept, count) = raster::clip_near(corners);
        let normal = (corners[1] - corners[0]).cross(corners[2] - corners[0]).try_normalize()?;
        let plane = DepthPlane::new(corners[0], normal, self.focal, self.middle)?;
        let pixel = |p: &Vec3| vec2(p.x, p.y) / p.z.max(NEAR) * self.focal + self.middle;
        (count >= 3).then(|| (kept[..count].iter().map(pixel).collect(), plane))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Renderer, scan_mesh};
    use crate::scenes::rooms::{RoomOptions, generate};
    use crate::scenes::{scannet_intrinsics, stand_points};

    #[test]
    fn a_room_as_a_scan_looks_like_the_room() {
        for index in 0..3 {
            let scene = generate(2, index, &RoomOptions::default());
            let (drawn, scanned) = (Renderer::new(&scene), SurfaceRenderer::new(&scan_mesh(&scene)));
            for camera in stand_points(&scene, 3, scannet_intrinsics(160, 120), index) {
                let (frame, view) = (drawn.render(&camera), scanned.view(&camera));
                let count = view.depth.len();
                let same = frame.instances.iter().zip(&view.instances).filter(|(a, b)| a == b).count();
                assert!(same as f32 > 0.99 * count as f32, "room {index}: {same} of {count}");
                let near =
                    frame.depth.iter().zip(&view.depth).filter(|(a, b)| (*a - *b).abs() < 1e-3).count();
                assert!(near as f32 > 0.99 * count as f32, "room {index}: {near} of {count}");
                for object in &scene.objects {
                    let (a, b) =
                        (drawn.pixels_alone(object.id, &camera), scanned.pixels_alone(object.id, &camera));
                    assert!((a - b).abs() <= 0.02 * a.max(b) + 12.0, "{}: {a} and {b}", object.category);
                }
            }
        }
    }
}
