/** What the machine that runs the suite can do. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { RunCgroup } from '../cgroups';

/** `host.ts`, compiled, as a process of its own needs it. */
export const compiledHost = join(__dirname, '..', '..', 'dist', 'runners', 'testing', 'host.js');

export const walls = spawnSync('bwrap', ['--unshare-all', '--ro-bind', '/', '/', 'true']).status === 0;

/** Without a control group, a process that leaves its parent, group and session is nobody's. */
export const notHere = canMakeCgroups() ? {} : { contains: 'no control group may be made here' };

function canMakeCgroups(): boolean {
  const group = new RunCgroup({ memoryBytesMax: 2 ** 30, processesMax: 10 });
  void group.remove();
  return group.folders.length > 0;
}
