/** The stiffness of a whole model, element by element: no matrix of the model is ever built. */
import { InputFault } from '../protocol';
import type { Model } from '../structure/model';
import { stiffnessOf } from './hexahedron';

/** Multiplies with the stiffness of a model. */
export interface Assembly {
  readonly elements: number;
  /** What the elements at each degree of freedom add up to: the preconditioner. */
  readonly diagonal: Float64Array;
  /** Writes stiffness × `displacements` into `forces`. */
  multiply(displacements: Float64Array, forces: Float64Array): void;
}

const DEGREES = 24;

/**
 * Elements of the same shape, type and material share one matrix, so a regular mesh of any size needs a few kilobytes.
 *
 * @throws InputFault for an element whose nodes are in a wrong order.
 */
export async function assemble(model: Model, pause: () => Promise<void>): Promise<Assembly> {
  const matrices = new Map<string, Float64Array>();
  const ofElement: Float64Array[] = [];
  const degrees = new Int32Array(model.elements.length * 8);
  const diagonal = new Float64Array(model.coordinates.length);
  for (const [place, { id, type, nodes, material }] of model.elements.entries()) {
    const corners = cornersOf(model, nodes);
    const key = `${type} ${material} ${shapeOf(corners)}`;
    let matrix = matrices.get(key);
    if (!matrix) {
      const elastic = model.materials.get(material);
      matrix = elastic && stiffnessOf(corners, elastic, type === 'C3D8I');
      if (!matrix) {
        throw new InputFault(
          `element ${id} has no volume everywhere: its nodes go round one face and then, in the same sense, round the opposite one`,
        );
      }
      matrices.set(key, matrix);
      await pause();
    }
    ofElement.push(matrix);
    for (const [corner, node] of nodes.entries()) {
      degrees[8 * place + corner] = 3 * node;
      for (let direction = 0; direction < 3; direction++) {
        const degree = 3 * node + direction;
        diagonal[degree] = (diagonal[degree] ?? 0) + (matrix[(3 * corner + direction) * (DEGREES + 1)] ?? 0);
      }
    }
  }
  return {
    elements: model.elements.length,
    diagonal,
    multiply: (displacements, forces) => multiply(ofElement, degrees, displacements, forces),
  };
}

/** Three coordinates for each corner of an element. */
export function cornersOf({ coordinates }: Model, nodes: readonly number[]): Float64Array {
  const corners = new Float64Array(3 * nodes.length);
  for (const [corner, node] of nodes.entries()) corners.set(coordinates.subarray(3 * node, 3 * node + 3), 3 * corner);
  return corners;
}

/** The same text for elements that differ by less than a thousand-millionth of their size. */
function shapeOf(corners: Float64Array): string {
  const size = Math.max(...corners.map((value, place) => Math.abs(value - (corners[place % 3] ?? 0))));
  const grid = 10 ** (Math.floor(Math.log10(size)) - 9);
  return Array.from(corners, (value, place) => Math.round((value - (corners[place % 3] ?? 0)) / grid)).join(' ') + grid;
}

function multiply(
  matrices: readonly Float64Array[],
  degrees: Int32Array,
  displacements: Float64Array,
  forces: Float64Array,
): void {
  const own = new Float64Array(DEGREES);
  forces.fill(0);
  for (let element = 0; element < matrices.length; element++) {
    const matrix = matrices[element] as Float64Array;
    for (let corner = 0; corner < 8; corner++) {
      const from = degrees[8 * element + corner] as number;
      own[3 * corner] = displacements[from] as number;
      own[3 * corner + 1] = displacements[from + 1] as number;
      own[3 * corner + 2] = displacements[from + 2] as number;
    }
    for (let row = 0, at = 0; row < DEGREES; row++) {
      let sum = 0;
      for (let column = 0; column < DEGREES; column++, at++) sum += (matrix[at] as number) * (own[column] as number);
      const to = (degrees[8 * element + Math.floor(row / 3)] as number) + (row % 3);
      forces[to] = (forces[to] as number) + sum;
    }
  }
}
