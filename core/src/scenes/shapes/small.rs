//! Things to carry, and lamps.

use super::{any, black_plastic, steel, wood};
use crate::scenes::{Dice, Material, MeshBuilder, Surface};
use glam::{Vec3, vec2, vec3};

/// Tall ones are floor lamps, short ones table lamps.
pub fn lamp(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let stretch = vec2(s.x * 0.5, s.y * 0.5);
    let tall = s.z > 0.85;
    let shade_height = if tall { (s.z * 0.2).min(0.36) } else { s.z * 0.45 };
    let low = s.z - shade_height;
    let stand = match dice.index(3) {
        0 => black_plastic(),
        1 => steel(),
        _ => Material::new(Surface::Metal, 0xB08A3E),
    };
    b.material(stand);
    if tall {
        b.lathe(Vec3::ZERO, stretch, &[(0.0, 0.0), (0.75, 0.0), (0.75, 0.02), (0.1, 0.04), (0.0, 0.04)], 18);
        b.rod(vec3(0.0, 0.0, 0.03), vec3(0.0, 0.0, low + shade_height * 0.5), 0.014);
    } else {
        let body =
            Material::new(Surface::Ceramic, any(dice, &[0x3A6A8A, 0xE2DCCB, 0x8A3A2E, 0x2E5A4A, 0x1E1E22]));
        b.material(body);
        let profile = [
            (0.0, 0.0),
            (0.45, 0.0),
            (0.5, low * 0.12),
            (0.62, low * 0.4),
            (0.3, low * 0.8),
            (0.1, low * 1.02),
        ];
        b.lathe(Vec3::ZERO, stretch, &profile, 16);
        b.material(stand);
        b.rod(vec3(0.0, 0.0, low * 0.8), vec3(0.0, 0.0, low + shade_height * 0.5), 0.008);
    }
    b.material(Material::new(Surface::Glow, any(dice, &[0xFFE9B8, 0xFFE2A0, 0xFFF0CC])));
    b.lathe(vec3(0.0, 0.0, low), stretch, &[(1.0, 0.0), (0.62, shade_height)], 20);
    b.lathe(vec3(0.0, 0.0, low), stretch, &[(0.62, shade_height), (0.0, shade_height - 0.005)], 20);
    b.lathe(vec3(0.0, 0.0, low), stretch, &[(0.0, 0.02), (1.0, 0.0)], 20);
}

pub fn ceiling_light(b: &mut MeshBuilder, s: Vec3, _dice: &mut Dice) {
    let half = s * 0.5;
    b.material(Material::new(Surface::Paint, 0xD8D8D4));
    b.cuboid(vec3(-half.x, -half.y, s.z * 0.5), vec3(half.x, half.y, s.z));
    b.material(Material::new(Surface::Glow, 0xFFF8E8));
    b.cuboid(vec3(-half.x * 0.94, -half.y * 0.9, 0.0), vec3(half.x * 0.94, half.y * 0.9, s.z * 0.5));
}

pub fn trash_can(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let stretch = vec2(s.x * 0.5, s.y * 0.5);
    let color = any(dice, &[0x2B2D30, 0x7E8488, 0x2F5F9A, 0x3E7A4E, 0xC8CACC]);
    let body = Material::new(if dice.chance(0.3) { Surface::Metal } else { Surface::Plastic }, color);
    b.material(body);
    b.lathe(Vec3::ZERO, stretch, &[(0.0, 0.0), (0.72, 0.0), (0.95, s.z * 0.94)], 18);
    if dice.chance(0.3) {
        b.material(body.shade(0.6));
        b.lathe(
            Vec3::ZERO,
            stretch,
            &[(1.0, s.z * 0.86), (1.0, s.z * 0.9), (0.8, s.z * 0.97), (0.0, s.z)],
            18,
        );
    } else {
        // Open, with a bag over the rim.
        b.material(if dice.chance(0.6) {
            Material::new(Surface::Plastic, 0xE6E8EA)
        } else {
            body.shade(0.7)
        });
        b.lathe(Vec3::ZERO, stretch, &[(0.94, s.z * 0.84), (1.0, s.z * 0.88), (1.0, s.z), (0.92, s.z)], 18);
        b.material(Material::new(Surface::Paint, 0x141414));
        b.lathe(Vec3::ZERO, stretch, &[(0.92, s.z), (0.8, s.z * 0.7), (0.0, s.z * 0.65)], 18);
    }
}

pub fn backpack(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let cloth = super::fabric(dice, &[0x1F3A6E, 0xA83228, 0x202226, 0x2F6A52, 0xD07A2A, 0x6A3A7A]);
    b.material(cloth);
    b.soft(
        vec3(-half.x, -half.y * 0.35, 0.0),
        vec3(half.x, half.y * 0.85, s.z * 0.95),
        s.min_element() * 0.3,
    );
    b.material(cloth.shade(0.7));
    b.soft(
        vec3(-half.x * 0.8, -half.y, s.z * 0.04),
        vec3(half.x * 0.8, -half.y * 0.1, s.z * 0.5),
        s.min_element() * 0.2,
    );
    b.material(Material::new(Surface::Plastic, 0x18181A));
    for x in [-0.5, 0.5] {
        b.block(vec3(x * half.x, half.y * 0.9, s.z * 0.5), vec3(0.05, half.y * 0.2, s.z * 0.7));
    }
    b.block(vec3(0.0, half.y * 0.5, s.z * 0.97), vec3(half.x * 0.5, 0.02, s.z * 0.06));
    b.block(vec3(0.0, -half.y * 0.37, s.z * 0.72), vec3(half.x * 1.3, 0.006, 0.015));
}

pub fn suitcase(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let shell =
        Material::new(Surface::Plastic, any(dice, &[0x8A2A3A, 0x2A5A7A, 0x24262A, 0xB89A3A, 0x5A7A6A]));
    let body = s.z * 0.86;
    b.material(shell);
    b.soft(vec3(-half.x, -half.y, 0.04), vec3(half.x, half.y, body), 0.04);
    b.material(shell.shade(0.75));
    for i in 0..4 {
        let x = half.x * (-0.6 + 0.4 * i as f32);
        b.block(vec3(x, 0.0, (0.04 + body) * 0.5), vec3(0.02, s.y + 0.006, (body - 0.04) * 0.85));
    }
    b.material(steel());
    for x in [-1.0, 1.0] {
        b.rod(
            vec3(x * half.x * 0.4, half.y * 0.5, body - 0.02),
            vec3(x * half.x * 0.4, half.y * 0.5, s.z),
            0.008,
        );
        for y in [-1.0, 1.0] {
            b.ellipsoid(vec3(x * half.x * 0.8, y * half.y * 0.7, 0.025), Vec3::splat(0.025), 6);
        }
    }
    b.block(vec3(0.0, half.y * 0.5, s.z - 0.012), vec3(half.x * 0.9, 0.024, 0.024));
}

pub fn plant(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let stretch = vec2(s.x * 0.5, s.y * 0.5);
    let pot = (s.z * 0.3).min(0.34);
    let width = 0.55_f32.min(pot * 0.9 / s.x.max(s.y)).max(0.3);
    b.material(Material::new(Surface::Paint, any(dice, &[0xB0623A, 0xE4E0D8, 0x4A4E52, 0x3A6A8A])));
    b.lathe(Vec3::ZERO, stretch, &[(0.0, 0.0), (width * 0.75, 0.0), (width, pot), (width * 0.9, pot)], 16);
    b.material(Material::new(Surface::Paint, 0x2C1E14));
    b.lathe(Vec3::ZERO, stretch, &[(width * 0.92, pot * 0.97), (0.0, pot * 0.95)], 16);
    let green = any(dice, &[0x2F6B2E, 0x3F7F3A, 0x4A7A2A, 0x24603A]);
    let leaves = 26;
    let stem = pot + (s.z - pot) * 0.15;
    b.material(Material::new(Surface::Wood, 0x5A4428));
    b.rod(vec3(0.0, 0.0, pot * 0.9), vec3(0.0, 0.0, stem + (s.z - stem) * 0.5), 0.012);
    let leaf = Material::new(Surface::Leaf, green).seeded(dice.seed() as u32);
    for i in 0..leaves {
        let t = i as f32 / leaves as f32;
        let angle = i as f32 * 2.399_963 + dice.between(-0.3, 0.3);
        let out = vec3(libm::cosf(angle), libm::sinf(angle), 0.0);
        let side = vec3(-out.y, out.x, 0.0);
        let root = vec3(0.0, 0.0, stem + (s.z - stem) * 0.55 * t);
        let reach = (1.0 - 0.35 * t) * dice.between(0.8, 1.0);
        let rise = (s.z - root.z) * (0.15 + 0.85 * t) * dice.between(0.7, 1.0);
        let scale = vec3(stretch.x, stretch.y, 1.0);
        let tip = root + out * scale * reach + Vec3::Z * rise * 0.7;
        let middle = root + out * scale * reach * 0.55 + Vec3::Z * rise;
        let wide = side * scale * 0.2;
        b.material(leaf.shade(dice.between(0.75, 1.3)));
        b.quad([root, middle - wide, tip, middle + wide]);
    }
}

pub fn book(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let cover = any(dice, &[0x8C2F2A, 0x2B4C7E, 0x3F6B45, 0xC9A13B, 0x4B3A57]);
    b.material(Material::new(Surface::Paint, cover));
    let board = (s.z * 0.12).min(0.004);
    b.cuboid(vec3(-half.x, -half.y, 0.0), vec3(half.x, half.y, board));
    b.cuboid(vec3(-half.x, -half.y, s.z - board), vec3(half.x, half.y, s.z));
    b.cuboid(vec3(-half.x, -half.y, board), vec3(-half.x + board, half.y, s.z - board));
    b.material(Material::new(Surface::Paint, 0xEDE8DA));
    b.cuboid(
        vec3(-half.x + board, -half.y + 0.004, board),
        vec3(half.x - 0.004, half.y - 0.004, s.z - board),
    );
}

pub fn cup(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    b.material(Material::new(Surface::Ceramic, any(dice, &[0xE8E6E0, 0xB23A30, 0x2E5F8E, 0x3F7A50])));
    let stretch = vec2(s.x * 0.42, s.y * 0.5);
    let base = vec3(-s.x * 0.08, 0.0, 0.0);
    b.lathe(
        base,
        stretch,
        &[(0.0, 0.0), (0.8, 0.0), (1.0, s.z), (0.88, s.z), (0.75, s.z * 0.2), (0.0, s.z * 0.15)],
        14,
    );
    b.block(vec3(s.x * 0.42, 0.0, s.z * 0.5), vec3(s.x * 0.16, s.y * 0.12, s.z * 0.5));
}

pub fn bowl(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    b.material(Material::new(Surface::Ceramic, any(dice, &[0xE8E6E0, 0x3F7A8A, 0xC98A3A])));
    let profile = [
        (0.0, 0.0),
        (0.45, 0.0),
        (0.85, s.z * 0.5),
        (1.0, s.z),
        (0.94, s.z),
        (0.6, s.z * 0.3),
        (0.0, s.z * 0.15),
    ];
    b.lathe(Vec3::ZERO, vec2(s.x * 0.5, s.y * 0.5), &profile, 18);
}

pub fn bucket(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let stretch = vec2(s.x * 0.5, s.y * 0.5);
    b.material(Material::new(Surface::Plastic, any(dice, &[0xB8322A, 0x2C6FA8, 0xE0B03A, 0x9AA0A4])));
    let top = s.z * 0.86;
    b.lathe(
        Vec3::ZERO,
        stretch,
        &[(0.0, 0.0), (0.72, 0.0), (0.92, top), (1.0, top), (0.86, top), (0.7, s.z * 0.1), (0.0, s.z * 0.08)],
        18,
    );
    b.material(steel());
    let mut last = vec3(-s.x * 0.46, 0.0, top);
    for i in 1..=6 {
        let angle = std::f32::consts::PI * i as f32 / 6.0;
        let next = vec3(-s.x * 0.46 * libm::cosf(angle), 0.0, top + (s.z - top) * libm::sinf(angle));
        b.rod(last, next, 0.006);
        last = next;
    }
}

pub fn shoes(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let leather =
        Material::new(Surface::Leather, any(dice, &[0x201C1A, 0x6A4426, 0xD8D8D8, 0x8A2A2A, 0x2A4A7A]));
    for x in [-1.0, 1.0] {
        let (a, c) = (x * half.x, x * half.x * 0.12);
        let (l, r) = (a.min(c), a.max(c));
        b.material(Material::new(Surface::Plastic, 0xE0DDD4));
        b.soft(vec3(l, -half.y, 0.0), vec3(r, half.y, s.z * 0.2), 0.008);
        b.material(leather);
        b.soft(
            vec3(l + 0.004, -half.y + 0.004, s.z * 0.18),
            vec3(r - 0.004, half.y - 0.004, s.z * 0.6),
            s.z * 0.18,
        );
        b.soft(vec3(l + 0.006, 0.0, s.z * 0.4), vec3(r - 0.006, half.y, s.z), s.z * 0.15);
    }
}

pub fn guitar(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let body =
        Material::new(Surface::Wood, any(dice, &[0xC98A48, 0xA0562A, 0xD8A860])).seeded(dice.seed() as u32);
    let flat = |b: &mut MeshBuilder, cx: f32, cz: f32, rx: f32, rz: f32, y: [f32; 2]| {
        let ring: Vec<_> =
            crate::scenes::mesh::circle(20).iter().map(|p| vec2(cx + p.x * rx, cz + p.y * rz)).collect();
        b.extrude(&ring, y);
    };
    b.material(body);
    flat(b, 0.0, s.z * 0.19, half.x, s.z * 0.19, [-half.y, half.y * 0.9]);
    flat(b, 0.0, s.z * 0.40, half.x * 0.76, s.z * 0.13, [-half.y * 0.995, half.y * 0.9]);
    b.material(Material::new(Surface::Paint, 0x1A120C));
    flat(b, 0.0, s.z * 0.36, half.x * 0.26, half.x * 0.26, [-half.y * 1.01, 0.0]);
    b.cuboid(vec3(-half.x * 0.3, -half.y * 1.02, s.z * 0.14), vec3(half.x * 0.3, 0.0, s.z * 0.17));
    b.material(wood(dice).shade(0.6));
    b.cuboid(vec3(-0.03, -half.y, s.z * 0.42), vec3(0.03, -half.y * 0.4, s.z * 0.9));
    b.cuboid(vec3(-0.045, -half.y, s.z * 0.88), vec3(0.045, -half.y * 0.2, s.z));
}

pub fn piano(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let finish =
        if dice.chance(0.6) { Material::new(Surface::Ceramic, 0x14110F) } else { wood(dice).shade(0.7) };
    b.material(finish);
    b.cuboid(vec3(-half.x, 0.0, 0.0), vec3(half.x, half.y, s.z));
    let keys = s.z * 0.6;
    b.cuboid(vec3(-half.x, -half.y, keys - 0.12), vec3(half.x, 0.0, keys - 0.02));
    for x in [-half.x, half.x - 0.06] {
        b.cuboid(vec3(x, -half.y, 0.0), vec3(x + 0.06, -half.y + 0.06, keys));
        b.cuboid(vec3(x, -half.y, keys - 0.12), vec3(x + 0.06, 0.0, keys + 0.05));
    }
    b.material(Material::new(Surface::Keys, 0xF4F1E8).scaled(0.0236));
    b.cuboid(vec3(-half.x + 0.06, -half.y + 0.02, keys - 0.02), vec3(half.x - 0.06, 0.0, keys));
    b.material(Material::new(Surface::Paint, 0x101010));
    let count = (s.x / 0.047) as u32;
    for i in 0..count.min(60) {
        if i % 7 == 2 || i % 7 == 6 {
            continue;
        }
        let x = -half.x + 0.08 + (s.x - 0.16) * (i as f32 + 0.5) / count as f32;
        b.cuboid(vec3(x - 0.006, -half.y * 0.55, keys), vec3(x + 0.006, 0.0, keys + 0.012));
    }
}
