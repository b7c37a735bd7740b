/** Conjugate gradients with the diagonal as preconditioner (Hestenes, Stiefel 1952), which stop for a while now and then. */
import { InputFault } from '../protocol';
import type { Model } from '../structure/model';
import type { Assembly } from './assembly';

/** The solution, and the forces that hold it. */
export interface Solution {
  readonly displacements: Float64Array;
  /** What the supports add to the loads, at fixed degrees of freedom; the rest is the residual. */
  readonly reactions: Float64Array;
  /** Of the equations, relative to the load. */
  readonly residual: number;
}

/** Three digits more than an engineer reads in a table. */
const RESIDUAL = 1e-9;
/** In exact arithmetic as many steps as equations are enough; rounding needs some more. */
const STEPS_PER_EQUATION_MAX = 10;

/**
 * Finds the displacements.
 *
 * @param onStep gets the relative residual after each iteration; it may pause, or throw to end the solution.
 * @throws InputFault when the iteration comes to no end, as with a part that hangs on a hinge.
 */
export async function solve(
  model: Model,
  assembly: Assembly,
  equations: number,
  onStep: (residual: number) => Promise<void> | undefined,
): Promise<Solution> {
  const size = model.coordinates.length;
  const isFree = new Uint8Array(size).fill(1);
  const displacements = new Float64Array(size);
  for (const [degree, value] of model.fixed) {
    isFree[degree] = 0;
    displacements[degree] = value;
  }
  const loads = new Float64Array(size);
  for (const [degree, force] of model.loads) loads[degree] = force;
  for (let degree = 0; degree < size; degree++) if (assembly.diagonal[degree] === 0) isFree[degree] = 0;

  const product = new Float64Array(size);
  assembly.multiply(displacements, product);
  const residual = loads.map((force, degree) => (isFree[degree] ? force - (product[degree] as number) : 0));
  const scaled = residual.map((value, degree) => (isFree[degree] ? value / (assembly.diagonal[degree] as number) : 0));
  const direction = scaled.slice();
  let power = dot(residual, scaled);
  const start = Math.sqrt(dot(residual, residual));
  let left = start === 0 ? 0 : 1;
  const steps = STEPS_PER_EQUATION_MAX * equations + 1000;
  for (let step = 0; left > RESIDUAL; step++) {
    assembly.multiply(direction, product);
    const stiffness = dot(direction, product, isFree);
    if (step === steps || !(stiffness > 0)) {
      throw new InputFault(
        'the model has no single answer: a part of it can move without being deformed, such as on a hinge of one edge',
      );
    }
    const length = power / stiffness;
    let square = 0;
    let next = 0;
    for (let degree = 0; degree < size; degree++) {
      if (!isFree[degree]) continue;
      displacements[degree] = (displacements[degree] as number) + length * (direction[degree] as number);
      const rest = (residual[degree] as number) - length * (product[degree] as number);
      const one = rest / (assembly.diagonal[degree] as number);
      residual[degree] = rest;
      scaled[degree] = one;
      square += rest * rest;
      next += rest * one;
    }
    const turn = next / power;
    power = next;
    for (let degree = 0; degree < size; degree++) {
      direction[degree] = (scaled[degree] as number) + turn * (direction[degree] as number);
    }
    left = Math.sqrt(square) / start;
    await onStep(left);
  }
  assembly.multiply(displacements, product);
  const reactions = product.map((force, degree) => force - (loads[degree] as number));
  const rest = reactions.map((force, degree) => (isFree[degree] ? force : 0));
  return { displacements, reactions, residual: start === 0 ? 0 : Math.sqrt(dot(rest, rest)) / start };
}

function dot(one: Float64Array, other: Float64Array, only?: Uint8Array): number {
  let sum = 0;
  for (let place = 0; place < one.length; place++) {
    if (!only || only[place]) sum += (one[place] as number) * (other[place] as number);
  }
  return sum;
}
