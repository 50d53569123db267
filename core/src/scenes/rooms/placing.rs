//! Finding places: nothing overlaps, nothing leaves the room, doors and windows stay free.

use crate::geometry::{Footprint, OrientedBox, polygon};
use crate::scenes::catalogue::{Category, Placement, category};
use crate::scenes::{Dice, Object, Room};
use glam::{Mat3, Quat, Vec2, Vec3, vec2, vec3};

/// Gap between things and to walls, metres.
const GAP: f32 = 0.02;
/// Places tried before giving up.
const TRIES: u32 = 40;

/// A room being furnished.
#[derive(Debug)]
pub struct Placer<'a> {
    room: &'a Room,
    pub dice: &'a mut Dice,
    pub objects: Vec<Object>,
    /// Space to keep free: before doors and windows.
    reserved: Vec<Footprint>,
    /// See [`super::RoomOptions::size_spread`].
    size_spread: f32,
}

/// A place on a wall: a point at its foot, the direction along it and the one into the room.
#[derive(Debug, Clone, Copy)]
struct WallSpot {
    foot: Vec2,
    inward: Vec2,
}

impl<'a> Placer<'a> {
    pub fn new(room: &'a Room, dice: &'a mut Dice, size_spread: f32) -> Self {
        Self { room, dice, objects: Vec::new(), reserved: Vec::new(), size_spread }
    }

    /// A size for a thing of this category, metres.
    pub fn draw_size(&mut self, kind: &Category) -> Vec3 {
        let size = kind.draw_size(self.dice);
        let fixed = matches!(kind.placement, Placement::OnWall { .. } | Placement::Ceiling);
        if self.size_spread <= 0.0 || fixed {
            return size;
        }
        let scaled = size * self.dice.between(1.0 - self.size_spread, 1.0 + self.size_spread);
        // Tall things still fit under the ceiling.
        scaled.min(Vec3::new(f32::INFINITY, f32::INFINITY, (self.room.height - 0.15).max(size.z)))
    }

    /// Number of objects beside doors and windows.
    pub fn furniture(&self) -> usize {
        self.objects.iter().filter(|o| !matches!(o.category.as_str(), "door" | "window")).count()
    }

    /// Keeps the space before a door free, or that before a window free of tall things.
    pub fn reserve(&mut self, index: usize, depth: f32, z: [f32; 2]) {
        let f = self.objects[index].bounds.footprint();
        let inward = -self.back(index);
        let center = f.center + inward * (depth * 0.5);
        let across = inward.perp();
        let half = vec2(
            f.half.dot(vec2(f.along.dot(across).abs(), f.along.perp().dot(across).abs())),
            depth * 0.5 + 0.05,
        );
        self.reserved.push(Footprint { center, along: across, half, z });
    }

    /// Direction of an object's back on the floor.
    pub fn back(&self, index: usize) -> Vec2 {
        self.objects[index].bounds.axes().y_axis.truncate().normalize_or(Vec2::Y)
    }

    /// Puts a thing where its category says; `None` when there is no room.
    pub fn place(&mut self, name: &str) -> Option<usize> {
        let kind = category(name)?;
        let size = self.draw_size(kind);
        match kind.placement {
            Placement::AgainstWall => self.against_wall(name, size),
            Placement::Floor => self.anywhere(name, size),
            Placement::OnWall { bottom: [low, high] } => {
                let bottom = self.dice.between(low, high);
                self.on_wall(name, size, bottom)
            }
            Placement::OnTop => None,
            Placement::Ceiling => {
                let middle = self.free_point();
                let z = self.room.height - size.z * 0.5;
                self.try_add(name, size, middle.extend(z), Vec2::Y, None)
            }
        }
    }

    /// On the floor with its back to a wall.
    pub fn against_wall(&mut self, name: &str, size: Vec3) -> Option<usize> {
        (0..TRIES).find_map(|_| {
            let spot = self.wall_spot(size.x)?;
            let center = spot.foot + spot.inward * (size.y * 0.5 + GAP);
            self.try_add(name, size, center.extend(size.z * 0.5), -spot.inward, None)
        })
    }

    /// On the floor in a corner, turned a little.
    pub fn in_corner(&mut self, name: &str, size: Vec3) -> Option<usize> {
        (0..TRIES).find_map(|_| {
            let corners = &self.room.outline;
            let at = self.dice.index(corners.len());
            let (before, corner) = (corners[(at + corners.len() - 1) % corners.len()], corners[at]);
            let after = corners[(at + 1) % corners.len()];
            let inward = (before - corner).normalize_or(Vec2::X) + (after - corner).normalize_or(Vec2::Y);
            let away = size.truncate().max_element() * 0.5 + GAP + self.dice.between(0.02, 0.15);
            self.try_add(name, size, (corner + inward * away).extend(size.z * 0.5), -inward, None)
        })
    }

    /// On the floor, anywhere, in any direction.
    pub fn anywhere(&mut self, name: &str, size: Vec3) -> Option<usize> {
        (0..TRIES).find_map(|_| {
            let place = self.free_point();
            let turn = if self.dice.chance(0.5) {
                *self.dice.pick(&[Vec2::X, Vec2::Y, Vec2::NEG_X, Vec2::NEG_Y])?
            } else {
                let angle = self.dice.between(0.0, std::f32::consts::TAU);
                vec2(libm::cosf(angle), libm::sinf(angle))
            };
            self.try_add(name, size, place.extend(size.z * 0.5), turn, None)
        })
    }

    /// On a wall, its lower edge at this height.
    pub fn on_wall(&mut self, name: &str, size: Vec3, bottom: f32) -> Option<usize> {
        if bottom + size.z > self.room.height - 0.03 {
            return None;
        }
        (0..TRIES).find_map(|_| {
            let spot = self.wall_spot(size.x)?;
            let center = spot.foot + spot.inward * (size.y * 0.5);
            self.try_add(name, size, center.extend(bottom + size.z * 0.5), -spot.inward, None)
        })
    }

    /// On the wall that an object stands against, above it or before a window, at this height.
    pub fn on_wall_at(
        &mut self,
        anchor: usize,
        name: &str,
        size: Vec3,
        bottom: f32,
        shift: f32,
    ) -> Option<usize> {
        if bottom + size.z > self.room.height - 0.03 {
            return None;
        }
        let bounds = self.objects[anchor].bounds;
        let back = self.back(anchor);
        let foot = self.wall_behind(bounds.center.truncate(), back)?;
        let center = foot - back * (size.y * 0.5) + back.perp() * shift;
        self.try_add(name, size, center.extend(bottom + size.z * 0.5), back, None)
    }

    /// Before something on a wall, standing on the floor, `gap` metres from it.
    pub fn before(&mut self, anchor: usize, name: &str, size: Vec3, gap: f32) -> Option<usize> {
        let half = self.objects[anchor].bounds.half_extents;
        let back = self.back(anchor);
        let center = self.objects[anchor].bounds.center.truncate() - back * (half.y + size.y * 0.5 + gap);
        self.try_add(name, size, center.extend(size.z * 0.5 + 0.02), back, None)
    }

    /// Against the wall that an object looks at, as nearly opposite as there is room; else against any wall.
    pub fn opposite(&mut self, anchor: usize, name: &str, size: Vec3) -> Option<usize> {
        let from = self.objects[anchor].bounds.center.truncate();
        let front = -self.back(anchor);
        let facing = (0..12).find_map(|i| {
            let shift = front.perp() * (0.25 * ((i + 1) / 2) as f32 * if i % 2 == 0 { 1.0 } else { -1.0 });
            let foot = self.wall_behind(from + shift, front)?;
            let center = foot - front * (size.y * 0.5 + GAP);
            self.try_add(name, size, center.extend(size.z * 0.5), front, None)
        });
        facing.or_else(|| self.against_wall(name, size))
    }

    /// On the floor, square to the walls, with this much space around, metres.
    pub fn anywhere_straight(&mut self, name: &str, size: Vec3, around: f32) -> Option<usize> {
        (0..TRIES).find_map(|_| {
            let place = self.free_point();
            let turn = *self.dice.pick(&[Vec2::X, Vec2::Y])?;
            // A larger copy is tried first, then taken out again.
            let space = size + vec3(around, around, 0.0) * 2.0;
            self.try_add(name, space, place.extend(size.z * 0.5), turn, None)?;
            self.objects.pop();
            self.try_add(name, size, place.extend(size.z * 0.5), turn, None)
        })
    }

    /// On the floor, seen from an object's middle at `offset` (x to its right, y to its back), its back
    /// turned by `turn` radians from the object's.
    pub fn near(&mut self, anchor: usize, name: &str, size: Vec3, offset: Vec2, turn: f32) -> Option<usize> {
        let back = self.back(anchor);
        let right = -back.perp();
        let center = self.objects[anchor].bounds.center.truncate() + right * offset.x + back * offset.y;
        let (sin, cos) = (libm::sinf(turn), libm::cosf(turn));
        let turned = vec2(back.x * cos - back.y * sin, back.x * sin + back.y * cos);
        self.try_add(name, size, center.extend(size.z * 0.5), turned, None)
    }

    /// Beside an object, at the same wall: on its left (-1) or right (+1), `gap` metres away.
    pub fn beside(&mut self, anchor: usize, name: &str, side: f32, gap: f32) -> Option<usize> {
        let size = self.draw_size(category(name)?);
        let half = self.objects[anchor].bounds.half_extents;
        let offset = vec2(side * (half.x + size.x * 0.5 + gap), half.y - size.y * 0.5);
        self.near(anchor, name, size, offset, 0.0)
    }

    /// On the surface of an object at `spot` (fractions -1..=1 of the surface to the right and to the back),
    /// turned by `turn` radians.
    pub fn on_top(&mut self, anchor: usize, name: &str, size: Vec3, spot: Vec2, turn: f32) -> Option<usize> {
        let object = &self.objects[anchor];
        let surface = category(&object.category)?.surface?;
        let (bounds, id) = (object.bounds, object.id);
        let height = bounds.center.z - bounds.half_extents.z + surface(bounds.size());
        let free = bounds.half_extents.truncate() - self.turned_half(size, turn) - 0.01;
        if free.min_element() < 0.0 {
            return None;
        }
        let back = self.back(anchor);
        let local = free * spot;
        let center = bounds.center.truncate() - back.perp() * local.x + back * local.y;
        let (sin, cos) = (libm::sinf(turn), libm::cosf(turn));
        let turned = vec2(back.x * cos - back.y * sin, back.x * sin + back.y * cos);
        self.try_add(name, size, center.extend(height + size.z * 0.5), turned, Some(id))
    }

    /// Half the width and depth of what a thing covers when turned.
    fn turned_half(&self, size: Vec3, turn: f32) -> Vec2 {
        let (sin, cos) = (libm::sinf(turn).abs(), libm::cosf(turn).abs());
        vec2(size.x * cos + size.y * sin, size.x * sin + size.y * cos) * 0.5
    }

    fn free_point(&mut self) -> Vec2 {
        let (low, high) = polygon::bounds(&self.room.outline);
        vec2(self.dice.between(low.x, high.x), self.dice.between(low.y, high.y))
    }

    /// A place on a wall with room for this width, longer walls more often.
    fn wall_spot(&mut self, width: f32) -> Option<WallSpot> {
        let walls: Vec<(Vec2, Vec2)> =
            polygon::edges(&self.room.outline).filter(|(a, b)| a.distance(*b) > width + 2.0 * GAP).collect();
        let total: f32 = walls.iter().map(|(a, b)| a.distance(*b)).sum();
        let mut along = self.dice.between(0.0, total);
        for (a, b) in walls {
            let length = a.distance(b);
            if along < length {
                let direction = (b - a) / length;
                let margin = width * 0.5 + GAP;
                // Things like to stand in corners.
                let t = match self.dice.index(5) {
                    0 => margin,
                    1 => length - margin,
                    _ => self.dice.between(margin, length - margin),
                };
                return Some(WallSpot { foot: a + direction * t, inward: direction.perp() });
            }
            along -= length;
        }
        None
    }

    /// Where the line from a place in this direction meets the wall.
    fn wall_behind(&self, from: Vec2, direction: Vec2) -> Option<Vec2> {
        polygon::edges(&self.room.outline)
            .filter_map(|(a, b)| {
                let edge = b - a;
                let denominator = direction.perp_dot(edge);
                if denominator.abs() < 1e-6 {
                    return None;
                }
                let t = (a - from).perp_dot(edge) / denominator;
                let s = (a - from).perp_dot(direction) / denominator;
                (t >= 0.0 && (0.0..=1.0).contains(&s)).then_some(t)
            })
            .min_by(f32::total_cmp)
            .map(|t| from + direction * t)
    }

    /// Adds the object if its place is free. `back` is the direction of its back on the floor.
    fn try_add(
        &mut self,
        name: &str,
        size: Vec3,
        center: Vec3,
        back: Vec2,
        support: Option<u16>,
    ) -> Option<usize> {
        let bounds = OrientedBox { center, half_extents: size * 0.5, rotation: facing(back) };
        let footprint = bounds.footprint();
        let hung = matches!(category(name)?.placement, Placement::OnWall { .. } | Placement::Ceiling);
        let margin = if hung { -2e-3 } else { GAP * 0.5 };
        if !footprint.grown(margin).inside(&self.room.outline) {
            return None;
        }
        let spaced = footprint.grown(if support.is_some() { 0.004 } else { GAP * 0.5 });
        let taken =
            self.objects.iter().any(|o| Some(o.id) != support && spaced.collides(&o.bounds.footprint()));
        let blocked =
            support.is_none() && name != "curtain" && self.reserved.iter().any(|r| footprint.collides(r));
        if taken || blocked {
            return None;
        }
        let id = u16::try_from(self.objects.len() + 1).ok()?;
        let style = self.dice.seed();
        self.objects.push(Object { id, category: name.to_owned(), bounds, support, style });
        Some(self.objects.len() - 1)
    }
}

/// The rotation of a thing whose back looks in this direction.
fn facing(back: Vec2) -> Quat {
    let y = back.normalize_or(Vec2::Y);
    Quat::from_mat3(&Mat3::from_cols((-y.perp()).extend(0.0), y.extend(0.0), vec3(0.0, 0.0, 1.0)))
}
