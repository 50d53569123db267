//! In which direction something lies: seen by the camera that took the picture, or by somebody who stands by one
//! object and faces another.

use super::thoughts::{self, Telling};
use super::{Candidate, CandidateAnswer, Showing};
use crate::geometry::OrientedBox;
use crate::samples::{QuestionType, Reason, SectorScheme};
use crate::scenes::{Dice, Object};
use glam::{Vec2, Vec3};

/// A word for each sector of a scheme and the clockwise angles it covers, degrees from straight ahead. A sector
/// that begins above 360 runs through straight ahead.
pub fn sectors(scheme: SectorScheme) -> &'static [(&'static str, [f32; 2])] {
    match scheme {
        SectorScheme::Easy => &[("left", [180.0, 360.0]), ("right", [0.0, 180.0])],
        SectorScheme::Medium => {
            &[("left", [225.0, 360.0]), ("right", [0.0, 135.0]), ("back", [135.0, 225.0])]
        }
        SectorScheme::Hard => &[
            ("front-left", [270.0, 360.0]),
            ("front-right", [0.0, 90.0]),
            ("back-left", [180.0, 270.0]),
            ("back-right", [90.0, 180.0]),
        ],
        // Straight ahead is away from the camera.
        SectorScheme::Cardinal => &[
            ("left", [247.5, 292.5]),
            ("right", [67.5, 112.5]),
            ("front", [157.5, 202.5]),
            ("back", [337.5, 382.5]),
        ],
        SectorScheme::Diagonal => &[
            ("front-left", [202.5, 247.5]),
            ("front-right", [112.5, 157.5]),
            ("back-left", [292.5, 337.5]),
            ("back-right", [22.5, 67.5]),
        ],
    }
}

/// The angle of `target` seen from `standpoint` looking towards `facing`: clockwise from above, degrees in
/// 0..360, heights left out. `None` where two of the points lie above one another.
pub fn clockwise_angle(standpoint: Vec3, facing: Vec3, target: Vec3) -> Option<f32> {
    let flat = |to: Vec3| (to - standpoint).truncate();
    let (ahead, aside) = (flat(facing), flat(target));
    if ahead.length() < 1e-4 || aside.length() < 1e-4 {
        return None;
    }
    let right = Vec2::new(ahead.y, -ahead.x);
    let degrees = libm::atan2f(aside.dot(right), aside.dot(ahead)).to_degrees();
    // The smallest negative angles come out as a whole turn.
    let turned = if degrees < 0.0 { degrees + 360.0 } else { degrees };
    Some(if turned < 360.0 { turned } else { 0.0 })
}

/// The word of the sector that an angle lies in; `None` where the scheme leaves it out.
pub fn direction_word(scheme: SectorScheme, clockwise_deg: f32) -> Option<&'static str> {
    let within = |[from, to]: [f32; 2]| {
        (from..to).contains(&clockwise_deg) || (from..to).contains(&(clockwise_deg + 360.0))
    };
    sectors(scheme).iter().find(|(_, range)| within(*range)).map(|(word, _)| *word)
}

/// Degrees from an angle to the nearest border of the scheme.
fn border_distance(scheme: SectorScheme, angle: f32) -> f32 {
    let away = |border: f32| {
        let apart = libm::fabsf(angle - border) % 360.0;
        apart.min(360.0 - apart)
    };
    sectors(scheme).iter().flat_map(|(_, range)| *range).map(away).fold(f32::INFINITY, f32::min)
}

/// A direction beyond doubt.
struct Direction {
    word: &'static str,
    angle_deg: f32,
}

/// `None` near a border, and where too many of the target's corners lie in other sectors.
fn judge(
    showing: &Showing,
    scheme: SectorScheme,
    standpoint: Vec3,
    facing: Vec3,
    target: &OrientedBox,
) -> Option<Direction> {
    let config = &showing.config.spatial;
    let angle_deg = clockwise_angle(standpoint, facing, target.center)?;
    let word = direction_word(scheme, angle_deg)?;
    let stray = target
        .corners()
        .iter()
        .filter(|&&corner| {
            clockwise_angle(standpoint, facing, corner).and_then(|angle| direction_word(scheme, angle))
                != Some(word)
        })
        .count();
    let clear = border_distance(scheme, angle_deg) >= config.direction_margin_deg
        && stray <= config.max_stray_corners;
    clear.then_some(Direction { word, angle_deg })
}

fn in_range(showing: &Showing, one: &Object, other: &Object) -> bool {
    let [low, high] = showing.config.spatial.direction_range_m;
    let apart = one.bounds.center.truncate().distance(other.bounds.center.truncate());
    (low..=high).contains(&apart)
}

fn options(scheme: SectorScheme) -> Vec<String> {
    sectors(scheme).iter().map(|(word, _)| (*word).to_owned()).collect()
}

fn choice(scheme: SectorScheme, word: &str, fixed_order: bool) -> CandidateAnswer {
    let correct = sectors(scheme).iter().position(|(name, _)| *name == word).unwrap_or(0);
    CandidateAnswer::Choice { options: options(scheme), correct, fixed_order }
}

/// Questions from the camera's perspective, at most `limit`: where one object is from another in the picture.
pub(super) fn ask_by_camera(showing: &Showing, limit: usize, dice: &mut Dice) -> Vec<Candidate> {
    let objects = showing.nameable();
    let mut candidates = Vec::new();
    let Some(camera) = showing.sights.scene.cameras.get(showing.camera()) else {
        return candidates;
    };
    let axis = |own: Vec3| (camera.pose.transform_point(own) - camera.pose.translation).truncate();
    let level = axis(Vec3::Z).normalize_or_zero();
    let away = level.extend(0.0);
    // In a picture taken with a tilted head, left and right are not those of the floor.
    let roll_limit = showing.config.spatial.max_camera_roll_deg.to_radians();
    if axis(Vec3::X).dot(-level.perp()) < libm::cosf(roll_limit) {
        return candidates;
    }
    let mut pairs: Vec<(usize, usize)> =
        (0..objects.len()).flat_map(|i| (i + 1..objects.len()).map(move |j| (i, j))).collect();
    dice.shuffle(&mut pairs);
    for (i, j) in pairs {
        if candidates.len() >= limit {
            break;
        }
        let (target, reference) =
            if dice.chance(0.5) { (objects[i], objects[j]) } else { (objects[j], objects[i]) };
        let standpoint = reference.bounds.center;
        let facing = standpoint + away;
        let found = [SectorScheme::Cardinal, SectorScheme::Diagonal]
            .into_iter()
            .find_map(|scheme| Some((scheme, judge(showing, scheme, standpoint, facing, &target.bounds)?)));
        let Some((scheme, direction)) = found.filter(|_| in_range(showing, target, reference)) else {
            continue;
        };
        let ways = match scheme {
            SectorScheme::Cardinal => "left, right, front, or back",
            _ => "front-left, front-right, back-left, or back-right",
        };
        let cameras = [showing.camera()];
        let telling = Telling::new(showing, &cameras);
        candidates.push(Candidate {
            visibility: showing.sights.visibility(&[target.id, reference.id], &cameras),
            data_type: showing.data_type,
            question_type: QuestionType::RelativeDirection,
            question: format!(
                "From the camera's perspective, is the {} to the {}'s {ways}?",
                target.category, reference.category
            ),
            thought: thoughts::direction_by_camera(&telling, target, reference, direction.word, dice).into(),
            answer: choice(scheme, direction.word, true),
            boxes: showing.boxes(&[target, reference]),
            reason: Reason::RelativeDirection {
                scheme,
                objects: vec![target.id, reference.id],
                standpoint,
                facing,
                target: target.bounds.center,
                angle_deg: direction.angle_deg,
            },
            cameras: cameras.to_vec(),
        });
    }
    candidates
}

/// Questions for somebody who stands by one object and faces another, at most `limit` of each difficulty.
pub(super) fn ask_by_object(showing: &Showing, limit: usize, dice: &mut Dice) -> Vec<Candidate> {
    let objects = showing.nameable();
    let count = objects.len();
    let mut triples: Vec<[usize; 3]> = Vec::new();
    for i in 0..count {
        for j in (0..count).filter(|&j| j != i) {
            triples.extend((0..count).filter(|&k| k != i && k != j).map(|k| [i, j, k]));
        }
    }
    let mut candidates = Vec::new();
    for scheme in [SectorScheme::Easy, SectorScheme::Medium, SectorScheme::Hard] {
        dice.shuffle(&mut triples);
        let mut asked = 0;
        for triple in &triples {
            if asked >= limit {
                break;
            }
            let [by, faced, target] = triple.map(|index| objects[index]);
            let (standpoint, facing) = (by.bounds.center, faced.bounds.center);
            let near = [(by, faced), (by, target), (faced, target)];
            if !near.iter().all(|(one, other)| in_range(showing, one, other)) {
                continue;
            }
            let Some(direction) = judge(showing, scheme, standpoint, facing, &target.bounds) else {
                continue;
            };
            let Some(cameras) = showing.cameras_for(&[by.id, faced.id, target.id], dice) else {
                continue;
            };
            asked += 1;
            let telling = Telling::new(showing, &cameras);
            candidates.push(Candidate {
                visibility: showing.sights.visibility(&[by.id, faced.id, target.id], &cameras),
                data_type: showing.data_type,
                question_type: QuestionType::RelativeDirection,
                question: wording(scheme, by, faced, target),
                thought: thoughts::direction_by_object(
                    &telling,
                    [by, faced, target],
                    direction.angle_deg,
                    direction.word,
                    dice,
                )
                .into(),
                answer: choice(scheme, direction.word, false),
                boxes: Vec::new(),
                reason: Reason::RelativeDirection {
                    scheme,
                    objects: vec![by.id, faced.id, target.id],
                    standpoint,
                    facing,
                    target: target.bounds.center,
                    angle_deg: direction.angle_deg,
                },
                cameras,
            });
        }
    }
    candidates
}

fn wording(scheme: SectorScheme, by: &Object, faced: &Object, target: &Object) -> String {
    let [by, faced, target] = [by, faced, target].map(|object| object.category.as_str());
    let start = format!("If I am standing by the {by} and facing the {faced}, is the {target} to");
    match scheme {
        SectorScheme::Easy => format!("{start} the left or the right of the {faced}?"),
        SectorScheme::Medium => format!(
            "{start} my left, right, or back? An object is to my back if I would have to turn at least 135 degrees \
             in order to face it."
        ),
        _ => format!(
            "{start} my front-left, front-right, back-left, or back-right? The directions refer to the quadrants \
             of a Cartesian plane (if I am standing at the origin and facing along the positive y-axis)."
        ),
    }
}
