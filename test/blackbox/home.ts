/** Home folders of installations that a test file starts: whatever a test leaves behind is ended, told and removed. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LaunchedProduct, launch, processesOf, send } from '../../dev/chaos/product';
import { until } from '../../dev/processes';

/** Short waits, so that what they guard is seen within a test; long enough for a submission to be repeated meanwhile. */
const SETTINGS = { HOLDFAST_HEARTBEAT_SECONDS: '3', HOLDFAST_RECONCILE_AFTER_SECONDS: '20' };

export interface Home {
  readonly path: string;
  /** Starts the product from this home, again and again if a test wants. */
  launch(env?: Record<string, string>): Promise<LaunchedProduct>;
  /** Ctrl-C to what was launched last, then the proof that nothing of it is left, on the machine or on the disk. */
  leave(): Promise<void>;
}

export async function makeHome(): Promise<Home> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-blackbox-'));
  let product: LaunchedProduct | undefined;
  return {
    path,
    async launch(env = {}) {
      product = await launch({ home: path, env: { ...SETTINGS, ...env } });
      return product;
    },
    async leave() {
      const code = await product?.stop();
      await until(() => processesOf(path).length === 0, 15_000);
      const left = processesOf(path);
      for (const { pid } of left) send(pid, 'SIGKILL');
      const work = existsSync(join(path, 'work')) ? await attemptFolders(join(path, 'work')) : [];
      await rm(path, { recursive: true, force: true });
      expect({ code: code ?? 0, left, work }).toEqual({ code: 0, left: [], work: [] });
    },
  };
}

async function attemptFolders(work: string): Promise<string[]> {
  return [...(await readdir(work)).filter((name) => name !== 'runs'), ...(await readdir(join(work, 'runs')))];
}
