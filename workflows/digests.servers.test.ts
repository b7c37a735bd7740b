import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { DigestActivities, PageRequest } from '../activities/digests';
import { bundlePath } from '../test/world/bundle';
import { openNamespace } from '../test/world/namespace';
import type { digests } from './digests';
import { CONTRACTS_TASK_QUEUE } from './messages';

jest.setTimeout(60_000);

let client: Client;
let connection: NativeConnection;
let namespace: string;

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const opened = await openNamespace();
  ({ client, namespace } = opened);
  connection = await NativeConnection.connect({ address: opened.address });
});
afterAll(async () => {
  await connection?.close();
  await client?.connection.close();
});

async function run(activities: DigestActivities, workflowId = `digests-${randomUUID()}`) {
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: CONTRACTS_TASK_QUEUE,
    workflowBundle: { codePath: bundlePath() },
    activities: { ...activities },
  });
  return worker.runUntil(
    client.workflow.execute<typeof digests>('digests', { taskQueue: CONTRACTS_TASK_QUEUE, workflowId }),
  );
}

it('looks at balances, then at digests, to the last page of each', async () => {
  const asked: [string, string | null][] = [];
  const page = (stage: string) => async (request: PageRequest) => {
    asked.push([stage, request.after]);
    expect(request.at).toMatch(/^\d{4}-\d{2}-\d{2}T.*000Z$/);
    const next = request.after === null ? 'a' : null;
    return { examined: 2, done: 1, findings: next ? [] : [`${stage} finds`], next };
  };
  const summary = await run({ lowBalancePage: page('balances'), digestPage: page('digests') });
  expect(asked).toEqual([
    ['balances', null],
    ['balances', 'a'],
    ['digests', null],
    ['digests', 'a'],
  ]);
  expect(summary).toEqual({ examined: 8, queued: 2, delivered: 2, findings: ['balances finds', 'digests finds'] });
});

it('goes on in a new run before its history grows long, and loses nothing on the way', async () => {
  const PAGES = 60;
  const workflowId = `digests-${randomUUID()}`;
  const summary = await run(
    {
      lowBalancePage: async () => ({ examined: 0, done: 0, findings: [], next: null }),
      digestPage: async ({ after }) => {
        const number = Number(after ?? '0') + 1;
        return { examined: 1, done: 1, findings: [], next: number === PAGES ? null : String(number) };
      },
    },
    workflowId,
  );
  expect(summary).toEqual({ examined: PAGES, queued: 0, delivered: PAGES, findings: [] });
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const started = events?.[0]?.workflowExecutionStartedEventAttributes;
  expect(started?.continuedExecutionRunId).not.toBe('');
  expect(events?.length).toBeLessThan(150);
});
