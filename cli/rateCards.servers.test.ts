/** The commands of rate cards against the real API. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { addMilliseconds, instantOfMilliseconds } from '../domain/instant';
import { startApi, type TestApi, type Who } from '../test/api/server';
import { settledJob } from '../test/api/settled';
import { buildProgram, runProgram } from './commands';

jest.setTimeout(60_000);

let api: TestApi;
let folder: string;

beforeAll(async () => {
  api = await startApi();
  folder = await mkdtemp(join(tmpdir(), 'holdfast-rates-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await api?.close();
});

async function holdfast(who: Who, ...words: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const env = { HOLDFAST_HOME: folder, HOLDFAST_URL: api.url, HOLDFAST_API_KEY: api.keys[who]?.key ?? '' };
  const terminal = { stdout, stderr, stdin: new PassThrough(), env };
  const code = await runProgram(buildProgram(terminal), terminal, ['rate-cards', ...words]);
  return { code, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') };
}

async function cardFile(name: string, card: object): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, JSON.stringify(card));
  return path;
}

test('cards are listed with what is in force, shown, compared and asked for a price', async () => {
  const listed = await holdfast('submitter');
  expect(listed).toMatchObject({ code: 0, stderr: '' });
  expect(listed.stdout).toMatch(/^ +7 {2}in force +2022-11-07 00:00:00Z +12 {2}Rates of 2022-11-07$/m);
  expect((await holdfast('submitter', '--at', '2012-05-01T00:00:00Z', '--json')).stdout).toMatch(/"version":3/);
  const shown = (await holdfast('submitter', 'show', '5')).stdout;
  expect(shown).toMatch(/^Version 5, superseded, from 2018-03-23 00:00:00Z: Rates of 2018-03-23$/m);
  expect(shown).toMatch(/^road-profile +kilometres +100 per 5 km, started ones as whole ones +microcredit-up$/m);
  expect(shown).toMatch(/final 1 per Mpx, at least 1/);
  expect((await holdfast('submitter', 'diff', '2', '3')).stdout).toBe('rendering images: 1 per image → 5 per image.\n');
  expect((await holdfast('submitter', 'diff', '5', '5')).stdout).toBe('Both charge the same.\n');
  const rated = await holdfast('submitter', 'rate', '5', 'road-profile', '-u', 'kilometres=5.1', '-u', 'rows=9');
  expect(rated.stdout).toMatch(/^kilometres +5\.1 +km +2 x 5 +100 credits +200 credits/m);
  expect(rated.stdout).toMatch(/^charged +200 credits\nwithout a rate +rows$/m);
  const failed = await holdfast(
    'submitter',
    'rate',
    '5',
    'cfd',
    '-u',
    'simulations=1',
    '-d',
    'complexity=complex',
    '--end',
    'input-failed',
  );
  expect(failed.stdout).toMatch(/^rated +35 credits\npays +nothing\ncharged +0 credits$/m);
  expect(await holdfast('submitter', 'rate', '5', 'cfd', '-u', 'simulations=1')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no price for complexity (none)'),
  });
});

test.each([
  [['rate', '5', 'cfd', '-u', 'simulations'], /--usage is written name=value/],
  [['rate', '5', 'cfd', '-u', 'simulations=1e3'], /--usage simulations: an amount is a plain decimal/],
  [['rate', '5', 'cfd', '--end', 'exploded'], /Allowed choices are completed/],
  [['draft', '/nowhere/card.json'], /cannot be read/],
  [['publish', 'some'], /Nobody is here to be asked/],
  [['replay', 'some', '--from', 'monday', '--to', 'tuesday'], /--from: an instant/],
])('%j cannot be meant', async (words, sentence) => {
  const { code, stderr } = await holdfast('provider', ...words);
  expect([code, stderr]).toEqual([2, expect.stringMatching(sentence)]);
});

test('a card is drafted, refused with what is wrong, changed, compared, replayed and published', async () => {
  const from = instantOfMilliseconds(Date.now());
  await settledJob(api, { simulations: 2 });
  const to = addMilliseconds(instantOfMilliseconds(Date.now()), 1);
  const { services } = JSON.parse((await holdfast('provider', 'show', '7', '--json')).stdout);
  const at = (price: string) =>
    services.map((one: { service: string; rates: object[] }) =>
      one.service === 'simulation' ? { ...one, rates: [{ ...one.rates[0], model: { kind: 'per-unit', price } }] } : one,
    );
  const wrong = await holdfast('provider', 'draft', await cardFile('wrong.json', { title: 'x', services: at('$4') }));
  expect(wrong).toMatchObject({ code: 1, stdout: '' });
  expect(wrong.stderr).toMatch(/services\.3\.rates\.0\.model\.price: "\$4" is no decimal/);
  const file = await cardFile('card.json', { title: 'Dearer', services: at('6') });
  const drafted = await holdfast('provider', 'draft', file, '--json');
  expect(drafted.code).toBe(0);
  const { id } = JSON.parse(drafted.stdout);
  expect((await holdfast('finance', 'drafts')).stdout).toContain(id);
  const change = await cardFile('change.json', { title: 'Cheaper', services: at('4') });
  expect((await holdfast('provider', 'change', id, change)).stdout).toMatch(
    /^Draft .*, when it is published: Cheaper$/m,
  );
  expect((await holdfast('finance', 'diff', '7', id)).stdout).toBe(
    'simulation simulations: 5 per simulation → 4 per simulation.\n',
  );
  const replayed = await holdfast('finance', 'replay', id, '--from', from, '--to', to);
  expect(replayed.stdout).toMatch(/^simulation +1 +10 credits +0 credits +8 credits +-2 credits/m);
  const published = await holdfast('provider', 'publish', id, '--yes');
  expect(published.stdout).toMatch(/^Published\.\n\nVersion 8, in-force, from /);
  expect(await holdfast('provider', 'delete', id)).toMatchObject({ code: 1 });
  const other = JSON.parse((await holdfast('provider', 'draft', file, '--json')).stdout);
  expect((await holdfast('provider', 'delete', other.id)).stdout).toBe('The draft is deleted.\n');
  expect(await holdfast('submitter', 'show', other.id)).toMatchObject({ code: 1 });
});
