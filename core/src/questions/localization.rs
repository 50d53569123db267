//! Stage 1: where things are in a picture.
//!
//! In the released data the question of a localization row is the spatial question that stage 2 asks about
//! the same picture; here it asks for the objects themselves. The instruction to answer with boxes is not
//! part of the row: [`crate::samples::prompts::stage1`] adds it.

use super::config::{QuestionConfig, UniqueCategory};
use super::observations::Observation;
use crate::samples::GroundedBox;
use crate::scenes::{Dice, Scene};
use serde::{Deserialize, Serialize};

/// Ways to ask; `{objects}` stands for "the chair", "the chair and the tv", "the chair, the tv and the bed".
pub const TEMPLATES: [&str; 8] = [
    "Where {is} {objects}?",
    "Where {is} {objects} in the image?",
    "Can you find {objects}?",
    "Which part of the image shows {objects}?",
    "Find {objects} in this picture.",
    "Locate {objects}.",
    "Point out {objects} in the image.",
    "At which positions {is} {objects}?",
];

/// A question with its answer, not yet numbered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Localization {
    pub question: String,
    /// In the order in which the question names the objects.
    pub answer: Vec<GroundedBox>,
}

/// The objects that may be asked about in this picture.
pub fn eligible<'a>(
    scene: &Scene,
    observations: &'a [Observation],
    config: &QuestionConfig,
) -> Vec<&'a Observation> {
    let is_unique = |observation: &Observation| match config.unique_category {
        UniqueCategory::Frame => !observations.iter().any(|other| {
            config.are_alike(&other.category, &observation.category)
                && other.instance != observation.instance
                && other.visible_pixels >= config.min_rival_pixels
        }),
        UniqueCategory::Scene => {
            scene
                .objects
                .iter()
                .filter(|object| config.are_alike(&object.category, &observation.category))
                .count()
                == 1
        }
    };
    let allowed = |observation: &&Observation| {
        observation.is_clear(config)
            && (config.categories.is_empty() || config.categories.contains(&observation.category))
            && is_unique(observation)
    };
    observations.iter().filter(allowed).collect()
}

/// Questions about one picture, no two about the same objects.
pub fn localization(
    scene: &Scene,
    observations: &[Observation],
    config: &QuestionConfig,
    dice: &mut Dice,
) -> Vec<Localization> {
    let mut pool = eligible(scene, observations, config);
    let mut asked: Vec<Vec<u16>> = Vec::new();
    let mut questions = Vec::new();
    if pool.is_empty() {
        return questions;
    }
    // A picture with few objects has few different questions: give up after some repetitions.
    for _ in 0..4 * config.questions_per_frame {
        if questions.len() == config.questions_per_frame {
            break;
        }
        let most = config.max_objects_per_question.min(pool.len()) as u32;
        let count = dice.count(1, most) as usize;
        dice.shuffle(&mut pool);
        let chosen = &pool[..count];
        let mut key: Vec<u16> = chosen.iter().map(|observation| observation.instance).collect();
        key.sort_unstable();
        if asked.contains(&key) {
            continue;
        }
        asked.push(key);
        let labels: Vec<&str> = chosen.iter().map(|observation| observation.category.as_str()).collect();
        questions.push(Localization {
            question: ask(&labels, dice.index(TEMPLATES.len())),
            answer: chosen
                .iter()
                .map(|observation| GroundedBox {
                    bbox_2d: observation.bbox_2d(),
                    label: observation.category.clone(),
                })
                .collect(),
        });
    }
    questions
}

/// The question for objects of these labels; `template` is taken modulo their number.
pub fn ask(labels: &[&str], template: usize) -> String {
    let objects = match labels {
        [rest @ .., last] if !rest.is_empty() => {
            format!("the {} and the {last}", rest.join(", the "))
        }
        _ => format!("the {}", labels.join(", the ")),
    };
    let is = if labels.len() > 1 { "are" } else { "is" };
    TEMPLATES[template % TEMPLATES.len()].replace("{objects}", &objects).replace("{is}", is)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{OrientedBox, PixelBox};
    use crate::scenes::Room;
    use glam::{Quat, Vec3};

    fn observation(instance: u16, category: &str, pixel_box: [f32; 4], visibility: f32) -> Observation {
        let [x1, y1, x2, y2] = pixel_box;
        let pixel_box = PixelBox::new(x1, y1, x2, y2);
        Observation {
            instance,
            category: category.to_owned(),
            bounds: OrientedBox { center: Vec3::ZERO, half_extents: Vec3::ONE, rotation: Quat::IDENTITY },
            pixel_box,
            camera_position: Vec3::Z,
            visible_pixels: pixel_box.area() as u32,
            box_share: pixel_box.area() / (640.0 * 480.0),
            visibility,
            size: Vec3::splat(2.0),
        }
    }

    fn empty_scene() -> Scene {
        let room =
            Room { outline: Vec::new(), floor: 0.0, height: 2.5, area: 0.0, kind: String::new(), style: 0 };
        let (name, source) = ("a".to_owned(), "rooms".to_owned());
        Scene { name, source, room, objects: Vec::new(), cameras: Vec::new() }
    }

    #[test]
    fn asks_only_for_what_can_be_told_apart_and_seen() {
        let observations = [
            observation(1, "chair", [0.0, 0.0, 100.0, 100.0], 1.0),
            observation(2, "chair", [200.0, 0.0, 300.0, 100.0], 1.0),
            observation(3, "tv", [300.0, 100.0, 400.0, 200.0], 0.5),
            observation(4, "lamp", [0.0, 300.0, 100.0, 400.0], 0.1),
            observation(5, "cup", [0.0, 300.0, 20.0, 320.0], 1.0),
            observation(6, "bed", [400.0, 300.0, 600.0, 480.0], 0.9),
            observation(7, "bed", [399.0, 300.0, 400.0, 303.0], 0.9),
            observation(8, "desk", [0.0, 0.0, 100.0, 100.0], 1.0),
            observation(9, "table", [200.0, 0.0, 300.0, 100.0], 1.0),
        ];
        let config = QuestionConfig::default();
        let ids: Vec<_> =
            eligible(&empty_scene(), &observations, &config).iter().map(|o| o.instance).collect();
        assert_eq!(ids, [3, 6]);
    }

    #[test]
    fn answers_follow_the_question_and_questions_differ() {
        let observations: Vec<_> = ["tv", "bed", "sofa", "door"]
            .iter()
            .zip(1..)
            .map(|(category, i)| {
                let x = f32::from(i) * 100.0;
                observation(i, category, [x, 10.0, x + 90.0, 110.0], 1.0)
            })
            .collect();
        let config = QuestionConfig { questions_per_frame: 12, ..QuestionConfig::default() };
        let questions = localization(&empty_scene(), &observations, &config, &mut Dice::new(5, 0));
        assert!(questions.len() > 8);
        let mut sets = std::collections::BTreeSet::new();
        for Localization { question, answer } in &questions {
            let places: Vec<_> = answer.iter().map(|a| question.find(&a.label).unwrap()).collect();
            assert!(places.is_sorted(), "{question}");
            let mut labels: Vec<_> = answer.iter().map(|a| a.label.clone()).collect();
            labels.sort();
            assert!(sets.insert(labels));
        }
    }

    #[test]
    fn wording() {
        assert_eq!(ask(&["tv"], 1), "Where is the tv in the image?");
        assert_eq!(ask(&["tv", "bed", "door"], 0), "Where are the tv, the bed and the door?");
    }
}
