//! Draws rooms on one sheet, to be looked at:
//! `cargo run --no-default-features -p spatial-ladder-core --example contact_sheet -- OUT.png [SEED | --catalogue | VSI_META.json]`

use glam::{Vec3, vec2, vec3};
use image::{RgbImage, imageops};
use spatial_ladder::geometry::{OrientedBox, Pose, yaw};
use spatial_ladder::render::Renderer;
use spatial_ladder::scenes::rooms::{RoomOptions, generate};
use spatial_ladder::scenes::{self, CATEGORIES, Camera, Dice, Object, Room, Scene};

const COLUMNS: u32 = 4;
const ROWS: u32 = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let out = args.next().ok_or("usage: contact_sheet OUT.png [SEED | --catalogue | VSI_META.json]")?;
    let source = args.next().unwrap_or_else(|| "0".to_owned());
    if source == "--bench" {
        for (w, h) in [(640, 480), (224, 168)] {
            println!("{:?}", spatial_ladder::render::benchmark(w, h, std::time::Duration::from_secs(3)));
        }
        return Ok(());
    }
    if source == "--catalogue" {
        return Ok(catalogue().save(out)?);
    }
    let first = args.next().map_or(Ok(0), |n| n.parse::<usize>())?;
    let rooms: Vec<Scene> = match source.parse::<u64>() {
        Ok(seed) => (0..16).map(|i| generate(seed, first as u64 + i, &RoomOptions::default())).collect(),
        Err(_) => {
            let all = scenes::vsi_meta::read(source.as_ref())?;
            println!("plain blocks: {:?}", scenes::vsi_meta::plain_categories(&all));
            all.into_iter().skip(first).take(16).collect()
        }
    };
    let (w, h) = (480, 360);
    let mut sheet = RgbImage::new(COLUMNS * w, ROWS * h);
    for (i, scene) in rooms.iter().enumerate() {
        let cameras = scenes::stand_points(scene, 1, scenes::scannet_intrinsics(w, h), i as u64);
        let renderer = Renderer::new(scene);
        let names: Vec<&str> = scene.objects.iter().map(|o| o.category.as_str()).collect();
        println!("{} {}: {}", scene.name, scene.room.kind, names.join(", "));
        for camera in &cameras {
            let at = (i as u32 % COLUMNS * w, i as u32 / COLUMNS * h);
            imageops::replace(&mut sheet, &renderer.render(camera).color, i64::from(at.0), i64::from(at.1));
        }
    }
    Ok(sheet.save(out)?)
}

/// Every category on its own, twice.
fn catalogue() -> RgbImage {
    let (columns, w, h) = (10, 200, 200);
    let count = CATEGORIES.len() as u32 * 2;
    let mut sheet = RgbImage::new(columns * w, count.div_ceil(columns) * h);
    for i in 0..count {
        let category = &CATEGORIES[i as usize / 2];
        let size = category.draw_size(&mut Dice::new(u64::from(i), 1));
        let bounds = OrientedBox {
            center: vec3(0.0, 0.0, size.z * 0.5),
            half_extents: size * 0.5,
            rotation: yaw(0.0),
        };
        let object =
            Object { id: 1, category: category.name.to_owned(), bounds, support: None, style: u64::from(i) };
        let room = Room {
            outline: [(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)].map(|(x, y)| vec2(x, y)).to_vec(),
            floor: 0.0,
            height: 3.0,
            area: 64.0,
            kind: String::new(),
            style: 3,
        };
        let scene = Scene {
            name: String::new(),
            source: String::new(),
            room,
            objects: vec![object],
            cameras: vec![],
        };
        let eye = bounds.center + vec3(0.55, -1.0, 0.55).normalize() * (size.length() * 1.15 + 0.12);
        let camera = Camera {
            pose: Pose::look_at(eye.min(Vec3::new(3.9, 3.9, 2.9)), bounds.center),
            intrinsics: scenes::scannet_intrinsics(w, h),
            time: None,
        };
        println!("{i} {}", category.name);
        let picture = Renderer::new(&scene).render(&camera).color;
        imageops::replace(&mut sheet, &picture, i64::from(i % columns * w), i64::from(i / columns * h));
    }
    sheet
}
