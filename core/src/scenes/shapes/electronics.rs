//! Screens and what belongs to them.

use super::{any, black_plastic};
use crate::scenes::{Dice, Material, MeshBuilder, Surface};
use glam::{Vec3, vec3};

pub fn tv(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let foot = if s.y > 0.12 { s.z * 0.08 } else { 0.0 };
    let middle = if foot > 0.0 { 0.0 } else { half.y - 0.5 * s.y };
    let thick = if foot > 0.0 { 0.025 } else { half.y * 0.9 };
    b.material(black_plastic());
    b.cuboid(vec3(-half.x, middle - thick, foot), vec3(half.x, middle + thick, s.z));
    if foot > 0.0 {
        for x in [-1.0, 1.0] {
            b.block(vec3(x * half.x * 0.62, 0.0, 0.006), vec3(0.05, s.y, 0.012));
            b.block(vec3(x * half.x * 0.62, 0.0, foot * 0.5), vec3(0.03, 0.04, foot));
        }
    } else {
        b.cuboid(vec3(-half.x * 0.3, half.y * 0.5, s.z * 0.3), vec3(half.x * 0.3, half.y, s.z * 0.7));
    }
    // A dark, shiny screen; sometimes it is on.
    let screen = if dice.chance(0.3) {
        Material::new(Surface::Art, any(dice, &[0x2A4A7A, 0x3A6A4A])).seeded(dice.seed() as u32)
    } else {
        Material::new(Surface::Ceramic, 0x0C0E12)
    };
    b.material(screen);
    let edge = 0.015;
    let front = middle - thick - 0.003;
    b.cuboid(vec3(-half.x + edge, front, foot + edge * 1.5), vec3(half.x - edge, front + 0.004, s.z - edge));
}

pub fn monitor(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let low = s.z * 0.25;
    let y = 0.0;
    let body = if dice.chance(0.75) { black_plastic() } else { Material::new(Surface::Plastic, 0xB9BBBD) };
    b.material(body);
    b.cuboid(vec3(-half.x, y - 0.02, low), vec3(half.x, y + 0.02, s.z));
    b.soft(vec3(-half.x * 0.45, -half.y, 0.0), vec3(half.x * 0.45, half.y, 0.018), 0.008);
    b.block(vec3(0.0, y + 0.03, s.z * 0.25), vec3(0.05, 0.025, s.z * 0.5));
    let blue = any(dice, &[0x2E6BB0, 0x3B8C9A, 0x27508C, 0x4A5FA8]);
    b.material(Material::new(Surface::Screen, blue).seeded(dice.seed() as u32));
    b.cuboid(vec3(-half.x + 0.014, y - 0.023, low + 0.022), vec3(half.x - 0.014, y - 0.019, s.z - 0.014));
}

pub fn laptop(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let shell = Material::new(Surface::Metal, any(dice, &[0xB4B6B8, 0x3A3C40]));
    b.material(shell);
    let depth = s.y * 0.88;
    b.cuboid(vec3(-half.x, -half.y, 0.0), vec3(half.x, -half.y + depth, 0.018));
    b.material(Material::new(Surface::Keys, 0x2A2B2E).scaled(0.02));
    b.cuboid(
        vec3(-half.x * 0.9, -half.y + depth * 0.38, 0.018),
        vec3(half.x * 0.9, -half.y + depth * 0.92, 0.02),
    );
    // The lid leans back.
    let (hinge, top) = (-half.y + depth, half.y);
    let tilt = |x: f32, t: f32, off: f32| {
        vec3(x, hinge + (top - hinge - 0.012) * t + off, 0.014 + (s.z - 0.014) * t)
    };
    b.material(shell);
    b.quad([
        tilt(half.x, 0.0, 0.012),
        tilt(-half.x, 0.0, 0.012),
        tilt(-half.x, 1.0, 0.012),
        tilt(half.x, 1.0, 0.012),
    ]);
    b.material(black_plastic());
    b.quad([
        tilt(-half.x, 0.0, 0.0),
        tilt(half.x, 0.0, 0.0),
        tilt(half.x, 1.0, 0.0),
        tilt(-half.x, 1.0, 0.0),
    ]);
    b.quad([
        tilt(-half.x, 1.0, 0.0),
        tilt(half.x, 1.0, 0.0),
        tilt(half.x, 1.0, 0.012),
        tilt(-half.x, 1.0, 0.012),
    ]);
    for x in [-half.x, half.x] {
        let (y0, y1) = if x < 0.0 { (0.012, 0.0) } else { (0.0, 0.012) };
        b.quad([tilt(x, 0.0, y0), tilt(x, 0.0, y1), tilt(x, 1.0, y1), tilt(x, 1.0, y0)]);
    }
    b.material(Material::new(Surface::Screen, any(dice, &[0x2E6BB0, 0x6A4AA0])).seeded(dice.seed() as u32));
    let w = half.x * 0.93;
    b.quad([tilt(-w, 0.08, -0.002), tilt(w, 0.08, -0.002), tilt(w, 0.95, -0.002), tilt(-w, 0.95, -0.002)]);
}

pub fn keyboard(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let dark = dice.chance(0.6);
    b.material(if dark { black_plastic() } else { Material::new(Surface::Plastic, 0xC9C7C0) });
    b.cuboid(vec3(-half.x, -half.y, 0.0), vec3(half.x, half.y, s.z * 0.6));
    b.material(Material::new(Surface::Keys, if dark { 0x3C3E42 } else { 0xECEAE4 }).scaled(0.021));
    let (w, d) = (half.x - 0.012, half.y - 0.012);
    b.cuboid(vec3(-w, -d, s.z * 0.6), vec3(w, d, s.z));
}

pub fn mouse(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    b.material(Material::new(Surface::Plastic, any(dice, &[0x222326, 0xDADADA])));
    b.ellipsoid(vec3(0.0, 0.0, s.z * 0.5), s * 0.5, 12);
}

pub fn telephone(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let color = Material::new(Surface::Plastic, any(dice, &[0x23252A, 0x8E2A2A, 0xD9D3C4]));
    b.material(color);
    // A wedge with a keypad, the handset across its left.
    let (low, high) = (s.z * 0.3, s.z * 0.75);
    b.quad([
        vec3(-half.x, -half.y, low),
        vec3(half.x, -half.y, low),
        vec3(half.x, half.y, high),
        vec3(-half.x, half.y, high),
    ]);
    b.quad([
        vec3(-half.x, -half.y, 0.0),
        vec3(half.x, -half.y, 0.0),
        vec3(half.x, -half.y, low),
        vec3(-half.x, -half.y, low),
    ]);
    b.quad([
        vec3(half.x, half.y, 0.0),
        vec3(-half.x, half.y, 0.0),
        vec3(-half.x, half.y, high),
        vec3(half.x, half.y, high),
    ]);
    b.quad([
        vec3(half.x, -half.y, 0.0),
        vec3(half.x, half.y, 0.0),
        vec3(half.x, half.y, high),
        vec3(half.x, -half.y, low),
    ]);
    b.quad([
        vec3(-half.x, half.y, 0.0),
        vec3(-half.x, -half.y, 0.0),
        vec3(-half.x, -half.y, low),
        vec3(-half.x, half.y, high),
    ]);
    b.material(color.shade(0.8));
    b.soft(vec3(-half.x * 0.95, -half.y, high * 0.75), vec3(-half.x * 0.35, half.y, s.z), 0.015);
    b.material(Material::new(Surface::Keys, 0xD8D8D8).scaled(0.02));
    let (y0, y1) = (-half.y * 0.8, half.y * 0.3);
    let z = |y: f32| low + (high - low) * (y + half.y) / s.y + 0.002;
    b.quad([
        vec3(-half.x * 0.1, y0, z(y0)),
        vec3(half.x * 0.85, y0, z(y0)),
        vec3(half.x * 0.85, y1, z(y1)),
        vec3(-half.x * 0.1, y1, z(y1)),
    ]);
}

pub fn printer(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let body = Material::new(Surface::Plastic, any(dice, &[0xDCDAD4, 0xC4C6C8, 0x3A3B3E]));
    b.material(body);
    b.soft(vec3(-half.x, -half.y * 0.8, 0.0), vec3(half.x, half.y, s.z * 0.62), 0.015);
    b.soft(vec3(-half.x * 0.96, -half.y * 0.5, s.z * 0.6), vec3(half.x * 0.96, half.y, s.z * 0.86), 0.015);
    b.material(black_plastic());
    b.cuboid(vec3(-half.x * 0.75, -half.y * 0.83, s.z * 0.2), vec3(half.x * 0.75, -half.y * 0.7, s.z * 0.4));
    b.cuboid(vec3(half.x * 0.3, -half.y * 0.85, s.z * 0.48), vec3(half.x * 0.9, -half.y * 0.75, s.z * 0.58));
    b.material(Material::new(Surface::Paint, 0xF6F5F0));
    b.cuboid(vec3(-half.x * 0.6, -half.y, s.z * 0.22), vec3(half.x * 0.6, -half.y * 0.6, s.z * 0.24));
    b.cuboid(vec3(-half.x * 0.6, half.y * 0.75, s.z * 0.8), vec3(half.x * 0.6, half.y * 0.85, s.z));
}

pub fn computer_tower(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(Material::new(Surface::Plastic, any(dice, &[0x1E1F22, 0x3A3C40, 0xB8B6AE])));
    b.cuboid(vec3(-half.x, -half.y + 0.012, 0.01), vec3(half.x, half.y, s.z));
    super::four_legs(b, s, 0.012, 0.03, 0.01);
    b.material(Material::new(Surface::Plastic, 0x101113));
    b.soft(vec3(-half.x * 0.92, -half.y, 0.03), vec3(half.x * 0.92, -half.y + 0.014, s.z * 0.97), 0.005);
    b.material(Material::new(Surface::Plastic, 0x8A8C8E));
    b.cuboid(vec3(-half.x * 0.75, -half.y - 0.001, s.z * 0.8), vec3(half.x * 0.75, -half.y, s.z * 0.88));
    b.material(Material::new(Surface::Glow, 0x3FA0FF));
    b.cuboid(vec3(-0.012, -half.y - 0.001, s.z * 0.66), vec3(0.012, -half.y, s.z * 0.69));
}
