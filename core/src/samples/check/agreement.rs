//! What rows must agree on with each other and with `dataset.json`.

use super::rows::{Place, Rows};
use super::{Fault, info_fault};
use crate::samples::{Counts, DatasetError, DatasetInfo};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Ids are used once in each kind of row. A localization, a spatial and a cold-start row that share one are about
/// the same images, and all of them are trained on or all held out.
pub(super) fn id_faults(places: &[Place<'_>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut first: HashMap<u64, Vec<&Place<'_>>> = HashMap::new();
    for place in places {
        let Some(id) = place.question_id else { continue };
        let others = first.entry(id).or_default();
        for other in others.iter() {
            let problem = if other.kind == place.kind {
                String::new()
            } else if other.images != place.images {
                ", which has other images".to_owned()
            } else if other.data_type != place.data_type {
                format!(", whose data_type is {}", other.data_type.name())
            } else if other.held_out != place.held_out {
                ": one is trained on, the other held out".to_owned()
            } else {
                continue;
            };
            let message = format!("question_id {id} is that of {}, line {}{problem}", other.file, other.line);
            faults.push(place.fault(message));
        }
        if others.iter().all(|other| other.kind != place.kind) {
            others.push(place);
        }
    }
    faults
}

/// No scene may be both trained on and held out. The folder of an image stands for its scene.
pub(super) fn part_faults(places: &[Place<'_>]) -> Vec<Fault> {
    let scenes = |held_out: bool| -> BTreeMap<&str, &Place<'_>> {
        let part = places.iter().filter(|place| place.held_out == held_out);
        part.flat_map(|place| place.images.iter().map(move |image| (image, place)))
            .filter_map(|(image, place)| Some((Path::new(image).parent()?.to_str()?, place)))
            .collect()
    };
    let trained = scenes(false);
    scenes(true)
        .into_iter()
        .filter(|(scene, _)| trained.contains_key(scene))
        .map(|(scene, place)| place.fault(format!("images of {scene} are both trained on and held out")))
        .collect()
}

/// `dataset.json` must agree with the rows.
pub(super) fn count_faults(info: &DatasetInfo, rows: &Rows) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (part, (name, stated)) in
        [("train", &info.train), ("validation", &info.validation)].iter().enumerate()
    {
        let mut counted = Counts { foundation: rows.foundation[part].len(), ..Counts::default() };
        rows.grounding[part].iter().for_each(|row| counted.add_grounding(&row.sample));
        rows.spatial[part].iter().for_each(|row| counted.add_spatial(&row.sample));
        counted.cold_start = rows.cold_start[part].len();
        let mut compare = |what: &str, stated: usize, counted: usize| {
            if stated != counted {
                faults.push(info_fault(format!("states {stated} {what} in {name}, but there are {counted}")));
            }
        };
        compare("localization rows", stated.grounding, counted.grounding);
        compare("boxes", stated.boxes, counted.boxes);
        compare("spatial rows", stated.spatial, counted.spatial);
        compare("cold-start rows", stated.cold_start, counted.cold_start);
        compare("foundation rows", stated.foundation, counted.foundation);
        let mut types: Vec<&String> =
            stated.question_types.keys().chain(counted.question_types.keys()).collect();
        types.sort();
        types.dedup();
        for question_type in types {
            let count = |counts: &Counts| counts.question_types.get(question_type).copied().unwrap_or(0);
            compare(&format!("rows of {question_type}"), count(stated), count(&counted));
        }
    }
    faults
}

/// `dataset.json`, or what is wrong with it; `None` for a folder that has none.
pub(super) fn read_info(root: &Path) -> Result<Option<DatasetInfo>, Fault> {
    DatasetInfo::read(root).map_err(|error| {
        info_fault(match error {
            DatasetError::Info { message, .. } => message,
            other => other.to_string(),
        })
    })
}
