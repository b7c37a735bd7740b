/**
 * The linear hexahedron of eight nodes, integrated at 2 × 2 × 2 points, with or without incompatible modes.
 *
 * The modes are three parabolas in each direction, inside the element alone (Wilson), with the Jacobian at the centre in place of the
 * one at the point, without which a distorted element fails the patch test (Taylor, Beresford, Wilson 1976). They let an element
 * bend, where a plain one is far too stiff. They are eliminated within the element, so the model has no more unknowns.
 */
import type { Material } from '../structure/model';

/** Corners in natural coordinates, in the order of a deck. */
const CORNERS = [
  [-1, -1, -1],
  [1, -1, -1],
  [1, 1, -1],
  [-1, 1, -1],
  [-1, -1, 1],
  [1, -1, 1],
  [1, 1, 1],
  [-1, 1, 1],
] as const;
const DEGREES = 24;
const MODES = 9;
const POINT = 1 / Math.sqrt(3);

/**
 * The stiffness of one element, 24 × 24 by rows; undefined when its nodes are not in the order of a hexahedron.
 *
 * @param corners three coordinates for each of the eight nodes.
 */
export function stiffnessOf(corners: Float64Array, material: Material, hasModes: boolean): Float64Array | undefined {
  const elasticity = elasticityOf(material);
  const size = hasModes ? DEGREES + MODES : DEGREES;
  const whole = new Float64Array(size * size);
  const centre = jacobianAt(corners, 0, 0, 0);
  if (!(centre.determinant > 0)) return undefined;
  for (const [a, b, c] of CORNERS) {
    const [xi, eta, zeta] = [a * POINT, b * POINT, c * POINT];
    const jacobian = jacobianAt(corners, xi, eta, zeta);
    if (!(jacobian.determinant > 0)) return undefined;
    const gradients = gradientsAt(jacobian.inverse, xi, eta, zeta);
    if (hasModes) {
      const ratio = centre.determinant / jacobian.determinant;
      for (const [axis, value] of [xi, eta, zeta].entries()) {
        const natural = [0, 0, 0];
        natural[axis] = -2 * value * ratio;
        gradients.push(globally(centre.inverse, natural));
      }
    }
    addStiffness(whole, gradients, elasticity, jacobian.determinant);
  }
  return hasModes ? condensed(whole, size) : whole;
}

/** Stress at the centre, where the modes have no strain: xx, yy, zz, xy, yz, zx. */
export function stressAtCentre(corners: Float64Array, material: Material, displacements: Float64Array): number[] {
  const { inverse } = jacobianAt(corners, 0, 0, 0);
  const strain = [0, 0, 0, 0, 0, 0];
  for (const [node, gradient] of gradientsAt(inverse, 0, 0, 0).entries()) {
    for (let direction = 0; direction < 3; direction++) {
      const column = strainColumn(gradient, direction);
      const moved = displacements[3 * node + direction] ?? 0;
      for (let row = 0; row < 6; row++) strain[row] = (strain[row] ?? 0) + (column[row] ?? 0) * moved;
    }
  }
  const elasticity = elasticityOf(material);
  return elasticity.map((row) => row.reduce((sum, value, column) => sum + value * (strain[column] ?? 0), 0));
}

/** Hooke's law for xx, yy, zz and the shears xy, yz, zx (as angles). */
function elasticityOf({ youngsModulus, poissonsRatio }: Material): number[][] {
  const lambda = (youngsModulus * poissonsRatio) / ((1 + poissonsRatio) * (1 - 2 * poissonsRatio));
  const shear = youngsModulus / (2 * (1 + poissonsRatio));
  return [0, 1, 2, 3, 4, 5].map((row) =>
    [0, 1, 2, 3, 4, 5].map((column) => {
      const both = row < 3 && column < 3 ? lambda : 0;
      if (row !== column) return both;
      return row < 3 ? both + 2 * shear : shear;
    }),
  );
}

interface Jacobian {
  /** Of the natural coordinates by x, y, z. */
  readonly inverse: number[][];
  readonly determinant: number;
}

function jacobianAt(corners: Float64Array, xi: number, eta: number, zeta: number): Jacobian {
  const rows = [0, 1, 2].map((axis) =>
    [0, 1, 2].map((direction) =>
      CORNERS.reduce(
        (sum, corner, node) =>
          sum + (naturalGradient(corner, xi, eta, zeta)[axis] ?? 0) * (corners[3 * node + direction] ?? 0),
        0,
      ),
    ),
  );
  const at = (row: number, column: number) => rows[row % 3]?.[column % 3] ?? 0;
  const cofactor = (row: number, column: number) =>
    at(row + 1, column + 1) * at(row + 2, column + 2) - at(row + 1, column + 2) * at(row + 2, column + 1);
  const determinant = [0, 1, 2].reduce((sum, column) => sum + at(0, column) * cofactor(0, column), 0);
  return {
    inverse: [0, 1, 2].map((row) => [0, 1, 2].map((column) => cofactor(column, row) / determinant)),
    determinant,
  };
}

function naturalGradient(
  [a, b, c]: readonly [number, number, number],
  xi: number,
  eta: number,
  zeta: number,
): number[] {
  return [
    (a * (1 + b * eta) * (1 + c * zeta)) / 8,
    (b * (1 + a * xi) * (1 + c * zeta)) / 8,
    (c * (1 + a * xi) * (1 + b * eta)) / 8,
  ];
}

function gradientsAt(inverse: number[][], xi: number, eta: number, zeta: number): number[][] {
  return CORNERS.map((corner) => globally(inverse, naturalGradient(corner, xi, eta, zeta)));
}

function globally(inverse: number[][], natural: readonly number[]): number[] {
  return inverse.map((row) => row.reduce((sum, value, axis) => sum + value * (natural[axis] ?? 0), 0));
}

/** What a unit displacement in a direction adds to the strains, from the gradient of its shape. */
function strainColumn(gradient: readonly number[], direction: number): number[] {
  const [x = 0, y = 0, z = 0] = gradient;
  if (direction === 0) return [x, 0, 0, y, 0, z];
  if (direction === 1) return [0, y, 0, x, z, 0];
  return [0, 0, z, 0, y, x];
}

function addStiffness(whole: Float64Array, gradients: number[][], elasticity: number[][], weight: number): void {
  const size = 3 * gradients.length;
  const columns = gradients.flatMap((gradient) => [0, 1, 2].map((direction) => strainColumn(gradient, direction)));
  const stresses = columns.map((strain) =>
    elasticity.map((row) => row.reduce((sum, value, place) => sum + value * (strain[place] ?? 0), 0) * weight),
  );
  for (const [row, strain] of columns.entries()) {
    for (const [column, stress] of stresses.entries()) {
      let sum = 0;
      for (let place = 0; place < 6; place++) sum += (strain[place] ?? 0) * (stress[place] ?? 0);
      const at = row * size + column;
      whole[at] = (whole[at] ?? 0) + sum;
    }
  }
}

/** Eliminates the modes, the last first: what is left is the stiffness that the nodes see. */
function condensed(whole: Float64Array, size: number): Float64Array {
  const at = (row: number, column: number) => whole[row * size + column] ?? 0;
  for (let mode = size - 1; mode >= DEGREES; mode--) {
    const pivot = at(mode, mode);
    for (let row = 0; row < mode; row++) {
      const factor = at(row, mode) / pivot;
      for (let column = 0; column < mode; column++)
        whole[row * size + column] = at(row, column) - factor * at(mode, column);
    }
  }
  const kept = new Float64Array(DEGREES * DEGREES);
  for (let row = 0; row < DEGREES; row++) {
    kept.set(whole.subarray(row * size, row * size + DEGREES), row * DEGREES);
  }
  return kept;
}
