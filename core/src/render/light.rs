//! Light in a room: a lamp under the ceiling, daylight from the windows, light from all around, and on the
//! room's own surfaces soft shadows worked out beforehand on a coarse grid.

use crate::geometry::{OrientedBox, polygon};
use crate::scenes::Scene;
use glam::{Mat3, Vec2, Vec3, vec2, vec3};

#[derive(Debug, Clone)]
pub struct Lights {
    lamp: Vec3,
    lamp_color: Vec3,
    windows: Vec<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    center: Vec3,
    /// Into the room.
    inward: Vec3,
    strength: f32,
}

impl Lights {
    pub fn of(scene: &Scene) -> Self {
        let (low, high) = polygon::bounds(&scene.room.outline);
        let middle = middle_of(&scene.room.outline).unwrap_or((low + high) * 0.5);
        let warm = (scene.room.style >> 8) % 5;
        let windows = scene
            .objects
            .iter()
            .filter(|o| o.category == "window")
            .take(3)
            .map(|o| {
                let towards = middle.extend(o.bounds.center.z) - o.bounds.center;
                let axes = o.bounds.axes();
                // The thinnest side of a window's box looks through the wall.
                let thin =
                    if o.bounds.half_extents.x < o.bounds.half_extents.y { axes.x_axis } else { axes.y_axis };
                let inward = if thin.dot(towards) >= 0.0 { thin } else { -thin };
                let size = o.bounds.size();
                Window {
                    center: o.bounds.center,
                    inward,
                    strength: (size.x.max(size.y) * size.z).clamp(0.5, 3.0),
                }
            })
            .collect();
        Self {
            lamp: middle.extend(scene.room.floor + scene.room.height - 0.25),
            lamp_color: vec3(1.0, 0.97 - 0.02 * warm as f32, 0.92 - 0.04 * warm as f32),
            windows,
        }
    }

    /// Light that reaches a place, before its colour, and the highlight seen from `to_eye`.
    /// `open` is how much of the surroundings the place sees, `lit` how much of the lamp; both 0..=1.
    pub fn at(&self, position: Vec3, normal: Vec3, to_eye: Vec3, open: f32, lit: f32) -> (Vec3, f32) {
        let sky = vec3(0.50, 0.51, 0.53);
        let ground = vec3(0.27, 0.25, 0.23);
        let mut light = ground.lerp(sky, normal.z * 0.5 + 0.5) * open;
        let mut highlight = 0.0;
        let lamp = self.lamp - position;
        let squared = lamp.length_squared().max(0.05);
        let lamp = lamp / squared.sqrt();
        let facing = normal.dot(lamp);
        if facing > 0.0 {
            light += self.lamp_color * (facing * lit * 1.3 / (1.0 + 0.35 * squared));
            highlight += shine(normal, lamp, to_eye) * lit;
        }
        for window in &self.windows {
            let ray = window.center - position;
            let squared = ray.length_squared().max(0.05);
            let ray = ray / squared.sqrt();
            let (facing, leaving) = (normal.dot(ray), -ray.dot(window.inward));
            if facing > 0.0 && leaving > 0.0 {
                let amount = facing * leaving * window.strength / (0.8 + 0.6 * squared);
                light += vec3(0.85, 0.93, 1.0) * (amount * (0.4 + 0.6 * open));
                highlight += shine(normal, ray, to_eye) * 0.7;
            }
        }
        (light, highlight)
    }
}

/// Blinn's highlight with an exponent of 32.
fn shine(normal: Vec3, light: Vec3, to_eye: Vec3) -> f32 {
    let half = (light + to_eye).normalize_or(normal);
    let mut power = normal.dot(half).max(0.0);
    for _ in 0..5 {
        power *= power;
    }
    power
}

/// A point well inside the outline: its middle, or for an L the middle of its roomier part.
fn middle_of(outline: &[Vec2]) -> Option<Vec2> {
    let (low, high) = polygon::bounds(outline);
    let mut best: Option<(f32, Vec2)> = None;
    for i in 1..8 {
        for j in 1..8 {
            let p = low + (high - low) * vec2(i as f32 / 8.0, j as f32 / 8.0);
            if polygon::contains(outline, p) {
                let room = polygon::distance_to_edges(outline, p);
                if best.is_none_or(|(r, _)| room > r + 1e-4) {
                    best = Some((room, p));
                }
            }
        }
    }
    best.map(|(_, p)| p)
}

/// Soft shadow over a flat panel of the room: how open each place is to its surroundings and to the lamp.
#[derive(Debug, Clone)]
pub struct ShadowMap {
    columns: usize,
    rows: usize,
    cell: Vec2,
    open_and_lit: Vec<[f32; 2]>,
}

/// How far things darken what is beside them, metres.
const CONTACT: f32 = 0.22;
/// Grid spacing of shadow maps, metres.
const CELL: f32 = 0.1;

impl ShadowMap {
    /// The map of a panel that starts at `origin` and runs along the first two columns of `axes`.
    /// Only objects that come close enough to matter are looked at.
    pub fn new(origin: Vec3, axes: Mat3, size: Vec2, lights: &Lights, casters: &[Caster]) -> Self {
        let columns = ((size.x / CELL) as usize + 2).min(160);
        let rows = ((size.y / CELL) as usize + 2).min(160);
        let cell = vec2(size.x / (columns - 1) as f32, size.y / (rows - 1) as f32);
        let normal = axes.z_axis;
        let mut open_and_lit = vec![[1.0, 1.0]; columns * rows];
        for caster in casters {
            let center = caster.bounds.center - origin;
            let reach = caster.reach;
            let height = center.dot(normal);
            if height > 2.6 {
                continue;
            }
            let middle = vec2(center.dot(axes.x_axis), center.dot(axes.y_axis));
            // Shadows lean away from the lamp: look further on that side.
            let lamp = lights.lamp - caster.bounds.center;
            let lean = vec2(lamp.dot(axes.x_axis), lamp.dot(axes.y_axis)) / lamp.dot(normal).max(0.4);
            let shadow = middle - lean * height.max(0.0);
            let low = (middle.min(shadow) - reach - 0.4) / cell;
            let high = (middle.max(shadow) + reach + 0.4) / cell;
            let span = |low: f32, high: f32, count: usize| {
                (low.clamp(0.0, count as f32) as usize)
                    ..((high.clamp(-1.0, count as f32 - 1.0) + 1.0) as usize)
            };
            for row in span(low.y, high.y, rows) {
                for column in span(low.x, high.x, columns) {
                    let on_panel = vec2(column as f32, row as f32) * cell;
                    let p = origin + axes.x_axis * on_panel.x + axes.y_axis * on_panel.y + normal * 0.02;
                    let [open, lit] = &mut open_and_lit[row * columns + column];
                    let away = caster.distance(p);
                    *open *= 1.0
                        - 0.5 * caster.density * (1.0 - away / 0.35).max(0.0) * (1.0 - away / 0.35).max(0.0);
                    if caster.blocks(p, lights.lamp) {
                        *lit *= 1.0 - 0.75 * caster.density;
                    }
                }
            }
        }
        Self { columns, rows, cell, open_and_lit }
    }

    /// Extent of the panel, metres.
    pub fn size(&self) -> Vec2 {
        vec2((self.columns - 1) as f32, (self.rows - 1) as f32) * self.cell
    }

    /// `[open, lit]` at a place on the panel, metres from its origin.
    pub fn at(&self, place: Vec2) -> [f32; 2] {
        let p = (place / self.cell).max(Vec2::ZERO);
        let (column, row) = ((p.x as usize).min(self.columns - 2), (p.y as usize).min(self.rows - 2));
        let t = (p - vec2(column as f32, row as f32)).min(Vec2::ONE);
        let get = |dx: usize, dy: usize| self.open_and_lit[(row + dy) * self.columns + column + dx];
        let (a, b, c, d) = (get(0, 0), get(1, 0), get(0, 1), get(1, 1));
        std::array::from_fn(|i| {
            let (low, high) = (a[i] + (b[i] - a[i]) * t.x, c[i] + (d[i] - c[i]) * t.x);
            low + (high - low) * t.y
        })
    }
}

/// An object as far as shadows go.
#[derive(Debug, Clone)]
pub struct Caster {
    bounds: OrientedBox,
    to_local: Mat3,
    reach: f32,
    /// How much of its box is solid, 0..=1.
    density: f32,
}

impl Caster {
    pub fn new(bounds: OrientedBox, density: f32) -> Self {
        Self { to_local: bounds.axes().transpose(), reach: bounds.half_extents.length(), bounds, density }
    }

    fn distance(&self, point: Vec3) -> f32 {
        let local = (self.to_local * (point - self.bounds.center)).abs();
        (local - self.bounds.half_extents).max(Vec3::ZERO).length()
    }

    /// How much of the surroundings is left open for a face that looks along `normal`, 0..=1: things close by
    /// in front of it take light away.
    pub fn openness(&self, point: Vec3, normal: Vec3) -> f32 {
        let local = self.to_local * (point - self.bounds.center);
        let half = self.bounds.half_extents;
        let nearest = local.clamp(-half, half);
        let away = nearest - local;
        let distance = away.length();
        if distance >= CONTACT {
            return 1.0;
        }
        let facing = if distance > 1e-4 { (self.to_local * normal).dot(away) / distance } else { 0.0 };
        let near = 1.0 - distance / CONTACT;
        1.0 - 0.55 * self.density * near * near * (0.25 + 0.75 * facing).max(0.0)
    }

    /// Whether the two come close enough to darken one another.
    pub fn touches(&self, other: &Self) -> bool {
        let ((a, b), (c, d)) = (self.bounds.world_bounds(), other.bounds.world_bounds());
        (a - CONTACT).cmple(d).all() && (c - CONTACT).cmple(b).all()
    }

    fn blocks(&self, from: Vec3, to: Vec3) -> bool {
        let start = self.to_local * (from - self.bounds.center);
        let delta = self.to_local * (to - from);
        let (mut enter, mut leave) = (0.0_f32, 1.0_f32);
        for axis in 0..3 {
            let (s, d, half) = (start[axis], delta[axis], self.bounds.half_extents[axis]);
            if d.abs() < 1e-9 {
                if s.abs() > half {
                    return false;
                }
                continue;
            }
            let (t0, t1) = ((-half - s) / d, (half - s) / d);
            enter = enter.max(t0.min(t1));
            leave = leave.min(t0.max(t1));
        }
        enter < leave
    }
}
