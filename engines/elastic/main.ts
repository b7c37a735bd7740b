/**
 * Linear elastic analysis of a deck (see `README.md`). Counters: `analyses` (1 when it is done), `equations`, `iterations`,
 * `elementIterations` (elements × iterations, what the time goes into).
 */
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { InputFault, runEngine, Stopped } from '../protocol';
import { countEquations, type Model } from '../structure/model';
import { readModel } from '../structure/readModel';
import { type ElementStress, writeResults } from '../structure/results';
import { checkSupport } from '../structure/support';
import { assemble, cornersOf } from './assembly';
import { stressAtCentre } from './hexahedron';
import { solve } from './solve';
import { refuseOthers } from './subset';

const ELEMENTS_MAX = 60_000;
/** Between two looks at the outside: a stop is heard within this. */
const PAUSE_EVERY_MS = 50;
const RESIDUAL = 1e-9;

const counters = { analyses: 0, equations: 0, iterations: 0, elementIterations: 0 };
let fraction = 0;
let isStopped = false;
let pausedAt = performance.now();

void runEngine({
  done: () => ({ counters: { ...counters }, fraction }),
  stop: () => {
    isStopped = true;
  },
  compute,
});

async function compute(): Promise<void> {
  const model = readModel(readFileSync('input', 'utf8'), refuseOthers);
  checkSupport(model);
  if (model.elements.length > ELEMENTS_MAX) {
    throw new InputFault(`the deck has ${model.elements.length} elements; at most ${ELEMENTS_MAX} are computed here`);
  }
  if (model.loads.size === 0 && [...model.fixed.values()].every((value) => value === 0)) {
    throw new InputFault('nothing loads the model: add *CLOAD, or a displacement other than 0 on *BOUNDARY');
  }
  const equations = countEquations(model, { modesCount: false });
  const assembly = await assemble(model, pause);
  counters.equations = equations;
  const solution = await solve(model, assembly, equations, (residual) => {
    counters.iterations += 1;
    counters.elementIterations += assembly.elements;
    // The residual falls by about the same factor in each iteration, though not in every one. The last hundredth is for writing.
    fraction = Math.max(fraction, Math.min(0.99, (0.99 * Math.log(residual)) / Math.log(RESIDUAL)));
    return performance.now() - pausedAt < PAUSE_EVERY_MS ? undefined : pause();
  });
  writeResults(model, {
    displacements: solution.displacements,
    stresses: stressesOf(model, solution.displacements),
    reactions: solution.reactions,
    engine: 'linear elastic hexahedra, conjugate gradients',
    stressesAre: 'at the centre of each element',
    counts: { equations, iterations: counters.iterations, residual: solution.residual },
  });
  counters.analyses = 1;
  fraction = 1;
}

/** Lets reports out and a stop in, when it is time. */
async function pause(): Promise<void> {
  if (performance.now() - pausedAt >= PAUSE_EVERY_MS) {
    await setImmediate();
    pausedAt = performance.now();
  }
  if (isStopped) throw new Stopped();
}

function stressesOf(model: Model, displacements: Float64Array): ElementStress[] {
  return model.elements.map(({ nodes, material }) => {
    const corners = cornersOf(model, nodes);
    const moved = cornersOf({ ...model, coordinates: displacements }, nodes);
    const elastic = model.materials.get(material);
    return elastic ? stressAtCentre(corners, elastic, moved) : [];
  }) as unknown as ElementStress[];
}
