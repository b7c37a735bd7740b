/** What an engine writes is never trusted. */

import { DONE, declare, EXIT, STOPS, type Step } from '../bed';
import type { Behaviour } from '../behaviour';

export const reports: readonly Behaviour[] = [
  breach('is not JSON', 'hello\n'),
  breach('is not an object', '[]\n'),
  breach('has an unknown type', '{"type":"profit"}\n'),
  breach('has no fraction', '{"type":"progress","counters":{}}\n'),
  breach('counts in fractions', '{"type":"progress","fraction":0,"counters":{"pixels":0.5}}\n'),
  breach('counts below zero', '{"type":"progress","fraction":0,"counters":{"pixels":-1}}\n'),
  breach('counts past whole numbers', '{"type":"progress","fraction":0,"counters":{"pixels":1e300}}\n'),
  breach('has statistics that are no counters', '{"type":"done","counters":{},"statistics":{"rays":-1}}\n'),
  breach('names a file elsewhere', '{"type":"result","name":"a","file":"../a","mediaType":"text/plain"}\n'),
  breach('names an absolute file', '{"type":"result","name":"a","file":"/etc/passwd","mediaType":"text/plain"}\n'),
  breach('is longer than 64 KiB', `"${'x'.repeat(70_000)}"\n`),
  {
    title: 'never makes a counter or the fraction fall',
    async verify(bed) {
      const end = await bed.ended([
        { do: 'report', report: { type: 'progress', fraction: 0.9, counters: { pixels: 90, rays: 1 } } },
        { do: 'report', report: { type: 'progress', fraction: 0.2, counters: { pixels: 20, rays: 2 } } },
        { do: 'report', report: { type: 'progress', fraction: -4, counters: { pixels: 30 } } },
        { do: 'exit', code: 1 },
      ]);
      expect(end).toMatchObject({ fraction: 0.9, counters: { pixels: 90, rays: 2 } });
    },
  },
  {
    title: 'tells at once of use that comes in one jump',
    async verify(bed) {
      const run = await bed.start([
        STOPS,
        { do: 'report', report: { type: 'progress', fraction: 0.1, counters: { pixels: 1_000_000_000 } } },
        { do: 'wait' },
      ]);
      await new Promise<void>((resolve) => run.onProgress(resolve));
      expect(run.snapshot().counters).toEqual({ pixels: 1_000_000_000 });
      await run.stop(10_000);
      expect(await run.end).toMatchObject({ kind: 'stopped', counters: { pixels: 1_000_000_000 } });
    },
  },
  {
    title: 'ignores use that is reported after the end',
    async verify(bed) {
      const end = await bed.ended([
        { do: 'report', report: { type: 'done', counters: { pixels: 7 } } },
        { do: 'report', report: { type: 'progress', fraction: 1, counters: { pixels: 99 } } },
        EXIT,
      ]);
      expect(end).toMatchObject({ kind: 'completed', counters: { pixels: 7 } });
    },
  },
  {
    title: 'reads reports that arrive in pieces',
    async verify(bed) {
      const end = await bed.ended([
        { do: 'write', text: '{"type":"progress","fraction":0.25,' },
        { do: 'write', text: '"counters":{"pixels":7}}\n\n{"type":"done",' },
        { do: 'write', text: '"counters":{}}\n' },
        EXIT,
      ]);
      expect(end).toMatchObject({ kind: 'completed', counters: { pixels: 7 } });
    },
  },
  {
    title: 'keeps little of 50 MB without an end of line',
    async verify(bed) {
      const before = process.memoryUsage().rss;
      const end = await bed.ended([{ do: 'write', text: 'x'.repeat(50_000), times: 1000 }, { do: 'wait' }]);
      expect(end.message).toContain('longer than 64 KiB');
      expect(process.memoryUsage().rss - before).toBeLessThan(60 * 2 ** 20);
    },
  },
  {
    title: 'reads a flood of 20 MB of reports and keeps none of them',
    async verify(bed) {
      const before = process.memoryUsage().rss;
      const end = await bed.ended([{ do: 'write', text: report(950).repeat(40), times: 500 }, DONE, EXIT]);
      expect(end).toMatchObject({ kind: 'completed', counters: { pixels: 1 } });
      expect(process.memoryUsage().rss - before).toBeLessThan(120 * 2 ** 20);
    },
  },
  {
    title: 'ends an engine that writes 1 GB of reports, in bounded memory',
    async verify(bed) {
      const before = process.memoryUsage().rss;
      const end = await bed.ended([{ do: 'write', text: report(60_000), times: 17_000 }, DONE, EXIT]);
      expect(end).toMatchObject({ kind: 'engine-failed', counters: { pixels: 1 } });
      expect(end.message).toContain('more than 256 MiB of reports');
      expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
    },
  },
  {
    title: 'keeps only the end of a long log',
    async verify(bed) {
      const end = await bed.ended([
        { do: 'write', fd: 2, text: 'x'.repeat(50_000), times: 20 },
        { do: 'write', fd: 2, text: 'the last words' },
        DONE,
        EXIT,
      ]);
      expect(end.log).toHaveLength(8192);
      expect(end.log.endsWith('the last words')).toBe(true);
    },
  },
  noResult('is not there', []),
  noResult('is a symbolic link', [{ do: 'link', path: 'out/a', target: '/etc/hostname' }]),
  noResult('is a folder', [{ do: 'file', path: 'out/a/b', text: '' }]),
  noResult('is reached through a symbolic link', [{ do: 'link', path: 'out', target: '/etc' }], 'out/hostname'),
];

function breach(what: string, text: string): Behaviour {
  return {
    title: `ends the run when a report ${what}`,
    async verify(bed) {
      const end = await bed.ended([{ do: 'write', text }, { do: 'wait' }]);
      expect(end.kind).toBe('engine-failed');
      expect(end.message).toContain('broke the protocol');
    },
  };
}

function noResult(what: string, prepare: readonly Step[], file = 'out/a'): Behaviour {
  return {
    title: `has no result when the declared file ${what}`,
    async verify(bed) {
      const end = await bed.ended([...prepare, declare('a', file), DONE, EXIT]);
      expect(end).toMatchObject({ kind: 'engine-failed', results: [] });
      expect(end.message).toContain('declared the result a');
    },
  };
}

function report(length: number): string {
  return `${JSON.stringify({ type: 'progress', fraction: 0.5, counters: { pixels: 1 }, note: 'x'.repeat(length) })}\n`;
}
