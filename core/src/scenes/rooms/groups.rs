//! The main pieces of each kind of room, with what belongs to them.

use super::furnish::Furnisher;
use glam::{Vec2, Vec3, vec2, vec3};
use std::f32::consts::PI;

impl Furnisher<'_> {
    pub(super) fn bed_group(&mut self) {
        let size = self.size("bed");
        let Some(bed) = self.placer.against_wall("bed", size) else {
            return;
        };
        let wide = size.x > 1.35;
        for x in if wide { vec![-0.55, 0.55] } else { vec![0.0] } {
            if self.chance(0.85) {
                let pillow = self.size("pillow");
                let turn = self.between(-0.12, 0.12);
                self.placer.on_top(bed, "pillow", pillow, vec2(x, 0.86), turn);
            }
        }
        let mut stand = None;
        for side in if self.placer.dice.chance(0.5) { [-1.0, 1.0] } else { [1.0, -1.0] } {
            if self.chance(if wide { 0.75 } else { 0.55 }) {
                let placed = self.placer.beside(bed, "nightstand", side, 0.05);
                if let Some(on) = placed {
                    let roll = self.placer.dice.index(10);
                    if !self.full() {
                        match roll {
                            0..6 => self.top(on, "lamp", vec2(0.0, 0.4)),
                            6 => self.top(on, "telephone", vec2(0.0, 0.0)),
                            7 => self.top(on, "book", vec2(0.2, -0.3)),
                            _ => {}
                        }
                    }
                    stand = placed;
                }
            }
        }
        if stand.is_none() && self.chance(0.3) {
            self.placer.place("nightstand");
        }
        if self.chance(0.3) {
            let (size, bottom) = (self.size("picture"), self.between(1.4, 1.6));
            self.placer.on_wall_at(bed, "picture", size, bottom, 0.0);
        }
        if self.chance(0.12) {
            let blanket = self.size("blanket");
            self.placer.on_top(bed, "blanket", blanket, vec2(0.4, -0.7), 0.2);
        }
        if self.chance(0.55)
            && let Some(dresser) = self.placer.place("dresser")
        {
            self.dress(dresser);
        }
        if self.chance(0.5) {
            self.placer.place("wardrobe");
        }
    }

    /// Something on a low cupboard, or above it.
    pub(super) fn dress(&mut self, on: usize) {
        match self.placer.dice.index(4) {
            0 if !self.full() => self.top(on, "tv", vec2(0.0, 0.3)),
            1 if !self.full() => {
                let size = self.size("mirror");
                let top = self.placer.objects[on].bounds.size().z + 0.08;
                self.placer.on_wall_at(on, "mirror", size, top.max(1.0), 0.0);
            }
            2 if !self.full() => self.top(on, "lamp", vec2(-0.7, 0.0)),
            _ => {}
        }
    }

    pub(super) fn top(&mut self, on: usize, name: &str, spot: Vec2) {
        let size = self.size(name);
        self.placer.on_top(on, name, size, spot, 0.0);
    }

    pub(super) fn sofa_group(&mut self) {
        let size = self.size("sofa");
        let Some(sofa) = self.placer.against_wall("sofa", size) else {
            return;
        };
        if self.chance(0.75) {
            let table = self.size("coffee table");
            let away = self.between(0.28, 0.45);
            let offset = vec2(0.0, -(size.y + table.y) * 0.5 - away);
            let placed = self.placer.near(sofa, "coffee table", table, offset, 0.0);
            if let Some(table) = placed {
                for (name, spot, chance) in [
                    ("book", vec2(-0.5, 0.2), 0.3),
                    ("bowl", vec2(0.1, 0.0), 0.25),
                    ("cup", vec2(0.7, -0.3), 0.2),
                    ("laptop", vec2(0.4, 0.3), 0.15),
                ] {
                    if self.chance(chance) {
                        self.top(table, name, spot);
                    }
                }
            }
        }
        for x in [-0.75, 0.75] {
            if self.chance(0.4) {
                let pillow = self.size("pillow") * vec3(0.8, 0.9, 1.0);
                self.placer.on_top(sofa, "pillow", pillow, vec2(x * 0.8, -0.1), 0.0);
            }
        }
        // The television stands on a low cupboard opposite.
        if self.chance(0.75) {
            let tv = self.size("tv");
            let stand = vec3(tv.x.max(1.0) + 0.25, self.between(0.38, 0.46), self.between(0.45, 0.6));
            if let Some(stand) = self.placer.opposite(sofa, "cabinet", stand) {
                self.placer.on_top(stand, "tv", tv, vec2(0.0, 0.2), 0.0);
            }
        }
        if self.chance(0.45) {
            let side = if self.placer.dice.chance(0.5) { 1.0 } else { -1.0 };
            let lamp = vec3(0.4, 0.4, self.between(1.4, 1.75));
            let offset = vec2(side * (size.x * 0.5 + 0.3), size.y * 0.5 - 0.25);
            self.placer.near(sofa, "lamp", lamp, offset, 0.0);
        }
        if self.chance(0.5) {
            let (picture, bottom) = (self.size("picture"), self.between(1.35, 1.55));
            self.placer.on_wall_at(sofa, "picture", picture, bottom, 0.0);
        }
        if self.chance(0.4) {
            let chair = self.size("armchair");
            let side = if self.placer.dice.chance(0.5) { 1.0 } else { -1.0 };
            let turn = side * self.between(0.9, 1.4);
            let offset = vec2(side * (size.x * 0.5 + 0.45), -size.y * 0.5 - 0.9);
            self.placer.near(sofa, "armchair", chair, offset, -turn);
        }
    }

    pub(super) fn desk_group(&mut self) {
        let desks = 1 + u32::from(self.placer.dice.chance(0.45));
        for _ in 0..desks {
            if !self.full() {
                self.desk();
            }
        }
    }

    pub(super) fn desk(&mut self) {
        let size = self.size("desk");
        let Some(desk) = self.placer.against_wall("desk", size) else {
            return;
        };
        if self.chance(0.92) {
            let chair = self.size("chair");
            let (aside, away) = (self.between(-0.15, 0.15), self.between(0.06, 0.35));
            let turn = PI + self.between(-0.5, 0.5);
            let offset = vec2(aside * size.x, -(size.y + chair.y) * 0.5 - away);
            self.placer.near(desk, "chair", chair, offset, turn);
        }
        let laptop = self.placer.dice.chance(0.25);
        if laptop {
            if self.chance(0.9) {
                let (size, turn) = (self.size("laptop"), self.between(-0.2, 0.2));
                self.placer.on_top(desk, "laptop", size, vec2(0.0, -0.2), turn);
            }
        } else {
            if self.chance(0.9) {
                let (size, turn) = (self.size("monitor"), self.between(-0.12, 0.12));
                self.placer.on_top(desk, "monitor", size, vec2(0.0, 0.75), turn);
            }
            if self.chance(0.7) {
                self.top(desk, "keyboard", vec2(0.0, -0.45));
            }
            if self.chance(0.3) {
                self.top(desk, "computer mouse", vec2(0.42, -0.45));
            }
        }
        let side = if self.placer.dice.chance(0.5) { 1.0 } else { -1.0 };
        for (name, spot, chance) in [
            ("lamp", vec2(-side * 0.95, 0.8), 0.3),
            ("telephone", vec2(side * 0.85, 0.1), 0.35),
            ("book", vec2(-side * 0.8, -0.5), 0.2),
            ("cup", vec2(side * 0.6, -0.7), 0.2),
        ] {
            if self.chance(chance) {
                self.top(desk, name, spot);
            }
        }
        if self.chance(0.25) {
            self.placer.beside(desk, "trash can", side, 0.05);
        }
        if self.chance(0.2) {
            self.placer.beside(desk, "computer tower", -side, 0.04);
        }
    }

    pub(super) fn kitchen_group(&mut self) {
        let size = self.size("counter");
        let Some(counter) = self.placer.against_wall("counter", size) else {
            return;
        };
        let side = if self.placer.dice.chance(0.5) { 1.0 } else { -1.0 };
        if self.chance(0.85) {
            let basin = vec3(self.between(0.45, 0.58), self.between(0.40, 0.48), self.between(0.28, 0.34));
            self.placer.on_top(counter, "sink", basin, vec2(-side * 0.2, 0.0), 0.0);
        }
        let mut stove = None;
        if self.chance(0.9) {
            stove = self
                .placer
                .beside(counter, "stove", side, 0.025)
                .or_else(|| self.placer.beside(counter, "stove", -side, 0.025))
                .or_else(|| self.placer.place("stove"));
        }
        if self.chance(0.85) {
            let placed = self.placer.beside(counter, "refrigerator", -side, 0.04);
            if placed.is_none() {
                self.placer.place("refrigerator");
            }
        }
        if let Some(stove) = stove
            && self.chance(0.3)
        {
            self.placer.beside(stove, "dishwasher", side, 0.025);
        }
        for (name, spot, chance) in [
            ("microwave", vec2(side * 0.95, 0.6), 0.65),
            ("kettle", vec2(-side * 0.95, 0.3), 0.4),
            ("bowl", vec2(side * 0.4, -0.4), 0.2),
            ("cup", vec2(-side * 0.75, -0.5), 0.15),
            ("pan", vec2(side * 0.3, 0.5), 0.15),
        ] {
            if self.chance(chance) {
                self.top(counter, name, spot);
            }
        }
        if self.chance(0.35) {
            let size = vec3(self.between(0.8, 1.4), self.between(0.32, 0.38), self.between(0.55, 0.75));
            self.placer.on_wall_at(counter, "cabinet", size, 1.5, 0.0);
        }
        if self.chance(0.7) {
            self.dining(4);
        }
    }

    /// A table with chairs around it.
    pub(super) fn dining(&mut self, most: u32) {
        let size = self.size("table");
        let Some(table) = self.placer.anywhere_straight("table", size, 0.45) else {
            return;
        };
        let chairs = self.placer.dice.count(2, most);
        self.chairs_around(table, size, chairs);
        if self.chance(0.25) {
            self.top(table, "bowl", Vec2::ZERO);
        }
    }

    pub(super) fn chairs_around(&mut self, table: usize, size: Vec3, count: u32) {
        // (along the table's side, which side): long sides first.
        let long = if size.x > 1.25 { vec![-0.25, 0.25] } else { vec![0.0] };
        let mut seats: Vec<(Vec2, f32)> = Vec::new();
        for x in &long {
            seats.push((vec2(x * size.x, -size.y * 0.5), PI));
            seats.push((vec2(x * size.x, size.y * 0.5), 0.0));
        }
        seats.push((vec2(size.x * 0.5, 0.0), -PI * 0.5));
        seats.push((vec2(-size.x * 0.5, 0.0), PI * 0.5));
        for (edge, turn) in seats.into_iter().take(count as usize) {
            if self.full() {
                return;
            }
            let chair = self.size("chair");
            let out = self.between(0.05, 0.25) + chair.y * 0.5;
            let outward = vec2(-libm::sinf(turn), libm::cosf(turn));
            let jitter = self.between(-0.15, 0.15);
            self.placer.near(table, "chair", chair, edge + outward * out, turn + jitter);
        }
    }

    pub(super) fn bathroom_group(&mut self) {
        if self.chance(0.75) {
            let size = self.size("bathtub");
            self.placer.against_wall("bathtub", size);
        }
        if !self.full() {
            self.placer.place("toilet");
        }
        if !self.full()
            && let Some(sink) = self.placer.place("sink")
            && self.chance(0.75)
        {
            let size = self.size("mirror");
            self.placer.on_wall_at(sink, "mirror", size, 1.12, 0.0);
        }
        for (name, chance) in [("towel", 0.7), ("trash can", 0.5), ("toilet paper", 0.4)] {
            if self.chance(chance) {
                self.placer.place(name);
            }
        }
    }

    pub(super) fn meeting_group(&mut self) {
        let size = vec3(self.between(1.6, 2.4), self.between(0.9, 1.2), self.between(0.71, 0.77));
        if let Some(table) = self.placer.anywhere_straight("table", size, 0.7) {
            let chairs = self.placer.dice.count(3, 6);
            self.chairs_around(table, size, chairs);
            if self.chance(0.35) {
                self.top(table, "laptop", vec2(0.3, -0.6));
            }
            if self.chance(0.3) {
                self.top(table, "telephone", vec2(-0.1, 0.0));
            }
        }
        if self.chance(0.6) {
            self.placer.place("whiteboard");
        }
        if self.chance(0.5) {
            let tv = self.size("tv");
            let stand = vec3(tv.x + 0.2, 0.42, self.between(0.6, 0.8));
            if let Some(stand) = self.placer.against_wall("cabinet", stand) {
                self.placer.on_top(stand, "tv", tv, vec2(0.0, 0.2), 0.0);
            }
        }
    }
}
