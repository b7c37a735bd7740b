/**
 * Processes whose batches go ahead, as tests see them: each first comes to know a place until its batches go ahead, and is
 * seen to do so on the wire.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket, connect as wireTo } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { Client } from 'pg';
import type { Budget } from '../../domain/budget';
import { ZERO } from '../../domain/credits';
import type { Operation, Outcome, Transfer } from '../../domain/operations';
import { idOf } from '../../test/builders/ids';
import { aBudget, amount, reserve } from '../../test/builders/ledger';
import { eventually } from '../../test/world/eventually';
import { reserveJob } from '../billing';
import { connect, isUnavailable, rows } from '../client';
import { type Companion, type Ledger, openLedger } from '../ledger';
import { verifyLedger } from '../verify/verifyLedger';
import { createTestDatabase, type TestDatabase } from './database';
import { brokenInvariants } from './invariants';
import type { Place } from './place';
import { AT, insertSimulation } from './simulation';

export let database: TestDatabase;

/** Describes what happens in a database of its own, and looks at the end at all that is there. */
export function describeApart(what: string, tests: () => void): void {
  describe(what, () => {
    let watching: jest.SpyInstance;
    beforeAll(async () => {
      watching = watchBatches();
      database = await createTestDatabase({ poolMax: 8 });
    });
    afterEach(async () => {
      await Promise.all([...processes].map((one) => one.close()));
    });
    tests();
    test('in the end every law holds, and the verifier finds nothing', checkLedger);
    afterAll(async () => {
      watching.mockRestore();
      await database?.drop();
    });
  });
}

export async function checkLedger(): Promise<void> {
  expect(await brokenInvariants(database.db)).toEqual([]);
  expect((await verifyLedger({ kind: 'database', db: database.db })).findings).toEqual([]);
}

/** A process as the database sees it: a ledger with connections of its own, which knows what itself has seen. */
export interface Process {
  readonly ledger: Ledger;
  readonly sent: Sent;
  apply(operation: Operation, companion?: Companion): Promise<Outcome>;
  close(): Promise<void>;
}

/** What a process sent. */
interface Sent {
  /** Batches that were loaded first. */
  loaded: number;
  /** Batches that were sent without being loaded, and how many of them the database refused. */
  ahead: number;
  refused: number;
  inFlight: number;
  /** How many that went ahead were in flight at once, at most. */
  atOnce: number;
}

const processes = new Set<Process>();
let opened = 0;

export function openProcess(url = database.url): Process {
  const applicationName = `process ${++opened}`;
  const db = connect(url, { poolMax: 2, applicationName });
  const ledger = openLedger(db);
  const one: Process = {
    ledger,
    sent: sentBy(applicationName),
    apply: (operation, companion) => ledger.apply(operation, companion),
    async close() {
      if (!processes.delete(one)) return;
      await ledger.close();
      await db.destroy();
    },
  };
  processes.add(one);
  return one;
}

/** Jobs that nobody else of a place uses, and that cost nothing. */
const WARMING_UP = 90_000;
let warmedUp = WARMING_UP;

/** The number of a job that nobody has yet. */
export function nextJob(): number {
  warmedUp += 1;
  return warmedUp;
}

/** Lets a process work on a place until what users of it ask goes ahead. */
export async function warmUp(one: Process, place: Place, users = [place.user, place.otherUser]): Promise<void> {
  for (const userId of users) {
    await untilAhead(one, () => reserve({ ...place.spending(nextJob(), userId), amount: ZERO, cap: ZERO }));
  }
}

/** Asks until what is asked went ahead and was accepted. */
export async function untilAhead(one: Process, ask: () => Operation): Promise<void> {
  for (let tries = 0; tries < 6; tries++) {
    const { ahead, refused } = one.sent;
    expect(await one.apply(ask())).toMatchObject({ accepted: true });
    if (one.sent.ahead > ahead && one.sent.refused === refused) return;
  }
  throw new Error(`after a few batches on the same pools nothing goes ahead: ${JSON.stringify(one.sent)}`);
}

/** Waits until a process has sent so many batches ahead, answered or not; no longer than until what is asked is answered. */
export async function untilSent(one: Process, ahead: number, asked?: readonly Promise<unknown>[]): Promise<void> {
  let isAnswered = false;
  if (asked) void Promise.allSettled(asked).then(() => (isAnswered = true));
  const giveUpAt = performance.now() + 10_000;
  while (one.sent.ahead < ahead && !isAnswered) {
    if (performance.now() > giveUpAt) throw new Error(`only ${one.sent.ahead} batches went ahead, not ${ahead}`);
    await turn();
  }
}

export async function acceptAll(one: Process, operations: readonly Operation[]): Promise<void> {
  for (const operation of operations) expect(await one.apply(operation)).toMatchObject({ accepted: true });
}

/** Works until nobody lost a connection. */
export async function insist<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isUnavailable(error)) throw error;
    }
  }
}

/** Lets a process bill jobs of the demo until it does so without loading anything. */
export async function untilAheadWith(one: Process): Promise<void> {
  for (let tries = 0; tries < 6; tries++) {
    const { ahead, refused } = one.sent;
    const { id: jobId } = await insertSimulation(database.db, ZERO);
    expect(await reserveJob(one.ledger, { jobId, at: AT })).toMatchObject({ reserved: ZERO });
    if (one.sent.ahead > ahead && one.sent.refused === refused) return;
  }
  throw new Error(`no job is reserved without being loaded: ${JSON.stringify(one.sent)}`);
}

/** What those who watch a job were told. */
export async function eventsOf(jobId: string): Promise<string[]> {
  const sql = 'select kind from job_events where job_id = ? order by seq';
  return (await rows<{ kind: string }>(database.db, sql, [jobId])).map(({ kind }) => kind);
}

export const reserving = (lotId: string, credited: string) => moved(lotId, 'available', 'reserved', credited);

export function moved(lotId: string, from: Transfer['from'], to: Transfer['to'], credited: string): Transfer {
  return { lotId, from, to, amount: amount(credited) };
}

/** An answer to somebody who is the first to ask, with all that is moved. */
export function accepted(...transfers: Transfer[]) {
  return { accepted: true, replayed: false, transfers };
}

export function refusedWith(code: string, details: Readonly<Record<string, string>> = {}) {
  return { accepted: false, code, details };
}

/** Reserves of a tenth of a credit each. */
export function tenths(place: Place, count: number): Operation[] {
  return Array.from({ length: count }, (_, n) => reserve({ ...place.spending(100 + n), amount: amount('0.1') }));
}

/** What jobs of a project may cost in all. */
export function projectBudget(place: Place, credited: string, n = 1): Budget {
  const limits = { period: 'total' as const, amount: amount(credited), warnPercent: null };
  return aBudget({ ...limits, id: idOf('budget', n, place.number), contractId: place.contract, project: 'bridge' });
}
/** A wire to Postgres on which what a client says can be held up. */
export interface HeldWire {
  readonly url: string;
  /** From now on what the connection says that spoke last does not arrive. */
  hold(): void;
  /** Waits until so many transactions of a statement each are held. */
  hasHeld(transactions: number): Promise<void>;
  /** Lets the first of them arrive. */
  letOne(): void;
  /** Lets everything arrive. */
  letGo(): void;
  close(): Promise<void>;
}

export async function openHeldWire(url: string): Promise<HeldWire> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let spokeLast: Socket | undefined;
  let holding: { readonly of: Socket; said: Buffer } | undefined;

  const server = createServer({ noDelay: true }, (client) => {
    const there = wireTo({ host: target.hostname, port: Number(target.port), noDelay: true });
    client.on('data', (chunk: Buffer) => {
      spokeLast = there;
      if (holding?.of === there) holding.said = Buffer.concat([holding.said, chunk]);
      else there.write(chunk);
    });
    there.on('data', (chunk) => client.write(chunk));
    for (const [one, other] of [
      [client, there],
      [there, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const pass = (bytes: number) => {
    if (!holding) throw new Error('nothing is held');
    holding.of.write(holding.said.subarray(0, bytes));
    holding.said = holding.said.subarray(bytes);
  };
  return {
    url: Object.assign(new URL(url), { host: `127.0.0.1:${port}` }).toString(),
    hold() {
      if (!spokeLast) throw new Error('nobody has said anything');
      holding = { of: spokeLast, said: Buffer.alloc(0) };
    },
    async hasHeld(transactions) {
      await eventually(`${transactions} transactions on the wire`, () => endsOf(holding?.said).length >= transactions);
    },
    letOne: () => pass(endsOf(holding?.said)[0] ?? 0),
    letGo() {
      pass(holding?.said.length ?? 0);
      holding = undefined;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Where each `Sync` ends among whole messages: a letter and a length before each. */
function endsOf(said: Buffer = Buffer.alloc(0)): number[] {
  const ends: number[] = [];
  for (let at = 0; at + 5 <= said.length; ) {
    const end = at + 1 + said.readInt32BE(at + 1);
    if (end <= said.length && said[at] === 'S'.charCodeAt(0)) ends.push(end);
    at = end;
  }
  return ends;
}

// Evidence ----------------------------------------------------------------------------------------------------------

const sentByName = new Map<string, Sent>();

function sentBy(applicationName: string): Sent {
  const sent = sentByName.get(applicationName) ?? { loaded: 0, ahead: 0, refused: 0, inFlight: 0, atOnce: 0 };
  sentByName.set(applicationName, sent);
  return sent;
}

/** Looks at every statement that goes to the database: a batch that is appended on a connection without being loaded went ahead. */
function watchBatches(): jest.SpyInstance {
  const query = Client.prototype.query as (this: Client, ...given: unknown[]) => unknown;
  const hasLoaded = new WeakSet<Client>();
  return jest.spyOn(Client.prototype, 'query').mockImplementation(function (this: Client, ...given: unknown[]) {
    const answer = query.apply(this, given);
    const [asked] = given;
    const text = String(typeof asked === 'string' ? asked : ((asked as { text?: string } | undefined)?.text ?? ''));
    const sent = sentBy(nameOf(this));
    if (/\bload_batch\(/.test(text)) {
      hasLoaded.add(this);
      sent.loaded += 1;
    } else if (/\bappend_batch\(/.test(text)) {
      if (!hasLoaded.has(this)) noteAhead(sent, answer as Promise<unknown>);
    } else if (/^(begin|commit|rollback)$/.test(text)) {
      hasLoaded.delete(this);
    }
    return answer;
  } as never);
}

function noteAhead(sent: Sent, answer: Promise<unknown>): void {
  sent.ahead += 1;
  sent.inFlight += 1;
  sent.atOnce = Math.max(sent.atOnce, sent.inFlight);
  answer
    .catch(() => {
      sent.refused += 1;
    })
    .finally(() => {
      sent.inFlight -= 1;
    });
}

function nameOf(client: Client): string {
  const { connectionParameters } = client as unknown as { connectionParameters?: { application_name?: string } };
  return connectionParameters?.application_name ?? '';
}
