//! Answers about real annotated rooms, against the annotation itself.

use super::*;
use crate::geometry::PixelBox;
use crate::scenes::vsi_meta;
use serde_json::Value;
use std::path::PathBuf;

/// The annotation files, where this checkout has them, each read by the program and as plain JSON.
fn annotated() -> Vec<(Vec<Scene>, Value)> {
    let shared = std::env::var_os("SPATIAL_LADDER_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let folder = shared.join("data/vsi_meta");
    let files = ["scannet", "arkitscenes", "scannetpp"].map(|name| folder.join(name).with_extension("json"));
    let files: Vec<&PathBuf> = files.iter().filter(|path| path.is_file()).collect();
    if files.is_empty() {
        println!("skipped: no annotations under {}; set SPATIAL_LADDER_SHARED", folder.display());
    }
    let read = |path: &&PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        (vsi_meta::read(path).unwrap(), serde_json::from_str(&text).unwrap())
    };
    files.iter().map(read).collect()
}

/// Questions about a video of one frame that shows everything: there are no pictures of these rooms.
fn ask_about_all(scene: &Scene) -> Vec<Candidate> {
    let mut scene = scene.clone();
    let intrinsics = Intrinsics::from_horizontal_fov(WIDTH, HEIGHT, 1.1);
    scene.cameras = stand_points(&scene, 1, intrinsics, 0);
    let seen = |object: &Object| Observation {
        instance: object.id,
        category: object.category.clone(),
        bounds: object.bounds,
        pixel_box: PixelBox::new(10.0, 10.0, 100.0, 100.0),
        camera_position: scene.cameras[0].pose.inverse_transform_point(object.bounds.center),
        visible_pixels: 5000,
        box_share: 0.4,
        visibility: 1.0,
        size: object.bounds.size(),
    };
    let observations = BTreeMap::from([(0, scene.objects.iter().map(seen).collect())]);
    let sights = Sights { scene: &scene, observations, stills: Vec::new(), video: vec![0] };
    let mut config = config();
    config.confusable.clear();
    config.spatial.max_per_scene_and_type = 8;
    ask_all(&sights, &config, &mut Dice::new(8, 0))
}

/// The only box of a category, on the annotation's own axes.
fn annotated_box(scene: &Value, category: &str) -> Edges {
    let [entry] = &scene["object_bbox"][category].as_array().unwrap()[..] else {
        panic!("several of \"{category}\"");
    };
    let numbers = |key: &str| -> Vec<f64> {
        entry[key].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let (lengths, axes) = (numbers("axesLengths"), numbers("normalizedAxes"));
    Edges {
        middle: DVec3::from_slice(&numbers("centroid")),
        half_edges: [0, 1, 2].map(|i| DVec3::from_slice(&axes[3 * i..]) * lengths[i] / 2.0),
    }
}

#[test]
fn counts_sizes_and_distances_are_those_of_the_annotation() {
    let (mut compared, mut contradictory) = (BTreeMap::new(), Vec::new());
    for (scenes, raw) in annotated() {
        let asked: Vec<(&Scene, Candidate)> = scenes
            .par_iter()
            .flat_map_iter(|scene| ask_about_all(scene).into_iter().map(move |candidate| (scene, candidate)))
            .collect();
        let results: Vec<Option<String>> = asked
            .par_iter()
            .map(|(scene, candidate)| {
                let annotation = &raw[&scene.name];
                let answer: f64 = candidate.answer_text().parse().unwrap_or(f64::NAN);
                let names = names(candidate);
                let what = || format!("{}: {} {answer}", scene.name, candidate.question);
                match candidate.question_type {
                    QuestionType::ObjectCount => {
                        let stated = annotation["object_counts"][&names[0]].as_f64().unwrap();
                        let boxes = annotation["object_bbox"][&names[0]].as_array().unwrap().len() as f64;
                        assert_eq!(answer, boxes, "{}", what());
                        // Some annotations state another number than they have boxes.
                        if answer != stated {
                            assert_ne!(stated, boxes, "{}", what());
                            return Some(what());
                        }
                    }
                    QuestionType::ObjectSize => {
                        let edges = annotated_box(annotation, &names[0]).half_edges;
                        let longest = edges.map(|edge| edge.length() * 200.0).into_iter().fold(0.0, f64::max);
                        assert!((answer - longest).abs() < 0.501, "{longest} {}", what());
                    }
                    QuestionType::RoomSize => {
                        let stated = annotation["room_size"].as_f64().unwrap();
                        assert!((answer - stated).abs() < 0.0501, "{stated} {}", what());
                    }
                    QuestionType::AbsoluteDistance => {
                        let [one, other] = [0, 1].map(|i| annotated_box(annotation, &names[i]));
                        let sampled = sampled_distance(&one, &other);
                        let off = answer - sampled;
                        assert!(off < 0.0502 && off > -0.0602, "{sampled} {}", what());
                    }
                    _ => {}
                }
                None
            })
            .collect();
        for (_, candidate) in &asked {
            *compared.entry(candidate.question_type.name()).or_insert(0) += 1;
        }
        contradictory.extend(results.into_iter().flatten());
    }
    println!("{compared:?}; stated otherwise than annotated: {contradictory:#?}");
    assert!(contradictory.len() <= 12, "{contradictory:?}");
}
