//! Chains of thought for the cold start, written by rule from the exact geometry: what is seen where, how it
//! relates, and what follows. Wording varies; what is said is always true of the scene, to the digits given.
//!
//! With boxes (`boxes_in_thoughts`) they are for small models, which have to learn to count from them: places are told in
//! whole half meters, directions in hours of a clock, and things are counted picture by picture, what hardly shows left
//! out. What lies between two places is worked out from such numbers; gaps in meters, the last hour and the answer are
//! exact, and so can be one off from what the numbers before them say.

use super::Showing;
use crate::geometry::polygon;
use crate::samples::{DataType, Segment};
use crate::scenes::{Dice, Object};
use glam::{Vec2, Vec3, vec2};
use serde::{Deserialize, Serialize};

/// How one may come to an answer, up to but without naming it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thought {
    start: String,
    /// Told in the order in which the options will stand.
    options: Vec<OptionTold>,
    /// Whether options are called by their letters, and which is the nearest so far is said after each. A model too small
    /// to compare four numbers at once, and to find the letter of a name, can go through them so.
    by_letter: bool,
    end: String,
}

/// What a thought says of an option.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OptionTold {
    told: String,
    /// How far it is, metres.
    gap: f32,
}

impl From<String> for Thought {
    fn from(start: String) -> Self {
        Self { start, options: Vec::new(), by_letter: false, end: String::new() }
    }
}

impl Thought {
    /// Whether options are called by their letters.
    pub fn is_by_letter(&self) -> bool {
        self.by_letter
    }

    /// In words. `order` is that of the options, by their places in the candidate; `None` for that itself.
    pub fn text(&self, order: Option<&[usize]>) -> String {
        let own: Vec<usize> = (0..self.options.len()).collect();
        let options = order.unwrap_or(&own).iter().filter_map(|&at| self.options.get(at));
        let mut sentences = vec![self.start.clone()];
        let mut nearest: Option<(char, f32)> = None;
        for (place, OptionTold { told, gap }) in options.enumerate() {
            if !self.by_letter {
                sentences.push(told.clone());
                continue;
            }
            let this = letter(place);
            sentences.push(format!("{this}. {told}"));
            match nearest {
                Some((best, least)) if least <= *gap => {
                    sentences.push(format!("{best} stays the nearest, {} m.", metres(least)));
                }
                _ => {
                    sentences.push(format!("{this} is the nearest so far, {} m.", metres(*gap)));
                    nearest = Some((this, *gap));
                }
            }
        }
        sentences.extend(Some(self.end.clone()).filter(|end| !end.is_empty()));
        sentences.join(" ")
    }
}

/// What the option in this place is called.
pub fn letter(place: usize) -> char {
    char::from(b'A' + (place % 26) as u8)
}

/// Puts a thought and an answer into the form that stage 3 asks for.
pub fn solution(thought: &str, answer: &str) -> String {
    format!("<think>{thought}</think><answer>{answer}</answer>")
}

/// Where a thought has the letter of its answer from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterFrom {
    /// The options: it is looked up when the answer is known in words.
    Words,
    /// The options, gone through until those words come. Small models find the words of a letter (`questions::look_up`), and
    /// hardly ever the letter of words.
    Search,
    /// The options, which are orders of the same names: the first name of each, then the second of those that begin rightly,
    /// until one is left. Small models do not write a whole order again.
    NameByName,
    /// The thought, which calls options by their letters.
    Thought,
}

/// The options of a question, `A. left`, `B. right`, …, and which of them is the answer.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    pub options: &'a [String],
    pub place: usize,
    pub letter_from: LetterFrom,
}

/// The sentence that ends a thought by naming the answer: `So the answer is left, which is A.`, `So the answer is right: A.
/// left. B. right, which is B.` or `So the answer is B, right.`; name by name `The order starts with lamp: A. tv. B. lamp. C.
/// lamp. Next comes tv: B. sofa. C. tv, which is C.`
pub fn conclusion(words: &str, choice: Option<Choice<'_>>, dice: &mut Dice) -> String {
    let start = pick(
        dice,
        &["So the answer is", "That makes the answer", "I will answer", "Therefore the answer is"],
    );
    let Some(Choice { options, place, letter_from }) = choice else { return format!("{start} {words}.") };
    let letter = letter(place);
    match letter_from {
        LetterFrom::Words => format!("{start} {words}, which is {letter}."),
        LetterFrom::Search => {
            let seen = options[..=place].join(". ");
            format!("{start} {words}: {seen}, which is {letter}.")
        }
        LetterFrom::NameByName => name_by_name(options, place),
        LetterFrom::Thought => format!("{start} {letter}, {words}."),
    }
}

/// How names stand in a list.
pub(in crate::questions) const LIST_SEPARATOR: &str = ", ";

/// See [`LetterFrom::NameByName`]; options as `A. lamp, tv, sofa`.
fn name_by_name(options: &[String], place: usize) -> String {
    let orders: Vec<Vec<&str>> = options
        .iter()
        .map(|option| option.split_once(". ").map_or(option.as_str(), |(_, order)| order))
        .map(|order| order.split(LIST_SEPARATOR).collect())
        .collect();
    let mut left: Vec<usize> = (0..orders.len()).collect();
    let mut rounds = Vec::new();
    for (at, &name) in orders[place].iter().enumerate() {
        let start = if at == 0 { "The order starts with" } else { "Next comes" };
        let has = |&option: &usize| orders[option].get(at).copied().unwrap_or_default();
        let told: Vec<String> =
            left.iter().map(|option| format!("{}. {}", letter(*option), has(option))).collect();
        rounds.push(format!("{start} {name}: {}", told.join(". ")));
        left.retain(|option| has(option) == name);
        if left.len() < 2 {
            break;
        }
    }
    format!("{}, which is {}.", rounds.join(". "), letter(place))
}

/// The pictures that a thought speaks of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Telling<'a> {
    showing: &'a Showing<'a>,
    cameras: &'a [usize],
}

impl<'a> Telling<'a> {
    pub fn new(showing: &'a Showing<'a>, cameras: &'a [usize]) -> Self {
        Self { showing, cameras }
    }

    /// What the pictures are called. A small model has one word for all of them, that of the numbers before them.
    fn name(&self) -> &'static str {
        if self.has_boxes() {
            return "picture";
        }
        match self.showing.data_type {
            DataType::SingleImage => "image",
            DataType::MultiView => "view",
            DataType::Video => "frame",
        }
    }

    fn has_boxes(&self) -> bool {
        self.showing.config.spatial.boxes_in_thoughts
    }

    /// For each object the picture, by its place, that a thought speaks of; `None` where no picture has a pixel of it. The
    /// first object and as many others as possible are seen in the same one, so that where they are can be compared.
    fn views(&self, objects: &[&Object]) -> Vec<Option<usize>> {
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
    fn views_of(&self, object: &Object) -> Vec<usize> {
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
    fn offset(&self, objects: [&Object; 2], views: [Option<usize>; 2]) -> Option<Offset> {
        let view = views[0].filter(|_| views[0] == views[1])?;
        let [from, to] = [self.place(objects[0], view)?, self.place(objects[1], view)?];
        let [from_halves, to_halves] = [half_meters(from), half_meters(to)];
        let halves = [to_halves[0] - from_halves[0], to_halves[1] - from_halves[1]];
        Some(Offset { metres: to - from, halves })
    }

    /// A sentence about that.
    fn comparison(&self, [one, other]: [&Object; 2], offset: Offset) -> String {
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
    fn boxed(&self, object: &Object, view: usize) -> Option<String> {
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
    fn sighting(&self, object: &Object, view: Option<usize>, dice: &mut Dice) -> String {
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
    fn sightings(&self, objects: &[&Object], views: &[Option<usize>], dice: &mut Dice) -> Vec<String> {
        objects.iter().zip(views).map(|(object, view)| self.sighting(object, *view, dice)).collect()
    }

    /// How a thought begins that says where things are.
    fn start(&self, dice: &mut Dice) -> Vec<String> {
        let unit = self.has_boxes().then(|| "I count half meters.".to_owned());
        std::iter::once(opening(dice)).chain(unit).collect()
    }
}

/// From one object to another, on the floor, as a picture has it: to the right and away.
#[derive(Debug, Clone, Copy)]
struct Offset {
    metres: Vec2,
    /// What is between the whole half meters that are told of the two.
    halves: [i32; 2],
}

impl Offset {
    /// The hour of a clock that lies on the floor with its twelve straight ahead. `None` where there is no direction.
    fn hour(self) -> Option<i32> {
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
fn hour(clockwise_deg: f32) -> i32 {
    match (libm::roundf(clockwise_deg / 30.0) as i32).rem_euclid(12) {
        0 => 12,
        hour => hour,
    }
}

pub(super) fn absolute_distance(
    telling: &Telling,
    objects: [&Object; 2],
    shortest: &Segment,
    dice: &mut Dice,
) -> String {
    let mut thought = telling.start(dice);
    let views = telling.views(&objects);
    thought.extend(telling.sightings(&objects, &views, dice));
    let offset = telling.offset(objects, [views[0], views[1]]);
    thought.extend(offset.map(|offset| telling.comparison(objects, offset)));
    let middles = objects[0].bounds.center.distance(objects[1].bounds.center);
    thought.push(format!("Their middles are about {} m apart.", metres(middles)));
    // Only where the difference shows in the digits given.
    if metres(shortest.length()) != metres(middles) {
        thought.push(
            pick(
                dice,
                &[
                    "But it is the closest points that count, so I have to take off what the two reach towards each other.",
                    "Wait, the closest points count: both have some extent, so the gap is smaller than that.",
                ],
            )
            .to_owned(),
        );
    }
    thought.push(format!("From edge to edge that leaves {} m.", metres(shortest.length())));
    thought.join(" ")
}

pub(super) fn relative_distance(
    telling: &Telling,
    target: &Object,
    candidates: &[&Object],
    shortest: &[Segment],
    dice: &mut Dice,
) -> Thought {
    let mut start = telling.start(dice);
    let all: Vec<&Object> = std::iter::once(target).chain(candidates.iter().copied()).collect();
    let views = telling.views(&all);
    start.push(telling.sighting(target, views[0], dice));
    let mut options = Vec::with_capacity(candidates.len());
    for ((&object, &view), way) in candidates.iter().zip(&views[1..]).zip(shortest) {
        let mut told = vec![telling.sighting(object, view, dice)];
        // A small model gets there by small steps.
        if let Some(offset) =
            telling.offset([target, object], [views[0], view]).filter(|_| telling.has_boxes())
        {
            told.push(telling.comparison([target, object], offset));
        }
        told.push(format!("That leaves {} m between them.", metres(way.length())));
        options.push(OptionTold { told: told.join(" "), gap: way.length() });
    }
    let by_letter = telling.has_boxes();
    let nearest = (0..candidates.len()).min_by(|&i, &j| options[i].gap.total_cmp(&options[j].gap));
    let end = nearest.filter(|_| !by_letter).map_or_else(String::new, |nearest| {
        let name = &candidates[nearest].category;
        match dice.index(2) {
            0 => format!("The {name} has the smallest gap."),
            _ => format!("Of these the {name} is the nearest."),
        }
    });
    Thought { start: start.join(" "), options, by_letter, end }
}

pub(super) fn object_size(telling: &Telling, object: &Object, dice: &mut Dice) -> String {
    let size = object.bounds.size() * 100.0;
    let rounded = |side: f32| libm::roundf(side) as i64;
    let [width, depth, height] = size.to_array().map(rounded);
    let name = &object.category;
    let mut thought = telling.start(dice);
    thought.push(telling.sighting(object, telling.views(&[object])[0], dice));
    let longest = size.max_element();
    let which = match longest {
        l if l == size.z => "height",
        l if l == size.x => "width",
        _ => "depth",
    };
    let named = [
        format!("Its {which} is the longest of the three."),
        format!("Let me see, the longest dimension is the {which}."),
    ];
    let named = named[dice.index(named.len())].clone();
    if telling.has_boxes() {
        // Of three numbers a small model would have to find again the one that counts.
        thought.push(named);
        thought.push(format!("Judging by that distance, it is about {} cm.", rounded(longest)));
    } else {
        thought.push(format!(
            "Judging by that distance, the {name} is about {width} cm wide, {depth} cm deep and {height} cm high."
        ));
        thought.push(named);
    }
    thought.join(" ")
}

pub(super) fn object_count(
    telling: &Telling,
    category: &str,
    objects: &[&Object],
    dice: &mut Dice,
) -> String {
    if telling.has_boxes() {
        return count_by_picture(telling, category, objects, dice);
    }
    let mut thought = vec![
        opening(dice),
        format!("I go through the {}s and must not count a {category} twice.", telling.name()),
    ];
    for (number, object) in (1..).zip(objects) {
        let views: Vec<String> = telling.views_of(object).iter().take(4).map(usize::to_string).collect();
        let plural = if views.len() == 1 { "" } else { "s" };
        thought.push(format!("{category} {number} is in {}{plural} {}.", telling.name(), views.join(", ")));
    }
    thought.push(format!("I find no other {category}."));
    thought.join(" ")
}

/// How many each picture shows, which a small model sees before it can tell one from the other. What hardly shows does not
/// count there.
fn count_by_picture(telling: &Telling, category: &str, objects: &[&Object], dice: &mut Dice) -> String {
    let showing = telling.showing;
    let shows = |camera: usize, object: &Object| {
        showing.sees(camera, object.id) || showing.sees_well(camera, object.id)
    };
    let shown = |&camera: &usize| objects.iter().filter(|object| shows(camera, object)).count();
    let told: Vec<String> = (1..)
        .zip(telling.cameras.iter().map(shown))
        .map(|(picture, count)| format!("in {} {picture} I see {count}", telling.name()))
        .collect();
    let is_twice =
        |object: &&Object| telling.cameras.iter().filter(|camera| shows(**camera, object)).count() > 1;
    let same = if objects.iter().any(is_twice) { "Some" } else { "No two" };
    let told = capital(&told.join(", "));
    let (start, count) = (opening(dice), objects.len());
    format!("{start} I look for each {category}. {told}. {same} of them are the same, so there are {count}.")
}

pub(super) fn room_size(telling: &Telling, dice: &mut Dice) -> String {
    let room = &telling.showing.sights.scene.room;
    let size = along_the_longest_wall(&room.outline);
    let mut thought = vec![opening(dice)];
    thought.push(format!(
        "Walking through the {}s, the room seems to reach {} m one way and {} m the other.",
        telling.name(),
        metres(size.x),
        metres(size.y)
    ));
    let rectangle = size.x * size.y;
    if room.area < rectangle * 0.97 {
        thought.push(format!(
            "That would be {} square meters, but the floor does not fill all of it.",
            metres(rectangle)
        ));
    } else {
        thought.push("The floor fills that rectangle.".to_owned());
    }
    thought.join(" ")
}

/// Length and width of the rectangle around the outline that runs along its longest wall, metres.
fn along_the_longest_wall(outline: &[Vec2]) -> Vec2 {
    let walls = polygon::edges(outline).map(|(from, to)| to - from);
    let longest = walls.max_by(|a, b| a.length_squared().total_cmp(&b.length_squared()));
    let direction = longest.unwrap_or(Vec2::X).normalize_or(Vec2::X);
    let corners = polygon::bounding_rectangle(outline, direction, 0.0);
    vec2(corners[0].distance(corners[1]), corners[1].distance(corners[2]))
}

/// `asked`: things, and the places of the first frames with something of them.
pub(super) fn appearance_order(telling: &Telling, asked: &[(&Object, usize)], dice: &mut Dice) -> String {
    let in_frame = |(object, frame): &(&Object, usize)| {
        format!("the {} in {} {}", object.category, telling.name(), frame + 1)
    };
    let seen = |thing: &(&Object, usize)| {
        let boxed = telling.boxed(thing.0, thing.1);
        boxed.map_or_else(|| in_frame(thing), |boxed| format!("the {} {boxed}", thing.0.category))
    };
    let list = |things: Vec<String>| things.join(LIST_SEPARATOR);
    let mut in_order = asked.to_vec();
    in_order.sort_by_key(|(_, frame)| *frame);
    let mut thought =
        vec![opening(dice), format!("I look for the first {} that shows each.", telling.name())];
    if telling.has_boxes() {
        // A small model sees what comes next, and cannot sort.
        let comes =
            |(at, thing)| format!("{} {}.", if at == 0 { "First comes" } else { "Then" }, seen(thing));
        thought.extend(in_order.iter().enumerate().map(comes));
    } else {
        thought.push(format!("{}.", capital(&list(asked.iter().map(in_frame).collect()))));
        thought.push(format!("Sorted by time: {}.", list(in_order.iter().map(in_frame).collect())));
    }
    thought.join(" ")
}

pub(super) fn direction_by_camera(
    telling: &Telling,
    target: &Object,
    reference: &Object,
    word: &str,
    dice: &mut Dice,
) -> String {
    let mut thought = telling.start(dice);
    let views = telling.views(&[target, reference]);
    thought.extend(telling.sightings(&[target, reference], &views, dice));
    let from_reference = [reference, target];
    let offset = telling.offset(from_reference, [views[1], views[0]]);
    thought.extend(offset.map(|offset| telling.comparison(from_reference, offset)));
    thought.push(
        pick(
            dice,
            &[
                "Nearer to the camera means front, farther away means back.",
                "What is nearer is in front, what is farther is behind.",
            ],
        )
        .to_owned(),
    );
    thought.push(if word.contains('-') {
        format!("Both differences count, so it is {word}.")
    } else {
        format!("The larger difference decides, so it is {word}.")
    });
    thought.join(" ")
}

pub(super) fn direction_by_object(
    telling: &Telling,
    objects: [&Object; 3],
    clockwise_deg: f32,
    word: &str,
    dice: &mut Dice,
) -> String {
    let [p, o, q] = objects.map(|object| object.category.as_str());
    let mut thought = telling.start(dice);
    let views = telling.views(&objects);
    thought.extend(telling.sightings(&objects, &views, dice));
    for at in [1, 2] {
        let pair = [objects[0], objects[at]];
        let Some(offset) = telling.offset(pair, [views[0], views[at]]) else { continue };
        thought.push(telling.comparison(pair, offset));
        if let Some(hour) = offset.hour().filter(|_| telling.has_boxes()) {
            thought.push(format!("That is at {hour} o'clock."));
        }
    }
    thought.push(format!(
        "{} standing by the {p} with the {o} straight ahead.",
        pick(dice, &["I imagine", "Let me picture myself", "Suppose I am"])
    ));
    thought.push(if telling.has_boxes() {
        format!("So the {q} is at {} o'clock.", hour(clockwise_deg))
    } else {
        let (turn, side) =
            if clockwise_deg <= 180.0 { (clockwise_deg, "right") } else { (360.0 - clockwise_deg, "left") };
        let turn = libm::roundf(turn / 10.0) * 10.0;
        format!("To face the {q} I would turn about {turn:.0} degrees to the {side}.")
    });
    thought.push(format!("That is {word}."));
    thought.join(" ")
}

fn opening(dice: &mut Dice) -> String {
    pick(
        dice,
        &[
            "Let me think.",
            "Hmm, let me look carefully.",
            "Let's break it down.",
            "First I look for what the question is about.",
            "Okay, step by step.",
        ],
    )
    .to_owned()
}

fn pick<'a>(dice: &mut Dice, options: &[&'a str]) -> &'a str {
    dice.pick(options).copied().unwrap_or_default()
}

/// One decimal.
fn metres(value: f32) -> String {
    format!("{value:.1}")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
