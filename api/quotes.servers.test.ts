/** Previews leave no trace, and a job runs where something offers what its input needs. */

import { rows } from '../db/client';
import { offerEngines, withdrawOffers } from '../db/computeOffers';
import { DEMO } from '../db/seed';
import { instantOfMilliseconds } from '../domain/instant';
import { netlistWith, scene } from '../test/api/inputs';
import { startApi, type TestApi } from '../test/api/server';

let api: TestApi;
let picture: string;
let filter: string;

beforeAll(async () => {
  api = await startApi();
  picture = await api.upload(scene(), { name: 'triangle.gltf', mediaType: 'model/gltf+json' });
  filter = await api.upload(netlistWith('.op', '.ac dec 10 1 1k'));
}, 60_000);

afterAll(() => api?.close());

/** How many rows every table has that a request could write. */
async function traces() {
  const tables = ['quotes', 'jobs', 'job_events', 'idempotency_keys', 'operations', 'inputs', 'input_uploads'];
  const counts = tables.map((table) => rows<{ n: bigint }>(api.db, `select count(*) as n from ${table}`));
  return (await Promise.all(counts)).map(([row]) => row?.n);
}

const preview = (json: Record<string, unknown>) => api.ask('POST', '/v1/quotes/preview', { json, key: null });

describe('a preview', () => {
  it('prices sizes and qualities side by side, with what would pay each', async () => {
    const { status, body } = await preview({
      service: 'rendering',
      input: picture,
      contractId: DEMO.contract,
      parameters: { width: 1000, height: 1000 },
      variants: [
        { name: 'draft' },
        { name: 'final', parameters: { quality: 'final' } },
        { name: 'poster', parameters: { quality: 'final', width: 4000, height: 3000 } },
        { name: 'film', parameters: { quality: 'final', frames: 240, width: 4000, height: 3000 } },
      ],
    });
    expect(status).toBe(200);
    const expected = body.variants.map((one: { name: string; expected: string }) => [one.name, one.expected]);
    // 1 Mpx at 0.25 rounds down to nothing; 1, 12 and 2880 Mpx at 1.
    expect(expected).toEqual([
      ['draft', '0'],
      ['final', '1'],
      ['poster', '12'],
      ['film', '2880'],
    ]);
    const [draft, final, , film] = body.variants;
    expect(draft.payers).toMatchObject({ draws: [], shortfall: '0' });
    expect(final.payers.draws).toEqual([expect.objectContaining({ amount: '1' })]);
    expect(Number(film.payers.shortfall)).toBeGreaterThan(0);
    expect(final).toMatchObject({ maxCredits: '1', reason: expect.stringContaining('1000 x 1000') });
  });

  it('says of a variant that cannot be run what is wrong with it, beside the prices of the others', async () => {
    const { status, body } = await preview({
      service: 'rendering',
      input: picture,
      parameters: { width: 100, height: 100 },
      variants: [
        { parameters: { width: 1 } },
        { input: filter },
        { parameters: { camera: 7 } },
        { parameters: { quality: 'high' } },
      ],
    });
    expect(status).toBe(200);
    expect(body.variants).toMatchObject([
      { name: '1', problem: { code: 'invalid_request', detail: expect.stringContaining('parameters.width') } },
      { name: '2', problem: { code: 'input_invalid', reason: 'input_not_gltf' } },
      { name: '3', problem: { code: 'input_invalid', reason: 'camera_not_in_scene' } },
      { name: '4', expected: '0' },
    ]);
  });

  it('leaves no trace', async () => {
    const before = await traces();
    const json = { service: 'simulation', input: filter, contractId: DEMO.contract };
    expect(await preview(json)).toMatchObject({ status: 200, body: { variants: [{ expected: '10' }] } });
    expect(await traces()).toEqual(before);
  });

  it('is refused as a whole for another’s contract and an unknown service, and bounded in its variants', async () => {
    const json = { service: 'simulation', input: filter };
    const strangers = '01900000-0000-7000-8000-000000000000';
    expect(await preview({ ...json, contractId: strangers })).toMatchObject({ status: 404 });
    expect(await preview({ ...json, service: 'dreams' })).toMatchObject({ status: 404 });
    const variants = Array.from({ length: 51 }, () => ({}));
    expect(await preview({ ...json, variants })).toMatchObject({ status: 400 });
  });
});

describe('a job', () => {
  const at = () => instantOfMilliseconds(Date.now());
  const submit = (more: Record<string, unknown> = {}) =>
    api.ask('POST', '/v1/jobs', {
      json: { service: 'simulation', input: filter, contractId: DEMO.contract, maxCredits: '10', ...more },
    });

  beforeAll(() => api.startJobsWorker());

  it('waits for a compute worker where its engine needs no program', async () => {
    expect((await submit()).body.route).toEqual({ runner: 'embedded', engine: 'spice' });
  });

  it('runs where its engine is offered, also when it was quoted before', async () => {
    const quoted = await api.ask('POST', '/v1/quotes', {
      json: { service: 'simulation', input: filter, contractId: DEMO.contract },
    });
    await offerEngines(api.db, { worker: 'one', offers: [{ runner: 'sandbox', engine: 'spice' }], at: at() });
    const job = await api.ask('POST', '/v1/jobs', { json: { quoteId: quoted.body.id } });
    expect(job.body.route).toEqual({ runner: 'sandbox', engine: 'spice' });
    await withdrawOffers(api.db, 'one');
  });

  it('is refused, and nothing is reserved, when it asks for a runner that nobody offers', async () => {
    const before = await traces();
    const refused = await submit({ runner: 'slurm' });
    expect(refused).toMatchObject({ status: 422, body: { code: 'engine_not_offered' } });
    expect((await traces())[1]).toBe(before[1]);
  });

  it('does not count on an offer that is old', async () => {
    const old = instantOfMilliseconds(Date.now() - 3_600_000);
    await offerEngines(api.db, { worker: 'two', offers: [{ runner: 'sandbox', engine: 'spice' }], at: old });
    expect((await submit({ runner: 'sandbox' })).body).toMatchObject({ code: 'engine_not_offered' });
  });

  it('is not sent where a worker no longer offers its engine', async () => {
    const offers = ['spice', 'render'].map((engine) => ({ runner: 'sandbox' as const, engine }));
    await offerEngines(api.db, { worker: 'three', offers, at: at() });
    await offerEngines(api.db, { worker: 'three', offers: offers.slice(1), at: at() });
    expect((await submit()).body.route).toEqual({ runner: 'embedded', engine: 'spice' });
  });
});
