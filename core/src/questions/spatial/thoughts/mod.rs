//! Chains of thought for the cold start, written by rule from the exact geometry: what is seen where, how it
//! relates, and what follows. Wording varies; what is said is always true of the scene, to the digits given.
//!
//! With boxes (`boxes_in_thoughts`) they are for small models, which have to learn to count from them: places are told in
//! whole half meters, directions in hours of a clock, and things are counted picture by picture, what hardly shows left
//! out. What lies between two places is worked out from such numbers; gaps in meters, the last hour and the answer are
//! exact, and so can be one off from what the numbers before them say.

mod conclusion;
mod telling;

pub(in crate::questions) use conclusion::LIST_SEPARATOR;
pub use conclusion::{Choice, LetterFrom, conclusion, letter, solution};
pub(super) use telling::Telling;
use telling::hour;

use crate::geometry::polygon;
use crate::samples::Segment;
use crate::scenes::{Dice, Object};
use glam::{Vec2, vec2};
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
        thought.extend(in_order.iter().enumerate().map(|(place, thing)| comes(place, &seen(thing))));
    } else {
        thought.push(format!("{}.", capital(&list(asked.iter().map(in_frame).collect()))));
        thought.push(format!("Sorted by time: {}.", list(in_order.iter().map(in_frame).collect())));
    }
    thought.join(" ")
}

/// What comes in this place of the order, from 0.
pub(in crate::questions) fn comes(place: usize, what: &str) -> String {
    format!("{} {what}.", if place == 0 { "First comes" } else { "Then" })
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
