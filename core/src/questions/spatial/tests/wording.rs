//! Thoughts must lead to the answer and to no other.

use super::*;
use crate::answering::sightings::sightings;
use crate::samples::Reason;
use glam::{Vec3, vec2};

/// Numbers in a text that stand before this unit.
fn numbers_before(text: &str, unit: &str) -> Vec<f64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_unit = |word: &str| word.trim_end_matches([',', '.']) == unit;
    words.windows(2).filter(|pair| is_unit(pair[1])).filter_map(|pair| pair[0].parse().ok()).collect()
}

/// The last sentence.
fn last_sentence(thought: &str) -> &str {
    let thought = thought.trim_end_matches('.');
    thought.rfind(". ").map_or(thought, |at| &thought[at + 2..])
}

/// Whether a sighting is of what has this name.
fn speaks_of(sentence: &str, name: &str) -> bool {
    sentence.contains(&format!("he {name} ")) || sentence.contains(&format!("the {name},"))
}

#[test]
fn numbers_of_a_thought_add_up_to_the_answer() {
    let mut checked = 0;
    for (_, candidate) in questions() {
        let (thought, answer) = (&candidate.thought.text(None), candidate.answer_text());
        match candidate.question_type {
            QuestionType::AbsoluteDistance => {
                assert!(last_sentence(thought).ends_with(&format!(" {answer} m")), "{thought} {answer}");
                let middles = thought.split("middles are about ").nth(1).unwrap();
                let middles: f64 = middles.split(' ').next().unwrap().parse().unwrap();
                let answer: f64 = answer.parse().unwrap();
                // Said to be smaller only where it is.
                assert!(middles >= answer, "{thought}");
                assert!(middles > answer || !thought.contains("closest points"), "{thought}");
            }
            QuestionType::ObjectSize => {
                let sides = numbers_before(thought, "cm");
                assert_eq!(sides.len(), 3, "{thought}");
                let longest = sides.iter().copied().fold(0.0, f64::max);
                assert_eq!(longest, answer.parse::<f64>().unwrap(), "{thought}");
                let named = last_sentence(thought);
                for (word, unit) in [("width", "cm wide"), ("depth", "cm deep"), ("height", "cm high")] {
                    if named.contains(word) {
                        assert!(thought.contains(&format!("{answer} {unit}")), "{thought}");
                    }
                }
            }
            QuestionType::ObjectCount => {
                let name = &names(&candidate)[0];
                let count: usize = answer.parse().unwrap();
                let one_by_one = |i: usize| thought.contains(&format!("{name} {i} is in "));
                assert!((1..=count).all(one_by_one) && !one_by_one(count + 1), "{thought}");
            }
            QuestionType::RoomSize => {
                let area: f64 = answer.parse().unwrap();
                let sides = numbers_before(thought, "m");
                let [one, other] = sides[..] else { panic!("two sides: {thought}") };
                let rounding = (one + other) * 0.05 + 0.06;
                if thought.contains("fills that rectangle") {
                    assert!((one * other - area).abs() < rounding, "{thought} {area}");
                } else {
                    let rectangle = numbers_before(thought, "square")[0];
                    assert!(
                        (one * other - rectangle).abs() < rounding && rectangle > area,
                        "{thought} {area}"
                    );
                }
            }
            _ => continue,
        }
        checked += 1;
    }
    assert!(checked > 700, "{checked}");
}

#[test]
fn thoughts_about_choices_name_the_right_one() {
    let mut checked = 0;
    for (_, candidate) in questions() {
        let (thought, answer) = (&candidate.thought.text(None), candidate.answer_text());
        match candidate.question_type {
            QuestionType::RelativeDistance => {
                let names = names(&candidate);
                let options = &names[..names.len() - 1];
                // Each option is placed, and its gap stands behind that.
                let sentences: Vec<&str> = thought.split(". ").collect();
                let gaps: Vec<(f64, &str)> = sentences
                    .windows(2)
                    .filter_map(|pair| {
                        let gap = pair[1].strip_prefix("That leaves ")?.strip_suffix(" m between them")?;
                        let name = options.iter().filter(|name| speaks_of(pair[0], name));
                        Some((gap.parse().unwrap(), name.max_by_key(|name| name.len()).unwrap().as_str()))
                    })
                    .collect();
                assert_eq!(gaps.iter().map(|(_, name)| *name).collect::<Vec<_>>(), options);
                let least = gaps.iter().map(|(gap, _)| *gap).fold(f64::INFINITY, f64::min);
                let nearest: Vec<_> = gaps.iter().filter(|(gap, _)| *gap == least).collect();
                assert_eq!(nearest.len(), 1, "{thought}");
                assert_eq!(nearest[0].1, answer, "{thought}");
                let conclusion = last_sentence(thought);
                let named: Vec<&String> = options
                    .iter()
                    .filter(|name| {
                        conclusion.contains(&format!("the {name} is"))
                            || conclusion.starts_with(&format!("The {name} has"))
                    })
                    .collect();
                assert_eq!(named, [answer], "{conclusion}");
            }
            QuestionType::RelativeDirection => {
                let conclusion = last_sentence(thought);
                let word = conclusion.rsplit(' ').next().unwrap();
                assert_eq!(word, answer, "{thought}");
                for side in ["left", "right"] {
                    let other = if side == "left" { "right" } else { "left" };
                    if answer.ends_with(side) {
                        assert!(!thought.contains(&format!("degrees to the {other}")), "{thought}");
                        let misplaced = format!("m to the {other} and");
                        assert!(
                            candidate.data_type != DataType::SingleImage || !thought.contains(&misplaced),
                            "{thought}"
                        );
                    }
                }
                if candidate.data_type == DataType::SingleImage {
                    let nearer = thought.contains(" nearer.");
                    assert!(!answer.starts_with("front") || nearer, "{thought}");
                    assert!(!(answer.starts_with("back") && nearer), "{thought}");
                } else if let Some(turn) = numbers_before(thought, "degrees").first() {
                    let behind = if candidate.question.contains("quadrants") { 90.0 } else { 135.0 };
                    assert_eq!(
                        answer.starts_with("back"),
                        *turn > behind && answer != "left" && answer != "right"
                    );
                } else {
                    panic!("no angle: {thought}");
                }
            }
            QuestionType::AppearanceOrder => {
                let Reason::AppearanceOrder { first_frames, .. } = &candidate.reason else {
                    panic!("an order")
                };
                let expected: Vec<String> = answer
                    .split(", ")
                    .zip(first_frames)
                    .map(|(name, frame)| format!("the {name} in frame {}", frame + 1))
                    .collect();
                assert!(first_frames.is_sorted());
                assert_eq!(last_sentence(thought), format!("Sorted by time: {}", expected.join(", ")));
            }
            _ => continue,
        }
        checked += 1;
    }
    assert!(checked > 700, "{checked}");
}

#[test]
fn thoughts_say_where_things_are_seen() {
    let mut checked = 0;
    for (filmed, candidate) in questions() {
        for sentence in candidate.thought.text(None).split(". ") {
            // "… on the left of view 3, …": there something named in the sentence is seen.
            let Some((side, rest)) = ["left", "right"]
                .iter()
                .find_map(|side| Some((*side, sentence.split_once(&format!("n the {side} of "))?.1)))
            else {
                continue;
            };
            let mut words = rest.split([' ', ',', '.']);
            let camera = match words.next() {
                Some("view" | "frame") => {
                    candidate.cameras[words.next().unwrap().parse::<usize>().unwrap() - 1]
                }
                _ => candidate.cameras[0],
            };
            let named = names(&candidate);
            let longest = named.iter().filter(|name| speaks_of(sentence, name));
            let name = longest.max_by_key(|name| name.len()).unwrap_or_else(|| panic!("{sentence}"));
            let id = filmed.the(&candidate, name).id;
            let columns: Vec<f32> = (0..filmed.instances[camera].len())
                .filter(|&at| filmed.instances[camera][at] == id)
                .map(|at| (at % WIDTH as usize) as f32 + 0.5)
                .collect();
            assert!(!columns.is_empty(), "{sentence}");
            let low = columns.iter().copied().fold(f32::INFINITY, f32::min);
            let high = columns.iter().copied().fold(0.0, f32::max);
            let middle = (low + high) / 2.0 / WIDTH as f32;
            assert!(if side == "left" { middle < 0.34 } else { middle > 0.66 }, "{middle}: {sentence}");
            checked += 1;
        }
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn boxes_in_thoughts_are_around_the_pixels_of_what_they_name() {
    let mut config = config();
    config.spatial.boxes_in_thoughts = true;
    let mut checked = [0; 2];
    for (filmed, seed) in ROOMS.iter().take(12).zip(0..) {
        for candidate in ask_all(&filmed.sights(), &config, &mut Dice::new(seed, 0)) {
            let thought = candidate.thought.text(None);
            for sighting in sightings(&thought) {
                let id = filmed.the(&candidate, &sighting.found.label).id;
                let instances = &filmed.instances[candidate.cameras[sighting.picture]];
                let pixels: Vec<(u32, u32)> = (0..WIDTH * HEIGHT)
                    .filter(|at| instances[*at as usize] == id)
                    .map(|at| (at % WIDTH, at / WIDTH))
                    .collect();
                let span = |side: &dyn Fn(&(u32, u32)) -> u32| {
                    let sides = || pixels.iter().map(side);
                    [sides().min().unwrap() as f32, sides().max().unwrap() as f32 + 1.0]
                };
                let ([x1, x2], [y1, y2]) = (span(&|at| at.0), span(&|at| at.1));
                assert_eq!(sighting.found.bbox_2d, [x1, y1, x2, y2], "{thought}");
                checked[usize::from(candidate.data_type != DataType::SingleImage)] += 1;
            }
        }
    }
    assert!(checked.iter().all(|count| *count > 200), "{checked:?}");
}

#[test]
fn small_models_go_through_the_options_by_letter_and_keep_the_nearest() {
    let mut config = config();
    config.spatial.boxes_in_thoughts = true;
    let mut checked = 0;
    for (filmed, seed) in ROOMS.iter().take(8).zip(0..) {
        for candidate in ask_all(&filmed.sights(), &config, &mut Dice::new(seed, 0)) {
            let Reason::RelativeDistance { shortest, .. } = &candidate.reason else { continue };
            let CandidateAnswer::Choice { options, correct, .. } = &candidate.answer else { panic!() };
            let order: Vec<usize> = (0..options.len()).rev().collect();
            let thought = candidate.thought.text(Some(&order));
            let mut rest = thought.as_str();
            let mut nearest: Option<(char, f32)> = None;
            for (place, &at) in order.iter().enumerate() {
                let letter = letter(place);
                let (_, told) = rest.split_once(&format!(" {letter}. ")).expect("the letter of the option");
                let gap = shortest[at].length();
                let (of_option, after) =
                    told.split_once(&format!(" That leaves {gap:.1} m between them. ")).expect(&thought);
                assert!(speaks_of(of_option, &options[at]), "{thought}");
                let closer = nearest.is_none_or(|(_, least)| gap < least);
                let expected = match nearest.filter(|_| !closer) {
                    Some((best, least)) => format!("{best} stays the nearest, {least:.1} m."),
                    None => format!("{letter} is the nearest so far, {gap:.1} m."),
                };
                assert!(after.starts_with(&expected), "{thought}: {expected}");
                if closer {
                    nearest = Some((letter, gap));
                }
                rest = &after[expected.len()..];
            }
            assert_eq!(rest, "");
            let place = order.iter().position(|at| at == correct).unwrap();
            assert_eq!(nearest.unwrap().0, letter(place), "{thought}");
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn the_letter_of_an_answer_follows_the_words_the_search_or_comes_first() {
    let options = ["A. left", "B. front-left", "C. right"].map(str::to_owned);
    let said = |place: usize, letter_from| {
        let words = &options[place][3..];
        let end =
            conclusion(words, Some(Choice { options: &options, place, letter_from }), &mut Dice::new(1, 0));
        end.split_once(words).map(|(start, rest)| (start.to_owned(), rest.to_owned())).unwrap()
    };
    assert_eq!(said(1, LetterFrom::Words).1, ", which is B.");
    assert_eq!(said(1, LetterFrom::Search).1, ": A. left. B. front-left, which is B.");
    assert_eq!(said(0, LetterFrom::Search).1, ": A. left, which is A.");
    let orders = ["A. tv, lamp, cup", "B. lamp, sofa, tv", "C. lamp, tv, sofa"].map(str::to_owned);
    let of_orders = |place: usize| {
        let choice = Choice { options: &orders, place, letter_from: LetterFrom::NameByName };
        conclusion(&orders[place][3..], Some(choice), &mut Dice::new(1, 0))
    };
    assert_eq!(of_orders(0), "The order starts with tv: A. tv. B. lamp. C. lamp, which is A.");
    assert_eq!(
        of_orders(2),
        "The order starts with lamp: A. tv. B. lamp. C. lamp. Next comes tv: B. sofa. C. tv, which is C."
    );
    let (start, rest) = said(2, LetterFrom::Thought);
    assert!(start.ends_with(" C, ") && rest == ".", "{start}{rest}");
    assert!(conclusion("3.1", None, &mut Dice::new(1, 0)).ends_with(" 3.1."));
}

#[test]
fn small_models_tell_what_they_see_in_the_order_that_they_need() {
    let mut config = config();
    config.spatial.boxes_in_thoughts = true;
    let (mut counted, mut measured, mut ordered, mut all_different) = (0, 0, 0, 0);
    for (filmed, seed) in ROOMS.iter().zip(0..) {
        for candidate in ask_all(&filmed.sights(), &config, &mut Dice::new(seed, 0)) {
            let (thought, answer) = (&candidate.thought.text(None), candidate.answer_text());
            match &candidate.reason {
                Reason::ObjectCount { category, objects } => {
                    let (_, told) =
                        thought.split_once(&format!("I look for each {category}. In ")).expect(thought);
                    let (told, end) = told.split_once(". ").unwrap();
                    let told: Vec<&str> = told.split(", in ").collect();
                    assert_eq!(told.len(), candidate.cameras.len());
                    let mut times_seen = vec![0; objects.len()];
                    for ((number, &camera), told) in (1..).zip(&candidate.cameras).zip(told) {
                        let mut shown = 0;
                        for (&id, times) in objects.iter().zip(&mut times_seen) {
                            let seen = filmed.pixels(camera, id) >= config.min_rival_pixels as usize;
                            (shown, *times) = (shown + usize::from(seen), *times + usize::from(seen));
                        }
                        assert_eq!(told, format!("picture {number} I see {shown}"), "{thought}");
                    }
                    assert!(times_seen.iter().all(|times| *times > 0), "{thought}");
                    let first = if times_seen.iter().any(|times| *times > 1) { "Some" } else { "No two" };
                    let expected = format!("{first} of them are the same, so there are {answer}.");
                    assert_eq!(end, expected, "{thought}");
                    all_different += usize::from(first == "No two");
                    counted += 1;
                }
                Reason::ObjectSize { .. } => {
                    assert_eq!(
                        last_sentence(thought),
                        format!("Judging by that distance, it is about {answer} cm")
                    );
                    measured += 1;
                }
                Reason::AppearanceOrder { first_frames, .. } => {
                    let seen = sightings(thought);
                    let labels: Vec<&str> =
                        seen.iter().map(|sighting| sighting.found.label.as_str()).collect();
                    assert_eq!(labels.join(", "), answer, "{thought}");
                    let pictures: Vec<usize> = seen.iter().map(|sighting| sighting.picture).collect();
                    assert_eq!(pictures, *first_frames, "{thought}");
                    ordered += 1;
                }
                _ => {}
            }
        }
    }
    assert!(counted > 20 && measured > 100 && ordered > 20 && all_different > 0);
}

/// What `…, 5 far, 2 left` or `… is 2 left, 1 closer` says: half meters to the right and ahead.
fn half_meters(text: &str) -> [i32; 2] {
    let before = |end: &str| -> Option<i32> {
        text.split_once(end).and_then(|(start, _)| start.rsplit(' ').next()?.parse().ok())
    };
    let signed = |plus: &str, minus: &str| before(plus).or_else(|| before(minus).map(|count| -count));
    let ahead = signed(" far,", " behind,").or_else(|| signed(" farther", " closer"));
    [signed(" right", " left").expect(text), ahead.expect(text)]
}

#[test]
fn small_models_can_follow_how_places_lead_to_the_answer() {
    let mut config = config();
    config.spatial.boxes_in_thoughts = true;
    let (mut compared, mut pointed) = (0, 0);
    for (filmed, seed) in ROOMS.iter().take(16).zip(0..) {
        for candidate in ask_all(&filmed.sights(), &config, &mut Dice::new(seed, 0)) {
            let thought = &candidate.thought.text(None);
            let mut places: BTreeMap<String, (usize, [i32; 2])> = BTreeMap::new();
            // When things appear is told by the pictures alone.
            let placed = candidate.question_type != QuestionType::AppearanceOrder;
            for sighting in sightings(thought).into_iter().filter(|_| placed) {
                let [x1, y1, x2, y2] = sighting.found.bbox_2d;
                let (_, rest) = thought.split_once(&format!("({x1}, {y1}, {x2}, {y2})")).unwrap();
                let told = half_meters(rest.split_once(", ").unwrap().1.split(". ").next().unwrap());
                let object = filmed.the(&candidate, &sighting.found.label);
                let camera = candidate.cameras[sighting.picture];
                let pose = &filmed.scene.cameras[camera].pose;
                let level = (pose.transform_point(Vec3::Z) - pose.translation).truncate().normalize();
                let apart = (object.bounds.center - pose.translation).truncate();
                for (told, metres) in told.iter().zip([apart.dot(vec2(level.y, -level.x)), apart.dot(level)])
                {
                    assert!((*told as f32 * 0.5 - metres).abs() < 0.2501, "{thought}: {metres}");
                }
                places.insert(sighting.found.label, (camera, told));
            }
            let sentences: Vec<&str> = thought.split(". ").collect();
            for (at, sentence) in sentences.iter().enumerate() {
                let compares = sentence.strip_prefix("From the ").and_then(|rest| rest.split_once(", the "));
                let Some((from, rest)) = compares else { continue };
                let (to, offset) = rest.split_once(" is ").unwrap();
                let ([from, to], [right, ahead]) = ([from, to].map(|name| places[name]), half_meters(offset));
                assert_eq!(from.0, to.0, "not in one picture: {thought}");
                assert_eq!([to.1[0] - from.1[0], to.1[1] - from.1[1]], [right, ahead], "{thought}");
                compared += 1;
                let hour = sentences.get(at + 1).and_then(|next| next.strip_prefix("That is at "));
                if let Some(hour) = hour.and_then(|rest| rest.strip_suffix(" o'clock")) {
                    let hour: f64 = hour.parse().unwrap();
                    let exact = f64::from(right).atan2(f64::from(ahead)).to_degrees() / 30.0;
                    let apart = (hour - exact).rem_euclid(12.0);
                    assert!(apart.min(12.0 - apart) <= 0.5001, "{thought}");
                    pointed += 1;
                }
            }
            if let Reason::RelativeDirection { angle_deg, .. } = candidate.reason
                && let Some((_, hour)) = thought.split_once("So the ")
            {
                let hour = hour.split_once(" is at ").unwrap().1.split(' ').next().unwrap();
                let apart = (hour.parse::<f32>().unwrap() * 30.0 - angle_deg).rem_euclid(360.0);
                assert!(apart.min(360.0 - apart) < 15.001, "{thought}: {angle_deg}");
            }
        }
    }
    assert!(compared > 200 && pointed > 100, "{compared} {pointed}");
}
