import { randomUUID } from 'node:crypto';
import { rows } from '../db/client';
import { changeRateCardDraft, deleteRateCardDraft, publishRateCardDraft } from '../db/rateCardDrafts';
import { DEMO } from '../db/seed';
import { addMilliseconds, instantOfMilliseconds } from '../domain/instant';
import type { RateCard, ServiceRates } from '../domain/rateCard';
import { NETLIST } from '../test/api/inputs';
import { type Ask, type Heard, startApi, type TestApi } from '../test/api/server';
import { settledJob } from '../test/api/settled';
import { eventually } from '../test/world/eventually';

jest.setTimeout(120_000);

const CARDS = '/v1/rate-cards';
const DRAFTS = '/v1/rate-card-drafts';
const MISSING = '00000000-0000-7000-8000-0000000000ff';
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** The last version of the seed, which is in force. */
const SEEDED = 7;

let api: TestApi;
/** The services in force when the tests began. */
let services: ServiceRates[];

beforeAll(async () => {
  api = await startApi();
  services = (await api.ask('GET', `${CARDS}/${SEEDED}`)).body.services;
});
afterAll(() => api?.close());
beforeEach(() => {
  api.clock.aheadMs = 0;
});

const now = () => instantOfMilliseconds(Date.now());
const inDays = (days: number) => addMilliseconds(now(), days * DAY_MS);

/** The services with another price of a simulation. */
function simulationAt(price: string): ServiceRates[] {
  return services.map((one) =>
    one.service === 'simulation'
      ? { ...one, rates: [{ meter: 'simulations', unit: 'simulation', model: { kind: 'per-unit', price } }] }
      : one,
  );
}

const as = 'provider' as const;
const drafting = (json: object = {}, ask: Ask = {}) =>
  api.ask('POST', DRAFTS, { as, json: { title: 'a test', services: simulationAt('7'), ...json }, ...ask });
const makeDraft = async (json: object = {}): Promise<Heard['body']> => (await drafting(json)).body;
const publish = ({ id, revision }: { id: string; revision: number }, ask: Ask = {}) =>
  api.ask('POST', `${DRAFTS}/${id}/publish`, { as, headers: { 'If-Match': `"${revision}"` }, ...ask });
const change = ({ id, revision }: { id: string; revision: number }, json: object, ask: Ask = {}) =>
  api.ask('PUT', `${DRAFTS}/${id}`, {
    as,
    json: { title: 'changed', services: simulationAt('8'), ...json },
    headers: { 'If-Match': `"${revision}"` },
    ...ask,
  });
const versions = async () => (await rows<{ version: number }>(api.db, 'select version from rate_cards')).length;
const statuses = async () =>
  Object.fromEntries(
    (await api.ask('GET', CARDS)).body.items.map((one: { version: number; status: string }) => [
      one.version,
      one.status,
    ]),
  );
const invalid = (...sentences: RegExp[]) => ({
  status: 422,
  body: { code: 'rate_card_invalid', objections: sentences.map((one) => expect.stringMatching(one)) },
});

describe('published cards', () => {
  it('say where they stand: of two for the same instant the later version has the place', async () => {
    expect(await statuses()).toEqual({
      1: 'superseded',
      2: 'superseded',
      3: 'superseded',
      4: 'superseded',
      5: 'superseded',
      6: 'superseded',
      7: 'in-force',
    });
    const at = new URLSearchParams({ at: '2018-03-23T00:00:00Z' });
    expect((await api.ask('GET', `${CARDS}?${at}`)).body.items).toMatchObject([{ version: 5, publishedBy: null }]);
    expect((await api.ask('GET', `${CARDS}/5`, { as: 'finance' })).body.publishedBy).toBe('seed');
    expect(await api.ask('GET', `${CARDS}/99`)).toMatchObject({ status: 404, body: { code: 'not_found' } });
  });

  it('are compared for anybody, in words and in figures', async () => {
    const { body } = await api.ask('GET', `${CARDS}/2/diff/3`);
    expect(body).toMatchObject({
      from: { version: 2, draftId: null },
      to: { version: 3 },
      services: [
        {
          service: 'rendering',
          change: 'changed',
          rates: [
            { meter: 'images', change: 'changed', before: { model: { price: '1' } }, after: { model: { price: '5' } } },
          ],
          rounding: null,
          reserves: null,
          policy: [],
          sentences: ['rendering images: 1 per image → 5 per image.'],
        },
      ],
    });
    expect((await api.ask('GET', `${CARDS}/5/diff/5`)).body.services).toEqual([]);
    const { body: sold } = await api.ask('GET', `${CARDS}/4/diff/5`);
    expect(sold.services).toHaveLength(7);
    expect(sold.services[0].sentences[0]).toMatch(/is sold from now on/);
    const { body: gone } = await api.ask('GET', `${CARDS}/6/diff/5`);
    expect(gone.services).toMatchObject([{ service: 'model-translation', change: 'removed' }]);
    expect((await api.ask('GET', `${CARDS}/5/diff/99`)).status).toBe(404);
    expect((await api.ask('GET', `${CARDS}/5/diff/new`)).body.code).toBe('invalid_request');
  });

  it('rate usage for anybody, line by line, and change nothing', async () => {
    const asked = {
      service: 'road-profile',
      usage: [
        { meter: 'kilometres', quantity: '5.1' },
        { meter: 'rows', quantity: '9' },
      ],
    };
    const { body } = await api.ask('POST', `${CARDS}/5/rate`, { key: null, json: asked });
    expect(body).toEqual({
      card: expect.objectContaining({ version: 5 }),
      service: 'road-profile',
      lines: [
        { meter: 'kilometres', unit: 'km', quantity: '5.1', price: '100', block: '5', blocks: '2', amount: '200' },
      ],
      exact: '200',
      rounding: 'microcredit-up',
      total: '200',
      payment: { pays: 'actual' },
      charged: '200',
      unrated: ['rows'],
    });
    const failed = await api.ask('POST', `${CARDS}/5/rate`, { json: { ...asked, end: 'input-failed' } });
    expect(failed.body).toMatchObject({ total: '200', payment: { pays: 'nothing' }, charged: '0' });
  });

  it('refuse to rate what they have no price for, with a sentence', async () => {
    const rate = (json: object, version: number | string = 5) => api.ask('POST', `${CARDS}/${version}/rate`, { json });
    const cfd = { service: 'cfd', usage: [{ meter: 'simulations', quantity: '1' }] };
    expect(await rate(cfd)).toMatchObject({
      status: 422,
      body: { code: 'usage_not_ratable', detail: 'cfd: the rate of simulations has no price for complexity (none).' },
    });
    expect((await rate({ ...cfd, dimensions: { complexity: 'toString' } })).body.code).toBe('usage_not_ratable');
    const image = { service: 'rendering', usage: [] };
    const size = (imageMegapixels: string) => rate({ ...image, dimensions: { quality: 'standard', imageMegapixels } });
    expect((await size('big')).body).toMatchObject({
      code: 'usage_not_ratable',
      detail: expect.stringMatching(/"big" is no decimal/),
    });
    expect((await size('0.5')).status).toBe(200);
    const most = { meter: 'simulations', quantity: '9000000000000' };
    expect((await rate({ service: 'simulation', usage: [most] })).body.code).toBe('usage_not_ratable');
    expect((await rate({ service: 'alchemy', usage: [] })).body.code).toBe('service_not_sold');
    expect((await rate({ service: 'simulation', usage: [] }, 99)).status).toBe(404);
    for (const quantity of ['-1', '1e3', '0.0000001', 1]) {
      const usage = [{ meter: 'simulations', quantity }];
      expect((await rate({ service: 'simulation', usage })).body.code).toBe('invalid_request');
    }
  });
});

describe('a draft', () => {
  it('is made once per key, read with its ETag, changed by who read it last, and deleted', async () => {
    const key = randomUUID();
    const first = await drafting({ effectiveAt: inDays(30) }, { key });
    const { id } = first.body;
    expect(first).toMatchObject({
      status: 201,
      body: { title: 'a test', revision: 1, createdBy: DEMO.people.provider.id, publishedVersion: null },
    });
    expect(first.headers.get('location')).toBe(`${DRAFTS}/${id}`);
    expect((await drafting({ effectiveAt: first.body.effectiveAt }, { key })).body).toEqual(first.body);
    const read = await api.ask('GET', `${DRAFTS}/${id}`, { as: 'finance' });
    expect([read.body, read.headers.get('etag')]).toEqual([first.body, '"1"']);
    const changing = randomUUID();
    const changed = await change(first.body, { effectiveAt: null }, { key: changing });
    // The answer was forgotten by a crash: what was done is found again.
    await api.owner('idempotency_keys').where({ key: changing }).update({ status: null, response: null });
    expect((await change(first.body, { effectiveAt: null }, { key: changing })).body).toEqual(changed.body);
    expect(changed).toMatchObject({ status: 200, body: { id, title: 'changed', revision: 2, effectiveAt: null } });
    expect(await change(first.body, {})).toMatchObject({ status: 412, body: { code: 'precondition_failed' } });
    expect(await change(changed.body, {}, { headers: {} })).toMatchObject({ status: 428 });
    expect((await api.ask('GET', DRAFTS, { as })).body.items).toContainEqual(changed.body);
    const remove = (revision: number, more: Ask = {}) =>
      api.ask('DELETE', `${DRAFTS}/${id}`, { as, headers: { 'If-Match': `"${revision}"` }, ...more });
    expect((await remove(1)).status).toBe(412);
    const removing = randomUUID();
    expect(await remove(2, { key: removing })).toMatchObject({ status: 200, body: { id } });
    expect(await remove(2, { key: removing })).toMatchObject({ status: 200, body: { id } });
    expect((await remove(2)).status).toBe(404);
    expect((await api.ask('GET', `${DRAFTS}/${id}`, { as })).status).toBe(404);
  });

  it('is changed by one of many who read the same', async () => {
    const draft = await makeDraft();
    const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => change(draft, { title: `by ${n}` })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(7).fill(412)]);
    expect((await api.ask('GET', `${DRAFTS}/${draft.id}`, { as })).body).toMatchObject({ revision: 2 });
  });

  it('that was changed between a look and a write is neither changed, nor deleted, nor published', async () => {
    const { id } = await makeDraft();
    const read = { id, revision: 1 };
    const by = { actor: 'test', at: now() };
    const card = { title: 'first', effectiveAt: null, services };
    await changeRateCardDraft(api.db, read, card, by);
    const stale = { code: 'precondition_failed' };
    await expect(changeRateCardDraft(api.db, read, { ...card, title: 'lost' }, by)).rejects.toMatchObject(stale);
    await expect(deleteRateCardDraft(api.db, read)).rejects.toMatchObject(stale);
    const publishing = { ...read, ...by, requestId: randomUUID(), objectionsTo: () => [] };
    await expect(publishRateCardDraft(api.db, publishing)).rejects.toMatchObject(stale);
    expect((await api.ask('GET', `${DRAFTS}/${id}`, { as })).body).toMatchObject({ title: 'first', revision: 2 });
  });

  it('is refused with everything that is wrong with it', async () => {
    const wrong = simulationAt('$5').map((one) => (one.service === 'cfd' ? { ...one, rounding: 'down' } : one));
    expect(await drafting({ title: '', services: wrong })).toMatchObject(
      invalid(/^title: /, /^services\.2\.rounding: .* unlike "down"/, /price: "\$5" is no decimal: .* currency/),
    );
    const { revision, id } = await makeDraft();
    expect(await change({ id, revision }, { services: [] })).toMatchObject(invalid(/^services: it is empty/));
    expect((await drafting({ services: 'all' })).body.code).toBe('invalid_request');
    expect((await drafting({ effectiveAt: 'soon' })).body.code).toBe('invalid_request');
  });

  it('prices the meters that an installed service has, all of them, in their units', async () => {
    const metered = (rates: unknown) =>
      drafting({ services: services.map((one) => (one.service === 'simulation' ? { ...one, rates } : one)) });
    const model = { kind: 'per-unit', price: '5' };
    expect(await metered([{ meter: 'simulation', unit: 'simulation', model }])).toMatchObject(
      invalid(/simulation has no meter simulation; it has simulations/, /meters simulations, which has no price/),
    );
    expect(await metered([{ meter: 'simulations', unit: 'run', model }])).toMatchObject(
      invalid(/meters simulations in simulation, not in run/),
    );
  });

  it('is for the provider alone to make and publish, and for finance to see and to reckon with', async () => {
    const draft = await makeDraft();
    const path = `${DRAFTS}/${draft.id}`;
    const rate = { service: 'simulation', usage: [{ meter: 'simulations', quantity: '2' }] };
    const period = { from: inDays(-1), to: now() };
    for (const who of ['submitter', 'contractAdmin'] as const) {
      expect((await drafting({}, { as: who })).status).toBe(403);
      expect((await publish(draft, { as: who })).status).toBe(403);
      expect((await api.ask('GET', path, { as: who })).status).toBe(403);
      expect((await api.ask('POST', `${path}/rate`, { as: who, json: rate })).status).toBe(403);
      expect((await api.ask('POST', `${path}/replay`, { as: who, json: period })).status).toBe(403);
      // To others there is no such thing.
      expect((await api.ask('GET', `${CARDS}/${SEEDED}/diff/${draft.id}`, { as: who })).status).toBe(404);
    }
    expect((await publish(draft, { as: 'finance' })).status).toBe(403);
    expect((await change(draft, {}, { as: 'finance' })).status).toBe(403);
    expect((await api.ask('POST', `${path}/rate`, { as: 'finance', json: rate })).body).toMatchObject({
      card: { version: null, draftId: draft.id },
      total: '14',
    });
    const { body } = await api.ask('GET', `${CARDS}/${SEEDED}/diff/${draft.id}`, { as: 'finance' });
    expect(body.services).toMatchObject([
      { service: 'simulation', sentences: ['simulation simulations: 5 per simulation → 7 per simulation.'] },
    ]);
    expect((await api.ask('POST', `${DRAFTS}/${MISSING}/replay`, { as, json: period })).status).toBe(404);
  });
});

describe('publishing', () => {
  it('makes the next version, once per key, says who did it, and never changes it', async () => {
    const before = await versions();
    const effectiveAt = inDays(40);
    const draft = await makeDraft({ effectiveAt });
    const key = randomUUID();
    const first = await publish(draft, { key });
    const version = before + 1;
    expect(first).toMatchObject({
      status: 201,
      body: { version, title: 'a test', effectiveAt, status: 'scheduled', publishedBy: DEMO.people.provider.id },
    });
    expect((await publish(draft, { key })).body).toEqual(first.body);
    expect(await publish(draft)).toMatchObject({ status: 409, body: { code: 'draft_published' } });
    expect(await change(draft, {})).toMatchObject({ status: 409, body: { code: 'draft_published' } });
    const deleted = await api.ask('DELETE', `${DRAFTS}/${draft.id}`, { as, headers: { 'If-Match': '*' } });
    expect(deleted).toMatchObject({ status: 409, body: { code: 'draft_published' } });
    expect((await api.ask('GET', `${DRAFTS}/${draft.id}`, { as })).body.publishedVersion).toBe(version);
    expect(await versions()).toBe(version);
    const touched = api.owner('rate_card_drafts').where({ id: draft.id });
    await expect(touched.clone().update({ title: 'x' })).rejects.toMatchObject({ code: 'HF001' });
    await expect(touched.clone().delete()).rejects.toMatchObject({ code: 'HF001' });
    await expect(api.owner('rate_cards').where({ version }).update({ published_by: 'x' })).rejects.toMatchObject({
      code: 'HF001',
    });
    // A later version for the same instant takes its place before it ever counts.
    const { body: corrected } = await publish(await makeDraft({ effectiveAt, services: simulationAt('8') }));
    expect(await statuses()).toMatchObject({
      [version]: 'superseded',
      [corrected.version]: 'scheduled',
      7: 'in-force',
    });
    api.clock.aheadMs = 41 * DAY_MS;
    expect(await statuses()).toMatchObject({ [corrected.version]: 'in-force', 7: 'superseded' });
    expect((await api.ask('GET', '/v1/services/simulation')).body.rates.rates[0].model.price).toBe('8');
  });

  it('that was lost on the way and is sent again publishes once', async () => {
    const draft = await makeDraft({ effectiveAt: inDays(400) });
    const key = randomUUID();
    const before = await versions();
    await api.owner.raw('revoke insert on rate_cards from holdfast_application');
    try {
      expect((await publish(draft, { key })).status).toBe(500);
    } finally {
      await api.owner.raw('grant insert on rate_cards to holdfast_application');
    }
    expect(await versions()).toBe(before);
    const { body } = await publish(draft, { key });
    // The answer was forgotten by a crash: what was done is found again.
    await api.owner('idempotency_keys').where({ key }).update({ status: null, response: null });
    expect(await publish(draft, { key })).toMatchObject({ status: 201, body: { version: body.version } });
    expect(await versions()).toBe(before + 1);
  });

  it('is never for the past', async () => {
    const draft = await makeDraft({ effectiveAt: addMilliseconds(now(), HOUR_MS) });
    api.clock.aheadMs = 2 * HOUR_MS;
    const before = await versions();
    expect(await publish(draft)).toMatchObject(
      invalid(/^effectiveAt: .* is over; rates are published for now or the future/),
    );
    expect(await versions()).toBe(before);
  });

  it('of what somebody changed meanwhile is refused', async () => {
    const draft = await makeDraft({ effectiveAt: inDays(400) });
    await change(draft, { effectiveAt: inDays(400) });
    expect(await publish(draft)).toMatchObject({ status: 412, body: { code: 'precondition_failed' } });
    expect((await publish(draft, { headers: {} })).status).toBe(428);
  });

  it('by many at once loses no card: each draft becomes one version, one draft only once', async () => {
    const before: RateCard[] = (await api.ask('GET', CARDS)).body.items;
    const effectiveAt = inDays(500);
    const drafts = await Promise.all(
      Array.from({ length: 6 }, (_, n) => makeDraft({ effectiveAt, title: `card ${n}` })),
    );
    const answers = await Promise.all([...drafts, ...drafts].map((draft) => publish(draft)));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(6).fill(201), ...Array(6).fill(409)]);
    const after: RateCard[] = (await api.ask('GET', CARDS)).body.items;
    expect(after.slice(0, before.length).map(({ version }) => version)).toEqual(before.map(({ version }) => version));
    const added = after.slice(before.length);
    expect(added.map(({ title }) => title).sort()).toEqual(drafts.map(({ title }) => title).sort());
    expect(added.map(({ version }) => version)).toEqual(added.map((_, n) => before.length + 1 + n));
  });
});

describe('a replay', () => {
  it('says what recorded jobs would have cost, by service, and which cannot be rated', async () => {
    const from = now();
    await settledJob(api, { simulations: 2 });
    // 15 credits of usage, 5 of which the provider bore.
    const capped = await settledJob(api, { simulations: 3, cap: '10' });
    const to = addMilliseconds(now(), 1);
    const replay = async (draft: { id: string }, period: object = { from, to }) =>
      (await api.ask('POST', `${DRAFTS}/${draft.id}/replay`, { as: 'finance', key: null, json: period })).body;
    const draft = await makeDraft();
    const before = await rows(api.db, 'select id from charges');
    expect(await replay(draft)).toEqual({
      card: expect.objectContaining({ draftId: draft.id }),
      from,
      to,
      services: [{ service: 'simulation', jobs: 2, charged: '20', absorbed: '5', underDraft: '35', difference: '10' }],
      unratedJobs: 0,
      unrated: [],
    });
    // By the rates of then there is no difference.
    const same = await makeDraft({ services });
    expect((await replay(same)).services).toMatchObject([{ underDraft: '25', difference: '0' }]);
    const cheaper = await makeDraft({ services: simulationAt('1') });
    expect((await replay(cheaper)).services).toMatchObject([{ underDraft: '5', difference: '-20' }]);
    const without = await makeDraft({ services: services.filter(({ service }) => service !== 'simulation') });
    expect(await replay(without)).toMatchObject({ services: [], unratedJobs: 2 });
    expect((await replay(without)).unrated).toContainEqual({
      jobId: capped.jobId,
      chargeId: capped.chargeId,
      service: 'simulation',
      charged: '10',
      reason: 'the card does not sell simulation',
    });
    const byFormat = simulationAt('1').map((one) =>
      one.service === 'simulation'
        ? {
            ...one,
            rates: [
              {
                ...one.rates[0],
                model: { kind: 'by-class', dimension: 'format', classes: { ascii: { price: '1' } } },
              },
            ],
          }
        : one,
    );
    expect((await replay(await makeDraft({ services: byFormat }))).unrated[0].reason).toBe(
      'the rate of simulations has no price for format (none)',
    );
    expect(await replay(draft, { from: to, to: addMilliseconds(to, 1) })).toMatchObject({ services: [], unrated: [] });
    expect((await replay(draft, { from: to, to: from })).code).toBe('invalid_request');
    expect((await replay(draft, { from: inDays(-500), to: now() })).code).toBe('invalid_request');
    expect(await rows(api.db, 'select id from charges')).toEqual(before);
  });
});

describe('a job', () => {
  it('settles by the version that it was quoted with, whatever is published before it runs', async () => {
    await Promise.all([api.startJobsWorker(), api.startComputeWorker()]);
    const input = await api.upload(NETLIST);
    const json = { service: 'simulation', input, contractId: DEMO.contract };
    const quote = async () => (await api.ask('POST', '/v1/quotes', { json })).body;
    const old = await quote();
    expect(old).toMatchObject({ rateCardVersion: SEEDED, expected: '5' });
    const { body: card } = await publish(await makeDraft({ services: simulationAt('9') }));
    expect(card.status).toBe('in-force');
    expect(await quote()).toMatchObject({ rateCardVersion: card.version, expected: '9', maxCredits: '9' });
    const submitted = await api.ask('POST', '/v1/jobs', { json: { quoteId: old.id } });
    const unquoted = await api.ask('POST', '/v1/jobs', { json: { ...json, maxCredits: '20' } });
    const chargeOf = (job: Heard) =>
      eventually('the charge', async () => {
        const { status, body } = await api.ask('GET', `/v1/jobs/${job.body.id}/charge`);
        return status === 200 && body;
      });
    expect(await chargeOf(submitted)).toMatchObject({
      rateCardVersion: SEEDED,
      lines: [{ price: '5' }],
      rated: '5',
      charged: '5',
      absorbed: '0',
    });
    expect(await chargeOf(unquoted)).toMatchObject({ rateCardVersion: card.version, charged: '9' });
  });

  it('that the rates in force cannot price is refused with the reason', async () => {
    const model = { kind: 'by-class', dimension: 'sort', classes: { any: { price: '1' } } };
    const misnamed = services.map((one) =>
      one.service === 'simulation' ? { ...one, rates: [{ ...one.rates[0], model }] } : one,
    );
    const draft = await makeDraft({ effectiveAt: inDays(600), services: misnamed });
    await publish(draft);
    const input = await api.upload(NETLIST);
    api.clock.aheadMs = 601 * DAY_MS;
    const json = { service: 'simulation', input };
    expect(await api.ask('POST', '/v1/quotes', { json })).toMatchObject({
      status: 422,
      body: { code: 'service_not_sold', detail: expect.stringContaining('has no price for sort (none)') },
    });
  });
});
