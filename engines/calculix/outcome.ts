/** Whether CalculiX's results are true, and what they are: the program ends with code 0 after many a failure. */
import { InputFault } from '../protocol';
import { diagonalOf, type Model } from '../structure/model';
import { cornerCount } from '../structure/outerFaces';
import { type ElementStress, imbalanceOf } from '../structure/results';
import type { Results } from './frd';

/** A body that nothing holds flies much further than this many times its size. */
const DISPLACEMENT_MAX = 100;
/** The program writes six digits; more than this is no rounding. */
const IMBALANCE_MAX = 1e-3;

/** Values of nodes and elements in the order of the model. */
export interface Checked {
  readonly displacements: Float64Array;
  readonly reactions: Float64Array;
  readonly stresses: readonly ElementStress[];
}

/**
 * Holds the results against the model.
 *
 * @throws InputFault when a used node has no displacement or stress, a number is none, something moved further than a body can, or
 * the supports do not hold the loads.
 */
export function checked(model: Model, results: Results): Checked {
  const used = new Set(model.elements.flatMap(({ nodes }) => nodes));
  const displacements = new Float64Array(model.coordinates.length);
  const reactions = new Float64Array(model.coordinates.length);
  const furthest = DISPLACEMENT_MAX * diagonalOf(model);
  for (const node of used) {
    const id = model.nodeIds[node] ?? 0;
    const moved = results.displacements.get(id);
    if (!moved?.every(Number.isFinite) || !results.stresses.get(id)?.every(Number.isFinite)) {
      throw new InputFault(`CalculiX gave no displacement or stress for node ${id}: the model has no answer`);
    }
    if (Math.hypot(...moved) > furthest) {
      throw new InputFault(
        `node ${id} moved more than ${DISPLACEMENT_MAX} times the size of the model: it is not held, or far too soft for its loads`,
      );
    }
    displacements.set(moved, 3 * node);
    reactions.set(results.forces.get(id) ?? [], 3 * node);
  }
  // What acts on a held node is what its support gives and what loads it.
  for (const degree of model.fixed.keys()) {
    reactions[degree] = (reactions[degree] ?? 0) - (model.loads.get(degree) ?? 0);
  }
  const imbalance = imbalanceOf(model, reactions);
  if (imbalance !== null && imbalance > IMBALANCE_MAX) {
    throw new InputFault('the supports do not hold the loads in the result: the model has no answer');
  }
  return { displacements, reactions, stresses: stressesOf(model, results) };
}

/** The mean over the corners of an element, which is its centre for a stress that is linear in it. */
function stressesOf({ elements, nodeIds }: Model, { stresses }: Results): ElementStress[] {
  return elements.map(({ type, nodes }) => {
    const corners = nodes.slice(0, cornerCount(type)).map((node) => stresses.get(nodeIds[node] ?? 0) ?? []);
    return [0, 1, 2, 3, 4, 5].map(
      (part) => corners.reduce((sum, stress) => sum + (stress[part] ?? 0), 0) / corners.length,
    ) as unknown as ElementStress;
  });
}
