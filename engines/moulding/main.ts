/** Fills the cavity of `./input` for the run of `./parameters.json`; `filling.ts` has the theory. */
import { readFileSync } from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import { runEngine, writeResult } from '../protocol';
import { Filling } from './filling';
import { type Factors, fileOfRun, type Mould, mouldOf } from './mould';
import { drawFillTime } from './picture';
import { fillTimeTable, pressureTable, summaryOf } from './tables';

/** How long is computed between two looks at the clock of the reports. */
const SLICE_MS = 50;

let filling: Filling | undefined;
let meter = 'simulations';
let isDone = false;

function countersOf(one: Filling | undefined): Record<string, number> {
  return {
    // A run is sold as a whole: it counts when its results are there.
    [meter]: isDone ? 1 : 0,
    pressureIterations: one?.pressureIterations ?? 0,
    frontSteps: one?.frontSteps ?? 0,
    cells: one?.cellsFilled ?? 0,
  };
}

async function compute(): Promise<void> {
  const { run = 1 } = JSON.parse(readFileSync('parameters.json', 'utf8')) as { run?: number };
  const { file, factors, isDesign } = fileOfRun(readFileSync('input', 'utf8'), run);
  if (isDesign) meter = 'doeRuns';
  // First, so that a run that fails is in the table of the design with what was asked of it.
  if (isDesign) writeSummary({ run, factors });
  const mould = mouldOf(file);
  filling = new Filling(mould);
  await fill(filling);
  writeResults(mould, filling, { run, factors, isDesign });
  isDone = true;
}

async function fill(one: Filling): Promise<void> {
  for (let slice = performance.now(); !one.isOver; one.advance()) {
    if (performance.now() - slice < SLICE_MS) continue;
    await breathe();
    slice = performance.now();
  }
}

function writeResults(mould: Mould, one: Filling, of: { run: number; factors: Factors; isDesign: boolean }): void {
  const summary = summaryOf(mould, one);
  const heading = `${of.isDesign ? `run ${of.run}: ${said(of.factors)}. ` : ''}${summary.outcome}`;
  writeResult('fill-time.svg', 'image/svg+xml', drawFillTime(mould, one, heading));
  writeResult('fill-time.csv', 'text/csv', fillTimeTable(mould, one));
  writeResult('pressure.csv', 'text/csv', pressureTable(one));
  writeSummary(of.isDesign ? { run: of.run, factors: of.factors, ...summary } : summary);
}

function said(factors: Factors): string {
  return Object.entries(factors)
    .map(([field, value]) => `${field} ${value}`)
    .join(', ');
}

function writeSummary(summary: object): void {
  writeResult('summary.json', 'application/json', `${JSON.stringify(summary, null, 2)}\n`);
}

void runEngine({
  done: () => ({ counters: countersOf(filling), fraction: isDone ? 1 : Math.min(0.99, filling?.filled ?? 0) }),
  compute,
});
