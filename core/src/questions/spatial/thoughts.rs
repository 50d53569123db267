//! Chains of thought for the cold start, written by rule from the exact geometry: what is seen where, how it
//! relates, and what follows. Wording varies. What is said is true of the scene to the digits given, but that what
//! follows from such digits is worked out with them, so that a reader can follow the sum: to a decimetre, ten degrees.

use super::super::observations::Observation;
use super::Showing;
use super::relative_direction::direction_word;
use crate::geometry::{Pose, polygon};
use crate::samples::{DataType, SectorScheme, Segment};
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
        self.view_with_most(|seen| seen.map_or(0, |seen| seen.visible_pixels), &[object])
    }

    /// The same for several objects: that which shows the most of the one it shows the least of. `None` where no camera
    /// shows them all clearly.
    fn shared_view(&self, objects: &[&Object]) -> Option<(usize, usize)> {
        let clear = |seen: Option<&Observation>| {
            seen.filter(|seen| seen.is_clear(self.showing.config)).map_or(0, |seen| seen.visible_pixels)
        };
        self.view_with_most(clear, objects)
    }

    fn view_with_most(
        &self,
        worth: impl Fn(Option<&Observation>) -> u32,
        objects: &[&Object],
    ) -> Option<(usize, usize)> {
        let least = |camera: usize| {
            let of = |object: &&Object| worth(self.showing.sights.observation(camera, object.id));
            objects.iter().map(of).min().unwrap_or(0)
        };
        let best = (0..self.cameras.len())
            .max_by(|&a, &b| least(self.cameras[a]).cmp(&least(self.cameras[b])).then(b.cmp(&a)))?;
        (least(self.cameras[best]) > 0).then_some((best + 1, self.cameras[best]))
    }

    /// Sentences that say where the objects are seen: in one picture where one shows them all, so that what is said can be
    /// compared.
    fn sightings(&self, objects: &[&Object], dice: &mut Dice) -> Vec<String> {
        let together = self.shared_view(objects);
        objects
            .iter()
            .map(|object| self.sighting(object, together.or_else(|| self.best_view(object)), dice))
            .collect()
    }

    /// Where the objects are before the camera whose picture shows them all, the one that [`Self::sightings`] takes.
    fn places<const N: usize>(&self, objects: [&Object; N]) -> Option<[Decimetres; N]> {
        let (_, camera) = self.shared_view(&objects)?;
        let pose = &self.showing.sights.scene.cameras.get(camera)?.pose;
        Some(objects.map(|object| Decimetres::before(pose, object.bounds.center)))
    }

    /// Places, from 1, of the pictures with something of the object.
    fn views_of(&self, object: &Object) -> Vec<usize> {
        let shows = |camera: usize| self.showing.sights.observation(camera, object.id).is_some();
        (0..self.cameras.len()).filter(|&i| shows(self.cameras[i])).map(|i| i + 1).collect()
    }

    /// A sentence that says where the object is seen: the place of the picture and its camera.
    fn sighting(&self, object: &Object, view: Option<(usize, usize)>, dice: &mut Dice) -> String {
        let name = &object.category;
        let Some((number, camera)) = view else {
            return format!("The {name} is hard to see.");
        };
        let sights = self.showing.sights;
        let (Some(seen), Some(camera)) =
            (sights.observation(camera, object.id), sights.scene.cameras.get(camera))
        else {
            return format!("The {name} is hard to see.");
        };
        if self.showing.config.spatial.boxes_in_thoughts {
            let [x1, y1, x2, y2] = seen.bbox_2d();
            let at = Decimetres::before(&camera.pose, object.bounds.center);
            let place = format!("at ({x1}, {y1}, {x2}, {y2}), {}, {}.", at.forward(), at.aside());
            return match (self.showing.data_type, dice.index(2)) {
                (DataType::SingleImage, 0) => format!("The {name} is {place}"),
                (DataType::SingleImage, _) => format!("I see the {name} {place}"),
                (_, 0) => format!("The {name} is in {} {number} {place}", self.name()),
                _ => format!("I see the {name} in {} {number} {place}", self.name()),
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
            _ => format!("{side} of {} {number}", self.name()),
        };
        match dice.index(3) {
            0 => format!("The {name} is {where_}, about {far} m away."),
            1 => format!("I see the {name} {where_}, roughly {far} m from the camera."),
            _ => format!("{} is the {name}, some {far} m away.", capital(&where_)),
        }
    }
}

/// A place on the floor as somebody sees it who stands there with the camera, level, in decimetres.
#[derive(Debug, Clone, Copy)]
struct Decimetres {
    right: i32,
    ahead: i32,
}

impl Decimetres {
    /// Of a point of the world.
    fn before(pose: &Pose, point: Vec3) -> Self {
        let ahead = (pose.transform_point(Vec3::Z) - pose.translation).truncate().normalize_or_zero();
        let apart = (point - pose.translation).truncate();
        let tenths = |metres: f32| libm::roundf(metres * 10.0) as i32;
        Self { right: tenths(apart.dot(-ahead.perp())), ahead: tenths(apart.dot(ahead)) }
    }

    fn from(self, other: Self) -> Self {
        Self { right: self.right - other.right, ahead: self.ahead - other.ahead }
    }

    /// `1.9 m ahead`; behind where the middle of something is that reaches into the picture.
    fn forward(self) -> String {
        format!("{} {}", metres_of(self.ahead), if self.ahead < 0 { "behind" } else { "ahead" })
    }

    /// `0.6 m to the left`.
    fn aside(self) -> String {
        format!("{} to the {}", metres_of(self.right), if self.right < 0 { "left" } else { "right" })
    }

    /// `1.2 m farther away`, of what is compared with something else.
    fn deeper(self) -> String {
        format!("{} {}", metres_of(self.ahead), if self.ahead < 0 { "nearer" } else { "farther away" })
    }

    /// Clockwise from straight ahead, to ten degrees, 0 to 350. `None` where there is nothing to point at.
    fn bearing_deg(self) -> Option<i32> {
        let degrees = libm::atan2f(self.right as f32, self.ahead as f32).to_degrees();
        ((self.right, self.ahead) != (0, 0)).then(|| tens(degrees).rem_euclid(360))
    }
}

/// Rounded to ten degrees.
fn tens(degrees: f32) -> i32 {
    libm::roundf(degrees / 10.0) as i32 * 10
}

/// How far, in metres, whatever the sign.
fn metres_of(decimetres: i32) -> String {
    format!("{:.1} m", f64::from(decimetres.abs()) / 10.0)
}

pub(super) fn absolute_distance(
    telling: &Telling,
    one: &Object,
    other: &Object,
    shortest: &Segment,
    dice: &mut Dice,
) -> String {
    let mut thought = vec![opening(dice)];
    thought.extend(telling.sightings(&[one, other], dice));
    let middles = one.bounds.center.distance(other.bounds.center);
    if let Some([here, there]) = telling.places([one, other]) {
        let offset = there.from(here);
        let (a, b) = (&one.category, &other.category);
        thought.push(format!("Compared with the {a}, the {b} is {}, {}.", offset.aside(), offset.deeper()));
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
    let mut thought = vec![opening(dice)];
    let all: Vec<&Object> = std::iter::once(target).chain(candidates.iter().copied()).collect();
    let mut sightings = telling.sightings(&all, dice).into_iter();
    thought.extend(sightings.next());
    for (sighting, way) in sightings.zip(shortest) {
        thought.push(sighting);
        thought.push(format!("That leaves {} m between them.", metres(way.length())));
    }
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
    let mut thought = vec![opening(dice)];
    thought.extend(telling.sightings(&[object], dice));
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

pub(super) fn appearance_order(telling: &Telling, asked: &[(&str, usize)], dice: &mut Dice) -> String {
    let tell = |things: &[(&str, usize)]| {
        let things: Vec<String> =
            things.iter().map(|(name, frame)| format!("the {name} in frame {}", frame + 1)).collect();
        things.join(", ")
    };
    let mut in_order = asked.to_vec();
    in_order.sort_by_key(|(_, frame)| *frame);
    [
        opening(dice),
        format!("I look for the first {} that shows each.", telling.name()),
        format!("{}.", capital(&tell(asked))),
        format!("Sorted by time: {}.", tell(&in_order)),
    ]
    .join(" ")
}

pub(super) fn direction_by_camera(
    telling: &Telling,
    target: &Object,
    reference: &Object,
    word: &str,
    dice: &mut Dice,
) -> String {
    let (a, b) = (&target.category, &reference.category);
    let mut thought = vec![opening(dice)];
    thought.extend(telling.sightings(&[target, reference], dice));
    if let Some(camera) = telling.showing.sights.scene.cameras.get(telling.showing.camera()) {
        let [to, from] =
            [target, reference].map(|object| Decimetres::before(&camera.pose, object.bounds.center));
        let offset = to.from(from);
        thought.push(format!(
            "Seen from the camera, the {a} is {} of the {b}, {}.",
            offset.aside(),
            offset.deeper()
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
    (scheme, clockwise_deg, word): (SectorScheme, f32, &str),
    dice: &mut Dice,
) -> String {
    let [p, o, q] = [by, faced, target].map(|object| object.category.as_str());
    let mut thought = vec![opening(dice)];
    thought.extend(telling.sightings(&[by, faced, target], dice));
    let mut turn_deg = tens(clockwise_deg);
    if let Some([standpoint, ahead, aside]) = telling.places([by, faced, target]) {
        let bearings = [(o, ahead), (q, aside)].map(|(name, place)| {
            let offset = place.from(standpoint);
            let bearing = offset.bearing_deg()?;
            let (aside, deeper) = (offset.aside(), offset.deeper());
            thought.push(format!("From the {p}, the {name} is {aside}, {deeper}: at {bearing} degrees."));
            Some(bearing)
        });
        if let [Some(ahead), Some(aside)] = bearings {
            let between = (aside - ahead).rem_euclid(360);
            // Unless so few digits leave it at a border.
            let clear = [between - 5, between + 5]
                .map(|deg| direction_word(scheme, deg.rem_euclid(360) as f32) == Some(word));
            if clear == [true, true] {
                turn_deg = between;
            }
        }
    }
    let (turn, side) = if turn_deg <= 180 { (turn_deg, "right") } else { (360 - turn_deg, "left") };
    thought.push(format!(
        "{} standing by the {p} with the {o} straight ahead.",
        pick(dice, &["I imagine", "Let me picture myself", "Suppose I am"])
    ));
    thought.push(format!("To face the {q} I would turn about {turn} degrees to the {side}."));
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
