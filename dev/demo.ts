/**
 * The demo: real jobs on the sample files, each shown from its quote to its charge. One needs a top-up, one is cancelled
 * half-way, one is refused. It goes through the REST API alone, as any customer would.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Charge, Client, Draw, Job, JobUsage, Problem, Quote, QuoteRequest } from '../cli/client';
import { Refused } from '../cli/client';
import { fileNameOf } from '../cli/commands/jobs';
import type { Progress } from '../cli/progress';
import { isCompleted, watchJob } from '../cli/watch';
import { type Dossier, recomputeDossier } from '../domain/charge';
import { formatCredits, parseCredits } from '../domain/credits';

export interface Demo {
  /** The API as the engineer who submits, and as the provider who grants credits when an earlier demo used them up. */
  readonly submitter: Client;
  readonly provider: Client;
  readonly urls: DemoUrls;
  /** The folder of the sample files. */
  readonly samples: string;
  /** Where results are downloaded to. */
  readonly results: string;
  readonly progress: Progress;
  /** Sees each job as soon as its story is complete. */
  readonly tell: (shown: Shown) => void;
}

export interface DemoUrls {
  readonly api: string;
  readonly docs: string | null;
  readonly temporalUi: string | null;
}

export interface Drawn {
  readonly amount: string;
  readonly draws: readonly Draw[];
}

/** One job of the demo with everything there is to know of it. */
export interface Shown {
  readonly name: string;
  readonly title: string;
  readonly quote: Quote | null;
  /** Null when the job was refused. */
  readonly job: Job | null;
  readonly reserved: Drawn | null;
  readonly toppedUp: readonly Drawn[];
  readonly usage: JobUsage | null;
  readonly charge: Charge | null;
  /** What of the charge did not follow from its dossier; empty when it was recomputed to the last microcredit. */
  readonly findings: readonly string[];
  readonly results: readonly string[];
  readonly problem: Problem | null;
  readonly links: Readonly<Record<string, string>>;
}

/** What programs get with `--json`. */
export interface DemoReport {
  readonly urls: DemoUrls;
  readonly jobs: readonly Shown[];
  readonly quotes: readonly Quote[];
  readonly charges: readonly Charge[];
  /** What did not go as the demo says; none when all is well. */
  readonly surprises: readonly string[];
  readonly seconds: number;
}

/** Runs the jobs. Needs credits of the order of twenty and grants what is missing. */
export async function demo(options: Demo): Promise<DemoReport> {
  const from = performance.now();
  const { submitter, urls, progress, tell } = options;
  const contracts = await prepareContracts(options);
  const scene = await upload(options, 'gallery.glb', 'model/gltf-binary');
  const netlist = await upload(options, 'filter.cir', 'text/x-spice');
  const jobs: Shown[] = [];
  const surprises: string[] = [];
  const shown = (one: Shown, surprise: string | undefined) => {
    jobs.push(one);
    if (surprise !== undefined) surprises.push(`${one.name}: ${surprise}`);
    surprises.push(...one.findings.map((finding) => `${one.name}: ${finding}`));
    tell(one);
  };
  const rendering = (parameters: Record<string, unknown>, contractId = contracts.main): QuoteRequest => ({
    service: 'rendering',
    input: scene,
    parameters,
    contractId,
  });

  progress.say('Two quoted jobs: a picture of the scene, and the analyses of the netlist.');
  const quotes = await Promise.all([
    submitter.quote(rendering(PICTURE)).then(({ body }) => body),
    submitter
      .quote({ service: 'simulation', input: netlist, parameters: {}, contractId: contracts.main })
      .then(({ body }) => body),
  ]);
  const [picture, simulation] = quotes;
  const quoted = await Promise.all([
    run(options, { name: 'picture', title: 'A picture, as quoted', request: { quoteId: picture.id }, quote: picture }),
    run(options, {
      name: 'simulation',
      title: 'A simulation, as quoted',
      request: { quoteId: simulation.id },
      quote: simulation,
    }),
  ]);
  progress.end();
  for (const one of quoted) shown(one, notCompleted(one));

  progress.say('Two turntables: one is expected to cost too little, one is cancelled half-way.');
  const [underestimated, cancelled] = await Promise.all([
    run(options, {
      name: 'top-up',
      title: 'A turntable that costs more than its submitter expected',
      request: { ...rendering(UNDERESTIMATED), expected: '2', maxCredits: '6' },
    }),
    run(options, {
      name: 'cancelled',
      title: 'A turntable that is cancelled half-way and charged for what it used',
      request: { ...rendering(CANCELLED), maxCredits: '10' },
      cancelAt: 0.4,
    }),
  ]);
  progress.end();
  shown(
    underestimated,
    notCompleted(underestimated) ?? (underestimated.toppedUp.length === 0 ? 'it was not topped up' : undefined),
  );
  shown(cancelled, cancelled.job?.reason === 'cancelled' ? undefined : `it ended as ${cancelled.job?.reason}`);

  progress.say('A film that nobody has the credits for.');
  const film = (await submitter.quote(rendering(FILM, contracts.small))).body;
  const refused = await run(options, {
    name: 'refused',
    title: 'A film that is refused for lack of credits',
    request: tooDear(film, rendering(FILM, contracts.small)),
    quote: film,
  });
  shown(
    refused,
    refused.problem?.code === 'insufficient_credits' ? undefined : 'it was not refused for lack of credits',
  );

  return {
    urls,
    jobs,
    quotes: jobs.flatMap(({ quote }) => quote ?? []),
    charges: jobs.flatMap(({ charge }) => charge ?? []),
    surprises,
    seconds: Math.round((performance.now() - from) / 100) / 10,
  };
}

/** The quality decides the price and the samples the time: all of it together takes two cores about half a minute. */
const PICTURE = { width: 1280, height: 800, quality: 'high', samples: 3 };
const UNDERESTIMATED = { width: 640, height: 400, frames: 12, quality: 'final', samples: 1 };
const CANCELLED = { width: 640, height: 400, frames: 16, quality: 'final', samples: 1 };
const FILM = { width: 3840, height: 2160, frames: 240, quality: 'final' };

/** A demo uses up to about twenty credits; three times that is wanted, so that a few runs need no grant. */
const CREDITS_WANTED = parseCredits('60');

/** The contract with the most credits pays; the one with the fewest shows a refusal. */
async function prepareContracts({ submitter, provider, progress }: Demo): Promise<{ main: string; small: string }> {
  const { contractIds } = (await submitter.me()).body;
  const balances = await Promise.all(
    contractIds.map(async (id) => ({
      id,
      available: parseCredits((await submitter.contractBalance(id)).body.spendable),
    })),
  );
  balances.sort((a, b) => (a.available < b.available ? 1 : -1));
  const main = balances[0];
  const small = balances.at(-1);
  if (!main || !small) throw new Error('the demo person is authorised on no contract');
  if (main.available < CREDITS_WANTED) {
    const amount = '100';
    await provider.grantToContract(main.id, { kind: 'shared', amount, reason: 'credits for another demo' });
    progress.say(`Earlier runs left ${formatCredits(main.available)} credits; the provider granted ${amount} more.`);
  }
  return { main: main.id, small: small.id };
}

async function upload({ submitter, samples }: Demo, name: string, mediaType: string): Promise<string> {
  return (await submitter.upload({ path: join(samples, name), name, mediaType })).body.digest;
}

interface Planned {
  readonly name: string;
  readonly title: string;
  readonly request: Parameters<Client['submit']>[0];
  readonly quote?: Quote;
  /** Cancel once this much is done. */
  readonly cancelAt?: number;
}

async function run(options: Demo, planned: Planned): Promise<Shown> {
  const { submitter } = options;
  const { name, title, quote = null } = planned;
  const submitted = await submitter.submit(planned.request).catch((error: unknown) => {
    if (error instanceof Refused) return error;
    throw error;
  });
  if (submitted instanceof Refused) {
    const { problem } = submitted;
    const links = (problem.links ?? {}) as Record<string, string>;
    return { ...NOTHING_HAPPENED, name, title, quote, problem, links: whole(links, options.urls.api) };
  }
  const { job, reserved, toppedUp } = await follow(options, planned, submitted.body);
  const [usage, charge, results] = await Promise.all([
    submitter.usage(job.id).then(({ body }) => body),
    job.state === 'settled' ? submitter.chargeOfJob(job.id).then(({ body }) => body) : null,
    downloadResults(options, name, job),
  ]);
  const findings = charge ? await recompute(submitter, charge) : [];
  const links = whole(job.links, options.urls.api);
  return { name, title, quote, job, reserved, toppedUp, usage, charge, findings, results, problem: null, links };
}

const NOTHING_HAPPENED = {
  job: null,
  reserved: null,
  toppedUp: [],
  usage: null,
  charge: null,
  findings: [],
  results: [],
} as const;

/** Follows a job to its end and notes what was reserved when. */
async function follow({ submitter, progress }: Demo, { name, cancelAt }: Planned, { id: jobId }: Job) {
  let reserved: Drawn | null = null;
  const toppedUp: Drawn[] = [];
  let cancelling: Promise<unknown> | undefined;
  const job = await watchJob({
    client: submitter,
    jobId,
    label: name,
    progress,
    onEvent: ({ event, data }, snapshot) => {
      if (event === 'reserved') reserved = drawnIn(data, 'reserved');
      if (event === 'topped-up') toppedUp.push(drawnIn(data, 'added'));
      if (cancelAt === undefined || cancelling || !snapshot || Number(snapshot.progress) < cancelAt) return;
      // Too late is no failure of the request: the job's own end tells.
      cancelling = submitter.cancel(jobId).catch((error: unknown) => {
        if (!(error instanceof Refused)) throw error;
      });
    },
  });
  await cancelling;
  return { job, reserved: reserved as Drawn | null, toppedUp };
}

function drawnIn(event: string, amount: 'reserved' | 'added'): Drawn {
  const { data } = JSON.parse(event) as { data: Record<string, unknown> };
  return { amount: String(data[amount]), draws: (data.draws ?? []) as Draw[] };
}

async function downloadResults({ submitter, results }: Demo, name: string, job: Job): Promise<string[]> {
  const { items } = (await submitter.results(job.id)).body;
  if (items.length === 0) return [];
  const folder = join(results, `${name}-${job.id.slice(-12)}`);
  await mkdir(folder, { recursive: true });
  const paths: string[] = [];
  for (const result of items) {
    const path = join(folder, fileNameOf(result.name));
    await submitter.download(job.id, result.name, path);
    paths.push(path);
  }
  return paths;
}

async function recompute(client: Client, charge: Charge): Promise<string[]> {
  const dossier = (await client.dossier(charge.id)).body as unknown as Dossier;
  const findings = recomputeDossier(dossier);
  if (dossier.charged !== charge.charged) {
    findings.push(`the charge says ${charge.charged}, its dossier ${dossier.charged}`);
  }
  return findings;
}

/** The quoted film where it cannot be paid; should somebody have granted that much, a job that asks for more still. */
function tooDear(quote: Quote, request: QuoteRequest): Planned['request'] {
  if (quote.payers.shortfall !== '0') return { quoteId: quote.id };
  const amount = formatCredits(parseCredits(quote.payers.available) + parseCredits('1'));
  return { ...request, expected: amount, maxCredits: amount };
}

function notCompleted({ job, problem }: Shown): string | undefined {
  if (job && isCompleted(job)) return undefined;
  return problem ? `it was refused: ${problem.detail}` : `it ended as ${job?.state} (${job?.reason}): ${job?.message}`;
}

/** Links as whole addresses. */
function whole(links: Readonly<Record<string, string>>, api: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(links).map(([name, link]) => [name, link.startsWith('/') ? api + link : link]),
  );
}
