/**
 * What is read to recompute a ledger, from a database and in an export alike: lines of fields in Postgres's COPY text
 * format. The first field is the letter of the section. First come the tables that are small or change in place, each
 * ordered by its key; then the journal, batch by batch; and behind each batch the facts about the jobs that it closed, so
 * that nothing has to be remembered of a job that is closed.
 */

export interface Section {
  /** The first field of each line. */
  readonly letter: string;
  readonly table: string;
  /** The fields after the letter. */
  readonly columns: readonly string[];
  /** Selects the fields after the letter, in the order of the lines. */
  readonly sql: string;
}

/** The fields of facts begin with the batch that closed their job, or with this where none did, and the job. */
export const NO_BATCH = '9223372036854775807';

const POOLS = ['id', 'owner', 'seq', 'head', 'booked_max', 'recorded_at', 'digest'] as const;
const RATE_CARDS = ['version', 'effective_at', 'card', 'published_by', 'recorded_at'] as const;
const BUDGETS = [
  'id',
  'contract_id',
  'user_id',
  'project',
  'period',
  'amount',
  'warn_percent',
  'refuse_percent',
  'closed_at',
] as const;
const BUDGET_PERIODS = ['budget_id', 'starts_at', 'ends_at', 'reserved', 'charged'] as const;
const LOTS = [
  'id',
  'pool_id',
  'pool_owner',
  'kind',
  'source',
  'reference',
  'granted',
  'available',
  'reserved',
  'consumed',
  'expired',
  'withdrawn',
  'purchased_at',
  'effective_at',
  'expires_at',
  'withdrawn_at',
  'ended_as',
  'advance',
  'grace_until',
] as const;
const BATCHES = ['id', 'recorded_at', 'digest'] as const;
const OPERATIONS = [
  'batch_id',
  'position',
  'kind',
  'subject',
  'act',
  'refers_to',
  'user_id',
  'contract_id',
  'project',
  'booked_at',
  'cap',
  'absorbed',
  'effective_at',
  'expires_at',
  'withdrawn_at',
  'actor',
  'reason',
  'moves',
  'lot_ids',
  'amounts',
  'request_hash',
  'grace_until',
] as const;
const LINKS = ['batch_id', 'pool_id', 'seq', 'head', 'booked_max', 'recorded_at'] as const;
const JOBS = [
  'id',
  'user_id',
  'contract_id',
  'service',
  'input_digest',
  'input_name',
  'parameters',
  'dimensions',
  'quote_id',
  'rate_card_version',
  'expected',
  'max_credits',
  'time_limit_seconds',
  'comment',
  'project',
  'state',
  'reason',
  'message',
  'progress',
  'revision',
  'submitted_at',
  'ended_at',
] as const;
const QUOTES = [
  'id',
  'user_id',
  'contract_id',
  'service',
  'input_digest',
  'parameters',
  'dimensions',
  'estimate',
  'rate_card_version',
  'low',
  'expected',
  'high',
  'max_credits',
  'quoted_at',
  'valid_until',
] as const;
const ATTEMPTS = ['job_id', 'number', 'runner', 'worker', 'started_at', 'ended_at', 'outcome', 'message'] as const;
const USAGE_RECORDS = [
  'job_id',
  'attempt',
  'seq',
  'meter',
  'unit',
  'quantity',
  'source',
  'measured_at',
  'recorded_at',
] as const;
const CHARGES = [
  'id',
  'job_id',
  'user_id',
  'contract_id',
  'service',
  'rate_card_version',
  'job_end',
  'rated',
  'charged',
  'absorbed',
  'max_credits',
  'dossier',
  'booked_at',
  'recorded_at',
] as const;

const REFUND_REQUESTS = [
  'id',
  'charge_id',
  'job_id',
  'amount',
  'actual',
  'reason',
  'requested_by',
  'requested_at',
  'recorded_at',
] as const;
const REFUND_REJECTIONS = ['request_id', 'reason', 'rejected_by', 'rejected_at', 'recorded_at'] as const;

/** Read first and kept. */
export const STATE: readonly Section[] = [
  table('n', 'contracts', ['id', 'time_zone'], 'id'),
  table('u', 'users', ['id'], 'id'),
  table('v', 'rate_cards', RATE_CARDS, 'version'),
  table('p', 'pools', POOLS, 'id'),
  table('l', 'lots', LOTS, 'id'),
  table('g', 'budgets', BUDGETS, 'id'),
  table('h', 'budget_periods', BUDGET_PERIODS, 'budget_id, starts_at'),
  table('r', 'refund_requests', REFUND_REQUESTS, 'id'),
  table('x', 'refund_rejections', REFUND_REJECTIONS, 'request_id'),
  // Which settled jobs are refunded later: what they captured is kept until then. A refund of any other job is wrong.
  {
    letter: 'f',
    table: 'operations',
    columns: ['refers_to'],
    sql: `select 'f', refers_to
      from operations
      where refers_to is not null and kind in ('refund', 'correct')
      group by refers_to
      order by refers_to`,
  },
];

/** Read side by side, merged by batch, in this order within a batch. */
export const JOURNAL: readonly Section[] = [
  table('b', 'batches', BATCHES, 'id'),
  table('o', 'operations', OPERATIONS, 'batch_id, position'),
  table('k', 'links', LINKS, 'batch_id, pool_id'),
];

/** Read beside the journal: behind the batch that closed their job, ordered by job and in this order within a job. */
export const FACTS: readonly Section[] = [
  facts('j', 'jobs', JOBS, { jobId: 'f.id' }),
  facts('q', 'quotes', QUOTES, { jobId: 'j.id', join: 'left join jobs j on j.quote_id = f.id' }),
  facts('a', 'attempts', ATTEMPTS, { jobId: 'f.job_id', order: 'f.number' }),
  facts('m', 'usage_records', USAGE_RECORDS, { jobId: 'f.job_id', order: 'f.attempt, f.seq, f.meter' }),
  facts('c', 'charges', CHARGES, { jobId: 'f.job_id' }),
];

/** Read last, of exports alone: in a database the unique index says that a key stands there once. */
export const KEYS: Section = table('y', 'operations', ['subject', 'act'], 'subject, act');

function table(letter: string, name: string, columns: readonly string[], order: string): Section {
  return {
    letter,
    table: name,
    columns,
    sql: `select '${letter}', ${columns.join(', ')} from ${name} order by ${order}`,
  };
}

function facts(
  letter: string,
  name: string,
  columns: readonly string[],
  { jobId, join = '', order = 'f.id' }: { jobId: string; join?: string; order?: string },
): Section {
  const closedIn = `coalesce(closing.batch_id, ${NO_BATCH})`;
  return {
    letter,
    table: name,
    columns: ['closing_batch_id', 'closing_job_id', ...columns],
    sql: `select '${letter}', ${closedIn}, ${jobId}, ${columns.map((column) => `f.${column}`).join(', ')}
      from ${name} f
      ${join}
      left join operations closing on closing.subject = ${jobId} and closing.act = 'close'
      order by ${closedIn}, ${jobId}, ${order}`,
  };
}
