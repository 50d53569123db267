use super::*;
use crate::render::Renderer;
use crate::scan_writers::scannet::{Frames, write};
use crate::scenes::rooms::{RoomOptions, generate};
use crate::scenes::{scannet_intrinsics, walk};
use std::fs;

fn room() -> Scene {
    let mut scene = generate(6, 2, &RoomOptions::default());
    scene.cameras = walk(&scene, scannet_intrinsics(96, 72), 2.0, 3.0, 1);
    scene
}

fn written(frames: Frames) -> (tempfile::TempDir, Scene) {
    let (folder, scene) = (tempfile::tempdir().unwrap(), room());
    write(&scene, folder.path(), frames).unwrap();
    (folder, scene)
}

const ZLIB_JPEG: Frames = Frames::Sens { color_compression: 2, depth_compression: 1 };

#[test]
fn every_way_of_keeping_frames_is_read_back() {
    let ways = [
        Frames::Sens { color_compression: 0, depth_compression: 0 },
        Frames::Sens { color_compression: 1, depth_compression: 1 },
        ZLIB_JPEG,
        Frames::Exported,
    ];
    for frames in ways {
        let (folder, room) = written(frames);
        let source = source(folder.path(), ScanOptions::default()).unwrap();
        assert_eq!(source.folders().len(), 1);
        let scan = source.open(0).unwrap();
        assert!(scan.warnings().is_empty(), "{:?}", scan.warnings());
        let scene = scan.scene();
        assert_eq!((scene.name.as_str(), scene.cameras.len()), (room.name.as_str(), room.cameras.len()));
        assert_eq!(scene.objects.len(), room.objects.len());
        for (read, made) in scene.objects.iter().zip(&room.objects) {
            assert_eq!((read.id, &read.category), (made.id, &made.category));
            let (low, high) = made.bounds.world_bounds();
            let (read_low, read_high) = read.bounds.world_bounds();
            // The mesh fills its box only along the box's own axes.
            assert!((read_low - low).min_element() > -0.01 && (high - read_high).min_element() > -0.01);
            let upright = made.bounds.axes().x_axis.abs().max_element() > 0.999;
            assert!(
                !upright || (read_low - low).length() + (read_high - high).length() < 0.01,
                "{}",
                made.category
            );
        }
        assert!((scene.room.area / room.room.area - 1.0).abs() < 0.04);
        let renderer = Renderer::new(&room);
        for (i, (read, made)) in scene.cameras.iter().zip(&room.cameras).enumerate() {
            assert!(read.pose.translation.distance(made.pose.translation) < 1e-4);
            assert!(read.pose.rotation.dot(made.pose.rotation).abs() > 1.0 - 1e-6);
            assert!((read.intrinsics.fx - made.intrinsics.fx).abs() < 1e-3);
            let drawn = renderer.render(made);
            let frame = scan.frame(i).unwrap();
            let depth = frame.depth.unwrap();
            let worst = depth.metres.iter().zip(&drawn.depth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-3, "{worst}");
            let far = frame
                .color
                .iter()
                .zip(drawn.color.iter())
                .map(|(a, b)| f64::from(a.abs_diff(*b)))
                .sum::<f64>();
            assert!(far / (96.0 * 72.0 * 3.0) < 6.0, "{frames:?}: {far}");
        }
    }
}

#[test]
fn frames_are_thinned_and_pictures_made_smaller() {
    let (folder, room) = written(ZLIB_JPEG);
    let options = ScanOptions { max_frames: 3, max_width: 48, max_height: 48, ..ScanOptions::default() };
    let scan = source(&folder.path().join(&room.name), options).unwrap().open(0).unwrap();
    assert_eq!(scan.scene().cameras.len(), 3);
    let camera = &scan.scene().cameras[2];
    assert_eq!((camera.intrinsics.width, camera.intrinsics.height), (48, 36));
    assert!((camera.intrinsics.fx - room.cameras[0].intrinsics.fx / 2.0).abs() < 1e-3);
    assert_eq!(scan.frame(2).unwrap().color.dimensions(), (48, 36));
    assert!(camera.pose.translation.distance(room.cameras[5].pose.translation) < 1e-4);
}

/// The message when one file of a good scan is changed.
fn broken(suffix: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> (Option<String>, Vec<String>) {
    let (folder, room) = written(ZLIB_JPEG);
    let name = suffix.strip_prefix('/').map_or_else(|| format!("{}{suffix}", room.name), str::to_owned);
    let path = folder.path().join(&room.name).join(name);
    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
    let open =
        |skip_bad| source(folder.path(), ScanOptions { skip_bad, ..ScanOptions::default() }).unwrap().open(0);
    let error = open(false).err().map(|error| error.to_string());
    let warnings = open(true).map(|scan| scan.warnings().to_vec()).unwrap_or_default();
    (error, warnings)
}

#[test]
fn damage_is_named_and_the_rest_can_be_kept() {
    let (error, warnings) = broken(".sens", |bytes| bytes[..bytes.len() * 2 / 3].to_vec());
    let error = error.unwrap();
    assert!(error.contains(".sens: frame") && error.contains("only"), "{error}");
    assert!(warnings[0].contains("the rest is left out"), "{warnings:?}");

    let (error, _) = broken(".sens", |bytes| [&[9_u8][..], &bytes[1..]].concat());
    assert!(error.unwrap().contains("version 9"));
    // The frame count is the last number before the first frame.
    let (error, _) = broken(".sens", |mut bytes| {
        let at = 4 + 8 + 15 + 4 * 64 + 8 + 16 + 4;
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        bytes
    });
    assert!(error.unwrap().contains(&format!("of {}", u64::MAX)));
    let (error, warnings) = broken(".sens", |mut bytes| {
        let at = 4 + 8 + 15 + 4 * 64 + 8 + 16 + 4 + 8;
        bytes[at..at + 4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
        bytes
    });
    assert!(error.is_none() && warnings[0].contains("1 of 6 frames have no pose"), "{error:?} {warnings:?}");

    let (error, _) = broken("_vh_clean_2.0.010000.segs.json", |_| br#"{"segIndices": [1, 2]}"#.to_vec());
    assert!(error.unwrap().contains("has 2 entries for"));
    let (error, _) = broken(".aggregation.json", |bytes| bytes[..40].to_vec());
    assert!(error.unwrap().contains("not JSON at line 1"));
    let (error, warnings) = broken(".txt", |_| b"sceneType = Attic\n".to_vec());
    assert!(error.is_none() && warnings[0].contains("no axisAlignment"), "{error:?} {warnings:?}");
    let (error, _) = broken(".txt", |_| b"axisAlignment = 1 0 0\n".to_vec());
    assert!(error.unwrap().contains("16 numbers"));
    let (error, warnings) = broken("/scannetv2-labels.combined.tsv", |bytes| {
        String::from_utf8(bytes).unwrap().replace("\tdoor\t", "\tgate\t").into_bytes()
    });
    assert!(error.is_none() && warnings[0].contains("own names: door"), "{error:?} {warnings:?}");
    let (error, _) = broken("/scannetv2-labels.combined.tsv", |_| b"id\traw_category\n1\tdoor\n".to_vec());
    assert!(error.unwrap().contains("line 1: there is no column nyu40id"));

    let nothing = tempfile::tempdir().unwrap();
    let error = source(nothing.path(), ScanOptions::default()).err().unwrap().to_string();
    assert!(error.contains("vh_clean_2.ply"), "{error}");
}

#[test]
fn pictures_of_another_size_than_the_header_says_are_refused() {
    for compression in [0, 1, 2] {
        let (folder, room) = written(Frames::Sens { color_compression: compression, depth_compression: 0 });
        let path = folder.path().join(&room.name).join(format!("{}.sens", room.name));
        let mut bytes = fs::read(&path).unwrap();
        // The widths of colour and depth, made one smaller.
        let sizes_at = 4 + 8 + 15 + 4 * 64 + 8;
        bytes[sizes_at] -= 1;
        bytes[sizes_at + 8] -= 1;
        let sens = Sens::new(&path, bytes, false).unwrap();
        let error = sens.color(1).unwrap_err().to_string();
        assert!(error.contains("frame 1") && error.contains("instead of 95×72"), "{error}");
        assert!(sens.depth(1).unwrap_err().to_string().contains("bytes of depth instead of"));
    }
}
