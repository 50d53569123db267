//! What the pictures of a question show, and which objects in them can be asked about.

use crate::questions::{Observation, QuestionConfig};
use crate::samples::{DataType, GroundedBox};
use crate::scenes::{Dice, Object, Scene};
use std::collections::BTreeMap;

/// A scene, and what its cameras see of it.
#[derive(Debug, Clone)]
pub struct Sights<'a> {
    pub scene: &'a Scene,
    /// By camera.
    pub observations: BTreeMap<usize, Vec<Observation>>,
    /// Cameras whose pictures stand alone or together as views.
    pub stills: Vec<usize>,
    /// Cameras of the video's frames, in the order of time.
    pub video: Vec<usize>,
}

/// The pictures that a question may be about.
#[derive(Debug)]
pub struct Showing<'a> {
    pub sights: &'a Sights<'a>,
    pub config: &'a QuestionConfig,
    pub data_type: DataType,
    /// For several views: those to choose from.
    cameras: Vec<usize>,
}

impl Sights<'_> {
    /// What a camera sees of an object.
    pub fn observation(&self, camera: usize, object: u16) -> Option<&Observation> {
        self.observations.get(&camera)?.iter().find(|seen| seen.instance == object)
    }

    /// How much of the object that is seen least is in sight, in the picture that shows it best.
    pub fn visibility(&self, objects: &[u16], cameras: &[usize]) -> Option<f32> {
        let best = |&object: &u16| {
            let seen = cameras.iter().filter_map(|&camera| self.observation(camera, object));
            seen.map(|seen| seen.visibility).fold(0.0, f32::max)
        };
        objects.iter().map(best).reduce(f32::min)
    }
}

impl<'a> Showing<'a> {
    pub fn single_image(sights: &'a Sights<'a>, config: &'a QuestionConfig, camera: usize) -> Self {
        Self { sights, config, data_type: DataType::SingleImage, cameras: vec![camera] }
    }

    pub fn multi_view(sights: &'a Sights<'a>, config: &'a QuestionConfig) -> Self {
        Self { sights, config, data_type: DataType::MultiView, cameras: sights.stills.clone() }
    }

    pub fn video(sights: &'a Sights<'a>, config: &'a QuestionConfig) -> Self {
        Self { sights, config, data_type: DataType::Video, cameras: sights.video.clone() }
    }

    /// Of a single image, the camera that took it.
    pub fn camera(&self) -> usize {
        self.cameras.first().copied().unwrap_or(0)
    }

    /// Objects that a question may name by their category: seen well, and the only one of that category and of
    /// those that look alike, in the picture or for several pictures in the scene. In the scene's order.
    pub fn nameable(&self) -> Vec<&'a Object> {
        let scene = self.sights.scene;
        let is_unique = |object: &Object| match self.data_type {
            DataType::SingleImage => {
                let seen = self.sights.observations.get(&self.camera());
                !seen.into_iter().flatten().any(|other| {
                    other.instance != object.id
                        && other.visible_pixels >= self.config.min_rival_pixels
                        && self.config.are_alike(&other.category, &object.category)
                })
            }
            DataType::MultiView | DataType::Video => !scene.objects.iter().any(|other| {
                other.id != object.id && self.config.are_alike(&other.category, &object.category)
            }),
        };
        let asked = |object: &Object| {
            self.config.categories.is_empty() || self.config.categories.contains(&object.category)
        };
        scene
            .objects
            .iter()
            .filter(|object| asked(object) && is_unique(object) && self.is_seen_well(object.id))
            .collect()
    }

    /// Whether one of the pictures shows the object as the config demands of what is asked about.
    pub fn is_seen_well(&self, object: u16) -> bool {
        self.cameras.iter().any(|&camera| self.sees_well(camera, object))
    }

    pub fn sees_well(&self, camera: usize, object: u16) -> bool {
        self.sights.observation(camera, object).is_some_and(|seen| seen.is_clear(self.config))
    }

    /// Whether the picture shows enough of the object to notice it.
    pub fn sees(&self, camera: usize, object: u16) -> bool {
        self.sights
            .observation(camera, object)
            .is_some_and(|seen| seen.visible_pixels >= self.config.min_rival_pixels)
    }

    /// The cameras of a question about these objects, or `None` when there is no such set.
    ///
    /// Several views are chosen by the rule of split evidence: together they show all the objects well, but none
    /// of them shows all (where there is more than one), so that the views must be put together to answer.
    pub fn cameras_for(&self, objects: &[u16], dice: &mut Dice) -> Option<Vec<usize>> {
        if self.data_type != DataType::MultiView {
            return Some(self.cameras.clone());
        }
        let wanted = self.config.spatial.views;
        let mut pool: Vec<usize> = self
            .cameras
            .iter()
            .copied()
            .filter(|&camera| objects.len() < 2 || !objects.iter().all(|&object| self.sees(camera, object)))
            .collect();
        dice.shuffle(&mut pool);
        let mut chosen: Vec<usize> = Vec::new();
        for &object in objects {
            if !chosen.iter().any(|&camera| self.sees_well(camera, object)) {
                chosen.push(*pool.iter().find(|&&camera| self.sees_well(camera, object))?);
            }
        }
        for camera in pool {
            if chosen.len() < wanted && !chosen.contains(&camera) {
                chosen.push(camera);
            }
        }
        chosen.sort_unstable();
        (chosen.len() == wanted).then_some(chosen)
    }

    /// Where a single image shows these objects.
    pub fn boxes(&self, objects: &[&Object]) -> Vec<GroundedBox> {
        if self.data_type != DataType::SingleImage {
            return Vec::new();
        }
        let boxed = |object: &&Object| {
            let seen = self.sights.observation(self.camera(), object.id)?;
            Some(GroundedBox { bbox_2d: seen.bbox_2d(), label: object.category.clone() })
        };
        objects.iter().filter_map(boxed).collect()
    }
}
