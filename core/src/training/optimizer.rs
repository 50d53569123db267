//! AdamW with a global gradient norm, resumable: Burn keys optimizer state by parameter id, and ids are
//! random per process, so parameters get ids derived from their names before training starts.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::tensor::{Bytes, Tensor};

/// Gives every float parameter an id that depends on its name only.
pub fn name_parameters<M: Module>(module: M, prefix: &str) -> M {
    struct Namer {
        path: Vec<String>,
    }
    impl ModuleMapper for Namer {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (_, value, mapper) = param.consume();
            Param::from_mapped_value(ParamId::from(stable_hash(&self.path.join("."))), value, mapper)
        }
    }
    module.map(&mut Namer { path: vec![prefix.to_owned()] })
}

/// FNV-1a, 64 bits: stable across machines and versions, unlike the standard library's hasher.
fn stable_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The optimizer of one run.
pub struct AdamW {
    inner: ModuleOptimizer,
}

impl AdamW {
    /// β₁ 0.9, β₂ 0.999, ε 1e-8, as the published training code leaves them.
    pub fn new(weight_decay: f64) -> Self {
        let config = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(weight_decay as f32);
        Self { inner: config.init() }
    }

    /// One update of `module`.
    pub fn step<M: Module>(&mut self, learning_rate: f64, module: M, gradients: GradientsParams) -> M {
        self.inner.step(learning_rate, module, gradients)
    }

    /// The moments and step counts, for a checkpoint.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        self.inner.to_record().into_bytes().map(|bytes| bytes.to_vec()).map_err(|error| error.to_string())
    }

    /// Continues from a checkpoint.
    pub fn load_bytes(self, bytes: Vec<u8>) -> Result<Self, String> {
        let record =
            OptimizerRecord::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|error| error.to_string())?;
        Ok(Self { inner: self.inner.load_record(record) })
    }
}

/// Scales all gradients down to a global L2 norm of at most `max_norm`; returns the norm before.
pub fn clip_gradients<M: Module>(module: &M, gradients: &mut GradientsParams, max_norm: f64) -> f64 {
    struct SquaredNorm<'a> {
        gradients: &'a GradientsParams,
        parts: Vec<Tensor<1>>,
    }
    impl ModuleVisitor for SquaredNorm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                // Row by row: the CPU adds up large tensors as a whole in an order that depends on which thread is free.
                self.parts.push(gradient.square().sum_dim(D - 1).sum());
            }
        }
    }
    struct Scale<'a> {
        gradients: &'a mut GradientsParams,
        factor: f64,
    }
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.remove::<D>(param.id) {
                self.gradients.register(param.id, gradient.mul_scalar(self.factor));
            }
        }
    }

    let mut squared = SquaredNorm { gradients, parts: Vec::new() };
    module.visit(&mut squared);
    if squared.parts.is_empty() {
        return 0.0;
    }
    let norm = f64::from(Tensor::cat(squared.parts, 0).sum().into_scalar::<f32>()).sqrt();
    if norm.is_finite() && norm > max_norm {
        module.visit(&mut Scale { gradients, factor: max_norm / (norm + 1e-6) });
    }
    norm
}
