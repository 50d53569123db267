//! Pictures of a scene: colour, depth and instance ids for any camera, by a software rasteriser that
//! gives the same bytes on every machine, in WebAssembly too.
//!
//! A picture is made in two passes. The first finds the nearest triangle at the middle of every pixel, which
//! gives depth and instance ids, and at the middles of its sides and its corners; the second works out the
//! colour of every triangle that a pixel shows and mixes them. Colour therefore costs the same however many
//! triangles lie behind one another.

mod benchmark;
mod coloring;
mod coverage;
mod light;
mod pattern;
mod prepare;
mod raster;
mod shading;
#[cfg(not(target_arch = "wasm32"))]
mod surface;

pub use benchmark::{Throughput, benchmark};
#[cfg(not(target_arch = "wasm32"))]
pub use surface::{SurfaceRenderer, SurfaceView};

use crate::geometry::Intrinsics;
use crate::scenes::{self, Camera, Scene};
use glam::{Mat3, Vec2, Vec3, vec2};
use light::{Caster, Lights, ShadowMap};
use raster::{DepthPlane, NEAR, Visibility};
use std::ops::Range;

/// What one camera sees. All images are row-major, `width * height`.
#[derive(Debug, Clone)]
pub struct RenderedFrame {
    pub color: image::RgbImage,
    /// Distance along the camera's Z axis in metres; 0 where nothing was hit.
    pub depth: Vec<f32>,
    /// [`crate::scenes::Object::id`] of what is seen; 0 for walls, floor, ceiling.
    pub instances: Vec<u16>,
}

/// Draws the scene as this camera sees it. For several pictures of one scene, keep a [`Renderer`].
pub fn render(scene: &Scene, camera: &Camera) -> RenderedFrame {
    Renderer::new(scene).render(camera)
}

/// The scene's surface as a scan would give it: triangles in the world frame with the instance of each vertex. The
/// colour of a vertex is that of its material in even light.
#[cfg(not(target_arch = "wasm32"))]
pub fn scan_mesh(scene: &Scene) -> scenes::scan::ScanMesh {
    let renderer = Renderer::new(scene);
    let mut mesh = scenes::scan::ScanMesh {
        vertices: renderer.vertices.clone(),
        colors: vec![[128; 3]; renderer.vertices.len()],
        triangles: renderer.faces.iter().map(|face| face.corners).collect(),
        instances: vec![0; renderer.vertices.len()],
    };
    for part in &renderer.parts {
        mesh.instances[part.vertices.clone()].fill(part.id);
    }
    let tones = shading::tones();
    for face in &renderer.faces {
        let color = renderer.materials[face.material as usize].color.map(|light| tones.byte(light));
        for corner in face.corners {
            mesh.colors[corner as usize] = color;
        }
    }
    mesh
}

/// A scene made ready for drawing: meshes, materials, lights and shadows.
#[derive(Debug)]
pub struct Renderer {
    vertices: Vec<Vec3>,
    normals: Vec<Vec3>,
    faces: Vec<Face>,
    materials: Vec<scenes::Material>,
    parts: Vec<Part>,
    lights: Lights,
    floor: f32,
}

/// A triangle of the whole scene.
#[derive(Debug, Clone, Copy)]
struct Face {
    corners: [u32; 3],
    material: u32,
    part: u32,
    /// World frame, unit length.
    normal: Vec3,
    /// Shaded by the normals of its vertices.
    smooth: bool,
    two_sided: bool,
    /// See [`pattern::Place::axis`].
    axis: u8,
}

impl Face {
    /// Whether the other triangle goes on where this one ends: same plane, same material.
    fn same_side(&self, other: &Self) -> bool {
        !self.smooth
            && !other.smooth
            && self.corners[0] == other.corners[0]
            && self.normal.dot(other.normal) > 0.999_999
            && self.material == other.material
    }
}

/// An object or a panel of the room.
#[derive(Debug)]
struct Part {
    id: u16,
    vertices: Range<usize>,
    faces: Range<usize>,
    center: Vec3,
    /// From the world to the part's own axes.
    to_local: Mat3,
    half: Vec3,
    shadow: Option<ShadowMap>,
    /// Objects close by, which take light away.
    neighbours: Vec<Caster>,
}

/// A triangle that faces the camera, for the time of one picture.
#[derive(Debug, Clone, Copy)]
struct Visible {
    face: u32,
    /// Over pixels.
    plane: DepthPlane,
}

/// A triangle, or what the near plane left of it, on the picture.
#[derive(Debug, Clone, Copy)]
struct Projection {
    /// In samples.
    corners: [Vec2; 3],
    /// Over samples.
    plane: DepthPlane,
    /// Index into [`Projected::visible`].
    id: u32,
}

/// All that may be seen in a picture. Samples lie half a pixel apart: those with two odd coordinates are the
/// middles of pixels.
#[derive(Debug)]
struct Projected {
    visible: Vec<Visible>,
    triangles: Vec<Projection>,
}

impl Projected {
    fn fill(&self, samples: &mut Visibility) {
        for triangle in &self.triangles {
            samples.fill(triangle.corners, triangle.plane, triangle.id);
        }
    }
}

/// Rows of pixels that are drawn at once.
const BAND: usize = 16;

impl Renderer {
    /// What this camera sees.
    pub fn render(&self, camera: &Camera) -> RenderedFrame {
        let (width, height) = (camera.intrinsics.width as usize, camera.intrinsics.height as usize);
        let projected = self.project(camera);
        let frame = coloring::Frame::new(camera, &projected.visible);
        let mut color = vec![0; width * height * 3];
        let mut depth = Vec::with_capacity(width * height);
        let mut instances = Vec::with_capacity(width * height);
        // A few rows at a time, so that the samples stay in the processor's cache.
        let mut samples = Visibility::new(2 * width + 1, 2 * BAND + 1);
        for (band, pixels) in color.chunks_mut((width * 3 * BAND).max(1)).enumerate() {
            samples.restart(2 * BAND * band);
            projected.fill(&mut samples);
            for (y, line) in pixels.chunks_exact_mut(width * 3).enumerate() {
                let row = (2 * y + 1) * samples.width;
                for sample in (0..width).map(|x| row + 2 * x + 1) {
                    let inverse = samples.inverse_depth[sample];
                    depth.push(if inverse > 0.0 { 1.0 / inverse } else { 0.0 });
                    let triangle = projected.visible.get(samples.triangle[sample] as usize);
                    instances.push(triangle.map_or(0, |v| self.part_of(v).id));
                }
                let rows = [0, 1, 2].map(|i| samples.row(2 * y + i));
                self.color_row(&frame, band * BAND + y, rows, line);
            }
        }
        let color = image::RgbImage::from_raw(width as u32, height as u32, color).unwrap_or_default();
        RenderedFrame { color, depth, instances }
    }

    fn part_of(&self, visible: &Visible) -> &Part {
        &self.parts[self.faces[visible.face as usize].part as usize]
    }

    /// The triangles that face the camera, in samples.
    fn project(&self, camera: &Camera) -> Projected {
        let intrinsics = &camera.intrinsics;
        let focal = vec2(intrinsics.fx, intrinsics.fy);
        let middle = vec2(intrinsics.cx, intrinsics.cy);
        // In samples, where the middle of the first is at (0.5, 0.5).
        let (fine_focal, fine_middle) = (focal * 2.0, middle * 2.0 + 0.5);
        let to_camera = Mat3::from_quat(camera.pose.rotation).transpose();
        let eye = camera.pose.translation;
        let (mut visible, mut triangles) = (Vec::new(), Vec::new());
        let mut moved: Vec<Vec3> = Vec::new();
        let mut last: Option<usize> = None;
        for part in &self.parts {
            moved.clear();
            moved.extend(self.vertices[part.vertices.clone()].iter().map(|&v| to_camera * (v - eye)));
            if outside(&moved, intrinsics) {
                continue;
            }
            for index in part.faces.clone() {
                let face = &self.faces[index];
                let corners = face.corners.map(|i| moved[i as usize - part.vertices.start]);
                let normal = to_camera * face.normal;
                if normal.dot(corners[0]) >= 0.0 && !face.two_sided {
                    continue;
                }
                let (polygon, count) = raster::clip_near(corners);
                if count < 3 {
                    continue;
                }
                let Some(plane) = DepthPlane::new(corners[0], normal, focal, middle) else {
                    continue;
                };
                let Some(fine) = DepthPlane::new(corners[0], normal, fine_focal, fine_middle) else {
                    continue;
                };
                let projected = polygon.map(|p| vec2(p.x, p.y) / p.z.max(NEAR) * fine_focal + fine_middle);
                // Triangles of one flat side count as one: there is no edge between them to smooth.
                let goes_on = last.is_some_and(|l| self.faces[l].same_side(face));
                if !goes_on {
                    visible.push(Visible { face: index as u32, plane });
                }
                last = Some(index);
                let id = visible.len() as u32 - 1;
                for i in 2..count {
                    let corners = [projected[0], projected[i - 1], projected[i]];
                    triangles.push(Projection { corners, plane: fine, id });
                }
            }
        }
        Projected { visible, triangles }
    }
}

/// Whether all the points lie beyond one side of the picture, or behind the camera.
fn outside(points: &[Vec3], intrinsics: &Intrinsics) -> bool {
    let (left, right) =
        (-intrinsics.cx / intrinsics.fx, (intrinsics.width as f32 - intrinsics.cx) / intrinsics.fx);
    let (top, bottom) =
        (-intrinsics.cy / intrinsics.fy, (intrinsics.height as f32 - intrinsics.cy) / intrinsics.fy);
    let all = |beyond: &dyn Fn(&Vec3) -> bool| points.iter().all(beyond);
    all(&|p| p.z < NEAR)
        || all(&|p| p.x < left * p.z)
        || all(&|p| p.x > right * p.z)
        || all(&|p| p.y < top * p.z)
        || all(&|p| p.y > bottom * p.z)
}

#[cfg(test)]
mod tests;
