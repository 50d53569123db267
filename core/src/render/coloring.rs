//! From what is visible to colours: light, materials, mirrors, smooth edges.

use super::raster::EMPTY;
use super::{Face, Renderer, Visible, pattern, shading};
use crate::scenes::{Camera, Surface};
use glam::{Vec2, Vec3, vec2};

/// What the colours of one picture are worked out from.
#[derive(Debug)]
pub struct Frame<'a> {
    view: shading::View,
    visible: &'a [Visible],
}

impl<'a> Frame<'a> {
    pub fn new(camera: &Camera, visible: &'a [Visible]) -> Self {
        Self { view: shading::View::new(camera), visible }
    }
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

/// Pixels from one post to the next, see [`Renderer::color_row`].
const POSTS: usize = 8;
/// Not one triangle.
const MIXED: u32 = EMPTY - 1;

impl Renderer {
    /// Colours one row of pixels, given the triangles of the three rows of samples above, in and below it.
    /// A pixel mixes the nine samples in and around it, the middle one counting most.
    pub(super) fn color_row(&self, frame: &Frame, y: usize, rows: [&[u32]; 3], line: &mut [u8]) {
        let tones = shading::tones();
        let at = |x: usize| vec2(x as f32 + 0.5, y as f32 + 0.5);
        // Light changes slowly along a triangle: it is worked out at posts some pixels apart.
        let posts: Vec<(u32, Shade)> = (0..line.len() / 3 + POSTS)
            .step_by(POSTS)
            .map(|x| {
                let triangle = rows[1].get(2 * x + 1).copied().unwrap_or(EMPTY);
                (triangle, self.shade(frame, triangle, at(x)))
            })
            .collect();
        // Where the three rows agree: the triangle; elsewhere a number that no triangle has.
        let agreed: Vec<u32> = rows[0]
            .iter()
            .zip(rows[1])
            .zip(rows[2])
            .map(|((&a, &b), &c)| if a == b && b == c { b } else { MIXED })
            .collect();
        let pixels = line.chunks_exact_mut(3).zip(agreed.windows(3).step_by(2));
        for (x, (pixel, three)) in pixels.enumerate() {
            let triangle = three[1];
            let color = if triangle != MIXED && three[0] == triangle && three[2] == triangle {
                let (left, right) = (&posts[x / POSTS], &posts[x / POSTS + 1]);
                let shade = if left.0 == triangle && right.0 == triangle {
                    left.1.mix(&right.1, (x % POSTS) as f32 / POSTS as f32)
                } else {
                    self.shade(frame, triangle, at(x))
                };
                self.color(frame, triangle, at(x), &shade)
            } else {
                self.mixed(frame, rows.map(|row| &row[2 * x..2 * x + 3]), at(x))
            };
            for (byte, light) in pixel.iter_mut().zip(color.to_array()) {
                *byte = tones.byte(light);
            }
        }
    }

    /// The colour of a pixel that shows several triangles.
    fn mixed(&self, frame: &Frame, around: [&[u32]; 3], middle: Vec2) -> Vec3 {
        const WEIGHTS: [[f32; 3]; 3] = [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]];
        // Each triangle with its weight and its weighted place.
        let mut shown = [(EMPTY, 0.0, Vec2::ZERO); 9];
        let mut count = 0;
        for (i, three) in around.iter().enumerate() {
            for (j, &triangle) in three.iter().enumerate() {
                let weight = WEIGHTS[i][j];
                let place = vec2(j as f32 - 1.0, i as f32 - 1.0) * (0.5 * weight);
                let known = (0..count)
                    .find(|&k| shown[k].0 == triangle || self.alike(frame, shown[k].0, triangle, middle));
                match known {
                    Some(k) => shown[k] = (shown[k].0, shown[k].1 + weight, shown[k].2 + place),
                    None => {
                        shown[count] = (triangle, weight, place);
                        count += 1;
                    }
                }
            }
        }
        let colors = shown[..count].iter().map(|&(triangle, weight, place)| {
            let place = middle + place / weight;
            self.color(frame, triangle, place, &self.shade(frame, triangle, place)) * weight
        });
        colors.sum::<Vec3>() / 16.0
    }

    /// Whether two triangles are neighbours on a rounded surface, so that one may stand for both in a pixel.
    fn alike(&self, frame: &Frame, a: u32, b: u32, pixel: Vec2) -> bool {
        let visible = |i: u32| frame.visible.get(i as usize);
        let (Some(a), Some(b)) = (visible(a), visible(b)) else {
            return false;
        };
        let (first, second) = (&self.faces[a.face as usize], &self.faces[b.face as usize]);
        first.smooth
            && first.material == second.material
            && first.normal.dot(second.normal) > 0.8
            && (a.plane.depth(pixel) / b.plane.depth(pixel) - 1.0).abs() < 0.02
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
        let mut normal = if face.smooth { self.smooth_normal(face, position) } else { face.normal };
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
        Shade { light, highlight, footprint }
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
                let (from, step) = (part.to_local * (position - part.center), part.to_local * ray);
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
            &pattern::Place { local, half: part.half, axis: side.axis, footprint },
        );
        let [open, lit] = part.shadow.as_ref().map_or([1.0; 2], |map| map.at(local.truncate()));
        let (light, _) = self.lights.at(position + ray * t, side.normal, -ray, open, lit);
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
