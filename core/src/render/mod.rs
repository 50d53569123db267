//! Pictures of a scene: colour, depth and instance ids for any camera, by a software rasteriser that
//! gives the same bytes on every machine, in WebAssembly too.
//!
//! A picture is made in two passes. The first finds the nearest triangle at the middle of every pixel (depth
//! and instance ids) and at four more places in it; the second works out the colour of every triangle that a
//! pixel shows and mixes them. Colour therefore costs the same however many triangles overlap.

mod light;
mod pattern;
mod raster;
mod shading;

use crate::geometry::Intrinsics;
use crate::scenes::{self, Camera, Mesh, Object, Panel, Scene};
use glam::{Mat3, Vec3, vec2};
use light::{Caster, Lights, ShadowMap};
use raster::{EMPTY, NEAR, Visibility};
use std::ops::Range;

/// What one camera sees. All images are row-major, `width * height`.
#[derive(Debug, Clone)]
pub struct RenderedFrame {
    pub color: image::RgbImage,
    /// Distance along the camera's Z axis in metres; 0 where nothing was hit.
    pub depth: Vec<f32>,
    /// [`crate::scenes::Object::id`] of what is seen; 0 for walls, floor, ceiling.
    pub instances: Vec<u16>,
}

/// Draws the scene as this camera sees it. For several pictures of one scene, keep a [`Renderer`].
pub fn render(scene: &Scene, camera: &Camera) -> RenderedFrame {
    Renderer::new(scene).render(camera)
}

/// A scene made ready for drawing: meshes, materials, lights and shadows.
#[derive(Debug)]
pub struct Renderer {
    vertices: Vec<Vec3>,
    normals: Vec<Vec3>,
    faces: Vec<Face>,
    materials: Vec<scenes::Material>,
    parts: Vec<Part>,
    lights: Lights,
    floor: f32,
}

/// A triangle of the whole scene.
#[derive(Debug, Clone, Copy)]
struct Face {
    corners: [u32; 3],
    material: u32,
    part: u32,
    /// World frame, unit length.
    normal: Vec3,
    /// Shaded by the normals of its vertices.
    smooth: bool,
    two_sided: bool,
    /// See [`pattern::Place::axis`].
    axis: u8,
}

/// An object or a panel of the room.
#[derive(Debug)]
struct Part {
    id: u16,
    vertices: Range<usize>,
    faces: Range<usize>,
    center: Vec3,
    /// From the world to the part's own axes.
    to_local: Mat3,
    half: Vec3,
    shadow: Option<ShadowMap>,
}

/// A triangle that faces the camera, for the time of one picture.
#[derive(Debug, Clone, Copy)]
struct Visible {
    face: u32,
    plane: raster::DepthPlane,
}

impl Renderer {
    pub fn new(scene: &Scene) -> Self {
        let mut renderer = Self {
            vertices: Vec::new(),
            normals: Vec::new(),
            faces: Vec::new(),
            materials: Vec::new(),
            parts: Vec::new(),
            lights: Lights::of(scene),
            floor: scene.room.floor,
        };
        let casters: Vec<Caster> = scene
            .objects
            .iter()
            .map(|o| Caster::new(o.bounds, scenes::solidity(&o.category)))
            .collect();
        for panel in scenes::panels(&scene.room) {
            renderer.add_panel(&panel, &casters);
        }
        for object in &scene.objects {
            renderer.add_object(object);
        }
        renderer
    }

    fn add_panel(&mut self, panel: &Panel, casters: &[Caster]) {
        let shadow = panel
            .size
            .map(|size| ShadowMap::new(panel.origin, panel.axes, size, &self.lights, casters));
        self.add(0, &panel.mesh, panel.origin, panel.axes, Vec3::ONE, shadow);
    }

    fn add_object(&mut self, object: &Object) {
        let mesh = scenes::mesh(object);
        let bounds = &object.bounds;
        self.add(
            object.id,
            &mesh,
            bounds.center,
            bounds.axes(),
            bounds.half_extents,
            None,
        );
    }

    /// Adds a mesh in its own frame, whose origin and axes are given in the world.
    fn add(
        &mut self,
        id: u16,
        mesh: &Mesh,
        center: Vec3,
        axes: Mat3,
        half: Vec3,
        shadow: Option<ShadowMap>,
    ) {
        let (first_vertex, first_face) = (self.vertices.len(), self.faces.len());
        let first_material = self.materials.len() as u32;
        let part = self.parts.len() as u32;
        self.vertices
            .extend(mesh.vertices.iter().map(|&v| axes * v + center));
        self.normals.extend(mesh.normals.iter().map(|&n| axes * n));
        self.materials.extend(&mesh.materials);
        for face in &mesh.faces {
            let [a, b, c] = face.corners.map(|i| mesh.vertices[i as usize]);
            let normal = (b - a).cross(c - a);
            if normal.length_squared() < 1e-16 {
                continue;
            }
            let normal = normal.normalize_or(Vec3::Z);
            let [n0, n1, n2] = face.corners.map(|i| mesh.normals[i as usize]);
            let steep = normal.abs();
            self.faces.push(Face {
                corners: face.corners.map(|i| i + first_vertex as u32),
                material: first_material + u32::from(face.material),
                part,
                normal: axes * normal,
                smooth: n0.dot(n1).min(n0.dot(n2)) < 0.9999 || n0.dot(normal) < 0.999,
                two_sided: mesh.materials[face.material as usize].surface == scenes::Surface::Leaf,
                axis: if steep.z >= steep.x.max(steep.y) {
                    2
                } else if steep.y >= steep.x {
                    1
                } else {
                    0
                },
            });
        }
        self.parts.push(Part {
            id,
            vertices: first_vertex..self.vertices.len(),
            faces: first_face..self.faces.len(),
            center,
            to_local: axes.transpose(),
            half,
            shadow,
        });
    }

    /// What this camera sees.
    pub fn render(&self, camera: &Camera) -> RenderedFrame {
        let (width, height) = (
            camera.intrinsics.width as usize,
            camera.intrinsics.height as usize,
        );
        let mut centers = Visibility::new(width, height);
        let mut samples = Visibility::new(width * 2, height * 2);
        let visible = self.rasterize(camera, &mut centers, &mut samples);
        let instances = centers
            .triangle
            .iter()
            .map(|&t| visible.get(t as usize).map_or(0, |v| self.part_of(v).id))
            .collect();
        let color = self.resolve(camera, &visible, &centers, &samples);
        let depth = centers
            .inverse_depth
            .into_iter()
            .map(|i| if i > 0.0 { 1.0 / i } else { 0.0 })
            .collect();
        RenderedFrame {
            color,
            depth,
            instances,
        }
    }

    fn part_of(&self, visible: &Visible) -> &Part {
        &self.parts[self.faces[visible.face as usize].part as usize]
    }

    /// Fills both buffers; their triangle numbers index the list returned.
    fn rasterize(
        &self,
        camera: &Camera,
        centers: &mut Visibility,
        samples: &mut Visibility,
    ) -> Vec<Visible> {
        let intrinsics = &camera.intrinsics;
        let focal = vec2(intrinsics.fx, intrinsics.fy);
        let middle = vec2(intrinsics.cx, intrinsics.cy);
        let to_camera = Mat3::from_quat(camera.pose.rotation).transpose();
        let eye = camera.pose.translation;
        let mut visible = Vec::new();
        let mut moved: Vec<Vec3> = Vec::new();
        for part in &self.parts {
            moved.clear();
            moved.extend(
                self.vertices[part.vertices.clone()]
                    .iter()
                    .map(|&v| to_camera * (v - eye)),
            );
            if outside(&moved, intrinsics) {
                continue;
            }
            for index in part.faces.clone() {
                let face = &self.faces[index];
                let corners = face
                    .corners
                    .map(|i| moved[i as usize - part.vertices.start]);
                let normal = to_camera * face.normal;
                if normal.dot(corners[0]) >= 0.0 && !face.two_sided {
                    continue;
                }
                let (polygon, count) = raster::clip_near(corners);
                if count < 3 {
                    continue;
                }
                let plane = |scale| raster::depth_plane(corners[0], normal, focal, middle, scale);
                let (Some(plane), Some(fine)) = (plane(1.0), plane(2.0)) else {
                    continue;
                };
                let projected = polygon.map(|p| vec2(p.x, p.y) / p.z.max(NEAR) * focal + middle);
                let id = visible.len() as u32;
                visible.push(Visible {
                    face: index as u32,
                    plane,
                });
                for i in 2..count {
                    let triangle = [projected[0], projected[i - 1], projected[i]];
                    centers.fill(triangle, plane, id);
                    samples.fill(triangle.map(|p| p * 2.0), fine, id);
                }
            }
        }
        visible
    }

    /// Mixes what the four samples of each pixel show.
    fn resolve(
        &self,
        camera: &Camera,
        visible: &[Visible],
        centers: &Visibility,
        samples: &Visibility,
    ) -> image::RgbImage {
        let view = shading::View::new(camera);
        let tones = shading::tones();
        let mut pixels = Vec::with_capacity(centers.width * centers.height * 3);
        for y in 0..centers.height {
            let (upper, lower) = (2 * y * samples.width, (2 * y + 1) * samples.width);
            for x in 0..centers.width {
                let four = [
                    samples.triangle[upper + 2 * x],
                    samples.triangle[upper + 2 * x + 1],
                    samples.triangle[lower + 2 * x],
                    samples.triangle[lower + 2 * x + 1],
                ];
                let middle = vec2(x as f32 + 0.5, y as f32 + 0.5);
                let color = if four == [four[0]; 4] {
                    self.shade(&view, visible, four[0], middle)
                } else {
                    let mut sum = Vec3::ZERO;
                    for (i, &triangle) in four.iter().enumerate() {
                        if four[..i].contains(&triangle) {
                            continue;
                        }
                        let alike = four.iter().filter(|&&t| t == triangle).count();
                        let offset = vec2((i & 1) as f32 - 0.5, (i >> 1) as f32 - 0.5) * 0.5;
                        sum += self.shade(&view, visible, triangle, middle + offset) * alike as f32;
                    }
                    sum * 0.25
                };
                pixels.extend(color.to_array().map(|c| tones.byte(c)));
            }
        }
        image::RgbImage::from_raw(camera.intrinsics.width, camera.intrinsics.height, pixels)
            .unwrap_or_default()
    }

    /// Linear colour of what a triangle shows at this place of the picture.
    fn shade(
        &self,
        view: &shading::View,
        visible: &[Visible],
        triangle: u32,
        pixel: glam::Vec2,
    ) -> Vec3 {
        if triangle == EMPTY {
            return shading::NOTHING;
        }
        let Visible { face, plane } = visible[triangle as usize];
        let face = &self.faces[face as usize];
        let part = &self.parts[face.part as usize];
        let depth = 1.0 / (plane.origin + plane.dx * pixel.x + plane.dy * pixel.y).max(1e-4);
        let position = view.position(pixel, depth);
        let to_eye = (view.eye - position).normalize_or(Vec3::Z);
        let mut normal = if face.smooth {
            self.smooth_normal(face, position)
        } else {
            face.normal
        };
        if face.two_sided && normal.dot(to_eye) < 0.0 {
            normal = -normal;
        }
        let local = part.to_local * (position - part.center);
        let [open, lit] = match &part.shadow {
            Some(map) => map.at(local.truncate()),
            // Objects are darker near the floor, and below than above.
            None => {
                let up = ((position.z - self.floor) / 0.5).clamp(0.0, 1.0);
                [0.72 + 0.28 * up, 0.7 + 0.3 * up]
            }
        };
        let place = pattern::Place {
            local,
            half: part.half,
            axis: face.axis,
            footprint: depth * view.pixel_size / normal.dot(to_eye).abs().max(0.25),
        };
        let look = pattern::look(&self.materials[face.material as usize], &place);
        let (light, highlight) = self.lights.at(position, normal, to_eye, open, lit);
        look.color * light + look.glow + Vec3::splat(highlight * look.gloss)
    }

    fn smooth_normal(&self, face: &Face, position: Vec3) -> Vec3 {
        let [a, b, c] = face.corners.map(|i| self.vertices[i as usize]);
        let (u, v, w) = (b - a, c - a, position - a);
        let (uu, uv, vv) = (u.dot(u), u.dot(v), v.dot(v));
        let (wu, wv) = (w.dot(u), w.dot(v));
        let area = (uu * vv - uv * uv).max(1e-20);
        let s = ((vv * wu - uv * wv) / area).clamp(0.0, 1.0);
        let t = ((uu * wv - uv * wu) / area).clamp(0.0, 1.0 - s);
        let [n0, n1, n2] = face.corners.map(|i| self.normals[i as usize]);
        (n0 * (1.0 - s - t) + n1 * s + n2 * t).normalize_or(face.normal)
    }
}

/// Whether all the points lie beyond one side of the picture, or behind the camera.
fn outside(points: &[Vec3], intrinsics: &Intrinsics) -> bool {
    let (left, right) = (
        -intrinsics.cx / intrinsics.fx,
        (intrinsics.width as f32 - intrinsics.cx) / intrinsics.fx,
    );
    let (top, bottom) = (
        -intrinsics.cy / intrinsics.fy,
        (intrinsics.height as f32 - intrinsics.cy) / intrinsics.fy,
    );
    let all = |beyond: &dyn Fn(&Vec3) -> bool| points.iter().all(beyond);
    all(&|p| p.z < NEAR)
        || all(&|p| p.x < left * p.z)
        || all(&|p| p.x > right * p.z)
        || all(&|p| p.y < top * p.z)
        || all(&|p| p.y > bottom * p.z)
}
