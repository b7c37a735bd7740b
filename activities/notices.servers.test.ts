import { v7 as uuidv7 } from 'uuid';
import { type Db, rows } from '../db/client';
import { makeDigest, queueDigestEntry } from '../db/digests';
import { grantLot } from '../db/lots';
import { setNoticePreferences, unsubscribe } from '../db/noticePreferences';
import {
  attemptsOf,
  beginAttempt,
  createNotice,
  listShownNotices,
  type NewNotice,
  proofOf,
  readNotice,
  recordBounce,
} from '../db/notices';
import { createTestDatabase, type TestDatabase } from '../db/testing/database';
import { parseCredits } from '../domain/credits';
import { addMilliseconds, type Instant } from '../domain/instant';
import type { Language } from '../domain/notices';
import { createMailChannel, type MailChannel } from '../notices/mail';
import { administratorChannel, inServiceChannel } from '../notices/shown';
import { recipientsOf, startMailServer, type TestMailServer } from '../notices/testing/mailServer';
import { createDigestActivities } from './digests';
import { createNoticeDelivery, type NoticeDelivery } from './notices';

jest.setTimeout(60_000);

const AT = '2027-01-04T10:00:00.000000Z' as Instant;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const later = (milliseconds: number) => addMilliseconds(AT, milliseconds);
const CUSTOMER = '00000000-0000-7000-8000-00000000c001';
const WITHDRAWAL = {
  lots: [{ lotId: uuidv7(), reference: null, amount: '12.5' }],
  total: '12.5',
  reserved: '0',
  reason: '',
};

let database: TestDatabase;
let db: Db;
let server: TestMailServer;
let mail: MailChannel;
let delivery: NoticeDelivery;
let made = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  db = database.db;
  await db('customers').insert({ id: CUSTOMER, name: 'Aurora' });
});
beforeEach(async () => {
  server = await startMailServer();
  mail = createMailChannel({ url: server.url, from: 'notices@provider.example', timeoutMs: 500 });
  delivery = deliveryBy([mail, administratorChannel, inServiceChannel]);
});
afterEach(async () => {
  mail.close();
  await server.close();
});
afterAll(() => database?.drop());

function deliveryBy(channels: Parameters<typeof createNoticeDelivery>[0]['channels']): NoticeDelivery {
  return createNoticeDelivery({
    db,
    channels,
    contact: 'credits@provider.example',
    publicUrl: 'https://holdfast.example',
  });
}

interface Someone {
  readonly id: string;
  readonly email: string;
}

async function someone(
  more: { name?: string; email?: string; language?: Language; timeZone?: string } = {},
): Promise<Someone> {
  const id = uuidv7();
  const {
    name = `Person ${++made}`,
    email = `${id}@aurora.example`,
    language = 'en',
    timeZone = 'Europe/Berlin',
  } = more;
  await db('users').insert({ id, customer_id: CUSTOMER, name, email, language, time_zone: timeZone });
  return { id, email };
}

async function contractOf(members: readonly (readonly [Someone, 'submitter' | 'contract-admin'])[]): Promise<string> {
  const id = uuidv7();
  const [from, to] = [addMilliseconds(AT, -30 * DAY_MS), addMilliseconds(AT, 300 * DAY_MS)];
  await db('contracts').insert({
    id,
    customer_id: CUSTOMER,
    name: 'Main contract',
    starts_at: from,
    ends_at: to,
    time_zone: 'UTC',
  });
  await db('contract_users').insert(
    members.map(([{ id: userId }, role]) => ({ contract_id: id, user_id: userId, role, authorised_at: from })),
  );
  return id;
}

async function notice(user: Someone, more: Partial<Extract<NewNotice, { kind: 'withdrawal' }>> = {}): Promise<string> {
  const id = uuidv7();
  await createNotice(db, {
    id,
    userId: user.id,
    kind: 'withdrawal',
    subjectId: uuidv7(),
    facts: WITHDRAWAL,
    required: true,
    at: AT,
    ...more,
  });
  return id;
}

const shownTo = async ({ id }: Someone) => listShownNotices(db, id, { after: null, limit: 10, unreadOnly: false });
const tries = async (id: string) => (await attemptsOf(db, id)).map(({ channel, result }) => [channel, result?.kind]);

describe('a notice', () => {
  it('is delivered by mail in its person’s language, with the server’s answer and the words as proof', async () => {
    const person = await someone({ name: 'Sana Rahimi', language: 'de' });
    const id = await notice(person);
    const told = await delivery.deliver(id, AT);
    expect(told).toEqual({ outcome: 'delivered', channel: 'mail', at: expect.any(String) });
    const at = told.outcome === 'delivered' ? told.at : AT;
    expect(at > AT && at < later(10_000)).toBe(true);
    const [letter] = server.mails;
    expect(letter?.subject).toBe('Ankündigung: Entzug von 12,5 Credits am 4. April 2027');
    expect(letter?.text).toMatch(/Sonntag, 4\. April\s+2027 um 12:00 MESZ \(Europe\/Berlin\)/);
    expect(letter?.headers.has('list')).toBe(false);
    expect(await proofOf(db, id)).toMatchObject({
      state: 'delivered',
      attempts: [
        {
          number: 1,
          channel: 'mail',
          recipients: [person.email],
          messageId: letter?.messageId,
          subject: letter?.subject,
          language: 'de',
          result: { kind: 'delivered', answer: expect.stringMatching(/^250 /), at },
        },
      ],
      bounce: null,
    });
  });

  it('that is delivered answers so again and is not sent twice', async () => {
    const id = await notice(await someone());
    const first = await delivery.deliver(id, AT);
    expect(await delivery.deliver(id, later(DAY_MS))).toEqual(first);
    expect(server.mails).toHaveLength(1);
  });

  it('asked for twice is one notice', async () => {
    const person = await someone();
    const id = await notice(person);
    await createNotice(db, {
      id,
      userId: person.id,
      kind: 'withdrawal',
      subjectId: null,
      facts: WITHDRAWAL,
      required: true,
      at: AT,
    });
    expect(await rows(db, 'select 1 from notices where user_id = ?', [person.id])).toHaveLength(1);
  });

  it('whose mail is refused is shown to the administrators at once, naming the person, in their own language', async () => {
    const person = await someone({ name: 'Sana Rahimi' });
    const [carl, ida, removed] = [await someone({ language: 'de' }), await someone(), await someone()];
    await contractOf([
      [person, 'submitter'],
      [carl, 'contract-admin'],
      [ida, 'contract-admin'],
      [removed, 'contract-admin'],
    ]);
    await db('contract_users').where({ user_id: removed.id }).update({ removed_at: AT });
    server.behave({ recipient: () => ({ code: 550, text: 'no such user' }) });
    const id = await notice(person);
    expect(await delivery.deliver(id, AT)).toMatchObject({ outcome: 'delivered', channel: 'administrator' });
    expect(await tries(id)).toEqual([
      ['mail', 'failed'],
      ['administrator', 'delivered'],
    ]);
    const proof = await proofOf(db, id);
    expect(proof?.attempts[0]?.result?.answer).toMatch(/^550 .*no such user/);
    expect(proof?.readers.map(({ userId }) => userId)).toEqual([carl.id, ida.id]);
    expect(await shownTo(carl)).toMatchObject([
      {
        id,
        userName: 'Sana Rahimi',
        channel: 'administrator',
        unread: true,
        subject: expect.stringMatching(/^Ankündigung für Sana Rahimi/),
      },
    ]);
    expect(await shownTo(ida)).toMatchObject([{ subject: expect.stringMatching(/^Notice for Sana Rahimi/) }]);
    expect([await shownTo(removed), await shownTo(person)]).toEqual([[], []]);
  });

  it('without an address and without an administrator is shown to the person until it is read, and the first reading counts', async () => {
    const person = await someone({ email: `no address ${uuidv7()}` });
    await contractOf([[person, 'contract-admin']]);
    const id = await notice(person);
    expect(await delivery.deliver(id, AT)).toMatchObject({ outcome: 'delivered', channel: 'in-service' });
    expect(await tries(id)).toEqual([
      ['mail', 'failed'],
      ['administrator', 'failed'],
      ['in-service', 'delivered'],
    ]);
    expect(await shownTo(person)).toMatchObject([{ id, unread: true, readAt: null }]);
    await readNotice(db, { noticeId: id, userId: person.id, at: later(1) });
    await readNotice(db, { noticeId: id, userId: person.id, at: later(2) });
    expect(await shownTo(person)).toMatchObject([{ unread: false, readAt: later(1) }]);
    expect(await readNotice(db, { noticeId: id, userId: (await someone()).id, at: AT })).toBeUndefined();
  });

  it('that is put off waits, goes out when the server takes it, and is not tried before', async () => {
    const id = await notice(await someone());
    server.behave({ message: { code: 451, text: 'greylisted' } });
    const put = await delivery.deliver(id, AT);
    if (put.outcome !== 'deferred') throw new Error(`it was ${put.outcome}`);
    expect(put.retryAt >= later(5 * MINUTE_MS) && put.retryAt < later(6 * MINUTE_MS)).toBe(true);
    expect(await delivery.deliver(id, later(MINUTE_MS))).toEqual(put);
    expect(await proofOf(db, id)).toMatchObject({ state: 'waiting', nextAt: put.retryAt });
    server.behave({});
    expect(await delivery.deliver(id, put.retryAt)).toMatchObject({ outcome: 'delivered', channel: 'mail' });
    expect(await tries(id)).toEqual([
      ['mail', 'deferred'],
      ['mail', 'delivered'],
    ]);
    const [first, second] = await attemptsOf(db, id);
    expect(first?.messageId).toBe(second?.messageId);
  });

  it('that is put off for three days goes to the next channel', async () => {
    const person = await someone();
    const id = await notice(person);
    await server.close();
    let at = AT;
    for (;;) {
      const outcome = await delivery.deliver(id, at);
      if (outcome.outcome === 'deferred') {
        at = outcome.retryAt;
        continue;
      }
      expect(outcome).toMatchObject({ outcome: 'delivered', channel: 'in-service' });
      break;
    }
    expect(at < later(3 * DAY_MS)).toBe(true);
    expect((await tries(id)).filter(([channel]) => channel === 'mail').length).toBeGreaterThan(5);
  });

  it('that no channel can carry is undeliverable, with every reason', async () => {
    const id = await notice(await someone({ email: `nowhere ${uuidv7()}` }));
    const outcome = await deliveryBy([mail, administratorChannel]).deliver(id, AT);
    expect(outcome).toEqual({
      outcome: 'undeliverable',
      reason: expect.stringMatching(/^mail: .* is no mail address; administrator: nobody else administers/),
    });
    expect(await proofOf(db, id)).toMatchObject({ state: 'undeliverable' });
  });

  it('whose sender ended before it heard an answer is sent again as the same mail, and the proof tells of both', async () => {
    const person = await someone();
    const id = await notice(person);
    // The server has taken it; nobody wrote that down.
    await beginAttempt(db, id, {
      number: 1,
      channel: 'mail',
      recipients: [person.email],
      messageId: `<notice.${id}@provider.example>`,
      language: 'en',
      subject: 's',
      body: 'b',
      at: AT,
    });
    expect(await delivery.deliver(id, later(1))).toMatchObject({ outcome: 'delivered', channel: 'mail' });
    expect(await tries(id)).toEqual([
      ['mail', 'unknown'],
      ['mail', 'delivered'],
    ]);
    expect(server.mails[0]?.messageId).toBe(`<notice.${id}@provider.example>`);
  });

  it('that comes back is undelivered again: it tells which it was, and the next channel has it', async () => {
    const person = await someone();
    const subjectId = uuidv7();
    const id = await notice(person, { subjectId });
    await delivery.deliver(id, AT);
    const messageId = `<notice.${id}@provider.example>`;
    const bounce = { messageId, reason: '550 mailbox full', actor: 'operator' };
    const expected = {
      noticeId: id,
      userId: person.id,
      kind: 'withdrawal',
      subjectId,
      reason: '550 mailbox full',
      at: later(1),
    };
    expect(await recordBounce(db, { ...bounce, at: later(1) })).toEqual(expected);
    // Twice is once, and what is unknown is nobody's.
    expect(await recordBounce(db, { ...bounce, at: later(2), reason: 'again' })).toEqual(expected);
    expect(await recordBounce(db, { ...bounce, messageId: '<other@x>', at: later(1) })).toBeUndefined();
    expect(await proofOf(db, id)).toMatchObject({
      state: 'waiting',
      nextAt: later(1),
      bounce: { reason: '550 mailbox full' },
    });
    expect(await shownTo(person)).toEqual([]);
    expect(await delivery.deliver(id, later(3))).toMatchObject({ outcome: 'delivered', channel: 'in-service' });
    expect(await shownTo(person)).toMatchObject([{ id, unread: true }]);
    expect(server.mails).toHaveLength(1);
    await recordBounce(db, { ...bounce, at: later(4) });
    expect(await proofOf(db, id)).toMatchObject({ state: 'delivered' });
  });

  it('leaves facts that nobody can change', async () => {
    const id = await notice(await someone());
    await delivery.deliver(id, AT);
    for (const table of ['notices', 'notice_attempts', 'notice_results', 'notice_showings']) {
      const key = table === 'notices' ? 'id' : 'notice_id';
      await expect(
        database
          .owner(table)
          .where({ [key]: id })
          .update({ at: later(1) }),
      ).rejects.toThrow(/append-only|never changed|HF/i);
      await expect(
        db(table)
          .where({ [key]: id })
          .delete(),
      ).rejects.toThrow(/permission denied/);
    }
  });
});

describe('a digest', () => {
  /** The page that begins with a person and ends with them. */
  function turn({ id }: Someone, at: Instant) {
    const before = (BigInt(`0x${id.replaceAll('-', '')}`) - 1n).toString(16).padStart(32, '0');
    const after = before.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    return createDigestActivities({ db, delivery }).digestPage({ after, at, limit: 1 });
  }
  const queue = (person: Someone, key: string, at = AT) =>
    queueDigestEntry(db, {
      userId: person.id,
      key,
      kind: 'contract-renewed',
      at,
      facts: { contractName: `Contract ${key}`, endsAt: later(DAY_MS) },
    });
  const daysOf = async (person: Someone) =>
    (
      await rows<{ day: string }>(db, 'select digest_day::text as day from notices where user_id = ? order by 1', [
        person.id,
      ])
    ).map(({ day }) => day);

  it('gathers all that waits into one mail a day, each entry once however often it is queued', async () => {
    const person = await someone();
    for (const key of ['a', 'b', 'a']) await queue(person, key);
    expect(await turn(person, AT)).toMatchObject({ examined: 1, done: 1, findings: [] });
    expect(server.mails).toHaveLength(1);
    expect(server.mails[0]?.text).toMatch(/Contract a was renewed[\s\S]*Contract b was renewed/);
    expect(server.mails[0]?.subject).toBe('Your credits: 2 things to know on 4 January 2027');
    await queue(person, 'a');
    await queue(person, 'c');
    await turn(person, later(HOUR_MS));
    expect(server.mails).toHaveLength(1);
    await turn(person, later(DAY_MS));
    expect(server.mails).toHaveLength(2);
    expect(server.mails[1]?.text).not.toContain('Contract a');
    expect(await daysOf(person)).toEqual(['2027-01-04', '2027-01-05']);
  });

  it('waits for eight o’clock of its person’s own day, either side of the date line', async () => {
    const east = await someone({ timeZone: 'Pacific/Kiritimati' });
    const west = await someone({ timeZone: 'Pacific/Pago_Pago' });
    for (const person of [east, west]) await queue(person, 'a');
    const at = (text: string) => `${text}:00.000000Z` as Instant;
    for (const person of [east, west]) await turn(person, at('2027-06-01T17:59'));
    // In the west it is five in the morning of the first of June, in the east a minute before eight of the second.
    expect([await daysOf(east), await daysOf(west)]).toEqual([[], []]);
    await turn(east, at('2027-06-01T18:00'));
    await turn(west, at('2027-06-01T19:00'));
    expect([await daysOf(east), await daysOf(west)]).toEqual([['2027-06-02'], ['2027-06-01']]);
  });

  it('comes once a day when clocks change, and when two ask at the same time', async () => {
    const person = await someone();
    for (let hour = 0; hour < 60; hour++) {
      const at = addMilliseconds('2027-10-30T00:00:00.000000Z' as Instant, hour * HOUR_MS);
      await queue(person, `${hour}`, at);
      await Promise.all([turn(person, at), turn(person, at)]);
    }
    expect(await daysOf(person)).toEqual(['2027-10-30', '2027-10-31', '2027-11-01']);
    // Who comes while the other is sending repeats the same mail, recognisable as such.
    expect(new Set(server.mails.map(({ messageId }) => messageId)).size).toBe(3);
  });

  it('leaves out what its person does not want, and is not made of nothing', async () => {
    const person = await someone();
    const preferences = { language: 'en', timeZone: 'UTC', digests: true, thresholds: [] } as const;
    await setNoticePreferences(db, person.id, { ...preferences, muted: ['contract-renewed'] }, AT);
    await queue(person, 'a');
    await turn(person, AT);
    expect([await daysOf(person), server.mails]).toEqual([[], []]);
    // It does not come later either.
    await setNoticePreferences(db, person.id, { ...preferences, muted: [] }, AT);
    await queue(person, 'b');
    await turn(person, AT);
    expect(server.mails[0]?.text).not.toContain('Contract a');
    expect(server.mails[0]?.text).toContain('Contract b');
  });

  it('is ended by the link in its mail, while what is required still comes', async () => {
    const person = await someone();
    await queue(person, 'a');
    await turn(person, AT);
    const header = server.mails[0]?.headerLines.find(({ key }) => key === 'list-unsubscribe')?.line ?? '';
    const token = /unsubscribe\/([\w-]+)>/.exec(header)?.[1] ?? '';
    expect(token).toHaveLength(32);
    for (const table of ['unsubscribe_tokens', 'notice_attempts', 'notice_showings']) {
      const stored = await rows<{ row: string }>(db, 'select t::text as row from ?? t', [table]);
      expect(stored.filter(({ row }) => row.includes(token))).toEqual([]);
    }
    await unsubscribe(db, 'another', AT);
    await queue(person, 'b');
    await turn(person, later(DAY_MS));
    expect(server.mails).toHaveLength(2);
    for (const _ of [1, 2]) await unsubscribe(db, token, AT);
    await queue(person, 'c');
    await turn(person, later(2 * DAY_MS));
    expect(server.mails).toHaveLength(2);
    expect(await delivery.deliver(await notice(person), AT)).toMatchObject({ channel: 'mail' });
  });

  it('that mail cannot carry is shown to its person, and to no administrator', async () => {
    const person = await someone();
    const administrator = await someone();
    await contractOf([
      [person, 'submitter'],
      [administrator, 'contract-admin'],
    ]);
    server.behave({ recipient: () => ({ code: 550, text: 'no such user' }) });
    await queue(person, 'a');
    await turn(person, AT);
    expect(await shownTo(person)).toMatchObject([{ kind: 'digest', channel: 'in-service', unread: true }]);
    expect(await shownTo(administrator)).toEqual([]);
  });

  it('that is put off or was left by who made it is delivered by a later turn', async () => {
    const person = await someone();
    server.behave({ message: { code: 451, text: 'later' } });
    await queue(person, 'a');
    expect(await turn(person, AT)).toMatchObject({ done: 0 });
    server.behave({});
    expect(await turn(person, later(MINUTE_MS))).toMatchObject({ done: 0 });
    expect(await turn(person, later(10 * MINUTE_MS))).toMatchObject({ done: 1 });
    const left = await someone();
    await queue(left, 'a');
    await makeDigest(db, { userId: left.id, timeZone: 'UTC', lastDay: null, hasEntries: true, dueNoticeIds: [] }, AT);
    expect(await turn(left, later(HOUR_MS))).toMatchObject({ done: 1 });
    expect(server.mails.map((one) => recipientsOf(one)[0])).toEqual([person.email, left.email]);
  });
});

describe('a low balance', () => {
  const grant = (poolId: string, amount: string, at = AT) =>
    grantLot(database.ledger, {
      lot: {
        id: uuidv7(),
        poolId,
        kind: 'shared',
        source: 'purchase',
        amount: parseCredits(amount),
        effectiveAt: at,
        expiresAt: addMilliseconds(at, 100 * DAY_MS),
        graceUntil: null,
        purchasedAt: at,
        reference: null,
        advance: false,
      },
      actor: 'test',
      reason: 'a test',
      at,
    });
  const look = async (at: Instant) => {
    const { lowBalancePage } = createDigestActivities({ db, delivery });
    let after: string | null = null;
    do after = (await lowBalancePage({ after, at, limit: 2 })).next;
    while (after !== null);
  };
  const toldTo = (person: Someone) =>
    rows<{ kind: string; facts: unknown }>(
      db,
      'select kind, facts from digest_entries where user_id = ? order by recorded_at',
      [person.id],
    );

  it('is told of once, and its recovery once: to administrators below a tenth, to others as they chose', async () => {
    const [carl, sana, peer, never] = [await someone(), await someone(), await someone(), await someone()];
    const contractId = await contractOf([
      [carl, 'contract-admin'],
      [sana, 'submitter'],
      [peer, 'submitter'],
      [never, 'contract-admin'],
    ]);
    const chosen = (threshold: string | null) => ({
      language: 'en' as const,
      timeZone: 'UTC',
      digests: true,
      muted: [],
      thresholds: [{ contractId, threshold: threshold === null ? null : parseCredits(threshold) }],
    });
    await setNoticePreferences(db, sana.id, chosen('600'), AT);
    await setNoticePreferences(db, never.id, chosen(null), AT);
    await grant(contractId, '500');
    for (const hours of [1, 2]) await look(later(hours * HOUR_MS));
    expect(await toldTo(sana)).toEqual([
      { kind: 'low-balance', facts: { contractName: 'Main contract', spendable: '500', threshold: '600' } },
    ]);
    await grant(contractId, '250', later(3 * HOUR_MS));
    for (const hours of [4, 5]) await look(later(hours * HOUR_MS));
    expect((await toldTo(sana)).map(({ kind }) => kind)).toEqual(['low-balance', 'balance-recovered']);
    // Spent down to below a tenth of 750.
    await database.owner.raw('alter table lots disable trigger user');
    await database.owner.raw('update lots set consumed = granted, available = 0 where pool_id = ? and granted = ?', [
      contractId,
      parseCredits('500').toString(),
    ] as never);
    await database.owner.raw(
      'update lots set consumed = 180000000, available = 70000000 where pool_id = ? and granted = 250000000',
      [contractId],
    );
    await database.owner.raw('alter table lots enable trigger user');
    for (const hours of [6, 7]) await look(later(hours * HOUR_MS));
    expect(await toldTo(carl)).toEqual([
      { kind: 'low-balance', facts: { contractName: 'Main contract', spendable: '70', threshold: '75' } },
    ]);
    expect((await toldTo(sana)).map(({ kind }) => kind)).toEqual(['low-balance', 'balance-recovered', 'low-balance']);
    expect([await toldTo(peer), await toldTo(never)]).toEqual([[], []]);
    // When every lot is over there is no tenth that would be there again.
    await look(later(200 * DAY_MS));
    expect(await toldTo(carl)).toHaveLength(1);
  });
});
