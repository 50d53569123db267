//! Procedural materials: the colour and shine of a place on an object.

use crate::scenes::{Material, Surface};
use glam::{Vec2, Vec3, vec2, vec3};

/// A place on a surface.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// In the object's own frame, metres from its centre.
    pub local: Vec3,
    /// Half the object's size, metres.
    pub half: Vec3,
    /// Which local axis the face looks along, roughly: 0, 1 or 2.
    pub axis: u8,
    /// Width of the pixel on the surface, metres: finer patterns fade out.
    pub footprint: f32,
}

/// What the light is given to work with.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Linear reflectance.
    pub color: Vec3,
    /// Strength of the highlight.
    pub gloss: f32,
    /// Light given off by itself.
    pub glow: Vec3,
}

/// The look of a material at a place.
pub fn look(material: &Material, place: &Place) -> Look {
    let base = Vec3::from(material.color);
    let (uv, seed) = (place.uv(), material.seed);
    let dull = |color: Vec3| Look { color, gloss: 0.0, glow: Vec3::ZERO };
    match material.surface {
        Surface::Paint => dull(base),
        Surface::Plastic => Look { gloss: 0.12, ..dull(base) },
        Surface::Leather => {
            Look { gloss: 0.10, ..dull(base * (1.0 + 0.2 * place.ripple(0.03, uv * 30.0, seed))) }
        }
        Surface::Ceramic => Look { gloss: 0.5, ..dull(base) },
        Surface::Metal => {
            let brushed = place.ripple(0.006, vec2(uv.x * 6.0, uv.y * 160.0), seed);
            Look { gloss: 0.45, ..dull(base * (1.0 + 0.12 * brushed)) }
        }
        Surface::Wood => Look { gloss: 0.06, ..dull(base * place.grain(seed)) },
        Surface::Fabric => {
            let weave = place.ripple(0.012, uv * 90.0, seed);
            let worn = noise(uv * 7.0, seed ^ 5) - 0.5;
            dull(base * (1.0 + 0.3 * weave + 0.12 * worn))
        }
        Surface::Drapery => {
            let across = if place.axis == 0 { place.local.y } else { place.local.x };
            let fold = noise(vec2(across * 14.0, place.local.z * 0.6), seed);
            dull(base * (0.6 + 0.6 * fold))
        }
        Surface::Stripes => {
            let band = fraction(uv.y / (material.scale * 0.2));
            let mixed = if band < 0.5 { base } else { base.lerp(Vec3::ONE, 0.6) };
            dull(mixed * (1.0 + 0.2 * place.ripple(0.012, uv * 90.0, seed)))
        }
        Surface::Tiles => {
            let cell = uv / material.scale;
            let shade = 0.94 + 0.1 * hash(vec2(floor(cell.x), floor(cell.y)), seed);
            let joint = place.lines(cell, material.scale, 0.006);
            Look { gloss: 0.25, ..dull((base * shade).lerp(Vec3::splat(0.32), joint * 0.7)) }
        }
        Surface::Boards => {
            let row = floor(uv.y / material.scale);
            let shift = hash(vec2(row, 3.0), seed) * 1.4;
            let cell = vec2((uv.x + shift) / 1.4, uv.y / material.scale);
            let shade = 0.78 + 0.35 * hash(vec2(floor(cell.x), floor(cell.y)), seed);
            let joint = place.line(fraction(cell.y), material.scale, 0.004).max(place.line(
                fraction(cell.x),
                1.4,
                0.004,
            ));
            let grain = 1.0 + 0.35 * place.ripple(0.02, vec2(uv.x * 3.0, uv.y * 55.0), seed);
            Look { gloss: 0.12, ..dull(base * shade * grain * (1.0 - 0.55 * joint)) }
        }
        Surface::Carpet => {
            let pile = place.ripple(0.01, uv * 120.0, seed);
            let traffic = noise(uv * 2.5, seed ^ 9) - 0.5;
            dull(base * (1.0 + 0.4 * pile + 0.12 * traffic))
        }
        Surface::Bricks => {
            let row = floor(uv.y / 0.075);
            let cell = vec2(uv.x / 0.24 + 0.5 * fraction(row * 0.5) * 2.0, uv.y / 0.075);
            let joint =
                place.line(fraction(cell.x), 0.24, 0.012).max(place.line(fraction(cell.y), 0.075, 0.012));
            dull(
                (base * (0.75 + 0.5 * hash(vec2(floor(cell.x), floor(cell.y)), seed)))
                    .lerp(Vec3::splat(0.5), joint),
            )
        }
        Surface::Outdoors => {
            let up = (place.local.z / place.half.z.max(1e-3)) * 0.5 + 0.5;
            let hills = 0.28 + 0.22 * (noise(vec2(uv.x * 3.0, 1.0), seed) - 0.5);
            let leaves = 0.6 + 0.8 * noise(uv * 14.0, seed ^ 1);
            let sky = vec3(0.42, 0.62, 0.92).lerp(vec3(0.86, 0.92, 0.98), 1.0 - up);
            let green = vec3(0.14, 0.26, 0.09) * leaves;
            let blend = smooth((up - hills) / 0.08);
            Look { color: Vec3::splat(0.02), gloss: 0.2, glow: green.lerp(sky, blend) * 1.05 }
        }
        // Mirrors are drawn by reflection.
        Surface::Mirror => dull(base),
        Surface::Screen => {
            let p = vec2(place.local.x / place.half.x.max(1e-3), place.local.z / place.half.z.max(1e-3));
            let shade = 0.35 + 0.3 * (p.y * 0.5 + 0.5);
            let window = |low: Vec2, high: Vec2| p.x > low.x && p.x < high.x && p.y > low.y && p.y < high.y;
            let shift = hash(vec2(1.0, 2.0), seed) * 0.5;
            let mut glow = base * shade;
            if window(vec2(-0.75 + shift, -0.4), vec2(0.1 + shift, 0.65)) {
                let text = noise(vec2(p.x * 22.0, floor(p.y * 14.0) * 7.3), seed) > 0.55
                    && fraction(p.y * 14.0) > 0.45;
                glow = if text { Vec3::splat(0.25) } else { Vec3::splat(0.75) };
            }
            Look { color: Vec3::splat(0.02), gloss: 0.35, glow }
        }
        Surface::Glow => Look { color: base, gloss: 0.0, glow: base * 0.85 },
        Surface::Leaf => dull(base * (0.7 + 0.6 * noise(uv * 24.0, seed))),
        Surface::Art => dull(painting(place, base, seed)),
        Surface::Keys => {
            let cell = uv / material.scale;
            let gap = place.lines(cell, material.scale, 0.004);
            dull(base * (1.0 - 0.65 * gap))
        }
        Surface::Writing => {
            let (u, v) = (uv.x / place.half.x.max(0.1), uv.y / place.half.z.max(0.1));
            let line = fraction(v * 4.0);
            let stroke =
                (line - 0.5 - 0.28 * (noise(vec2(u * 26.0, floor(v * 4.0) * 5.0), seed) - 0.5)).abs() < 0.045;
            let written =
                hash(vec2(floor(v * 4.0), floor(u * 1.5)), seed) > 0.5 && u.abs() < 0.85 && v.abs() < 0.8;
            let ink = if seed & 1 == 0 { vec3(0.05, 0.1, 0.4) } else { vec3(0.35, 0.05, 0.05) };
            Look { gloss: 0.3, ..dull(if stroke && written { base.lerp(ink, 0.75) } else { base }) }
        }
        Surface::Wicker => {
            let cell = uv / 0.025;
            let over = fraction((floor(cell.x) + floor(cell.y)) * 0.5) < 0.25;
            dull(base * (1.0 + place.fine(0.03) * if over { 0.2 } else { -0.25 }))
        }
    }
}

/// Blocks and blots in a few colours.
fn painting(place: &Place, base: Vec3, seed: u32) -> Vec3 {
    let p = vec2(place.local.x / place.half.x.max(1e-3), place.local.z / place.half.z.max(1e-3));
    let other = vec3(hash(vec2(1.0, 0.0), seed), hash(vec2(2.0, 0.0), seed), hash(vec2(3.0, 0.0), seed));
    if seed.is_multiple_of(3) {
        // A landscape: sky, hills, foreground.
        let ridge = 0.5 * (noise(vec2(p.x * 2.0, 0.0), seed) - 0.3);
        let front = -0.4 + 0.3 * noise(vec2(p.x * 3.0, 7.0), seed);
        if p.y < front {
            other * 0.5
        } else if p.y < ridge {
            base * 0.7
        } else {
            vec3(0.75, 0.72, 0.6)
        }
    } else {
        let warp = p * 1.6 + noise(p * 1.5, seed) * 1.5;
        let band = noise(warp, seed ^ 77);
        if band < 0.38 {
            base
        } else if band < 0.55 {
            other
        } else {
            vec3(0.8, 0.76, 0.66)
        }
    }
}

impl Place {
    /// The two coordinates along the face.
    fn uv(&self) -> Vec2 {
        match self.axis {
            0 => vec2(self.local.y, self.local.z),
            1 => vec2(self.local.x, self.local.z),
            _ => vec2(self.local.x, self.local.y),
        }
    }

    /// How much of a detail of this size (metres) a pixel can still show, 0..=1.
    fn fine(&self, size: f32) -> f32 {
        (1.4 - self.footprint / size).clamp(0.0, 1.0)
    }

    /// Noise about 0, -0.5..=0.5, faded out where it is too fine for the pixel.
    fn ripple(&self, size: f32, p: Vec2, seed: u32) -> f32 {
        let strength = self.fine(size);
        if strength > 0.0 { strength * (noise(p, seed) - 0.5) } else { 0.0 }
    }

    /// How much of the pixel a joint `width` metres wide covers, at a fraction of a period of `scale` metres.
    fn line(&self, fraction: f32, scale: f32, width: f32) -> f32 {
        let distance = (0.5 - (fraction - 0.5).abs()) * scale;
        let blur = self.footprint.max(1e-4);
        ((width * 0.5 + blur * 0.5 - distance) / blur).clamp(0.0, (width / blur).min(1.0))
    }

    fn lines(&self, cell: Vec2, scale: f32, width: f32) -> f32 {
        self.line(fraction(cell.x), scale, width).max(self.line(fraction(cell.y), scale, width))
    }

    /// Grain along the object's longest side that lies in the face.
    fn grain(&self, seed: u32) -> f32 {
        let (uv, half) = (self.uv(), Place { local: self.half, ..*self }.uv());
        let p = if half.x >= half.y { uv } else { vec2(uv.y, uv.x) };
        let wide = self.ripple(0.05, vec2(p.x * 1.5, p.y * 22.0), seed);
        let fine = self.ripple(0.01, vec2(p.x * 5.0, p.y * 110.0), seed ^ 3);
        1.0 + 0.42 * wide + 0.22 * fine
    }
}

/// Smoothed random values on a grid of unit cells, 0..=1.
pub fn noise(p: Vec2, seed: u32) -> f32 {
    let cell = vec2(floor(p.x), floor(p.y));
    let t = p - cell;
    let t = t * t * (Vec2::splat(3.0) - t * 2.0);
    let (x, y) = (cell.x as i32, cell.y as i32);
    let at = |dx: i32, dy: i32| scramble(x.wrapping_add(dx), y.wrapping_add(dy), seed);
    let (low, high) = (at(0, 0) + (at(1, 0) - at(0, 0)) * t.x, at(0, 1) + (at(1, 1) - at(0, 1)) * t.x);
    low + (high - low) * t.y
}

/// A random value for a whole-numbered cell, 0..1.
fn hash(cell: Vec2, seed: u32) -> f32 {
    scramble(cell.x as i32, cell.y as i32, seed)
}

fn scramble(x: i32, y: i32, seed: u32) -> f32 {
    let mut h = (x as u32).wrapping_mul(0x9E37_79B1)
        ^ (y as u32).wrapping_mul(0x85EB_CA77)
        ^ seed.wrapping_mul(0xC2B2_AE3D);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h ^= h >> 13;
    (h & 0x00FF_FFFF) as f32 / 16_777_216.0
}

fn floor(x: f32) -> f32 {
    let whole = x as i32;
    (whole - i32::from((whole as f32) > x)) as f32
}

fn fraction(x: f32) -> f32 {
    x - floor(x)
}

fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
