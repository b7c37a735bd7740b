import { v7 as uuidv7 } from 'uuid';
import { createNoticeDelivery, type NoticeDelivery } from '../activities/notices';
import { createUnsubscribeToken } from '../db/noticePreferences';
import { createNotice } from '../db/notices';
import { DEMO } from '../db/seed';
import { type Instant, instantOfMilliseconds } from '../domain/instant';
import { DIGEST_ENTRY_KINDS } from '../domain/notices';
import { createMailChannel, type MailChannel } from '../notices/mail';
import { administratorChannel, inServiceChannel } from '../notices/shown';
import { startMailServer, type TestMailServer } from '../notices/testing/mailServer';
import { startApi, type TestApi, type Who } from '../test/api/server';

jest.setTimeout(60_000);

const SANA = DEMO.people.submitter;
const FACTS = { lots: [{ lotId: uuidv7(), reference: null, amount: '3' }], total: '3', reserved: '0', reason: '' };
const MISSING = '00000000-0000-7000-8000-0000000000ff';

let api: TestApi;
let server: TestMailServer;
let mail: MailChannel;

beforeAll(async () => {
  api = await startApi();
  server = await startMailServer();
  mail = createMailChannel({ url: server.url, from: 'notices@provider.example' });
});
afterAll(async () => {
  mail?.close();
  await server?.close();
  await api?.close();
});

const now = (): Instant => instantOfMilliseconds(Date.now());

async function told(channel: 'mail' | 'administrator' | 'in-service', subjectId = uuidv7()): Promise<string> {
  const channels = { mail, administrator: administratorChannel, 'in-service': inServiceChannel };
  const delivery: NoticeDelivery = createNoticeDelivery({ db: api.db, channels: [channels[channel]] });
  const id = uuidv7();
  const at = now();
  await createNotice(api.db, { id, userId: SANA.id, kind: 'withdrawal', subjectId, facts: FACTS, required: true, at });
  expect(await delivery.deliver(id, at)).toMatchObject({ outcome: 'delivered', channel });
  return id;
}

const listOf = async (as: Who, query = '') => (await api.ask('GET', `/v1/notices${query}`, { as })).body;
const idsOf = async (as: Who, query = '') => (await listOf(as, query)).items.map(({ id }: { id: string }) => id);

describe('notices', () => {
  it('are shown until they are read: unread first, then newest first, page by page', async () => {
    const ids: string[] = [];
    for (const channel of ['in-service', 'in-service', 'mail', 'in-service'] as const) ids.push(await told(channel));
    const [first, second, mailed, last] = ids;
    expect(await idsOf('submitter')).toEqual([last, second, first, mailed]);
    expect(await idsOf('submitter', '?unread=true')).toEqual([last, second, first]);
    const read = await api.ask('POST', `/v1/notices/${second}/read`);
    expect(read).toMatchObject({ status: 200, body: { id: second, unread: false, about: { name: SANA.name } } });
    const again = await api.ask('POST', `/v1/notices/${second}/read`);
    expect(again.body.readAt).toBe(read.body.readAt);
    expect(await idsOf('submitter')).toEqual([last, first, mailed, second].sort((a, b) => order(a) - order(b)));
    const pages: string[] = [];
    let cursor = '';
    do {
      const page = await listOf('submitter', `?limit=1${cursor && `&cursor=${cursor}`}`);
      pages.push(...page.items.map(({ id }: { id: string }) => id));
      cursor = page.nextCursor ?? '';
    } while (cursor);
    expect(pages).toEqual(await idsOf('submitter'));

    function order(id: string | undefined): number {
      return [last, first, mailed, second].indexOf(id);
    }
  });

  it('of a person whose contract somebody administers are shown to them, and to nobody else', async () => {
    const id = await told('administrator');
    expect((await listOf('contractAdmin')).items[0]).toMatchObject({
      id,
      channel: 'administrator',
      about: { userId: SANA.id, name: SANA.name },
      text: expect.stringContaining('You administer a contract of Sana Rahimi'),
      unread: true,
    });
    for (const as of ['submitter', 'operator', 'provider'] as const) expect(await idsOf(as)).not.toContain(id);
    const unseen = await api.ask('POST', `/v1/notices/${id}/read`, { as: 'submitter' });
    expect(unseen).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect((await api.ask('POST', `/v1/notices/${id}/read`, { as: 'contractAdmin' })).status).toBe(200);
  });

  it('have a proof that operators, finance and the provider read', async () => {
    const id = await told('mail');
    for (const as of ['operator', 'finance', 'provider'] as const) {
      expect(await api.ask('GET', `/v1/notices/${id}/deliveries`, { as })).toMatchObject({
        status: 200,
        body: {
          notice: { id, userId: SANA.id, required: true },
          state: 'delivered',
          attempts: [
            { channel: 'mail', recipients: [SANA.email], result: 'delivered', answer: expect.stringMatching(/^250/) },
          ],
          readers: [{ userId: SANA.id, channel: 'mail' }],
        },
      });
    }
    for (const as of ['submitter', 'contractAdmin'] as const) {
      expect((await api.ask('GET', `/v1/notices/${id}/deliveries`, { as })).status).toBe(403);
    }
    expect((await api.ask('GET', `/v1/notices/${MISSING}/deliveries`, { as: 'operator' })).status).toBe(404);
  });

  it('that come back are told of with their message id, by operators and the provider', async () => {
    const subjectId = uuidv7();
    const id = await told('mail', subjectId);
    const json = { messageId: `notice.${id}@provider.example`, reason: '550 5.1.1 no such user' };
    expect(await api.ask('POST', '/v1/notices/bounces', { as: 'operator', json })).toMatchObject({
      status: 200,
      body: { noticeId: id, userId: SANA.id, kind: 'withdrawal', subjectId },
    });
    expect((await api.ask('GET', `/v1/notices/${id}/deliveries`, { as: 'operator' })).body).toMatchObject({
      state: 'waiting',
      bounce: { reason: json.reason },
      attempts: [{ bounced: true }],
    });
    expect(await idsOf('submitter')).not.toContain(id);
    const unknown = { ...json, messageId: '<other@provider.example>' };
    expect((await api.ask('POST', '/v1/notices/bounces', { as: 'provider', json: unknown })).status).toBe(404);
    expect((await api.ask('POST', '/v1/notices/bounces', { as: 'submitter', json })).status).toBe(403);
  });
});

describe('preferences', () => {
  const PATH = '/v1/me/notice-preferences';
  const put = (json: object) => api.ask('PUT', PATH, { json });
  const valid = { language: 'de', timeZone: 'Europe/Berlin', digests: true, entries: {}, thresholds: [] };

  it('are defaults until they are set, and then what was set', async () => {
    const everything = Object.fromEntries(DIGEST_ENTRY_KINDS.map((kind) => [kind, true]));
    expect((await api.ask('GET', PATH)).body).toEqual({
      ...valid,
      language: 'en',
      timeZone: 'UTC',
      entries: everything,
    });
    const thresholds = [
      { contractId: DEMO.contract, threshold: '12.5' },
      { contractId: null, threshold: null },
    ];
    const set = { ...valid, entries: { 'lot-expiring': false }, thresholds };
    expect(await put(set)).toMatchObject({ status: 200 });
    const { body } = await api.ask('GET', PATH);
    expect(body).toMatchObject({ language: 'de', timeZone: 'Europe/Berlin', digests: true });
    expect(body.entries).toEqual({ ...everything, 'lot-expiring': false });
    expect(body.thresholds).toHaveLength(2);
    expect(body.thresholds).toEqual(expect.arrayContaining(thresholds));
    expect((await put(valid)).body).toEqual({ ...valid, entries: everything });
  });

  it.each([
    [{ timeZone: 'Berlin' }, /time zone/],
    [{ timeZone: '+01:00' }, /time zone/],
    [{ language: 'fr' }, /language/],
    [{ entries: { withdrawal: false } }, /entries/],
    [{ thresholds: [{ contractId: null, threshold: '-1' }] }, /threshold/],
    [{ thresholds: [1, 2].map(() => ({ contractId: null, threshold: '1' })) }, /one threshold/],
  ])('that cannot be are refused: %j', async (wrong, said) => {
    const { status, body } = await put({ ...valid, ...wrong });
    expect({ status, detail: body.detail }).toEqual({ status: 400, detail: expect.stringMatching(said) });
  });

  it('about a contract that somebody is not on are refused as if it were not there', async () => {
    expect((await put({ ...valid, thresholds: [{ contractId: MISSING, threshold: '1' }] })).status).toBe(404);
  });
});

describe('the link that ends digests', () => {
  const visit = (method: string, token: string) =>
    fetch(`${api.url}/v1/unsubscribe/${token}`, {
      method,
      ...(method === 'POST' && {
        body: 'List-Unsubscribe=One-Click',
        headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      }),
    });
  const digests = async () => (await api.ask('GET', '/v1/me/notice-preferences')).body.digests;

  it('asks first, ends them with one click, and answers the same to whoever has no token', async () => {
    const token = await createUnsubscribeToken(api.db, SANA.id);
    const pages = new Map<string, string>();
    for (const [who, one] of [
      ['them', token],
      ['nobody', 'x'.repeat(32)],
    ] as const) {
      for (const method of ['GET', 'POST', 'POST']) {
        if (method === 'POST' && who === 'them' && !pages.has('POST')) expect(await digests()).toBe(true);
        const answer = await visit(method, one);
        expect(answer.status).toBe(200);
        expect(answer.headers.get('content-security-policy')).toMatch(/default-src 'none'/);
        const page = await answer.text();
        expect(page).toBe(pages.get(method) ?? page);
        expect(page).not.toMatch(/Sana|<script|src=/);
        pages.set(method, page);
      }
    }
    expect(await digests()).toBe(false);
    expect(pages.get('GET')).toContain('<form method="post">');
  });
});
