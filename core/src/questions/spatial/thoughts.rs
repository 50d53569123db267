//! Chains of thought for the cold start, written by rule from the exact geometry: what is seen where, how it
//! relates, and what follows. Wording varies; what is said is always true of the scene, to the digits given.

use super::Showing;
use crate::geometry::polygon;
use crate::samples::{DataType, Segment};
use crate::scenes::{Dice, Object};
use glam::{Vec2, Vec3, vec2};

/// Puts a thought and an answer into the form that stage 3 asks for.
pub fn solution(thought: &str, answer: &str) -> String {
    format!("<think>{thought}</think><answer>{answer}</answer>")
}

/// The sentence that ends a thought by naming the answer; `letter` is that of the option, where there is one.
pub fn conclusion(letter: Option<char>, words: &str, dice: &mut Dice) -> String {
    let what = letter.map_or_else(|| words.to_owned(), |letter| format!("{letter}. {words}"));
    let start = pick(
        dice,
        &["So the answer is", "That makes the answer", "I will answer", "Therefore the answer is"],
    );
    format!("{start} {what}.")
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

    /// What the pictures are called.
    fn name(&self) -> &'static str {
        match self.showing.data_type {
            DataType::SingleImage => "image",
            DataType::MultiView => "view",
            DataType::Video => "frame",
        }
    }

    /// The place among the pictures, from 1, and the camera that shows the most of the object.
    fn best_view(&self, object: &Object) -> Option<(usize, usize)> {
        let pixels = |camera: usize| {
            self.showing.sights.observation(camera, object.id).map_or(0, |seen| seen.visible_pixels)
        };
        let best = (0..self.cameras.len())
            .max_by(|&a, &b| pixels(self.cameras[a]).cmp(&pixels(self.cameras[b])).then(b.cmp(&a)))?;
        (pixels(self.cameras[best]) > 0).then_some((best + 1, self.cameras[best]))
    }

    /// Places, from 1, of the pictures with something of the object.
    fn views_of(&self, object: &Object) -> Vec<usize> {
        let shows = |camera: usize| self.showing.sights.observation(camera, object.id).is_some();
        (0..self.cameras.len()).filter(|&i| shows(self.cameras[i])).map(|i| i + 1).collect()
    }

    /// A sentence that says where the object is seen.
    fn sighting(&self, object: &Object, dice: &mut Dice) -> String {
        let name = &object.category;
        let Some((number, camera)) = self.best_view(object) else {
            return format!("The {name} is hard to see.");
        };
        let Some(seen) = self.showing.sights.observation(camera, object.id) else {
            return format!("The {name} is hard to see.");
        };
        let width = self.showing.sights.scene.cameras.get(camera).map_or(1, |camera| camera.intrinsics.width);
        let middle = (seen.pixel_box.x1 + seen.pixel_box.x2) * 0.5 / width.max(1) as f32;
        let side = match middle {
            m if m < 0.34 => "on the left",
            m if m > 0.66 => "on the right",
            _ => "in the middle",
        };
        if self.showing.config.spatial.boxes_in_thoughts {
            let [x1, y1, x2, y2] = seen.bbox_2d();
            // The order of a caption of the foundation stage, and its distance, which is along the camera's axis.
            let away = metres(seen.camera_position.z);
            let place = format!("at ({x1}, {y1}, {x2}, {y2}), {side}, {away} m away.");
            return match (self.showing.data_type, dice.index(2)) {
                (DataType::SingleImage, 0) => format!("The {name} is {place}"),
                (DataType::SingleImage, _) => format!("I see the {name} {place}"),
                (_, 0) => format!("The {name} is in {} {number} {place}", self.name()),
                _ => format!("I see the {name} in {} {number} {place}", self.name()),
            };
        }
        let far = metres(seen.camera_position.length());
        let where_ = match self.showing.data_type {
            DataType::SingleImage => format!("{side} of the image"),
            _ => format!("{side} of {} {number}", self.name()),
        };
        match dice.index(3) {
            0 => format!("The {name} is {where_}, about {far} m away."),
            1 => format!("I see the {name} {where_}, roughly {far} m from the camera."),
            _ => format!("{} is the {name}, some {far} m away.", capital(&where_)),
        }
    }

    /// The camera that sees both, when one does.
    fn shared_camera(&self, one: &Object, other: &Object) -> Option<usize> {
        let sees =
            |camera: usize, object: &Object| self.showing.sights.observation(camera, object.id).is_some();
        self.cameras.iter().copied().find(|&camera| sees(camera, one) && sees(camera, other))
    }
}

pub(super) fn absolute_distance(
    telling: &Telling,
    one: &Object,
    other: &Object,
    shortest: &Segment,
    dice: &mut Dice,
) -> String {
    let (a, b) = (&one.category, &other.category);
    let mut thought = vec![opening(dice), telling.sighting(one, dice), telling.sighting(other, dice)];
    let middles = one.bounds.center.distance(other.bounds.center);
    if let Some(camera) =
        telling.shared_camera(one, other).and_then(|at| telling.showing.sights.scene.cameras.get(at))
    {
        let [here, there] =
            [one, other].map(|object| camera.pose.inverse_transform_point(object.bounds.center));
        let apart = there - here;
        let side = if apart.x >= 0.0 { "right" } else { "left" };
        let depth = if apart.z >= 0.0 { "farther away" } else { "nearer" };
        thought.push(format!(
            "Compared with the {a}, the {b} is {} m to the {side} and {} m {depth}.",
            metres(apart.x.abs()),
            metres(apart.z.abs())
        ));
    }
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
) -> String {
    let mut thought = vec![opening(dice), telling.sighting(target, dice)];
    let gaps: Vec<String> = candidates
        .iter()
        .zip(shortest)
        .map(|(object, way)| format!("the {} {} m", object.category, metres(way.length())))
        .collect();
    thought.push(format!(
        "{} {}.",
        pick(
            dice,
            &["Let me compare the gaps to it:", "How far is each from it?", "Measured to its closest point:"]
        ),
        gaps.join(", ")
    ));
    let nearest =
        (0..candidates.len()).min_by(|&i, &j| shortest[i].length().total_cmp(&shortest[j].length()));
    if let Some(nearest) = nearest {
        let name = &candidates[nearest].category;
        thought.push(match dice.index(2) {
            0 => format!("The {name} has the smallest gap."),
            _ => format!("Of these the {name} is the nearest."),
        });
    }
    thought.join(" ")
}

pub(super) fn object_size(telling: &Telling, object: &Object, dice: &mut Dice) -> String {
    let size = object.bounds.size() * 100.0;
    let [width, depth, height] = size.to_array().map(|side| libm::roundf(side) as i64);
    let name = &object.category;
    let mut thought = vec![opening(dice), telling.sighting(object, dice)];
    thought.push(format!(
        "Judging by that distance, the {name} is about {width} cm wide, {depth} cm deep and {height} cm high."
    ));
    let longest = size.max_element();
    let which = match longest {
        l if l == size.z => "height",
        l if l == size.x => "width",
        _ => "depth",
    };
    thought.push(match dice.index(2) {
        0 => format!("Its {which} is the longest of the three."),
        _ => format!("Let me see, the longest dimension is the {which}."),
    });
    thought.join(" ")
}

pub(super) fn object_count(
    telling: &Telling,
    category: &str,
    objects: &[&Object],
    dice: &mut Dice,
) -> String {
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

pub(super) fn appearance_order(
    telling: &Telling,
    names: &[&str],
    frames: &[usize],
    dice: &mut Dice,
) -> String {
    let mut thought =
        vec![opening(dice), format!("I look for the first {} that shows each.", telling.name())];
    let mut seen: Vec<String> =
        names.iter().zip(frames).map(|(name, frame)| format!("the {name} in frame {}", frame + 1)).collect();
    let in_order = seen.join(", ");
    dice.shuffle(&mut seen);
    thought.push(format!("{}.", capital(&seen.join(", "))));
    thought.push(format!("Sorted by time: {in_order}."));
    thought.join(" ")
}

pub(super) fn direction_by_camera(
    telling: &Telling,
    target: &Object,
    reference: &Object,
    word: &str,
    dice: &mut Dice,
) -> String {
    let (a, b) = (&target.category, &reference.category);
    let mut thought = vec![opening(dice), telling.sighting(target, dice), telling.sighting(reference, dice)];
    if let Some(camera) = telling.showing.sights.scene.cameras.get(telling.showing.camera()) {
        let forward = camera.pose.transform_point(Vec3::Z) - camera.pose.translation;
        let away = forward.truncate().normalize_or_zero();
        let apart = (target.bounds.center - reference.bounds.center).truncate();
        let (depth, side) = (apart.dot(away), apart.dot(-away.perp()));
        thought.push(format!(
            "Seen from the camera, the {a} is {} m to the {} of the {b} and {} m {}.",
            metres(side.abs()),
            if side >= 0.0 { "right" } else { "left" },
            metres(depth.abs()),
            if depth >= 0.0 { "farther away" } else { "nearer" },
        ));
    }
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
    [by, faced, target]: [&Object; 3],
    clockwise_deg: f32,
    word: &str,
    dice: &mut Dice,
) -> String {
    let [p, o, q] = [by, faced, target].map(|object| object.category.as_str());
    let mut thought = vec![opening(dice)];
    for object in [by, faced, target] {
        thought.push(telling.sighting(object, dice));
    }
    let (turn, side) =
        if clockwise_deg <= 180.0 { (clockwise_deg, "right") } else { (360.0 - clockwise_deg, "left") };
    thought.push(format!(
        "{} standing by the {p} with the {o} straight ahead.",
        pick(dice, &["I imagine", "Let me picture myself", "Suppose I am"])
    ));
    thought.push(format!("To face the {q} I would turn about {:.0} degrees to the {side}.", turn));
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
