/** Jobs of several runs over REST: what is quoted, what is submitted, and how the runs stand. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beginAttempt, endAttempt } from '../db/attempts';
import { findRateCardInForce, publishRateCard } from '../db/rateCards';
import { DEMO } from '../db/seed';
import { packageRoot } from '../dev/root';
import { instantOfMilliseconds } from '../domain/instant';
import { startApi, type TestApi } from '../test/api/server';

jest.setTimeout(60_000);

let api: TestApi;
const now = () => instantOfMilliseconds(Date.now());

beforeAll(async () => {
  api = await startApi();
  const card = await findRateCardInForce(api.db, now());
  const [like] = card?.services.filter(({ service }) => service === 'simulation') ?? [];
  if (!card || !like) throw new Error('nothing is sold');
  const price = (meter: string, unit: string) => ({ meter, unit, model: { kind: 'per-unit' as const, price: '1' } });
  const rates = [price('doeRuns', 'run'), price('simulations', 'simulation')];
  const others = card.services.filter(({ service }) => service !== 'injection-moulding');
  const services = [...others, { ...like, service: 'injection-moulding', rates }];
  await publishRateCard(api.owner, { ...card, version: 1000, services }, 'test');
  await api.startJobsWorker();
});

afterAll(() => api?.close());

const upload = (name: string) =>
  api.upload(readFileSync(join(packageRoot(), 'samples', name), 'utf8'), { name, mediaType: 'application/json' });

it.each(['with a quote', 'with a not-to-exceed amount'])(
  'a design %s is one job of as many runs as it has points',
  async (how) => {
    const input = await upload('plate-doe.mould.json');
    const terms = { service: 'injection-moulding', input, contractId: DEMO.contract };
    let asked: object = { ...terms, maxCredits: '8' };
    if (how === 'with a quote') {
      const quote = (await api.ask('POST', '/v1/quotes', { json: terms })).body;
      expect(quote).toMatchObject({ expected: '8' });
      asked = { quoteId: quote.id };
    }
    const answer = await api.ask('POST', '/v1/jobs', { json: asked });
    expect(answer).toMatchObject({ status: 201, body: { runs: { total: 8, completed: 0, failed: 0, running: 0 } } });
    const jobId: string = answer.body.id;
    const begun = { runner: 'embedded', worker: 'test', at: now() };
    for (const run of [1, 2, 3]) await beginAttempt(api.db, { jobId, run, ...begun });
    await endAttempt(api.db, { jobId, attempt: 1, outcome: 'completed', message: '', at: now() });
    await endAttempt(api.db, { jobId, attempt: 2, outcome: 'input-failed', message: 'too thin', at: now() });
    const job = (await api.ask('GET', `/v1/jobs/${jobId}`)).body;
    expect(job.runs).toEqual({ total: 8, completed: 1, failed: 1, running: 1 });
    const usage = (await api.ask('GET', `/v1/jobs/${jobId}/usage`)).body;
    expect(usage.attempts).toMatchObject([
      { number: 1, run: 1, outcome: 'completed' },
      { number: 2, run: 2, outcome: 'input-failed', message: 'too thin' },
      { number: 3, run: 3, outcome: null },
    ]);
  },
);

it('a plate alone is a job of one run', async () => {
  const input = await upload('plate.mould.json');
  const json = { service: 'injection-moulding', input, contractId: DEMO.contract, maxCredits: '1' };
  expect((await api.ask('POST', '/v1/jobs', { json })).body.runs).toMatchObject({ total: 1 });
});
