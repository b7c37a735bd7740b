/** The case file of the embedded flow solver: what it may say, and how many cells and steps it asks for. */
import { z } from 'zod';
import { InputError } from '../service';

/** How much a case will compute. */
export interface FlowExtent {
  readonly title: string;
  readonly cells: number;
  /** The most steps that are taken. */
  readonly steps: number;
  /** Whether the run may end sooner, once the flow is steady. */
  readonly mayEndSooner: boolean;
}

const CELLS_MAX = 400_000;
const STEPS_MAX = 1_000_000;
/** With central differences a flow wiggles, and then leaves every bound, where a cell carries far more than it smooths. */
const CELL_REYNOLDS_MAX = 30;
const CELL_ASPECT_MAX = 10;

const above = (name: string, unit: string, low: number, high: number) =>
  z
    .number(`${name} is a number`)
    .min(low, `${name} is at least ${low} ${unit}`.trim())
    .max(high, `${name} is at most ${high} ${unit}`.trim());
const length = (name: string) => above(name, 'm', 1e-6, 1e6);
const count = (name: string) =>
  z.int(`${name} is a whole number`).min(4, `${name} is at least 4`).max(2048, `${name} is at most 2048`);

const obstacle = z.strictObject({
  x: length('the x of the obstacle'),
  y: length('the y of the obstacle'),
  width: length('the width of the obstacle'),
  height: length('the height of the obstacle'),
});

const caseFile = z.strictObject({
  title: z.string('the title is a text').max(200, 'the title has at most 200 characters').optional(),
  geometry: z.discriminatedUnion(
    'kind',
    [
      z.strictObject({ kind: z.literal('cavity'), width: length('the width'), height: length('the height') }),
      z.strictObject({
        kind: z.literal('channel'),
        width: length('the width'),
        height: length('the height'),
        obstacle: obstacle.optional(),
      }),
    ],
    'the kind is "cavity" or "channel"',
  ),
  cells: z.strictObject({ x: count('the number of cells along x'), y: count('the number of cells along y') }),
  fluid: z
    .strictObject({
      viscosity: above('the viscosity', 'm²/s', 1e-9, 1e6).optional(),
      reynolds: above('the Reynolds number', '', 1e-3, 1e6).optional(),
      density: above('the density', 'kg/m³', 1e-6, 1e6).optional(),
    })
    .refine(({ viscosity, reynolds }) => (viscosity === undefined) !== (reynolds === undefined), {
      message: 'a fluid has either a viscosity or a Reynolds number',
    }),
  speed: above('the speed', 'm/s', 1e-6, 1e4),
  run: z.discriminatedUnion(
    'mode',
    [
      z.strictObject({
        mode: z.literal('steady'),
        tolerance: above('the tolerance', '', 1e-6, 0.1).optional(),
        stepsMax: z
          .int('stepsMax is a whole number')
          .min(1, 'stepsMax is at least 1')
          .max(STEPS_MAX, `stepsMax is at most ${STEPS_MAX}`)
          .optional(),
      }),
      z.strictObject({ mode: z.literal('transient'), endTime: above('the end time', 's', 1e-9, 1e9) }),
    ],
    'the mode is "steady" or "transient"',
  ),
});

type FlowCase = z.output<typeof caseFile>;

/**
 * Reads a case file.
 *
 * @throws InputError `case_not_json`, `case_invalid` (a field is missing, unknown or out of bounds), `case_too_large`,
 * `case_too_coarse` (the cells cannot carry this flow).
 */
export function readFlowCase(text: string): FlowExtent {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError('case_not_json', `The case is not JSON: ${(error as Error).message}.`, { cause: error });
  }
  const parsed = caseFile.safeParse(json);
  if (!parsed.success) throw new InputError('case_invalid', sentenceOf(parsed.error));
  const flow = parsed.data;
  const cells = fluidCells(flow);
  refuseCoarse(flow);
  const isSteady = flow.run.mode === 'steady';
  return {
    title: flow.title ?? flow.geometry.kind,
    cells,
    steps: stepsOf(flow),
    mayEndSooner: isSteady,
  };
}

/** The engine takes the same steps from the same file with its own formula; a test holds the two together. */
function stepsOf(flow: FlowCase): number {
  const { run, speed, geometry } = flow;
  if (run.mode === 'steady') return run.stepsMax ?? 20_000;
  const [dx, dy] = cellSize(flow);
  const crossing = 0.4 / (fastest(speed, geometry) * Math.max(1 / dx, 1 / dy));
  const spreading = 0.8 / (2 * viscosityOf(flow) * (1 / (dx * dx) + 1 / (dy * dy)));
  const steps = Math.max(1, Math.ceil(run.endTime / Math.min(crossing, spreading) - 1e-9));
  if (steps > STEPS_MAX) {
    throw new InputError(
      'case_too_large',
      `An end time of ${run.endTime} s takes ${steps.toLocaleString('en')} steps on these cells; at most ${STEPS_MAX.toLocaleString('en')} are run. Use an earlier end or larger cells.`,
    );
  }
  return steps;
}

function fastest(speed: number, geometry: FlowCase['geometry']): number {
  if (geometry.kind === 'cavity') return speed;
  const { obstacle, height } = geometry;
  return obstacle ? (2 * speed * height) / (height - obstacle.height) : 1.5 * speed;
}

function viscosityOf({ fluid, speed, geometry }: FlowCase): number {
  if (fluid.viscosity !== undefined) return fluid.viscosity;
  const span = geometry.kind === 'cavity' ? geometry.width : (geometry.obstacle?.height ?? geometry.height);
  return (speed * span) / (fluid.reynolds as number);
}

function cellSize({ geometry, cells }: FlowCase): [dx: number, dy: number] {
  return [geometry.width / cells.x, geometry.height / cells.y];
}

/** Cells with fluid: all but those of the obstacle, which is two cells thick at least and two away from every side. */
function fluidCells(flow: FlowCase): number {
  const { geometry, cells } = flow;
  const all = cells.x * cells.y;
  if (all > CELLS_MAX) {
    throw new InputError(
      'case_too_large',
      `The case has ${all.toLocaleString('en')} cells; at most ${CELLS_MAX.toLocaleString('en')} are computed.`,
    );
  }
  const obstacle = geometry.kind === 'channel' ? geometry.obstacle : undefined;
  if (!obstacle) return all;
  const [dx, dy] = cellSize(flow);
  const [left, right] = [Math.round(obstacle.x / dx), Math.round((obstacle.x + obstacle.width) / dx)];
  const [bottom, top] = [Math.round(obstacle.y / dy), Math.round((obstacle.y + obstacle.height) / dy)];
  const fits = left >= 2 && right <= cells.x - 2 && bottom >= 2 && top <= cells.y - 2;
  if (!fits || right - left < 2 || top - bottom < 2) {
    throw new InputError(
      'case_invalid',
      `The obstacle is at least two cells thick and two cells away from every side; on these cells it covers columns ${left} to ${right} of ${cells.x} and rows ${bottom} to ${top} of ${cells.y}.`,
    );
  }
  return all - (right - left) * (top - bottom);
}

function refuseCoarse(flow: FlowCase): void {
  const [dx, dy] = cellSize(flow);
  const aspect = Math.max(dx / dy, dy / dx);
  if (aspect > CELL_ASPECT_MAX) {
    throw new InputError(
      'case_too_coarse',
      `A cell is ${aspect.toPrecision(3)} times longer than it is wide; at most ${CELL_ASPECT_MAX} times is computed. Choose cells.x and cells.y to fit the geometry.`,
    );
  }
  const reynolds = (flow.speed * Math.max(dx, dy)) / viscosityOf(flow);
  if (reynolds > CELL_REYNOLDS_MAX) {
    const { width, height } = flow.geometry;
    const finest = (CELL_REYNOLDS_MAX * viscosityOf(flow)) / flow.speed;
    throw new InputError(
      'case_too_coarse',
      `The cells are too coarse for this flow: speed × cell / viscosity is ${reynolds.toPrecision(3)}, and at most ${CELL_REYNOLDS_MAX} is computed. Use at least ${Math.ceil(width / finest)} x ${Math.ceil(height / finest)} cells, more viscosity or less speed.`,
    );
  }
}

/** The first thing that is wrong, with its place in the file. */
function sentenceOf(error: z.ZodError): string {
  const [issue] = error.issues;
  const place = issue?.path.join('.') ?? '';
  return `${place === '' ? 'The case' : place}: ${issue?.message ?? 'is not a case'}.`;
}
