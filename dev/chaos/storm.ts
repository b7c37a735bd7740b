/** Jobs of all sorts under faults: parts of the product are killed at random while the jobs run. */
import { setTimeout as delay } from 'node:timers/promises';
import { formatCredits, minCredits, parseCredits } from '../../domain/credits';
import { isTerminal } from '../../domain/job';
import { type Chance, chanceOf } from './chance';
import { filter, gallery, triangle, type UploadedInput } from './inputs';
import { type LaunchedProduct, send, type Who } from './product';
import { findUnsound } from './soundness';

export const FAULTS = ['api', 'jobs', 'compute', 'engine', 'postgres', 'temporal'] as const;
export type Fault = (typeof FAULTS)[number];

export interface Storm {
  readonly product: LaunchedProduct;
  readonly contractId: string;
  /** Chooses the jobs, the victims and the pauses between them. */
  readonly seed: number;
  readonly jobs: number;
  /** How many jobs are under way at once. */
  readonly atOnce: number;
  /** After this many kills the rest of the jobs runs in peace. */
  readonly killsMax: number;
  /** Between two kills. */
  readonly pauseMs: { readonly low: number; readonly high: number };
  readonly say: (sentence: string) => void;
}

export interface StormSummary {
  readonly seed: number;
  readonly jobs: number;
  readonly kills: Readonly<Record<Fault, number>>;
  /** Final states with their reasons, counted. */
  readonly ends: Readonly<Record<string, number>>;
  readonly attempts: number;
  readonly attemptsLost: number;
  /** Requests that had to be sent again. */
  readonly repeats: number;
  readonly charged: string;
  readonly seconds: number;
  /** What is not as it must be, one sentence each; none when all is well. */
  readonly findings: readonly string[];
}

/** What a submitter does with a job, beside submitting it. */
interface Plan {
  readonly title: string;
  readonly service: string;
  readonly input: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** What to reserve at first, and the not-to-exceed amount; both the quote's when absent. */
  readonly expected?: string;
  readonly maxCredits?: string;
  readonly whenParked?: 'raise' | 'cancel';
  /** Cancel once this much is done. */
  readonly cancelAt?: number;
}

interface Told {
  readonly plan: Plan;
  readonly id: string;
  readonly price: string;
}

/** Runs the storm and, in the calm after it, looks at everything that must hold. */
export async function runStorm(storm: Storm): Promise<StormSummary> {
  const { product, contractId, seed, jobs, atOnce, say } = storm;
  const from = performance.now();
  const repeatsBefore = product.repeats;
  const chance = chanceOf(seed);
  const plans = planJobs(await uploadInputs(product), jobs, chance);
  const before = await balanceOf(product, contractId);
  const findings: string[] = [];
  const told: Told[] = [];
  const left = [...plans];

  const submitters = Array.from({ length: atOnce }, async () => {
    for (let plan = left.shift(); plan; plan = left.shift()) {
      const job = await submit(product, contractId, plan);
      if ('refused' in job) {
        findings.push(`${plan.title} was refused: ${job.refused}`);
        continue;
      }
      told.push(job);
      findings.push(...(await follow(product, job)));
      say(`${told.length} of ${jobs} submitted, ${plan.title} has ended`);
    }
  });
  const calm = new AbortController();
  const killing = killAtRandom(storm, chance, calm.signal);
  let kills: Record<Fault, number>;
  try {
    await Promise.all(submitters);
  } finally {
    calm.abort();
    kills = await killing;
  }

  await ready(product);
  const judged = await Promise.all(told.map((one) => judge(product, one)));
  findings.push(...judged.flatMap((one) => one.findings));
  findings.push(...(await findUnsound(product)));
  const charged = judged.reduce((sum, one) => sum + one.charged, 0n);
  findings.push(...balanceFindings({ before, after: await balanceOf(product, contractId), charged }));
  const found = await countJobs(product, new Set(told.map(({ id }) => id)));
  if (found !== told.length) findings.push(`${told.length} jobs were submitted and ${found} are there`);
  return {
    seed,
    jobs,
    kills,
    ends: counted(judged.map(({ end }) => end)),
    attempts: judged.reduce((sum, one) => sum + one.attempts, 0),
    attemptsLost: judged.reduce((sum, one) => sum + one.attemptsLost, 0),
    repeats: product.repeats - repeatsBefore,
    charged: formatCredits(charged),
    seconds: Math.round((performance.now() - from) / 100) / 10,
    findings,
  };
}

/** Each sort comes in turn, so that a small storm has them all; chance orders them. */
function planJobs(inputs: Readonly<Record<'gallery' | 'filter' | 'triangle', string>>, jobs: number, chance: Chance) {
  const film = { width: 640, height: 400, frames: 12, quality: 'final', samples: 3, threads: 1 };
  const filmed = { service: 'rendering', input: inputs.triangle, parameters: film, expected: '1' };
  const sorts: readonly Plan[] = [
    {
      title: 'a picture',
      service: 'rendering',
      input: inputs.gallery,
      parameters: { width: 240, height: 160, quality: 'final', samples: 4, threads: 1 },
    },
    { title: 'a simulation', service: 'simulation', input: inputs.filter, parameters: {} },
    { title: 'a film that is topped up', ...filmed, maxCredits: '6' },
    { title: 'a film that is cancelled half-way', ...filmed, maxCredits: '6', cancelAt: 0.4 },
    { title: 'a film whose cap is raised', ...filmed, maxCredits: '2', whenParked: 'raise' },
    { title: 'a film that is cancelled when parked', ...filmed, maxCredits: '2', whenParked: 'cancel' },
  ];
  const plans = Array.from({ length: jobs }, (_, index) => sorts[index % sorts.length] as Plan);
  for (let last = plans.length - 1; last > 0; last--) {
    const other = chance.between(0, last);
    [plans[last], plans[other]] = [plans[other] as Plan, plans[last] as Plan];
  }
  return plans;
}

async function uploadInputs(product: LaunchedProduct) {
  return {
    gallery: await upload(product, await gallery()),
    filter: await upload(product, await filter()),
    triangle: await upload(product, triangle()),
  };
}

/** Uploads a file. @returns its digest. @throws Error when it is refused. */
export async function upload(
  product: LaunchedProduct,
  { name, mediaType, content }: UploadedInput,
  as: Who = 'submitter',
): Promise<string> {
  const answer = await product.insist('POST', `/v1/inputs?${new URLSearchParams({ name })}`, {
    as,
    body: { content, mediaType },
  });
  if (answer.status >= 300) throw new Error(`${name} was refused: ${JSON.stringify(answer.body)}`);
  return answer.body.digest;
}

async function submit(product: LaunchedProduct, contractId: string, plan: Plan): Promise<Told | { refused: string }> {
  const { service, input, parameters, expected, maxCredits } = plan;
  const request = { service, input, parameters, contractId };
  const quote = await product.insist('POST', '/v1/quotes', { json: request });
  if (quote.status !== 201) return { refused: `no quote: ${JSON.stringify(quote.body)}` };
  const price = quote.body.expected as string;
  const json = { ...request, maxCredits: maxCredits ?? price, ...(expected !== undefined && { expected }) };
  const answer = await product.insist('POST', '/v1/jobs', { json });
  if (answer.status !== 201 && answer.status !== 202) return { refused: JSON.stringify(answer.body) };
  return { plan, id: answer.body.id, price };
}

/** How long one job may take from its submission to its end, kills and the queue for two engines included. */
const JOB_LIMIT_MS = 10 * 60_000;

/** Follows a job to its end and does to it what is planned. @returns what went wrong on the way. */
async function follow(product: LaunchedProduct, { plan, id }: Told): Promise<string[]> {
  const findings: string[] = [];
  const giveUpAt = performance.now() + JOB_LIMIT_MS;
  let acted = false;
  const act = async (path: string, json?: unknown) => {
    acted = true;
    const { status, body } = await product.insist('POST', `/v1/jobs/${id}/${path}`, json === undefined ? {} : { json });
    // Too late is no failure: the job ended by itself meanwhile.
    if (status >= 300 && body.code !== 'job_already_ended') {
      findings.push(`${path} of job ${id} was refused: ${JSON.stringify(body)}`);
    }
  };
  for (;;) {
    const { status, body: job } = await product.insist('GET', `/v1/jobs/${id}`);
    if (status !== 200) return [...findings, `job ${id} cannot be seen: ${JSON.stringify(job)}`];
    if (isTerminal(job.state)) return findings;
    if (performance.now() > giveUpAt) return [...findings, `job ${id} does not end: it is ${job.state}`];
    if (!acted && plan.cancelAt !== undefined && Number(job.progress) >= plan.cancelAt) await act('cancel');
    if (!acted && plan.whenParked === 'cancel' && job.state === 'parked') await act('cancel');
    if (!acted && plan.whenParked === 'raise' && job.state === 'parked') await act('raise-cap', { maxCredits: '6' });
    await delay(250);
  }
}

/** Kills whoever chance picks, until the jobs have ended or it was enough. */
async function killAtRandom(storm: Storm, chance: Chance, calm: AbortSignal): Promise<Record<Fault, number>> {
  const { product, killsMax, pauseMs, say } = storm;
  const kills = Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as Record<Fault, number>;
  let order: Fault[] = [];
  for (let count = 0; count < killsMax; ) {
    await delay(chance.between(pauseMs.low, pauseMs.high), undefined, { signal: calm }).catch(() => undefined);
    if (calm.aborted) break;
    // In rounds, so that nobody is spared for long.
    if (order.length === 0) order = [...FAULTS].sort(() => chance.next() - 0.5);
    const victim = order.pop() as Fault;
    const engines = victim === 'engine' ? product.engines() : [];
    const killed = victim === 'engine' ? killOne(engines, chance) : product.signal(victim, 'SIGKILL');
    if (!killed) continue;
    count += 1;
    kills[victim] += 1;
    say(`killed ${victim}`);
  }
  return kills;
}

function killOne(engines: readonly { pid: number }[], chance: Chance): boolean {
  return engines.length > 0 && send(chance.pick(engines).pid, 'SIGKILL');
}

const READY_LIMIT_MS = 120_000;

/** Waits until everything answers. @throws Error when that does not come. */
export async function ready(product: LaunchedProduct): Promise<void> {
  const { status, body } = await product.insist('GET', '/health/ready', {}, READY_LIMIT_MS);
  if (status !== 200) throw new Error(`the product is not ready: ${status} ${JSON.stringify(body)}`);
}

/** What became of one job, and what of it is not as its price and its plan say. */
async function judge(product: LaunchedProduct, { plan, id, price }: Told) {
  const findings: string[] = [];
  const { status, body: job } = await product.insist('GET', `/v1/jobs/${id}`);
  if (status !== 200) throw new Error(`job ${id} cannot be seen: ${JSON.stringify(job)}`);
  const { body: usage } = await product.insist('GET', `/v1/jobs/${id}/usage`);
  const end = `${job.state} (${job.reason})`;
  const charged = parseCredits(job.charged ?? '0');
  const allowed = ['settled (completed)', 'released (platform-failed)'];
  if (plan.cancelAt !== undefined || plan.whenParked === 'cancel') {
    allowed.push('settled (cancelled)', 'released (cancelled)');
  }
  if (!allowed.includes(end)) findings.push(`${plan.title}, job ${id}, is ${end}: ${job.message}`);
  // Attempts that were lost cost nothing, so a completed job costs what it was quoted, however often it was begun.
  const due = minCredits(parseCredits(price), parseCredits(job.maxCredits));
  if (end === 'settled (completed)' && charged !== due) {
    findings.push(`${plan.title}, job ${id}, was quoted ${price} and charged ${job.charged}`);
  }
  if (charged > parseCredits(job.maxCredits))
    findings.push(`job ${id} was charged ${job.charged} of ${job.maxCredits}`);
  const attempts = usage.attempts as { outcome: string | null }[];
  const attemptsLost = attempts.filter(({ outcome }) => outcome === 'lost' || outcome === 'engine-failed').length;
  return { end, charged, attempts: attempts.length, attemptsLost, findings };
}

interface Balance {
  readonly available: bigint;
  readonly reserved: bigint;
}

/** What the submitter could spend on the contract: its lots and the submitter's own. */
async function balanceOf(product: LaunchedProduct, contractId: string): Promise<Balance> {
  const { body: me } = await product.insist('GET', '/v1/me');
  const balances = await Promise.all(
    [`/v1/contracts/${contractId}/balance`, `/v1/users/${me.userId}/balance`].map(
      async (path) => (await product.insist('GET', path)).body,
    ),
  );
  const sum = (field: 'available' | 'reserved') =>
    balances.reduce((total, one) => total + parseCredits(one[field]), 0n);
  return { available: sum('available'), reserved: sum('reserved') };
}

function balanceFindings(known: { before: Balance; after: Balance; charged: bigint }): string[] {
  const { before, after, charged } = known;
  const findings: string[] = [];
  if (after.reserved !== before.reserved) findings.push('credits are still reserved although every job has ended');
  if (before.available - after.available !== charged) {
    const gone = formatCredits(before.available - after.available);
    findings.push(`${gone} credits are gone and ${formatCredits(charged)} were charged`);
  }
  return findings;
}

/** How many of the submitter's jobs are there beside those that were there before. */
async function countJobs(product: LaunchedProduct, ours: ReadonlySet<string>): Promise<number> {
  const oldest = [...ours].sort()[0] ?? '';
  let count = 0;
  for (let cursor: string | null = ''; cursor !== null; ) {
    const query: string = cursor === '' ? '' : `?${new URLSearchParams({ cursor })}`;
    const { body } = await product.insist('GET', `/v1/jobs${query}`);
    // Ids are in the order of time: what came after our first is ours, or doubled.
    count += (body.items as { id: string }[]).filter(({ id }) => id >= oldest).length;
    cursor = body.nextCursor;
  }
  return count;
}

function counted(ends: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const end of ends) counts[end] = (counts[end] ?? 0) + 1;
  return counts;
}
