//! What answers must not depend on, and what must swap left and right.

use super::*;
use crate::geometry::{PixelBox, yaw};
use glam::{Quat, Vec2, Vec3, vec2};

/// A scene after a change to places, to orientations, and to where in its picture something is seen.
fn changed(
    filmed: &Filmed,
    place: impl Fn(Vec3) -> Vec3,
    turn: impl Fn(Quat) -> Quat,
    picture: impl Fn(PixelBox) -> PixelBox,
) -> Filmed {
    let mut filmed = filmed.clone();
    let moved = |bounds: &mut OrientedBox| {
        bounds.center = place(bounds.center);
        bounds.rotation = turn(bounds.rotation);
    };
    let scene = &mut filmed.scene;
    for corner in &mut scene.room.outline {
        *corner = place(corner.extend(0.0)).truncate();
    }
    scene.room.floor = place(Vec3::Z * scene.room.floor).z;
    for object in &mut scene.objects {
        moved(&mut object.bounds);
    }
    for camera in &mut scene.cameras {
        camera.pose.translation = place(camera.pose.translation);
        camera.pose.rotation = turn(camera.pose.rotation);
    }
    // What is seen stays the same, so that no pixel on a border decides another way.
    for (camera, seen) in &mut filmed.observations {
        for observation in seen {
            moved(&mut observation.bounds);
            let center = observation.bounds.center;
            observation.camera_position = scene.cameras[*camera].pose.inverse_transform_point(center);
            observation.pixel_box = picture(observation.pixel_box);
        }
    }
    filmed
}

/// The questions before the first of which rounding decides whether it is asked: up to there both lists ask
/// the same.
fn common<'a>(one: &'a [Candidate], other: &'a [Candidate]) -> Vec<(&'a Candidate, &'a Candidate)> {
    let pairs = one.iter().zip(other);
    pairs.take_while(|(a, b)| a.question == b.question && a.cameras == b.cameras).collect()
}

/// Whether the answers are the same; numbers may be rounded another way.
fn agree(one: &Candidate, other: &Candidate) -> bool {
    let (a, b) = (one.answer_text(), other.answer_text());
    if a == b {
        return true;
    }
    let digit = if one.question_type == QuestionType::ObjectSize { 1.0 } else { 0.1 };
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() < digit * 1.001,
        _ => false,
    }
}

fn swapped(text: &str) -> String {
    text.replace("left", "\0").replace("right", "left").replace('\0', "right")
}

#[test]
fn a_rigid_motion_of_the_world_changes_nothing() {
    let (mut asked, mut compared, mut alike) = (0, 0, 0);
    for (i, filmed) in ROOMS.iter().enumerate() {
        let mut dice = Dice::new(5, i as u64);
        let rotation = yaw(dice.between(-3.1, 3.1));
        let shift = Vec3::new(dice.between(-9.0, 9.0), dice.between(-9.0, 9.0), dice.between(-3.0, 3.0));
        let moved = changed(filmed, |p| rotation * p + shift, |q| rotation * q, |pixels| pixels);
        let (here, there) = (filmed.ask(3), moved.ask(3));
        let pairs = common(&here, &there);
        asked += here.len();
        compared += pairs.len();
        for (one, other) in pairs {
            assert!(agree(one, other), "{}: {one:?} {other:?}", filmed.scene.name);
            alike +=
                usize::from(one.answer == other.answer && one.thought.text(None) == other.thought.text(None));
        }
    }
    assert!(compared * 10 > asked * 9, "{compared} of {asked}");
    // Thoughts give many numbers, any of which may lie where rounding turns.
    assert!(alike * 100 > compared * 97, "{alike} of {compared}");
}

#[test]
fn mirroring_swaps_left_and_right_and_nothing_else() {
    let (mut asked, mut compared, mut alike, mut directions) = (0, 0, 0, 0);
    for filmed in ROOMS.iter() {
        let flip = |p: Vec3| Vec3::new(-p.x, p.y, p.z);
        let turn = |q: Quat| Quat::from_xyzw(q.x, -q.y, -q.z, q.w);
        let picture = |b: PixelBox| PixelBox::new(WIDTH as f32 - b.x2, b.y1, WIDTH as f32 - b.x1, b.y2);
        let mut mirrored = changed(filmed, flip, turn, picture);
        mirrored.scene.room.outline.reverse();
        let (here, there) = (filmed.ask(4), mirrored.ask(4));
        let pairs = common(&here, &there);
        asked += here.len();
        compared += pairs.len();
        for (one, other) in pairs {
            if one.question_type == QuestionType::RelativeDirection {
                assert_eq!(swapped(one.answer_text()), other.answer_text(), "{}", one.question);
                directions += usize::from(one.answer_text() != other.answer_text());
            } else {
                assert!(agree(one, other), "{}: {one:?} {other:?}", filmed.scene.name);
            }
            alike += usize::from(swapped(&one.thought.text(None)) == other.thought.text(None));
        }
    }
    assert!(compared * 10 > asked * 9, "{compared} of {asked}");
    assert!(directions > 300, "{directions}");
    assert!(alike * 100 > compared * 97, "{alike} of {compared}");
}

#[test]
fn leaving_out_frames_changes_no_answer_while_those_of_first_sight_stay() {
    let config = config();
    let mut compared = BTreeMap::new();
    for (i, filmed) in ROOMS.iter().enumerate() {
        let mut dice = Dice::new(6, i as u64);
        let mut kept: Vec<usize> = Vec::new();
        for object in &filmed.scene.objects {
            let seen =
                |camera: &usize| filmed.observations[camera].iter().find(|seen| seen.instance == object.id);
            kept.extend(filmed.video.iter().find(|camera| seen(camera).is_some()));
            kept.extend(filmed.video.iter().find(|camera| seen(camera).is_some_and(|s| s.is_clear(&config))));
        }
        let mut fewer = filmed.clone();
        fewer.video.retain(|camera| kept.contains(camera) || dice.chance(0.3));
        // Many draws of questions, so that both sets have many in common.
        let ask = |filmed: &Filmed| -> BTreeMap<String, Candidate> {
            let videos = (0..12).flat_map(|seed| filmed.ask(seed));
            let videos = videos.filter(|candidate| candidate.data_type == DataType::Video);
            // Orders of the same four things are one question however they are listed.
            let key = |candidate: &Candidate| match candidate.question_type {
                QuestionType::AppearanceOrder => {
                    let mut names = names(candidate);
                    names.sort();
                    names.join(", ")
                }
                _ => candidate.question.clone(),
            };
            videos.map(|candidate| (key(&candidate), candidate)).collect()
        };
        let (all, subset) = (ask(filmed), ask(&fewer));
        for (question, candidate) in &subset {
            if let Some(before) = all.get(question) {
                assert_eq!(
                    before.answer_text(),
                    candidate.answer_text(),
                    "{}: {question}",
                    filmed.scene.name
                );
                *compared.entry(candidate.question_type).or_insert(0) += 1;
            }
        }
    }
    println!("{compared:?}");
    assert!(
        QuestionType::ALL.iter().all(|kind| compared.get(kind).is_some_and(|&count| count > 8)),
        "{compared:?}"
    );
}

#[test]
fn whose_left_is_whose() {
    // By hand: standing at the origin and facing north, east is to the right; from the camera's perspective,
    // what is nearer is in front.
    let at = |place: Vec2| place.extend(0.3);
    let angle = |target: Vec2| clockwise_angle(at(Vec2::ZERO), at(vec2(0.0, 2.0)), at(target)).unwrap();
    use crate::samples::SectorScheme::{Cardinal, Diagonal, Easy, Hard, Medium};
    for (target, scheme, word) in [
        (vec2(1.0, 0.1), Easy, "right"),
        (vec2(-1.0, -3.0), Easy, "left"),
        (vec2(1.0, -0.9), Medium, "right"),
        (vec2(1.0, -1.1), Medium, "back"),
        (vec2(-1.0, 2.0), Hard, "front-left"),
        (vec2(0.2, -2.0), Hard, "back-right"),
        (vec2(0.1, -2.0), Cardinal, "front"),
        (vec2(-0.1, 2.0), Cardinal, "back"),
        (vec2(2.0, 0.1), Cardinal, "right"),
        (vec2(-1.0, -1.0), Diagonal, "front-left"),
        (vec2(1.0, 1.0), Diagonal, "back-right"),
    ] {
        assert_eq!(direction_word(scheme, angle(target)), Some(word), "{target} {scheme:?}");
    }
    assert_eq!(direction_word(Cardinal, angle(vec2(1.0, 1.0))), None);
    assert_eq!(clockwise_angle(at(Vec2::ZERO), at(vec2(0.0, 2.0)), Vec3::Z), None);
    // Straight ahead, however it is rounded, is less than a whole turn.
    assert!(angle(vec2(-1e-9, 1.0)) < 360.0);
}

#[test]
fn a_tilted_head_changes_no_direction_and_one_laid_on_its_side_is_not_asked() {
    let rolled = |filmed: &Filmed, degrees: f32| {
        let mut rolled = filmed.clone();
        for camera in &mut rolled.scene.cameras {
            camera.pose.rotation *= yaw(degrees.to_radians());
        }
        let asked = rolled.ask(7).into_iter();
        let by_camera = |c: &Candidate| {
            c.data_type == DataType::SingleImage && c.question_type == QuestionType::RelativeDirection
        };
        asked.filter(by_camera).collect::<Vec<_>>()
    };
    for filmed in ROOMS.iter().take(4) {
        let (upright, tilted) = (rolled(filmed, 0.0), rolled(filmed, 8.0));
        assert!(!upright.is_empty());
        for (one, other) in common(&upright, &tilted) {
            assert_eq!(one.answer, other.answer, "{}", one.question);
        }
        assert!(rolled(filmed, 90.0).is_empty() && rolled(filmed, 180.0).is_empty());
    }
}
