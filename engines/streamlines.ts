/** Lines along a flow, about evenly spaced: where a line has passed, no other one is started or led through. */
import { type FlowField, speedMax, velocityAt } from './flowField';

type Point = readonly [x: number, y: number];

/** Lanes across a square flow. */
const LANES = 34;
/** A line shorter than this many lanes says nothing. */
const LANES_MIN = 3;
const STEPS_MAX = 2_000;

/** Streamlines in the direction of the flow, as points in metres. */
export function streamlinesOf(field: FlowField): Point[][] {
  const lane = Math.sqrt(field.width * field.height) / LANES;
  const columns = Math.max(1, Math.round(field.width / lane));
  const rows = Math.max(1, Math.round(field.height / lane));
  const taken = new Uint8Array(columns * rows);
  const slowest = speedMax(field) * 1e-5;
  const laneOf = ([x, y]: Point) =>
    Math.floor(((x - field.left) / field.width) * columns) +
    Math.floor(((y - field.bottom) / field.height) * rows) * columns;
  const lines: Point[][] = [];
  for (const start of seedsOf(columns, rows)) {
    if (taken[start] === 1) continue;
    const seed: Point = [
      field.left + (((start % columns) + 0.5) / columns) * field.width,
      field.bottom + ((Math.floor(start / columns) + 0.5) / rows) * field.height,
    ];
    const passed = [start];
    taken[start] = 1;
    const before = follow(field, seed, -lane / 4, slowest, { taken, passed, laneOf });
    const after = follow(field, seed, lane / 4, slowest, { taken, passed, laneOf });
    const line = [...before.reverse(), seed, ...after];
    if (line.length > LANES_MIN * 4) lines.push(line);
    else for (const one of passed) taken[one] = 0;
  }
  return lines;
}

interface Lanes {
  readonly taken: Uint8Array;
  readonly passed: number[];
  readonly laneOf: (point: Point) => number;
}

/** Steps of one length by the midpoint rule, until the line leaves the fluid, stands still, or enters a taken lane. */
function follow(field: FlowField, seed: Point, step: number, slowest: number, lanes: Lanes): Point[] {
  const points: Point[] = [];
  let here = seed;
  let current = lanes.laneOf(seed);
  for (let count = 0; count < STEPS_MAX; count++) {
    const half = moved(field, here, here, step / 2, slowest);
    const next = half && moved(field, here, half, step, slowest);
    if (!next || !velocityAt(field, ...next)) break;
    const lane = lanes.laneOf(next);
    if (lane !== current) {
      if (lanes.taken[lane] === 1) break;
      lanes.taken[lane] = 1;
      lanes.passed.push(lane);
      current = lane;
    }
    points.push(next);
    here = next;
  }
  return points;
}

function moved(field: FlowField, from: Point, by: Point, step: number, slowest: number): Point | undefined {
  const velocity = velocityAt(field, ...by);
  if (!velocity) return undefined;
  const speed = Math.hypot(...velocity);
  if (!(speed > slowest)) return undefined;
  return [from[0] + (velocity[0] / speed) * step, from[1] + (velocity[1] / speed) * step];
}

/** From the rim to the middle, so that the long lines come first. */
function seedsOf(columns: number, rows: number): number[] {
  const depth = (lane: number) => {
    const i = lane % columns;
    const j = Math.floor(lane / columns);
    return Math.min(i, j, columns - 1 - i, rows - 1 - j);
  };
  return Array.from({ length: columns * rows }, (_, lane) => lane).sort((a, b) => depth(a) - depth(b) || a - b);
}
