/** Runs an engine of structural analysis in a folder, as a runner would, and reads what it wrote. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { sandboxFor } from '../../testing/sandbox';

export interface Report {
  readonly type: string;
  readonly name?: string;
  readonly message?: string;
  readonly fraction?: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly statistics?: Readonly<Record<string, number>>;
}

export interface Ended {
  readonly code: number | null;
  readonly reports: readonly Report[];
  readonly last: Report;
}

/** Whether the programs are here, and a sandbox that they can run in. */
export function areInstalled(...programs: readonly string[]): boolean {
  const found = [...programs, 'bwrap'].every((program) => spawnSync('which', [program]).status === 0);
  return found && spawnSync('bwrap', ['--unshare-all', '--ro-bind', '/', '/', 'true']).status === 0;
}

/** A folder of one attempt, with one engine at most at a time. */
export class Attempt {
  readonly folder = mkdtempSync(join(tmpdir(), 'holdfast-structure-'));
  #engine: ChildProcessWithoutNullStreams | undefined;

  constructor(readonly engine: 'elastic' | 'calculix') {}

  async run(input: string, parameters: object = {}): Promise<Ended> {
    return this.start(input, parameters).end;
  }

  /** Starts the engine. `progressed` is there once it has counted something beyond `counter`. */
  start(
    input: string,
    parameters: object = {},
    counter = 'equations',
  ): { end: Promise<Ended>; progressed: Promise<void>; kill(signal: NodeJS.Signals): void } {
    rmSync(join(this.folder, 'out'), { recursive: true, force: true });
    rmSync(join(this.folder, 'work'), { recursive: true, force: true });
    writeFileSync(join(this.folder, 'input'), input);
    writeFileSync(join(this.folder, 'parameters.json'), JSON.stringify(parameters));
    const program = join(__dirname, '..', '..', '..', 'dist', 'engines', this.engine, 'main.js');
    const engine = spawn(process.execPath, [program], {
      cwd: this.folder,
      env: { PATH: process.env.PATH, HOME: this.folder, HOLDFAST_SANDBOX: sandboxFor(this.folder) },
    });
    this.#engine = engine;
    engine.stderr.pipe(process.stderr);
    const reports: Report[] = [];
    const lines = createInterface(engine.stdout);
    const progressed = new Promise<void>((resolve) =>
      lines.on('line', (line) => {
        const report = JSON.parse(line) as Report;
        reports.push(report);
        if ((report.counters?.[counter] ?? 0) > 0) resolve();
      }),
    );
    const end = Promise.all([once(engine, 'close'), once(lines, 'close')]).then(([[code]]) => ({
      code: code as number | null,
      reports,
      last: reports.at(-1) as Report,
    }));
    return { end, progressed, kill: (signal) => engine.kill(signal) };
  }

  result(name: string): string {
    return readFileSync(join(this.folder, 'out', name), 'utf8');
  }

  /** The numbers of a table, by the first column. */
  table(name: string): Map<number, number[]> {
    const [, ...lines] = this.result(name).trimEnd().split('\n');
    return new Map(lines.map((line) => line.split(',').map(Number)).map(([id = 0, ...rest]) => [id, rest]));
  }

  async remove(): Promise<void> {
    if (this.#engine && this.#engine.exitCode === null && this.#engine.signalCode === null) {
      this.#engine.kill('SIGKILL');
      await once(this.#engine, 'exit');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
