/** What must hold after any fault, whoever was killed when: looked at in the ledger and in Temporal, not in what the product says. */
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { connect, type Db, rows } from '../../db/client';
import { brokenInvariants } from '../../db/testing/invariants';
import { jobWorkflowId } from '../../domain/job';
import type { LaunchedProduct } from './product';

/** A last workflow task may be under way when its job is already settled. */
const CLOSE_LIMIT_MS = 30_000;

/**
 * Checks a product in which nothing runs any more: every job has ended, no credit is lost or doubled, no reservation is open
 * without a living workflow, no workflow is open without a living job, no engine runs.
 *
 * @returns one sentence for each thing that is not so.
 */
export async function findUnsound(product: LaunchedProduct): Promise<string[]> {
  const { databaseUrl, temporalAddress, namespace } = product.instance;
  const db = connect(String(databaseUrl), { poolMax: 2, applicationName: 'holdfast chaos' });
  const connection = await Connection.connect({ address: String(temporalAddress), connectTimeout: '30s' });
  try {
    const client = new Client({ connection, namespace });
    return [
      ...(await brokenInvariants(db)),
      ...(await jobsWithoutEnd(db)),
      ...(await deadReservations(db, client)),
      ...(await lingeringWorkflows(client)),
      ...(await chargedFigures(db)),
      ...product.engines().map(({ pid, jobId }) => `engine ${pid} of job ${jobId} still runs`),
    ];
  } finally {
    await connection.close();
    await db.destroy();
  }
}

async function jobsWithoutEnd(db: Db): Promise<string[]> {
  const found = await rows<{ id: string; state: string }>(
    db,
    `select id, state
     from jobs
     where ended_at is null or state not in ('settled', 'released', 'rejected')
     order by id`,
  );
  return found.map(({ id, state }) => `job ${id} has not ended: it is ${state}`);
}

/** Every open reservation has a workflow that can still close it. */
async function deadReservations(db: Db, client: Client): Promise<string[]> {
  const open = await rows<{ jobId: string }>(db, `select job_id as "jobId" from open_reservations order by job_id`);
  const found: string[] = [];
  for (const { jobId } of open) {
    const status = await statusOf(client, jobId);
    if (status !== 'RUNNING') found.push(`the reservation of job ${jobId} is open and its workflow is ${status}`);
  }
  return found;
}

async function statusOf(client: Client, jobId: string): Promise<string> {
  try {
    return (await client.workflow.getHandle(jobWorkflowId(jobId)).describe()).status.name;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'missing';
    throw error;
  }
}

async function lingeringWorkflows(client: Client): Promise<string[]> {
  const giveUpAt = performance.now() + CLOSE_LIMIT_MS;
  for (;;) {
    const found: string[] = [];
    const open = client.workflow.list({ query: `WorkflowType = 'job' and ExecutionStatus = 'Running'` });
    for await (const { workflowId } of open) found.push(`workflow ${workflowId} is open although its job has ended`);
    if (found.length === 0 || performance.now() > giveUpAt) return found;
    await delay(200);
  }
}

/** A settled job has one charge, any other none, and a charge counts no attempt that the platform lost. */
async function chargedFigures(db: Db): Promise<string[]> {
  const found = await rows<{ what: string }>(
    db,
    `select format('job %s is %s and has %s charges', j.id, j.state, count(c.id)) as what
     from jobs j
     left join charges c on c.job_id = j.id
     group by j.id, j.state
     having count(c.id) <> (j.state = 'settled')::int
     union all
     select format('the charge of job %s counts its lost attempt %s', c.job_id, a.number)
     from charges c
     join attempts a on a.job_id = c.job_id and a.outcome in ('lost', 'engine-failed')
     join lateral jsonb_array_elements(c.dossier::jsonb -> 'usage') as used on (used ->> 'attempt')::int = a.number
     where (used ->> 'charged')::boolean`,
  );
  return found.map(({ what }) => what);
}
