//! A room around annotated objects.

use crate::geometry::polygon;
use crate::scenes::{Object, Placement, Room, category};
use glam::{Vec2, Vec3, vec2};

/// Distance kept between objects and walls, metres.
const MARGIN: f32 = 0.02;
const LEAST_HEIGHT: f32 = 2.4;

/// A rectangular room, square to most of the objects, that holds them all and has at least the stated area.
pub fn around(objects: &[Object], area: Option<f32>, center: Option<Vec3>, style: u64) -> Room {
    let direction = main_direction(objects);
    let corners: Vec<Vec2> = objects.iter().flat_map(|o| o.bounds.corners()).map(Vec3::truncate).collect();
    let mut outline = polygon::bounding_rectangle(&corners, direction, MARGIN);
    if let Some(area) = area {
        outline = grow(outline, area, center.map(Vec3::truncate));
    }
    let bounds: Vec<(Vec3, Vec3)> = objects.iter().map(|o| o.bounds.world_bounds()).collect();
    let floor = floor_height(objects).unwrap_or_else(|| center.map_or(0.0, |c| c.z - LEAST_HEIGHT * 0.5));
    let top = bounds.iter().map(|(_, high)| high.z + MARGIN).fold(floor + LEAST_HEIGHT, f32::max);
    Room {
        area: area.unwrap_or_else(|| polygon::area(&outline)),
        outline: outline.to_vec(),
        floor,
        height: top - floor,
        kind: String::new(),
        style,
    }
}

/// Where the floor must be: under everything. If nothing stands on the floor, lower than that by the height
/// at which such things usually hang or stand. `None` without objects.
fn floor_height(objects: &[Object]) -> Option<f32> {
    let lowest = |o: &Object| o.bounds.world_bounds().0.z;
    let usual = |o: &Object| match category(&o.category).map(|c| c.placement) {
        Some(Placement::OnWall { bottom: [low, _] }) => low,
        Some(Placement::OnTop) => 0.5,
        Some(Placement::Ceiling) => 2.4,
        _ => 0.0,
    };
    let standing = objects.iter().filter(|o| usual(o) == 0.0);
    let lowest_of_all = objects.iter().map(lowest).reduce(f32::min)?;
    match standing.map(lowest).reduce(f32::min) {
        Some(_) => Some(lowest_of_all),
        None => objects.iter().map(|o| lowest(o) - usual(o)).reduce(f32::min),
    }
}

/// The direction that most walls and large objects run along or across: headings are averaged modulo a
/// quarter turn.
fn main_direction(objects: &[Object]) -> Vec2 {
    let mut sum = Vec2::ZERO;
    for object in objects {
        let axes = object.bounds.axes();
        let size = object.bounds.size();
        for (axis, length) in [(axes.x_axis, size.x), (axes.y_axis, size.y)] {
            let flat = axis.truncate();
            // Tilted axes say little about the walls.
            if flat.length() > 0.97 {
                let quadrupled = 4.0 * libm::atan2f(flat.y, flat.x);
                sum += vec2(libm::cosf(quadrupled), libm::sinf(quadrupled)) * length * size.z.max(0.3);
            }
        }
    }
    let angle = if sum.length() > 1e-6 { libm::atan2f(sum.y, sum.x) / 4.0 } else { 0.0 };
    vec2(libm::cosf(angle), libm::sinf(angle))
}

/// Grows a rectangle by the same width on all sides until it has this area, leaning towards `center`.
fn grow(outline: [Vec2; 4], area: f32, center: Option<Vec2>) -> [Vec2; 4] {
    let (along, across) = (outline[1] - outline[0], outline[3] - outline[0]);
    let (w, d) = (along.length(), across.length());
    // (w + 2 e)(d + 2 e) = area
    let half_sum = (w + d) * 0.5;
    let extra = (half_sum * half_sum - w * d + area).max(0.0).sqrt() - half_sum;
    if extra <= 0.0 {
        return outline;
    }
    let e = extra * 0.5;
    let (x, y) = (along.normalize_or(Vec2::X), across.normalize_or(Vec2::Y));
    let middle = (outline[0] + outline[2]) * 0.5;
    let shift = center.map_or(Vec2::ZERO, |c| {
        let away = c - middle;
        x * away.dot(x).clamp(-e, e) + y * away.dot(y).clamp(-e, e)
    });
    [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
        .map(|(sx, sy)| middle + shift + x * (sx * (w * 0.5 + e)) + y * (sy * (d * 0.5 + e)))
}
