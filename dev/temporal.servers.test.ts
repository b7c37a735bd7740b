import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { SEARCH_ATTRIBUTES, startTemporal } from './temporal';

jest.setTimeout(60_000);

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-temporal-'));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const connected = async <T>(address: string, ask: (client: Client) => Promise<T>): Promise<T> => {
  const connection = await Connection.connect({ address });
  try {
    return await ask(new Client({ connection }));
  } finally {
    await connection.close();
  }
};

test('the test server answers and knows the search attributes of a job', async () => {
  const attributes = await connected(process.env.HOLDFAST_TEST_TEMPORAL_ADDRESS as string, (client) =>
    client.connection.operatorService.listSearchAttributes({ namespace: 'default' }),
  );
  expect(Object.keys(attributes.customAttributes ?? {}).sort()).toEqual(Object.keys(SEARCH_ATTRIBUTES).sort());
});

test('a workflow started before kill -9 of Temporal is there after the next start, on the same port', async () => {
  const options = { store: { folder: join(folder, 'temporal') }, uiPort: false, log: join(folder, 'log') } as const;
  const first = await startTemporal(options);
  try {
    await connected(first.address, (client) =>
      client.workflow.start('anything', { workflowId: 'kept', taskQueue: 'nobody-listens', args: [] }),
    );
    process.kill(first.pid, 'SIGKILL');
    expect((await first.exited).signal).toBe('SIGKILL');
  } finally {
    await first.stop();
  }
  const second = await startTemporal({ ...options, port: first.port });
  try {
    const found = await connected(second.address, (client) => client.workflow.getHandle('kept').describe());
    expect(found.status.name).toBe('RUNNING');
  } finally {
    await second.stop();
  }
});
