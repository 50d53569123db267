//! The room itself: floor, ceiling, walls and skirting boards.

use super::{Dice, Material, Mesh, MeshBuilder, Room, Surface};
use crate::geometry::polygon;
use glam::{Mat3, Vec2, Vec3, vec2, vec3};

/// A flat side of the room, in its own frame: x and y along it, z into the room.
#[derive(Debug, Clone)]
pub struct Panel {
    pub mesh: Mesh,
    /// World frame.
    pub origin: Vec3,
    /// The panel's axes in the world, one a column.
    pub axes: Mat3,
    /// Extent along x and y from the origin, metres; `None` for trim, which gets no shadows.
    pub size: Option<Vec2>,
}

/// Floor, ceiling, walls, skirting, in this order.
pub fn panels(room: &Room) -> Vec<Panel> {
    let mut dice = Dice::new(room.style, 1);
    let floor = floor_material(room, &mut dice);
    let walls = wall_colors(room, &mut dice);
    let ceiling =
        Material::new(Surface::Paint, *dice.pick(&[0xF2F1EC, 0xEFEBE2, 0xE9E9E6]).unwrap_or(&0xF2F1EC));
    let skirting =
        Material::new(Surface::Paint, *dice.pick(&[0xF0EEE8, 0x8A6A4A, 0xD8D4CC]).unwrap_or(&0xF0EEE8));

    let (low, high) = polygon::bounds(&room.outline);
    let mut panels = Vec::with_capacity(room.outline.len() * 2 + 2);
    let flat = |up: bool| {
        let mut builder = MeshBuilder::default();
        builder.material(if up { floor } else { ceiling });
        for [a, b, c] in polygon::triangulate(&room.outline) {
            let [a, b, c] = [a, b, c].map(|i| room.outline[i as usize] - low);
            if up {
                builder.triangle([a, b, c].map(|p| p.extend(0.0)));
            } else {
                // The ceiling is seen from below: its frame is the floor's, mirrored in y.
                let flip = |p: Vec2| vec3(p.x, high.y - low.y - p.y, 0.0);
                builder.triangle([flip(a), flip(c), flip(b)]);
            }
        }
        builder.finish()
    };
    panels.push(Panel {
        mesh: flat(true),
        origin: low.extend(room.floor),
        axes: Mat3::IDENTITY,
        size: Some(high - low),
    });
    panels.push(Panel {
        mesh: flat(false),
        origin: vec3(low.x, high.y, room.floor + room.height),
        axes: Mat3::from_cols(Vec3::X, -Vec3::Y, -Vec3::Z),
        size: Some(high - low),
    });
    for (i, (a, b)) in polygon::edges(&room.outline).enumerate() {
        let along = (b - a).normalize_or(Vec2::X);
        let length = a.distance(b);
        // Corners run counter-clockwise, so the room lies to the left; seen from inside, x runs from b to a.
        let axes = Mat3::from_cols(-along.extend(0.0), Vec3::Z, along.perp().extend(0.0));
        let origin = b.extend(room.floor);
        let wall = if i == dice_accent(room) { walls[1] } else { walls[0] };
        let mut builder = MeshBuilder::default();
        let (w, h) = (length, room.height);
        builder.material(wall).quad([Vec3::ZERO, vec3(w, 0.0, 0.0), vec3(w, h, 0.0), vec3(0.0, h, 0.0)]);
        panels.push(Panel { mesh: builder.finish(), origin, axes, size: Some(vec2(w, h)) });

        let mut trim = MeshBuilder::default();
        trim.material(skirting).cuboid(Vec3::ZERO, vec3(w, 0.07, 0.012));
        panels.push(Panel { mesh: trim.finish(), origin, axes, size: None });
    }
    panels
}

/// One wall may be painted differently.
fn dice_accent(room: &Room) -> usize {
    let mut dice = Dice::new(room.style, 2);
    if dice.chance(0.35) { dice.index(room.outline.len()) } else { usize::MAX }
}

fn floor_material(room: &Room, dice: &mut Dice) -> Material {
    let seed = dice.seed() as u32;
    let wet = matches!(room.kind.as_str(), "bathroom" | "kitchen");
    let boards = [0xA87B4F, 0x8C6239, 0xC29A6B, 0x6E4A2E, 0xB58D62];
    let carpets = [0x8A8478, 0x6F7680, 0xA39A8A, 0x7A6A5C, 0x5F6B66];
    let tiles = [0xC9C2B4, 0xB7B9BA, 0xD8D2C6, 0x9A958C];
    let roll = dice.unit() + if wet { 1.0 } else { 0.0 };
    let pick = |colors: &[u32], dice: &mut Dice| *dice.pick(colors).unwrap_or(&0xA0A0A0);
    if roll < 0.5 {
        Material::new(Surface::Boards, pick(&boards, dice)).seeded(seed)
    } else if roll < 0.85 {
        Material::new(Surface::Carpet, pick(&carpets, dice)).seeded(seed)
    } else {
        let scale = dice.between(0.25, 0.5);
        Material::new(Surface::Tiles, pick(&tiles, dice)).scaled(scale).seeded(seed)
    }
}

fn wall_colors(room: &Room, dice: &mut Dice) -> [Material; 2] {
    let plain = [0xE8E2D4, 0xDDDCD6, 0xE9E6DD, 0xD9CFBC, 0xCBD3D2, 0xDED3C4, 0xE3E0D0];
    let accents = [0x9FB4B8, 0xB9A58A, 0xA8B59A, 0xC2A49A, 0x8F9CB0, 0xD2BE8C];
    let seed = dice.seed() as u32;
    let plain = *dice.pick(&plain).unwrap_or(&0xE8E2D4);
    let accent = *dice.pick(&accents).unwrap_or(&0x9FB4B8);
    if room.kind == "bathroom" && dice.chance(0.7) {
        let tiles = |rgb| Material::new(Surface::Tiles, rgb).scaled(0.2).seeded(seed);
        [tiles(plain), tiles(accent)]
    } else {
        [plain, accent].map(|rgb| Material::new(Surface::Paint, rgb).seeded(seed))
    }
}
