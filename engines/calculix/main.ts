/**
 * Structural analysis in CalculiX, of a deck or of a geometry that gmsh meshes first (see `README.md`). Counters: `analyses` (1 when it
 * is done), `equations` and `nonzeros` of the matrix, from when the program says so.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { ProgramEnd } from '../program';
import { InputFault, runEngine } from '../protocol';
import { isDeck } from '../structure/deck';
import { countEquations } from '../structure/model';
import { readModel } from '../structure/readModel';
import { vonMises, writeResults } from '../structure/results';
import { checkSupport } from '../structure/support';
import { deckForProgram } from './deckForProgram';
import { readResults } from './frd';
import { meshGeometry } from './mesh';
import { deckOf, type Loading } from './meshed';
import { checked } from './outcome';
import { Programs } from './programs';

/** Above it the direct solver needs more than four gigabytes. */
const EQUATIONS_MAX = 1_000_000;
/** How much of the job of a geometry is meshing, as far as that can be foretold. */
const MESHING = 0.2;

interface Parameters extends Loading {
  /** The longest edge of an element. */
  readonly meshSize?: number;
}

const counters = { analyses: 0, equations: 0, nonzeros: 0 };
let said: { equations: number; nonzeros: number } | undefined;
let fraction = 0;
const programs = new Programs();

void runEngine({
  done: () => ({ counters: { ...counters }, fraction }),
  statistics: () => said,
  stop: () => programs.stop(),
  compute,
});

async function compute(): Promise<void> {
  mkdirSync('work', { recursive: true });
  const text = readFileSync('input', 'utf8');
  const deck = isDeck(text) ? text : await deckOfGeometry(text);
  const model = readModel(deck);
  checkSupport(model);
  const equations = countEquations(model, { modesCount: true });
  if (equations > EQUATIONS_MAX) {
    throw new InputFault(
      `the model has ${equations} equations; at most ${EQUATIONS_MAX} are solved: take a coarser mesh`,
    );
  }
  writeFileSync('work/job.inp', deckForProgram(deck));
  judge(await solve(model.stepTime), model.stepTime);
  counters.equations = equations;
  counters.nonzeros = said?.nonzeros ?? 0;
  const results = readResults(readFileSync('work/job.frd', 'latin1'));
  const { displacements, stresses, reactions } = checked(model, results);
  writeResults(model, {
    displacements,
    stresses,
    reactions,
    engine: 'CalculiX, direct solver',
    stressesAre: 'mean over the corners of each element',
    counts: {
      equations,
      nonzeros: counters.nonzeros,
      maxNodalVonMises: [...results.stresses.values()].reduce((most, stress) => Math.max(most, vonMises(stress)), 0),
    },
  });
  counters.analyses = 1;
  fraction = 1;
}

async function deckOfGeometry(geometry: string): Promise<string> {
  const parameters = JSON.parse(readFileSync('parameters.json', 'utf8')) as Parameters;
  const mesh = await meshGeometry(geometry, parameters.meshSize, programs, (meshed) => {
    fraction = Math.max(fraction, meshed * MESHING);
  });
  fraction = MESHING;
  return deckOf(mesh, parameters, 'Geometry meshed with quadratic tetrahedra');
}

/** Runs CalculiX. Its progress is the time of the increments that are finished, so a linear step has none. */
async function solve(stepTime: number): Promise<ProgramEnd> {
  const start = fraction;
  let expected: 'equations' | 'nonzeros' | undefined;
  const statistics = { equations: 0, nonzeros: 0 };
  return programs.run('ccx', ['-i', 'job'], (line) => {
    if (expected) {
      statistics[expected] = Number(line) || 0;
      if (expected === 'nonzeros') said = { ...statistics };
      expected = undefined;
    } else if (/^\s*number of equations\s*$/.test(line)) expected = 'equations';
    else if (/^\s*number of nonzero lower triangular matrix elements\s*$/.test(line)) expected = 'nonzeros';
    const reached = /sum of previous increments=\s*(\S+)/.exec(line)?.[1];
    if (reached !== undefined) {
      fraction = Math.max(fraction, start + (0.95 - start) * Math.min(1, (Number(reached) || 0) / stepTime));
    }
  });
}

/**
 * Success is: code 0, no complaint, a row of `.sta` that reaches the end of the step. What the results hold is checked by {@link checked}.
 *
 * @throws InputFault with the program's complaint.
 */
function judge(end: ProgramEnd, stepTime: number): void {
  // A card that it does not know is only a warning to it, but what it said is then not in the model.
  const text = end.output.replace(/\s+/g, ' ');
  const complaint = /\*ERROR:? (?:in \w+[:.]? )?([^*]*)|Card image: (\*[^ ]+)/.exec(text);
  if (complaint) {
    const sentence = complaint[1] ?? `it does not know ${complaint[2]}`;
    throw new InputFault(`CalculiX refuses the deck: ${sentence.trim().slice(0, 300)}`);
  }
  const rows = existsSync('work/job.sta') ? readFileSync('work/job.sta', 'latin1').split('\n') : [];
  const last = rows.filter((row) => /^\s*\d+\s+\d+/.test(row)).at(-1);
  const reached = Number(last?.trim().split(/\s+/)[4]);
  if (end.code !== 0 || !(Math.abs(reached - stepTime) <= 1e-4 * stepTime)) {
    throw new InputFault('CalculiX did not reach the end of the step: the analysis did not converge');
  }
}
