/**
 * A long journal in short time: operations as the ledger writes them, with batches and chains that verify, written straight
 * into the tables by the database's owner.
 */
import { statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { connect, type Db, firstRow } from '../../../db/client';
import { openLedger } from '../../../db/ledger';
import { openContracts, PROJECT } from './contracts';
import { type BenchDatabase, say } from './server';

const CONTRACTS = 64;
/** A batch reserves for so many jobs of one contract, tops up one in ten of the batch before, and settles those before that. */
const JOBS = 30;
const TOP_UPS = JOBS / 10;
const OPERATIONS = JOBS + TOP_UPS + JOBS;
/** Batches that are written in one transaction. */
const CHUNK = 2_000;
/** What an operation takes on disk with its indexes, its share of the batch, and what the log keeps of it meanwhile. */
const BYTES = 700;

/** Whether the disk has room for a journal of so many operations. */
export async function hasRoomFor(operations: number): Promise<boolean> {
  const { bavail, bsize } = await statfs(tmpdir());
  return bavail * bsize > operations * BYTES + 4 * 2 ** 30;
}

/** Fills a new database's journal with at least so many operations of closed jobs, and leaves nothing for Postgres to catch up on. */
export async function fillJournal(database: BenchDatabase, operations: number): Promise<void> {
  const ledger = openLedger(database.db);
  const contracts = await openContracts(database, ledger, { contracts: CONTRACTS, usersEach: 1, lotsEach: 1 });
  await ledger.close();

  const began = performance.now();
  // The jobs of the last two batches of each contract are not reserved any more, only closed.
  const batches = Math.ceil(operations / OPERATIONS) + 2 * CONTRACTS;
  const owner = connect(database.url, { poolMax: 1, as: 'owner' });
  try {
    // No trigger moves credits: what the operations add up to is written at the end.
    await owner.raw('set session_replication_role = replica');
    await prepare(
      owner,
      contracts.map(({ contractId }) => contractId),
      batches,
    );
    for (let from = 0; from < batches; from += CHUNK) {
      await owner.raw('begin');
      await insertBatches(owner, from, Math.min(from + CHUNK, batches), batches);
      await owner.raw('commit');
    }
    await chain(owner);
    await moveCredits(owner);
    await owner.raw('vacuum analyze');
    await owner.raw('checkpoint');
  } finally {
    await owner.destroy();
  }
  const written = await firstRow<{ count: bigint }>(database.owner, 'select count(*) from operations');
  say(`a journal of ${written?.count} operations, in ${((performance.now() - began) / 1_000).toFixed(0)} s`);
}

/** Where history begins: a batch every so often from the contracts' first lots until now. */
async function prepare(owner: Db, contractIds: readonly string[], batches: number): Promise<void> {
  await owner.raw(
    `create temporary table history as
     select (ordinality - 1)::int as contract, p.id as contract_id, u.user_id, l.id as lot_id, l.effective_at as starts_at,
       (now() - l.effective_at) / ? as step, b.last as last_batch_id
     from unnest(?::uuid[]) with ordinality as given (id, ordinality)
     join pools p on p.id = given.id
     join contract_users u on u.contract_id = p.id
     join lots l on l.pool_id = p.id
     cross join (select max(id) as last from batches) as b`,
    [batches, contractIds] as never,
  );
}

/** Batches take turns between the contracts. Ids of jobs are in the order of their time, like all ids. */
async function insertBatches(owner: Db, from: number, to: number, batches: number): Promise<void> {
  await owner.raw(
    `insert into operations
       (batch_id, booked_at, cap, position, subject, user_id, contract_id, kind, act, actor, reason, moves, lot_ids, amounts,
        project, request_hash)
     select h.last_batch_id + 1 + batch, h.starts_at + batch * h.step,
       case stage when 0 then 3 * amount end,
       row_number() over (partition by batch order by stage, slot) - 1,
       (lpad(to_hex((extract(epoch from h.starts_at + opened * h.step) * 1000)::bigint), 12, '0')
         || '7' || substr(chance, 1, 3) || '8' || substr(chance, 4, 15))::uuid,
       case when stage < 2 then h.user_id end,
       case when stage < 2 then h.contract_id end,
       case stage when 0 then 'reserve' when 1 then 'topUp' else 'settle' end,
       case stage when 0 then 'reserve' when 1 then 'topUp/1' else 'close' end,
       'job', '',
       case when stage < 2 then 'ar' when cost < held then 'rcra' else 'rc' end,
       case when stage = 2 and cost < held then array[h.lot_id, h.lot_id] else array[h.lot_id] end,
       case when stage < 2 then array[amount] when cost < held then array[cost, held - cost] else array[cost] end,
       case stage when 0 then '${PROJECT}' end,
       decode(md5(chance || stage), 'hex')
     from generate_series(?::int, ?::int - 1) as batch
     join history h on h.contract = batch % ${CONTRACTS}
     cross join (
       select 0, slot from generate_series(0, ${JOBS - 1}) as slot
       union all
       select 1, 10 * slot from generate_series(0, ${TOP_UPS - 1}) as slot
       union all
       select 2, slot from generate_series(0, ${JOBS - 1}) as slot
     ) as acts (stage, slot)
     cross join lateral (select batch - ${CONTRACTS} * stage) as a (opened)
     cross join lateral (select opened * ${JOBS} + slot, md5((opened * ${JOBS} + slot)::text)) as b (job, chance)
     cross join lateral (select (1 + job % 9) * 1000000::bigint) as c (amount)
     cross join lateral (select case when slot % 10 = 0 then 2 * amount else amount end) as d (held)
     cross join lateral (select held * (50 + job % 51) / 100) as e (cost)
     where opened between 0 and ?::int - 1`,
    [from, to, batches - 2 * CONTRACTS],
  );
  await owner.raw(
    `insert into batches (id, recorded_at, digest)
     select batch_id, now(), sha256(convert_to(string_agg(line, E'\\n' order by position), 'UTF8'))
     from canonical_operations, (select last_batch_id as last from history limit 1) as h
     where batch_id > h.last + ?::int and batch_id <= h.last + ?::int
     group by batch_id`,
    [from, to],
  );
}

/** Each contract's links go on from the head that its first grant left. */
async function chain(owner: Db): Promise<void> {
  await owner.raw(`
    create function pg_temp.head_after(
      head bytea, first bytea, batch_id bigint, recorded_at timestamptz, digest bytea
    ) returns bytea
      language sql stable
      return next_head(coalesce(head, first), batch_id, recorded_at, digest);
    create aggregate pg_temp.head_after(first bytea, batch_id bigint, recorded_at timestamptz, digest bytea)
      (sfunc = pg_temp.head_after, stype = bytea);

    insert into links (pool_id, seq, batch_id, head, booked_max, recorded_at)
    select p.id, p.seq + row_number() over in_order, b.id, pg_temp.head_after(p.head, b.id, b.recorded_at, b.digest) over in_order,
      h.starts_at + (b.id - h.last_batch_id - 1) * h.step, b.recorded_at
    from history h
    join pools p on p.id = h.contract_id
    join batches b on b.id > h.last_batch_id and (b.id - h.last_batch_id - 1) % ${CONTRACTS} = h.contract
    window in_order as (partition by p.id order by b.id);

    update pools
    set seq = l.seq, head = l.head, booked_max = l.booked_max, recorded_at = l.recorded_at, digest = b.digest
    from (select distinct on (pool_id) * from links order by pool_id, seq desc) as l
    join batches b on b.id = l.batch_id
    where pools.id = l.pool_id;

    select setval('batch_ids', (select max(id) from batches))`);
}

/** All jobs are closed: what they captured is consumed. */
async function moveCredits(owner: Db): Promise<void> {
  await owner.raw(`
    update lots
    set available = available - captured.amount, consumed = consumed + captured.amount
    from (
      select lot_ids[1] as lot_id, sum(amounts[1]) as amount
      from operations
      where kind = 'settle'
      group by 1
    ) as captured
    where lots.id = captured.lot_id`);
}
