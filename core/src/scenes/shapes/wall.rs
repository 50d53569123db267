//! What hangs on walls. The back (+y) touches the wall.

use super::{any, steel, wood};
use crate::scenes::{Dice, Material, MeshBuilder, Surface};
use glam::{Vec3, vec2, vec3};

/// Four bars around an opening in the x-z plane.
fn frame(b: &mut MeshBuilder, s: Vec3, bar: f32, y: [f32; 2]) {
    let half = s.x * 0.5;
    b.cuboid(vec3(-half, y[0], 0.0), vec3(-half + bar, y[1], s.z));
    b.cuboid(vec3(half - bar, y[0], 0.0), vec3(half, y[1], s.z));
    b.cuboid(vec3(-half + bar, y[0], s.z - bar), vec3(half - bar, y[1], s.z));
    b.cuboid(vec3(-half + bar, y[0], 0.0), vec3(half - bar, y[1], bar));
}

pub fn door(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let leaf = if dice.chance(0.55) {
        wood(dice)
    } else {
        Material::new(Surface::Paint, any(dice, &[0xE8E4DA, 0xC9CFD2, 0x6F8792, 0x8C4B3A]))
    };
    let jamb = 0.07_f32.min(s.x * 0.12);
    b.material(if dice.chance(0.5) { leaf.shade(0.7) } else { Material::new(Surface::Paint, 0xF0EDE6) });
    for x in [-half.x, half.x - jamb] {
        b.cuboid(vec3(x, -half.y, 0.0), vec3(x + jamb, half.y, s.z));
    }
    b.cuboid(vec3(-half.x + jamb, -half.y, s.z - jamb), vec3(half.x - jamb, half.y, s.z));
    b.material(leaf);
    let front = -half.y * 0.35;
    let (left, right, top) = (-half.x + jamb, half.x - jamb, s.z - jamb);
    b.cuboid(vec3(left, front, 0.005), vec3(right, half.y, top));
    let panels: &[(f32, f32)] = if dice.chance(0.6) { &[(0.08, 0.42), (0.5, 0.94)] } else { &[] };
    for &(low, high) in panels {
        b.material(leaf.shade(0.78));
        let inset = (right - left) * 0.14;
        b.cuboid(vec3(left + inset, front - 0.004, top * low), vec3(right - inset, front, top * high));
        b.material(leaf.shade(1.1));
        let more = inset * 1.25;
        b.cuboid(
            vec3(left + more, front - 0.008, top * (low + 0.02)),
            vec3(right - more, front, top * (high - 0.02)),
        );
    }
    let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
    b.material(steel());
    let handle = vec3(side * (right - 0.07), front - 0.01, s.z * 0.49);
    b.block(handle, vec3(0.045, 0.012, 0.16));
    b.block(handle + vec3(-side * 0.04, -0.012, 0.02), vec3(0.12, 0.014, 0.022));
}

pub fn window(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let white = Material::new(Surface::Paint, any(dice, &[0xF3F1EC, 0xF3F1EC, 0xE4E0D6, 0x7A5236]));
    let bar = 0.06_f32.min(s.x * 0.12);
    b.material(Material::new(Surface::Outdoors, 0x9CC4E8).seeded(dice.seed() as u32));
    b.cuboid(
        vec3(-half.x + bar * 0.5, half.y * 0.3, bar * 0.5),
        vec3(half.x - bar * 0.5, half.y, s.z - bar * 0.5),
    );
    b.material(white);
    frame(b, s, bar, [-half.y * 0.6, half.y]);
    let panes = ((s.x / 0.6) as u32).clamp(1, 4);
    for i in 1..panes {
        let x = -half.x + s.x * i as f32 / panes as f32;
        b.block(vec3(x, 0.0, s.z * 0.5), vec3(bar * 0.8, s.y * 0.6, s.z - bar));
    }
    if dice.chance(0.4) {
        b.block(vec3(0.0, 0.0, s.z * 0.62), vec3(s.x - bar, s.y * 0.5, bar * 0.6));
    }
    // The sill.
    b.cuboid(vec3(-half.x, -half.y, 0.0), vec3(half.x, half.y, 0.03_f32.min(s.z * 0.05)));
}

pub fn picture(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let bar = (s.x.min(s.z) * 0.09).min(0.05);
    b.material(match dice.index(3) {
        0 => wood(dice),
        1 => Material::new(Surface::Paint, 0x1E1C1A),
        _ => Material::new(Surface::Metal, 0xC9A24A),
    });
    frame(b, s, bar, [-half.y, half.y]);
    b.material(Material::new(Surface::Paint, 0xF2EFE6));
    b.cuboid(vec3(-half.x + bar, 0.0, bar), vec3(half.x - bar, half.y, s.z - bar));
    let seed = dice.seed() as u32;
    b.material(
        Material::new(Surface::Art, any(dice, &[0x2E5A88, 0xB5562E, 0x4E7A4A, 0x8A3A5A, 0xD0A23A]))
            .seeded(seed),
    );
    let mat = bar * 2.0;
    b.cuboid(vec3(-half.x + mat, -half.y * 0.15, mat), vec3(half.x - mat, 0.0, s.z - mat));
}

pub fn mirror(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let bar = (s.x.min(s.z) * 0.06).min(0.04);
    b.material(if dice.chance(0.5) { steel() } else { wood(dice) });
    frame(b, s, bar, [-half.y, half.y]);
    b.material(Material::new(Surface::Mirror, 0xC8D8E0));
    b.cuboid(vec3(-half.x + bar, -half.y * 0.2, bar), vec3(half.x - bar, half.y, s.z - bar));
}

pub fn whiteboard(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let tray = 0.02_f32.min(s.z * 0.04);
    b.material(Material::new(Surface::Writing, 0xF4F6F7).seeded(dice.seed() as u32));
    b.cuboid(vec3(-half.x + 0.01, 0.0, tray), vec3(half.x - 0.01, half.y, s.z - 0.01));
    b.material(steel());
    let outer = vec3(s.x, s.y, s.z);
    frame(b, outer, 0.022, [-half.y * 0.3, half.y]);
    b.cuboid(vec3(-half.x * 0.7, -half.y, 0.0), vec3(half.x * 0.7, half.y, tray));
    for (i, color) in [0x1F4FA0, 0xB02A2A, 0x202020].into_iter().enumerate() {
        b.material(Material::new(Surface::Plastic, color));
        let x = half.x * (-0.4 + 0.25 * i as f32);
        b.cuboid(vec3(x, -half.y * 0.9, tray), vec3(x + 0.1, -half.y * 0.5, tray + 0.015));
    }
}

pub fn clock(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let center = vec3(0.0, 0.0, half.z);
    let disc = |b: &mut MeshBuilder, radius: f32, y: [f32; 2]| {
        let ring: Vec<_> = crate::scenes::mesh::circle(24)
            .iter()
            .map(|p| vec2(p.x * half.x * radius, half.z + p.y * half.z * radius))
            .collect();
        b.extrude(&ring, y);
    };
    b.material(Material::new(Surface::Plastic, any(dice, &[0x1C1C1E, 0x9A2F28, 0x6A4A2E, 0xB9BCC0])));
    disc(b, 1.0, [-half.y * 0.7, half.y]);
    b.material(Material::new(Surface::Paint, 0xF6F4EE));
    disc(b, 0.86, [-half.y * 0.85, 0.0]);
    b.material(Material::new(Surface::Paint, 0x151515));
    for (angle, length) in
        [(dice.between(0.0, std::f32::consts::TAU), 0.45), (dice.between(0.0, std::f32::consts::TAU), 0.68)]
    {
        let tip =
            center + vec3(libm::sinf(angle) * half.x * length, 0.0, libm::cosf(angle) * half.z * length);
        let y = vec3(0.0, -half.y * 0.92, 0.0);
        b.cone(center + y, tip + y, [half.x * 0.05, half.x * 0.03], 4);
    }
}

pub fn radiator(b: &mut MeshBuilder, s: Vec3, _dice: &mut Dice) {
    let half = s * 0.5;
    b.material(Material::new(Surface::Ceramic, 0xEAE8E1));
    let ribs = ((s.x / 0.075) as u32).clamp(3, 30);
    let width = s.x / ribs as f32;
    for i in 0..ribs {
        let x = -half.x + width * (i as f32 + 0.5);
        b.soft(vec3(x - width * 0.4, -half.y, 0.0), vec3(x + width * 0.4, half.y, s.z), width * 0.2);
    }
    b.material(Material::new(Surface::Paint, 0xB9B7B0));
    for z in [0.12, 0.86] {
        b.block(vec3(0.0, half.y * 0.1, s.z * z), vec3(s.x, s.y * 0.5, 0.04));
    }
}

pub fn coat_hanger(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(wood(dice));
    b.cuboid(vec3(-half.x, half.y * 0.4, s.z * 0.4), vec3(half.x, half.y, s.z));
    b.material(steel());
    let hooks = ((s.x / 0.15) as u32).clamp(2, 8);
    for i in 0..hooks {
        let x = -half.x + s.x * (i as f32 + 0.5) / hooks as f32;
        b.rod(vec3(x, half.y * 0.4, s.z * 0.6), vec3(x, -half.y, s.z * 0.15), 0.008);
        b.block(vec3(x, half.y * 0.4, s.z * 0.2), vec3(0.02, 0.02, s.z * 0.4));
    }
}

pub fn fireplace(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    b.material(Material::new(Surface::Bricks, 0x8E4A38).seeded(dice.seed() as u32));
    let side = s.x * 0.24;
    for x in [-half.x * 0.94, half.x * 0.94 - side] {
        b.cuboid(vec3(x, -half.y, 0.0), vec3(x + side, half.y, s.z * 0.9));
    }
    b.cuboid(vec3(-half.x * 0.5, -half.y, s.z * 0.62), vec3(half.x * 0.5, half.y, s.z * 0.9));
    b.material(Material::new(Surface::Paint, 0x181513));
    b.cuboid(vec3(-half.x * 0.5, half.y * 0.4, 0.0), vec3(half.x * 0.5, half.y * 0.9, s.z * 0.62));
    b.material(wood(dice));
    b.cuboid(vec3(-half.x, -half.y, s.z * 0.9), vec3(half.x, half.y, s.z));
    b.material(Material::new(Surface::Glow, 0xF08A2A));
    for x in [-0.2, 0.0, 0.2] {
        b.cone(vec3(x * half.x, 0.0, 0.02), vec3(x * half.x * 0.8, 0.0, s.z * 0.3), [half.x * 0.12, 0.0], 7);
    }
}
