//! Triangle meshes and the few solids that all furniture is put together from.

use super::material::Material;
use glam::{Vec2, Vec3, vec2, vec3};

/// Triangles with a normal at each vertex and a material on each face. Faces run counter-clockwise seen
/// from outside.
#[derive(Debug, Clone, Default)]
pub struct Mesh {
    /// Metres.
    pub vertices: Vec<Vec3>,
    /// Unit length, one a vertex.
    pub normals: Vec<Vec3>,
    pub faces: Vec<Face>,
    pub materials: Vec<Material>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Face {
    /// Indices of vertices.
    pub corners: [u32; 3],
    /// Index into [`Mesh::materials`].
    pub material: u16,
}

impl Mesh {
    /// Lowest and highest coordinates; zeros for an empty mesh.
    pub fn bounds(&self) -> (Vec3, Vec3) {
        let Some(&first) = self.vertices.first() else {
            return (Vec3::ZERO, Vec3::ZERO);
        };
        self.vertices.iter().fold((first, first), |(low, high), &v| (low.min(v), high.max(v)))
    }

    /// Stretches and moves the mesh so that its bounds are exactly `-half..=half`.
    pub fn fit(&mut self, half: Vec3) {
        let (low, high) = self.bounds();
        let (middle, extent) = ((low + high) * 0.5, ((high - low) * 0.5).max(Vec3::splat(1e-6)));
        let scale = half / extent;
        for v in &mut self.vertices {
            *v = ((*v - middle) * scale).clamp(-half, half);
        }
        let unscale = scale.recip();
        for n in &mut self.normals {
            *n = (*n * unscale).normalize_or(Vec3::Z);
        }
    }
}

/// Puts solids together. While building, x runs from left to right seen from the front, the front looks
/// towards -y, and z goes up from 0; all in metres.
#[derive(Debug, Default)]
pub struct MeshBuilder {
    mesh: Mesh,
    current: u16,
}

impl MeshBuilder {
    pub fn finish(self) -> Mesh {
        self.mesh
    }

    /// What follows is made of this.
    pub fn material(&mut self, material: Material) -> &mut Self {
        let known = self.mesh.materials.iter().position(|m| *m == material);
        self.current = known.unwrap_or_else(|| {
            self.mesh.materials.push(material);
            self.mesh.materials.len() - 1
        }) as u16;
        self
    }

    fn vertex(&mut self, position: Vec3, normal: Vec3) -> u32 {
        self.mesh.vertices.push(position);
        self.mesh.normals.push(normal);
        (self.mesh.vertices.len() - 1) as u32
    }

    fn face(&mut self, corners: [u32; 3]) {
        self.mesh.faces.push(Face { corners, material: self.current });
    }

    /// A flat quad, counter-clockwise seen from outside.
    pub fn quad(&mut self, corners: [Vec3; 4]) -> &mut Self {
        let normal = (corners[1] - corners[0]).cross(corners[3] - corners[0]).normalize_or(Vec3::Z);
        let [a, b, c, d] = corners.map(|p| self.vertex(p, normal));
        self.face([a, b, c]);
        self.face([a, c, d]);
        self
    }

    /// A flat triangle, counter-clockwise seen from outside.
    pub fn triangle(&mut self, corners: [Vec3; 3]) -> &mut Self {
        let normal = (corners[1] - corners[0]).cross(corners[2] - corners[0]).normalize_or(Vec3::Z);
        let corners = corners.map(|p| self.vertex(p, normal));
        self.face(corners);
        self
    }

    /// A box between two corners.
    pub fn cuboid(&mut self, low: Vec3, high: Vec3) -> &mut Self {
        let (l, h) = (low.min(high), low.max(high));
        let p = |i: usize| {
            vec3(
                if i & 1 == 0 { l.x } else { h.x },
                if i & 2 == 0 { l.y } else { h.y },
                if i & 4 == 0 { l.z } else { h.z },
            )
        };
        for side in [[0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]] {
            self.quad(side.map(p));
        }
        self
    }

    /// A box by its middle and full size.
    pub fn block(&mut self, center: Vec3, size: Vec3) -> &mut Self {
        self.cuboid(center - size * 0.5, center + size * 0.5)
    }

    /// A box with bevelled edges that is shaded as if round: cushions, plastic housings.
    pub fn soft(&mut self, low: Vec3, high: Vec3, radius: f32) -> &mut Self {
        let half = (high - low).abs() * 0.5;
        let radius = radius.min(half.min_element() * 0.98).max(0.0);
        let (center, core) = ((low + high) * 0.5, half - radius);
        // Every corner of the box has three vertices, one on each of the sides that meet there.
        let base = self.mesh.vertices.len() as u32;
        for corner in 0..8 {
            let sign = vec3(
                if corner & 1 == 0 { -1.0 } else { 1.0 },
                if corner & 2 == 0 { -1.0 } else { 1.0 },
                if corner & 4 == 0 { -1.0 } else { 1.0 },
            );
            for axis in [Vec3::X, Vec3::Y, Vec3::Z] {
                let out = axis * sign;
                self.vertex(center + sign * core + out * radius, out);
            }
        }
        let id = |corner: u32, axis: u32| base + corner * 3 + axis;
        let mut quad = |q: [u32; 4]| {
            let (a, b, c) = (q[0] as usize, q[1] as usize, q[2] as usize);
            let v = &self.mesh.vertices;
            let outwards = (v[b] - v[a]).cross(v[c] - v[a]).dot((v[a] + v[c]) * 0.5 - center) >= 0.0;
            let q = if outwards { q } else { [q[0], q[3], q[2], q[1]] };
            self.face([q[0], q[1], q[2]]);
            self.face([q[0], q[2], q[3]]);
        };
        for axis in 0..3_u32 {
            let (u, v) = (1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3));
            for side in [0, 1 << axis] {
                quad([side, side | u, side | u | v, side | v].map(|c| id(c, axis)));
            }
            // The four bevels along this axis join the sides of the other two.
            let (first, second) = ((axis + 1) % 3, (axis + 2) % 3);
            for around in [0, u, v, u | v] {
                let (low, high) = (around, around | 1 << axis);
                quad([id(low, first), id(high, first), id(high, second), id(low, second)]);
            }
        }
        for corner in 0..8_u32 {
            let [a, b, c] = [0, 1, 2].map(|axis| id(corner, axis));
            // An odd number of negative signs mirrors the triangle.
            let mirrored = (!corner & 7).count_ones() % 2 == 1;
            self.face(if mirrored { [a, c, b] } else { [a, b, c] });
        }
        self
    }

    /// A round bar, pipe or cone from one point to another, closed at both ends.
    pub fn cone(&mut self, from: Vec3, to: Vec3, radii: [f32; 2], segments: u32) -> &mut Self {
        let axis = (to - from).normalize_or(Vec3::Z);
        let side = if axis.z.abs() > 0.9 { Vec3::X } else { Vec3::Z };
        let u = (side - axis * side.dot(axis)).normalize_or(Vec3::X);
        let v = axis.cross(u);
        let length = (to - from).length().max(1e-6);
        let slope = (radii[0] - radii[1]) / length;
        let ring: Vec<Vec2> = circle(segments);
        let mut sides = Vec::with_capacity(ring.len());
        for d in &ring {
            let out = u * d.x + v * d.y;
            let normal = (out + axis * slope).normalize_or(out);
            sides
                .push([self.vertex(from + out * radii[0], normal), self.vertex(to + out * radii[1], normal)]);
        }
        for i in 0..sides.len() {
            let ([a, d], [b, c]) = (sides[i], sides[(i + 1) % sides.len()]);
            self.face([a, b, c]);
            self.face([a, c, d]);
        }
        for (end, radius, normal) in [(from, radii[0], -axis), (to, radii[1], axis)] {
            if radius > 1e-5 {
                let middle = self.vertex(end, normal);
                let rim: Vec<u32> =
                    ring.iter().map(|d| self.vertex(end + (u * d.x + v * d.y) * radius, normal)).collect();
                for i in 0..rim.len() {
                    let (a, b) = (rim[i], rim[(i + 1) % rim.len()]);
                    self.face(if normal == axis { [middle, a, b] } else { [middle, b, a] });
                }
            }
        }
        self
    }

    /// A round bar of even thickness.
    pub fn rod(&mut self, from: Vec3, to: Vec3, radius: f32) -> &mut Self {
        self.cone(from, to, [radius, radius], 8)
    }

    /// A body of revolution about the vertical through `base`: `(radius, height)` from bottom to top along
    /// its outside, `stretch` scales x and y. Open where the profile does not start or end at radius 0.
    pub fn lathe(&mut self, base: Vec3, stretch: Vec2, profile: &[(f32, f32)], segments: u32) -> &mut Self {
        let ring = circle(segments);
        let mut rows: Vec<Vec<u32>> = Vec::new();
        for (i, &(radius, height)) in profile.iter().enumerate() {
            let before = profile[i.saturating_sub(1)];
            let after = profile[(i + 1).min(profile.len() - 1)];
            let tangent = vec2(after.0 - before.0, after.1 - before.1).normalize_or(Vec2::Y);
            rows.push(
                ring.iter()
                    .map(|d| {
                        let out = vec3(d.x * stretch.x, d.y * stretch.y, 0.0);
                        let normal = vec3(d.x / stretch.x, d.y / stretch.y, 0.0).normalize_or(Vec3::X);
                        let normal = (normal * tangent.y - Vec3::Z * tangent.x).normalize_or(Vec3::Z);
                        self.vertex(base + out * radius + Vec3::Z * height, normal)
                    })
                    .collect(),
            );
        }
        for pair in rows.windows(2) {
            for i in 0..ring.len() {
                let j = (i + 1) % ring.len();
                self.face([pair[0][i], pair[0][j], pair[1][j]]);
                self.face([pair[0][i], pair[1][j], pair[1][i]]);
            }
        }
        self
    }

    /// An ellipsoid by its middle and radii.
    pub fn ellipsoid(&mut self, center: Vec3, radii: Vec3, segments: u32) -> &mut Self {
        let rings = segments.max(6) / 2;
        let profile: Vec<(f32, f32)> = (0..=rings)
            .map(|i| {
                let angle = std::f32::consts::PI * i as f32 / rings as f32;
                (libm::sinf(angle).max(0.0), -libm::cosf(angle) * radii.z)
            })
            .collect();
        self.lathe(center, radii.truncate(), &profile, segments)
    }

    /// A flat outline in the x-z plane (counter-clockwise seen from the front), extruded from `y[0]` to `y[1]`.
    pub fn extrude(&mut self, outline: &[Vec2], y: [f32; 2]) -> &mut Self {
        let at = |p: Vec2, y: f32| vec3(p.x, y, p.y);
        for t in crate::geometry::polygon::triangulate(outline) {
            let [a, b, c] = t.map(|i| outline[i as usize]);
            self.triangle([at(a, y[0]), at(b, y[0]), at(c, y[0])]);
            self.triangle([at(a, y[1]), at(c, y[1]), at(b, y[1])]);
        }
        for (a, b) in crate::geometry::polygon::edges(outline) {
            self.quad([at(a, y[0]), at(a, y[1]), at(b, y[1]), at(b, y[0])]);
        }
        self
    }
}

/// Points of the unit circle, counter-clockwise.
pub fn circle(segments: u32) -> Vec<Vec2> {
    (0..segments.max(3))
        .map(|i| {
            let angle = std::f32::consts::TAU * i as f32 / segments.max(3) as f32;
            vec2(libm::cosf(angle), libm::sinf(angle))
        })
        .collect()
}
