//! Evidence rows: what they refer to must exist, and what they measured must give the answer.

use super::spatial::positive_decimal;
use crate::samples::{Evidence, QuestionType, Reason, Segment, SpatialSample, names};
use crate::scenes::Scene;
use std::collections::HashSet;
use std::path::{Component, Path};

/// Answers are rounded to a decimetre; the rest is room for rounding at the border.
const DISTANCE_TOLERANCE_M: f64 = 0.051;
/// Answers are rounded to a centimetre.
const SIZE_TOLERANCE_CM: f64 = 0.51;
/// Candidates whose distances differ by less count as equally near.
const NEAREST_TOLERANCE_M: f32 = 1e-3;

/// What evidence needs to know of a scene.
pub(super) struct SceneFacts {
    cameras: usize,
    objects: HashSet<u16>,
}

impl SceneFacts {
    /// Reads `scenes/SCENE.json`; the error says what is wrong with it.
    pub(super) fn read(root: &Path, scene: &str) -> Result<Self, String> {
        let mut parts = Path::new(scene).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(format!("the scene {scene:?} is not the name of a file under {}", names::SCENES));
        }
        let file = format!("{}/{scene}.json", names::SCENES);
        let bytes =
            std::fs::read(root.join(&file)).map_err(|error| format!("{file} cannot be read: {error}"))?;
        let scene: Scene =
            serde_json::from_slice(&bytes).map_err(|error| format!("{file} is not a scene: {error}"))?;
        let objects = scene.objects.iter().map(|object| object.id).collect();
        Ok(Self { cameras: scene.cameras.len(), objects })
    }
}

/// What is wrong with the row. `question` is the spatial row of its id; `scene` is that of its name.
pub(super) fn faults(
    row: &Evidence,
    question: Option<&SpatialSample>,
    scene: &Result<SceneFacts, String>,
) -> Vec<String> {
    let mut messages = Vec::new();
    match scene {
        Err(problem) => messages.push(problem.clone()),
        Ok(scene) => {
            if let Some(camera) = row.cameras.iter().find(|&&camera| camera >= scene.cameras) {
                let count = scene.cameras;
                messages.push(format!("camera {camera} is none of the {count} of scene {}", row.scene));
            }
            if let Some(id) = row.reason.objects().iter().find(|id| !scene.objects.contains(id)) {
                messages.push(format!("object {id} is none of scene {}", row.scene));
            }
        }
    }
    let Some(question) = question else {
        messages.push(format!("no spatial row has the question_id {}", row.question_id));
        return messages;
    };
    messages.extend(camera_fault(row, question));
    if question_type(&row.reason) == question.question_type {
        messages.extend(reason_fault(&row.reason, question));
    } else {
        messages.push(format!(
            "gives a reason for {}, but the question is about {}",
            question_type(&row.reason).name(),
            question.question_type.name()
        ));
    }
    messages
}

/// The cameras are those of the row's images: as many, and the same where images are named
/// `images/SCENE/CAMERA.jpg`.
fn camera_fault(row: &Evidence, question: &SpatialSample) -> Option<String> {
    if row.cameras.len() != question.image.len() {
        let (cameras, images) = (row.cameras.len(), question.image.len());
        return Some(format!("names {cameras} cameras for a question about {images} images"));
    }
    row.cameras.iter().zip(&question.image).find_map(|(&camera, image)| {
        let path = Path::new(image);
        let scene = path.strip_prefix(names::IMAGES).ok()?.parent()?.to_str()?;
        let number: usize = path.file_stem()?.to_str()?.parse().ok()?;
        ((scene, number) != (row.scene.as_str(), camera))
            .then(|| format!("names camera {camera} of scene {} for the image {image}", row.scene))
    })
}

fn question_type(reason: &Reason) -> QuestionType {
    match reason {
        Reason::AbsoluteDistance { .. } => QuestionType::AbsoluteDistance,
        Reason::RelativeDistance { .. } => QuestionType::RelativeDistance,
        Reason::ObjectSize { .. } => QuestionType::ObjectSize,
        Reason::RelativeDirection { .. } => QuestionType::RelativeDirection,
        Reason::ObjectCount { .. } => QuestionType::ObjectCount,
        Reason::RoomSize { .. } => QuestionType::RoomSize,
        Reason::AppearanceOrder { .. } => QuestionType::AppearanceOrder,
    }
}

/// Whether what was measured gives the answer, as far as the reason alone can tell.
fn reason_fault(reason: &Reason, question: &SpatialSample) -> Option<String> {
    let number = positive_decimal(&question.answer);
    let differs = |measured: f64, tolerance: f64, unit: &str| {
        let apart = |stated: &f64| (stated - measured).abs();
        // A measure that is no number agrees with nothing.
        let stated = number.filter(|stated| apart(stated).is_nan() || apart(stated) > tolerance)?;
        Some(format!("measures {measured:.2} {unit}, but the question is answered {stated}"))
    };
    match reason {
        Reason::AbsoluteDistance { shortest, .. } => {
            differs(f64::from(shortest.length()), DISTANCE_TOLERANCE_M, "m")
        }
        Reason::ObjectSize { longest, .. } => {
            differs(100.0 * f64::from(longest.length()), SIZE_TOLERANCE_CM, "cm")
        }
        Reason::ObjectCount { objects, .. } => differs(objects.len() as f64, 0.0, "objects"),
        Reason::RelativeDistance { candidates, shortest, .. } => {
            let options = question.options().len();
            if candidates.len() != options || shortest.len() != options {
                let (candidates, lines) = (candidates.len(), shortest.len());
                return Some(format!("has {candidates} candidates and {lines} lines for {options} options"));
            }
            let answered = shortest.get(question.answer_index()?)?.length();
            let nearest = shortest.iter().map(Segment::length).fold(f32::INFINITY, f32::min);
            (answered > nearest + NEAREST_TOLERANCE_M).then(|| {
                format!("measures {answered:.2} m to the answer, but {nearest:.2} m to another candidate")
            })
        }
        Reason::AppearanceOrder { objects, first_frames } => {
            let (count, frames) = (objects.len(), question.image.len());
            if first_frames.len() != count || first_frames.iter().any(|&frame| frame >= frames) {
                return Some(format!("does not give each of {count} objects one of {frames} frames"));
            }
            (!first_frames.is_sorted()).then(|| format!("the frames {first_frames:?} are not in order"))
        }
        Reason::RoomSize { outlines, .. } => {
            let flat = outlines.is_empty() || outlines.iter().any(|outline| outline.len() < 3);
            flat.then(|| "the floor has no outline, or one of less than three corners".to_owned())
        }
        Reason::RelativeDirection { angle_deg, .. } => (!(0.0..=360.0).contains(angle_deg))
            .then(|| format!("the angle {angle_deg}° is not within 0 to 360")),
    }
}
