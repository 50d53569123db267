//! Annotated real rooms: the object boxes, without pictures, that VSI-Bench was made from.
//!
//! A file maps a scene's name to `room_size` (m²), `room_center`, `object_counts` and `object_bbox`:
//! `{category: [{centroid, axesLengths, normalizedAxes, min, max}]}`, where `normalizedAxes` holds three unit
//! axes one after the other and `min`, `max` are the axis-aligned bounds. Keys may be absent. Every box becomes
//! an [`Object`] with exactly that box; the room around them is made up from the boxes and the stated size.

mod frame;
mod room;

use super::{Dice, Object, Scene, SceneError};
use frame::AnnotatedBox;
use glam::Vec3;
use serde_json::{Map, Value};

/// How far stated `min` and `max` may be from the box that the axes give, metres.
const TOLERANCE: f32 = 0.02;

/// Reads all scenes of a file, in its order.
#[cfg(not(target_arch = "wasm32"))]
pub fn read(path: &std::path::Path) -> Result<Vec<Scene>, SceneError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| SceneError::Read { path: path.to_owned(), source })?;
    parse(&path.display().to_string(), &text)
}

/// Reads all scenes of a file's text, in its order; `file` is what messages call it.
pub fn parse(file: &str, text: &str) -> Result<Vec<Scene>, SceneError> {
    let value: Value = serde_json::from_str(text).map_err(|e| SceneError::Json {
        file: file.to_owned(),
        line: e.line(),
        column: e.column(),
        message: e.to_string(),
    })?;
    let root = At { file, place: "the file".to_owned() };
    root.object(&value)?.iter().map(|(name, scene)| read_scene(file, name, scene)).collect()
}

/// Categories of these scenes that have no shape of their own and are drawn as plain blocks, with how often
/// each occurs, by name.
pub fn plain_categories(scenes: &[Scene]) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for object in scenes.iter().flat_map(|s| &s.objects) {
        if !super::is_known_category(&object.category) {
            *counts.entry(object.category.clone()).or_insert(0) += 1;
        }
    }
    counts
}

fn read_scene(file: &str, name: &str, value: &Value) -> Result<Scene, SceneError> {
    let at = At { file, place: format!("scene {name}") };
    let scene = at.object(value)?;
    let stated_area = match scene.get("room_size") {
        None | Some(Value::Null) => None,
        Some(size) => Some(at.within("room_size").positive(size)?),
    };
    let stated_center = match scene.get("room_center") {
        None | Some(Value::Null) => None,
        Some(center) => Some(Vec3::from(at.within("room_center").numbers::<3>(center)?)),
    };
    let mut boxes: Vec<(String, AnnotatedBox)> = Vec::new();
    if let Some(all) = scene.get("object_bbox").filter(|v| !v.is_null()) {
        let at = at.within("object_bbox");
        for (category, list) in at.object(all)? {
            let at = at.within(category);
            for (i, entry) in at.list(list)?.iter().enumerate() {
                boxes.push((category.clone(), read_box(&at.within(&i.to_string()), entry)?));
            }
        }
    }
    if boxes.is_empty() && stated_area.is_none() {
        return Err(at.error("object_bbox with at least one box, or a room_size", "neither".to_owned()));
    }
    if boxes.len() >= usize::from(u16::MAX) {
        return Err(at.error("at most 65,534 boxes", boxes.len().to_string()));
    }
    let style = name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let mut dice = Dice::new(style, 0);
    let oriented = frame::orient(&boxes, stated_center);
    let objects: Vec<Object> = boxes
        .into_iter()
        .zip(oriented)
        .zip(1..)
        .map(|(((category, _), bounds), id)| Object {
            id,
            category,
            bounds,
            support: None,
            style: dice.seed(),
        })
        .collect();
    Ok(Scene {
        name: name.to_owned(),
        source: "vsi-meta".to_owned(),
        room: room::around(&objects, stated_area, stated_center, dice.seed()),
        objects,
        cameras: Vec::new(),
    })
}

fn read_box(at: &At, value: &Value) -> Result<AnnotatedBox, SceneError> {
    let entry = at.object(value)?;
    let get = |key: &str| {
        entry.get(key).ok_or_else(|| {
            at.error("a box with centroid, axesLengths and normalizedAxes", format!("no {key}"))
        })
    };
    let center = Vec3::from(at.within("centroid").numbers::<3>(get("centroid")?)?);
    let lengths = at.within("axesLengths").numbers::<3>(get("axesLengths")?)?;
    if lengths.iter().any(|l| *l < 0.0) {
        return Err(at.within("axesLengths").error("lengths of at least 0", format!("{lengths:?}")));
    }
    let flat = at.within("normalizedAxes").numbers::<9>(get("normalizedAxes")?)?;
    let axes = [0, 3, 6].map(|i| Vec3::new(flat[i], flat[i + 1], flat[i + 2]));
    let square =
        (0..3).all(|i| (axes[i].length() - 1.0).abs() < 1e-2 && axes[i].dot(axes[(i + 1) % 3]).abs() < 1e-2);
    if !square {
        return Err(at
            .within("normalizedAxes")
            .error("three unit axes at right angles", format!("{flat:?}")));
    }
    let result = AnnotatedBox { center, half: Vec3::from(lengths) * 0.5, axes };
    for (key, sign) in [("min", -1.0), ("max", 1.0)] {
        if let Some(stated) = entry.get(key).filter(|v| !v.is_null()) {
            let stated = Vec3::from(at.within(key).numbers::<3>(stated)?);
            let corner = result.center + result.reach() * sign;
            if (stated - corner).abs().max_element() > TOLERANCE {
                return Err(at.within(key).error(
                    "the bounds of the box that centroid, axesLengths and normalizedAxes give",
                    format!("{stated} instead of {corner}"),
                ));
            }
        }
    }
    Ok(result)
}

impl AnnotatedBox {
    /// Half the axis-aligned extent.
    fn reach(&self) -> Vec3 {
        self.axes[0].abs() * self.half.x + self.axes[1].abs() * self.half.y + self.axes[2].abs() * self.half.z
    }
}

/// A place in a file, for messages.
struct At<'a> {
    file: &'a str,
    place: String,
}

impl At<'_> {
    fn within(&self, key: &str) -> Self {
        At { file: self.file, place: format!("{}, {key}", self.place) }
    }

    fn error(&self, expected: &'static str, found: String) -> SceneError {
        SceneError::Content { file: self.file.to_owned(), place: self.place.clone(), expected, found }
    }

    fn object<'v>(&self, value: &'v Value) -> Result<&'v Map<String, Value>, SceneError> {
        value.as_object().ok_or_else(|| self.error("an object {…}", brief(value)))
    }

    fn list<'v>(&self, value: &'v Value) -> Result<&'v Vec<Value>, SceneError> {
        value.as_array().ok_or_else(|| self.error("a list […]", brief(value)))
    }

    fn positive(&self, value: &Value) -> Result<f32, SceneError> {
        let number = value.as_f64().map(|n| n as f32).filter(|n| n.is_finite() && *n > 0.0);
        number.ok_or_else(|| self.error("a number above 0", brief(value)))
    }

    fn numbers<const N: usize>(&self, value: &Value) -> Result<[f32; N], SceneError> {
        let wrong = || {
            let expected = if N == 3 { "three finite numbers" } else { "nine finite numbers" };
            self.error(expected, brief(value))
        };
        let list = value.as_array().ok_or_else(wrong)?;
        let numbers: Option<Vec<f32>> =
            list.iter().map(|v| v.as_f64().map(|n| n as f32).filter(|n| n.is_finite())).collect();
        numbers.and_then(|n| <[f32; N]>::try_from(n).ok()).ok_or_else(wrong)
    }
}

/// A value in a few words.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
