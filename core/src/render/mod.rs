//! Pictures of a scene: colour, depth and instance ids for any camera, by a software rasteriser that
//! gives the same bytes on every machine, in WebAssembly too.
//!
//! A picture is made in two passes. The first finds the nearest triangle at the middle of every pixel, which
//! gives depth and instance ids, and at the middles of its sides and its corners; the second works out the
//! colour of every triangle that a pixel shows and mixes them. Colour therefore costs the same however many
//! triangles lie behind one another.

mod benchmark;
mod coverage;
mod light;
mod pattern;
mod prepare;
mod raster;
mod shading;

pub use benchmark::{Throughput, benchmark};

use crate::geometry::Intrinsics;
use crate::scenes::{self, Camera, Scene, Surface};
use glam::{Mat3, Vec2, Vec3, vec2};
use light::{Caster, Lights, ShadowMap};
use raster::{DepthPlane, EMPTY, NEAR, Visibility};
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

/// What the colours of one picture are worked out from.
#[derive(Debug)]
struct Frame<'a> {
    view: shading::View,
    visible: &'a [Visible],
}

/// The light on a place.
#[derive(Debug, Clone, Copy, Default)]
struct Shade {
    light: Vec3,
    highlight: f32,
    /// See [`pattern::Place::footprint`].
    footprint: f32,
}

impl Shade {
    fn mix(&self, other: &Self, t: f32) -> Self {
        Self {
            light: self.light + (other.light - self.light) * t,
            highlight: self.highlight + (other.highlight - self.highlight) * t,
            footprint: self.footprint + (other.footprint - self.footprint) * t,
        }
    }
}

/// Pixels from one post to the next, see [`Renderer::resolve`].
const POSTS: usize = 8;
/// Not one triangle.
const MIXED: u32 = EMPTY - 1;

impl Renderer {
    /// What this camera sees.
    pub fn render(&self, camera: &Camera) -> RenderedFrame {
        let (width, height) = (
            camera.intrinsics.width as usize,
            camera.intrinsics.height as usize,
        );
        let mut samples = Visibility::new(2 * width + 1, 2 * height + 1);
        let visible = self.rasterize(camera, &mut samples);
        let mut depth = Vec::with_capacity(width * height);
        let mut instances = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = (2 * y + 1) * samples.width;
            for sample in (0..width).map(|x| row + 2 * x + 1) {
                let inverse = samples.inverse_depth[sample];
                depth.push(if inverse > 0.0 { 1.0 / inverse } else { 0.0 });
                let triangle = visible.get(samples.triangle[sample] as usize);
                instances.push(triangle.map_or(0, |v| self.part_of(v).id));
            }
        }
        let color = self.resolve(camera, &visible, &samples);
        RenderedFrame {
            color,
            depth,
            instances,
        }
    }

    fn part_of(&self, visible: &Visible) -> &Part {
        &self.parts[self.faces[visible.face as usize].part as usize]
    }

    /// Fills the samples, which lie half a pixel apart: those with two odd coordinates are the middles of
    /// pixels. Their triangle numbers index the list returned.
    fn rasterize(&self, camera: &Camera, samples: &mut Visibility) -> Vec<Visible> {
        let intrinsics = &camera.intrinsics;
        let focal = vec2(intrinsics.fx, intrinsics.fy);
        let middle = vec2(intrinsics.cx, intrinsics.cy);
        // In samples, where the middle of the first is at (0.5, 0.5).
        let (fine_focal, fine_middle) = (focal * 2.0, middle * 2.0 + 0.5);
        let to_camera = Mat3::from_quat(camera.pose.rotation).transpose();
        let eye = camera.pose.translation;
        let mut visible = Vec::new();
        let mut moved: Vec<Vec3> = Vec::new();
        let mut last: Option<usize> = None;
        for part in &self.parts {
            moved.clear();
            moved.extend(
                self.vertices[part.vertices.clone()]
                    .iter()
                    .map(|&v| to_camera * (v - eye)),
            );
            if outside(&moved, intrinsics) {
                continue;
            }
            for index in part.faces.clone() {
                let face = &self.faces[index];
                let corners = face
                    .corners
                    .map(|i| moved[i as usize - part.vertices.start]);
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
                let Some(fine) = DepthPlane::new(corners[0], normal, fine_focal, fine_middle)
                else {
                    continue;
                };
                let projected =
                    polygon.map(|p| vec2(p.x, p.y) / p.z.max(NEAR) * fine_focal + fine_middle);
                // Triangles of one flat side count as one: there is no edge between them to smooth.
                let goes_on = last.is_some_and(|l| self.faces[l].same_side(face));
                if !goes_on {
                    visible.push(Visible {
                        face: index as u32,
                        plane,
                    });
                }
                last = Some(index);
                let id = visible.len() as u32 - 1;
                for i in 2..count {
                    samples.fill([projected[0], projected[i - 1], projected[i]], fine, id);
                }
            }
        }
        visible
    }

    /// Mixes the nine samples in and on the border of each pixel, the middle one counting most.
    fn resolve(
        &self,
        camera: &Camera,
        visible: &[Visible],
        samples: &Visibility,
    ) -> image::RgbImage {
        let frame = Frame {
            view: shading::View::new(camera),
            visible,
        };
        let tones = shading::tones();
        let (width, height) = (
            camera.intrinsics.width as usize,
            camera.intrinsics.height as usize,
        );
        let mut pixels = vec![0; width * height * 3];
        let mut posts: Vec<(u32, Shade)> = Vec::new();
        let mut columns = vec![EMPTY; samples.width];
        for (y, line) in pixels.chunks_exact_mut((width * 3).max(1)).enumerate() {
            let rows = [0, 1, 2]
                .map(|i| &samples.triangle[(2 * y + i) * samples.width..][..samples.width]);
            // Where the three rows agree: the triangle; elsewhere a number that no triangle has.
            for (i, column) in columns.iter_mut().enumerate() {
                let (a, b, c) = (rows[0][i], rows[1][i], rows[2][i]);
                *column = if a == b && b == c { b } else { MIXED };
            }
            let at = |x: usize| vec2(x as f32 + 0.5, y as f32 + 0.5);
            // Light changes slowly along a triangle: it is worked out at posts some pixels apart.
            posts.clear();
            for x in (0..width + POSTS).step_by(POSTS) {
                let triangle = rows[1].get(2 * x + 1).copied().unwrap_or(EMPTY);
                posts.push((triangle, self.shade(&frame, triangle, at(x))));
            }
            for (x, (pixel, three)) in line
                .chunks_exact_mut(3)
                .zip(columns.windows(3).step_by(2))
                .enumerate()
            {
                let triangle = three[1];
                let color = if triangle != MIXED && three[0] == triangle && three[2] == triangle {
                    let (left, right) = (&posts[x / POSTS], &posts[x / POSTS + 1]);
                    let shade = if left.0 == triangle && right.0 == triangle {
                        left.1.mix(&right.1, (x % POSTS) as f32 / POSTS as f32)
                    } else {
                        self.shade(&frame, triangle, at(x))
                    };
                    self.color(&frame, triangle, at(x), &shade)
                } else {
                    self.mixed(&frame, rows.map(|row| &row[2 * x..2 * x + 3]), at(x))
                };
                for (byte, light) in pixel.iter_mut().zip(color.to_array()) {
                    *byte = tones.byte(light);
                }
            }
        }
        image::RgbImage::from_raw(camera.intrinsics.width, camera.intrinsics.height, pixels)
            .unwrap_or_default()
    }

    /// The colour of a pixel that shows several triangles.
    fn mixed(&self, frame: &Frame, around: [&[u32]; 3], middle: Vec2) -> Vec3 {
        const WEIGHTS: [[f32; 3]; 3] = [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]];
        let mut sum = Vec3::ZERO;
        let mut done = [EMPTY; 9];
        let mut count = 0;
        let mut empty = true;
        for triangle in around.into_iter().flatten().copied() {
            if done[..count].contains(&triangle) || (triangle == EMPTY && !empty) {
                continue;
            }
            empty &= triangle != EMPTY;
            done[count] = triangle;
            count += 1;
            let (mut weight, mut place) = (0.0, Vec2::ZERO);
            for (i, three) in around.iter().enumerate() {
                for (j, _) in three.iter().enumerate().filter(|(_, t)| **t == triangle) {
                    weight += WEIGHTS[i][j];
                    place += vec2(j as f32 - 1.0, i as f32 - 1.0) * (0.5 * WEIGHTS[i][j]);
                }
            }
            let place = middle + place / weight;
            sum += self.color(frame, triangle, place, &self.shade(frame, triangle, place)) * weight;
        }
        sum / 16.0
    }

    /// The light on a triangle at this place of the picture.
    fn shade(&self, frame: &Frame, triangle: u32, pixel: Vec2) -> Shade {
        if triangle == EMPTY {
            return Shade::default();
        }
        let Visible { face, plane } = frame.visible[triangle as usize];
        let face = &self.faces[face as usize];
        let part = &self.parts[face.part as usize];
        let depth = plane.depth(pixel);
        let position = frame.view.position(pixel, depth);
        let to_eye = (frame.view.eye - position).normalize_or(Vec3::Z);
        let mut normal = if face.smooth {
            self.smooth_normal(face, position)
        } else {
            face.normal
        };
        if face.two_sided && normal.dot(to_eye) < 0.0 {
            normal = -normal;
        }
        let [mut open, lit] = match &part.shadow {
            Some(map) => map.at((part.to_local * (position - part.center)).truncate()),
            // Objects are darker near the floor, and below than above.
            None => {
                let up = ((position.z - self.floor) / 0.5).clamp(0.0, 1.0);
                [0.72 + 0.28 * up, 0.7 + 0.3 * up]
            }
        };
        for neighbour in &part.neighbours {
            open *= neighbour.openness(position, normal);
        }
        let (light, highlight) = self.lights.at(position, normal, to_eye, open, lit);
        let footprint = depth * frame.view.pixel_size / normal.dot(to_eye).abs().max(0.25);
        Shade {
            light,
            highlight,
            footprint,
        }
    }

    /// Linear colour of a triangle under this light at this place of the picture.
    fn color(&self, frame: &Frame, triangle: u32, pixel: Vec2, shade: &Shade) -> Vec3 {
        if triangle == EMPTY {
            return shading::NOTHING;
        }
        let Visible { face, plane } = frame.visible[triangle as usize];
        let face = &self.faces[face as usize];
        let part = &self.parts[face.part as usize];
        let position = frame.view.position(pixel, plane.depth(pixel));
        let place = pattern::Place {
            local: part.to_local * (position - part.center),
            half: part.half,
            axis: face.axis,
            footprint: shade.footprint,
        };
        let material = &self.materials[face.material as usize];
        if material.surface == Surface::Mirror {
            return self.reflection(frame, face, position) * Vec3::from(material.color);
        }
        let look = pattern::look(material, &place);
        look.color * shade.light + look.glow + Vec3::splat(shade.highlight * look.gloss)
    }

    /// What a mirror shows here: the empty room.
    fn reflection(&self, frame: &Frame, face: &Face, position: Vec3) -> Vec3 {
        let ray = (position - frame.view.eye).normalize_or(Vec3::X);
        let ray = ray - face.normal * (2.0 * ray.dot(face.normal));
        let hit = self
            .parts
            .iter()
            .filter_map(|part| {
                let map = part.shadow.as_ref()?;
                let (from, step) = (
                    part.to_local * (position - part.center),
                    part.to_local * ray,
                );
                // Panels look along their z; only their front is seen.
                let t = -from.z / step.z;
                let place = from + step * t;
                let inside = place.truncate().clamp(Vec2::ZERO, map.size()) == place.truncate();
                (step.z < -1e-4 && t > 0.0 && inside).then_some((t, part, place))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((t, part, local)) = hit else {
            return shading::NOTHING;
        };
        let Some(side) = self.faces.get(part.faces.start) else {
            return shading::NOTHING;
        };
        let footprint = (t + 1.0) * frame.view.pixel_size;
        let look = pattern::look(
            &self.materials[side.material as usize],
            &pattern::Place {
                local,
                half: part.half,
                axis: side.axis,
                footprint,
            },
        );
        let [open, lit] = part
            .shadow
            .as_ref()
            .map_or([1.0; 2], |map| map.at(local.truncate()));
        let (light, _) = self
            .lights
            .at(position + ray * t, side.normal, -ray, open, lit);
        look.color * light
    }

    fn smooth_normal(&self, face: &Face, position: Vec3) -> Vec3 {
        let [a, b, c] = face.corners.map(|i| self.vertices[i as usize]);
        let (u, v, w) = (b - a, c - a, position - a);
        let (uu, uv, vv) = (u.dot(u), u.dot(v), v.dot(v));
        let (wu, wv) = (w.dot(u), w.dot(v));
        let area = (uu * vv - uv * uv).max(1e-20);
        let s = ((vv * wu - uv * wv) / area).clamp(0.0, 1.0);
        let t = ((uu * wv - uv * wu) / area).clamp(0.0, 1.0 - s);
        let [n0, n1, n2] = face.corners.map(|i| self.normals[i as usize]);
        (n0 * (1.0 - s - t) + n1 * s + n2 * t).normalize_or(face.normal)
    }
}

/// Whether all the points lie beyond one side of the picture, or behind the camera.
fn outside(points: &[Vec3], intrinsics: &Intrinsics) -> bool {
    let (left, right) = (
        -intrinsics.cx / intrinsics.fx,
        (intrinsics.width as f32 - intrinsics.cx) / intrinsics.fx,
    );
    let (top, bottom) = (
        -intrinsics.cy / intrinsics.fy,
        (intrinsics.height as f32 - intrinsics.cy) / intrinsics.fy,
    );
    let all = |beyond: &dyn Fn(&Vec3) -> bool| points.iter().all(beyond);
    all(&|p| p.z < NEAR)
        || all(&|p| p.x < left * p.z)
        || all(&|p| p.x > right * p.z)
        || all(&|p| p.y < top * p.z)
        || all(&|p| p.y > bottom * p.z)
}

#[cfg(test)]
mod tests;
