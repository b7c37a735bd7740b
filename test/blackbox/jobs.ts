/** What a submitter of these tests does: small jobs, and waiting for what becomes of them. */
import type { Answer, Engine, LaunchedProduct, Who } from '../../dev/chaos/product';
import { eventually } from '../world/eventually';

/** The queue for two engines on a busy machine included. */
const JOB_LIMIT_MS = 120_000;

/** One picture that is priced at the least, 1 credit; the samples decide how long it takes. */
export function picture(input: string, samples: number) {
  const parameters = { width: 200, height: 150, quality: 'final', samples, threads: 1 };
  return { service: 'rendering', input, parameters, maxCredits: '1' };
}

/** Twelve pictures: 3 credits in all, one of them reserved at first. */
export function film(input: string, { maxCredits, samples = 3 }: { maxCredits: string; samples?: number }) {
  const parameters = { width: 640, height: 400, frames: 12, quality: 'final', samples, threads: 1 };
  return { service: 'rendering', input, parameters, expected: '1', maxCredits };
}

/** Submits and expects a reservation. @returns the job's id. */
export async function submit(product: LaunchedProduct, request: object, as: Who = 'submitter'): Promise<string> {
  const answer = await product.insist('POST', '/v1/jobs', { as, json: request });
  expect(answer).toMatchObject({ status: 201, body: { state: 'reserved' } });
  return answer.body.id;
}

// biome-ignore lint/suspicious/noExplicitAny: as the API shows it
export type SeenJob = any;

/** Waits until a job is as wanted. */
export function jobWhen(
  product: LaunchedProduct,
  jobId: string,
  wanted: string | ((job: SeenJob) => boolean),
  as: Who = 'submitter',
): Promise<SeenJob> {
  const fits = typeof wanted === 'string' ? (job: SeenJob) => job.state === wanted : wanted;
  let seen: SeenJob;
  return eventually(
    `job ${jobId} ${typeof wanted === 'string' ? wanted : 'as wanted'}`,
    async () => {
      ({ body: seen } = await product.insist('GET', `/v1/jobs/${jobId}`, { as }));
      return fits(seen) ? seen : undefined;
    },
    JOB_LIMIT_MS,
  ).catch((cause) => {
    throw new Error(`${cause.message}; the last look: ${JSON.stringify(seen)}`, { cause });
  });
}

/** Waits for the end of a job's billing. */
export function ended(product: LaunchedProduct, jobId: string, as: Who = 'submitter'): Promise<SeenJob> {
  return jobWhen(product, jobId, ({ state }) => ['settled', 'released', 'rejected'].includes(state), as);
}

/** Waits until an engine has done some work of a job, and gives the engine. */
export async function midRun(product: LaunchedProduct, jobId: string): Promise<Engine> {
  await jobWhen(product, jobId, ({ progress, endedAt }) => {
    if (endedAt) throw new Error(`job ${jobId} ended before it was looked at`);
    return Number(progress) > 0.05;
  });
  return engineOf(product, jobId);
}

/** The engine of a job, once it runs. */
export function engineOf(product: LaunchedProduct, jobId: string, attempt?: number): Promise<Engine> {
  return eventually(
    `an engine of job ${jobId}`,
    () =>
      product
        .engines()
        .find((engine) => engine.jobId === jobId && (attempt === undefined || engine.attempt === attempt)),
    JOB_LIMIT_MS,
  );
}

/** How each attempt of a job ended, in order, and whether what it metered was charged. */
export async function attemptsOf(product: LaunchedProduct, jobId: string) {
  const { body } = await product.insist('GET', `/v1/jobs/${jobId}/usage`);
  const { attempts, usage } = body as {
    attempts: { number: number; outcome: string | null }[];
    usage: { attempt: number; charged: boolean; meter: string }[];
  };
  return attempts.map(({ number, outcome }) => {
    const metered = usage.filter(({ attempt }) => attempt === number);
    return { outcome, metered: metered.length > 0, charged: metered.some(({ charged }) => charged) };
  });
}

/** What an attempt looks like that the platform lost in the middle, and one that did its work. */
export const LOST = { outcome: 'lost', metered: true, charged: false };
export const COMPLETED = { outcome: 'completed', metered: true, charged: true };

export function refusedForNow(answer: Answer | undefined): boolean {
  return answer?.status === 503 && Number(answer.headers.get('retry-after')) > 0;
}
