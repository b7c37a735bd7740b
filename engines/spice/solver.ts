/**
 * A thread that runs one analysis in ngspice (WebAssembly) and ends. The simulator blocks its thread, and after some
 * errors it never answers again, so each analysis has a thread of its own that can be thrown away.
 *
 * `eecircuit-engine` drives the simulator by answering its prompt from a fixed list of commands. We answer the prompt
 * ourselves instead, for two things that the list cannot give: the analysis advances in steps, between which we read
 * how far it is, and the raw file is taken as it is, without the package's own conversion, which took longer than the
 * simulation (2.6 s against 1.5 s for 20,000 points of 203 vectors).
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { AnalysisKind } from './deck';

export interface SolverTask {
  readonly netlist: string;
  readonly kind: AnalysisKind;
  /** Without pauses, and so without progress. */
  readonly isWhole: boolean;
}

export type SolverMessage =
  | { readonly type: 'progress'; readonly points: number; readonly reached: number; readonly iterations: number }
  | {
      readonly type: 'finished';
      readonly raw: Uint8Array;
      readonly iterations: number;
      readonly equations: number;
      /** What `.meas` cards asked for, by name, as the simulator wrote it. */
      readonly measurements: Readonly<Record<string, string>>;
      readonly remarks: readonly string[];
    }
  | { readonly type: 'failed'; readonly remarks: readonly string[] };

/** What we use of the package: two public methods and, of this very version, how it reads its prompt. */
interface Prompted {
  start(): Promise<void>;
  setNetList(netlist: string): void;
  runSim(): Promise<unknown>;
  getInput: () => string;
  /** Zero makes the package wait for its next netlist at the prompt. */
  cmd: number;
  log_debug: (line: unknown) => void;
  error: string[];
  __getSpiceModuleForTests(): { FS: { readFile(path: string): Uint8Array } };
}

/** Stops between these steps do not change a transient or AC result by a bit; of a DC sweep they do, so it has fixed ones. */
const FIRST_STEP = 64;
const DC_STEP = 1000;
const STEP_MS = 200;
const REMARKS_MAX = 200;

async function solve({ netlist, kind, isWhole }: SolverTask): Promise<void> {
  const remarks: string[] = [];
  const measurements: Record<string, string> = {};
  let measures = false;
  let told = false;
  const tell = (message: SolverMessage, moved: ArrayBuffer[] = []) => parentPort?.postMessage(message, moved);
  process.once('exit', () => {
    // The simulator quit, or stopped answering: whatever it said last is the reason.
    if (!told) tell({ type: 'failed', remarks });
  });

  const { Simulation } = await import('eecircuit-engine');
  const simulation = new Simulation() as unknown as Prompted;
  let isOver = false;
  let aborted = false;
  let paused = false;
  let points = 0;
  let reached = 0;
  let iterations = 0;
  let equations = 0;

  // The package writes the simulator's complaints to the console and keeps them all, however many they are.
  console.error = (line: unknown) => {
    const text = String(line).trim();
    if (/simulation(\(s\))? aborted/.test(text)) aborted = true;
    if (/simulation interrupted/.test(text)) paused = true;
    if (text === '' || NOT_WORTH_TELLING.test(text)) return;
    if (remarks.length < REMARKS_MAX && remarks.at(-1) !== text) remarks.push(text);
    simulation.error = [];
  };
  console.info = () => {};
  simulation.log_debug = (line) => {
    const text = String(line);
    if (text.includes('No. of Data Rows')) isOver = true;
    if (text.startsWith('ngspice ')) measures = false;
    if (text.includes('Measurements for')) measures = true;
    const [, name, measured] = (measures && /^([a-z]\w*)\s+=\s+(\S+)/.exec(text)) || [];
    if (name !== undefined && measured !== undefined) measurements[name] = measured;
    const value = (pattern: RegExp, otherwise: number) => Number(pattern.exec(text)?.[1] ?? otherwise);
    points = value(/length\([a-z]+\) = ([\d.e+]+)/, points);
    reached = value(/^(?:ngspice \d+ -> )*[a-z]+\[length\([a-z]+\)-1\] = ([\d.e+-]+)/, reached);
    iterations = value(/Total iterations = (\d+)/, iterations);
    equations = value(/Circuit Equations = (\d+)/, equations);
  };

  function* commands(): Generator<string, void> {
    yield 'source test.cir';
    yield 'destroy all';
    yield 'set numdgt=12';
    const scale = { tran: 'time', ac: 'frequency', noise: 'frequency' }[kind as string];
    const canPause = !isWhole && (scale !== undefined || kind === 'dc');
    let step = kind === 'dc' ? DC_STEP : FIRST_STEP;
    for (let stepped = step; !isOver; stepped += step) {
      const startedAt = performance.now();
      yield canPause ? `step ${step}` : 'run';
      if (aborted) break;
      yield 'rusage totiter equations';
      if (isOver) break;
      // Neither over nor paused: it was refused, and would be for ever.
      if (!paused) break;
      paused = false;
      if (scale) yield `print length(${scale}) ${scale}[length(${scale})-1]`;
      else points = stepped;
      tell({ type: 'progress', points, reached, iterations });
      const took = performance.now() - startedAt;
      if (scale && took < STEP_MS / 2) step *= 2;
      if (scale && took > STEP_MS * 2 && step > 1) step = Math.ceil(step / 2);
    }
    if (!isOver || aborted) return;
    if (kind === 'noise') yield 'setplot noise1';
    // A name of our own: the package would convert its `out.raw`, twice.
    yield 'write analysis.raw';
    const raw = simulation.__getSpiceModuleForTests().FS.readFile('analysis.raw');
    told = true;
    tell({ type: 'finished', raw, iterations, equations, measurements, remarks }, [raw.buffer as ArrayBuffer]);
  }

  let asked: Generator<string, void> | undefined;
  simulation.getInput = () => {
    if (!asked) {
      simulation.cmd = 0;
      return ' ';
    }
    simulation.cmd = 1;
    const next = asked.next();
    if (next.done) process.exit();
    return next.value ?? ' ';
  };
  await simulation.start();
  simulation.setNetList(netlist);
  asked = commands();
  await simulation.runSim();
}

/** What the simulator says of every circuit, and of our pauses. */
const NOT_WORTH_TELLING =
  /^(Note: (run starting|v\w+: has no value)|Stopped after \d+ steps|doAnalyses: pause requested|(run )?simulation interrupted|fopen\("\/proc)/;

void solve(workerData as SolverTask);
