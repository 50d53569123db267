use super::*;
use crate::geometry::polygon;
use crate::scenes::{Placement, category, mesh};

fn rooms(count: u64) -> impl Iterator<Item = Scene> {
    (0..count).map(|i| generate(7, i, &RoomOptions::default()))
}

#[test]
fn a_room_depends_on_its_seed_and_number_alone() {
    let options = RoomOptions::default();
    assert_eq!(generate(1, 5, &options), generate(1, 5, &options));
    assert_ne!(generate(1, 5, &options).objects, generate(1, 6, &options).objects);
    assert_ne!(generate(1, 5, &options).objects, generate(2, 5, &options).objects);
}

#[test]
fn every_room_has_a_door_a_window_and_the_wanted_number_of_pieces() {
    for scene in rooms(200) {
        let count = |name: &str| scene.objects.iter().filter(|o| o.category == name).count();
        assert!(count("door") >= 1, "{}", scene.name);
        assert!(count("window") >= 1, "{}", scene.name);
        let pieces = scene.objects.len() - count("door") - count("window");
        assert!((4..=14).contains(&pieces), "{} has {pieces} pieces", scene.name);
        assert!((polygon::area(&scene.room.outline) - scene.room.area).abs() < 1e-3);
        assert!(scene.objects.iter().enumerate().all(|(i, o)| usize::from(o.id) == i + 1));
    }
}

#[test]
fn many_categories_occur() {
    let mut seen = std::collections::BTreeMap::new();
    for object in rooms(300).flat_map(|s| s.objects) {
        *seen.entry(object.category).or_insert(0) += 1;
    }
    assert!(seen.len() >= 40, "{} categories: {seen:?}", seen.len());
    assert!(seen.keys().all(|name| category(name).is_some()));
}

#[test]
fn rooms_that_repeat_hold_many_different_numbers_of_a_kind() {
    let options = RoomOptions { repeats: 1.0, ..RoomOptions::default() };
    let most = |scene: Scene| {
        let mut counts = std::collections::BTreeMap::<_, usize>::new();
        for object in scene.objects {
            *counts.entry(object.category).or_default() += 1;
        }
        counts.into_values().max().unwrap_or(0)
    };
    let mut rooms_by_most = std::collections::BTreeMap::<_, usize>::new();
    for index in 0..200 {
        *rooms_by_most.entry(most(generate(7, index, &options))).or_default() += 1;
    }
    let seldom = (3..=8).find(|count| rooms_by_most.get(count).is_none_or(|&rooms| rooms < 10));
    assert_eq!(seldom, None, "rooms by their commonest thing: {rooms_by_most:?}");
}

#[test]
fn nothing_overlaps_or_leaves_the_room() {
    let repeating = RoomOptions { repeats: 1.0, ..RoomOptions::default() };
    for scene in rooms(200).chain((0..100).map(|i| generate(9, i, &repeating))) {
        for (i, a) in scene.objects.iter().enumerate() {
            let footprint = a.bounds.footprint();
            assert!(footprint.grown(-5e-3).inside(&scene.room.outline), "{} {}", scene.name, a.category);
            assert!(
                footprint.z[0] > -1e-4 && footprint.z[1] < scene.room.height + 1e-4,
                "{} {}",
                scene.name,
                a.category
            );
            for b in &scene.objects[i + 1..] {
                let related = a.support == Some(b.id) || b.support == Some(a.id);
                assert!(
                    related || !footprint.collides(&b.bounds.footprint()),
                    "{}: {} and {} overlap",
                    scene.name,
                    a.category,
                    b.category
                );
            }
        }
    }
}

#[test]
fn nothing_floats() {
    for scene in rooms(200) {
        for object in &scene.objects {
            let bottom = object.bounds.center.z - object.bounds.half_extents.z;
            let placement = category(&object.category).map(|c| c.placement);
            let hung = matches!(placement, Some(Placement::OnWall { .. } | Placement::Ceiling));
            if let Some(id) = object.support {
                let below = &scene.objects[usize::from(id) - 1];
                assert!(below.bounds.footprint().grown(1e-3).overlaps(&object.bounds.footprint()));
                assert!(bottom > 0.2 && bottom < below.bounds.center.z + below.bounds.half_extents.z + 1e-3);
            } else if !hung && object.category != "cabinet" {
                assert!(bottom.abs() < 1e-4, "{}: {} at {bottom}", scene.name, object.category);
            }
        }
    }
}

#[test]
fn boxes_are_tight() {
    for object in rooms(25).flat_map(|s| s.objects) {
        let mesh = mesh(&object);
        let (low, high) = mesh.bounds();
        let half = object.bounds.half_extents;
        assert!(
            (low + half).abs().max_element() < 1e-4 && (high - half).abs().max_element() < 1e-4,
            "{}",
            object.category
        );
        assert!(
            mesh.faces.len() > 10 && mesh.faces.len() < 4000,
            "{}: {}",
            object.category,
            mesh.faces.len()
        );
        assert!(mesh.normals.iter().all(|n| (n.length() - 1.0).abs() < 1e-3), "{}", object.category);
    }
}
