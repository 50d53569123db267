//! Simple polygons on the floor: counter-clockwise corners in metres.

use glam::{Vec2, vec2};

/// Signed area in square metres; positive for counter-clockwise corners.
pub fn area(corners: &[Vec2]) -> f32 {
    edges(corners).map(|(a, b)| a.perp_dot(b)).sum::<f32>() * 0.5
}

/// The edges in order, each from a corner to the next.
pub fn edges(corners: &[Vec2]) -> impl Iterator<Item = (Vec2, Vec2)> + '_ {
    (0..corners.len()).map(|i| (corners[i], corners[(i + 1) % corners.len()]))
}

/// Whether the point lies inside (even-odd rule).
pub fn contains(corners: &[Vec2], point: Vec2) -> bool {
    edges(corners).fold(false, |inside, (a, b)| {
        let crosses =
            (a.y > point.y) != (b.y > point.y) && point.x < a.x + (point.y - a.y) / (b.y - a.y) * (b.x - a.x);
        inside != crosses
    })
}

/// Distance in metres from the point to the nearest edge, whether inside or outside.
pub fn distance_to_edges(corners: &[Vec2], point: Vec2) -> f32 {
    edges(corners).map(|(a, b)| distance_to_segment(a, b, point)).fold(f32::INFINITY, f32::min)
}

/// Distance in metres from the point to the segment.
pub fn distance_to_segment(a: Vec2, b: Vec2, point: Vec2) -> f32 {
    let along = b - a;
    let t = ((point - a).dot(along) / along.length_squared().max(1e-12)).clamp(0.0, 1.0);
    point.distance(a + along * t)
}

/// Lower left and upper right corner of the axis-aligned bounds; zeros for no corners.
pub fn bounds(corners: &[Vec2]) -> (Vec2, Vec2) {
    let Some(&first) = corners.first() else {
        return (Vec2::ZERO, Vec2::ZERO);
    };
    corners.iter().fold((first, first), |(low, high), &c| (low.min(c), high.max(c)))
}

/// Triangles (counter-clockwise, as indices of corners) that cover the polygon, by cutting off ears.
/// A polygon that crosses itself yields as many triangles as could be cut.
pub fn triangulate(corners: &[Vec2]) -> Vec<[u32; 3]> {
    let mut left: Vec<u32> = (0..corners.len() as u32).collect();
    let mut triangles = Vec::new();
    while left.len() > 3 {
        let count = left.len();
        let ear = (0..count).find(|&i| {
            let [a, b, c] = [left[(i + count - 1) % count], left[i], left[(i + 1) % count]];
            let [p, q, r] = [a, b, c].map(|k| corners[k as usize]);
            (q - p).perp_dot(r - p) > 1e-9
                && !left.iter().any(|&k| ![a, b, c].contains(&k) && in_triangle(p, q, r, corners[k as usize]))
        });
        let Some(i) = ear else { break };
        triangles.push([left[(i + count - 1) % count], left[i], left[(i + 1) % count]]);
        left.remove(i);
    }
    if let [a, b, c] = left[..] {
        triangles.push([a, b, c]);
    }
    triangles
}

fn in_triangle(a: Vec2, b: Vec2, c: Vec2, point: Vec2) -> bool {
    (b - a).perp_dot(point - a) >= 0.0
        && (c - b).perp_dot(point - b) >= 0.0
        && (a - c).perp_dot(point - c) >= 0.0
}

/// The rectangle around the points whose sides run along `direction` (a unit vector) and across it,
/// counter-clockwise, grown by `margin` metres on every side.
pub fn bounding_rectangle(points: &[Vec2], direction: Vec2, margin: f32) -> [Vec2; 4] {
    let across = direction.perp();
    let local: Vec<Vec2> = points.iter().map(|p| vec2(p.dot(direction), p.dot(across))).collect();
    let (low, high) = bounds(&local);
    let (low, high) = (low - margin, high + margin);
    [low, vec2(high.x, low.y), high, vec2(low.x, high.y)].map(|p| direction * p.x + across * p.y)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn l_shape() -> Vec<Vec2> {
        [(0.0, 0.0), (4.0, 0.0), (4.0, 2.0), (2.0, 2.0), (2.0, 3.0), (0.0, 3.0)].map(Vec2::from).to_vec()
    }

    #[test]
    fn an_l_has_the_area_of_its_two_rectangles() {
        assert!((area(&l_shape()) - 10.0).abs() < 1e-5);
        let triangles = triangulate(&l_shape());
        assert_eq!(triangles.len(), 4);
        let covered: f32 = triangles
            .iter()
            .map(|t| area(&t.map(|k| l_shape()[k as usize])))
            .inspect(|a| assert!(*a > 0.0))
            .sum();
        assert!((covered - 10.0).abs() < 1e-5);
    }

    #[test]
    fn the_notch_of_an_l_is_outside() {
        assert!(contains(&l_shape(), vec2(1.0, 2.5)));
        assert!(!contains(&l_shape(), vec2(3.0, 2.5)));
        assert!((distance_to_edges(&l_shape(), vec2(3.0, 2.5)) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_bounding_rectangle_is_tight_along_its_direction() {
        let d = vec2(0.6, 0.8);
        let corners = bounding_rectangle(&[d * 2.0, d.perp() * 3.0, -d], d, 0.0);
        assert!((area(&corners) - 9.0).abs() < 1e-4);
    }
}
