//! What things stand on.

use super::{any, four_legs, steel, wood};
use crate::scenes::{Dice, Material, MeshBuilder, Surface};
use glam::{Vec3, vec2, vec3};

pub fn table(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let square = (s.x / s.y).max(s.y / s.x) < 1.15;
    let top = if dice.chance(0.7) {
        wood(dice)
    } else {
        Material::new(Surface::Plastic, any(dice, &[0xEDEAE2, 0xD8D6CF, 0x3A3532]))
    };
    if square && dice.chance(0.6) {
        // A round top on a column.
        b.material(top);
        let slab = [(0.0, -0.035), (1.0, -0.035), (1.0, 0.0), (1.0, 0.0), (0.0, 0.0)];
        b.lathe(vec3(0.0, 0.0, s.z), vec2(half.x, half.y), &slab, 28);
        b.material(if dice.chance(0.5) { steel() } else { top.shade(0.8) });
        b.cone(vec3(0.0, 0.0, 0.03), vec3(0.0, 0.0, s.z - 0.03), [0.05, 0.04], 12);
        let foot = [(0.0, 0.0), (0.55, 0.0), (0.55, 0.02), (0.1, 0.05), (0.0, 0.05)];
        b.lathe(Vec3::ZERO, vec2(half.x, half.y), &foot, 20);
        return;
    }
    b.material(top);
    b.cuboid(vec3(-half.x, -half.y, s.z - 0.035), vec3(half.x, half.y, s.z));
    b.material(if dice.chance(0.3) { steel() } else { top.shade(0.85) });
    let leg = dice.between(0.045, 0.08);
    four_legs(b, s, s.z - 0.03, leg, 0.03);
    for y in [-1.0, 1.0] {
        b.block(vec3(0.0, y * (half.y - 0.03 - leg * 0.5), s.z - 0.075), vec3(s.x - 0.12, 0.02, 0.08));
    }
    for x in [-1.0, 1.0] {
        b.block(vec3(x * (half.x - 0.03 - leg * 0.5), 0.0, s.z - 0.075), vec3(0.02, s.y - 0.12, 0.08));
    }
}

pub fn coffee_table(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let finish = wood(dice);
    b.material(finish);
    b.cuboid(vec3(-half.x, -half.y, s.z - 0.045), vec3(half.x, half.y, s.z));
    b.material(finish.shade(0.8));
    four_legs(b, s, s.z - 0.04, 0.055, 0.01);
    b.cuboid(
        vec3(-half.x + 0.03, -half.y + 0.03, s.z * 0.32),
        vec3(half.x - 0.03, half.y - 0.03, s.z * 0.32 + 0.02),
    );
}

pub fn desk(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let finish = if dice.chance(0.65) {
        wood(dice)
    } else {
        Material::new(Surface::Plastic, any(dice, &[0xE9E7E1, 0xC9CACB]))
    };
    let body = if dice.chance(0.5) { finish.shade(0.85) } else { Material::new(Surface::Paint, 0x6A6E72) };
    b.material(finish);
    b.cuboid(vec3(-half.x, -half.y, s.z - 0.03), vec3(half.x, half.y, s.z));
    // Drawers on one side, a panel on the other, a board behind the knees.
    let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
    let pedestal = (s.x * 0.3).min(0.42);
    let (outer, inner) = (side * (half.x - 0.01), side * (half.x - 0.01 - pedestal));
    let (left, right) = (outer.min(inner), outer.max(inner));
    b.material(body);
    b.cuboid(vec3(left, -half.y + 0.03, 0.02), vec3(right, half.y - 0.01, s.z - 0.03));
    b.block(vec3(-side * (half.x - 0.025), 0.0, (s.z - 0.03) * 0.5), vec3(0.03, s.y - 0.05, s.z - 0.03));
    b.cuboid(vec3(-half.x + 0.03, half.y - 0.04, s.z * 0.45), vec3(half.x - 0.03, half.y - 0.02, s.z - 0.03));
    let height = (s.z - 0.09) / 3.0;
    for i in 0..3 {
        let low = 0.04 + height * i as f32;
        b.material(finish.shade(0.95));
        b.cuboid(
            vec3(left + 0.012, -half.y + 0.015, low),
            vec3(right - 0.012, -half.y + 0.03, low + height - 0.015),
        );
        b.material(steel());
        b.block(vec3((left + right) * 0.5, -half.y + 0.008, low + height * 0.6), vec3(0.12, 0.012, 0.012));
    }
}

pub fn counter(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let finish = super::cabinet_finish(dice);
    b.material(Material::new(Surface::Paint, 0x2A2826));
    b.cuboid(vec3(-half.x, -half.y + 0.07, 0.0), vec3(half.x, half.y, 0.1_f32.min(s.z * 0.2)));
    let foot = 0.1_f32.min(s.z * 0.2);
    b.material(finish);
    b.cuboid(vec3(-half.x, -half.y + 0.03, foot), vec3(half.x, half.y, s.z - 0.04));
    let doors = ((s.x / 0.5) as u32).clamp(1, 8);
    let width = s.x / doors as f32;
    for i in 0..doors {
        let left = -half.x + width * i as f32;
        b.material(finish.shade(1.08));
        let drawer = s.z * 0.78;
        b.cuboid(
            vec3(left + 0.008, -half.y + 0.012, foot + 0.01),
            vec3(left + width - 0.008, -half.y + 0.03, drawer - 0.01),
        );
        b.cuboid(
            vec3(left + 0.008, -half.y + 0.012, drawer + 0.005),
            vec3(left + width - 0.008, -half.y + 0.03, s.z - 0.055),
        );
        b.material(steel());
        b.block(vec3(left + width * 0.5, -half.y + 0.008, s.z * 0.86), vec3(width * 0.4, 0.014, 0.014));
        b.block(vec3(left + width * 0.85, -half.y + 0.008, s.z * 0.62), vec3(0.014, 0.014, 0.14));
    }
    let stone = Material::new(Surface::Ceramic, any(dice, &[0x3A3A3C, 0x8A8580, 0xD8D2C8, 0x5A4A40]));
    b.material(stone);
    b.cuboid(vec3(-half.x, -half.y, s.z - 0.04), vec3(half.x, half.y, s.z));
}
