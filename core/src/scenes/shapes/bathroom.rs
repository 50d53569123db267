//! What has a drain.

use super::steel;
use crate::scenes::{Dice, Material, MeshBuilder, Surface};
use glam::{Vec3, vec2, vec3};

fn porcelain() -> Material {
    Material::new(Surface::Ceramic, 0xF4F5F3)
}

pub fn toilet(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let rim = s.z * 0.52;
    let tank = s.y * 0.3;
    let bowl = s.y - tank;
    let center = vec3(0.0, -half.y + bowl * 0.5, 0.0);
    let stretch = vec2(half.x * 0.92, bowl * 0.5);
    b.material(porcelain());
    b.lathe(
        center,
        stretch,
        &[(0.0, 0.0), (0.6, 0.0), (0.55, rim * 0.35), (0.9, rim * 0.85), (1.0, rim), (0.0, rim)],
        20,
    );
    b.cuboid(vec3(-half.x * 0.45, -half.y + bowl * 0.6, 0.0), vec3(half.x * 0.45, half.y - 0.02, rim * 0.9));
    b.soft(vec3(-half.x, half.y - tank, rim * 0.85), vec3(half.x, half.y, s.z - 0.03), 0.03);
    b.soft(vec3(-half.x, half.y - tank - 0.008, s.z - 0.035), vec3(half.x, half.y, s.z), 0.015);
    b.material(steel());
    b.cone(
        vec3(0.0, half.y - tank * 0.5, s.z - 0.01),
        vec3(0.0, half.y - tank * 0.5, s.z),
        [0.025, 0.025],
        10,
    );
    // Seat with the lid down or up.
    b.material(Material::new(Surface::Plastic, super::any(dice, &[0xE6E7E4, 0xFBFBF8, 0xB98A58])));
    let seat = [(0.0, 0.0), (1.03, 0.0), (1.03, 0.02), (0.95, 0.03), (0.0, 0.035)];
    b.lathe(center + Vec3::Z * rim, stretch, &seat, 20);
    if dice.chance(0.35) {
        b.material(Material::new(Surface::Paint, 0x9FB4BC));
        b.lathe(center + Vec3::Z * (rim + 0.036), stretch * 0.6, &[(1.0, 0.0), (0.0, 0.001)], 20);
        b.material(porcelain());
        b.soft(
            vec3(-half.x * 0.85, half.y - tank - 0.05, rim),
            vec3(half.x * 0.85, half.y - tank - 0.01, s.z * 0.96),
            0.015,
        );
    }
}

/// On a pedestal when it stands on the floor, a basin with a tap otherwise.
pub fn sink(b: &mut MeshBuilder, s: Vec3, dice: &mut Dice) {
    let half = s * 0.5;
    let tap = 0.13_f32.min(s.z * 0.45);
    let rim = s.z - tap;
    let standing = s.z > 0.55;
    let depth = if standing { 0.16 } else { rim };
    b.material(if standing || dice.chance(0.6) { porcelain() } else { steel() });
    if standing {
        let pedestal = [(0.0, 0.0), (0.5, 0.0), (0.35, rim * 0.15), (0.3, rim - depth)];
        b.lathe(vec3(0.0, half.y * 0.35, 0.0), vec2(half.x * 0.8, half.y * 0.6), &pedestal, 14);
    }
    let low = rim - depth;
    let (wall, back) = (0.035, s.y * 0.22);
    b.cuboid(
        vec3(-half.x + 0.03, -half.y + 0.03, low),
        vec3(half.x - 0.03, half.y - 0.01, low + depth * 0.3),
    );
    b.cuboid(vec3(-half.x, -half.y, low + depth * 0.25), vec3(half.x, -half.y + wall, rim));
    b.cuboid(vec3(-half.x, half.y - back, low + depth * 0.25), vec3(half.x, half.y, rim));
    for x in [-half.x, half.x - wall] {
        b.cuboid(vec3(x, -half.y + wall, low + depth * 0.25), vec3(x + wall, half.y - back, rim));
    }
    b.material(Material::new(Surface::Paint, 0x44484A));
    b.lathe(vec3(0.0, -back * 0.3, low + depth * 0.31), vec2(0.03, 0.03), &[(1.0, 0.0), (0.0, 0.002)], 10);
    b.material(steel());
    let y = half.y - back * 0.5;
    b.rod(vec3(0.0, y, rim), vec3(0.0, y, s.z - 0.012), 0.016);
    b.rod(vec3(0.0, y, s.z - 0.014), vec3(0.0, y - s.y * 0.32, s.z - 0.03), 0.013);
    for x in [-0.08, 0.08] {
        b.cone(vec3(x, y, rim), vec3(x, y, rim + tap * 0.4), [0.02, 0.014], 8);
    }
}

/// The long side runs along x.
pub fn bathtub(b: &mut MeshBuilder, s: Vec3, _dice: &mut Dice) {
    let half = s * 0.5;
    let rim = 0.07_f32.min(s.x * 0.08);
    b.material(porcelain().shade(0.96));
    for y in [-half.y, half.y - 0.04] {
        b.cuboid(vec3(-half.x, y, 0.0), vec3(half.x, y + 0.04, s.z - 0.03));
    }
    for x in [-half.x, half.x - 0.04] {
        b.cuboid(vec3(x, -half.y, 0.0), vec3(x + 0.04, half.y, s.z - 0.03));
    }
    b.material(porcelain());
    // The rim, then sloping walls down to the bottom.
    let ring = |inset: f32, z: f32| {
        let (x, y) = (half.x - inset, half.y - inset);
        [vec3(-x, -y, z), vec3(x, -y, z), vec3(x, y, z), vec3(-x, y, z)]
    };
    let rings = [ring(0.0, s.z - 0.03), ring(0.0, s.z), ring(rim, s.z), ring(rim * 2.2, s.z * 0.28)];
    for pair in rings.windows(2) {
        for i in 0..4 {
            let j = (i + 1) % 4;
            b.quad([pair[0][i], pair[0][j], pair[1][j], pair[1][i]]);
        }
    }
    b.quad(rings[3]);
    b.material(Material::new(Surface::Paint, 0x9CC2CC));
    b.quad(ring(rim * 2.0, s.z * 0.34));
    b.material(steel());
    let x = half.x - rim * 0.5;
    b.rod(vec3(x, 0.0, s.z - 0.01), vec3(x - 0.12, 0.0, s.z - 0.012), 0.012);
}

pub fn toilet_paper(b: &mut MeshBuilder, s: Vec3, _dice: &mut Dice) {
    let half = s * 0.5;
    b.material(Material::new(Surface::Paint, 0xF6F4F0));
    b.cone(vec3(-half.x, 0.0, half.z), vec3(half.x, 0.0, half.z), [half.y.min(half.z); 2], 16);
    b.material(Material::new(Surface::Paint, 0x9A8468));
    b.cone(vec3(-half.x * 1.01, 0.0, half.z), vec3(half.x * 1.01, 0.0, half.z), [half.y * 0.35; 2], 10);
}
