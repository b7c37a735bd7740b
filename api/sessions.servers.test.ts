/** Configuration sessions over REST, with their real workflow and clock. */
import { rows } from '../db/client';
import { DEMO } from '../db/seed';
import { type Instant, instantOfMilliseconds, millisecondsOf } from '../domain/instant';
import { sessionWorkflowId } from '../domain/session';
import { type Heard, startApi, type TestApi } from '../test/api/server';
import { eventually } from '../test/world/eventually';
import { fastForward } from '../test/world/fastForward';

const MINUTE_MS = 60_000;
const DOOR = JSON.stringify({
  title: 'Door',
  options: [
    { name: 'colour', choices: ['red', 'grey'] },
    { name: 'handle', choices: ['left', 'right'] },
  ],
});
const WINDOW = JSON.stringify({ title: 'Window', options: [{ name: 'panes', choices: ['2', '3'] }] });

let api: TestApi;
let door: string;
let window: string;

beforeAll(async () => {
  api = await startApi();
  const design = { mediaType: 'application/json' };
  door = await api.upload(DOOR, { ...design, name: 'door.design.json' });
  window = await api.upload(WINDOW, { ...design, name: 'window.design.json' });
  await api.upload(DOOR, { ...design, as: 'contractAdmin' });
  await api.startJobsWorker();
}, 60_000);

afterAll(() => api?.close());

const open = (design: string, more: Record<string, unknown> = {}, ask: Record<string, unknown> = {}) =>
  api.ask('POST', '/v1/sessions', {
    json: { design, contractId: DEMO.contract, maxCredits: '1', ...more },
    ...ask,
  });
const post = (id: string, what: string, json?: unknown) =>
  api.ask('POST', `/v1/sessions/${id}/${what}`, { key: null, ...(json !== undefined && { json }) });
const jobOf = async (id: string): Promise<Heard['body']> => (await api.ask('GET', `/v1/jobs/${id}`)).body;

/** The job of a session once it has ended. */
async function ended(id: string): Promise<Heard['body']> {
  await eventually(`session ${id} settled`, async () => ['settled', 'released'].includes((await jobOf(id)).state));
  return jobOf(id);
}

const eventsOf = (id: string, kind: string) =>
  rows<{ at: Instant }>(api.db, 'select at from job_events where job_id = ? and kind = ?', [id, kind]);

/** Waits until a session's workflow keeps it. */
const begun = (id: string) => eventually(`session ${id} begun`, async () => (await jobOf(id)).state === 'running');

const later = (instant: Instant, ms: number) => instantOfMilliseconds(millisecondsOf(instant) + ms);

it('costs one credit, however often its page is loaded anew, and keeps what was configured', async () => {
  const opened = await open(door);
  expect(opened).toMatchObject({ status: 201, body: { state: 'open', isAdministrator: false } });
  const { id } = opened.body;
  expect(await post(id, 'activity', { choices: { colour: 'red' } })).toMatchObject({ status: 200 });
  expect(await post(id, 'leave')).toMatchObject({ body: { state: 'open' } });
  // The page is loaded anew: the same session, with what was chosen.
  expect(await open(door)).toMatchObject({ status: 200, body: { id, choices: { colour: 'red' } } });
  expect(await post(id, 'activity', { choices: { handle: 'left' } })).toMatchObject({ status: 200 });
  expect(await post(id, 'close')).toMatchObject({ body: { state: 'ended', endedFor: 'closed' } });
  expect(await ended(id)).toMatchObject({ state: 'settled', charged: '1', progress: '1' });
  const configuration = await api.ask('GET', `/v1/jobs/${id}/results/configuration.json`);
  expect(configuration.body).toMatchObject({ design: door, choices: { colour: 'red', handle: 'left' } });
  expect(await post(id, 'activity', {})).toMatchObject({ status: 409, body: { code: 'session_ended' } });
});

it('ends with another design, and two requests at once open one session', async () => {
  const [one, two] = await Promise.all([open(door), open(door)]);
  expect(new Set([one.body.id, two.body.id]).size).toBe(1);
  const other = await open(window);
  expect(other.status).toBe(201);
  expect(await ended(one.body.id)).toMatchObject({ charged: '1', message: 'The session ended with another design.' });
  await post(other.body.id, 'close');
  await ended(other.body.id);
});

it('warns after ten idle minutes and ends after thirty', async () => {
  const { id, openedAt } = (await open(door)).body;
  await begun(id);
  await fastForward(api.client, sessionWorkflowId(id), 31 * 60);
  expect(await ended(id)).toMatchObject({
    charged: '1',
    message: 'The session ended after thirty minutes without activity.',
  });
  const shown = (await api.ask('GET', `/v1/sessions/${id}`)).body;
  expect(shown).toMatchObject({ state: 'ended', endedFor: 'idle', endsAt: later(openedAt, 30 * MINUTE_MS) });
  const warned = (await eventsOf(id, 'session-idle')).map(({ at }) => millisecondsOf(at) - millisecondsOf(openedAt));
  expect(warned).toHaveLength(1);
  expect(warned[0]).toBeGreaterThanOrEqual(10 * MINUTE_MS);
  expect(warned[0]).toBeLessThan(11 * MINUTE_MS);
});

it('lives on for thirty minutes from every activity', async () => {
  const { id } = (await open(door)).body;
  await begun(id);
  api.clock.aheadMs = 29 * MINUTE_MS;
  try {
    const active = await post(id, 'activity', {});
    expect(active).toMatchObject({ status: 200, body: { state: 'open' } });
    await fastForward(api.client, sessionWorkflowId(id), 35 * 60);
    api.clock.aheadMs = 35 * MINUTE_MS;
    expect((await api.ask('GET', `/v1/sessions/${id}`)).body).toMatchObject({ state: 'open' });
    // Nobody needs to look for it to be over.
    api.clock.aheadMs = 60 * MINUTE_MS;
    expect(await post(id, 'activity', {})).toMatchObject({ status: 409, body: { endedFor: 'idle' } });
  } finally {
    api.clock.aheadMs = 0;
  }
  await api.ask('POST', `/v1/jobs/${id}/cancel`);
  await ended(id);
});

it('is free for an administrator of the contract, and metered all the same', async () => {
  const { id, ...opened } = (await open(door, { maxCredits: '0' }, { as: 'contractAdmin' })).body;
  expect(opened).toMatchObject({ isAdministrator: true });
  const ask = (path: string) => api.ask('GET', path, { as: 'contractAdmin' });
  await api.ask('POST', `/v1/sessions/${id}/close`, { as: 'contractAdmin', key: null });
  await ended(id);
  expect((await ask(`/v1/jobs/${id}`)).body).toMatchObject({ state: 'settled', charged: '0' });
  expect((await ask(`/v1/jobs/${id}/usage`)).body.usage).toMatchObject([
    { meter: 'administratorSessions', quantity: '1', rated: false },
  ]);
});

it('that is cancelled has been used', async () => {
  const { id } = (await open(door)).body;
  await begun(id);
  await api.ask('POST', `/v1/jobs/${id}/cancel`);
  expect(await ended(id)).toMatchObject({ state: 'settled', reason: 'cancelled', charged: '1' });
  expect((await api.ask('GET', `/v1/sessions/${id}`)).body).toMatchObject({ state: 'ended', endedFor: 'cancelled' });
});

describe('nothing is opened', () => {
  it('for less than it costs without credits, and the next request is not kept from opening one', async () => {
    const poor = await open(door, { contractId: null, maxCredits: '1' });
    expect([201, 402]).toContain(poor.status);
    if (poor.status === 201) await post(poor.body.id, 'close');
  });

  it('as a job, where a user could say that an administrator looks', async () => {
    const json = { service: 'configuration-session', input: door, contractId: DEMO.contract, maxCredits: '0' };
    const refused = await api.ask('POST', '/v1/jobs', { json: { ...json, parameters: { viewer: 'administrator' } } });
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  });

  it('on a design that is none, and nobody else’s session is seen', async () => {
    const netlist = await api.upload('* no design');
    expect(await open(netlist)).toMatchObject({ status: 422, body: { reason: 'input_not_design' } });
    const { id } = (await open(window)).body;
    expect(await api.ask('GET', `/v1/sessions/${id}`, { as: 'contractAdmin' })).toMatchObject({ status: 404 });
    const refused = await post(id, 'activity', { choices: { colour: 'red' } });
    expect(refused).toMatchObject({ status: 400, body: { detail: expect.stringContaining('no option "colour"') } });
    await post(id, 'close');
    await ended(id);
  });
});
