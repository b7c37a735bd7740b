/** What becomes of a run that is stopped, suspended, or whose worker dies. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { leaveFolder } from '../../attemptFolder';
import type { RunSpec } from '../../runner';
import { alive, type Bed, DONE, declare, EXIT, STOPPED, STOPS, type Step, until } from '../bed';
import type { Behaviour, Capability } from '../behaviour';

const IDLE = 'setInterval(() => {}, 1000)';

export const stopping: readonly Behaviour[] = [
  {
    title: 'keeps what the engine wrote before it stopped',
    async verify(bed) {
      const saves = { do: 'file', path: 'out/part.txt', text: 'half' };
      const run = await bed.working([{ do: 'onTerm', steps: [saves, declare('part.txt'), STOPPED, EXIT] }]);
      await Promise.all([run.stop(10_000), run.stop(10_000)]);
      const end = await run.end;
      expect(end).toMatchObject({ kind: 'stopped', results: [{ name: 'part.txt' }] });
      expect(readFileSync(end.results[0]?.path ?? '', 'utf8')).toBe('half');
      expect(end.counters.rounds).toBeGreaterThan(0);
    },
  },
  {
    title: 'kills an engine that ignores the request to stop',
    needs: 'owns',
    async verify(bed) {
      const spec = bed.spec([{ do: 'onTerm', steps: [] }, { do: 'work' }]);
      const run = await bed.workingSpec(spec);
      await run.stop(100);
      expect((await run.end).kind).toBe('stopped');
      expect(alive(spec)).toEqual([]);
    },
  },
  {
    title: 'is completed when the engine finished before the stop reached it',
    async verify(bed) {
      const run = await bed.working([{ do: 'onTerm', steps: [DONE, EXIT] }]);
      await run.stop(10_000);
      expect((await run.end).kind).toBe('completed');
    },
  },
  {
    title: 'leaves nothing alive that left its parent, group and session',
    needs: 'contains',
    async verify(bed) {
      const spec = bed.spec([STOPS, { do: 'daemon' }, { do: 'work' }]);
      const run = await bed.workingSpec(spec);
      expect(alive(spec)).toHaveLength(2);
      await run.stop(10_000);
      expect((await run.end).kind).toBe('stopped');
      expect(alive(spec)).toEqual([]);
    },
  },
  {
    title: 'uses no CPU while suspended, and goes on when resumed',
    needs: 'suspend',
    async verify(bed) {
      const beat = 'setInterval(() => require("fs").appendFileSync("out/beats", "."), 20)';
      const child = { do: 'child', program: beat, leaves: true };
      const spec = bed.spec([STOPS, { do: 'file', path: 'out/beats', text: '' }, child, { do: 'work', beats: true }]);
      const run = await bed.workingSpec(spec);
      await run.suspend();
      await run.suspend();
      // Both processes write a sign of life many times a second, to a file that they share.
      const beats = () => statSync(join(spec.folder, 'out/beats')).size;
      const before = beats();
      await delay(500); // That nothing happens in this time is what is tested.
      expect(beats()).toBe(before);
      const rounds = run.snapshot().counters.rounds ?? 0;
      await run.resume();
      await run.resume();
      await until(() => beats() > before && (run.snapshot().counters.rounds ?? 0) > rounds + 1);
      await run.stop(10_000);
      expect((await run.end).kind).toBe('stopped');
    },
  },
  {
    title: 'is stopped also while suspended',
    needs: 'suspend',
    async verify(bed) {
      const run = await bed.working([STOPS]);
      await run.suspend();
      await run.stop(10_000);
      expect(await run.end).toMatchObject({ kind: 'stopped', message: 'It was stopped.' });
    },
  },
  {
    title: 'takes no time of its time limit while suspended',
    needs: 'suspend',
    async verify(bed) {
      const run = await bed.working([STOPS], { timeLimitMs: 1500 });
      await run.suspend();
      let over = false;
      void run.end.then(() => {
        over = true;
      });
      await delay(2000); // Longer than the limit: the passing of time is what is tested.
      expect(over).toBe(false);
      await run.resume();
      expect(await run.end).toMatchObject({ kind: 'time-limit', message: 'Its time limit of 1.5 s was up.' });
    },
  },
  afterDeath('running', 'run', { do: 'child', program: IDLE, leaves: false }),
  afterDeath('suspended', 'suspend', { do: 'child', program: IDLE, leaves: false }),
  afterDeath('running, even what left it', 'run', { do: 'daemon' }, 'contains'),
  {
    title: 'keeps the folder of an engine that can go on when its worker was killed, once another swept',
    needs: 'owns',
    async verify(bed) {
      const keptAs = join(bed.workFolder, 'lost', 'folder');
      const spec = { ...bed.spec([{ do: 'file', path: 'out/part.txt', text: 'half' }, { do: 'work' }]), keptAs };
      // Of an attempt before; only what the last one left is of use.
      mkdirSync(join(keptAs, 'old'), { recursive: true });
      await killWorkerOf(bed, spec, 'run', 2);
      await bed.sweep();
      await leaveFolder(spec);
      expect(alive(spec)).toEqual([]);
      expect(readFileSync(join(keptAs, 'out', 'part.txt'), 'utf8')).toBe('half');
      expect(existsSync(join(keptAs, 'old'))).toBe(false);
      expect(existsSync(spec.folder)).toBe(false);
    },
  },
];

/** The engine takes no notice that its watcher is gone. */
function afterDeath(what: string, mode: string, other: Step, needs: Capability = 'owns'): Behaviour {
  return {
    title: `leaves no process when its worker was killed while it was ${what}, once another swept`,
    needs,
    async verify(bed: Bed) {
      const spec = bed.spec([other, { do: 'work' }], { outlivesItsWatcher: true });
      // The engine, what it started, and the worker, whose command line holds all of it.
      await killWorkerOf(bed, spec, mode, 3);
      await bed.sweep();
      // The kernel takes a namespace down a moment after its first process.
      await until(() => alive(spec).length === 0);
    },
  };
}

/** Has a worker of its own start a run, and kills it when so many processes are there. */
async function killWorkerOf(bed: Bed, spec: RunSpec, mode: string, processes: number): Promise<void> {
  const { enginesFolder, workFolder } = bed.place;
  const [program = '', ...first] = bed.host;
  const args = [program, ...first, enginesFolder, workFolder, JSON.stringify(spec), mode];
  const host = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(host.stdout, 'data');
  await until(() => alive(spec).length === processes);
  host.kill('SIGKILL');
  await once(host, 'exit');
}
