/**
 * Runs an OpenFOAM case: `blockMesh`, then the case's own application, then the cells' places for the picture. Counters:
 * `cells`, `steps`, `cellSteps`, `solverIterations`, and `simulations`: one when the end was reached with true numbers.
 */
import { createWriteStream } from 'node:fs';
import { fieldTable, speedMax } from '../flowField';
import { drawFlow } from '../flowPicture';
import { type Program, startProgram } from '../program';
import { declareResult, InputFault, runEngine, Stopped, writeResult } from '../protocol';
import { drawResiduals } from '../residualPlot';
import { CASE, type Control, HOME, lastFields, makeCaseFolder } from './caseFolder';
import { internalField, NotFinite } from './dictionary';
import { middlePlane } from './plane';
import { SolverLog } from './solverLog';

/** Where the Debian package keeps what the programs cannot start without. */
const ENVIRONMENT = { WM_PROJECT_DIR: '/usr/share/openfoam', HOME };
const LOG_BYTES_MAX = 4 * 1024 * 1024;
/** What is left after the last step: places, reading, writing. */
const COMPUTED = 0.95;

const log = new SolverLog();
let control: Control | undefined;
let running: Program | undefined;
let isStopping = false;
let simulations = 0;
let fraction = 0;

function counters() {
  const { cells, steps, iterations } = log;
  return { simulations, cells, steps, cellSteps: cells * steps, solverIterations: iterations };
}

function done() {
  const now = control ? Math.min(log.time / control.endTime, 1) * COMPUTED : 0;
  fraction = simulations === 1 ? 1 : Math.max(fraction, now);
  return { counters: counters(), fraction };
}

async function compute(): Promise<void> {
  control = await makeCaseFolder();
  const file = createWriteStream('out/openfoam.log');
  let logged = 0;
  const follow = (line: string) => {
    log.read(line);
    if (logged < LOG_BYTES_MAX) file.write(`${line}\n`);
    logged += line.length;
  };
  try {
    await run('blockMesh', [], follow);
    await run(control.application, ['-noFunctionObjects'], follow);
    await run('postProcess', ['-func', 'writeCellCentres', '-latestTime'], () => {});
  } finally {
    await new Promise((resolve) => file.end(resolve));
    declareResult('openfoam.log', 'text/plain');
    writeResiduals();
  }
  if (!log.isConverged && log.time < control.endTime * (1 - 1e-6)) {
    throw new InputFault(`${control.application} ended at time ${log.time} of ${control.endTime}; see openfoam.log.`);
  }
  writeFields(control);
  simulations = 1;
}

/** @throws InputFault when the program says that the case is wrong, Stopped when it was asked to end. */
async function run(program: string, args: readonly string[], onLine: (line: string) => void): Promise<void> {
  if (isStopping) throw new Stopped();
  running = startProgram(program, ['-case', CASE, ...args], { onLine, environment: ENVIRONMENT });
  const { code, signal, output } = await running.end;
  running = undefined;
  if (isStopping) throw new Stopped();
  if (code === 0 && log.fault === undefined) return;
  if (log.fault !== undefined) throw new InputFault(`${program}: ${log.fault === '' ? 'fatal error' : log.fault}`);
  // OpenFOAM traps what is no number and prints its stack.
  if (/sigFpe|Floating point exception/i.test(output)) throw new InputFault(divergedSentence(program));
  throw new Error(`${program} ended with ${signal ?? code}: ${output.slice(-2_000)}`);
}

function divergedSentence(program: string): string {
  return `${program}: the flow left every bound at time ${log.time}. Use a smaller deltaT or more cells.`;
}

function writeResiduals(): void {
  if (log.steps === 0) return;
  writeResult('residuals.csv', 'text/csv', [...log.table()].join(''));
  const plot = drawResiduals('Residuals', 'initial residual of a step', log.curves());
  if (plot) writeResult('residuals.svg', 'image/svg+xml', plot);
}

function writeFields({ application }: Control): void {
  const { time, textOf } = lastFields();
  const read = (name: string, width: number) => internalField(textOf(name), width, log.cells);
  let mesh: Parameters<typeof middlePlane>[0];
  try {
    mesh = {
      centres: read('C', 3),
      velocities: read('U', 3),
      pressures: read('p', 1),
      box: log.box as NonNullable<typeof log.box>,
    };
  } catch (error) {
    if (error instanceof NotFinite) throw new InputFault(divergedSentence(application));
    throw error;
  }
  const field = middlePlane(mesh);
  const remark = `${log.cells.toLocaleString('en')} cells, ${log.steps.toLocaleString('en')} steps, ${log.isConverged ? 'converged' : 'end reached'} at time ${time}`;
  writeResult('velocity.svg', 'image/svg+xml', drawFlow(`OpenFOAM, ${application}`, remark, field));
  writeResult('fields.csv', 'text/csv', [...fieldTable(field)].join(''));
  const summary = {
    application,
    time: Number(time),
    state: log.isConverged ? 'converged' : 'end time reached',
    cells: log.cells,
    steps: log.steps,
    solverIterations: log.iterations,
    lastResiduals: log.lastResiduals(),
    courantMax: log.courantMax,
    warnings: warningsOf(application),
    speedMax: fastest(mesh.velocities),
    speedMaxInPlane: speedMax(field),
  };
  writeResult('summary.json', 'application/json', `${JSON.stringify(summary, null, 2)}\n`);
}

/** What was computed is finite, and may still not be true. */
function warningsOf(application: string): string[] {
  const warnings: string[] = [];
  if (application !== 'simpleFoam' && log.courantMax > 1) {
    warnings.push(`The flow crossed up to ${log.courantMax.toPrecision(3)} cells in a step: use a smaller deltaT.`);
  }
  if (application === 'simpleFoam' && !log.isConverged) {
    warnings.push('The flow did not converge before its last iteration.');
  }
  return warnings;
}

function fastest(velocities: Float64Array): number {
  let most = 0;
  for (let k = 0; k < velocities.length; k += 3) {
    most = Math.max(
      most,
      Math.hypot(velocities[k] as number, velocities[k + 1] as number, velocities[k + 2] as number),
    );
  }
  return most;
}

void runEngine({
  done,
  compute,
  stop: () => {
    isStopping = true;
    running?.signal('SIGTERM');
  },
});
