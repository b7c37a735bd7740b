/** The ledger under fire: processes ask it for everything there is, and somebody is killed every few answers. */
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from '../../db/client';
import { brokenInvariants } from '../../db/testing/invariants';
import { verifyLedger } from '../../db/verify/verifyLedger';
import type { Operation, Outcome } from '../../domain/operations';
import { type Chance, chanceOf } from '../chaos/chance';
import { type LedgerClient, startClient, Unanswered } from './clients';
import { Lane, WorldClock } from './lanes';
import { Notes } from './notes';
import { openPeople } from './people';
import type { MortalServer } from './server';

/** Who is killed: a process with a ledger, the whole of Postgres, or the one process in it that serves a connection. */
export const VICTIMS = ['client', 'server', 'backend'] as const;
export type Victim = (typeof VICTIMS)[number];

export interface Storm {
  readonly server: MortalServer;
  readonly seed: number;
  readonly kills: Readonly<Record<Victim, number>>;
  readonly say: (sentence: string) => void;
}

/** What a storm was like; `findings` is empty when everything held. */
export interface StormSummary {
  readonly seed: number;
  readonly kills: Readonly<Record<Victim, number>>;
  /** Operations that got their answer, by what it was. */
  readonly answered: { readonly accepted: number; readonly refused: number };
  /** How often an operation had to be asked again because there was no answer. */
  readonly retried: number;
  /** Of the operations without an answer, those that had been applied. */
  readonly appliedUnheard: number;
  readonly seconds: number;
  readonly findings: readonly string[];
}

const CLIENTS = 4;
const LANES = 80;
/** How many answers come between two kills, at most. */
const ANSWERS_MAX = 100;
/** How long after such an answer somebody is killed, at most. */
const PAUSE_MAX_MS = 8;
/** An operation that has no answer for so long never gets one. */
const ANSWER_LIMIT_MS = 60_000;
const SAYS_EVERY = 50;
const REPLAYS = 2_000;

/** Runs until everybody was killed who is to be, and looks at what is left. The database is empty before. */
export async function runStorm({ server, seed, kills, say }: Storm): Promise<StormSummary> {
  const began = performance.now();
  const chance = chanceOf(seed);
  const people = await openPeople(server.url);
  const crowd = new Crowd(server, chanceOf(chance.between(0, 0x7fff_ffff)));
  const clock = new WorldClock();
  const calm = new AbortController();
  const lanes = Array.from({ length: LANES }, async (_, number) => {
    const own = chanceOf(chance.between(0, 0x7fff_ffff));
    const lane = new Lane(number, own, clock, people, (operation) => crowd.insist(operation));
    while (!calm.signal.aborted) await live(lane, number);
  });
  const killing = killAll(server, crowd, orderOf(kills, chance), chance, say).finally(() => calm.abort());
  try {
    await Promise.all([killing, ...lanes]);
    say(`${crowd.notes.accepted + crowd.notes.refused} operations were answered; looking at what is left`);
    await crowd.repeat();
  } catch (error) {
    // What the crowd found is noted already.
    if (crowd.findings.length === 0) throw error;
  } finally {
    calm.abort();
    await Promise.allSettled([killing, ...lanes]);
    await crowd.stop();
  }
  const owner = connect(server.url, { poolMax: 1, as: 'owner' });
  try {
    const { findings } = await verifyLedger({ kind: 'database', db: owner });
    crowd.findings.push(
      ...(await crowd.notes.compare(owner)),
      ...(await brokenInvariants(owner)),
      ...findings.map((finding) => `the verifier found ${JSON.stringify(finding)}`),
    );
  } finally {
    await owner.destroy();
  }
  return {
    seed,
    kills,
    answered: { accepted: crowd.notes.accepted, refused: crowd.notes.refused },
    retried: crowd.retried,
    appliedUnheard: crowd.notes.repeated,
    seconds: Math.round((performance.now() - began) / 100) / 10,
    findings: crowd.findings,
  };
}

/** Most lanes are jobs; some keep them in credits, and two set limits. */
function live(lane: Lane, number: number): Promise<void> {
  if (number % 20 === 0) return lane.budget();
  return number % 7 === 0 ? lane.lot() : lane.job();
}

function orderOf(kills: Storm['kills'], chance: Chance): Victim[] {
  const order = VICTIMS.flatMap((victim) => Array.from({ length: kills[victim] }, () => victim));
  for (let last = order.length - 1; last > 0; last--) {
    const other = chance.between(0, last);
    [order[last], order[other]] = [order[other] as Victim, order[last] as Victim];
  }
  return order;
}

async function killAll(
  server: MortalServer,
  crowd: Crowd,
  order: readonly Victim[],
  chance: Chance,
  say: Storm['say'],
): Promise<void> {
  for (const [index, victim] of order.entries()) {
    // In the middle of the work: so many answers after the last kill, and a moment that has nothing to do with answers.
    await crowd.answers(chance.between(1, ANSWERS_MAX));
    await delay(chance.between(0, PAUSE_MAX_MS));
    if (victim === 'client') await crowd.killOne(chance);
    if (victim === 'server') await server.kill();
    if (victim === 'backend') {
      while (!(await server.killBackend((pids) => chance.pick(pids)))) await crowd.answers(1);
    }
    if ((index + 1) % SAYS_EVERY === 0) say(`${index + 1} of ${order.length} kills`);
  }
}

/** The processes that ask, and what they were told. */
class Crowd {
  readonly notes = new Notes();
  readonly findings: string[] = [];
  retried = 0;
  /** Those that take questions, and those that begin: a process takes longer to start than to be killed. */
  private readonly clients: LedgerClient[] = [];
  private readonly beginning = new Set<Promise<void>>();
  private waiting: { left: number; resolve: () => void; reject: (error: Error) => void } | undefined;
  private broken: Error | undefined;

  constructor(
    private readonly server: MortalServer,
    private readonly chance: Chance,
  ) {
    for (let n = 0; n < CLIENTS; n++) this.begin();
  }

  /** Asks until there is an answer. @throws Error when the answer is neither an outcome nor the lack of one. */
  async insist(operation: Operation): Promise<Outcome> {
    const giveUpAt = performance.now() + ANSWER_LIMIT_MS;
    for (;;) {
      await this.server.up();
      await this.someClient();
      if (this.broken) throw this.broken;
      try {
        const outcome = await this.chance.pick(this.clients).apply(operation);
        this.notes.note(operation, outcome);
        this.answered();
        return outcome;
      } catch (error) {
        const isLost = error instanceof Unanswered && performance.now() < giveUpAt;
        if (!isLost) throw this.fail(`${operation.kind} failed: ${error instanceof Error ? error.message : error}`);
        this.retried += 1;
      }
    }
  }

  /** Settles after so many answers from now on. */
  answers(count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting = { left: count, resolve, reject };
      if (this.broken) reject(this.broken);
    });
  }

  async killOne(chance: Chance): Promise<void> {
    await this.someClient();
    const [killed] = this.clients.splice(chance.between(0, this.clients.length - 1), 1);
    this.begin();
    await killed?.kill();
  }

  /** Asks for some of what was accepted again: the answer is the same, and nothing is moved. */
  async repeat(): Promise<void> {
    const every = Math.max(1, Math.floor(this.notes.accepted / REPLAYS));
    const client = startClient(this.server.url);
    try {
      await Promise.all(
        this.notes.sample(every).map(async ({ operation, differs }) => {
          const wrong = differs(await client.apply(operation));
          if (wrong !== undefined) this.findings.push(wrong);
        }),
      );
    } finally {
      await client.stop();
    }
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.beginning);
    await Promise.all(this.clients.map((client) => client.stop()));
  }

  private begin(): void {
    const client = startClient(this.server.url);
    void client.died.then((how) => this.fail(`${how}, which nobody asked it to`));
    const begun = client.ready.then(() => {
      this.beginning.delete(begun);
      this.clients.push(client);
    });
    begun.catch(() => undefined);
    this.beginning.add(begun);
  }

  private async someClient(): Promise<void> {
    while (this.clients.length === 0) await Promise.race(this.beginning);
  }

  private answered(): void {
    if (!this.waiting) return;
    this.waiting.left -= 1;
    if (this.waiting.left === 0) this.waiting.resolve();
  }

  /** Ends everything: the storm has found something. */
  private fail(finding: string): Error {
    this.findings.push(finding);
    this.broken ??= new Error(finding);
    this.waiting?.reject(this.broken);
    return this.broken;
  }
}
