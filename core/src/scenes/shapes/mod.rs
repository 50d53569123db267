//! What each category looks like. Every builder gets the full size of the box to fill (x width, y depth,
//! z height, metres) and dice for variations; the front looks towards -y and the floor is at z = 0. The
//! caller stretches the result by the last millimetres so that it touches all six sides of the box.

pub mod appliances;
pub mod bathroom;
pub mod electronics;
pub mod seating;
pub mod small;
pub mod soft;
pub mod storage;
pub mod tables;
pub mod wall;

use super::{Dice, Material, MeshBuilder, Surface};
use glam::{Vec3, vec3};

/// Draws a shape into a box of this size.
pub type Build = fn(&mut MeshBuilder, Vec3, &mut Dice);

/// Wood in one of the usual tones.
fn wood(dice: &mut Dice) -> Material {
    let tones = [0xB98A58, 0x8A5A33, 0xD0A878, 0x5C3A22, 0xA06A3C, 0xC8955E];
    Material::new(Surface::Wood, any(dice, &tones)).seeded(dice.seed() as u32)
}

/// Wood, or wood painted white or grey.
fn cabinet_finish(dice: &mut Dice) -> Material {
    if dice.chance(0.6) {
        wood(dice)
    } else {
        Material::new(Surface::Paint, any(dice, &[0xEDEBE6, 0xD9D9D6, 0xB9BDBF, 0x8D9A98]))
    }
}

fn fabric(dice: &mut Dice, colors: &[u32]) -> Material {
    let color = any(dice, colors);
    Material::new(Surface::Fabric, color).seeded(dice.seed() as u32)
}

fn steel() -> Material {
    Material::new(Surface::Metal, 0x9A9C9E)
}

fn black_plastic() -> Material {
    Material::new(Surface::Plastic, 0x1B1C1F)
}

/// One of the colours, or grey of none.
fn any(dice: &mut Dice, colors: &[u32]) -> u32 {
    dice.pick(colors).copied().unwrap_or(0x808080)
}

/// Four legs of square section under a top at this height, inset from the edges.
fn four_legs(b: &mut MeshBuilder, size: Vec3, height: f32, thickness: f32, inset: f32) {
    let (x, y) = (size.x * 0.5 - inset - thickness * 0.5, size.y * 0.5 - inset - thickness * 0.5);
    for (sx, sy) in [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)] {
        b.block(vec3(sx * x, sy * y, height * 0.5), vec3(thickness, thickness, height));
    }
}

/// A box for what has no shape of its own: rounded, plain, and clearly not furniture.
pub fn neutral(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let color = any(dice, &[0xB8B2A6, 0xA4A9AD, 0xC0B49C, 0x9FAAA0]);
    b.material(Material::new(Surface::Plastic, color));
    let half = s * 0.5;
    b.soft(vec3(-half.x, -half.y, 0.0), vec3(half.x, half.y, s.z), s.min_element() * 0.12);
}
