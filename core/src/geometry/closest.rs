//! The shortest way between two boxes.

use super::OrientedBox;
use glam::Vec3;

/// Metres by which the lengths of ways may differ that count as equally short.
const AS_NEAR_M: f32 = 2e-6;
/// Square of the sine of an angle below which edges count as parallel.
const PARALLEL: f32 = 1e-10;

/// The edges of a box, each by the numbers of its ends among [`OrientedBox::corners`].
const EDGES: [[usize; 2]; 12] =
    [[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]];

impl OrientedBox {
    /// The point of the solid box nearest to a point of the world.
    pub fn nearest_point(&self, world: Vec3) -> Vec3 {
        let local = self.to_local(world).clamp(-self.half_extents, self.half_extents);
        self.center + self.axes() * local
    }

    /// A point of each box such that no two of their points are nearer to one another; the same point twice
    /// where the boxes meet.
    pub fn closest_points(&self, other: &Self) -> (Vec3, Vec3) {
        let (corners, other_corners) = (self.corners(), other.corners());
        // The corners of each in the other's own frame.
        let inward = corners.map(|corner| other.to_local(corner));
        let other_inward = other_corners.map(|corner| self.to_local(corner));
        // Bodies with flat sides meet only if an edge of one meets the other.
        let meeting = |[from, to]: &[usize; 2]| {
            let along = |corners: &[Vec3; 8], share| corners[*from].lerp(corners[*to], share);
            let ours = share_within(other.half_extents, inward[*from], inward[*to]);
            let theirs = || share_within(self.half_extents, other_inward[*from], other_inward[*to]);
            ours.map(|share| along(&corners, share))
                .or_else(|| theirs().map(|share| along(&other_corners, share)))
        };
        if let Some(common) = EDGES.iter().find_map(meeting) {
            return (common, common);
        }
        // Otherwise one of the nearest points is a corner, or both lie on edges.
        let onto =
            |of: &Self, local: Vec3| of.center + of.axes() * local.clamp(-of.half_extents, of.half_extents);
        let from_corners = (0..8).map(|i| (corners[i], onto(other, inward[i])));
        let to_corners = (0..8).map(|i| (onto(self, other_inward[i]), other_corners[i]));
        let across = EDGES.iter().flat_map(|one| {
            EDGES
                .iter()
                .filter_map(|two| closest_across(one.map(|i| corners[i]), two.map(|i| other_corners[i])))
        });
        let ways: Vec<(Vec3, Vec3)> = from_corners.chain(to_corners).chain(across).collect();
        let length = |(here, there): &(Vec3, Vec3)| here.distance(*there);
        let shortest = ways.iter().map(length).fold(f32::INFINITY, f32::min);
        // Sides that face one another have many; then their mean runs between the middles of what faces.
        let (mut count, mut here, mut there) = (0.0, Vec3::ZERO, Vec3::ZERO);
        for way in ways.iter().filter(|way| length(way) <= shortest + AS_NEAR_M) {
            count += 1.0;
            here += (way.0 - here) / count;
            there += (way.1 - there) / count;
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

/// The middle of the part of a segment that lies in a box about the origin, as a share of the way between its
/// ends; `None` where no part does.
fn share_within(half: Vec3, from: Vec3, to: Vec3) -> Option<f32> {
    let (mut first, mut last) = (0.0_f32, 1.0_f32);
    for axis in 0..3 {
        let (start, along, half) = (from[axis], to[axis] - from[axis], half[axis]);
        if along == 0.0 {
            if start.abs() > half {
                return None;
            }
            continue;
        }
        let (one, other) = ((-half - start) / along, (half - start) / along);
        first = first.max(one.min(other));
        last = last.min(one.max(other));
    }
    (first <= last).then_some((first + last) * 0.5)
}

/// The nearest points of two segments, where these lie between their ends. `None` for parallel segments, of
/// which an end is as near as any other point.
fn closest_across(one: [Vec3; 2], other: [Vec3; 2]) -> Option<(Vec3, Vec3)> {
    let (along, other_along) = (one[1] - one[0], other[1] - other[0]);
    let normal = along.cross(other_along);
    let squared = normal.length_squared();
    if squared <= PARALLEL * along.length_squared() * other_along.length_squared() {
        return None;
    }
    let share = (other[0] - one[0]).cross(other_along).dot(normal) / squared;
    if !(0.0..=1.0).contains(&share) {
        return None;
    }
    let nearest = |start: Vec3, along: Vec3, point: Vec3| {
        start + along * ((point - start).dot(along) / along.length_squared()).clamp(0.0, 1.0)
    };
    let there = nearest(other[0], other_along, one[0] + along * share);
    let here = nearest(one[0], along, there);
    Some((here, nearest(other[0], other_along, here)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::yaw;
    use crate::scenes::Dice;
    use glam::{DVec3, Quat, vec3};

    fn boxed(center: Vec3, half: Vec3, angle: f32) -> OrientedBox {
        OrientedBox { center, half_extents: half, rotation: yaw(angle) }
    }

    fn turned(axis: Vec3, angle: f32) -> Quat {
        let (sin, cos) = (libm::sinf(angle * 0.5), libm::cosf(angle * 0.5));
        Quat::from_xyzw(axis.x * sin, axis.y * sin, axis.z * sin, cos)
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

    /// Proves the points nearest without knowing how they were found: each lies in its box, and some plane
    /// keeps the boxes as far apart as the points are. Tried are all planes that can keep boxes apart: along a
    /// side, along an edge of each, and across the way from a corner to a corner or to an edge.
    fn prove_nearest(one: &OrientedBox, other: &OrientedBox) -> f32 {
        let (here, there) = one.closest_points(other);
        let scale =
            one.center.distance(other.center) + one.half_extents.length() + other.half_extents.length();
        let margin = 1e-4 + scale * 2e-6;
        assert!(one.contains(here, margin) && other.contains(there, margin), "{one:?} {other:?}");
        let turns = [one, other].map(|of| of.rotation.as_dquat().normalize());
        let [ours, theirs] = turns.map(|turn| [DVec3::X, DVec3::Y, DVec3::Z].map(|axis| turn * axis));
        let mut directions: Vec<DVec3> = ours.iter().chain(&theirs).copied().collect();
        directions.extend(ours.iter().flat_map(|a| theirs.map(|b| a.cross(b))));
        for corner in one.corners() {
            for way in other.corners().map(|end| (end - corner).as_dvec3()) {
                directions.push(way);
                directions.extend(ours.iter().chain(&theirs).map(|edge| way - *edge * edge.dot(way)));
            }
        }
        let away = other.center.as_dvec3() - one.center.as_dvec3();
        let gap = |direction: DVec3| {
            let reach = |of: &OrientedBox, axes: &[DVec3; 3]| -> f64 {
                let half = of.half_extents.as_dvec3().to_array();
                (0..3).map(|i| axes[i].dot(direction).abs() * half[i]).sum()
            };
            away.dot(direction).abs() - reach(one, &ours) - reach(other, &theirs)
        };
        let gaps = directions.iter().map(|direction| gap(direction.normalize_or_zero()));
        let proven = gaps.fold(0.0, f64::max);
        let distance = here.as_dvec3().distance(there.as_dvec3());
        let off = distance - proven;
        assert!(off.abs() < f64::from(margin) * 5.0, "{distance} {proven}: {one:?} {other:?}");
        distance as f32
    }

    #[test]
    fn nearest_points_are_proven_nearest_for_all_kinds_of_boxes() {
        let mut dice = Dice::new(17, 0);
        let (mut apart, mut meeting) = (0, 0);
        for round in 0..20_000 {
            let mut draw = |reach: f32, flat: f32| {
                let half = Vec3::from_array(
                    [0; 3].map(|_| if dice.chance(flat) { 0.0 } else { dice.between(0.005, 1.2) }),
                );
                let center = Vec3::from_array([0; 3].map(|_| dice.between(-reach, reach)));
                let turn = Vec3::from_array([0; 3].map(|_| dice.between(-1.0, 1.0))).normalize_or(Vec3::X);
                OrientedBox { center, half_extents: half, rotation: turned(turn, dice.between(-3.1, 3.1)) }
            };
            // Boxes in a room; boxes in one place; sheets and sticks without thickness; boxes far apart.
            let (reach, flat) = [(3.0, 0.0), (0.6, 0.1), (2.0, 0.4), (1000.0, 0.1)][round % 4];
            let (one, other) = (draw(reach, flat), draw(reach, flat));
            let distance = prove_nearest(&one, &other);
            assert!((distance - prove_nearest(&other, &one)).abs() < 1e-3);
            if distance > 0.0 { apart += 1 } else { meeting += 1 }
        }
        assert!(apart > 10_000 && meeting > 2000, "{apart} {meeting}");
    }

    #[test]
    fn nearest_points_are_proven_nearest_where_boxes_are_almost_parallel() {
        let mut dice = Dice::new(18, 0);
        for round in 0..10_000 {
            // Two rods that cross, or two slabs side by side, at angles and gaps down to nothing.
            let rods = round % 2 == 0;
            let half = if rods { vec3(2.0, 0.01, 0.01) } else { vec3(1.0, 0.8, 0.02) };
            let scale = |dice: &mut Dice| libm::powf(10.0, dice.between(-7.0, -0.5));
            let one = OrientedBox { center: Vec3::ZERO, half_extents: half, rotation: Quat::IDENTITY };
            let axis = vec3(dice.between(-1.0, 1.0), dice.between(-1.0, 1.0), 1.0).normalize_or(Vec3::Z);
            let axis = if rods { axis } else { axis.truncate().extend(0.0).normalize_or(Vec3::X) };
            let rotation = turned(axis, scale(&mut dice));
            let gap = half.z * 2.0 + scale(&mut dice);
            let center = vec3(dice.between(-1.5, 1.5), dice.between(-0.5, 0.5), gap);
            prove_nearest(&one, &OrientedBox { center, half_extents: half, rotation });
        }
    }

    #[test]
    fn a_box_within_a_box_meets_it_and_facing_sides_are_joined_in_the_middle() {
        let outer = boxed(vec3(3.0, 1.0, 0.5), Vec3::splat(1.0), 0.4);
        let inner = boxed(vec3(3.1, 1.1, 0.4), Vec3::splat(0.1), 1.0);
        let (here, there) = outer.closest_points(&inner);
        assert!(here == there && inner.contains(here, 1e-5));
        let (here, there) = boxed(Vec3::ZERO, Vec3::splat(0.5), 0.0).closest_points(&boxed(
            vec3(2.0, 0.0, 0.0),
            Vec3::splat(0.5),
            0.0,
        ));
        assert!(here.abs_diff_eq(vec3(0.5, 0.0, 0.0), 1e-6) && there.abs_diff_eq(vec3(1.5, 0.0, 0.0), 1e-6));
    }

    #[test]
    fn the_longest_axis_runs_through_the_middle() {
        let (from, to) = boxed(vec3(1.0, 2.0, 3.0), vec3(0.2, 0.7, 0.3), 0.0).longest_axis();
        assert_eq!((from, to), (vec3(1.0, 1.3, 3.0), vec3(1.0, 2.7, 3.0)));
    }
}
