/** No server is needed here: the present workflow code is held against what its predecessors did. */
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { bundlePath } from '../test/world/bundle';
import { HISTORIES, type HistoryName, type RecordedHistory, readHistory } from '../test/world/histories';

jest.setTimeout(60_000);

beforeAll(() => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
});

function replay(name: HistoryName, history: RecordedHistory): Promise<void> {
  return Worker.runReplayHistory({ workflowBundle: { codePath: bundlePath() } }, history, `replay/${name}`);
}

it.each(HISTORIES)('the workflow does again what the history "%s" says', async (name) => {
  await replay(name, await readHistory(name));
});

describe('a history that the workflow cannot have made is found out', () => {
  it('when it ran another activity', async () => {
    const history = await readHistory('settled');
    for (const { activityTaskScheduledEventAttributes: scheduled } of history.events) {
      if (scheduled) scheduled.activityType = { name: 'somethingElse' };
    }
    await expect(replay('settled', history)).rejects.toThrow(DeterminismViolationError);
  });

  it('when it ran without reserving', async () => {
    const history = await readHistory('settled');
    for (const event of history.events) {
      if (event.markerRecordedEventAttributes) event.markerRecordedEventAttributes = { markerName: 'unrelated' };
    }
    await expect(replay('settled', history)).rejects.toThrow();
  });
});
