use super::*;
use crate::samples::{Evidence, Split};
use crate::scenes::Dice;

fn sample(id: u64, question: String, options: Option<Vec<&str>>, answer: String) -> SpatialSample {
    let lettered = |options: Vec<&str>| {
        ('A'..='Z').zip(options).map(|(letter, words)| format!("{letter}. {words}")).collect::<Vec<_>>()
    };
    SpatialSample {
        question_id: id,
        question,
        question_type: match options {
            Some(_) => QuestionType::RelativeDirection,
            None => QuestionType::ObjectSize,
        },
        options: options.map(lettered),
        answer,
        // Four questions a scene.
        image: vec![format!("images/room_{:04}/0000.jpg", id / 4)],
        data_type: DataType::SingleImage,
    }
}

/// The first rows to train on, the last `held_out` held out.
fn dataset(mut rows: Vec<SpatialSample>, held_out: usize) -> Dataset {
    let held_out = rows.split_off(rows.len() - held_out);
    let split = |spatial| Split { spatial, ..Split::default() };
    Dataset {
        root: Default::default(),
        info: None,
        train: split(rows),
        validation: split(held_out),
        evidence: Vec::new(),
    }
}

fn only_type(dataset: &Dataset) -> TypeQuality {
    let mut report = quality(dataset);
    assert_eq!(report.types.len(), 1, "{report:?}");
    report.types.remove(0)
}

fn score(blind: &Blind, baseline: Baseline) -> f64 {
    let (Blind::Solved(scores) | Blind::NotSolved(scores)) = blind else { panic!("{blind:?}") };
    scores.baselines.iter().find(|score| score.baseline == baseline).unwrap().score
}

fn letter(index: usize) -> String {
    ('A'..='Z').nth(index).unwrap().to_string()
}

#[test]
fn a_letter_that_is_right_too_often_is_a_fault() {
    // Three of four answers are B; the words behind the letters change places.
    let rows = (0..400).map(|id| {
        let words = if id % 8 < 4 { vec!["left", "right"] } else { vec!["right", "left"] };
        sample(id, "Where is the tv?".to_owned(), Some(words), letter(usize::from(id % 4 != 0)))
    });
    let of_type = only_type(&dataset(rows.collect(), 200));
    assert_eq!(of_type.letters, BTreeMap::from([('A', 0.25), ('B', 0.75)]));
    assert_eq!(score(&of_type.blind, Baseline::CommonestLetter), 0.75);
    // Both words are right equally often, and the tie falls to the option that comes first: A.
    assert_eq!(score(&of_type.blind, Baseline::CommonestAnswer), 0.25);
    let fault = of_type.fault().unwrap();
    assert!(fault.contains("single_image/relative direction is solved blind"), "{fault}");
}

#[test]
fn words_that_are_right_too_often_are_a_fault_even_if_letters_are_balanced() {
    let rows = (0..400).map(|id| {
        let words = if id % 2 == 0 { vec!["left", "right"] } else { vec!["right", "left"] };
        sample(id, "Where is the tv?".to_owned(), Some(words), letter((id % 2) as usize))
    });
    let of_type = only_type(&dataset(rows.collect(), 200));
    assert_eq!(score(&of_type.blind, Baseline::CommonestLetter), 0.5);
    assert_eq!(score(&of_type.blind, Baseline::CommonestAnswer), 1.0);
    assert_eq!(of_type.answers, [AnswerBin { answer: "left".to_owned(), count: 400 }]);
    assert!(matches!(of_type.blind, Blind::Solved(_)));
}

#[test]
fn the_objects_named_give_away_numbers_that_the_median_does_not() {
    let sizes = [("bed", 200), ("chair", 90), ("trash can", 30)];
    let rows: Vec<_> = (0..300)
        .map(|id| {
            let (object, size) = sizes[id % 3];
            let question = format!("What is the longest dimension of the {object}?");
            sample(id as u64, question, None, size.to_string())
        })
        .collect();
    let report = quality(&dataset(rows.clone(), 90));
    assert_eq!(report.categories["trash can"], 100);
    let of_type = &report.types[0];
    // The median, 90, is right for chairs alone: a third of 1, and 0 for the others' errors above a half.
    assert!((score(&of_type.blind, Baseline::Median) - (1.0 + 0.0 + 0.0) / 3.0).abs() < 1e-9);
    assert_eq!(score(&of_type.blind, Baseline::ObjectPrior), 1.0);
    assert!(of_type.fault().unwrap().contains("object prior"), "{:?}", of_type.fault());
    let counts: Vec<_> = of_type.answers.iter().map(|bin| (bin.answer.as_str(), bin.count)).collect();
    assert_eq!(counts, [("30", 100), ("90", 100), ("200", 100)]);
    // Without rows held out, each half of the scenes is scored with what the other half teaches.
    let of_type = only_type(&dataset(rows, 0));
    let Blind::Solved(scores) = &of_type.blind else { panic!("{of_type:?}") };
    assert_eq!((scores.scored, scores.on_held_out), (300, false));
}

#[test]
fn the_order_of_the_objects_named_matters() {
    // The tv is left of the bed, hence the bed right of the tv; the sofa tells nothing.
    let rows = (0..400).map(|id| {
        let (question, answer) = if id / 2 % 2 == 0 {
            ("Is the tv to the bed's left or right?", 0)
        } else {
            ("Is the bed to the tv's left or right?", 1)
        };
        let (words, answer) =
            if id % 2 == 0 { (vec!["left", "right"], answer) } else { (vec!["right", "left"], 1 - answer) };
        sample(id, question.to_owned(), Some(words), letter(answer))
    });
    let of_type = only_type(&dataset(rows.collect(), 100));
    assert_eq!(score(&of_type.blind, Baseline::CommonestAnswer), 0.5);
    assert_eq!(score(&of_type.blind, Baseline::ObjectPrior), 1.0);
    assert_eq!(score(&of_type.blind, Baseline::TextModel), 1.0);
}

#[test]
fn an_answer_that_its_distractors_were_made_from_is_a_fault() {
    // Each distractor swaps two neighbours of the answer; the order itself is random.
    let mut dice = Dice::new(5, 0);
    let rows = (0..600).map(|id| {
        let mut order = ["bed", "chair", "desk", "lamp"];
        dice.shuffle(&mut order);
        let mut options = vec![order];
        for place in 0..3 {
            let mut swapped = order;
            swapped.swap(place, place + 1);
            options.push(swapped);
        }
        let answer = (id % 4) as usize;
        options.swap(0, answer);
        let options: Vec<String> = options.iter().map(|order| order.join(", ")).collect();
        let options = Some(options.iter().map(String::as_str).collect());
        let question = "In which order do these appear?".to_owned();
        SpatialSample {
            question_type: QuestionType::AppearanceOrder,
            ..sample(id, question, options, letter(answer))
        }
    });
    let of_type = only_type(&dataset(rows.collect(), 200));
    assert!(score(&of_type.blind, Baseline::CommonestLetter) < 0.3);
    assert!(score(&of_type.blind, Baseline::TextModel) > 0.95, "{of_type:?}");
    assert!(of_type.fault().unwrap().contains("text model"));
}

#[test]
fn questions_that_need_looking_are_not_solved() {
    let mut dice = Dice::new(11, 0);
    let objects = ["bed", "chair", "desk", "lamp", "tv"];
    let rows = (0..1200).map(|id| {
        let [a, b] = [0, 1].map(|_| objects[dice.index(objects.len())]);
        let answer = dice.index(4);
        let words = vec!["front-left", "front-right", "back-left", "back-right"];
        sample(id, format!("Facing the {a}, where is the {b}?"), Some(words), letter(answer))
    });
    let of_type = only_type(&dataset(rows.collect(), 600));
    let Blind::NotSolved(scores) = &of_type.blind else { panic!("{of_type:?}") };
    assert_eq!((scores.scored, scores.on_held_out, scores.chance), (600, true, 0.25));
    for score in &scores.baselines {
        assert!(score.score < 0.32 && score.above_chance.low < 0.03, "{score:?}");
    }
    assert_eq!(of_type.fault(), None);
}

#[test]
fn numbers_spread_evenly_are_binned_by_tenths() {
    let rows = (1..=200).map(|id| sample(id, "How large?".to_owned(), None, id.to_string()));
    let of_type = only_type(&dataset(rows.collect(), 0));
    let bins: Vec<_> = of_type.answers.iter().map(|bin| (bin.answer.as_str(), bin.count)).collect();
    assert_eq!(bins.len(), 10);
    assert_eq!((bins[0], bins[9]), (("1 to 20", 20), ("181 to 200", 20)));
}

#[test]
fn few_rows_say_nothing_and_directions_are_told_apart_by_scheme() {
    let row = |id| sample(id, "Where is the tv?".to_owned(), Some(vec!["left", "right"]), "A".to_owned());
    let few = FEWEST_SCORED as u64 - 1;
    let of_type = only_type(&dataset((0..few).map(row).collect(), 20));
    assert_eq!(of_type.blind, Blind::TooFewRows { scored: FEWEST_SCORED - 1 });
    assert_eq!(of_type.fault(), None);
    // Too few are held out: all are scored, in two halves.
    let mut dataset = dataset((0..100).map(row).collect(), FEWEST_SCORED - 1);
    let of_type = only_type(&dataset);
    let Blind::Solved(scores) = of_type.blind else { panic!("{:?}", of_type.blind) };
    assert_eq!((scores.scored, scores.on_held_out), (100, false));
    // … unless these are too few.
    let all_in_few =
        |id: u64| sample(id / 4, "Where is the tv?".to_owned(), Some(vec!["left", "right"]), "A".to_owned());
    let of_type = only_type(&self::dataset((0..100).map(all_in_few).collect(), 20));
    assert_eq!(of_type.blind, Blind::TooFewScenes { scenes: 7 });
    let evidence = |question_id| Evidence {
        question_id,
        scene: String::new(),
        cameras: Vec::new(),
        categories: Vec::new(),
        visibility: None,
        reason: Reason::RelativeDirection {
            scheme: SectorScheme::Easy,
            objects: Vec::new(),
            standpoint: glam::Vec3::ZERO,
            facing: glam::Vec3::X,
            target: glam::Vec3::Y,
            angle_deg: 270.0,
        },
    };
    dataset.evidence = (0..30).map(evidence).collect();
    let names: Vec<_> =
        quality(&dataset).types.iter().map(|of_type| (of_type.name(), of_type.train)).collect();
    let name = "single_image/relative direction";
    assert_eq!(names, [(name.to_owned(), 21), (format!("{name} (easy)"), 30)]);
}
