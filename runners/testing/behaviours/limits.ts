/** What a run may take, and that what it took is measured. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { alive, DONE, declare, EXIT, STOPS } from '../bed';
import type { Behaviour } from '../behaviour';

export const limits: readonly Behaviour[] = [
  {
    title: 'ends when its time is up, and keeps its results',
    async verify(bed) {
      const part = { do: 'file', path: 'out/part', text: 'half' };
      const end = await bed.ended([STOPS, part, declare('part'), { do: 'work' }], { timeLimitMs: 1000 });
      expect(end).toMatchObject({ kind: 'time-limit', results: [{ name: 'part' }] });
    },
  },
  {
    title: 'ends when it uses too much memory',
    async verify(bed) {
      const end = await bed.ended([{ do: 'hoard', mebibytes: 400 }, { do: 'wait' }], { memoryBytesMax: 200 * 2 ** 20 });
      expect(end).toMatchObject({ kind: 'engine-failed', message: 'The engine used more than 200 MiB of memory.' });
      expect(end.peakMemoryBytes).toBeGreaterThanOrEqual(200 * 2 ** 20);
    },
  },
  {
    title: 'ends when it starts ever more processes',
    async verify(bed) {
      const spec = bed.spec([{ do: 'multiply', processes: 300 }, { do: 'wait' }]);
      const end = await (await bed.startSpec(spec)).end;
      expect(end).toMatchObject({ kind: 'engine-failed' });
      expect(end.message).toContain('processes');
      expect(alive(spec)).toEqual([]);
    },
  },
  {
    title: 'is measured within 10 % of the CPU time that it and its children used',
    async verify(bed) {
      const end = await bed.ended([{ do: 'burn', cpuMs: 700 }, { do: 'linger' }, DONE, EXIT]);
      const seconds = (end.counters.used ?? 0) / 1e6;
      expect(seconds).toBeGreaterThan(1.3);
      expect(Math.abs(end.cpuSeconds - seconds)).toBeLessThan(seconds * 0.1);
    },
  },
  {
    title: 'is measured at its highest memory',
    async verify(bed) {
      const end = await bed.ended([{ do: 'hoard', mebibytes: 150 }, { do: 'linger' }, DONE, EXIT]);
      expect(end.peakMemoryBytes).toBeGreaterThan(150 * 2 ** 20);
      expect(end.peakMemoryBytes).toBeLessThan(300 * 2 ** 20);
    },
  },
  {
    title: 'ends when it fills its folder, before the disk is full',
    async verify(bed) {
      const end = await bed.ended([
        { do: 'fill', folder: 'out/deep', files: 80, text: 'x', times: 2 ** 20 },
        { do: 'wait' },
      ]);
      expect(end).toMatchObject({
        kind: 'engine-failed',
        message: 'The engine filled its folder with more than 64 MiB.',
      });
    },
  },
  {
    title: 'ends when it makes ever more files',
    async verify(bed) {
      const end = await bed.ended([{ do: 'fill', folder: 'out', files: 2500 }, { do: 'wait' }]);
      expect(end).toMatchObject({
        kind: 'engine-failed',
        message: 'The engine filled its folder with more than 2000 files.',
      });
    },
  },
  {
    title: 'is a failure of the platform when the disk is full, with all that it had',
    missing: () => (mayMount() ? undefined : 'no small disk can be mounted here'),
    async verify(bed) {
      const disk = join(bed.workFolder, 'disk');
      mkdirSync(disk);
      mount(disk);
      try {
        const end = await bed.ended(
          [
            { do: 'file', path: 'out/a.txt', text: 'whole' },
            declare('a.txt'),
            { do: 'report', report: { type: 'progress', fraction: 0.5, counters: { pixels: 10 } } },
            { do: 'file', path: 'out/b.txt', text: 'x'.repeat(100_000), times: 100 },
          ],
          { folder: mkdtempSync(join(disk, 'attempt-')) },
        );
        expect(end).toMatchObject({ kind: 'engine-failed', counters: { pixels: 10 } });
        expect(end.message).toBe('The engine found no space left on the disk.');
        expect(readFileSync(end.results[0]?.path ?? '', 'utf8')).toBe('whole');
      } finally {
        spawnSync('umount', [disk]);
      }
    },
  },
];

function mount(folder: string): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'holdfast', folder]).status === 0;
}

let mounts: boolean | undefined;

function mayMount(): boolean {
  mounts ??= spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'holdfast', '/mnt']).status === 0;
  return mounts;
}
