//! What surfaces are made of. The renderer turns a material and a place on the object into a colour.

/// How a surface's pattern and shine look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// One even, dull colour.
    Paint,
    /// Even and slightly shiny.
    Plastic,
    /// Even and very shiny: porcelain, enamel.
    Ceramic,
    /// Brushed, with a cool shine.
    Metal,
    /// Grain along the longest side.
    Wood,
    /// A fine weave.
    Fabric,
    /// Folds that run from top to bottom.
    Drapery,
    /// Stripes across.
    Stripes,
    Leather,
    /// Square tiles with joints, `scale` metres a tile.
    Tiles,
    /// Floor boards of wood.
    Boards,
    /// Short pile.
    Carpet,
    /// Bricks with joints.
    Bricks,
    /// A bright view of sky and greenery.
    Outdoors,
    /// Reflects the empty room.
    Mirror,
    /// A screen that is on.
    Screen,
    /// Shines by itself.
    Glow,
    /// Plants; seen from both sides.
    Leaf,
    /// A painting made up from the style.
    Art,
    /// Rows of small keys.
    Keys,
    /// A white board with something written on it.
    Writing,
    /// Woven straw.
    Wicker,
}

/// A surface and its colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Material {
    /// Linear light, 0..=1 each for red, green, blue.
    pub color: [f32; 3],
    pub surface: Surface,
    /// Size of the pattern in metres, where the surface has one.
    pub scale: f32,
    /// Varies the pattern.
    pub seed: u32,
}

impl Material {
    /// A material of an sRGB colour written `0xRRGGBB`.
    pub fn new(surface: Surface, rgb: u32) -> Self {
        let scale = match surface {
            Surface::Tiles => 0.3,
            Surface::Boards => 0.12,
            _ => 1.0,
        };
        Self { color: linear(rgb), surface, scale, seed: 0 }
    }

    /// The same with this pattern size in metres.
    pub fn scaled(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    pub fn seeded(self, seed: u32) -> Self {
        Self { seed, ..self }
    }

    /// The same, lighter (above 1) or darker.
    pub fn shade(self, factor: f32) -> Self {
        Self { color: self.color.map(|c| (c * factor).clamp(0.0, 1.0)), ..self }
    }
}

/// Linear light of an sRGB colour `0xRRGGBB`.
fn linear(rgb: u32) -> [f32; 3] {
    [16, 8, 0].map(|shift| {
        let v = ((rgb >> shift) & 255) as f32 / 255.0;
        if v <= 0.04045 { v / 12.92 } else { libm::powf((v + 0.055) / 1.055, 2.4) }
    })
}
