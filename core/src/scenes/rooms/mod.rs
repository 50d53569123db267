//! Generated furnished rooms: everything follows from a seed and a number.

mod furnish;
mod groups;
mod kinds;
mod outline;
mod placing;

pub use kinds::RoomKind;

use super::{Dice, Room, Scene};
use serde::{Deserialize, Serialize};

/// What rooms to make.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoomOptions {
    /// Fewest and most pieces of furniture and other objects, beside door and window.
    pub min_objects: u32,
    pub max_objects: u32,
    /// Share of rooms with an L-shaped floor, 0..=1.
    pub l_shaped: f32,
    /// How much the sizes of furniture vary beyond those usual for their category, as a share, 0..=0.7: with more,
    /// a size must be seen and cannot be guessed from the name.
    pub size_spread: f32,
    /// Share of rooms that hold one kind of thing in larger numbers, beyond `max_objects`, 0..=1: without them there
    /// is little to count.
    pub repeats: f32,
    /// Only this kind of room; `None` for all kinds.
    pub kind: Option<RoomKind>,
}

impl Default for RoomOptions {
    fn default() -> Self {
        Self { min_objects: 4, max_objects: 14, l_shaped: 0.2, size_spread: 0.0, repeats: 0.0, kind: None }
    }
}

/// Room number `index` of the series `seed`, without cameras: see [`super::stand_points`]. Rooms are
/// independent of one another, so any may be made alone.
pub fn generate(seed: u64, index: u64, options: &RoomOptions) -> Scene {
    let mut dice = Dice::new(seed, index);
    // A room may turn out too small for what was drawn; the next attempt has its own dice.
    let mut best: Option<Scene> = None;
    for _ in 0..8 {
        let kind = options.kind.unwrap_or_else(|| RoomKind::draw(&mut dice));
        let scene = attempt(&mut dice.clone(), kind, index, options);
        dice = Dice::new(dice.seed(), index);
        let furniture =
            scene.objects.iter().filter(|o| !matches!(o.category.as_str(), "door" | "window")).count();
        if furniture >= options.min_objects as usize {
            return scene;
        }
        if best.as_ref().is_none_or(|b| b.objects.len() < scene.objects.len()) {
            best = Some(scene);
        }
    }
    best.unwrap_or_else(|| attempt(&mut dice, RoomKind::LivingRoom, index, options))
}

fn attempt(dice: &mut Dice, kind: RoomKind, index: u64, options: &RoomOptions) -> Scene {
    let outline = outline::draw(dice, kind, options.l_shaped);
    let room = Room {
        area: crate::geometry::polygon::area(&outline),
        outline,
        floor: 0.0,
        height: dice.between(2.4, 2.9),
        kind: kind.name().to_owned(),
        style: dice.seed(),
    };
    let objects = furnish::furnish(&room, kind, options, dice);
    Scene { name: format!("room_{index:06}"), source: "rooms".to_owned(), room, objects, cameras: Vec::new() }
}

#[cfg(test)]
mod tests;
