//! Shelves, cupboards, boxes.

use super::{any, cabinet_finish, steel, wood};
use crate::scenes::{Dice, Material, MeshBuilder, Surface};
use glam::{Vec3, vec2, vec3};

const SPINES: [u32; 10] =
    [0x8C2F2A, 0x2B4C7E, 0x3F6B45, 0xC9A13B, 0xE4DFD2, 0x4B3A57, 0xB5602F, 0x23272E, 0x6F8FA8, 0xA8A290];

pub fn bookshelf(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let board = 0.025_f32.min(s.x * 0.06);
    let finish = cabinet_finish(dice);
    b.material(finish);
    for x in [-1.0, 1.0] {
        b.block(vec3(x * (half.x - board * 0.5), 0.0, s.z * 0.5), vec3(board, s.y, s.z));
    }
    b.material(finish.shade(0.7));
    b.cuboid(vec3(-half.x + board, half.y - 0.012, 0.02), vec3(half.x - board, half.y, s.z - 0.01));
    let shelves = ((s.z / 0.36) as u32).clamp(2, 7);
    let gap = (s.z - board) / shelves as f32;
    for i in 0..=shelves {
        let z = (gap * i as f32).min(s.z - board);
        b.material(finish);
        b.cuboid(vec3(-half.x + board, -half.y, z), vec3(half.x - board, half.y - 0.012, z + board));
        if i == shelves || dice.chance(0.08) {
            continue;
        }
        // A row of books, somewhere a gap.
        let (mut x, end) = (-half.x + board + 0.01, half.x - board - 0.01);
        while x < end - 0.03 {
            let thick = dice.between(0.028, 0.07);
            if dice.chance(0.08) {
                x += dice.between(0.04, 0.15);
                continue;
            }
            let height = (gap - board) * dice.between(0.6, 0.93);
            let front = -half.y + dice.between(0.01, 0.05_f32.min(s.y * 0.2));
            b.material(Material::new(Surface::Paint, any(dice, &SPINES)));
            b.cuboid(
                vec3(x, front, z + board),
                vec3((x + thick - 0.003).min(end), half.y - 0.03, z + board + height),
            );
            x += thick;
        }
    }
}

/// A closed case on a plinth with doors and drawers on a grid.
fn case(b: &mut MeshBuilder, s: Vec3, finish: Material, columns: u32, rows: u32, knobs: bool) {
    let half = s * 0.5;
    let foot = (s.z * 0.06).min(0.08);
    b.material(finish.shade(0.5));
    b.cuboid(vec3(-half.x + 0.02, -half.y + 0.04, 0.0), vec3(half.x - 0.02, half.y - 0.01, foot));
    b.material(finish);
    b.cuboid(vec3(-half.x, -half.y + 0.02, foot), vec3(half.x, half.y, s.z));
    let (width, height) = ((s.x - 0.03) / columns as f32, (s.z - foot - 0.04) / rows as f32);
    for row in 0..rows {
        for column in 0..columns {
            let (x, z) = (-half.x + 0.015 + width * column as f32, foot + 0.02 + height * row as f32);
            b.material(finish.shade(1.12));
            b.cuboid(
                vec3(x + 0.008, -half.y + 0.008, z + 0.008),
                vec3(x + width - 0.008, -half.y + 0.02, z + height - 0.008),
            );
            b.material(steel());
            let (cx, cz) = (x + width * 0.5, z + height * 0.5);
            if knobs {
                let across = width * 0.22;
                for dx in if width > 0.5 { vec![-across, across] } else { vec![0.0] } {
                    b.block(vec3(cx + dx, -half.y + 0.006, cz), vec3(0.03, 0.014, 0.03));
                }
            } else {
                // Doors open in pairs: handles meet in the middle.
                let side = if column % 2 == 0 { 1.0 } else { -1.0 };
                let reach = height.min(0.35) * 0.5;
                b.block(
                    vec3(cx + side * (width * 0.5 - 0.05), -half.y + 0.006, cz),
                    vec3(0.015, 0.014, reach),
                );
            }
        }
    }
}

pub fn cabinet(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let finish = cabinet_finish(dice);
    let columns = ((s.x / 0.45) as u32).clamp(1, 5);
    case(b, s, finish, columns, if s.z > 1.3 { 2 } else { 1 }, false);
}

pub fn wardrobe(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let finish = cabinet_finish(dice);
    let columns = ((s.x / 0.5) as u32).clamp(2, 5);
    case(b, s, finish, columns, 1, false);
}

pub fn dresser(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let finish = cabinet_finish(dice);
    case(b, s, finish, if s.x > 0.9 { 2 } else { 1 }, ((s.z / 0.24) as u32).clamp(2, 5), true);
}

pub fn nightstand(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let finish = wood(dice);
    case(b, s, finish, 1, 2, true);
}

pub fn file_cabinet(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let finish = Material::new(Surface::Metal, any(dice, &[0x8E9398, 0x5F666B, 0xC4C0B2, 0x4B5A66]));
    b.material(finish.shade(0.8));
    b.cuboid(vec3(-half.x, -half.y + 0.02, 0.0), vec3(half.x, half.y, s.z));
    let drawers = ((s.z / 0.32) as u32).clamp(2, 5);
    let height = (s.z - 0.04) / drawers as f32;
    for i in 0..drawers {
        let low = 0.03 + height * i as f32;
        b.material(finish);
        b.cuboid(
            vec3(-half.x + 0.012, -half.y + 0.005, low),
            vec3(half.x - 0.012, -half.y + 0.021, low + height - 0.02),
        );
        b.material(Material::new(Surface::Plastic, 0x202224));
        b.block(vec3(0.0, -half.y + 0.004, low + height * 0.72), vec3(half.x * 0.7, 0.012, 0.03));
        b.material(Material::new(Surface::Paint, 0xF0EEE4));
        b.block(vec3(0.0, -half.y + 0.005, low + height * 0.45), vec3(half.x * 0.45, 0.006, 0.045));
    }
}

pub fn cardboard_box(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let card = Material::new(Surface::Paint, any(dice, &[0xB88A57, 0xA97C4C, 0xC49A68]));
    b.material(card);
    b.cuboid(vec3(-half.x, -half.y, 0.0), vec3(half.x, half.y, s.z - 0.002));
    b.material(Material::new(Surface::Plastic, 0xD9C8A0));
    let tape = (s.x * 0.07).min(0.03);
    b.cuboid(vec3(-tape, -half.y - 0.001, s.z * 0.7), vec3(tape, half.y + 0.001, s.z));
    b.material(Material::new(Surface::Paint, 0xECE8DC));
    let label = vec2(half.x * 0.35, s.z * 0.2);
    b.block(vec3(half.x * 0.45, -half.y, s.z * 0.35), vec3(label.x, 0.003, label.y));
}

pub fn crate_box(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(Material::new(Surface::Plastic, any(dice, &[0x2E5E9E, 0x2F7A4A, 0xB53A30, 0x6A6E72])));
    let wall = 0.015;
    b.cuboid(vec3(-half.x, -half.y, 0.0), vec3(half.x, half.y, wall));
    for i in 0..3 {
        let (low, high) = (s.z * (0.02 + 0.34 * i as f32), s.z * (0.26 + 0.37 * i as f32));
        for y in [-half.y, half.y - wall] {
            b.cuboid(vec3(-half.x, y, low), vec3(half.x, y + wall, high));
        }
        for x in [-half.x, half.x - wall] {
            b.cuboid(vec3(x, -half.y, low), vec3(x + wall, half.y, high));
        }
    }
    for (x, y) in [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)] {
        b.block(vec3(x * (half.x - 0.015), y * (half.y - 0.015), s.z * 0.5), vec3(0.03, 0.03, s.z));
    }
}

pub fn basket(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let straw = Material::new(Surface::Wicker, any(dice, &[0xB08A55, 0x8A683C, 0xD2BE94]));
    let stretch = vec2(s.x * 0.5, s.y * 0.5);
    b.material(straw);
    b.lathe(Vec3::ZERO, stretch, &[(0.0, 0.0), (0.8, 0.0), (0.95, s.z * 0.6), (1.0, s.z), (0.93, s.z)], 20);
    b.material(straw.shade(0.45));
    b.lathe(Vec3::ZERO, stretch, &[(0.93, s.z), (0.88, s.z * 0.75), (0.0, s.z * 0.7)], 20);
}

pub fn shoe_rack(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(if dice.chance(0.5) { wood(dice) } else { steel() });
    for x in [-1.0, 1.0] {
        b.block(vec3(x * (half.x - 0.012), 0.0, s.z * 0.5), vec3(0.024, s.y, s.z));
    }
    let shelves = ((s.z / 0.2) as u32).clamp(2, 5);
    for i in 0..shelves {
        let z = s.z * (0.1 + 0.85 * i as f32 / shelves as f32);
        for j in 0..4 {
            let y = -half.y + s.y * (j as f32 + 0.5) / 4.0;
            b.rod(vec3(-half.x, y, z), vec3(half.x, y, z), 0.008);
        }
    }
}
