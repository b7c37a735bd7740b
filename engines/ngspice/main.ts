/**
 * Drives ngspice: the analyses of a SPICE netlist, one after the other, each by a run of its own in the sandbox. Counters
 * and results are those of `../spice`: `simulations` finished, `points` of data, `iterations` and `equations` (of the
 * finished simulations, as ngspice states them).
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Program, startProgram } from '../program';
import { InputFault, runEngine, Stopped } from '../protocol';
import { type Analysis, type Deck, deckFor, readDeck } from '../spice/deck';
import { type RawPlot, readRawFile } from '../spice/rawfile';
import { reasonIn, type Solved, writeAnalysis, writeSummary } from '../spice/results';
import { readWorkFile } from '../workFile';
import { readLog } from './log';
import { readRawProgress } from './rawProgress';

interface Parameters {
  readonly temperature?: number;
  readonly plots?: readonly string[];
}

const RAW_BYTES_MAX = 1024 * 1024 * 1024;
const LOG_BYTES_MAX = 4 * 1024 * 1024;
const DECK = 'deck.cir';
const RAW = 'out.raw';
const LOG = 'out.log';

const finished = { simulations: 0, points: 0, iterations: 0, equations: 0 };
/** The analysis at hand, as far as its raw file tells. */
let atHand: { readonly analysis: Analysis; points: number; fraction: number } | undefined;
let analyses = 1;
let running: Program | undefined;
let isStopped = false;

void runEngine({
  done: () => {
    look();
    const { points = 0, fraction = 0 } = atHand ?? {};
    return {
      fraction: (finished.simulations + fraction) / analyses,
      counters: { ...finished, points: finished.points + points },
    };
  },
  compute,
  stop: () => {
    isStopped = true;
    running?.signal('SIGKILL');
  },
});

async function compute(): Promise<void> {
  const parameters = JSON.parse(readFileSync('parameters.json', 'utf8')) as Parameters;
  const deck = readDeck(readFileSync('input', 'utf8'));
  if (deck.refusal) throw new InputFault(deck.refusal);
  analyses = deck.analyses.length;
  mkdirSync('work', { recursive: true });
  const summary: object[] = [];
  for (const analysis of deck.analyses) {
    const solved = await solve(deck, analysis, parameters.temperature);
    summary.push(await writeAnalysis(deck, analysis, solved, parameters.plots ?? []));
    atHand = undefined;
    finished.simulations += 1;
    finished.points += solved.plot.points;
    finished.iterations += solved.iterations;
    finished.equations += solved.equations;
  }
  writeSummary(deck, summary);
}

/** @throws InputFault with what ngspice complains about, Stopped. */
async function solve(deck: Deck, analysis: Analysis, temperature: number | undefined): Promise<Solved> {
  if (isStopped) throw new Stopped();
  for (const name of [RAW, LOG]) rmSync(join('work', name), { force: true });
  const text = deckFor(deck, analysis, temperature);
  writeFileSync(join('work', DECK), deck.measures ? withCommands(text, analysis) : withFigures(text));
  const raw = deck.measures ? [] : ['-r', RAW];
  atHand = { analysis, points: 0, fraction: 0 };
  // -n: no start-up file, wherever one may be.
  running = startProgram('ngspice', ['-n', '-b', ...raw, '-o', LOG, DECK], { environment: { OMP_NUM_THREADS: '1' } });
  const end = await running.end;
  running = undefined;
  if (isStopped) throw new Stopped();
  const log = readLog(readWorkFile(LOG, LOG_BYTES_MAX)?.toString('utf8') ?? '');
  const fault = (reason: string) => new InputFault(`${analysis.name} (${analysis.card.slice(0, 80)}): ${reason}`);
  // What ended it from outside is no word about the netlist; its own crash is.
  if (end.code === null || KILLED.has(end.code)) throw new Error(`ngspice ended with ${end.code ?? end.signal}`);
  if (end.code !== 0) throw fault(reasonIn(log.remarks));
  const plot = readPlot();
  // Success is not an exit code: it must have gone to the end, and say what it did.
  if (plot === undefined || plot.points === 0) throw fault(reasonIn(log.remarks));
  if (!isWhole(plot, analysis)) throw fault(`it ended early; ${reasonIn(log.remarks)}`);
  const { iterations, equations, measurements, remarks } = log;
  if (iterations === undefined || equations === undefined) throw new Error('ngspice did not state its iterations');
  return { plot, iterations, equations, measurements, remarks };
}

/** SIGKILL and SIGTERM. */
const KILLED: ReadonlySet<number> = new Set([137, 143]);

/** Asks for iterations and equations in the log. The last line is `.end`. */
function withFigures(text: string): string {
  return text.replace(/\.end\n$/, '.options acct\n.end\n');
}

/** `.meas` cards are not computed beside a raw file (`-r`), so commands of our own run the analysis and write one. */
function withCommands(text: string, { kind }: Analysis): string {
  const commands = ['run', ...(kind === 'noise' ? ['setplot noise1'] : []), `write ${RAW}`, 'rusage totiter equations'];
  return text.replace(/\.end\n$/, `.control\n${commands.join('\n')}\nquit\n.endc\n.end\n`);
}

function readPlot(): RawPlot | undefined {
  const bytes = readWorkFile(RAW, RAW_BYTES_MAX);
  try {
    return bytes && readRawFile(bytes);
  } catch {
    return undefined;
  }
}

/** A transient analysis that gives up half-way still leaves a raw file. */
function isWhole(plot: RawPlot, { kind, end }: Analysis): boolean {
  if (kind !== 'tran' || end === undefined) return true;
  const last = plot.vectors[0]?.real[plot.points - 1] ?? 0;
  return last >= end * (1 - 1e-6);
}

function look(): void {
  if (!atHand) return;
  const { analysis } = atHand;
  const seen = readRawProgress(RAW);
  if (!seen) return;
  atHand.points = Math.max(atHand.points, seen.points);
  const at = analysis.kind === 'tran' ? seen.reached : seen.points;
  // The last tenth is for reading and writing the result. What cannot be foretold stays at zero.
  const fraction = analysis.end && at !== undefined ? Math.min(0.9, (0.9 * at) / analysis.end) : 0;
  atHand.fraction = Math.max(atHand.fraction, fraction);
}
