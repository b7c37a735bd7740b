/** Computational fluid dynamics: a flow in a cavity or a channel, or an OpenFOAM case, charged by its complexity. */
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { type Dimensions, type Estimate, type Usage, wholeUnits } from '../../domain/usage';
import { type Counters, InputError, type InputFile, type Service } from '../service';
import { complexityOf, type Extent, PHYSICS_FACTORS, WORK_MAX, workOf } from './complexity';
import { readFlowCase } from './flowCase';
import { readOpenFoamCase } from './openFoamCase';

/** What was read in the file. */
export interface CfdFacts extends Extent {
  readonly kind: 'flow' | 'openfoam';
  readonly title: string;
  /** Whether the run may end sooner than `steps`, once the flow is steady. */
  readonly mayEndSooner: boolean;
}

const CASE_BYTES_MAX = 64 * 1024;
const ARCHIVE_BYTES_MAX = 16 * 1024 * 1024;

const parameters = z.strictObject({});

export type CfdParameters = z.output<typeof parameters>;

export const service: Service<CfdParameters, CfdFacts> = {
  name: 'cfd',
  title: 'CFD',
  description: 'A flow of an incompressible fluid: a cavity or channel of your own, or an OpenFOAM case.',
  parameters,
  accepts: [
    { extension: '.cfd.json', mediaType: 'application/json', title: 'Flow in a cavity or a channel' },
    { extension: '.json', mediaType: 'application/json', title: 'Flow in a cavity or a channel' },
    { extension: '.zip', mediaType: 'application/zip', title: 'OpenFOAM case: 0/, constant/ and system/' },
  ],
  inputBytesMax: ARCHIVE_BYTES_MAX,
  meters: [
    { name: 'simulations', unit: 'simulations', title: 'Flows computed', rated: true },
    { name: 'cellSteps', unit: 'cell steps', title: 'Cells × steps', rated: false },
    { name: 'solverIterations', unit: 'iterations', title: 'Iterations of the linear solvers', rated: false },
  ],
  engines: [
    { name: 'flow', onLostAttempt: 'restart' },
    {
      name: 'openfoam',
      programs: ['blockMesh', 'icoFoam', 'simpleFoam', 'pisoFoam', 'postProcess'],
      onLostAttempt: 'restart',
    },
  ],
  inspect,
  enginesFor: ({ kind }) => [kind],
  estimate,
  dimensions,
  usageOf,
};

async function inspect({ path }: InputFile): Promise<CfdFacts> {
  const facts = (await isZip(path)) ? await readOpenFoamCase(path) : await readFlowFile(path);
  const work = workOf(facts);
  if (work > WORK_MAX.complex) {
    throw new InputError(
      'case_too_large',
      `${extentOf(facts)} are ${work.toLocaleString('en')} cell steps; at most ${WORK_MAX.complex.toLocaleString('en')} are computed. Use fewer cells or steps.`,
    );
  }
  return facts;
}

async function isZip(path: string): Promise<boolean> {
  const start = await readStart(path, 4);
  // A local file, or the end of an archive without any.
  return start.toString('latin1') === 'PK\x03\x04' || start.toString('latin1') === 'PK\x05\x06';
}

async function readFlowFile(path: string): Promise<CfdFacts> {
  const bytes = await readStart(path, CASE_BYTES_MAX + 1);
  if (bytes.includes(0)) throw notACase();
  if (bytes.length > CASE_BYTES_MAX) {
    throw new InputError('input_too_large', `A flow case is at most ${CASE_BYTES_MAX / 1024} KiB.`);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw notACase({ cause: error });
  }
  return { kind: 'flow', physics: 'laminar', ...readFlowCase(text) };
}

function notACase(options?: ErrorOptions): InputError {
  return new InputError('input_not_case', 'The file is neither a flow case in JSON nor a zip archive.', options);
}

/** The beginning of a file, whatever its size is said to be. */
async function readStart(path: string, bytes: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const buffer = Buffer.alloc(bytes);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, bytes - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === bytes) return buffer.subarray(0, length);
    }
  } finally {
    await file.close();
  }
}

function estimate(facts: CfdFacts): Estimate {
  const usage = [{ meter: 'simulations', quantity: wholeUnits(1) }];
  return { low: usage, expected: usage, high: usage, reason: reasonOf(facts) };
}

function reasonOf(facts: CfdFacts): string {
  const work = workOf(facts);
  const complexity = complexityOf(facts);
  const factor = PHYSICS_FACTORS[facts.physics];
  const product = `${extentOf(facts)}${factor === 1 ? '' : ` x ${factor} (turbulence)`} = ${work.toLocaleString('en')} cell steps`;
  const sentence = `One simulation of class ${complexity}: ${product}, of at most ${WORK_MAX[complexity].toLocaleString('en')} in this class.`;
  if (!facts.mayEndSooner) return sentence;
  return `${sentence} The class counts the most steps the file allows and stays when the flow is steady sooner.`;
}

function extentOf({ cells, steps, mayEndSooner }: CfdFacts): string {
  return `${cells.toLocaleString('en')} cells x ${mayEndSooner ? 'at most ' : ''}${steps.toLocaleString('en')} steps`;
}

/** The class is fixed by the quote, from the most steps that the file allows. */
function dimensions(facts: CfdFacts): Dimensions {
  return { complexity: complexityOf(facts) };
}

function usageOf(counters: Counters): Usage[] {
  const iterations = (counters.pressureIterations ?? 0) + (counters.solverIterations ?? 0);
  return [
    { meter: 'simulations', quantity: wholeUnits(counters.simulations ?? 0) },
    { meter: 'cellSteps', quantity: wholeUnits(counters.cellSteps ?? 0) },
    { meter: 'solverIterations', quantity: wholeUnits(iterations) },
  ];
}
