import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { createColors } from 'picocolors';
import { amountCell, createOutput, formatPairs, formatTable, inCredits, printable, wantsColor } from './output';

test('amounts stand right-aligned under each other, with the word', () => {
  const table = formatTable(
    [{ title: 'lot' }, { title: 'amount', align: 'right' }, { title: 'kind' }],
    [
      ['a', amountCell('1'), 'shared'],
      ['bcd', amountCell('12.345'), ''],
    ],
  );
  expect(table.split('\n')).toEqual([
    'lot          amount  kind',
    'a         1 credit   shared',
    'bcd  12.345 credits',
  ]);
});

test('a table without colours holds no escape sequence, and with colours keeps its widths', () => {
  const columns = [{ title: 'name' }, { title: 'end' }];
  const plain = formatTable(columns, [['x', 'y']]);
  const colored = formatTable(columns, [['x', createColors(true).red('y')]], createColors(true));
  expect(plain).not.toContain('\u001b');
  expect(colored).toContain('\u001b[31m');
  expect(stripVTControlCharacters(printable(colored))).toBe(plain);
});

test('one credit is not plural', () => {
  expect([inCredits('1'), inCredits('0'), inCredits('1.5')]).toEqual(['1 credit', '0 credits', '1.5 credits']);
});

test('text of others cannot move the cursor or forge a line of a table', () => {
  expect(printable('a\u001b[2Jb\u001b]0;title\u0007c\rd\te\u009bf')).toBe('a[2Jb]0;titlecdef');
  expect(formatTable([{ title: 'name' }], [['evil\nlot 9 credits']])).toBe('name\nevil lot 9 credits');
});

test('labels stand above each other', () => {
  expect(
    formatPairs([
      ['job', '1'],
      ['charged', '2'],
    ]),
  ).toBe('job      1\ncharged  2');
});

test('colours are for terminals whose user did not refuse them', () => {
  const tty = { isTTY: true };
  expect(wantsColor(tty, { color: true, env: {} })).toBe(true);
  expect(wantsColor({}, { color: true, env: {} })).toBe(false);
  expect(wantsColor(tty, { color: false, env: {} })).toBe(false);
  expect(wantsColor(tty, { color: true, env: { NO_COLOR: '1' } })).toBe(false);
});

test('with --json only the answer itself is on standard output', () => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const output = createOutput({ stdout, stderr, stdin: new PassThrough(), env: {} }, { json: true, color: true });
  output.say('for people');
  output.note('beside');
  output.raw('{"a":1}\n');
  expect(String(stdout.read())).toBe('{"a":1}\n');
  expect(String(stderr.read())).toBe('beside\n');
});
