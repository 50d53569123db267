//! The fused operations under automatic differentiation.

use super::attention::{self, Pattern, Saved};
use super::{FusedOps, kernels};
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Flex};
use std::sync::Arc;

/// With a bias (three parents) or without (two); the state holds what the tracked ones need.
#[derive(Debug)]
struct Linear;

/// Input and weight.
type LinearState = (FlexTensor, FlexTensor);

/// Registers the gradients of input and weight, as far as anyone wants them.
fn linear_backward(
    parents: [Option<NodeId>; 2],
    state: &LinearState,
    gradient: &FlexTensor,
    grads: &mut Gradients,
) {
    let [x, weight] = parents;
    let (for_x, for_weight) = kernels::linear_backward(
        weight.is_some().then_some(&state.0),
        x.is_some().then_some(&state.1),
        gradient,
    );
    for (parent, gradient) in [(x, for_x), (weight, for_weight)] {
        if let (Some(node), Some(gradient)) = (parent, gradient) {
            grads.register::<Flex>(node, gradient);
        }
    }
}

impl Backward<Flex, 2> for Linear {
    type State = LinearState;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let parents = ops.parents.map(|parent| parent.map(|node| node.id));
        linear_backward(parents, &ops.state, &gradient, grads);
    }
}

#[derive(Debug)]
struct LinearBias;

impl Backward<Flex, 3> for LinearBias {
    type State = LinearState;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let [x, weight, bias] = ops.parents.map(|parent| parent.map(|node| node.id));
        linear_backward([x, weight], &ops.state, &gradient, grads);
        if let Some(node) = bias {
            grads.register::<Flex>(node, kernels::sum_rows(&gradient));
        }
    }
}

#[derive(Debug)]
struct RmsNorm;

impl Backward<Flex, 2> for RmsNorm {
    type State = (FlexTensor, FlexTensor, f64);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let (x, weight, epsilon) = ops.state;
        let (x, weight) = kernels::rms_norm_backward(&x, &weight, epsilon, &gradient);
        for (parent, gradient) in ops.parents.into_iter().zip([x, weight]) {
            if let Some(node) = parent {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct Gate;

impl Backward<Flex, 2> for Gate {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let (gate, up) = kernels::gate_backward(&ops.state.0, &ops.state.1, &gradient);
        for (parent, gradient) in ops.parents.into_iter().zip([gate, up]) {
            if let Some(node) = parent {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct Rotate;

impl Backward<Flex, 1> for Rotate {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let [parent] = ops.parents;
        if let Some(node) = parent {
            grads.register::<Flex>(node.id, kernels::rotate(&gradient, &ops.state.0, &ops.state.1, true));
        }
    }
}

#[derive(Debug)]
struct Attention;

impl Backward<Flex, 3> for Attention {
    type State = Saved;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let gradients = attention::backward(&ops.state, &gradient);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = parent {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct CrossEntropy;

impl Backward<Flex, 1> for CrossEntropy {
    type State = (FlexTensor, Arc<Vec<usize>>, Arc<Vec<f32>>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let (logits, targets, sums) = ops.state;
        let [parent] = ops.parents;
        if let Some(node) = parent {
            grads.register::<Flex>(
                node.id,
                kernels::cross_entropy_backward(&logits, &targets, &sums, &gradient),
            );
        }
    }
}

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let prepared = Linear.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful();
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let out = kernels::linear(&x, &weight, None);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((x, weight), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn fused_linear_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let prepared = LinearBias.prepare::<C>(nodes).compute_bound().stateful();
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let out = kernels::linear(&x, &weight, Some(bias.primitive()));
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((x, weight), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn fused_rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self> {
        let prepared = RmsNorm.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful();
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let out = kernels::rms_norm(&x, &weight, epsilon);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((x, weight, epsilon), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn fused_gate(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let prepared = Gate.prepare::<C>([gate.node(), up.node()]).compute_bound().stateful();
        let (gate, up) = (gate.into_primitive(), up.into_primitive());
        let out = kernels::gate(&gate, &up);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((gate, up), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn fused_rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        // The angles are constants.
        let prepared = Rotate.prepare::<C>([x.node()]).compute_bound().stateful();
        let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
        let out = kernels::rotate(x.primitive(), &cos, &sin, false);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((cos, sin), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        pattern: Pattern,
    ) -> FloatTensor<Self> {
        let nodes = [query.node(), key.node(), value.node()];
        let prepared = Attention.prepare::<C>(nodes).compute_bound().stateful();
        let (query, key, value) = (query.into_primitive(), key.into_primitive(), value.into_primitive());
        let (out, sums) = attention::forward(&query, &key, &value, &pattern);
        match prepared {
            OpsKind::Tracked(prepared) => {
                prepared.finish(Saved { query, key, value, out: out.clone(), sums, pattern }, out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn fused_cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        let prepared = CrossEntropy.prepare::<C>([logits.node()]).compute_bound().stateful();
        let logits = logits.into_primitive();
        let targets = kernels::indices(&targets);
        let (losses, sums) = kernels::cross_entropy(&logits, &targets);
        match prepared {
            OpsKind::Tracked(prepared) => {
                prepared.finish((logits, Arc::new(targets), Arc::new(sums)), losses)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(losses),
        }
    }
}
