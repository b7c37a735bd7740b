/**
 * Simulates a SPICE netlist, one analysis after the other, each in a thread of its own. Counters: `simulations`
 * finished, `points` of data, `iterations` of the solver, `equations` (the sum over the finished simulations).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type Analysis, type Deck, deckFor, readDeck } from './deck';
import { drawPlot } from './plot';
import { type RawPlot, readRawFile, type Vector } from './rawfile';
import type { SolverMessage, SolverTask } from './solver';
import { writeTable } from './table';

const REPORT_EVERY_MS = 500;
/** About 40 MB of text; a larger table holds the drawn vectors only. */
const TABLE_VALUES_MAX = 2_000_000;
const DRAWN_MAX = 8;

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
    statistics.push(await writeResults(deck, analysis, plot, finished, parameters.plots ?? []));
    running = { points: 0, iterations: 0, fraction: 0 };
    done.simulations += 1;
    done.points += plot.points;
    done.iterations += finished.iterations;
    done.equations += finished.equations;
    reportProgress();
  }
  writeResult(
    'simulation.json',
    'application/json',
    `${JSON.stringify({ title: deck.title, simulations: statistics }, null, 2)}\n`,
  );
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

/** The first complaint that is an error, with the lines that go with it. */
function reasonIn(remarks: readonly string[]): string {
  const first = remarks.findIndex((remark) => /^(fatal )?error|can't find|^doanalyses/i.test(remark));
  const from = first < 0 ? Math.max(0, remarks.length - 3) : first;
  const sentence = remarks
    .slice(from, from + 4)
    .map((remark) => remark.replace(/^(fatal )?error:?\s*/i, '').replace(/ from file test\.cir|file test\.cir/, ''))
    .filter(
      (remark) =>
        remark !== '' &&
        !/^(Simulation interrupted|Any of the following)|aborted|there aren't any circuits|circuit not parsed/.test(
          remark,
        ),
    )
    .join('; ');
  return sentence === '' ? 'the simulator ended without a result' : sentence;
}

async function writeResults(
  deck: Deck,
  analysis: Analysis,
  plot: RawPlot,
  finished: Finished,
  asked: readonly string[],
): Promise<object> {
  const { name } = analysis;
  const drawn = chooseDrawn(plot, asked.length > 0 ? asked : analysis.wanted);
  const sweep = plot.points > 1 ? plot.vectors.slice(0, 1) : [];
  const isWhole = plot.points * plot.vectors.length <= TABLE_VALUES_MAX;
  const columns = isWhole ? plot.vectors : [...sweep, ...drawn];
  await writeTable(`out/${name}.csv`, plot, columns);
  report({ type: 'result', name: `${name}.csv`, file: `out/${name}.csv`, mediaType: 'text/csv' });
  const picture = drawPlot(deck.title === '' ? name : `${deck.title}: ${name}`, plot, drawn);
  if (picture) writeResult(`${name}.svg`, 'image/svg+xml', picture);
  return {
    name,
    card: analysis.card,
    analysis: plot.name,
    points: plot.points,
    equations: finished.equations,
    iterations: finished.iterations,
    vectors: plot.vectors.length,
    vectorsInTable: columns.length,
    measurements: finished.measurements,
    remarks: finished.remarks,
  };
}

/** The vectors that were asked for; else those that are called an output, with the sources; else the first ones. */
function chooseDrawn(plot: RawPlot, asked: readonly string[]): Vector[] {
  const traces = plot.points > 1 ? plot.vectors.slice(1) : plot.vectors;
  const byName = new Map(traces.map((vector) => [vector.name.toLowerCase(), vector]));
  const find = (name: string) => byName.get(name.toLowerCase()) ?? byName.get(`v(${name.toLowerCase()})`);
  const found = asked.map(find).filter((vector) => vector !== undefined);
  if (found.length > 0) return [...new Set(found)].slice(0, DRAWN_MAX);
  const outputs = traces.filter(({ name }) =>
    /^v\((in|vin|input|out.*|vout.*|.*output)\)$|noise_spectrum$/i.test(name),
  );
  if (outputs.length > 0) return outputs.slice(0, DRAWN_MAX);
  const voltages = traces.filter(({ type }) => type === 'voltage');
  return (voltages.length > 0 ? voltages : traces).slice(0, DRAWN_MAX / 2);
}

function writeResult(name: string, mediaType: string, text: string): void {
  writeFileSync(`out/${name}`, text);
  report({ type: 'result', name, file: `out/${name}`, mediaType });
}

main().catch((error: Error) => {
  if (error instanceof NetlistFault) return leave({ type: 'failed', message: error.message }, 2);
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
