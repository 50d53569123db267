//! The answers of the generator against methods that share nothing with it: rooms are filmed in small
//! pictures, questions are read back from their wording, and each answer is worked out again from the scene.

mod brute_force;
mod invariances;
mod real_rooms;
mod wording;

use super::*;
use crate::geometry::{Intrinsics, OrientedBox};
use crate::questions::{Observation, Sight, observe};
use crate::render::Renderer;
use crate::samples::QuestionType;
use crate::scenes::rooms::{self, RoomOptions};
use crate::scenes::{Object, Scene, stand_points, walk};
use glam::{DVec2, DVec3};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const WIDTH: u32 = 160;
const HEIGHT: u32 = 120;
const STILLS: u32 = 9;
/// Frames of a video, and seconds from one to the next: more than the least time between first appearances.
const FRAMES: usize = 14;
const FRAME_SECONDS: f32 = 1.25;

/// A scene, and what its cameras see.
#[derive(Clone)]
struct Filmed {
    scene: Scene,
    observations: BTreeMap<usize, Vec<Observation>>,
    /// By camera: the instance id of each pixel.
    instances: Vec<Vec<u16>>,
    stills: Vec<usize>,
    video: Vec<usize>,
}

impl Filmed {
    fn new(index: u64, config: &QuestionConfig) -> Self {
        let options = RoomOptions {
            min_objects: 8,
            max_objects: 18,
            l_shaped: 0.4,
            size_spread: 0.4,
            repeats: 0.3,
            kind: None,
        };
        let mut scene = rooms::generate(71, index, &options);
        let intrinsics = Intrinsics::from_horizontal_fov(WIDTH, HEIGHT, 1.1);
        scene.cameras = stand_points(&scene, STILLS, intrinsics, index);
        let stills: Vec<usize> = (0..scene.cameras.len()).collect();
        let film = walk(&scene, intrinsics, 1.0 / FRAME_SECONDS, FRAMES as f32 * FRAME_SECONDS, index);
        let video = (scene.cameras.len()..scene.cameras.len() + film.len()).collect();
        scene.cameras.extend(film);
        let renderer = Renderer::new(&scene);
        let (mut observations, mut instances) = (BTreeMap::new(), Vec::new());
        for (number, camera) in scene.cameras.iter().enumerate() {
            let frame = renderer.render(camera);
            let sight = Sight {
                depth: &frame.depth,
                instances: &frame.instances,
                pixels_alone: &|id| renderer.pixels_alone(id, camera),
            };
            observations.insert(number, observe(&scene, camera, &sight, config));
            instances.push(frame.instances);
        }
        Self { scene, observations, instances, stills, video }
    }

    fn sights(&self) -> Sights<'_> {
        Sights {
            scene: &self.scene,
            observations: self.observations.clone(),
            stills: self.stills.clone(),
            video: self.video.clone(),
        }
    }

    fn ask(&self, seed: u64) -> Vec<Candidate> {
        ask_all(&self.sights(), &config(), &mut Dice::new(seed, 0))
    }

    /// Pixels of an object in a picture.
    fn pixels(&self, camera: usize, id: u16) -> usize {
        self.instances[camera].iter().filter(|&&seen| seen == id).count()
    }

    /// The objects that a name may mean in a question: in a single image those that it shows.
    fn named(&self, candidate: &Candidate, name: &str) -> Vec<&Object> {
        let shown = |object: &&Object| {
            candidate.data_type != DataType::SingleImage
                || self.pixels(candidate.cameras[0], object.id) >= config().min_rival_pixels as usize
        };
        self.scene.objects.iter().filter(|object| object.category == name).filter(shown).collect()
    }

    /// The one object that a name means.
    fn the(&self, candidate: &Candidate, name: &str) -> &Object {
        let [object] = self.named(candidate, name)[..] else {
            panic!("\"{name}\" is not one thing in {}: {}", self.scene.name, candidate.question);
        };
        object
    }
}

/// Small pictures, few views.
fn config() -> QuestionConfig {
    let mut config = QuestionConfig::preset(crate::questions::Preset::Default);
    config.image_width = WIDTH;
    config.image_height = HEIGHT;
    config.min_box_side = 4;
    config.min_rival_pixels = 8;
    config.spatial.views = 5;
    config
}

/// Generated rooms, filmed once for all tests.
static ROOMS: LazyLock<Vec<Filmed>> =
    LazyLock::new(|| (0..32).into_par_iter().map(|index| Filmed::new(index, &config())).collect());

/// Every question of every room.
fn questions() -> impl Iterator<Item = (&'static Filmed, Candidate)> {
    ROOMS
        .iter()
        .enumerate()
        .flat_map(|(i, filmed)| filmed.ask(i as u64).into_iter().map(move |candidate| (filmed, candidate)))
}

/// The names that a question gives its objects, in its order; read from the wording of its type.
fn names(candidate: &Candidate) -> Vec<String> {
    let question = candidate.question.as_str();
    let between = |start: &str, end: &str| -> Option<&str> {
        let (_, rest) = question.split_once(start)?;
        rest.split_once(end).map(|(inside, _)| inside)
    };
    let found = match candidate.question_type {
        QuestionType::AbsoluteDistance => between("what is the distance between the ", " (in meters)?")
            .and_then(|pair| pair.split_once(" and the "))
            .map(|(one, other)| vec![one, other]),
        QuestionType::RelativeDistance => between("of these objects (", ")").and_then(|list| {
            let target = between("is the closest to the ", "?")?;
            Some(list.split(", ").chain([target]).collect())
        }),
        QuestionType::ObjectSize => {
            between("(length, width, or height) of the ", ", measured in centimeters?").map(|name| vec![name])
        }
        QuestionType::ObjectCount => between("How many ", "(s) are in this room?").map(|name| vec![name]),
        QuestionType::AppearanceOrder => {
            between("following categories in the video: ", "?").map(|list| list.split(", ").collect())
        }
        QuestionType::RelativeDirection if candidate.data_type == DataType::SingleImage => {
            between("From the camera's perspective, is the ", "'s ")
                .and_then(|pair| pair.split_once(" to the "))
                .map(|(target, reference)| vec![target, reference])
        }
        QuestionType::RelativeDirection => between("If I am standing by the ", " to ").and_then(|start| {
            let (by, rest) = start.split_once(" and facing the ")?;
            let (faced, target) = rest.split_once(", is the ")?;
            Some(vec![by, faced, target])
        }),
        QuestionType::RoomSize => Some(Vec::new()),
    };
    let found = found.unwrap_or_else(|| panic!("another wording: {question}"));
    found.into_iter().map(str::to_owned).collect()
}

/// A box by its middle and its three half edges, in double precision.
#[derive(Clone, Copy)]
struct Edges {
    middle: DVec3,
    half_edges: [DVec3; 3],
}

impl Edges {
    fn of(bounds: &OrientedBox) -> Self {
        let turn = bounds.rotation.as_dquat();
        let half = bounds.half_extents.as_dvec3();
        Self {
            middle: bounds.center.as_dvec3(),
            half_edges: [DVec3::X * half.x, DVec3::Y * half.y, DVec3::Z * half.z].map(|edge| turn * edge),
        }
    }

    /// The point at these shares, −1 to 1, of the half edges.
    fn at(&self, shares: [f64; 3]) -> DVec3 {
        self.middle + (0..3).map(|axis| self.half_edges[axis] * shares[axis]).sum::<DVec3>()
    }

    /// Points of the surface at most `step` apart, each with its shares. `around` limits them to those whose
    /// shares differ from the given by at most the second value.
    fn surface(&self, step: f64, around: Option<([f64; 3], [f64; 3])>) -> Vec<([f64; 3], DVec3)> {
        let ticks: [Vec<f64>; 3] = std::array::from_fn(|axis| {
            let (low, high) = around.map_or((-1.0, 1.0), |(shares, reach)| {
                ((shares[axis] - reach[axis]).max(-1.0), (shares[axis] + reach[axis]).min(1.0))
            });
            let length = self.half_edges[axis].length() * (high - low);
            let count = (length / step).ceil().max(1.0) as usize;
            (0..=count).map(|i| low + (high - low) * i as f64 / count as f64).collect()
        });
        let mut points = Vec::new();
        for &x in &ticks[0] {
            for &y in &ticks[1] {
                for &z in &ticks[2] {
                    if [x, y, z].iter().any(|share| share.abs() == 1.0) {
                        points.push(([x, y, z], self.at([x, y, z])));
                    }
                }
            }
        }
        points
    }
}

/// The least distance between points of two surfaces, sampled every 5 cm and again every 5 mm around the best
/// pair. Never less than the true distance; for boxes that do not meet, at most some millimetres more.
fn sampled_distance(one: &Edges, other: &Edges) -> f64 {
    const STEP: f64 = 0.05;
    let nearest = |ours: &[([f64; 3], DVec3)], theirs: &[([f64; 3], DVec3)]| {
        let mut best = (f64::INFINITY, 0, 0);
        for (i, (_, here)) in ours.iter().enumerate() {
            for (j, (_, there)) in theirs.iter().enumerate() {
                let squared = here.distance_squared(*there);
                if squared < best.0 {
                    best = (squared, i, j);
                }
            }
        }
        best
    };
    let (coarse, coarse_other) = (one.surface(STEP, None), other.surface(STEP, None));
    let (_, i, j) = nearest(&coarse, &coarse_other);
    let close = |edges: &Edges, shares: [f64; 3]| {
        let reach = edges.half_edges.map(|edge| STEP / edge.length().max(1e-9));
        edges.surface(STEP / 10.0, Some((shares, reach)))
    };
    let (fine, fine_other) = (close(one, coarse[i].0), close(other, coarse_other[j].0));
    nearest(&fine, &fine_other).0.sqrt()
}

/// Seen from above.
fn flat(point: DVec3) -> DVec2 {
    point.truncate()
}
