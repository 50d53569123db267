//! Beds and textiles.

use super::{any, cabinet_finish, fabric};
use crate::scenes::{Dice, Material, MeshBuilder, Surface};
use glam::{Vec3, vec3};

/// Height of a bed's mattress above the floor.
pub fn mattress_top(s: Vec3) -> f32 {
    (s.z * 0.6).min(0.52_f32.max(s.z * 0.45))
}

/// The head is at the back (+y).
pub fn bed(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let top = mattress_top(s);
    let frame = cabinet_finish(dice);
    b.material(frame);
    let head = 0.05_f32.min(s.y * 0.05);
    b.cuboid(vec3(-half.x, half.y - head, 0.0), vec3(half.x, half.y, s.z));
    b.cuboid(vec3(-half.x, -half.y, top * 0.3), vec3(half.x, half.y - head, top * 0.58));
    for x in [-1.0, 1.0] {
        b.block(vec3(x * (half.x - 0.04), -half.y + 0.04, top * 0.15), vec3(0.08, 0.08, top * 0.3));
    }
    b.material(Material::new(Surface::Fabric, 0xECE9E2));
    b.soft(vec3(-half.x + 0.02, -half.y + 0.02, top * 0.55), vec3(half.x - 0.02, half.y - head, top), 0.05);
    // The blanket covers the lower two thirds and hangs over the sides.
    let cover = fabric(dice, &[0x3E5C86, 0x9A4A46, 0xC9C2B2, 0x5F7A68, 0x7B6A8E, 0xD8D6D0, 0xB98E4A]);
    b.material(cover);
    let edge = s.y * dice.between(0.12, 0.22);
    b.soft(vec3(-half.x, -half.y, top * 0.62), vec3(half.x, edge, top + 0.03), 0.04);
    b.material(cover.shade(1.35));
    b.soft(vec3(-half.x, edge - 0.02, top * 0.66), vec3(half.x, edge + s.y * 0.07, top + 0.04), 0.035);
}

pub fn mattress(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(Material::new(Surface::Stripes, any(dice, &[0xB8C4D4, 0xD8CDB8])).scaled(0.4));
    b.soft(vec3(-half.x, -half.y, 0.0), vec3(half.x, half.y, s.z), s.min_element() * 0.25);
}

pub fn pillow(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(fabric(dice, &[0xF2EFE8, 0xF2EFE8, 0xD8B65A, 0xB04A3E, 0x47708F, 0x8EA37A]));
    b.soft(vec3(-half.x, -half.y, 0.0), vec3(half.x, half.y, s.z), s.min_element() * 0.48);
}

pub fn blanket(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let cloth = fabric(dice, &[0x9A4A46, 0x5A7A9A, 0xC9A15A, 0x7A8A6A]);
    let layers = 3;
    for i in 0..layers {
        b.material(if i % 2 == 0 { cloth } else { cloth.shade(0.8) });
        let inset = 0.02 * i as f32;
        let (low, high) = (s.z * i as f32 / layers as f32, s.z * (i + 1) as f32 / layers as f32);
        b.soft(
            vec3(-half.x + inset, -half.y + inset * 0.5, low),
            vec3(half.x, half.y - inset, high),
            s.z * 0.15,
        );
    }
}

/// Hangs on a wall, folded over a rail.
pub fn towel(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(super::steel());
    b.rod(vec3(-half.x, half.y * 0.3, s.z - 0.02), vec3(half.x, half.y * 0.3, s.z - 0.02), 0.009);
    for x in [-1.0, 1.0] {
        let x = x * (half.x - 0.01);
        b.block(vec3(x, half.y * 0.65, s.z - 0.02), vec3(0.02, half.y * 0.7, 0.02));
    }
    let cloth = fabric(dice, &[0x4A88A8, 0xC9564A, 0xE6E2D6, 0x7AA06A, 0xD9A441]);
    b.material(cloth);
    let w = half.x * 0.88;
    b.soft(vec3(-w, -half.y, 0.0), vec3(w, half.y * 0.3, s.z), s.y * 0.2);
    b.material(cloth.shade(0.6));
    b.cuboid(vec3(-w - 0.001, -half.y - 0.001, s.z * 0.12), vec3(w + 0.001, 0.0, s.z * 0.17));
}

/// Two drapes on a rod.
pub fn curtain(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(super::steel());
    b.rod(vec3(-half.x, 0.0, s.z - 0.02), vec3(half.x, 0.0, s.z - 0.02), 0.012);
    let color = any(dice, &[0xB5473C, 0xD8C9A6, 0x5B7A94, 0x7F8F6A, 0xE2DCCF, 0x8A6A86]);
    b.material(Material::new(Surface::Drapery, color).seeded(dice.seed() as u32));
    let span = if s.x > 1.0 { s.x * 0.27 } else { s.x * 0.48 };
    for start in [-half.x, half.x - span] {
        let folds = ((span / 0.09) as u32).clamp(2, 12);
        let width = span / folds as f32;
        for i in 0..folds {
            let x = start + width * (i as f32 + 0.5);
            let profile = [(1.0, 0.0), (0.85, s.z * 0.6), (0.7, s.z - 0.015)];
            b.lathe(vec3(x, 0.0, 0.0), vec3(width * 0.62, half.y, 0.0).truncate(), &profile, 8);
        }
    }
}
