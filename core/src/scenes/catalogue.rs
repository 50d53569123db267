//! The categories that rooms are furnished with: names as in ScanNet, realistic sizes, where they go and
//! what they look like.

use super::shapes::{
    self, Build, appliances, bathroom, electronics, seating, small, soft, storage, tables, wall,
};
use super::{Dice, Mesh, MeshBuilder, Object};
use glam::Vec3;

/// Where things of a category are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Placement {
    /// On the floor with its back to a wall.
    AgainstWall,
    /// On the floor, anywhere.
    Floor,
    /// On a wall, its lower edge this high above the floor, metres.
    OnWall { bottom: [f32; 2] },
    /// On top of something else.
    OnTop,
    /// Under the ceiling.
    Ceiling,
}

/// A kind of thing.
#[derive(Debug, Clone, Copy)]
pub struct Category {
    pub name: &'static str,
    /// Smallest and largest width (x), depth (y) and height (z), metres.
    pub size: [[f32; 2]; 3],
    pub placement: Placement,
    /// How much of its box is solid, 0..=1: how dark a shadow it throws.
    pub solidity: f32,
    /// Height of the surface that things are put on, given its size; `None` where nothing is put.
    pub(crate) surface: Option<fn(Vec3) -> f32>,
    build: Build,
}

const fn sized(
    name: &'static str,
    x: [f32; 2],
    y: [f32; 2],
    z: [f32; 2],
    placement: Placement,
    build: Build,
) -> Category {
    Category { name, size: [x, y, z], placement, solidity: 1.0, surface: None, build }
}

impl Category {
    const fn solid(self, solidity: f32) -> Self {
        Self { solidity, ..self }
    }

    const fn carries(self, surface: fn(Vec3) -> f32) -> Self {
        Self { surface: Some(surface), ..self }
    }

    /// A size drawn from the ranges, metres.
    pub fn draw_size(&self, dice: &mut Dice) -> Vec3 {
        Vec3::from(self.size.map(|[low, high]| dice.between(low, high)))
    }
}

fn top(size: Vec3) -> f32 {
    size.z
}

const WALL: Placement = Placement::AgainstWall;
const FLOOR: Placement = Placement::Floor;
const TOP: Placement = Placement::OnTop;
const CEILING: Placement = Placement::Ceiling;

const fn on_wall(low: f32, high: f32) -> Placement {
    Placement::OnWall { bottom: [low, high] }
}

/// All categories that have a shape of their own.
pub const CATEGORIES: &[Category] = &[
    // Seating.
    sized("chair", [0.42, 0.56], [0.44, 0.58], [0.80, 1.02], FLOOR, seating::chair)
        .solid(0.45)
        .carries(|s| s.z * 0.5),
    sized("armchair", [0.72, 0.98], [0.75, 0.95], [0.78, 1.02], FLOOR, seating::armchair)
        .carries(seating::couch_seat),
    sized("sofa", [1.45, 2.25], [0.80, 0.98], [0.75, 0.95], WALL, seating::sofa).carries(seating::couch_seat),
    sized("stool", [0.32, 0.44], [0.32, 0.44], [0.45, 0.75], FLOOR, seating::stool).solid(0.5),
    sized("ottoman", [0.50, 0.90], [0.45, 0.70], [0.38, 0.48], FLOOR, seating::ottoman),
    sized("bench", [0.95, 1.50], [0.34, 0.46], [0.42, 0.50], WALL, seating::bench).solid(0.6),
    // Beds and textiles.
    sized("bed", [0.95, 1.85], [1.98, 2.15], [0.80, 1.15], WALL, soft::bed).carries(soft::mattress_top),
    sized("mattress", [0.9, 1.6], [1.9, 2.0], [0.16, 0.26], FLOOR, soft::mattress),
    sized("pillow", [0.45, 0.65], [0.32, 0.42], [0.12, 0.18], TOP, soft::pillow),
    sized("blanket", [0.45, 0.7], [0.35, 0.5], [0.08, 0.15], TOP, soft::blanket),
    sized("towel", [0.38, 0.60], [0.06, 0.10], [0.45, 0.80], on_wall(0.85, 1.10), soft::towel).solid(0.7),
    sized("curtain", [1.2, 2.2], [0.12, 0.18], [2.0, 2.35], on_wall(0.02, 0.08), soft::curtain).solid(0.5),
    // Tables.
    sized("table", [0.85, 1.80], [0.70, 1.00], [0.71, 0.78], FLOOR, tables::table).solid(0.5).carries(top),
    sized("coffee table", [0.75, 1.20], [0.45, 0.65], [0.36, 0.47], FLOOR, tables::coffee_table)
        .solid(0.6)
        .carries(top),
    sized("desk", [1.10, 1.65], [0.58, 0.80], [0.71, 0.77], WALL, tables::desk).solid(0.7).carries(top),
    sized("counter", [1.40, 2.60], [0.58, 0.66], [0.86, 0.94], WALL, tables::counter).carries(top),
    // Storage.
    sized("bookshelf", [0.70, 1.25], [0.26, 0.38], [1.35, 2.10], WALL, storage::bookshelf),
    sized("cabinet", [0.70, 1.30], [0.38, 0.50], [0.75, 1.15], WALL, storage::cabinet).carries(top),
    sized("wardrobe", [1.00, 1.80], [0.55, 0.65], [1.85, 2.20], WALL, storage::wardrobe),
    sized("dresser", [0.85, 1.45], [0.42, 0.52], [0.75, 1.05], WALL, storage::dresser).carries(top),
    sized("nightstand", [0.40, 0.56], [0.36, 0.46], [0.48, 0.64], WALL, storage::nightstand).carries(top),
    sized("file cabinet", [0.38, 0.48], [0.50, 0.64], [0.68, 1.32], WALL, storage::file_cabinet).carries(top),
    sized("shoe rack", [0.60, 0.95], [0.26, 0.34], [0.45, 0.80], WALL, storage::shoe_rack).solid(0.4),
    sized("box", [0.30, 0.60], [0.26, 0.45], [0.22, 0.42], FLOOR, storage::cardboard_box),
    sized("crate", [0.36, 0.56], [0.28, 0.40], [0.22, 0.32], FLOOR, storage::crate_box),
    sized("basket", [0.32, 0.48], [0.32, 0.48], [0.30, 0.55], FLOOR, storage::basket),
    // Kitchen and laundry.
    sized("refrigerator", [0.60, 0.90], [0.62, 0.76], [1.55, 1.90], WALL, appliances::refrigerator),
    sized("stove", [0.58, 0.76], [0.60, 0.68], [0.95, 1.08], WALL, appliances::stove),
    sized("microwave", [0.46, 0.56], [0.34, 0.42], [0.27, 0.33], TOP, appliances::microwave),
    sized("washing machine", [0.58, 0.64], [0.58, 0.66], [0.83, 0.92], WALL, appliances::washing_machine)
        .carries(top),
    sized("dishwasher", [0.58, 0.62], [0.58, 0.64], [0.82, 0.88], WALL, appliances::dishwasher),
    sized("kettle", [0.20, 0.26], [0.15, 0.19], [0.21, 0.27], TOP, appliances::kettle),
    sized("pan", [0.40, 0.50], [0.24, 0.30], [0.05, 0.08], TOP, appliances::pan),
    sized("fan", [0.38, 0.48], [0.32, 0.40], [1.05, 1.35], FLOOR, appliances::fan).solid(0.3),
    // Bathroom.
    sized("toilet", [0.37, 0.44], [0.65, 0.75], [0.74, 0.84], WALL, bathroom::toilet),
    sized("sink", [0.48, 0.68], [0.42, 0.50], [0.92, 1.02], WALL, bathroom::sink).solid(0.7),
    sized("bathtub", [1.50, 1.75], [0.70, 0.80], [0.52, 0.62], WALL, bathroom::bathtub),
    sized(
        "toilet paper",
        [0.11, 0.14],
        [0.10, 0.12],
        [0.10, 0.12],
        on_wall(0.6, 0.75),
        bathroom::toilet_paper,
    ),
    // Electronics.
    sized("tv", [0.90, 1.40], [0.20, 0.28], [0.58, 0.88], TOP, electronics::tv),
    sized("monitor", [0.50, 0.68], [0.18, 0.24], [0.42, 0.52], TOP, electronics::monitor),
    sized("laptop", [0.32, 0.38], [0.26, 0.34], [0.20, 0.25], TOP, electronics::laptop),
    sized("keyboard", [0.42, 0.47], [0.14, 0.18], [0.025, 0.04], TOP, electronics::keyboard),
    sized("computer mouse", [0.06, 0.08], [0.10, 0.12], [0.03, 0.04], TOP, electronics::mouse),
    sized("telephone", [0.18, 0.24], [0.18, 0.24], [0.09, 0.13], TOP, electronics::telephone),
    sized("printer", [0.42, 0.55], [0.38, 0.50], [0.26, 0.38], TOP, electronics::printer),
    sized("computer tower", [0.18, 0.22], [0.42, 0.50], [0.40, 0.48], FLOOR, electronics::computer_tower),
    // Small things and lamps.
    sized("lamp", [0.30, 0.42], [0.30, 0.42], [0.45, 0.65], TOP, small::lamp).solid(0.3),
    sized("ceiling light", [0.9, 1.3], [0.2, 0.35], [0.07, 0.12], CEILING, small::ceiling_light),
    sized("trash can", [0.24, 0.36], [0.24, 0.36], [0.28, 0.60], FLOOR, small::trash_can),
    sized("backpack", [0.30, 0.38], [0.20, 0.28], [0.42, 0.52], FLOOR, small::backpack),
    sized("suitcase", [0.38, 0.50], [0.24, 0.30], [0.60, 0.85], FLOOR, small::suitcase),
    sized("plant", [0.40, 0.75], [0.40, 0.75], [0.60, 1.45], FLOOR, small::plant).solid(0.5),
    sized("book", [0.15, 0.22], [0.21, 0.30], [0.03, 0.06], TOP, small::book),
    sized("cup", [0.11, 0.13], [0.08, 0.10], [0.09, 0.12], TOP, small::cup),
    sized("bowl", [0.18, 0.28], [0.18, 0.28], [0.08, 0.12], TOP, small::bowl),
    sized("bucket", [0.28, 0.34], [0.28, 0.34], [0.32, 0.42], FLOOR, small::bucket),
    sized("shoes", [0.22, 0.28], [0.27, 0.32], [0.09, 0.13], FLOOR, small::shoes),
    sized("guitar", [0.36, 0.42], [0.10, 0.14], [0.98, 1.08], WALL, small::guitar),
    sized("piano", [1.42, 1.55], [0.55, 0.65], [1.10, 1.25], WALL, small::piano),
    // On walls.
    sized("door", [0.82, 1.00], [0.10, 0.14], [2.00, 2.12], on_wall(0.0, 0.0), wall::door).solid(0.2),
    sized("window", [0.90, 1.80], [0.10, 0.16], [1.00, 1.40], on_wall(0.85, 1.00), wall::window).solid(0.0),
    sized("picture", [0.45, 1.00], [0.03, 0.05], [0.40, 0.75], on_wall(1.30, 1.55), wall::picture),
    sized("mirror", [0.45, 0.90], [0.03, 0.05], [0.65, 1.10], on_wall(1.05, 1.20), wall::mirror),
    sized("whiteboard", [1.20, 1.90], [0.06, 0.10], [0.90, 1.20], on_wall(0.85, 1.00), wall::whiteboard),
    sized("clock", [0.28, 0.40], [0.04, 0.06], [0.28, 0.40], on_wall(1.65, 1.90), wall::clock),
    sized("radiator", [0.70, 1.30], [0.10, 0.15], [0.52, 0.65], on_wall(0.10, 0.15), wall::radiator),
    sized("coat hanger", [0.45, 0.80], [0.08, 0.12], [0.12, 0.20], on_wall(1.45, 1.60), wall::coat_hanger)
        .solid(0.4),
    sized("fireplace", [1.20, 1.50], [0.35, 0.50], [1.05, 1.25], WALL, wall::fireplace).carries(top),
];

/// Other names of what is in [`CATEGORIES`], as data sets use them.
const ALIASES: &[(&str, &str)] = &[
    ("trash bin", "trash can"),
    ("garbage bin", "trash can"),
    ("closet", "wardrobe"),
    ("heater", "radiator"),
    ("washer", "washing machine"),
    ("oven", "stove"),
    ("cushion", "pillow"),
    ("table lamp", "lamp"),
    ("floor lamp", "lamp"),
    ("couch", "sofa"),
    ("office chair", "chair"),
    ("dining table", "table"),
    ("shelf", "bookshelf"),
    ("bookcase", "bookshelf"),
    ("fridge", "refrigerator"),
    ("mouse", "computer mouse"),
    ("paper bag", "box"),
    ("potted plant", "plant"),
];

/// The category of this name, or of a name that means the same.
pub fn category(name: &str) -> Option<&'static Category> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, known)| known);
    CATEGORIES.iter().find(|c| c.name == name)
}

/// Whether things of this name have a shape of their own; if not, [`mesh`] draws a neutral one.
pub fn is_known_category(name: &str) -> bool {
    category(name).is_some()
}

/// How much of an object's box is solid, 0..=1.
pub fn solidity(name: &str) -> f32 {
    category(name).map_or(0.8, |c| c.solidity)
}

/// An object's mesh in the frame of its box (origin at the box's centre, metres). Its bounds are those of
/// the box. The same category, size and style always give the same mesh.
pub fn mesh(object: &Object) -> Mesh {
    let half = object.bounds.half_extents;
    let mut builder = MeshBuilder::default();
    let build = category(&object.category).map_or(shapes::neutral as Build, |c| c.build);
    build(&mut builder, half * 2.0, &mut Dice::new(object.style, 0));
    let mut mesh = builder.finish();
    mesh.fit(half);
    mesh
}
