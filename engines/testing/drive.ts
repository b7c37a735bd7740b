/** Runs an engine as a runner would, for its tests: compiled, in a folder of its own, with a sandbox. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { sandboxFor } from './sandbox';

export interface Report {
  readonly type: string;
  readonly name?: string;
  readonly message?: string;
  readonly fraction?: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly statistics?: Readonly<Record<string, number>>;
}

export interface EngineEnd {
  readonly code: number | null;
  readonly last: Report;
  readonly reports: readonly Report[];
  readonly log: string;
}

export interface DrivenEngine {
  readonly folder: string;
  readonly child: ChildProcess;
  readonly end: Promise<EngineEnd>;
  /** Waits for a report; rejects when the engine ends before. */
  until(condition: (report: Report) => boolean): Promise<void>;
}

const driven: DrivenEngine[] = [];

/** Starts an engine on an input, to go on from where one was lost if that is given, whose folder it gets. */
export function startEngine(
  name: string,
  input: string | Uint8Array,
  parameters: object = {},
  lost?: DrivenEngine,
): DrivenEngine {
  const folder = mkdtempSync(join(tmpdir(), `holdfast-${name}-`));
  if (lost) renameSync(lost.folder, join(folder, 'earlier'));
  writeFileSync(join(folder, 'input'), input, { mode: 0o444 });
  writeFileSync(join(folder, 'parameters.json'), JSON.stringify(parameters));
  const program = join(__dirname, '..', '..', 'dist', 'engines', name, 'main.js');
  const env = { PATH: process.env.PATH, HOME: folder, HOLDFAST_SANDBOX: sandboxFor(folder) };
  const child = spawn(process.execPath, [program], { cwd: folder, env, stdio: ['pipe', 'pipe', 'pipe'] });
  const reports: Report[] = [];
  const watchers: ((report: Report) => void)[] = [];
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const report = JSON.parse(line) as Report;
    reports.push(report);
    for (const watcher of watchers) watcher(report);
  });
  const end = once(child, 'close').then(([code]): EngineEnd => {
    const last = reports.at(-1);
    if (!last) throw new Error(`the engine reported nothing: ${log}`);
    return { code: code as number | null, last, reports, log };
  });
  const until = (condition: (report: Report) => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      watchers.push((report) => condition(report) && resolve());
      void end.then(({ last }) => reject(new Error(`it ended before: ${JSON.stringify(last)} ${log}`)), reject);
    });
  const engine = { folder, child, end, until };
  driven.push(engine);
  return engine;
}

/** Ends what still runs and removes what was written. For `afterEach`. */
export async function clearEngines(): Promise<void> {
  for (const { child, end, folder } of driven.splice(0)) {
    child.kill('SIGKILL');
    await end.catch(() => {});
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the fraction or a counter fell by between two reports; empty as it must be. */
export function fallsIn(reports: readonly Report[]): string[] {
  const falls: string[] = [];
  const seen = reports.filter(({ counters }) => counters !== undefined);
  for (const [index, { fraction = 1, counters }] of seen.entries()) {
    const before = seen[index - 1];
    if (fraction < (before?.fraction ?? 0)) falls.push(`fraction ${before?.fraction} -> ${fraction}`);
    for (const [name, count] of Object.entries(counters)) {
      const last = before?.counters[name] ?? 0;
      if (count < last) falls.push(`${name} ${last} -> ${count}`);
    }
  }
  return falls;
}
