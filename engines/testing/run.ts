/** Runs a built engine in a folder, as a runner would, for tests. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface Report {
  readonly type: string;
  readonly name?: string;
  readonly message?: string;
  readonly fraction?: number;
  readonly counters: Readonly<Record<string, number>>;
}

export interface End {
  readonly code: number | null;
  readonly last: Report;
  readonly reports: readonly Report[];
}

export function runBuilt(engine: string, folder: string, input: string, parameters: object): Promise<End> {
  return startBuilt(engine, folder, input, parameters).end;
}

export function startBuilt(engine: string, folder: string, input: string, parameters: object) {
  writeFileSync(join(folder, 'input'), input);
  writeFileSync(join(folder, 'parameters.json'), JSON.stringify(parameters));
  const program = join(__dirname, '..', '..', 'dist', 'engines', engine, 'main.js');
  const child = spawn(process.execPath, [program], { cwd: folder, env: { PATH: process.env.PATH, HOME: folder } });
  child.stderr.pipe(process.stderr);
  const reports: Report[] = [];
  const watchers: ((report: Report) => void)[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const report = JSON.parse(line) as Report;
    reports.push(report);
    for (const watcher of watchers) watcher(report);
  });
  const end = once(child, 'close').then(([code]): End => {
    const last = reports.at(-1);
    if (!last) throw new Error('the engine reported nothing');
    return { code: code as number | null, last, reports };
  });
  const until = (condition: (report: Report) => boolean) =>
    new Promise<void>((resolve, reject) => {
      watchers.push((report) => condition(report) && resolve());
      void end.then(() => reject(new Error('the engine ended before')), reject);
    });
  return { child, end, until };
}

/** A result, as text. */
export function inFolder(folder: string, name: string): string {
  return readFileSync(join(folder, 'out', name), 'utf8');
}
