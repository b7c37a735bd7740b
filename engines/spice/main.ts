/**
 * Simulates a SPICE netlist, one analysis after the other, each in a thread of its own. Counters: `simulations`
 * finished, `points` of data, `iterations` of the solver, `equations` (the sum over the finished simulations).
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type Analysis, type Deck, deckFor, readDeck } from './deck';
import { readRawFile } from './rawfile';
import { reasonIn, writeAnalysis, writeSummary } from './results';
import type { SolverMessage, SolverTask } from './solver';

const REPORT_EVERY_MS = 500;

interface Parameters {
  readonly temperature?: number;
  readonly plots?: readonly string[];
}

type Finished = Extract<SolverMessage, { type: 'finished' }>;
/** The netlist is at fault. */
class NetlistFault extends Error {}

const done = { simulations: 0, points: 0, iterations: 0, equations: 0 };
/** What the running analysis has done so far, and how much of it that is. */
let running = { points: 0, iterations: 0, fraction: 0 };
let analyses = 1;

function counters() {
  return { ...done, points: done.points + running.points, iterations: done.iterations + running.iterations };
}

function report(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function reportProgress(): void {
  report({ type: 'progress', fraction: (done.simulations + running.fraction) / analyses, counters: counters() });
}

/** The last report. It is out before the process is gone. */
function leave(line: object, code: number): void {
  process.stdout.write(`${JSON.stringify({ ...line, counters: counters() })}\n`, () => process.exit(code));
}

async function main(): Promise<void> {
  process.stdin.resume().on('end', () => process.exit(1));
  // Only whole analyses are results, and they were reported when they were finished.
  process.on('SIGTERM', () => leave({ type: 'stopped' }, 0));
  const parameters = JSON.parse(readFileSync('parameters.json', 'utf8')) as Parameters;
  const deck = readDeck(readFileSync('input', 'utf8'));
  if (deck.refusal) throw new NetlistFault(deck.refusal);
  analyses = deck.analyses.length;
  mkdirSync('out', { recursive: true });
  setInterval(reportProgress, REPORT_EVERY_MS);

  const statistics: object[] = [];
  for (const analysis of deck.analyses) {
    const finished = await solve(deck, analysis, parameters.temperature);
    const plot = readRawFile(finished.raw);
    statistics.push(await writeAnalysis(deck, analysis, { ...finished, plot }, parameters.plots ?? []));
    running = { points: 0, iterations: 0, fraction: 0 };
    done.simulations += 1;
    done.points += plot.points;
    done.iterations += finished.iterations;
    done.equations += finished.equations;
    reportProgress();
  }
  writeSummary(deck, statistics);
  leave({ type: 'done' }, 0);
}

function solve(deck: Deck, analysis: Analysis, temperature: number | undefined): Promise<Finished> {
  const task: SolverTask = {
    netlist: deckFor(deck, analysis, temperature),
    kind: analysis.kind,
    isWhole: deck.measures,
  };
  return new Promise((resolve, reject) => {
    const thread = new Worker(join(__dirname, 'solver.js'), { workerData: task });
    let remarks: readonly string[] = [];
    thread.on('message', (message: SolverMessage) => {
      switch (message.type) {
        case 'progress': {
          const at = analysis.kind === 'tran' ? message.reached : message.points;
          // The last tenth is for reading and writing the result. What cannot be foretold stays at zero.
          const fraction = analysis.end ? Math.min(0.9, (0.9 * at) / analysis.end) : 0;
          running = {
            points: message.points,
            iterations: message.iterations,
            fraction: Math.max(fraction, running.fraction),
          };
          break;
        }
        case 'finished':
          resolve(message);
          break;
        case 'failed':
          remarks = message.remarks;
          break;
      }
    });
    thread.on('error', (error) =>
      reject(new NetlistFault(`${analysis.name}: the simulator gave up: ${error.message}`)),
    );
    // After `finished` this rejection changes nothing.
    thread.on('exit', () =>
      reject(new NetlistFault(`${analysis.name} (${analysis.card.slice(0, 80)}): ${reasonIn(remarks)}`)),
    );
  });
}

main().catch((error: Error) => {
  if (error instanceof NetlistFault) return leave({ type: 'failed', message: error.message }, 2);
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
