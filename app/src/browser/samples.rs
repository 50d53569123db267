//! Pictures to begin with: generated rooms, drawn in the page by the same code that makes the
//! training data. Nothing has to be downloaded for them.

use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::png::PngEncoder};
use spatial_ladder::render::{RenderedFrame, render};
use spatial_ladder::scenes::rooms::{RoomOptions, generate};
use spatial_ladder::scenes::{Scene, scannet_intrinsics, stand_points};
use std::collections::BTreeMap;

/// Width and height of the drawn rooms in pixels, as in the training data.
const SIZE: (u32, u32) = (640, 480);
/// A series of rooms of the page's own: data sets are built from small seeds.
const SERIES: u64 = 0x7061_6765;
/// An object that covers less of the picture than this is not asked about.
const SMALLEST_SHARE: f64 = 0.01;
const MOST_ASKED: usize = 3;

/// A generated room as a picture.
pub struct RoomPicture {
    pub image: RgbImage,
    /// The same as a PNG file.
    pub file: Vec<u8>,
    /// Something to ask about it.
    pub question: String,
}

/// Draws room `number` of the page's own series, and finds a question that its picture can answer.
///
/// # Errors
/// When the picture cannot be written as PNG (memory).
pub fn room(number: u64) -> Result<RoomPicture, String> {
    let mut scene = generate(SERIES, number, &RoomOptions::default());
    let intrinsics = scannet_intrinsics(SIZE.0, SIZE.1);
    scene.cameras = stand_points(&scene, 1, intrinsics, number);
    let camera = scene.cameras.first().ok_or("the room has no place to stand")?;
    let frame = render(&scene, camera);
    let question = question(&scene, &frame);
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(frame.color.as_raw(), SIZE.0, SIZE.1, ExtendedColorType::Rgb8)
        .map_err(|error| error.to_string())?;
    Ok(RoomPicture { image: frame.color, file, question })
}

/// Asks for the largest objects in the picture whose category the room has once.
fn question(scene: &Scene, frame: &RenderedFrame) -> String {
    let mut pixels = BTreeMap::<u16, usize>::new();
    for id in &frame.instances {
        *pixels.entry(*id).or_default() += 1;
    }
    let once =
        |category: &str| scene.objects.iter().filter(|object| object.category == category).count() == 1;
    let mut seen: Vec<(usize, &str)> = scene
        .objects
        .iter()
        .filter_map(|object| Some((*pixels.get(&object.id)?, object.category.as_str())))
        .filter(|(count, category)| {
            *count as f64 >= SMALLEST_SHARE * frame.instances.len() as f64 && once(category)
        })
        .collect();
    seen.sort_by(|a, b| b.cmp(a));
    seen.truncate(MOST_ASKED);
    match seen.as_slice() {
        [] => "Where is the door?".to_owned(),
        [(_, only)] => format!("Where is the {only}?"),
        [others @ .., (_, last)] => {
            let others: Vec<String> = others.iter().map(|(_, category)| format!("the {category}")).collect();
            format!("Where are {} and the {last}?", others.join(", "))
        }
    }
}
