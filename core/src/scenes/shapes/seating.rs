//! What people sit on.

use super::{any, black_plastic, fabric, steel, wood};
use crate::scenes::{Dice, Material, MeshBuilder, Surface};
use glam::{Vec3, vec3};

const UPHOLSTERY: [u32; 7] = [0x6B7078, 0xB9A98E, 0x7A2E2A, 0x2F4563, 0x77795A, 0x4C4A4A, 0x3F6E73];

pub fn chair(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    match dice.index(4) {
        0 | 1 => wooden_chair(b, s, dice),
        2 => shell_chair(b, s, dice),
        _ => office_chair(b, s, dice),
    }
}

fn seat_height(s: Vec3) -> f32 {
    (0.5 * s.z).clamp(0.25 * s.z, 0.48_f32.max(0.3 * s.z))
}

fn wooden_chair(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let (half, seat) = (s * 0.5, seat_height(s));
    let frame = wood(dice);
    let leg = 0.042_f32.min(s.x * 0.12);
    b.material(frame);
    for x in [-1.0, 1.0] {
        let x = x * (half.x - leg * 0.5);
        b.block(vec3(x, -half.y + leg * 0.5, seat * 0.5), vec3(leg, leg, seat));
        b.block(vec3(x, half.y - leg * 0.5, s.z * 0.5), vec3(leg, leg, s.z));
        b.block(vec3(x, 0.0, seat * 0.35), vec3(leg * 0.6, s.y - leg, leg * 0.6));
    }
    let back_y = half.y - leg * 0.5;
    b.block(vec3(0.0, back_y, s.z - 0.045), vec3(s.x, leg * 0.7, 0.09));
    if dice.chance(0.5) {
        for i in 0..4 {
            let x = (i as f32 / 3.0 - 0.5) * (s.x - leg * 4.0);
            b.block(vec3(x, back_y, (seat + s.z) * 0.5), vec3(0.03, leg * 0.4, s.z - seat - 0.02));
        }
    } else {
        for t in [0.35, 0.62] {
            b.block(vec3(0.0, back_y, seat + (s.z - seat) * t), vec3(s.x - leg, leg * 0.5, 0.06));
        }
    }
    if dice.chance(0.4) {
        b.material(fabric(dice, &UPHOLSTERY));
    }
    b.soft(vec3(-half.x, -half.y, seat - 0.045), vec3(half.x, half.y - leg, seat), 0.018);
}

fn shell_chair(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let (half, seat) = (s * 0.5, seat_height(s));
    b.material(if dice.chance(0.5) { steel() } else { wood(dice) });
    for (x, y) in [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)] {
        let foot = vec3(x * (half.x - 0.015), y * (half.y - 0.015), 0.0);
        b.cone(foot, vec3(foot.x * 0.75, foot.y * 0.7, seat - 0.02), [0.013, 0.018], 8);
    }
    let color = any(dice, &[0xE6E2D8, 0x20242A, 0xB8322A, 0x2C5F8A, 0xE0B03A, 0x4F8A5B]);
    b.material(Material::new(Surface::Plastic, color));
    b.soft(vec3(-half.x, -half.y, seat - 0.04), vec3(half.x, half.y * 0.75, seat), 0.02);
    // The back leans out to the rear: one bent board.
    let board = 0.022;
    let bend: Vec<(f32, f32)> = [(0.5, -0.04), (0.66, 0.06), (0.8, 0.45), (1.0, 1.0)]
        .iter()
        .map(|&(y, t)| (half.y * y, seat + (s.z - seat) * t))
        .collect();
    for pair in bend.windows(2) {
        let ((y0, z0), (y1, z1)) = (pair[0], pair[1]);
        let w = half.x * 0.94;
        let (front, rear) = (-board, 0.0);
        b.quad([
            vec3(-w, y0 + front, z0),
            vec3(w, y0 + front, z0),
            vec3(w, y1 + front, z1),
            vec3(-w, y1 + front, z1),
        ]);
        b.quad([
            vec3(w, y0 + rear, z0),
            vec3(-w, y0 + rear, z0),
            vec3(-w, y1 + rear, z1),
            vec3(w, y1 + rear, z1),
        ]);
        for (x, a, c) in [(-w, rear, front), (w, front, rear)] {
            b.quad([vec3(x, y0 + a, z0), vec3(x, y0 + c, z0), vec3(x, y1 + c, z1), vec3(x, y1 + a, z1)]);
        }
    }
    b.cuboid(vec3(-half.x * 0.94, half.y - board, s.z - 0.004), vec3(half.x * 0.94, half.y, s.z));
}

fn office_chair(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let (half, seat) = (s * 0.5, seat_height(s));
    b.material(black_plastic());
    for direction in crate::scenes::mesh::circle(5) {
        // The first of five spokes points sideways; turn them so that one points to the front.
        let end = vec3(direction.y * half.x * 0.92, -direction.x * half.y * 0.92, 0.06);
        b.cone(vec3(0.0, 0.0, 0.10), end, [0.028, 0.018], 6);
        b.ellipsoid(vec3(end.x, end.y, 0.03), Vec3::splat(0.03), 6);
    }
    b.rod(vec3(0.0, 0.0, 0.08), vec3(0.0, 0.0, seat - 0.07), 0.028);
    let back_low = seat + 0.12_f32.min((s.z - seat) * 0.3);
    b.block(vec3(0.0, half.y - 0.02, (seat + back_low) * 0.5), vec3(0.06, 0.03, back_low - seat + 0.2));
    if dice.chance(0.7) {
        for x in [-1.0, 1.0] {
            let x = x * (half.x - 0.025);
            b.block(vec3(x, 0.04, seat + 0.10), vec3(0.03, 0.04, 0.20));
            b.soft(
                vec3(x - 0.025, -half.y * 0.5, seat + 0.19),
                vec3(x + 0.025, half.y * 0.5, seat + 0.22),
                0.012,
            );
        }
    }
    b.material(fabric(dice, &[0x24262B, 0x2A3F66, 0x4A4D52, 0x6A2B2B, 0x2F5A55]));
    let (w, d) = (half.x * 0.84, half.y * 0.84);
    b.soft(vec3(-w, -half.y, seat - 0.08), vec3(w, d, seat), 0.035);
    b.soft(vec3(-w * 0.95, half.y - 0.09, back_low), vec3(w * 0.95, half.y, s.z), 0.035);
}

pub fn armchair(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    couch(b, s, dice, 1);
}

pub fn sofa(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let seats = if s.x > 1.75 { 3 } else { 2 };
    couch(b, s, dice, seats);
}

fn couch(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice, seats: u32) {
    let half = s * 0.5;
    let cover = if dice.chance(0.25) {
        Material::new(Surface::Leather, any(dice, &[0x4A2C1E, 0x1E1E20, 0x7A4A2A, 0xC9BFAE]))
    } else {
        fabric(dice, &UPHOLSTERY)
    };
    let seat = (s.z * 0.52).min(0.46_f32.max(s.z * 0.4));
    let arm = (s.x * 0.13).min(0.22);
    let arm_top = seat + (s.z - seat) * 0.45;
    let back = (s.y * 0.28).min(0.28);
    b.material(wood(dice).shade(0.6));
    for (x, y) in [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)] {
        b.block(vec3(x * (half.x - 0.06), y * (half.y - 0.06), 0.03), vec3(0.06, 0.06, 0.06));
    }
    b.material(cover.shade(0.85));
    b.soft(vec3(-half.x + 0.01, -half.y + 0.02, 0.05), vec3(half.x - 0.01, half.y - 0.01, seat - 0.13), 0.03);
    b.soft(vec3(-half.x, half.y - back, 0.06), vec3(half.x, half.y, s.z), 0.06);
    for x in [-1.0, 1.0] {
        let (outer, inner) = (x * half.x, x * (half.x - arm));
        b.soft(vec3(outer.min(inner), -half.y, 0.05), vec3(outer.max(inner), half.y - 0.02, arm_top), 0.05);
    }
    b.material(cover);
    let width = (s.x - 2.0 * arm) / seats as f32;
    for i in 0..seats {
        let left = -half.x + arm + width * i as f32;
        b.soft(
            vec3(left + 0.004, -half.y + 0.01, seat - 0.15),
            vec3(left + width - 0.004, half.y - back, seat),
            0.045,
        );
        b.soft(
            vec3(left + 0.006, half.y - back - 0.13, seat - 0.01),
            vec3(left + width - 0.006, half.y - back + 0.05, s.z - 0.03),
            0.055,
        );
    }
}

/// Height of a sofa's or armchair's seat above the floor.
pub fn couch_seat(s: Vec3) -> f32 {
    (s.z * 0.52).min(0.46_f32.max(s.z * 0.4))
}

pub fn stool(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(if dice.chance(0.6) { wood(dice) } else { steel() });
    for (x, y) in [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)] {
        let foot = vec3(x * (half.x - 0.02) * 0.9, y * (half.y - 0.02) * 0.9, 0.0);
        b.cone(foot, vec3(foot.x * 0.6, foot.y * 0.6, s.z - 0.03), [0.018, 0.018], 8);
    }
    let ring = s.z * 0.3;
    for (from, to) in [
        ((-1.0, -1.0), (1.0, -1.0)),
        ((1.0, 1.0), (-1.0, 1.0)),
        ((-1.0, 1.0), (-1.0, -1.0)),
        ((1.0, -1.0), (1.0, 1.0)),
    ] {
        let at = |(x, y): (f32, f32)| vec3(x * half.x * 0.78, y * half.y * 0.78, ring);
        b.rod(at(from), at(to), 0.011);
    }
    let top = if dice.chance(0.5) {
        wood(dice)
    } else {
        Material::new(Surface::Leather, any(dice, &[0xA23A2E, 0x202124, 0xD8CFC0]))
    };
    b.material(top);
    let r = 1.0;
    b.lathe(
        vec3(0.0, 0.0, s.z),
        vec3(half.x, half.y, 0.0).truncate(),
        &[(0.0, -0.05), (r, -0.05), (r, -0.01), (0.95, 0.0), (0.0, 0.0)],
        18,
    );
}

pub fn ottoman(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(wood(dice).shade(0.5));
    super::four_legs(b, s, 0.08, 0.05, 0.03);
    let cover = fabric(dice, &[0xC98A3E, 0x8E5A7A, 0x4E7F86, 0xB8553F, 0xA9A08E]);
    b.material(cover);
    b.soft(vec3(-half.x, -half.y, 0.07), vec3(half.x, half.y, s.z - 0.03), 0.06);
    b.material(cover.shade(1.15));
    b.soft(vec3(-half.x * 0.97, -half.y * 0.97, s.z - 0.12), vec3(half.x * 0.97, half.y * 0.97, s.z), 0.05);
}

pub fn bench(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(wood(dice));
    let plank = s.y / 3.0;
    for i in 0..3 {
        let y = -half.y + plank * i as f32;
        b.cuboid(vec3(-half.x, y + 0.004, s.z - 0.04), vec3(half.x, y + plank - 0.004, s.z));
    }
    for x in [-1.0, 1.0] {
        b.block(vec3(x * half.x * 0.8, 0.0, (s.z - 0.04) * 0.5), vec3(0.06, s.y * 0.85, s.z - 0.04));
    }
    b.block(vec3(0.0, 0.0, s.z * 0.35), vec3(s.x * 0.8, 0.04, 0.07));
}
