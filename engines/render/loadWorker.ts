/** The thread that reads the scene, so that the main thread hears a stop while a large one is being prepared. */
import { readFile, stat } from 'node:fs/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { InputFault } from './inputFault';
import { readScene } from './readScene';
import type { Scene } from './scene';

export type LoadReport = { readonly scene: Scene } | { readonly fault: string };

const BYTES_MAX = 1024 * 1024 * 1024;

async function load(path: string): Promise<LoadReport> {
  try {
    if ((await stat(path)).size > BYTES_MAX) throw new InputFault('The file is larger than 1 GiB.');
    return { scene: await readScene(await readFile(path)) };
  } catch (error) {
    if (error instanceof InputFault) return { fault: error.message };
    if (error instanceof RangeError && /allocation failed|array length/i.test(error.message)) {
      return { fault: 'The scene needs more memory than this machine gives.' };
    }
    throw error;
  }
}

void load(workerData as string).then((report) => parentPort?.postMessage(report));
