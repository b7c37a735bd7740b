import { PassThrough } from 'node:stream';
import { createColors } from 'picocolors';
import { bar, showProgress } from './progress';

const plain = createColors(false);

test('a bar is never fuller than what is done', () => {
  expect(bar(0, 4)).toBe('░░░░');
  expect(bar(0.99, 4)).toBe('███░');
  expect(bar(1, 4)).toBe('████');
  expect(bar(7, 4)).toBe('████');
});

test('without a terminal a line is written at each tenth and at each change of state, and nothing moves', () => {
  const stream = new PassThrough();
  const progress = showProgress(stream, plain);
  for (const [fraction, note] of [
    [0, 'running'],
    [0.01, 'running'],
    [0.19, 'running'],
    [0.191, 'running'],
    [0.192, 'parked for cap'],
    [0.2, 'running'],
  ] as const) {
    progress.show('1', { label: 'picture', fraction, note });
  }
  progress.say('Charged: 1 credit.');
  expect(String(stream.read()).split('\n')).toEqual([
    'picture   0 %  running',
    'picture  19 %  running',
    'picture  19 %  parked for cap',
    'picture  20 %  running',
    'Charged: 1 credit.',
    '',
  ]);
});

test('on a terminal the bars are drawn over themselves, below what is said, and no line wraps', () => {
  const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 60 });
  const progress = showProgress(stream, plain);
  progress.show('1', { label: 'one', fraction: 0.5, note: 'running, with a very long note that would wrap the line' });
  progress.show('2', { label: 'second', fraction: 0, note: '' });
  stream.read();
  progress.say('Reserved.');
  const written = String(stream.read());
  expect(written.startsWith('\u001b[2A\r\u001b[JReserved.\n')).toBe(true);
  const lines = written.split('\n').slice(1, -1);
  expect(lines).toHaveLength(2);
  for (const line of lines) expect(line.length).toBeLessThan(60);
  expect(lines[0]).toContain('████████████░░░░░░░░░░░░  50 %  running');
});
