import { ApplicationFailure } from '@temporalio/activity';
import { msToTs } from '@temporalio/common/lib/time';
import { World } from './world';
import { eventually } from './eventually';
jest.setTimeout(40_000);
it('debug', async () => {
  const world = await World.open();
  const log = (...a: unknown[]) => require('node:fs').appendFileSync('/tmp/t1dev/debug.log', a.map((x) => typeof x === 'string' ? x : JSON.stringify(x)).join(' ') + '\n');
  try {
    await world.serveJobs(); await world.serveCompute();
    const spender = await world.openSpender('100');
    const s = await world.submit({ spender, expected: '10', script: async (attempt) => {
        await attempt.meter(11, 0.5);
        await attempt.park('cap', 0.5);
        await attempt.end('stopped');
        throw ApplicationFailure.create({ message: 'between two attempts', nextRetryDelay: '3 days' });
    } });
    await eventually('parked', async () => (await s.row()).state === 'parked');
    await eventually('backoff', async () => (await s.handle.describe()).raw.pendingActivities?.[0]?.attempt === 2);
    log((await s.handle.describe()).raw.pendingActivities);
    const target = { namespace: world.namespace, workflowExecution: { workflowId: s.handle.workflowId } };
    const r = await world.client.workflowService.updateWorkflowExecutionOptions({ ...target,
      workflowExecutionOptions: { timeSkippingConfig: { enabled: true, maxSessionSkipCount: 1000, fastForwardConfig: { id: 'a', duration: msToTs(3600_000) } } },
      updateMask: { paths: ['time_skipping_config'] } });
    log(r);
    for (let i = 0; i < 8; i++) {
      await new Promise((r) => setTimeout(r, 1000));
      const { events } = await s.handle.fetchHistory();
      log((events ?? []).map((e) => e.eventType).join(','));
      log((await s.handle.describe()).raw.workflowExtendedInfo ?? {});
    }
    log(await world.client.withDeadline(Date.now() + 5000, () => world.client.workflowService.pollWorkflowExecutionTimeSkipping({ ...target, fastForwardId: 'a' })).catch(String));
    await s.handle.terminate().catch(() => 0);
  } finally { await world.close(); }
});
