//! How many objects of a category there are.

use super::thoughts::{self, Telling};
use super::{Candidate, CandidateAnswer, Showing};
use crate::samples::{QuestionType, Reason};
use crate::scenes::{Dice, Object};
use std::collections::BTreeMap;

/// Questions about different categories, at most `limit`. A category is asked about only when the pictures show
/// each of its objects well, and nothing is there that goes by another name but looks alike.
pub(super) fn ask(showing: &Showing, limit: usize, dice: &mut Dice) -> Vec<Candidate> {
    let config = showing.config;
    let scene = showing.sights.scene;
    let mut by_category: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
    for object in &scene.objects {
        by_category.entry(object.category.as_str()).or_default().push(object);
    }
    let mut categories: Vec<(&str, Vec<&Object>)> = by_category.into_iter().collect();
    dice.shuffle(&mut categories);
    let mut candidates = Vec::new();
    for (category, objects) in categories {
        if candidates.len() >= limit {
            break;
        }
        let uncounted = config.spatial.uncounted.iter().any(|name| name == category);
        let asked = config.categories.is_empty() || config.categories.iter().any(|name| name == category);
        let clear = !scene
            .objects
            .iter()
            .any(|other| other.category != category && config.are_alike(&other.category, category));
        let all_seen = objects.iter().all(|object| showing.is_seen_well(object.id));
        if objects.len() < config.spatial.min_count || !asked || uncounted || !clear || !all_seen {
            continue;
        }
        let ids: Vec<u16> = objects.iter().map(|object| object.id).collect();
        let Some(cameras) = showing.cameras_for(&ids, dice) else {
            continue;
        };
        let telling = Telling::new(showing, &cameras);
        candidates.push(Candidate {
            visibility: showing.sights.visibility(&ids, &cameras),
            data_type: showing.data_type,
            question_type: QuestionType::ObjectCount,
            question: format!("How many {category}(s) are in this room?"),
            thought: thoughts::object_count(&telling, category, &objects, dice).into(),
            answer: CandidateAnswer::Number(ids.len().to_string()),
            reason: Reason::ObjectCount { category: category.to_owned(), objects: ids },
            boxes: Vec::new(),
            cameras,
        });
    }
    candidates
}
