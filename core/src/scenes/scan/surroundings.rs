//! What scans do not say outright: the room around the surface, and boxes around instances.

use super::ScanMesh;
use crate::geometry::alpha_shape::{AlphaShape, simplified};
use crate::geometry::{OrientedBox, polygon};
use crate::scenes::{Dice, Room};
use glam::{Quat, Vec2, Vec3};

/// Points of the surface that decide over its floor, and the alpha of their shape, as in the VSI-style generator.
const FLOOR_POINTS: usize = 10_000;
const ALPHA: f32 = 5.0;
/// How far a drawn outline may be from the exact one, metres.
const OUTLINE_TOLERANCE_M: f32 = 0.05;
/// The share of the lowest and highest points that are taken for noise.
const NOISE: f32 = 0.01;

/// The room that a surface shows. Its area is that of the alpha shape of points drawn evenly from the surface and
/// dropped to the floor; its outline is that of the largest piece.
pub fn room_around(mesh: &ScanMesh) -> Room {
    let points = surface_points(mesh, FLOOR_POINTS);
    let mut heights: Vec<f32> = points.iter().map(|point| point.z).collect();
    heights.sort_by(f32::total_cmp);
    let at = |share: f32| heights.get((heights.len() as f32 * share) as usize).copied().unwrap_or(0.0);
    let (floor, top) = (at(NOISE), at(1.0 - NOISE));
    let flat: Vec<Vec2> = points.iter().map(|point| point.truncate()).collect();
    let shape = AlphaShape::new(&flat, ALPHA);
    let outline = match shape.outlines.first() {
        Some(outline) => simplified(outline, OUTLINE_TOLERANCE_M),
        None => polygon::bounding_rectangle(&flat, Vec2::X, 0.0).to_vec(),
    };
    let area = if shape.area > 0.0 { shape.area } else { polygon::area(&outline) };
    Room { outline, floor, height: (top - floor).max(0.1), area, kind: String::new(), style: 0 }
}

/// Points drawn from the triangles, each as often as its area is large.
fn surface_points(mesh: &ScanMesh, count: usize) -> Vec<Vec3> {
    let corners = |triangle: &[u32; 3]| triangle.map(|corner| mesh.vertices[corner as usize]);
    let mut total = 0.0_f64;
    let sums: Vec<f64> = mesh
        .triangles
        .iter()
        .map(|triangle| {
            let [a, b, c] = corners(triangle);
            total += f64::from((b - a).cross(c - a).length()) * 0.5;
            total
        })
        .collect();
    if total <= 0.0 {
        return mesh.vertices.iter().take(count).copied().collect();
    }
    let mut dice = Dice::new(0, 0);
    (0..count)
        .map(|_| {
            let wanted = f64::from(dice.unit()) * total;
            let at = sums.partition_point(|&sum| sum <= wanted).min(mesh.triangles.len() - 1);
            let [a, b, c] = corners(&mesh.triangles[at]);
            let (mut u, mut v) = (dice.unit(), dice.unit());
            if u + v > 1.0 {
                (u, v) = (1.0 - u, 1.0 - v);
            }
            a + (b - a) * u + (c - a) * v
        })
        .collect()
}

/// The box along the world's axes around points (the rule of ViewSpatial-Bench); `None` without points.
pub fn axis_aligned_box(points: impl Iterator<Item = Vec3>) -> Option<OrientedBox> {
    let (low, high) = points.fold(None, |bounds, point| {
        let (low, high) = bounds.unwrap_or((point, point));
        Some((point.min(low), point.max(high)))
    })?;
    Some(OrientedBox {
        center: (low + high) * 0.5,
        half_extents: (high - low) * 0.5,
        rotation: Quat::IDENTITY,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::scan_mesh;
    use crate::scenes::rooms::{RoomOptions, generate};

    #[test]
    fn the_room_around_a_scan_is_the_room() {
        for index in 0..6 {
            let scene = generate(4, index, &RoomOptions::default());
            let room = room_around(&scan_mesh(&scene));
            assert!(
                (room.area / scene.room.area - 1.0).abs() < 0.04,
                "{} and {}",
                room.area,
                scene.room.area
            );
            assert!(
                (room.floor - scene.room.floor).abs() < 0.05
                    && (room.height / scene.room.height - 1.0).abs() < 0.05
            );
            assert!((polygon::area(&room.outline) / scene.room.area - 1.0).abs() < 0.06);
        }
    }
}
