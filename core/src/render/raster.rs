//! Which triangle is seen where: near-plane clipping and a scan-line depth buffer.

use glam::{Vec2, Vec3, vec2};

/// Nothing nearer than this is drawn, metres.
pub const NEAR: f32 = 0.05;

/// No triangle.
pub const EMPTY: u32 = u32::MAX;

/// Nearest triangle and its inverse depth at every sample, of a picture or of some of its rows.
#[derive(Debug, Default)]
pub struct Visibility {
    pub width: usize,
    pub height: usize,
    /// The picture's row that the first row here is.
    top: usize,
    /// 1 / metres along the camera's Z; 0 where nothing is.
    pub inverse_depth: Vec<f32>,
    pub triangle: Vec<u32>,
}

/// Inverse depth over a picture: `x * dx + y * dy + origin`.
#[derive(Debug, Clone, Copy)]
pub struct DepthPlane {
    pub dx: f32,
    pub dy: f32,
    pub origin: f32,
}

impl Visibility {
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            top: 0,
            inverse_depth: vec![0.0; width * height],
            triangle: vec![EMPTY; width * height],
        }
    }

    /// Empties the samples, to be filled with the picture's rows from `top` on.
    pub fn restart(&mut self, top: usize) {
        self.top = top;
        self.inverse_depth.fill(0.0);
        self.triangle.fill(EMPTY);
    }

    /// The triangles of a row, counted from the first row here.
    pub fn row(&self, row: usize) -> &[u32] {
        &self.triangle[row * self.width..(row + 1) * self.width]
    }

    /// Draws a triangle given in samples (the middle of the first sample is at 0.5, 0.5).
    ///
    /// Where an edge crosses a row is computed from its ends alone, lower end first, so that two triangles
    /// that share an edge neither leave a gap nor overlap.
    pub fn fill(&mut self, corners: [Vec2; 3], plane: DepthPlane, triangle: u32) {
        let [mut a, mut b, mut c] = corners;
        if b.y < a.y {
            std::mem::swap(&mut a, &mut b);
        }
        if c.y < b.y {
            std::mem::swap(&mut b, &mut c);
            if b.y < a.y {
                std::mem::swap(&mut a, &mut b);
            }
        }
        let end = self.top + self.height;
        let (top, bottom) = (first_sample(a.y, end).max(self.top), first_sample(c.y, end));
        if top >= bottom {
            return;
        }
        let slope = |p: Vec2, q: Vec2| (q.x - p.x) / (q.y - p.y);
        let (long, upper, lower) = (slope(a, c), slope(a, b), slope(b, c));
        for row in top..bottom {
            let y = row as f32 + 0.5;
            let far = a.x + (y - a.y) * long;
            let near = if y < b.y { a.x + (y - a.y) * upper } else { b.x + (y - b.y) * lower };
            let start = first_sample(near.min(far), self.width);
            let end = first_sample(near.max(far), self.width);
            if start >= end {
                continue;
            }
            let base = plane.origin + plane.dy * y + plane.dx * (start as f32 + 0.5);
            let first = (row - self.top) * self.width;
            let range = first + start..first + end;
            let depths = &mut self.inverse_depth[range.clone()];
            let triangles = &mut self.triangle[range][..depths.len()];
            // Written without a branch, so that several samples are done at once.
            for x in 0..depths.len() {
                let inverse = base + plane.dx * (x as i32 as f32);
                let nearer = inverse > depths[x];
                depths[x] = if nearer { inverse } else { depths[x] };
                triangles[x] = if nearer { triangle } else { triangles[x] };
            }
        }
    }
}

/// The first sample whose middle is at or beyond this coordinate, within `0..=count`.
fn first_sample(coordinate: f32, count: usize) -> usize {
    let t = (coordinate - 0.5).clamp(0.0, count as f32);
    let whole = t as usize;
    whole + usize::from((whole as f32) < t)
}

/// The part of a triangle in front of the near plane (camera frame): up to four corners of a convex polygon.
pub fn clip_near(corners: [Vec3; 3]) -> ([Vec3; 4], usize) {
    let mut kept = [Vec3::ZERO; 4];
    let mut count = 0;
    for i in 0..3 {
        let (p, q) = (corners[i], corners[(i + 1) % 3]);
        if p.z >= NEAR {
            kept[count] = p;
            count += 1;
        }
        if (p.z >= NEAR) != (q.z >= NEAR) {
            // Always from the visible end, so that neighbours cut their shared edge at the same point.
            let (inside, outside) = if p.z >= NEAR { (p, q) } else { (q, p) };
            let mut cut = inside + (outside - inside) * ((NEAR - inside.z) / (outside.z - inside.z));
            cut.z = NEAR;
            kept[count] = cut;
            count += 1;
        }
    }
    (kept, count)
}

impl DepthPlane {
    /// The plane through a camera-frame point with this normal, for a picture with this focal length and
    /// middle. `None` for a plane through the eye.
    pub fn new(point: Vec3, normal: Vec3, focal: Vec2, middle: Vec2) -> Option<Self> {
        let distance = normal.dot(point);
        if distance.abs() < 1e-9 {
            return None;
        }
        let slope = vec2(normal.x / (focal.x * distance), normal.y / (focal.y * distance));
        let origin = normal.z / distance - slope.x * middle.x - slope.y * middle.y;
        Some(Self { dx: slope.x, dy: slope.y, origin })
    }

    /// Metres along the camera's Z at a place of the picture.
    pub fn depth(&self, place: Vec2) -> f32 {
        1.0 / (self.origin + self.dx * place.x + self.dy * place.y).max(1e-4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAT: DepthPlane = DepthPlane { dx: 0.0, dy: 0.0, origin: 0.5 };

    #[test]
    fn triangles_that_share_an_edge_cover_each_sample_once() {
        let corners = [vec2(1.3, 2.7), vec2(28.9, 5.3), vec2(25.4, 29.6), vec2(3.2, 22.2)];
        let mut counts = vec![0; 32 * 32];
        for triangle in [[0, 1, 2], [0, 2, 3]] {
            let mut seen = Visibility::new(32, 32);
            seen.fill(triangle.map(|i: usize| corners[i]), FLAT, 0);
            for (count, id) in counts.iter_mut().zip(&seen.triangle) {
                *count += i32::from(*id == 0);
            }
        }
        assert!(counts.iter().all(|&c| c <= 1));
        let inside = crate::geometry::polygon::contains;
        for y in 0..32 {
            for x in 0..32 {
                assert_eq!(counts[y * 32 + x] == 1, inside(&corners, vec2(x as f32 + 0.5, y as f32 + 0.5)));
            }
        }
    }

    #[test]
    fn a_triangle_through_the_camera_is_cut_at_the_near_plane() {
        let (corners, count) =
            clip_near([Vec3::new(0.0, 0.0, 1.0), Vec3::new(1.0, 0.0, -1.0), Vec3::new(0.0, 1.0, 2.0)]);
        assert_eq!(count, 4);
        assert!(corners.iter().all(|p| p.z >= NEAR));
        assert_eq!(clip_near([Vec3::NEG_Z; 3]).1, 0);
    }

    #[test]
    fn the_nearer_triangle_wins_whatever_the_order() {
        let (near, far) = (DepthPlane { origin: 1.0, ..FLAT }, FLAT);
        for order in [[(near, 1), (far, 2)], [(far, 2), (near, 1)]] {
            let mut seen = Visibility::new(4, 4);
            for (plane, id) in order {
                seen.fill([vec2(0.0, 0.0), vec2(9.0, 0.0), vec2(0.0, 9.0)], plane, id);
            }
            assert!(seen.triangle.iter().all(|&id| id == 1));
        }
    }

    #[test]
    fn huge_coordinates_do_no_harm() {
        let mut seen = Visibility::new(4, 4);
        seen.fill([vec2(-1e9, -1e9), vec2(1e9, -1e9), vec2(f32::NAN, 1e9)], FLAT, 0);
        seen.fill([vec2(-1e9, -1e9), vec2(3e9, -1e9), vec2(-1e9, 3e9)], FLAT, 1);
        assert!(seen.triangle.iter().all(|&id| id != EMPTY));
    }
}
