/** A flow case as its author wrote it: a closed box under a moving lid, or a channel with or without a rectangular obstacle. */
import { InputFault } from '../protocol';

/** A rectangle of the wall inside a channel; x from the inlet, y from the lower wall, all in metres. */
export interface Obstacle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A case, in SI units. `services/cfd/README.md` documents the file. */
export interface FlowCase {
  readonly title: string;
  readonly kind: 'cavity' | 'channel';
  /** Extent along x and y in metres. */
  readonly width: number;
  readonly height: number;
  readonly obstacle: Obstacle | undefined;
  readonly columns: number;
  readonly rows: number;
  /** Kinematic viscosity in m²/s. */
  readonly viscosity: number;
  /** kg/m³; scales pressures and forces only. */
  readonly density: number;
  /** Of the lid, or the mean over the inlet, in m/s. */
  readonly speed: number;
  /** The length that the Reynolds number is built with: the cavity's width, the obstacle's height, or the channel's. */
  readonly referenceLength: number;
  readonly run: SteadyRun | TransientRun;
}

/** Until the flow changes by less than `tolerance` × speed² / length a second, or `stepsMax` is reached. */
export interface SteadyRun {
  readonly mode: 'steady';
  readonly tolerance: number;
  readonly stepsMax: number;
}

/** Until `endTime` in seconds. */
export interface TransientRun {
  readonly mode: 'transient';
  readonly endTime: number;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads a case. The service has refused what is not sensible before; what is read here is held to numbers again,
 * because an engine trusts nobody.
 *
 * @throws InputFault with a sentence for the author.
 */
export function readCase(text: string): FlowCase {
  let file: Json;
  try {
    file = part(JSON.parse(text), 'the case');
  } catch (error) {
    if (error instanceof InputFault) throw error;
    throw new InputFault(`The case is not JSON: ${(error as Error).message}.`);
  }
  const geometry = part(file.geometry, 'geometry');
  const cells = part(file.cells, 'cells');
  const fluid = part(file.fluid, 'fluid');
  const kind = geometry.kind;
  if (kind !== 'cavity' && kind !== 'channel') throw new InputFault('geometry.kind is "cavity" or "channel".');
  const width = positive(geometry.width, 'geometry.width');
  const height = positive(geometry.height, 'geometry.height');
  const obstacle = geometry.obstacle === undefined ? undefined : readObstacle(geometry.obstacle);
  const speed = positive(file.speed, 'speed');
  const referenceLength = kind === 'cavity' ? width : (obstacle?.height ?? height);
  return {
    title: typeof file.title === 'string' ? file.title : kind,
    kind,
    width,
    height,
    obstacle,
    columns: whole(cells.x, 'cells.x'),
    rows: whole(cells.y, 'cells.y'),
    viscosity:
      fluid.viscosity === undefined
        ? (speed * referenceLength) / positive(fluid.reynolds, 'fluid.reynolds')
        : positive(fluid.viscosity, 'fluid.viscosity'),
    density: fluid.density === undefined ? 1 : positive(fluid.density, 'fluid.density'),
    speed,
    referenceLength,
    run: readRun(part(file.run, 'run')),
  };
}

function readObstacle(value: unknown): Obstacle {
  const obstacle = part(value, 'geometry.obstacle');
  const side = (name: 'x' | 'y' | 'width' | 'height') => positive(obstacle[name], `geometry.obstacle.${name}`);
  return { x: side('x'), y: side('y'), width: side('width'), height: side('height') };
}

function readRun(run: Json): SteadyRun | TransientRun {
  if (run.mode === 'transient') return { mode: 'transient', endTime: positive(run.endTime, 'run.endTime') };
  if (run.mode !== 'steady') throw new InputFault('run.mode is "steady" or "transient".');
  return {
    mode: 'steady',
    tolerance: run.tolerance === undefined ? 1e-5 : positive(run.tolerance, 'run.tolerance'),
    stepsMax: run.stepsMax === undefined ? 20_000 : whole(run.stepsMax, 'run.stepsMax'),
  };
}

function part(value: unknown, name: string): Json {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new InputFault(`${name} is an object in braces.`);
  }
  return value as Json;
}

function positive(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) {
    throw new InputFault(`${name} is a number above zero.`);
  }
  return value;
}

function whole(value: unknown, name: string): number {
  const number = positive(value, name);
  if (!Number.isSafeInteger(number)) throw new InputFault(`${name} is a whole number.`);
  return number;
}
