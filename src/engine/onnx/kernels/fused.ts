/** TensorFlow.js's fused kernels: a product or convolution, a bias, an activation. They are written as their parts; fusing is the runtime's business. */
import type { Graph, Ref } from '../graph.ts';
import { type Attrs, type Kernel, kernel } from '../registry.ts';
import type { Spec } from '../value.ts';
import { convolutions } from './conv.ts';
import { depthwise } from './depthwise.ts';
import { elementwise } from './elementwise.ts';
import { matMuls } from './matMul.ts';

type Fused = Readonly<{ activation?: string; leakyreluAlpha?: number }>;

const named = (kernels: readonly Kernel[], name: string): Kernel => {
  const found = kernels.find((candidate) => candidate.name === name);
  if (!found) throw new TypeError(`fused: there is no kernel ${name}`);
  return found;
};

/** TensorFlow.js's name of an activation to the kernel that computes it. */
const activations: Readonly<Record<string, string>> = { relu: 'Relu', relu6: 'Relu6', elu: 'Elu', sigmoid: 'Sigmoid', leakyrelu: 'LeakyRelu', prelu: 'Prelu' };

const activate = (graph: Graph, x: Ref, weights: Ref | undefined, { activation = 'linear', leakyreluAlpha = 0.2 }: Fused, out: Spec): Ref => {
  if (activation === 'linear') return x;
  const name = activations[activation];
  if (name === undefined) throw new Error(`Activation ${activation} has not been implemented for the ONNX backend.`);
  const inputs = activation === 'prelu' ? [x, weights as Ref] : [x];
  return named(elementwise, name).emit(graph, inputs, { alpha: leakyreluAlpha }, [out]) as Ref;
};

const fused = (name: string, part: Kernel): Kernel => kernel<Fused & Attrs>({
  name, inputs: [...part.inputs as readonly string[], 'bias?', 'preluActivationWeights?'],
  infer: (inputs, attrs) => part.infer(inputs.slice(0, 2), attrs),
  emit: (graph, [a, b, bias, weights], attrs, [out]) => {
    const whole = part.emit(graph, [a as Ref, b as Ref], attrs, [out as Spec]) as Ref;
    return activate(graph, bias ? graph.elementwise('Add', [whole, bias]) : whole, weights, attrs, out as Spec);
  },
});

export const fusions: readonly Kernel[] = [
  fused('_FusedMatMul', named(matMuls, 'BatchMatMul')),
  fused('FusedConv2D', named(convolutions, 'Conv2D')),
  fused('FusedDepthwiseConv2D', named(depthwise, 'DepthwiseConv2dNative')),
];
