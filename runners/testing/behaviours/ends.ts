/** How a run ends by itself, and what is known of it then. */
import { readFileSync } from 'node:fs';
import { type Bed, DONE, declare, EXIT, STOPPED, type Step } from '../bed';
import type { Behaviour } from '../behaviour';

export const ends: readonly Behaviour[] = [
  {
    title: 'completes with its results, counters, statistics and what it used',
    async verify(bed) {
      const end = await bed.ended([
        { do: 'report', report: { type: 'progress', fraction: 0.5, counters: { pixels: 10 } } },
        { do: 'work', cpuMs: 300 },
        { do: 'file', path: 'out/a.txt', text: 'whole' },
        declare('a.txt'),
        { do: 'write', fd: 2, text: 'a word for people\n' },
        { do: 'report', report: { type: 'done', counters: { pixels: 20 }, statistics: { samples: 7 } } },
        EXIT,
      ]);
      expect(end).toMatchObject({ kind: 'completed', fraction: 1, statistics: { samples: 7 } });
      expect(end.log).toContain('a word for people\n');
      expect(end.counters).toMatchObject({ pixels: 20 });
      expect(end.results).toMatchObject([{ name: 'a.txt', mediaType: 'text/plain' }]);
      expect(readFileSync(end.results[0]?.path ?? '', 'utf8')).toBe('whole');
      expect(end.cpuSeconds).toBeGreaterThanOrEqual(0.3);
    },
  },
  {
    title: 'sees its input, its folder and almost no environment',
    async verify(bed) {
      const end = await bed.ended([{ do: 'look' }, declare('seen.json'), DONE, EXIT]);
      const seen = JSON.parse(readFileSync(end.results[0]?.path ?? '', 'utf8'));
      expect(seen.input).toBe('the input');
      expect(seen.home).toBe(seen.folder);
      expect(['HOME', 'PATH', 'PWD']).toEqual(expect.arrayContaining(seen.environment));
    },
  },
  {
    title: 'is the submitter’s to mend when the engine found the input wrong',
    async verify(bed) {
      const end = await bed.ended([
        { do: 'report', report: { type: 'failed', message: 'line 12: no such node', counters: { lines: 11 } } },
        { do: 'exit', code: 2 },
      ]);
      expect(end).toMatchObject({ kind: 'input-failed', message: 'line 12: no such node', counters: { lines: 11 } });
    },
  },
  fails('exits without a last report', [EXIT], 'The engine exited with code 0 without reporting its end.'),
  fails('exits with an error', [{ do: 'exit', code: 3 }], 'The engine exited with code 3 without reporting its end.'),
  fails('says done and fails', [DONE, { do: 'exit', code: 1 }], 'The engine exited with code 1 after reporting done.'),
  fails('says stopped unasked', [STOPPED, EXIT], 'The engine was stopped by somebody else.'),
  fails('is killed by somebody else', [{ do: 'die', signal: 'SIGKILL' }], 'The engine was ended by SIGKILL.'),
  {
    title: 'cannot be started when there is no such engine',
    needs: 'owns',
    async verify(bed) {
      const start = (name: string) => bed.start([], { engine: { name, onLostAttempt: 'restart' } });
      await expect(start('nowhere')).rejects.toThrow('ENOENT');
      await expect(start('../escape')).rejects.toThrow(RangeError);
    },
  },
  {
    title: 'is told apart from a run beside it',
    async verify(bed) {
      const count = (pixels: number): Step[] => [
        { do: 'work', cpuMs: pixels * 100 },
        { do: 'file', path: 'out/a.txt', text: `${pixels}` },
        declare('a.txt'),
        { do: 'report', report: { type: 'done', counters: { pixels } } },
        EXIT,
      ];
      const beside: Promise<unknown> = bed.ended([{ do: 'write', text: 'nonsense\n' }]);
      const [one, two] = await Promise.all([bed.ended(count(1)), bed.ended(count(5)), beside]);
      expect([one.kind, two.kind]).toEqual(['completed', 'completed']);
      expect([one.counters.pixels, two.counters.pixels]).toEqual([1, 5]);
      expect(two.cpuSeconds).toBeGreaterThan(one.cpuSeconds);
      expect([one, two].map(({ results }) => readFileSync(results[0]?.path ?? '', 'utf8'))).toEqual(['1', '5']);
    },
  },
];

function fails(what: string, steps: readonly Step[], message: string): Behaviour {
  return {
    title: `is a failure of the platform when it ${what}`,
    async verify(bed: Bed) {
      expect(await bed.ended(steps)).toMatchObject({ kind: 'engine-failed', message });
    },
  };
}
