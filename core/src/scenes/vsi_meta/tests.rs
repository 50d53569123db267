use super::*;
use crate::geometry::{OrientedBox, polygon};
use std::path::PathBuf;

/// The annotation files, where this checkout has them.
fn files() -> Vec<PathBuf> {
    let shared = std::env::var_os("SPATIAL_LADDER_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let folder = shared.join("data/vsi_meta");
    let files: Vec<PathBuf> = ["scannet", "arkitscenes", "scannetpp"]
        .iter()
        .map(|name| folder.join(name).with_extension("json"))
        .filter(|path| path.is_file())
        .collect();
    if files.is_empty() {
        println!("skipped: no annotations under {}; set SPATIAL_LADDER_SHARED", folder.display());
    }
    files
}

/// Each corner's distance to the nearest corner of the other box, at most.
fn corner_gap(a: &OrientedBox, b: &AnnotatedBox) -> f32 {
    let annotated: Vec<Vec3> = (0..8)
        .map(|i| {
            let sign = |bit: usize| if i & bit == 0 { -1.0 } else { 1.0 };
            b.center
                + b.axes[0] * b.half.x * sign(1)
                + b.axes[1] * b.half.y * sign(2)
                + b.axes[2] * b.half.z * sign(4)
        })
        .collect();
    a.corners()
        .iter()
        .map(|c| annotated.iter().map(|d| d.distance(*c)).fold(f32::MAX, f32::min))
        .fold(0.0, f32::max)
}

#[test]
fn real_annotations_keep_their_boxes_and_stand_upright_in_their_rooms() {
    let mut boxes = 0;
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let raw: Value = serde_json::from_str(&text).unwrap();
        for scene in read(&path).unwrap() {
            let all = &raw[&scene.name]["object_bbox"];
            let mut number = std::collections::BTreeMap::new();
            for object in &scene.objects {
                let i = number.entry(&object.category).or_insert(0_usize);
                let at = At { file: "", place: String::new() };
                let annotated = read_box(&at, &all[&object.category][*i]).unwrap();
                *i += 1;
                boxes += 1;
                assert!(corner_gap(&object.bounds, &annotated) < 2e-4, "{} {}", scene.name, object.category);
                let axes = object.bounds.axes();
                assert!(axes.z_axis.z >= axes.x_axis.z.abs().max(axes.y_axis.z.abs()) - 1e-5);
                assert!((axes.determinant() - 1.0).abs() < 1e-4);
                for corner in object.bounds.corners() {
                    assert!(polygon::contains(&scene.room.outline, corner.truncate()), "{}", scene.name);
                    assert!(corner.z >= scene.room.floor - 1e-4);
                    assert!(corner.z <= scene.room.floor + scene.room.height);
                }
            }
            assert!(polygon::area(&scene.room.outline) > scene.room.area * 0.999, "{}", scene.name);
        }
    }
    println!("{boxes} boxes compared");
}

const ONE: &str = r#"{"a": {"object_bbox": {"gizmo": [{"centroid": [1, 2, 0.5], "axesLengths": [2, 1, 1],
    "normalizedAxes": [0, 0, 1, 1, 0, 0, 0, 1, 0]}]}}}"#;

#[test]
fn absent_keys_and_unknown_categories_are_fine() {
    let scenes = parse("x.json", ONE).unwrap();
    let object = &scenes[0].objects[0];
    assert_eq!(object.bounds.half_extents, Vec3::new(0.5, 0.5, 1.0));
    assert!(polygon::area(&scenes[0].room.outline) >= 1.0);
    assert_eq!(plain_categories(&scenes).into_iter().collect::<Vec<_>>(), [("gizmo".to_owned(), 1)]);
    assert!(!crate::scenes::mesh(object).faces.is_empty());
}

#[test]
fn mistakes_are_named_with_their_place() {
    let message = |text: &str| parse("x.json", text).unwrap_err().to_string();
    assert!(message("{\"a\": {").starts_with("x.json: not JSON at line 1"));
    assert!(message("[]").contains("expected an object"));
    assert!(message(r#"{"a": {}}"#).contains("scene a: expected object_bbox"));
    let broken = |from: &str, to: &str| message(&ONE.replace(from, to));
    for (from, to, place) in [
        ("[1, 2, 0.5]", "[1, 2]", "scene a, object_bbox, gizmo, 0, centroid: expected three finite numbers"),
        ("[2, 1, 1]", "[2, -1, 1]", "axesLengths: expected lengths of at least 0"),
        ("0, 0, 1, 1,", "0, 0, 1, 9,", "three unit axes"),
        ("\"centroid\"", "\"center\"", "no centroid"),
        ("{\"centroid\"", "{\"min\": [0, 0, 0], \"centroid\"", "min: expected the bounds"),
        ("{\"object_bbox\"", "{\"room_size\": -3, \"object_bbox\"", "room_size: expected a number above 0"),
    ] {
        assert!(broken(from, to).contains(place), "{}", broken(from, to));
    }
    let error = read(std::path::Path::new("/nowhere/x.json")).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/x.json: cannot be read"));
}
