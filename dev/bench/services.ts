/**
 * A job of every service at once on the whole product, and how long the API takes meanwhile to say how a job stands: engines
 * use all the processors there are, and people must not notice.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DEMO } from '../../db/seed';
import { SERVICES } from '../../services';
import { type LaunchedProduct, launch } from '../chaos/product';
import { upload } from '../chaos/storm';
import { packageRoot } from '../root';
import { type Figure, figure, percentile } from './figure';

interface Order {
  readonly service: string;
  readonly sample: string;
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/** Ten jobs that differ in service, input or engine; each takes some seconds on one processor. */
const ORDERS: readonly Order[] = [
  { service: 'rendering', sample: 'gallery.glb', parameters: { width: 640, height: 360, quality: 'high' } },
  { service: 'rendering', sample: 'hall.pov', parameters: { width: 480, height: 360, quality: 'standard' } },
  { service: 'simulation', sample: 'filter.cir' },
  { service: 'structural-analysis', sample: 'cantilever.inp' },
  {
    service: 'structural-analysis',
    sample: 'bracket.geo',
    parameters: { youngsModulus: 210_000, poissonsRatio: 0.3, force: [0, 0, -200], meshSize: 3 },
  },
  { service: 'cfd', sample: 'cavity.cfd.json' },
  { service: 'cfd', sample: 'channel.cfd.json' },
  { service: 'injection-moulding', sample: 'plate.mould.json' },
  { service: 'road-profile', sample: 'valley.csv' },
  { service: 'optimization', sample: 'tower.truss.json' },
];
const READERS = 4;
/** Each reader asks as often as a person's page would, and then some. */
const ASK_EVERY_MS = 50;
const QUIET_MS = 10_000;
const GOAL_MS = 100;

/** The p99 of `GET /v1/jobs/:id` while the jobs run, against that of the same product with nothing to do. */
export async function benchServices(): Promise<Figure> {
  const home = await mkdtemp(join(tmpdir(), 'holdfast-bench-'));
  const product = await launch({ home });
  try {
    // One job before, so that nothing is done for the first time while it is measured.
    const [warm] = await submitAll(product, ORDERS.slice(2, 3));
    await allEnded(product, [warm ?? '']);
    const quiet = await read(product, [warm ?? ''], delay(QUIET_MS));
    const startedAt = performance.now();
    const jobs = await submitAll(product, ORDERS);
    const loaded = await read(product, jobs, allEnded(product, jobs));
    const seconds = (performance.now() - startedAt) / 1_000;
    const ends = await Promise.all(jobs.map(async (id) => (await product.ask('GET', `/v1/jobs/${id}`)).body));
    return figure({
      name: 'ten-services',
      params: { jobs: jobs.length, readers: READERS, askedEveryMs: ASK_EVERY_MS },
      ours: percentile(loaded, 0.99),
      baseline: percentile(quiet, 0.99),
      unit: 'ms p99 of GET /v1/jobs/:id',
      goal: { of: 'ours', bound: '<=', value: GOAL_MS },
      seen: {
        seconds,
        asked: loaded.length,
        p50: percentile(loaded, 0.5),
        engines: ends.map(({ route }) => `${route.runner}/${route.engine}`),
        settled: ends.filter(({ state }) => state === 'settled').length,
      },
    });
  } finally {
    await product.stop();
    await rm(home, { recursive: true, force: true });
  }
}

/** Submits all at once, each under its quote. @returns the jobs. */
function submitAll(product: LaunchedProduct, orders: readonly Order[]): Promise<string[]> {
  return Promise.all(
    orders.map(async ({ service, sample, parameters = {} }) => {
      const content = await readFile(join(packageRoot(), 'samples', sample));
      const accepted = SERVICES.get(service)?.accepts.find(({ extension }) => sample.endsWith(extension));
      const mediaType = accepted?.mediaType ?? 'application/octet-stream';
      const input = await upload(product, { name: sample, mediaType, content });
      const json = { service, input, parameters, contractId: DEMO.contract };
      const quote = await product.insist('POST', '/v1/quotes', { json });
      const job = await product.insist('POST', '/v1/jobs', { json: { quoteId: quote.body.id } });
      if (job.status !== 201) throw new Error(`${service} of ${sample} was refused: ${JSON.stringify(job.body)}`);
      return job.body.id;
    }),
  );
}

async function allEnded(product: LaunchedProduct, jobs: readonly string[]): Promise<void> {
  for (const id of jobs) {
    while ((await product.ask('GET', `/v1/jobs/${id}`)).body.endedAt === null) await delay(250);
  }
}

/** Asks how jobs stand until something is done. @returns how long each answer took, in ms, the fastest first. */
async function read(product: LaunchedProduct, jobs: readonly string[], until: Promise<unknown>): Promise<number[]> {
  let isOver = false;
  const ended = until.finally(() => {
    isOver = true;
  });
  const took: number[] = [];
  const readers = Array.from({ length: READERS }, async (_, reader) => {
    for (let turn = reader; !isOver; turn++) {
      const startedAt = performance.now();
      await product.ask('GET', `/v1/jobs/${jobs[turn % jobs.length]}`);
      took.push(performance.now() - startedAt);
      await delay(ASK_EVERY_MS);
    }
  });
  await Promise.all([ended, ...readers]);
  return took.sort((a, b) => a - b);
}
