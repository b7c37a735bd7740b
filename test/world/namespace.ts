/** A Temporal namespace of its own for each test file: the task queues have fixed names. */
import { randomBytes } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { temporal } from '@temporalio/proto';
import { SEARCH_ATTRIBUTES } from '../../workflows/searchAttributes';
import { eventually } from './eventually';

/**
 * Registers a namespace with our search attributes and waits until workflows can be asked for in it.
 *
 * @throws Error with a sentence when there is no server.
 */
export async function openNamespace(): Promise<{ client: Client; address: string; namespace: string }> {
  const address = process.env.HOLDFAST_TEST_TEMPORAL_ADDRESS;
  if (!address) {
    throw new Error('HOLDFAST_TEST_TEMPORAL_ADDRESS is not set; run these tests with jest’s project "servers"');
  }
  const connection = await Connection.connect({ address });
  const namespace = `test-${randomBytes(8).toString('hex')}`;
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: msToTs('3 days'),
  });
  const { INDEXED_VALUE_TYPE_KEYWORD: keyword, INDEXED_VALUE_TYPE_DATETIME: datetime } =
    temporal.api.enums.v1.IndexedValueType;
  const searchAttributes = Object.fromEntries(
    SEARCH_ATTRIBUTES.map(({ name, type }) => [name, type === 'DATETIME' ? datetime : keyword]),
  );
  const client = new Client({ connection, namespace });
  const named = SEARCH_ATTRIBUTES.map(({ name }) => `${name} is not null`).join(' and ');
  // A namespace is known to every part of the server a moment after it was registered.
  await eventually(`namespace ${namespace} with its search attributes`, async () => {
    try {
      await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
      await client.workflow.count(named);
      return true;
    } catch {
      return false;
    }
  });
  return { client, address, namespace };
}
