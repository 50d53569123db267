//! What is told of the pictures: where things are seen, and where one is from another.

use super::super::Showing;
use super::{capital, metres, opening};
use crate::samples::DataType;
use crate::scenes::{Dice, Object};
use glam::{Vec2, Vec3, vec2};

/// The pictures that a thought speaks of.
#[derive(Debug, Clone, Copy)]
pub(in crate::questions::spatial) struct Telling<'a> {
    pub(super) showing: &'a Showing<'a>,
    pub(super) cameras: &'a [usize],
}

impl<'a> Telling<'a> {
    pub fn new(showing: &'a Showing<'a>, cameras: &'a [usize]) -> Self {
        Self { showing, cameras }
    }

    /// What the pictures are called. A small model has one word for all of them, that of the numbers before them.
    pub(super) fn name(&self) -> &'static str {
        if self.has_boxes() {
            return "picture";
        }
        match self.showing.data_type {
            DataType::SingleImage => "image",
            DataType::MultiView => "view",
            DataType::Video => "frame",
        }
    }

    pub(super) fn has_boxes(&self) -> bool {
        self.showing.config.spatial.boxes_in_thoughts
    }

    /// For each object the picture, by its place, that a thought speaks of; `None` where no picture has a pixel of it. The
    /// first object and as many others as possible are seen in the same one, so that where they are can be compared.
    pub(super) fn views(&self, objects: &[&Object]) -> Vec<Option<usize>> {
        let seen =
            |view: usize, object: &Object| self.showing.sights.observation(self.cameras[view], object.id);
        let clear = |view: usize, object: &Object| {
            let seen = seen(view, object).filter(|seen| seen.is_clear(self.showing.config));
            seen.map_or(0, |seen| seen.visible_pixels)
        };
        // How many it shows, and the pixels of that which it shows the least of; of equal ones the first.
        let worth = |&view: &usize| {
            let shown: Vec<u32> =
                objects.iter().map(|object| clear(view, object)).filter(|&pixels| pixels > 0).collect();
            (shown.len(), shown.iter().min().copied(), std::cmp::Reverse(view))
        };
        let shows_first = |view: &usize| objects.first().is_some_and(|first| clear(*view, first) > 0);
        let shared = (0..self.cameras.len()).filter(shows_first).max_by_key(worth);
        let best = |object: &Object| {
            let pixels = |view: usize| seen(view, object).map(|seen| seen.visible_pixels);
            let views = (0..self.cameras.len()).filter(|&view| pixels(view).is_some());
            views.max_by_key(|&view| (pixels(view), std::cmp::Reverse(view)))
        };
        let view = |object: &&Object| shared.filter(|&view| clear(view, object) > 0).or_else(|| best(object));
        objects.iter().map(view).collect()
    }

    /// Places, from 1, of the pictures with something of the object.
    pub(super) fn views_of(&self, object: &Object) -> Vec<usize> {
        let shows = |camera: usize| self.showing.sights.observation(camera, object.id).is_some();
        (0..self.cameras.len()).filter(|&i| shows(self.cameras[i])).map(|i| i + 1).collect()
    }

    /// Where the object is on the floor, for somebody who stands level where the picture was taken: metres to the right and
    /// ahead.
    fn place(&self, object: &Object, view: usize) -> Option<Vec2> {
        let pose = &self.showing.sights.scene.cameras.get(self.cameras[view])?.pose;
        let ahead = (pose.transform_point(Vec3::Z) - pose.translation).truncate().normalize_or_zero();
        let apart = (object.bounds.center - pose.translation).truncate();
        Some(vec2(apart.dot(-ahead.perp()), apart.dot(ahead)))
    }

    /// Where the second object is from the first, if both are seen in the same picture.
    pub(super) fn offset(&self, objects: [&Object; 2], views: [Option<usize>; 2]) -> Option<Offset> {
        let view = views[0].filter(|_| views[0] == views[1])?;
        let [from, to] = [self.place(objects[0], view)?, self.place(objects[1], view)?];
        let [from_halves, to_halves] = [half_meters(from), half_meters(to)];
        let halves = [to_halves[0] - from_halves[0], to_halves[1] - from_halves[1]];
        Some(Offset { metres: to - from, halves })
    }

    /// A sentence about that.
    pub(super) fn comparison(&self, [one, other]: [&Object; 2], offset: Offset) -> String {
        let (one, other) = (&one.category, &other.category);
        if self.has_boxes() {
            let [right, farther] = offset.halves;
            let depth = if farther < 0 { "closer" } else { "farther" };
            return format!("From the {one}, the {other} is {}, {} {depth}.", aside(right), farther.abs());
        }
        let Vec2 { x, y } = offset.metres;
        format!(
            "Compared with the {one}, the {other} is {} m to the {} and {} m {}.",
            metres(x.abs()),
            if x >= 0.0 { "right" } else { "left" },
            metres(y.abs()),
            if y >= 0.0 { "farther away" } else { "nearer" }
        )
    }

    /// The box of the object in one of the pictures, if thoughts give boxes: `at (12, 40, 80, 120) of picture 2`. Which of
    /// several that is stands behind it, where a small model has found the thing.
    pub(super) fn boxed(&self, object: &Object, view: usize) -> Option<String> {
        if !self.has_boxes() {
            return None;
        }
        let [x1, y1, x2, y2] = self.showing.sights.observation(self.cameras[view], object.id)?.bbox_2d();
        let place = format!("at ({x1}, {y1}, {x2}, {y2})");
        Some(match self.showing.data_type {
            DataType::SingleImage => place,
            DataType::MultiView | DataType::Video => format!("{place} of {} {}", self.name(), view + 1),
        })
    }

    /// A sentence that says where the object is seen.
    pub(super) fn sighting(&self, object: &Object, view: Option<usize>, dice: &mut Dice) -> String {
        let name = &object.category;
        let seen = |view: usize| {
            let (sights, camera) = (self.showing.sights, self.cameras[view]);
            let seen = sights.observation(camera, object.id)?;
            Some((view, seen, sights.scene.cameras.get(camera)?, self.place(object, view)?))
        };
        let Some((view, seen, camera, place)) = view.and_then(seen) else {
            return format!("The {name} is hard to see.");
        };
        if let Some(boxed) = self.boxed(object, view) {
            let [right, ahead] = half_meters(place);
            // The middle of something large can be behind the camera that sees a part of it.
            let depth = if ahead < 0 { "behind" } else { "far" };
            let place = format!("{boxed}, {} {depth}, {}.", ahead.abs(), aside(right));
            return match dice.index(2) {
                0 => format!("The {name} is {place}"),
                _ => format!("I see the {name} {place}"),
            };
        }
        let middle = (seen.pixel_box.x1 + seen.pixel_box.x2) * 0.5 / camera.intrinsics.width.max(1) as f32;
        let side = match middle {
            m if m < 0.34 => "on the left",
            m if m > 0.66 => "on the right",
            _ => "in the middle",
        };
        let far = metres(seen.camera_position.length());
        let where_ = match self.showing.data_type {
            DataType::SingleImage => format!("{side} of the image"),
            _ => format!("{side} of {} {}", self.name(), view + 1),
        };
        match dice.index(3) {
            0 => format!("The {name} is {where_}, about {far} m away."),
            1 => format!("I see the {name} {where_}, roughly {far} m from the camera."),
            _ => format!("{} is the {name}, some {far} m away.", capital(&where_)),
        }
    }

    /// The same for each of several objects.
    pub(super) fn sightings(
        &self,
        objects: &[&Object],
        views: &[Option<usize>],
        dice: &mut Dice,
    ) -> Vec<String> {
        objects.iter().zip(views).map(|(object, view)| self.sighting(object, *view, dice)).collect()
    }

    /// How a thought begins that says where things are.
    pub(super) fn start(&self, dice: &mut Dice) -> Vec<String> {
        let unit = self.has_boxes().then(|| "I count half meters.".to_owned());
        std::iter::once(opening(dice)).chain(unit).collect()
    }
}

/// From one object to another, on the floor, as a picture has it: to the right and away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offset {
    metres: Vec2,
    /// What is between the whole half meters that are told of the two.
    halves: [i32; 2],
}

impl Offset {
    /// The hour of a clock that lies on the floor with its twelve straight ahead. `None` where there is no direction.
    pub(super) fn hour(self) -> Option<i32> {
        let [right, ahead] = self.halves.map(|halves| halves as f32);
        (self.halves != [0, 0]).then(|| hour(libm::atan2f(right, ahead).to_degrees()))
    }
}

fn half_meters(place: Vec2) -> [i32; 2] {
    (place * 2.0).to_array().map(|halves| libm::roundf(halves) as i32)
}

/// `2 left`.
fn aside(halves: i32) -> String {
    format!("{} {}", halves.abs(), if halves < 0 { "left" } else { "right" })
}

/// The nearest hour of a clock, 1 to 12, to a clockwise angle from its twelve.
pub(super) fn hour(clockwise_deg: f32) -> i32 {
    match (libm::roundf(clockwise_deg / 30.0) as i32).rem_euclid(12) {
        0 => 12,
        hour => hour,
    }
}
