//! The alpha shape of points on the floor: what they cover, with its bays and gaps.

use super::polygon;
use glam::Vec2;
use spade::{DelaunayTriangulation, Point2, Triangulation as _};
use std::collections::BTreeMap;

/// What points cover.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlphaShape {
    /// Square metres, holes not counted.
    pub area: f32,
    /// The outer border of each connected piece, counter-clockwise, the largest piece first. Holes have none.
    pub outlines: Vec<Vec<Vec2>>,
}

impl AlphaShape {
    /// Of the Delaunay triangulation of the points, the triangles with a circumradius below `1 / alpha` metres.
    /// Points that are not finite are passed over; fewer than three different ones cover nothing.
    pub fn new(points: &[Vec2], alpha: f32) -> Self {
        let mut triangulation: DelaunayTriangulation<Point2<f64>> = DelaunayTriangulation::new();
        for point in points {
            // What cannot be inserted (infinite, or too large) cannot be covered either.
            let _ = triangulation.insert(Point2::new(f64::from(point.x), f64::from(point.y)));
        }
        let limit = (1.0 / f64::from(alpha)).powi(2);
        let mut area = 0.0;
        // Each directed edge of a kept triangle; those without their reverse are the border.
        let mut edges: BTreeMap<(usize, usize), ()> = BTreeMap::new();
        let mut places: BTreeMap<usize, Vec2> = BTreeMap::new();
        for face in triangulation.inner_faces() {
            let (_, radius_squared) = face.circumcircle();
            if radius_squared >= limit {
                continue;
            }
            area += face.area();
            let corners = face.vertices().map(|vertex| {
                let position = vertex.position();
                places.insert(vertex.index(), Vec2::new(position.x as f32, position.y as f32));
                vertex.index()
            });
            for i in 0..3 {
                edges.insert((corners[i], corners[(i + 1) % 3]), ());
            }
        }
        let mut border: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &(from, to) in edges.keys().filter(|(from, to)| !edges.contains_key(&(*to, *from))) {
            border.entry(from).or_default().push(to);
        }
        let mut outlines = Vec::new();
        while let Some((&start, _)) = border.iter().find(|(_, ways)| !ways.is_empty()) {
            let mut outline = Vec::new();
            let mut here = start;
            while let Some(next) = border.get_mut(&here).and_then(Vec::pop) {
                outline.push(places[&here]);
                here = next;
                if here == start {
                    break;
                }
            }
            // Holes run clockwise.
            if polygon::area(&outline) > 0.0 {
                outlines.push(outline);
            }
        }
        outlines.sort_by(|a, b| polygon::area(b).total_cmp(&polygon::area(a)));
        Self { area: area as f32, outlines }
    }
}

/// The same outline with fewer corners: none that was left out is farther than `tolerance` metres from it
/// (Ramer, Douglas and Peucker).
pub fn simplified(outline: &[Vec2], tolerance: f32) -> Vec<Vec2> {
    if outline.len() < 4 {
        return outline.to_vec();
    }
    // A closed line is cut at its first corner and at the one farthest from that.
    let far = (0..outline.len())
        .max_by(|&i, &j| outline[i].distance(outline[0]).total_cmp(&outline[j].distance(outline[0])))
        .unwrap_or(0);
    let mut keep = vec![false; outline.len() + 1];
    (keep[0], keep[far]) = (true, true);
    let at = |i: usize| outline[i % outline.len()];
    let mut spans = vec![(0, far), (far, outline.len())];
    while let Some((from, to)) = spans.pop() {
        let away = |i: usize| polygon::distance_to_segment(at(from), at(to), at(i));
        if let Some(worst) = (from + 1..to).max_by(|&i, &j| away(i).total_cmp(&away(j)))
            && away(worst) > tolerance
        {
            keep[worst] = true;
            spans.extend([(from, worst), (worst, to)]);
        }
    }
    outline.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(corner, _)| *corner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenes::Dice;
    use glam::vec2;

    #[test]
    fn an_l_of_points_covers_an_l() {
        let l = [(0.0, 0.0), (5.0, 0.0), (5.0, 2.0), (2.0, 2.0), (2.0, 4.0), (0.0, 4.0)].map(Vec2::from);
        let mut dice = Dice::new(1, 0);
        let mut points = Vec::new();
        while points.len() < 10_000 {
            let point = vec2(dice.between(0.0, 5.0), dice.between(0.0, 4.0));
            if polygon::contains(&l, point) {
                points.push(point);
            }
        }
        let shape = AlphaShape::new(&points, 5.0);
        // Counted on a fine grid: every cell within reach of the points.
        let cells =
            (0..200).flat_map(|x| (0..160).map(move |y| vec2(x as f32 + 0.5, y as f32 + 0.5) * 0.025));
        let counted = cells.filter(|&cell| polygon::contains(&l, cell)).count() as f32 * 0.025 * 0.025;
        assert!((shape.area / counted - 1.0).abs() < 0.02, "{} and {counted}", shape.area);
        assert_eq!(shape.outlines.len(), 1);
        assert!((polygon::area(&shape.outlines[0]) - shape.area).abs() < 0.05);
        let simple = simplified(&shape.outlines[0], 0.1);
        assert!(simple.len() < 30, "{}", simple.len());
        assert!((polygon::area(&simple) / counted - 1.0).abs() < 0.04);
    }

    #[test]
    fn nothing_is_covered_by_too_few_points() {
        for points in
            [&[][..], &[Vec2::ZERO; 5], &[Vec2::ZERO, Vec2::X * 0.1, Vec2::X * 0.2, vec2(f32::NAN, 0.0)]]
        {
            assert_eq!(AlphaShape::new(points, 5.0), AlphaShape::default());
        }
    }

    #[test]
    fn a_hole_is_not_covered_and_has_no_outline() {
        let mut points = Vec::new();
        for x in 0..60 {
            for y in 0..60 {
                let point = vec2(x as f32, y as f32) * 0.05;
                if point.distance(vec2(1.5, 1.5)) > 0.7 {
                    points.push(point);
                }
            }
        }
        let shape = AlphaShape::new(&points, 5.0);
        assert_eq!(shape.outlines.len(), 1);
        assert!((shape.area - (2.95 * 2.95 - std::f32::consts::PI * 0.49)).abs() < 0.15, "{}", shape.area);
    }
}
