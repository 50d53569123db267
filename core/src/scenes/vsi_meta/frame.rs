//! Which way annotated things look: the annotation gives a box's axes in any order.

use crate::geometry::OrientedBox;
use crate::scenes::category;
use glam::{Mat3, Quat, Vec3};

/// A box as annotated.
#[derive(Debug, Clone, Copy)]
pub struct AnnotatedBox {
    pub center: Vec3,
    /// Half the lengths along the axes.
    pub half: Vec3,
    pub axes: [Vec3; 3],
}

/// The same boxes, each with its local +Z as near to the world's up as its axes allow and its local -Y, the
/// front, where things of its category look. Axes are only swapped and flipped.
///
/// `center` is the middle of the room, where the annotation gives it.
pub fn orient(boxes: &[(String, AnnotatedBox)], center: Option<Vec3>) -> Vec<OrientedBox> {
    let count = boxes.len().max(1) as f32;
    let mean = boxes.iter().map(|(_, b)| b.center).sum::<Vec3>() / count;
    let middle = center.unwrap_or(mean);
    boxes
        .iter()
        .map(|(category, b)| {
            let nearest = |names: &[&str], within: f32| {
                boxes
                    .iter()
                    .filter(|(name, other)| names.contains(&name.as_str()) && other.center != b.center)
                    .map(|(_, other)| (other.center.distance(b.center), other.center))
                    .filter(|(distance, _)| *distance < within)
                    .min_by(|a, c| a.0.total_cmp(&c.0))
                    .map(|(_, center)| center)
            };
            let target = match category.as_str() {
                "chair" | "stool" | "office chair" => nearest(&["table", "desk", "dining table"], 1.3),
                "monitor" | "keyboard" | "laptop" | "computer mouse" | "telephone" => {
                    nearest(&["chair"], 1.8)
                }
                _ => None,
            };
            oriented(category, b, target.unwrap_or(middle))
        })
        .collect()
}

fn oriented(name: &str, b: &AnnotatedBox, target: Vec3) -> OrientedBox {
    let half = b.half.to_array();
    let up = (0..3).max_by(|&i, &j| b.axes[i].z.abs().total_cmp(&b.axes[j].z.abs())).unwrap_or(2);
    let z = if b.axes[up].z < 0.0 { -b.axes[up] } else { b.axes[up] };
    let flat = [(up + 1) % 3, (up + 2) % 3];
    let (narrow, wide) = if half[flat[0]] <= half[flat[1]] { (flat[0], flat[1]) } else { (flat[1], flat[0]) };
    // Things wider than deep look along their narrow side, beds and the like along their long one.
    let ratio = category(name).map_or(1.0, |c| {
        let [x, y, _] = c.size.map(|[low, high]| low + high);
        x / y
    });
    let similar = half[wide] < half[narrow] * 1.15;
    let candidates: &[usize] = match ratio {
        r if r > 1.12 && !similar => &[narrow],
        r if r < 0.9 && !similar => &[wide],
        _ => &flat,
    };
    let towards = target - b.center;
    // A chair looks at its table, furniture into the room: the back is turned away from the target.
    let back = candidates
        .iter()
        .flat_map(|&i| [(i, b.axes[i]), (i, -b.axes[i])])
        .min_by(|(_, a), (_, c)| a.dot(towards).total_cmp(&c.dot(towards)));
    let (depth, y) = back.unwrap_or((narrow, b.axes[narrow]));
    let width = 3 - up - depth;
    let axes = Mat3::from_cols(y.cross(z), y, z);
    OrientedBox {
        center: b.center,
        half_extents: Vec3::new(half[width], half[depth], half[up]),
        rotation: Quat::from_mat3(&axes),
    }
}
