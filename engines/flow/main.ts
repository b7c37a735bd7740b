/**
 * Computes an incompressible flow in a cavity or a channel. Counters: `cells` of fluid, `steps`, `cellSteps`,
 * `pressureIterations`, and `simulations`: one when it is done.
 */
import { once } from 'node:events';
import { createWriteStream, readFileSync } from 'node:fs';
import { finished } from 'node:stream/promises';
import { setImmediate as breathe } from 'node:timers/promises';
import { fieldTable } from '../flowField';
import { drawFlow } from '../flowPicture';
import { declareResult, InputFault, runEngine, Stopped, writeResult } from '../protocol';
import { drawResiduals } from '../residualPlot';
import { type FlowCase, readCase } from './caseFile';
import { centrelineTable, fieldOf, forceOnObstacle, massImbalance, speedsMax } from './results';
import { Flow } from './solver';
import { stepsOf } from './timeStep';

/** Between two looks at stdin and signals. */
const COMPUTE_MS = 100;
/** The last part of the work is writing. */
const COMPUTED = 0.97;

let isStopping = false;
let flow: Flow | undefined;
let fraction = 0;
let simulations = 0;
const residuals: { step: number; change: number; iterations: number }[] = [];

function counters() {
  const cells = flow?.grid.fluidCells ?? 0;
  const steps = flow?.steps ?? 0;
  return { simulations, cells, steps, cellSteps: cells * steps, pressureIterations: flow?.pressureIterations ?? 0 };
}

async function compute(): Promise<void> {
  const flowCase = readCase(readFileSync('input', 'utf8'));
  const { step, count } = stepsOf(flowCase);
  flow = new Flow(flowCase, step);
  let isSteady = false;
  let pauseAt = performance.now() + COMPUTE_MS;
  let changeMax = 0;
  while (flow.steps < count && !isSteady && !isStopping) {
    const before = flow.pressureIterations;
    if (!flow.advance() || flow.crossed > 1) throw new InputFault(divergedSentence(flowCase, flow));
    residuals.push({ step: flow.steps, change: flow.change, iterations: flow.pressureIterations - before });
    changeMax = Math.max(changeMax, flow.change);
    let settled = 0;
    if (flowCase.run.mode === 'steady') {
      isSteady = flow.change <= flowCase.run.tolerance;
      // Steady flows settle by a factor a second: the logarithm is how far this one is.
      settled = Math.log(changeMax / flow.change) / Math.log(changeMax / flowCase.run.tolerance);
    }
    const now = Math.max(flow.steps / count, Math.min(Number.isFinite(settled) ? settled : 0, 1));
    fraction = Math.max(fraction, COMPUTED * now);
    if (performance.now() < pauseAt) continue;
    await breathe();
    pauseAt = performance.now() + COMPUTE_MS;
  }
  if (flow.steps > 0) await writeResults(flowCase, flow, step, isSteady);
  if (isStopping && flow.steps < count && !isSteady) throw new Stopped();
  simulations = 1;
  fraction = 1;
}

async function writeResults(flowCase: FlowCase, computed: Flow, step: number, isSteady: boolean): Promise<void> {
  const field = fieldOf(flowCase, computed);
  const reynolds = (flowCase.speed * flowCase.referenceLength) / flowCase.viscosity;
  const state = stateOf(flowCase, isSteady);
  const time = computed.steps * step;
  const remark = `Re ${Number(reynolds.toPrecision(4))}, ${flowCase.columns} × ${flowCase.rows} cells, ${computed.steps} steps to ${Number(time.toPrecision(4))} s: ${state}`;
  writeResult('velocity.svg', 'image/svg+xml', drawFlow(flowCase.title, remark, field));
  writeResult('centrelines.csv', 'text/csv', centrelineTable(flowCase, computed));
  await writeTable('fields.csv', fieldTable(field));
  await writeTable('residuals.csv', residualTable());
  const curve = {
    name: 'change',
    steps: residuals.map((row) => row.step),
    values: residuals.map((row) => row.change),
  };
  const plot = drawResiduals(`${flowCase.title}: residual`, 'change of velocity, scaled', [curve]);
  if (plot) writeResult('residuals.svg', 'image/svg+xml', plot);
  const summary = {
    title: flowCase.title,
    reynolds,
    state,
    converged: flowCase.run.mode === 'steady' ? isSteady : null,
    time,
    timeStep: step,
    cells: computed.grid.fluidCells,
    steps: computed.steps,
    pressureIterations: computed.pressureIterations,
    change: computed.change,
    divergence: computed.divergence(),
    massImbalance: massImbalance(flowCase, computed),
    ...speedsMax(field),
    ...forceOnObstacle(flowCase, computed),
  };
  writeResult('summary.json', 'application/json', `${JSON.stringify(summary, null, 2)}\n`);
}

function stateOf({ run }: FlowCase, isSteady: boolean): string {
  if (isSteady) return 'steady';
  if (isStopping) return 'stopped before its end';
  return run.mode === 'steady' ? 'NOT steady when its steps were used up' : 'end time reached';
}

function divergedSentence(flowCase: FlowCase, { steps }: Flow): string {
  return (
    `The flow left every bound in step ${steps}: ${flowCase.columns} x ${flowCase.rows} cells are too coarse for it. ` +
    'Use more cells, more viscosity or less speed.'
  );
}

function* residualTable(): Generator<string> {
  yield 'step,change,pressureIterations\n';
  for (const { step, change, iterations } of residuals) yield `${step},${change},${iterations}\n`;
}

async function writeTable(name: string, lines: Iterable<string>): Promise<void> {
  const file = createWriteStream(`out/${name}`);
  const done = finished(file);
  for (const line of lines) if (!file.write(line)) await once(file, 'drain');
  file.end();
  await done;
  declareResult(name, 'text/csv');
}

void runEngine({
  done: () => ({ counters: counters(), fraction }),
  compute,
  stop: () => {
    isStopping = true;
  },
});
