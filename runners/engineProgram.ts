/** How an engine of `engines/` is started with Node. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunSpec } from './runner';

/** The command line of an engine. Rejects when there is no such engine. */
export async function engineCommand(enginesFolder: string, spec: RunSpec): Promise<[string, ...string[]]> {
  const { name } = spec.engine;
  if (!ENGINE_NAME.test(name)) throw new RangeError(`not a name of an engine: ${name}`);
  const program = spec.engine.main ?? join(enginesFolder, name, 'main.js');
  await access(program);
  return [process.execPath, `--max-old-space-size=${oldSpaceMiB(spec.memoryBytesMax)}`, program];
}

const ENGINE_NAME = /^[a-z][a-z0-9-]*$/;

/**
 * V8's heap gets three quarters of the memory: the rest is for buffers and threads, and an engine that fills its heap
 * dies with a clear message before the whole process is killed.
 */
function oldSpaceMiB(memoryBytesMax: number): number {
  return Math.max(64, Math.floor((memoryBytesMax / 2 ** 20) * 0.75));
}
