//! Floor plans.

use super::RoomKind;
use crate::scenes::Dice;
use glam::{Vec2, vec2};

/// Counter-clockwise corners of a rectangle or an L, metres, from (0, 0).
pub fn draw(dice: &mut Dice, kind: RoomKind, l_shaped: f32) -> Vec<Vec2> {
    let [low, high] = kind.side_lengths();
    let (w, d) = (dice.between(low, high), dice.between(low, high * 0.85));
    let (w, d) = if dice.chance(0.5) { (w, d) } else { (d, w) };
    if w.min(d) < 3.2 || !dice.chance(l_shaped) {
        return vec![Vec2::ZERO, vec2(w, 0.0), vec2(w, d), vec2(0.0, d)];
    }
    // An L is a rectangle with one corner cut out; the four ways round are turns of the first.
    let cut = vec2(w * dice.between(0.25, 0.45), d * dice.between(0.25, 0.45));
    let inner = vec2(w, d) - cut;
    let corners =
        [Vec2::ZERO, vec2(w, 0.0), vec2(w, inner.y), vec2(inner.x, inner.y), vec2(inner.x, d), vec2(0.0, d)];
    let turned: fn(Vec2, f32, f32) -> Vec2 = match dice.index(4) {
        0 => |p, _, _| p,
        1 => |p, w, d| vec2(w - p.x, d - p.y),
        2 => |p, _, d| vec2(d - p.y, p.x),
        _ => |p, w, _| vec2(p.y, w - p.x),
    };
    corners.map(|p| turned(p, w, d)).to_vec()
}
