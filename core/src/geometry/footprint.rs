//! What a box covers on the floor.

use super::{OrientedBox, polygon};
use glam::{Vec2, vec2};

/// A rectangle on the floor with any heading, and the range of heights it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Footprint {
    /// Metres.
    pub center: Vec2,
    /// Unit vector along the first side.
    pub along: Vec2,
    /// Half the lengths along `along` and across it, metres.
    pub half: Vec2,
    /// Lowest and highest point, metres.
    pub z: [f32; 2],
}

impl Footprint {
    /// Exact for an upright box; for a tilted one the smallest such rectangle that holds its shadow.
    pub fn of_box(bounds: &OrientedBox) -> Self {
        let axes = bounds.axes();
        let flat = [axes.x_axis, axes.y_axis].map(|axis| axis.truncate());
        // A tilted box keeps the heading of whichever of its sides lies flatter.
        let along =
            if flat[0].length_squared() >= flat[1].length_squared() { flat[0] } else { -flat[1].perp() };
        let along = along.normalize_or(Vec2::X);
        let corners = bounds.corners();
        let local = corners.map(|c| vec2(c.truncate().dot(along), c.truncate().dot(along.perp())));
        let (low, high) = polygon::bounds(&local);
        let middle = (low + high) * 0.5;
        let (bottom, top) = bounds.world_bounds();
        Self {
            center: along * middle.x + along.perp() * middle.y,
            along,
            half: (high - low) * 0.5,
            z: [bottom.z, top.z],
        }
    }

    /// Counter-clockwise.
    pub fn corners(&self) -> [Vec2; 4] {
        let (x, y) = (self.along * self.half.x, self.along.perp() * self.half.y);
        [self.center - x - y, self.center + x - y, self.center + x + y, self.center - x + y]
    }

    /// The same rectangle with `margin` metres more on every side (heights unchanged).
    pub fn grown(&self, margin: f32) -> Self {
        Self { half: (self.half + margin).max(Vec2::ZERO), ..*self }
    }

    /// Distance in metres from the rectangle on the floor; 0 inside.
    pub fn distance(&self, point: Vec2) -> f32 {
        let local = point - self.center;
        let local = vec2(local.dot(self.along), local.dot(self.along.perp())).abs();
        (local - self.half).max(Vec2::ZERO).length()
    }

    /// Whether the rectangles overlap on the floor (touching does not count).
    pub fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (self.corners(), other.corners());
        ![self.along, self.along.perp(), other.along, other.along.perp()].iter().any(|&axis| {
            let span = |corners: &[Vec2; 4]| {
                corners.iter().fold((f32::MAX, f32::MIN), |(low, high), c| {
                    (low.min(c.dot(axis)), high.max(c.dot(axis)))
                })
            };
            let ((a_low, a_high), (b_low, b_high)) = (span(&a), span(&b));
            a_high <= b_low || b_high <= a_low
        })
    }

    /// Whether the upright boxes that these stand for overlap in space.
    pub fn collides(&self, other: &Self) -> bool {
        self.z[0] < other.z[1] && other.z[0] < self.z[1] && self.overlaps(other)
    }

    /// Whether the rectangle lies inside the polygon.
    pub fn inside(&self, outline: &[Vec2]) -> bool {
        // No corner of the rectangle outside, and no wall running through it.
        let core = self.grown(-1e-3);
        self.corners().iter().all(|&c| polygon::contains(outline, c))
            && !polygon::edges(outline).any(|(a, b)| core.meets_segment(a, b))
    }

    fn meets_segment(&self, a: Vec2, b: Vec2) -> bool {
        // Clip the segment by the two slabs of the rectangle.
        let (mut enter, mut leave) = (0.0_f32, 1.0_f32);
        for (axis, half) in [(self.along, self.half.x), (self.along.perp(), self.half.y)] {
            let (start, delta) = ((a - self.center).dot(axis), (b - a).dot(axis));
            if delta.abs() < 1e-9 {
                if start.abs() > half {
                    return false;
                }
                continue;
            }
            let (t0, t1) = ((-half - start) / delta, (half - start) / delta);
            enter = enter.max(t0.min(t1));
            leave = leave.min(t0.max(t1));
        }
        enter < leave
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::yaw;
    use glam::{Vec3, vec3};

    fn boxed(center: Vec3, half: Vec3, angle: f32) -> OrientedBox {
        OrientedBox { center, half_extents: half, rotation: yaw(angle) }
    }

    #[test]
    fn an_upright_box_has_its_own_footprint() {
        let f = boxed(vec3(1.0, 2.0, 0.5), vec3(0.4, 0.2, 0.5), 0.7).footprint();
        assert!((f.half - vec2(0.4, 0.2)).length() < 1e-5, "{f:?}");
        assert!((f.center - vec2(1.0, 2.0)).length() < 1e-5);
        assert!((f.z[0]).abs() < 1e-6 && (f.z[1] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn turned_rectangles_miss_each_other_at_the_corner() {
        let a = boxed(Vec3::ZERO, Vec3::ONE, 0.0).footprint();
        let turned = |d: f32| boxed(vec3(d, d, 0.0), Vec3::ONE, std::f32::consts::FRAC_PI_4).footprint();
        assert!(!a.overlaps(&turned(1.75)));
        assert!(a.overlaps(&turned(1.65)));
    }

    #[test]
    fn a_rectangle_across_the_notch_of_an_l_is_not_inside() {
        let outline =
            [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (3.0, 4.0), (3.0, 1.0), (1.0, 1.0), (1.0, 4.0), (0.0, 4.0)]
                .map(Vec2::from);
        let bar = |y: f32| boxed(vec3(2.0, y, 0.0), vec3(1.5, 0.2, 0.1), 0.0).footprint();
        assert!(!bar(2.0).inside(&outline));
        assert!(bar(0.5).inside(&outline));
    }
}
