//! Each answer, worked out again.

use super::*;
use crate::questions::spatial::CandidateAnswer;

/// Numbers are written with one decimal.
const HALF_DIGIT: f64 = 0.05;

fn number(candidate: &Candidate) -> f64 {
    candidate.answer_text().parse().unwrap()
}

/// Runs a check over all questions of a type; returns how many there were.
fn check_all(question_type: QuestionType, check: impl Fn(&Filmed, &Candidate) + Sync) -> usize {
    let asked: Vec<_> = questions().filter(|(_, c)| c.question_type == question_type).collect();
    asked.par_iter().for_each(|(filmed, candidate)| check(filmed, candidate));
    println!("{} questions of {}", asked.len(), question_type.name());
    asked.len()
}

#[test]
fn distances_are_those_of_densely_sampled_surfaces() {
    let checked = check_all(QuestionType::AbsoluteDistance, |filmed, candidate| {
        let [one, other] = &names(candidate)[..] else { panic!("two objects") };
        let [one, other] = [one, other].map(|name| Edges::of(&filmed.the(candidate, name).bounds));
        let sampled = sampled_distance(&one, &other);
        let off = number(candidate) - sampled;
        // Sampling can only overestimate.
        assert!(
            off < HALF_DIGIT + 1e-4 && off > -HALF_DIGIT - 0.01,
            "{off} {sampled}: {}",
            candidate.question
        );
        assert!(sampled >= f64::from(config().spatial.min_distance_m) - 1e-4);
    });
    assert!(checked > 400, "{checked}");
}

#[test]
fn the_nearest_of_four_is_nearest_by_sampled_surfaces_and_by_a_clear_gap() {
    let checked = check_all(QuestionType::RelativeDistance, |filmed, candidate| {
        let mut objects = names(candidate);
        let target = Edges::of(&filmed.the(candidate, &objects.pop().unwrap()).bounds);
        let CandidateAnswer::Choice { options, .. } = &candidate.answer else { panic!("a choice") };
        assert_eq!(options, &objects);
        let mut ranked: Vec<(f64, &String)> = objects
            .iter()
            .map(|name| (sampled_distance(&target, &Edges::of(&filmed.the(candidate, name).bounds)), name))
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(candidate.answer_text(), ranked[0].1, "{ranked:?}: {}", candidate.question);
        let wide = filmed.scene.room.area > 40.0;
        let gap = if wide { 0.30 } else { 0.15 };
        assert!(ranked[0].0 > 0.149, "{ranked:?}");
        assert!(ranked.windows(2).all(|pair| pair[1].0 - pair[0].0 > gap - 0.01), "{ranked:?}");
    });
    assert!(checked > 60, "{checked}");
}

#[test]
fn sizes_are_the_longest_edges_between_corners() {
    let checked = check_all(QuestionType::ObjectSize, |filmed, candidate| {
        let object = filmed.the(candidate, &names(candidate)[0]);
        let corners = object.bounds.corners().map(|corner| corner.as_dvec3());
        // The three corners that share an edge with the first are those at the other end of one axis.
        let longest = [1, 2, 4].map(|i| corners[i].distance(corners[0])).into_iter().fold(0.0, f64::max);
        assert!((number(candidate) - longest * 100.0).abs() < 0.501, "{longest}: {}", candidate.question);
        assert!(candidate.answer_text().bytes().all(|byte| byte.is_ascii_digit()));
    });
    assert!(checked > 300, "{checked}");
}

#[test]
fn room_sizes_are_those_of_counted_cells() {
    const CELL: f64 = 0.01;
    let checked = check_all(QuestionType::RoomSize, |filmed, candidate| {
        let corners: Vec<DVec2> = filmed.scene.room.outline.iter().map(|corner| corner.as_dvec2()).collect();
        let low = corners.iter().copied().reduce(DVec2::min).unwrap();
        let high = corners.iter().copied().reduce(DVec2::max).unwrap();
        // Of each column of cells, those between an odd and an even crossing of the outline.
        let mut cells = 0;
        for column in 0..((high.x - low.x) / CELL).ceil() as usize {
            let x = low.x + (column as f64 + 0.5) * CELL;
            let mut crossings: Vec<f64> = (0..corners.len())
                .map(|i| (corners[i], corners[(i + 1) % corners.len()]))
                .filter(|(from, to)| (from.x <= x) != (to.x <= x))
                .map(|(from, to)| from.y + (to.y - from.y) * (x - from.x) / (to.x - from.x))
                .collect();
            crossings.sort_by(f64::total_cmp);
            let rows = |y: f64| ((y - low.y) / CELL + 0.5).floor() as usize;
            cells += crossings.chunks_exact(2).map(|pair| rows(pair[1]) - rows(pair[0])).sum::<usize>();
        }
        let counted = cells as f64 * CELL * CELL;
        assert!(
            (number(candidate) - counted).abs() < HALF_DIGIT + 0.1,
            "{counted}: {}",
            candidate.answer_text()
        );
    });
    assert_eq!(checked, ROOMS.len());
}

#[test]
fn directions_are_those_in_the_frame_of_who_stands_there() {
    let checked = check_all(QuestionType::RelativeDirection, |filmed, candidate| {
        if candidate.data_type == DataType::SingleImage {
            return;
        }
        let [by, faced, target] = <[String; 3]>::try_from(names(candidate)).unwrap();
        let middle = |name: &str| flat(filmed.the(candidate, name).bounds.center.as_dvec3());
        let (here, ahead) = (middle(&by), middle(&faced) - middle(&by));
        // The whole scene, turned so that the asker is at the origin and looks along +Y.
        let turn = DVec2::from_angle(std::f64::consts::FRAC_PI_2 - ahead.to_angle());
        let seen = turn.rotate(middle(&target) - here);
        assert!(turn.rotate(ahead).x.abs() < 1e-6);
        let side = if seen.x < 0.0 { "left" } else { "right" };
        let expected = if candidate.question.contains("quadrants") {
            format!("{}-{side}", if seen.y < 0.0 { "back" } else { "front" })
        } else if candidate.question.contains("to my back") && -seen.y >= seen.x.abs() {
            // 135° or more from straight ahead.
            "back".to_owned()
        } else {
            side.to_owned()
        };
        assert_eq!(candidate.answer_text(), expected, "{seen}: {}", candidate.question);
        let apart = [(&by, &faced), (&by, &target), (&faced, &target)];
        let apart = apart.map(|(one, other)| middle(one).distance(middle(other)));
        assert!(apart.iter().all(|metres| (0.299..5.001).contains(metres)), "{apart:?}");
    });
    assert!(checked > 600, "{checked}");
}

#[test]
fn directions_from_the_camera_are_those_of_its_own_axes() {
    let checked = check_all(QuestionType::RelativeDirection, |filmed, candidate| {
        if candidate.data_type != DataType::SingleImage {
            return;
        }
        let [target, reference] = <[String; 2]>::try_from(names(candidate)).unwrap();
        let camera = &filmed.scene.cameras[candidate.cameras[0]];
        let turn = camera.pose.rotation.as_dquat().inverse();
        let [target, reference] = [target, reference].map(|name| {
            let center = filmed.the(candidate, &name).bounds.center.as_dvec3();
            turn * (center - camera.pose.translation.as_dvec3())
        });
        // In the camera's frame, right, down, forward; levelled by the pitch, so that height does not count.
        let up = turn * DVec3::Z;
        let level = |point: DVec3| {
            let pitch = up.z.atan2(-up.y);
            (point.x, point.z * pitch.cos() + point.y * pitch.sin())
        };
        assert!(up.x.abs() < 1e-4, "the camera is upright");
        let (x, depth) = (level(target).0 - level(reference).0, level(target).1 - level(reference).1);
        let side = if x < 0.0 { "left" } else { "right" };
        let distance = if depth < 0.0 { "front" } else { "back" };
        let expected = if candidate.question.contains("front-left") {
            format!("{distance}-{side}")
        } else if x.abs() > depth.abs() {
            side.to_owned()
        } else {
            distance.to_owned()
        };
        assert_eq!(candidate.answer_text(), expected, "{x} {depth}: {}", candidate.question);
        // Clear of the sectors' borders, which lie 22.5° to either side of each direction.
        let off = x.abs().atan2(depth.abs()).to_degrees();
        let off =
            if candidate.question.contains("front-left") { (off - 45.0).abs() } else { off.min(90.0 - off) };
        assert!(off < 22.5 - 9.99, "{off}: {}", candidate.question);
    });
    assert!(checked > 600, "{checked}");
}

#[test]
fn things_appear_in_the_order_of_the_pictures() {
    let checked = check_all(QuestionType::AppearanceOrder, |filmed, candidate| {
        assert_eq!(candidate.cameras, filmed.video);
        let mut first: Vec<(usize, String)> = names(candidate)
            .into_iter()
            .map(|name| {
                let id = filmed.the(candidate, &name).id;
                let shows = |&camera: &usize| filmed.instances[camera].contains(&id);
                (filmed.video.iter().position(shows).unwrap(), name)
            })
            .collect();
        first.sort();
        assert!(first.windows(2).all(|pair| pair[0].0 < pair[1].0), "{first:?}");
        let order: Vec<String> = first.into_iter().map(|(_, name)| name).collect();
        assert_eq!(candidate.answer_text(), order.join(", "));
        let CandidateAnswer::Choice { options, .. } = &candidate.answer else { panic!("a choice") };
        let sorted = |text: &str| {
            let mut parts: Vec<String> = text.split(", ").map(str::to_owned).collect();
            parts.sort();
            parts
        };
        assert!(options.iter().all(|option| sorted(option) == sorted(&options[0])));
        assert!((1..options.len()).all(|i| !options[..i].contains(&options[i])), "{options:?}");
    });
    assert!(checked > 30, "{checked}");
}

#[test]
fn counts_are_those_of_distinct_things_in_the_pictures() {
    let checked = check_all(QuestionType::ObjectCount, |filmed, candidate| {
        let category = &names(candidate)[0];
        let mut seen: Vec<u16> = Vec::new();
        for &camera in &candidate.cameras {
            seen.extend(&filmed.instances[camera]);
        }
        seen.sort_unstable();
        seen.dedup();
        let is_one = |id: &&u16| filmed.scene.objects.iter().any(|o| o.id == **id && &o.category == category);
        assert_eq!(candidate.answer_text(), seen.iter().filter(is_one).count().to_string());
    });
    assert!(checked > 25, "{checked}");
}

#[test]
fn views_show_everything_together_and_no_view_shows_it_alone() {
    let least = config().min_rival_pixels as usize;
    let mut checked = 0;
    for (filmed, candidate) in questions().filter(|(_, c)| c.data_type == DataType::MultiView) {
        assert_eq!(candidate.cameras.len(), 5);
        assert!(candidate.cameras.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(candidate.cameras.iter().all(|camera| filmed.stills.contains(camera)));
        let objects: Vec<u16> = names(&candidate)
            .iter()
            .flat_map(|name| filmed.named(&candidate, name))
            .map(|object| object.id)
            .collect();
        let shows = |camera: usize, id: u16| filmed.pixels(camera, id) >= least;
        for &id in &objects {
            assert!(candidate.cameras.iter().any(|&camera| shows(camera, id)), "{}", candidate.question);
        }
        if objects.len() > 1 {
            let all = |&camera: &usize| objects.iter().all(|&id| shows(camera, id));
            assert!(!candidate.cameras.iter().any(all), "{}", candidate.question);
        }
        checked += 1;
    }
    assert!(checked > 300, "{checked}");
}

#[test]
fn boxes_of_single_images_hold_the_pixels_of_what_is_named() {
    for (filmed, candidate) in questions() {
        let expected =
            if candidate.data_type == DataType::SingleImage { names(&candidate) } else { Vec::new() };
        let labels: Vec<&String> = candidate.boxes.iter().map(|boxed| &boxed.label).collect();
        assert_eq!(labels, expected.iter().collect::<Vec<_>>());
        for boxed in &candidate.boxes {
            let id = filmed.the(&candidate, &boxed.label).id;
            let [x1, y1, x2, y2] = boxed.bbox_2d;
            let inside = |at: usize| {
                let (x, y) = (at as i64 % i64::from(WIDTH), at as i64 / i64::from(WIDTH));
                (x1..x2).contains(&x) && (y1..y2).contains(&y)
            };
            let pixels = &filmed.instances[candidate.cameras[0]];
            assert!((0..pixels.len()).filter(|&at| pixels[at] == id).all(inside), "{}", candidate.question);
        }
    }
}
