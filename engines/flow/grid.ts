/**
 * The staggered grid (marker and cell; Harlow and Welch 1965): pressure in the middle of a cell, the velocity across
 * each face in the middle of the face. One ring of border cells around the grid holds the walls, the inlet and the
 * outlet, so that every cell has four neighbours.
 */
import { InputFault } from '../protocol';
import type { FlowCase } from './caseFile';

/** Where a face value outside the fluid comes from: `value[target] = factor * value[source] + offset`. */
export interface Ghosts {
  readonly targets: Int32Array;
  readonly sources: Int32Array;
  readonly factors: Float64Array;
  readonly offsets: Float64Array;
}

/** Cell `(i, j)`, both from 0, has index `(i + 1) + (j + 1) * stride`. Faces belong to the cell on their left or below. */
export interface Grid {
  readonly columns: number;
  readonly rows: number;
  readonly stride: number;
  /** Size of a cell in metres. */
  readonly dx: number;
  readonly dy: number;
  /** 1 where there is fluid. */
  readonly fluid: Uint8Array;
  readonly fluidCells: number;
  /** Whether the right side is an outlet at pressure zero. */
  readonly hasOutlet: boolean;
  /** Faces whose velocity is computed; the others keep what the border gives them. */
  readonly uFaces: Int32Array;
  readonly vFaces: Int32Array;
  readonly uGhosts: Ghosts;
  readonly vGhosts: Ghosts;
  /** The obstacle, in cells, its end not included. */
  readonly obstacle: CellBox | undefined;
}

export interface CellBox {
  readonly left: number;
  readonly right: number;
  readonly bottom: number;
  readonly top: number;
}

/** Lays the grid of a case. @throws InputFault when the obstacle does not fit the cells. */
export function layGrid(flow: FlowCase): Grid {
  const { columns, rows } = flow;
  const stride = columns + 2;
  const dx = flow.width / columns;
  const dy = flow.height / rows;
  const obstacle = flow.obstacle && boxOf(flow, dx, dy);
  const fluid = new Uint8Array(stride * (rows + 2));
  let fluidCells = 0;
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < columns; i++) {
      if (obstacle && isInside(obstacle, i, j)) continue;
      fluid[i + 1 + (j + 1) * stride] = 1;
      fluidCells++;
    }
  }
  const isFluid = (cell: number) => fluid[cell] === 1;
  const hasOutlet = flow.kind === 'channel';
  const uFaces: number[] = [];
  const vFaces: number[] = [];
  const uGhosts = new GhostList();
  const vGhosts = new GhostList();
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < columns; i++) {
      const cell = i + 1 + (j + 1) * stride;
      if (!isFluid(cell)) continue;
      const isOutlet = hasOutlet && i === columns - 1;
      if (isFluid(cell + 1) || isOutlet) {
        uFaces.push(cell);
        if (isOutlet) uGhosts.add(cell + 1, cell, 1, 0);
        for (const beside of [cell - stride, cell + stride]) {
          const isWall = !isFluid(beside) && !isFluid(beside + 1);
          const isLid = flow.kind === 'cavity' && j === rows - 1 && beside > cell;
          // No slip half a cell away: the mean of the two values is the wall's own velocity.
          if (isWall) uGhosts.add(beside, cell, -1, isLid ? 2 * flow.speed : 0);
        }
      }
      if (isFluid(cell + stride)) {
        vFaces.push(cell);
        for (const beside of [cell - 1, cell + 1]) {
          const isWall = !isFluid(beside) && !isFluid(beside + stride);
          if (isWall) vGhosts.add(beside, cell, isOutlet && beside > cell ? 1 : -1, 0);
        }
      }
    }
  }
  return {
    columns,
    rows,
    stride,
    dx,
    dy,
    fluid,
    fluidCells,
    hasOutlet,
    uFaces: Int32Array.from(uFaces),
    vFaces: Int32Array.from(vFaces),
    uGhosts: uGhosts.list(),
    vGhosts: vGhosts.list(),
    obstacle,
  };
}

/** Gives the faces outside the fluid their values. */
export function fillGhosts(values: Float64Array, { targets, sources, factors, offsets }: Ghosts): void {
  for (let k = 0; k < targets.length; k++) {
    values[targets[k] as number] =
      (factors[k] as number) * (values[sources[k] as number] as number) + (offsets[k] as number);
  }
}

class GhostList {
  readonly #rows: [target: number, source: number, factor: number, offset: number][] = [];

  add(target: number, source: number, factor: number, offset: number): void {
    this.#rows.push([target, source, factor, offset]);
  }

  list(): Ghosts {
    return {
      targets: Int32Array.from(this.#rows, ([target]) => target),
      sources: Int32Array.from(this.#rows, ([, source]) => source),
      factors: Float64Array.from(this.#rows, ([, , factor]) => factor),
      offsets: Float64Array.from(this.#rows, ([, , , offset]) => offset),
    };
  }
}

/** Two cells thick at least, so that no wall value is asked for from both sides, with two cells of fluid around. */
function boxOf({ obstacle, columns, rows }: FlowCase, dx: number, dy: number): CellBox | undefined {
  if (!obstacle) return undefined;
  const box = {
    left: Math.round(obstacle.x / dx),
    right: Math.round((obstacle.x + obstacle.width) / dx),
    bottom: Math.round(obstacle.y / dy),
    top: Math.round((obstacle.y + obstacle.height) / dy),
  };
  const fits = box.left >= 2 && box.right <= columns - 2 && box.bottom >= 2 && box.top <= rows - 2;
  if (!fits || box.right - box.left < 2 || box.top - box.bottom < 2) {
    throw new InputFault('The obstacle is at least two cells thick and two cells away from every side of the channel.');
  }
  return box;
}

function isInside({ left, right, bottom, top }: CellBox, i: number, j: number): boolean {
  return i >= left && i < right && j >= bottom && j < top;
}
