/** What a `.mould.json` may say. Lengths are in mm, times in s, viscosities in Pa s, flows in cm³/s, pressures in MPa. */
import { z } from 'zod';
import { InputError } from '../service';

const DIVISIONS_MAX = 100;
const RUNS_MAX = 200;
const FACTORS_MAX = 10;

const length = z.number().min(0).max(5_000);
const thickness = z.number().min(0.05).max(50);

const region = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('rib'), x: length, y: length, width: length, height: length, thickness }),
  z.strictObject({ kind: z.literal('hole'), x: length, y: length, width: length, height: length }),
]);

const gate = z.union([
  z.strictObject({ edge: z.enum(['left', 'right', 'top', 'bottom']) }),
  z.strictObject({ x: length, y: length, diameter: z.number().min(0.1).max(100) }),
]);

const value = z.number();
const design = z.union([
  z.strictObject({
    factors: z
      .array(z.strictObject({ field: z.string().max(100), levels: z.array(value).min(1).max(20) }))
      .min(1)
      .max(FACTORS_MAX),
  }),
  z.strictObject({
    factors: z
      .array(z.strictObject({ field: z.string().max(100) }))
      .min(1)
      .max(FACTORS_MAX),
    runs: z.array(z.array(value)).min(1).max(RUNS_MAX),
  }),
]);

const timeLimit = z.number().min(0.001).max(3_600).optional();

const mouldFile = z.strictObject({
  title: z.string().max(100).optional(),
  plate: z.strictObject({
    width: length.min(1),
    height: length.min(1),
    thickness: z.union([thickness, z.array(z.array(thickness).min(1).max(DIVISIONS_MAX)).min(1).max(DIVISIONS_MAX)]),
  }),
  regions: z.array(region).max(100).optional(),
  gates: z.array(gate).min(1).max(20),
  material: z.union([
    z.strictObject({ viscosity: z.number().min(0.001).max(1e7) }),
    z.strictObject({ consistency: z.number().min(0.001).max(1e7), exponent: z.number().min(0.2).max(1) }),
  ]),
  injection: z.union([
    z.strictObject({
      flowRate: z.number().min(1e-4).max(1e5),
      pressureLimit: z.number().min(0.001).max(1_000).optional(),
      timeLimit,
    }),
    z.strictObject({ pressure: z.number().min(0.001).max(1_000), timeLimit }),
  ]),
  cells: z.number().int().min(5).max(DIVISIONS_MAX).optional(),
  designOfExperiments: design.optional(),
});

export type MouldFile = z.output<typeof mouldFile>;

/** What the estimate and the workflow need to know of a file. */
export interface MouldFacts {
  readonly title: string;
  /** Cells of the grid, holes included. */
  readonly cells: number;
  readonly isDesign: boolean;
  /** Points of the design of experiments; one without it. */
  readonly runs: number;
}

/**
 * Reads the text of a file.
 *
 * @throws InputError `input_not_mould` or `mould_design_invalid`.
 */
export function readMould(text: string): MouldFacts {
  const checked = mouldFile.safeParse(parse(text));
  if (!checked.success) {
    const [issue] = checked.error.issues;
    throw new InputError(
      'input_not_mould',
      `${issue?.path.join('.') || 'the file'}: ${issue?.message ?? 'is invalid'}`,
    );
  }
  const file = checked.data;
  const { width, height } = file.plate;
  const longer = file.cells ?? 60;
  return {
    title: file.title ?? 'Plate',
    cells: longer * Math.max(1, Math.round((longer * Math.min(width, height)) / Math.max(width, height))),
    isDesign: file.designOfExperiments !== undefined,
    runs: file.designOfExperiments ? runsOf(file, file.designOfExperiments) : 1,
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError('input_not_mould', `the file is not JSON: ${(error as Error).message}`);
  }
}

/** Counts the points; what a point sets is looked at when it runs, and only that run fails when it cannot be moulded. */
function runsOf(file: MouldFile, asked: NonNullable<MouldFile['designOfExperiments']>): number {
  const fields = asked.factors.map(({ field }) => field);
  const twice = fields.find((field, index) => fields.indexOf(field) !== index);
  if (twice !== undefined) throw invalid(`the factor ${twice} is there twice`);
  for (const field of fields) {
    if (typeof valueAt(file, field) !== 'number') {
      throw invalid(`${field} is no number of this file; a factor is named like plate.thickness or gates.0.x`);
    }
  }
  if ('runs' in asked) {
    const wrong = asked.runs.findIndex(({ length }) => length !== fields.length);
    if (wrong >= 0) throw invalid(`runs.${wrong} has not one value for each of the ${fields.length} factors`);
    return asked.runs.length;
  }
  const runs = asked.factors.reduce((product, { levels }) => product * levels.length, 1);
  if (runs > RUNS_MAX) throw invalid(`the levels make ${runs} runs; at most ${RUNS_MAX} are run in one job`);
  return runs;
}

function valueAt(file: unknown, field: string): unknown {
  let inside = file;
  for (const name of field.split('.')) {
    if (!inside || typeof inside !== 'object' || !Object.hasOwn(inside, name)) return undefined;
    inside = (inside as Record<string, unknown>)[name];
  }
  return inside;
}

function invalid(message: string): InputError {
  return new InputError('mould_design_invalid', `designOfExperiments: ${message}`);
}
