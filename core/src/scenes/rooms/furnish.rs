//! Putting the pieces of each kind of room in their places, group by group.

use super::placing::Placer;
use super::{RoomKind, RoomOptions};
use crate::scenes::catalogue::{Placement, category};
use crate::scenes::{Dice, Object, Room};
use glam::{Vec2, Vec3, vec2, vec3};

/// Door, window, the main group of the room's kind, then whatever else fits, up to a drawn number of pieces.
pub fn furnish(room: &Room, kind: RoomKind, options: &RoomOptions, dice: &mut Dice) -> Vec<Object> {
    let fewest = options.min_objects.min(options.max_objects);
    // Towards fuller rooms: empty ones have little to ask about.
    let wanted = dice.count(fewest, options.max_objects).max(dice.count(fewest, options.max_objects));
    let mut f = Furnisher { placer: Placer::new(room, dice, options.size_spread), wanted: wanted as usize };
    f.openings(kind);
    match kind {
        RoomKind::Bedroom => f.bed_group(),
        RoomKind::LivingRoom => f.sofa_group(),
        RoomKind::Office => f.desk_group(),
        RoomKind::Kitchen => f.kitchen_group(),
        RoomKind::Bathroom => f.bathroom_group(),
        RoomKind::MeetingRoom => f.meeting_group(),
        RoomKind::Hallway => {}
    }
    // No throw where nothing repeats: such rooms stay what they were.
    if options.repeats > 0.0 && f.placer.dice.chance(options.repeats) {
        f.repeat(kind);
    }
    f.extras(kind);
    f.placer.objects
}

/// A room that fills up to a number of pieces.
pub(super) struct Furnisher<'a> {
    pub(super) placer: Placer<'a>,
    wanted: usize,
}

impl Furnisher<'_> {
    pub(super) fn full(&self) -> bool {
        self.placer.furniture() >= self.wanted
    }

    pub(super) fn size(&mut self, name: &str) -> Vec3 {
        category(name).map_or(Vec3::splat(0.4), |c| self.placer.draw_size(c))
    }

    pub(super) fn chance(&mut self, probability: f32) -> bool {
        !self.full() && self.placer.dice.chance(probability)
    }

    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        self.placer.dice.between(low, high)
    }

    fn openings(&mut self, kind: RoomKind) {
        let doors = if kind == RoomKind::Hallway { 2 } else { 1 };
        for _ in 0..doors {
            if let Some(door) = self.placer.place("door") {
                self.placer.reserve(door, 0.9, [0.0, 2.3]);
            }
        }
        let windows = 1 + u32::from(kind != RoomKind::Bathroom && self.placer.dice.chance(0.35));
        for i in 0..windows {
            let mut size = self.size("window");
            let mut bottom = self.between(0.85, 1.0);
            let mut placed = self.placer.on_wall("window", size, bottom);
            if placed.is_none() && i == 0 {
                // A narrow room: a small window, higher up.
                size = vec3(0.7, size.y, 0.8);
                bottom = 1.3;
                placed = self.placer.on_wall("window", size, bottom);
            }
            let Some(window) = placed else { continue };
            if kind != RoomKind::Bathroom && self.placer.dice.chance(0.3) {
                self.curtain(window, size, bottom);
            }
            self.placer.reserve(window, 0.4, [bottom + 0.12, bottom + size.z]);
        }
    }

    /// Before the window; as wide as the window and a bit, down to the floor.
    fn curtain(&mut self, window: usize, size: Vec3, bottom: f32) {
        let height = bottom + size.z + 0.08;
        let depth = self.between(0.1, 0.14);
        let drape = vec3(size.x + self.placer.dice.between(0.3, 0.6), depth, height);
        self.placer.before(window, "curtain", drape, 0.04);
    }

    /// Adds 2 to 8 of one kind of thing, as far as they fit. They take no place from other pieces.
    fn repeat(&mut self, kind: RoomKind) {
        let Some(&name) = self.placer.dice.pick(kind.repeated()) else {
            return;
        };
        let before = self.placer.furniture();
        for _ in 0..self.placer.dice.count(2, 8) {
            match category(name).map(|kind| kind.placement) {
                Some(Placement::OnTop) => self.somewhere_on_top(name),
                _ => {
                    self.placer.place(name);
                }
            }
        }
        self.wanted += self.placer.furniture() - before;
    }

    /// On any piece that carries things.
    fn somewhere_on_top(&mut self, name: &str) {
        let carriers: Vec<usize> = (0..self.placer.objects.len())
            .filter(|&at| carries(&self.placer.objects[at].category, name))
            .collect();
        for _ in 0..8 {
            let Some(&on) = self.placer.dice.pick(&carriers) else {
                return;
            };
            let (spot, turn) =
                (vec2(self.between(-0.9, 0.9), self.between(-0.9, 0.9)), self.between(-0.2, 0.2));
            let size = self.size(name);
            if self.placer.on_top(on, name, size, spot, turn).is_some() {
                return;
            }
        }
    }

    /// Fills up with what is found in such rooms, at most two of a kind.
    fn extras(&mut self, kind: RoomKind) {
        let mut names = kind.extras().to_vec();
        self.placer.dice.shuffle(&mut names);
        for round in 0..2 {
            for &name in &names {
                if self.full() {
                    return;
                }
                let present = self.placer.objects.iter().filter(|o| o.category == name).count();
                let again = matches!(name, "chair" | "picture" | "plant" | "box" | "bookshelf" | "armchair");
                if present > 0 && !(again && (round > 0 || self.placer.dice.chance(0.3))) {
                    continue;
                }
                self.extra(name);
            }
        }
    }

    fn extra(&mut self, name: &str) {
        match name {
            "desk" => self.desk(),
            "table" => self.dining(2),
            "lamp" => {
                let size = vec3(0.4, 0.4, self.between(1.4, 1.75));
                self.placer.in_corner("lamp", size);
            }
            "plant" => {
                let size = self.size("plant");
                self.placer.in_corner("plant", size);
            }
            "printer" => {
                if let Some(stand) = self.placer.place("file cabinet") {
                    let size = self
                        .size("printer")
                        .min(self.placer.objects[stand].bounds.size() - 0.03)
                        .max(Vec3::splat(0.26));
                    if !self.full() {
                        self.placer.on_top(stand, "printer", size, Vec2::ZERO, 0.0);
                    }
                }
            }
            "radiator" => {
                // Under the window where it fits.
                let (size, bottom) = (self.size("radiator"), self.between(0.1, 0.15));
                let window = self.placer.objects.iter().position(|o| o.category == "window");
                let placed = window.and_then(|w| self.placer.on_wall_at(w, "radiator", size, bottom, 0.0));
                if placed.is_none() {
                    self.placer.on_wall("radiator", size, bottom);
                }
            }
            "curtain" => {
                let window = self.placer.objects.iter().position(|o| o.category == "window");
                if let Some(window) = window {
                    let bounds = self.placer.objects[window].bounds;
                    self.curtain(window, bounds.size(), bounds.center.z - bounds.half_extents.z);
                }
            }
            "armchair" => {
                let size = self.size("armchair");
                self.placer.in_corner("armchair", size);
            }
            "cabinet" | "dresser" => {
                if let Some(on) = self.placer.place(name) {
                    self.dress(on);
                }
            }
            "backpack" | "trash can" | "suitcase" | "box" | "basket" | "shoes" | "crate" | "bucket" => {
                // Mostly out of the way, along a wall.
                let size = self.size(name);
                if self.placer.dice.chance(0.75) {
                    self.placer.against_wall(name, size);
                } else {
                    self.placer.anywhere(name, size);
                }
            }
            _ => {
                self.placer.place(name);
            }
        }
    }
}

/// Whether things of one category are usually found on those of another.
fn carries(below: &str, name: &str) -> bool {
    match name {
        "pillow" => matches!(below, "bed" | "sofa" | "armchair"),
        _ => matches!(below, "desk" | "table" | "counter" | "coffee table"),
    }
}
