//! The shortest way between two boxes.

use super::OrientedBox;
use glam::Vec3;

/// Rounds of projection at most. Boxes that face one another need a few; only nearly parallel edges need many.
const ROUNDS: usize = 4096;
/// Metres that a round must still move a point by to be worth another.
const SETTLED_M: f32 = 1e-6;

impl OrientedBox {
    /// The point of the solid box nearest to a point of the world.
    pub fn nearest_point(&self, world: Vec3) -> Vec3 {
        let local = self.to_local(world).clamp(-self.half_extents, self.half_extents);
        self.center + self.axes() * local
    }

    /// A point of each box such that no two of their points are nearer to one another; the same point twice
    /// where the boxes meet. By alternating projections, which converge for convex bodies.
    pub fn closest_points(&self, other: &Self) -> (Vec3, Vec3) {
        let (axes, other_axes) = (self.axes(), other.axes());
        let nearest = |of: &Self, axes: &glam::Mat3, point: Vec3| {
            let local = (axes.transpose() * (point - of.center)).clamp(-of.half_extents, of.half_extents);
            of.center + *axes * local
        };
        let mut here = nearest(self, &axes, other.center);
        let mut there = nearest(other, &other_axes, here);
        for _ in 0..ROUNDS {
            let next = nearest(self, &axes, there);
            let moved = next.distance(here);
            here = next;
            there = nearest(other, &other_axes, here);
            if moved < SETTLED_M {
                break;
            }
        }
        (here, there)
    }

    /// Metres between the nearest points of the boxes; 0 where they meet.
    pub fn distance(&self, other: &Self) -> f32 {
        let (here, there) = self.closest_points(other);
        here.distance(there)
    }

    /// The two ends of the box's longest axis, through its middle.
    pub fn longest_axis(&self) -> (Vec3, Vec3) {
        let half = self.half_extents;
        let axes = self.axes();
        let longest = if half.x >= half.y.max(half.z) {
            axes.x_axis * half.x
        } else if half.y >= half.z {
            axes.y_axis * half.y
        } else {
            axes.z_axis * half.z
        };
        (self.center - longest, self.center + longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::yaw;
    use glam::vec3;

    fn boxed(center: Vec3, half: Vec3, angle: f32) -> OrientedBox {
        OrientedBox { center, half_extents: half, rotation: yaw(angle) }
    }

    #[test]
    fn faces_edges_and_corners() {
        let one = boxed(Vec3::ZERO, Vec3::splat(0.5), 0.0);
        assert!((one.distance(&boxed(vec3(2.0, 0.2, 0.0), Vec3::splat(0.5), 0.0)) - 1.0).abs() < 1e-5);
        assert!(
            (one.distance(&boxed(vec3(2.0, 2.0, 0.0), Vec3::splat(0.5), 0.0)) - 2.0_f32.sqrt()).abs() < 1e-5
        );
        assert!(
            (one.distance(&boxed(vec3(2.0, 2.0, 2.0), Vec3::splat(0.5), 0.0)) - 3.0_f32.sqrt()).abs() < 1e-5
        );
        // A corner pointed at a face.
        let turned = boxed(vec3(2.0, 0.0, 0.0), Vec3::splat(0.5), std::f32::consts::FRAC_PI_4);
        assert!((one.distance(&turned) - (1.5 - 0.5_f32.sqrt())).abs() < 1e-5);
        assert_eq!(one.distance(&boxed(vec3(0.4, 0.3, 0.0), Vec3::splat(0.5), 0.3)), 0.0);
    }

    #[test]
    fn the_longest_axis_runs_through_the_middle() {
        let (from, to) = boxed(vec3(1.0, 2.0, 3.0), vec3(0.2, 0.7, 0.3), 0.0).longest_axis();
        assert_eq!((from, to), (vec3(1.0, 1.3, 3.0), vec3(1.0, 2.7, 3.0)));
    }
}
