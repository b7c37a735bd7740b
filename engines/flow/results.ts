/** What a person wants to know of a computed flow: velocities along the centrelines, forces, and how true it is. */
import { type FlowField, short, speedMax } from '../flowField';
import type { FlowCase } from './caseFile';
import type { Flow } from './solver';

/** The velocities in the middle of cells; pressure in pascal, with mean zero in a closed box. */
export function fieldOf(flowCase: FlowCase, { grid, u, v, pressure }: Flow): FlowField {
  const { columns, rows, stride, fluid } = grid;
  const field = () => new Float64Array(columns * rows).fill(Number.NaN);
  const [across, up, pascal] = [field(), field(), field()];
  let sum = 0;
  for (let cell = 0; cell < fluid.length; cell++) if (fluid[cell] === 1) sum += pressure[cell] as number;
  const level = grid.hasOutlet ? 0 : sum / grid.fluidCells;
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < columns; i++) {
      const cell = i + 1 + (j + 1) * stride;
      if (fluid[cell] === 0) continue;
      const to = i + j * columns;
      across[to] = ((u[cell] as number) + (u[cell - 1] as number)) / 2;
      up[to] = ((v[cell] as number) + (v[cell - stride] as number)) / 2;
      pascal[to] = flowCase.density * ((pressure[cell] as number) - level);
    }
  }
  const { width, height } = flowCase;
  const place = { left: 0, bottom: 0, width, height, axes: ['x', 'y'] as const };
  return { columns, rows, ...place, u: across, v: up, pressure: pascal, pressureUnit: 'Pa' };
}

/** The u of the vertical and the v of the horizontal centreline, walls included, in m/s. */
export function centrelineTable(flowCase: FlowCase, flow: Flow): string {
  let table = 'line,position (m),velocity (m/s)\n';
  for (const [position, velocity] of verticalCentreline(flowCase, flow)) {
    table += `u at x = width/2,${short(position)},${short(velocity)}\n`;
  }
  for (const [position, velocity] of horizontalCentreline(flowCase, flow)) {
    table += `v at y = height/2,${short(position)},${short(velocity)}\n`;
  }
  return table;
}

type Sample = readonly [position: number, velocity: number];

/** From the lower wall to the upper one, across an even number of columns without interpolation. */
export function verticalCentreline(flowCase: FlowCase, { grid, u }: Flow): Sample[] {
  const { columns, rows, stride, dy } = grid;
  const right = Math.floor(columns / 2);
  const left = Math.ceil(columns / 2);
  const samples: Sample[] = [[0, 0]];
  for (let j = 0; j < rows; j++) {
    const row = (j + 1) * stride;
    samples.push([(j + 0.5) * dy, ((u[right + row] as number) + (u[left + row] as number)) / 2]);
  }
  samples.push([flowCase.height, flowCase.kind === 'cavity' ? flowCase.speed : 0]);
  return samples;
}

/** From the left wall, or the inlet, to the right. */
export function horizontalCentreline(flowCase: FlowCase, { grid, v }: Flow): Sample[] {
  const { columns, rows, stride, dx } = grid;
  const above = Math.floor(rows / 2) * stride;
  const below = Math.ceil(rows / 2) * stride;
  const samples: Sample[] = [[0, 0]];
  for (let i = 0; i < columns; i++) {
    samples.push([(i + 0.5) * dx, ((v[i + 1 + above] as number) + (v[i + 1 + below] as number)) / 2]);
  }
  const atEnd = flowCase.kind === 'cavity' ? 0 : (samples.at(-1)?.[1] ?? 0);
  samples.push([flowCase.width, atEnd]);
  return samples;
}

/** The largest speed, and the largest of each component, in m/s. */
export function speedsMax(field: FlowField): object {
  // A cell of the wall holds no number and counts as standing still.
  const largest = (values: Float64Array) => values.reduce((most, value) => Math.max(most, Math.abs(value || 0)), 0);
  return { speedMax: speedMax(field), uMax: largest(field.u), vMax: largest(field.v) };
}

/** What leaves a channel less what enters it, as a part of what enters; null in a closed box. */
export function massImbalance(flowCase: FlowCase, { grid, u }: Flow): number | null {
  if (!grid.hasOutlet) return null;
  let excess = 0;
  for (let j = 0; j < grid.rows; j++) {
    const row = (j + 1) * grid.stride;
    excess += (u[row + grid.columns] as number) - (u[row] as number);
  }
  return (excess * grid.dy) / (flowCase.speed * flowCase.height);
}

/**
 * Drag and lift of the obstacle in newtons a metre of depth, from the pressure in the cells around it and the friction
 * along its sides, and the drag's coefficient: of density / 2 × speed² × obstacle height, with the inlet's mean speed.
 */
export function forceOnObstacle(flowCase: FlowCase, { grid, u, v, pressure }: Flow): object {
  const { obstacle, stride, dx, dy } = grid;
  if (!obstacle) return {};
  const { viscosity, density, speed } = flowCase;
  const { left, right, bottom, top } = obstacle;
  let drag = 0;
  let lift = 0;
  for (let j = bottom; j < top; j++) {
    const row = (j + 1) * stride;
    const [front, back] = [left + row, right + 1 + row];
    drag += ((pressure[front] as number) - (pressure[back] as number)) * dy;
    const sliding =
      (v[front] as number) + (v[front - stride] as number) + (v[back] as number) + (v[back - stride] as number);
    lift += viscosity * (sliding / dx) * dy;
  }
  for (let i = left; i < right; i++) {
    const [under, over] = [i + 1 + bottom * stride, i + 1 + (top + 1) * stride];
    lift += ((pressure[under] as number) - (pressure[over] as number)) * dx;
    const sliding = (u[under] as number) + (u[under - 1] as number) + (u[over] as number) + (u[over - 1] as number);
    drag += viscosity * (sliding / dy) * dx;
  }
  const height = (top - bottom) * dy;
  return {
    drag: density * drag,
    lift: density * lift,
    dragCoefficient: drag / (0.5 * speed ** 2 * height),
  };
}
