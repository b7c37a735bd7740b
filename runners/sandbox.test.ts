/** What is special to the sandbox: engines that drive installed programs. `conformance.test.ts` has what every runner does. */
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Engine } from '../services/service';
import { canSandbox, createSandboxRunner, programsOffered } from './sandbox';
import { alive, Bed, DONE, EXIT, STOPPED, type Step, until } from './testing/bed';

jest.setTimeout(60_000);
const works = spawnSync('bwrap', ['--unshare-all', '--ro-bind', '/', '/', 'true']).status === 0;
const engine: Engine = { name: 'scripted', programs: ['sh'], onLostAttempt: 'restart' };
/** Writes signs of life into its folder until somebody ends it, and is found by the job's id. */
const BEATS: Step = { do: 'drive', command: ['sh', '-c', 'while :; do echo >>beats; sleep 0.02; done', 'TITLE'] };

it('says whether walls can be built here, and offers only installed programs', async () => {
  expect(await canSandbox()).toBe(works);
  for (const program of programsOffered()) expect(statSync(join('/usr/bin', program)).isFile()).toBe(true);
  expect(programsOffered(['sh', '../bin/sh'])).toEqual([]);
});

(works ? describe : describe.skip)(
  works ? 'a driven program' : 'a driven program (skipped: no bubblewrap here)',
  () => {
    let bed: Bed;

    beforeEach(() => {
      bed = new Bed(createSandboxRunner);
    });

    afterEach(() => bed.close());

    it('sees the folder work/ of the attempt as /job, and nothing else of a person’s', async () => {
      const look =
        'pwd; env | cut -d= -f1 | sort; ls /job /proc/self/root; cat /etc/passwd ../input ../parameters.json; ls /sys/class/net';
      const spec = bed.spec([{ do: 'drive', command: ['sh', '-c', `(${look}) >seen 2>&1`] }, DONE, EXIT], { engine });
      const end = await (await bed.startSpec(spec)).end;
      expect(end.kind).toBe('completed');
      const seen = readFileSync(join(spec.folder, 'work', 'seen'), 'utf8');
      expect(seen.startsWith('/job\nHOME\nPATH\nPWD\n')).toBe(true);
      expect(seen.match(/No such file or directory|cannot access/g)?.length).toBeGreaterThanOrEqual(4);
      expect(seen).not.toContain('root:x');
    });

    it('is stopped by its driver, which alone is asked', async () => {
      const spec = bed.spec([{ ...BEATS, stopsIt: true }, STOPPED, EXIT], { engine });
      const run = await bed.startSpec(spec);
      await beating(spec.folder);
      await run.stop(10_000);
      const end = await run.end;
      expect(end).toMatchObject({ kind: 'stopped', message: 'It was stopped.' });
      // The driver saw it end and went on, so it was not killed with it.
      expect(end.counters.ended).toBeGreaterThan(0);
      expect(alive(spec)).toEqual([]);
    });

    it('is killed with a driver that does not stop it', async () => {
      const spec = bed.spec([{ do: 'onTerm', steps: [] }, BEATS], { engine });
      const run = await bed.startSpec(spec);
      await beating(spec.folder);
      await run.stop(100);
      expect((await run.end).kind).toBe('stopped');
      expect(alive(spec)).toEqual([]);
    });

    it('stands still while its run is suspended', async () => {
      const spec = bed.spec([BEATS], { engine });
      const run = await bed.startSpec(spec);
      await beating(spec.folder);
      await run.suspend();
      const before = beats(spec.folder);
      await delay(500); // That nothing happens in this time is what is tested.
      expect(beats(spec.folder)).toBe(before);
      await run.resume();
      await until(() => beats(spec.folder) > before);
      await run.stop(0);
    });

    it('that uses too much memory is a failure of the platform, whatever its driver makes of it', async () => {
      const hog = 'x=$(head -c 400000000 /dev/zero | tr "\\0" x); sleep 60';
      const spec = bed.spec([{ do: 'drive', command: ['sh', '-c', hog] }, DONE, EXIT], {
        engine,
        memoryBytesMax: 200 * 2 ** 20,
      });
      const end = await (await bed.startSpec(spec)).end;
      expect(end).toMatchObject({ kind: 'engine-failed', message: 'The engine used more than 200 MiB of memory.' });
    });
  },
);

function beats(folder: string): number {
  try {
    return statSync(join(folder, 'work', 'beats')).size;
  } catch {
    return 0;
  }
}

async function beating(folder: string): Promise<void> {
  await until(() => beats(folder) > 0);
}
