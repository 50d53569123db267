//! Machines of kitchen and laundry.

use super::{any, black_plastic, steel};
use crate::scenes::{Dice, Material, MeshBuilder, Surface};
use glam::{Vec3, vec2, vec3};

pub fn refrigerator(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let body = if dice.chance(0.5) {
        Material::new(Surface::Metal, any(dice, &[0xA9ADB0, 0x8C9094]))
    } else {
        Material::new(Surface::Ceramic, any(dice, &[0xEDEEEC, 0xE4E2DA, 0x2A2B2E]))
    };
    b.material(body.shade(0.85));
    b.cuboid(vec3(-half.x, -half.y + 0.07, 0.03), vec3(half.x, half.y, s.z));
    b.material(black_plastic());
    b.cuboid(vec3(-half.x + 0.02, -half.y + 0.06, 0.0), vec3(half.x - 0.02, half.y - 0.02, 0.05));
    let split = if dice.chance(0.6) { 0.68 } else { 0.36 };
    let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
    for (low, high) in [(0.05, s.z * split - 0.005), (s.z * split + 0.005, s.z)] {
        b.material(body);
        b.soft(vec3(-half.x, -half.y + 0.03, low), vec3(half.x, -half.y + 0.075, high), 0.012);
        b.material(steel().shade(0.7));
        let reach = ((high - low) * 0.3).min(0.3);
        let z = if low < s.z * 0.3 { high - reach * 0.7 } else { low + reach * 0.7 };
        b.block(vec3(side * (half.x - 0.06), -half.y + 0.012, z), vec3(0.025, 0.025, reach));
        b.block(vec3(side * (half.x - 0.06), -half.y + 0.025, z), vec3(0.02, 0.02, reach * 0.8));
    }
}

pub fn stove(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let body = if dice.chance(0.5) { Material::new(Surface::Ceramic, 0xECECEA) } else { steel() };
    let guard = if s.z > 0.5 { 0.12_f32.min(s.z * 0.15) } else { 0.0 };
    let top = s.z - guard;
    b.material(body);
    b.cuboid(vec3(-half.x, -half.y + 0.03, 0.0), vec3(half.x, half.y, top - 0.02));
    if guard > 0.0 {
        b.cuboid(vec3(-half.x, half.y - 0.06, top - 0.02), vec3(half.x, half.y, s.z));
    }
    b.material(Material::new(Surface::Ceramic, 0x17181A));
    b.cuboid(
        vec3(-half.x, -half.y + 0.02, top - 0.02),
        vec3(half.x, half.y - if guard > 0.0 { 0.06 } else { 0.0 }, top - 0.008),
    );
    for (x, y, r) in [(-0.5, -0.45, 0.09), (0.5, -0.45, 0.075), (-0.5, 0.3, 0.075), (0.5, 0.3, 0.09)] {
        let center = vec3(x * half.x, y * half.y, top - 0.008);
        b.material(Material::new(Surface::Metal, 0x4A4C4E));
        b.lathe(
            center,
            vec2(r, r),
            &[(1.0, 0.0), (1.0, 0.008), (0.75, 0.008), (0.75, 0.002), (0.0, 0.002)],
            16,
        );
    }
    // A hob alone has no oven under it.
    if s.z < 0.3 {
        return;
    }
    // Oven door with a dark pane, a bar, and a row of knobs.
    let knobs = top * 0.86;
    b.material(body.shade(0.92));
    b.cuboid(
        vec3(-half.x + 0.01, -half.y + 0.012, top * 0.16),
        vec3(half.x - 0.01, -half.y + 0.03, knobs - 0.04),
    );
    b.material(Material::new(Surface::Ceramic, 0x101113));
    b.cuboid(
        vec3(-half.x * 0.72, -half.y + 0.009, top * 0.28),
        vec3(half.x * 0.72, -half.y + 0.013, top * 0.62),
    );
    b.material(steel().shade(0.8));
    b.block(vec3(0.0, -half.y + 0.007, knobs - 0.08), vec3(s.x * 0.75, 0.014, 0.022));
    b.material(black_plastic());
    for i in 0..5 {
        let x = half.x * (-0.72 + 0.36 * i as f32);
        b.cone(
            vec3(x, -half.y + 0.03, knobs + 0.02),
            vec3(x, -half.y + 0.002, knobs + 0.02),
            [0.022, 0.018],
            10,
        );
    }
}

pub fn microwave(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(Material::new(Surface::Plastic, any(dice, &[0xE6E6E2, 0x2A2B2D, 0xA8ABAD])));
    b.cuboid(vec3(-half.x, -half.y + 0.012, 0.01), vec3(half.x, half.y, s.z));
    super::four_legs(b, s, 0.012, 0.03, 0.02);
    b.material(Material::new(Surface::Ceramic, 0x121316));
    b.cuboid(
        vec3(-half.x * 0.94, -half.y + 0.004, s.z * 0.12),
        vec3(half.x * 0.42, -half.y + 0.013, s.z * 0.92),
    );
    b.material(Material::new(Surface::Paint, 0x4A4A44));
    b.cuboid(
        vec3(-half.x * 0.78, -half.y + 0.002, s.z * 0.26),
        vec3(half.x * 0.24, -half.y + 0.006, s.z * 0.78),
    );
    b.material(steel());
    b.block(vec3(half.x * 0.48, -half.y + 0.006, s.z * 0.52), vec3(0.016, 0.012, s.z * 0.66));
    b.material(Material::new(Surface::Glow, 0x4FD07A));
    b.cuboid(
        vec3(half.x * 0.58, -half.y + 0.009, s.z * 0.8),
        vec3(half.x * 0.92, -half.y + 0.013, s.z * 0.9),
    );
    b.material(Material::new(Surface::Keys, 0xB8B8B8).scaled(0.03));
    b.cuboid(
        vec3(half.x * 0.58, -half.y + 0.009, s.z * 0.2),
        vec3(half.x * 0.92, -half.y + 0.013, s.z * 0.7),
    );
}

/// A round door in front.
pub fn washing_machine(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let white = Material::new(Surface::Ceramic, any(dice, &[0xEFEFEC, 0xEFEFEC, 0x6A6E74]));
    b.material(white);
    b.cuboid(vec3(-half.x, -half.y + 0.04, 0.0), vec3(half.x, half.y, s.z));
    let disc = |b: &mut MeshBuilder, r: f32, y: [f32; 2]| {
        let radius = half.x.min(s.z * 0.42) * r;
        let ring: Vec<_> = crate::scenes::mesh::circle(24)
            .iter()
            .map(|p| vec2(p.x * radius, s.z * 0.48 + p.y * radius))
            .collect();
        b.extrude(&ring, y);
    };
    b.material(steel());
    disc(b, 0.72, [-half.y + 0.012, -half.y + 0.05]);
    b.material(Material::new(Surface::Ceramic, 0x1E2A34));
    disc(b, 0.54, [-half.y, -half.y + 0.05]);
    b.material(white.shade(0.8));
    b.cuboid(
        vec3(-half.x * 0.96, -half.y + 0.03, s.z * 0.85),
        vec3(half.x * 0.96, -half.y + 0.041, s.z * 0.97),
    );
    b.material(black_plastic());
    b.cuboid(vec3(half.x * 0.1, -half.y + 0.026, s.z * 0.88), vec3(half.x * 0.5, -half.y + 0.04, s.z * 0.94));
    b.cone(
        vec3(half.x * 0.75, -half.y + 0.04, s.z * 0.91),
        vec3(half.x * 0.75, -half.y + 0.012, s.z * 0.91),
        [0.03, 0.025],
        12,
    );
}

pub fn dishwasher(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let body = if dice.chance(0.5) { steel() } else { Material::new(Surface::Ceramic, 0xEAEAE6) };
    b.material(body.shade(0.8));
    b.cuboid(vec3(-half.x, -half.y + 0.04, 0.0), vec3(half.x, half.y, s.z));
    b.material(body);
    b.cuboid(
        vec3(-half.x + 0.01, -half.y + 0.015, s.z * 0.13),
        vec3(half.x - 0.01, -half.y + 0.04, s.z * 0.84),
    );
    b.material(black_plastic());
    b.cuboid(
        vec3(-half.x + 0.01, -half.y + 0.015, s.z * 0.86),
        vec3(half.x - 0.01, -half.y + 0.04, s.z * 0.98),
    );
    b.material(steel().shade(0.7));
    b.block(vec3(0.0, -half.y + 0.008, s.z * 0.78), vec3(s.x * 0.7, 0.016, 0.025));
}

pub fn kettle(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(if dice.chance(0.5) {
        steel()
    } else {
        Material::new(Surface::Plastic, any(dice, &[0xE8E6E0, 0x8E2A24, 0x222326]))
    });
    let stretch = vec2(half.x * 0.66, half.y);
    let base = vec3(-half.x * 0.08, 0.0, 0.0);
    b.lathe(
        base,
        stretch,
        &[
            (0.0, 0.0),
            (0.95, 0.0),
            (1.0, s.z * 0.2),
            (0.7, s.z * 0.85),
            (0.3, s.z * 0.93),
            (0.1, s.z),
            (0.0, s.z),
        ],
        16,
    );
    b.cone(
        base + vec3(-half.x * 0.4, 0.0, s.z * 0.6),
        vec3(-half.x, 0.0, s.z * 0.85),
        [half.x * 0.2, half.x * 0.1],
        8,
    );
    b.material(black_plastic());
    b.rod(vec3(half.x * 0.45, 0.0, s.z * 0.82), vec3(half.x * 0.95, 0.0, s.z * 0.75), 0.012);
    b.rod(vec3(half.x * 0.93, 0.0, s.z * 0.76), vec3(half.x * 0.8, 0.0, s.z * 0.25), 0.012);
}

pub fn pan(b: &mut MeshBuilder, s: Vec3, _dice: &mut Dice) {
    let half = s * 0.5;
    let r = half.y.min(half.x * 0.62);
    let center = vec3(-half.x + r, 0.0, 0.0);
    b.material(Material::new(Surface::Metal, 0x3A3B3D));
    b.lathe(
        center,
        vec2(r, r),
        &[(0.0, 0.0), (0.85, 0.0), (1.0, s.z), (0.95, s.z), (0.8, s.z * 0.2), (0.0, s.z * 0.2)],
        18,
    );
    b.material(black_plastic());
    b.rod(vec3(center.x + r * 0.95, 0.0, s.z * 0.8), vec3(half.x, 0.0, s.z * 0.9), 0.011);
}

/// On a foot when tall, on its base otherwise.
pub fn fan(b: &mut MeshBuilder, s: Vec3, _dice: &mut Dice) {
    let half = s * 0.5;
    let radius = half.x.min(s.z * 0.45);
    let center = vec3(0.0, 0.0, s.z - radius);
    b.material(Material::new(Surface::Plastic, 0xDEDEDA));
    b.lathe(Vec3::ZERO, vec2(half.x * 0.6, half.y), &[(0.0, 0.0), (1.0, 0.0), (1.0, 0.02), (0.0, 0.05)], 18);
    b.rod(vec3(0.0, half.y * 0.2, 0.03), vec3(0.0, half.y * 0.2, center.z), 0.018);
    b.cone(center + vec3(0.0, half.y * 0.7, 0.0), center - vec3(0.0, half.y * 0.5, 0.0), [0.05, 0.05], 12);
    let ring = crate::scenes::mesh::circle(20);
    b.material(steel());
    for i in 0..ring.len() {
        let at = |p: glam::Vec2, r: f32, y: f32| center + vec3(p.x * r, y, p.y * r);
        let (p, q) = (ring[i], ring[(i + 1) % ring.len()]);
        b.rod(at(p, radius - 0.008, 0.0), at(q, radius - 0.008, 0.0), 0.008);
        b.rod(at(p, radius * 0.98, 0.0), at(p, radius * 0.1, -half.y * 0.9), 0.003);
    }
    b.material(Material::new(Surface::Leaf, 0x7FA8C0));
    for p in crate::scenes::mesh::circle(3) {
        let out = vec3(p.x, 0.0, p.y) * radius * 0.85;
        let side = vec3(-p.y, 0.0, p.x) * radius * 0.35;
        b.quad([
            center,
            center + out * 0.6 - side + Vec3::Y * 0.02,
            center + out,
            center + out * 0.7 + side - Vec3::Y * 0.02,
        ]);
    }
}
