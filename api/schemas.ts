/** The shapes of requests and answers: the one source of validation, types and OpenAPI. */
import { z } from 'zod';
import { ROLES } from '../db/people';
import { REFUND_STATUSES } from '../db/refunds';
import { ALLOCATION_FREQUENCIES, ALLOCATION_MEASURES, ALLOCATION_RECIPIENTS } from '../domain/allocationRules';
import { BUDGET_PERIODS } from '../domain/budget';
import { CALENDAR_ACTS } from '../domain/contractCalendar';
import { CONTRACT_PHASES } from '../domain/contractPhase';
import { JOB_STATES } from '../domain/job';
import { BUCKETS, LOT_KINDS, LOT_SOURCES } from '../domain/lots';
import { RESULTS } from '../domain/noticeDelivery';
import { CHANNELS, DIGEST_ENTRY_KINDS, isTimeZone, LANGUAGES, NOTICE_KINDS } from '../domain/notices';
import { JOB_ENDS } from '../domain/rateCard';
import { RUNNERS } from '../domain/route';
import { SESSION_ENDS } from '../domain/session';
import { WITHDRAWAL_NAMES_MAX, WITHDRAWAL_STATES, WITHDRAWAL_USER_STATES } from '../domain/withdrawal';
import {
  amount,
  count,
  digest,
  idParams,
  instant,
  pageOf,
  pageQuery,
  reason,
  signedAmount,
  text,
  uuid,
} from './schemas/base';

export * from './schemas/contracts';
export * from './schemas/people';
export * from './schemas/purchases';
export * from './schemas/rates';
export { amount, digest, idParams, instant, pageOf, pageQuery, signedAmount, uuid };

const projectName = z
  .string()
  .max(100)
  .regex(/^[^\s\p{C}]([^\p{C}]*[^\s\p{C}])?$/u, 'a name of 1 to 100 visible characters, without spaces around it')
  .meta({ examples: ['crash-tests-2026'] });
const parameters = z.record(z.string(), z.unknown());

export const problem = z
  .object({
    type: z.string().describe('A stable URI of the kind of problem.'),
    title: z.string(),
    status: z.number().int(),
    code: z.string().describe('The stable code of the kind of problem.'),
    detail: z.string().describe('A sentence that says what to do.'),
    instance: z.string().describe('The request that it is about.'),
    retryable: z.boolean().describe('Whether the same request can succeed later.'),
  })
  .loose()
  .meta({ id: 'Problem', description: 'RFC 9457 problem details; further members depend on the code.' });

export const remedy = z
  .object({ action: z.string(), message: z.string(), amount: amount.optional() })
  .meta({ id: 'Remedy', description: 'Something that would let the request succeed.' });

export const insufficientCredits = problem
  .extend({
    required: amount,
    available: amount,
    shortfall: amount,
    remedies: z.array(remedy),
    jobId: uuid.optional(),
    links: z.record(z.string(), z.string()).optional(),
  })
  .meta({ id: 'InsufficientCredits', description: 'A job was rejected for lack of credits.' });

export const me = z
  .object({
    userId: uuid,
    name: z.string(),
    email: z.string(),
    roles: z.array(z.enum(ROLES)),
    contractIds: z.array(uuid),
  })
  .meta({ id: 'Me', description: 'The person of the API key.' });

export const meter = z
  .object({ name: z.string(), unit: z.string(), title: z.string(), rated: z.boolean() })
  .meta({ id: 'Meter' });

export const service = z
  .object({
    name: z.string(),
    title: z.string(),
    description: z.string(),
    accepts: z.array(z.object({ extension: z.string(), mediaType: z.string(), title: z.string() })),
    inputBytesMax: count,
    meters: z.array(meter),
    parameters: z.record(z.string(), z.unknown()).describe('JSON Schema of the parameters.'),
    rates: z
      .record(z.string(), z.unknown())
      .nullable()
      .describe('The rates of the card in force, if it sells the service.'),
  })
  .meta({ id: 'Service', description: 'Something that can be bought and run.' });

export const input = z
  .object({ digest, size: count, name: z.string(), mediaType: z.string() })
  .meta({ id: 'Input', description: 'An uploaded file.' });

export const quoteRequest = z
  .strictObject({
    service: text(60),
    input: digest,
    parameters: parameters.default({}),
    contractId: uuid.nullable().default(null).describe('Null spends individual credits alone.'),
  })
  .meta({ id: 'QuoteRequest' });

export const draw = z
  .object({ lotId: uuid, kind: z.enum(LOT_KINDS), amount })
  .meta({ id: 'Draw', description: 'A slice of one lot.' });

const scenario = z.array(z.object({ meter: z.string(), quantity: z.string() }));

export const quote = z
  .object({
    id: uuid,
    service: z.string(),
    input: digest,
    parameters,
    contractId: uuid.nullable(),
    dimensions: z.record(z.string(), z.string()),
    rateCardVersion: count,
    low: amount,
    expected: amount,
    high: amount,
    maxCredits: amount.describe('Not to exceed: what a job with this quote is charged at most.'),
    reason: z.string().describe('Why the scenarios differ, or do not.'),
    usage: z.object({ low: scenario, expected: scenario, high: scenario }),
    payers: z
      .object({ draws: z.array(draw), available: amount, shortfall: amount, remaining: amount })
      .describe('Which lots would pay the expected amount now, and what would remain.'),
    quotedAt: instant,
    validUntil: instant,
  })
  .meta({ id: 'Quote', description: 'A rated forecast of a job with frozen rates. It reserves nothing.' });

const variant = z.strictObject({
  name: z.string().min(1).max(100).optional().describe('What the answer calls it; by default its place, from 1.'),
  input: digest.optional().describe('Another file than the one of all.'),
  parameters: parameters.default({}).describe('Parameters that differ from those of all.'),
});

export const previewRequest = z
  .strictObject({
    service: text(60),
    input: digest,
    parameters: parameters.default({}).describe('What all variants have in common.'),
    contractId: uuid.nullable().default(null).describe('Null spends individual credits alone.'),
    variants: z
      .array(variant)
      .min(1)
      .max(50)
      .default([{ parameters: {} }]),
  })
  .meta({ id: 'PreviewRequest' });

export const preview = z
  .object({
    rateCardVersion: count.nullable().describe('The rates that were taken; null when no variant could be priced.'),
    variants: z.array(
      z.union([
        quote
          .pick({
            input: true,
            parameters: true,
            dimensions: true,
            low: true,
            expected: true,
            high: true,
            maxCredits: true,
            reason: true,
            usage: true,
            payers: true,
          })
          .extend({ name: z.string() }),
        z.object({ name: z.string(), problem }),
      ]),
    ),
  })
  .meta({ id: 'Preview', description: 'What variants of a job would cost now. Nothing is kept of it.' });

export const sessionRequest = z
  .strictObject({
    design: digest.describe('The design’s file, uploaded before.'),
    contractId: uuid.nullable().default(null).describe('Null spends individual credits alone.'),
    maxCredits: amount.describe('Not to exceed: what the session may cost.'),
    project: projectName.optional(),
    comment: text(500).default(''),
  })
  .meta({ id: 'SessionRequest' });

const workCounters = z
  .record(z.string().regex(/^[a-z][A-Za-z0-9]{0,63}$/), z.int().min(0))
  .refine((counters) => Object.keys(counters).length <= 64, 'at most 64 counters');

export const externalClaimRequest = z
  .strictObject({
    agent: text(100).describe('Who claims, for people: a host or a cluster.'),
    engines: z
      .array(
        z
          .string()
          .regex(/^[a-z][a-z0-9-]*$/)
          .max(60),
      )
      .min(1)
      .max(50),
  })
  .meta({ id: 'ExternalClaimRequest', description: 'The engines that the claimer runs.' });

export const externalClaim = z
  .object({
    token: z.string().describe('Fits this attempt alone; send it as Attempt-Token.'),
    jobId: uuid,
    attempt: count,
    engine: z.string(),
    parameters,
    timeLimitSeconds: z.number(),
    memoryBytesMax: count,
    heartbeatSeconds: z.number().describe('Report at least this often, or the attempt is taken for lost.'),
  })
  .meta({ id: 'ExternalClaim', description: 'A run for the claimer alone.' });

export const externalReport = z
  .strictObject({
    seq: z.int().min(1).describe('Counts the reports of the attempt from 1.'),
    fraction: z.number().min(0).max(1),
    counters: workCounters,
    cpuSeconds: z.number().min(0).default(0),
    peakMemoryBytes: z.int().min(0).default(0),
    isSuspended: z.boolean().default(false),
  })
  .meta({ id: 'ExternalReport', description: 'What an attempt has done so far, in figures that never fall.' });

export const externalWish = z
  .object({ wants: z.enum(['run', 'suspend', 'stop']) })
  .meta({ id: 'ExternalWish', description: 'What the attempt is to do now.' });

export const externalResult = z
  .object({ name: z.string(), digest, size: count, mediaType: z.string() })
  .meta({ id: 'ExternalResult' });

export const externalEnd = z
  .strictObject({
    kind: z.enum(['completed', 'stopped', 'input-failed', 'engine-failed']),
    message: text(2000).default(''),
    log: z.string().max(16_384).default('').describe('The end of the engine’s own log.'),
    counters: workCounters,
    statistics: workCounters.nullable().default(null).describe('Counters as the program itself states them.'),
  })
  .meta({ id: 'ExternalEnd' });

const choices = z.record(z.string().max(100), z.string().max(100));

export const sessionActivity = z
  .strictObject({ choices: choices.default({}).describe('What was chosen: option to choice.') })
  .meta({ id: 'SessionActivity', description: 'A sign of life of the session’s user.' });

export const session = z
  .object({
    id: uuid.describe('Also the id of its job.'),
    state: z.enum(['open', 'ended']),
    design: digest,
    contractId: uuid.nullable(),
    isAdministrator: z.boolean().describe('An administrator’s own look, which costs nothing.'),
    choices,
    openedAt: instant,
    activeAt: instant,
    warnAt: instant.nullable().describe('When a user who does nothing is warned; null in an ended session.'),
    endsAt: instant.describe('When it ends unless somebody goes on, or when it ended.'),
    endedFor: z.enum(SESSION_ENDS).nullable(),
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Session', description: 'A configuration session.' });

const jobOptions = {
  timeLimitSeconds: z
    .number()
    .int()
    .min(1)
    .max(604_800)
    .default(3_600)
    .describe('Running time, parked time not counted.'),
  comment: text(500).default(''),
  project: projectName.optional().describe('What the job is for. Budgets can limit what a project costs.'),
  runner: z.enum(RUNNERS).optional().describe('Where to run; without it wherever the best engine is offered.'),
};

export const quotedJobRequest = z.strictObject({ quoteId: uuid, ...jobOptions }).meta({ id: 'QuotedJobRequest' });

export const unquotedJobRequest = z
  .strictObject({
    service: text(60),
    input: digest,
    parameters: parameters.default({}),
    contractId: uuid.nullable().default(null),
    maxCredits: amount.describe('Not to exceed.'),
    expected: amount.optional().describe('What to reserve at first; by default what the input is estimated at.'),
    ...jobOptions,
  })
  .meta({ id: 'UnquotedJobRequest' });

export const jobRequest = z
  .union(
    [quotedJobRequest, unquotedJobRequest],
    'send either quoteId alone, or service, input and maxCredits; timeLimitSeconds, comment, project and runner fit both',
  )
  .meta({ id: 'JobRequest' });

export const job = z
  .object({
    id: uuid,
    service: z.string(),
    state: z.enum(JOB_STATES),
    reason: z.string().nullable().describe('A stable code for why the job is in its state.'),
    message: z.string().nullable(),
    progress: z.string().describe('Work done, from "0" to "1".'),
    runs: z
      .object({ total: count, completed: count, failed: count, running: count })
      .describe('How the runs of the job stand: one, or the points of a design of experiments.'),
    userId: uuid,
    contractId: uuid.nullable(),
    input: z.object({ digest, name: z.string() }),
    parameters,
    dimensions: z.record(z.string(), z.string()),
    quoteId: uuid.nullable(),
    rateCardVersion: count,
    expected: amount,
    maxCredits: amount,
    reserved: amount.describe('What is set aside now; zero once the job ended.'),
    draws: z.array(draw).describe('The lots that the reservation holds now.'),
    charged: amount.nullable().describe('Null until the job is settled.'),
    timeLimitSeconds: count,
    comment: z.string(),
    project: z.string().nullable(),
    route: z
      .object({ runner: z.enum(RUNNERS), engine: z.string() })
      .nullable()
      .describe('The engine that runs it, and through which runner.'),
    submittedAt: instant,
    endedAt: instant.nullable(),
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Job' });

export const attempt = z
  .object({
    number: count,
    run: count.describe('Of which run of the job, from 1.'),
    runner: z.string(),
    worker: z.string(),
    startedAt: instant,
    endedAt: instant.nullable(),
    outcome: z.string().nullable(),
    message: z.string().nullable(),
  })
  .meta({ id: 'Attempt', description: 'One execution of a job.' });

export const usage = z
  .object({
    jobId: uuid,
    attempts: z.array(attempt),
    usage: z.array(
      z.object({
        attempt: count,
        charged: z.boolean().describe('False for attempts that the platform lost.'),
        meter: z.string(),
        unit: z.string(),
        quantity: z.string(),
        rated: z.boolean(),
      }),
    ),
  })
  .meta({ id: 'JobUsage', description: 'What a job used, per attempt and meter.' });

export const result = z
  .object({ name: z.string(), digest, size: count, mediaType: z.string(), url: z.string() })
  .meta({ id: 'Result' });

export const raiseCapRequest = z.strictObject({ maxCredits: amount }).meta({ id: 'RaiseCapRequest' });

const buckets = {
  available: signedAmount,
  reserved: signedAmount,
  consumed: signedAmount,
  expired: signedAmount,
  withdrawn: signedAmount,
};

export const lot = z
  .object({
    id: uuid,
    kind: z.enum(LOT_KINDS),
    source: z.enum(LOT_SOURCES),
    reference: z.string().nullable(),
    granted: amount,
    ...buckets,
    purchasedAt: instant.nullable(),
    receivedAt: instant.nullable().describe('When the customer received what was imported.'),
    effectiveAt: instant,
    expiresAt: instant.nullable(),
    withdrawnAt: instant.nullable(),
    graceUntil: instant
      .nullable()
      .describe('Until when a renewal of its contract would bring it back; null where nothing can.'),
    endedAs: z.enum(['expired', 'withdrawn']).nullable().describe('Set once the end of its life is booked.'),
    advance: z.boolean().describe('Whether the next shared lots repay what was used of it.'),
    owed: signedAmount.describe('What shared lots have still to repay of an advance.'),
    spendable: z.boolean().describe('Whether a job can draw on it at the instant that was asked for.'),
  })
  .meta({ id: 'Lot', description: 'An amount of credits with one origin, owner, kind and life.' });

const importedTimes = {
  receivedAt: instant.optional().describe('When the customer received it. For imports, and needed there.'),
  effectiveAt: instant
    .optional()
    .describe('For imports: from when on it can be spent; by default when it was received.'),
  purchasedAt: instant.optional(),
};

/** Own times belong to imports: what is granted now is effective now. */
function checkTimes(
  lot: { source: string; receivedAt?: string | undefined; effectiveAt?: string | undefined },
  context: z.RefinementCtx,
): void {
  const refuse = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message });
  if (lot.source === 'import') {
    if (lot.receivedAt === undefined) refuse('receivedAt', 'say when the customer received what is imported');
    return;
  }
  for (const field of ['receivedAt', 'effectiveAt'] as const) {
    if (lot[field] !== undefined) refuse(field, 'only what is imported has such a time of its own');
  }
}

export const sharedLotRequest = z
  .strictObject({
    kind: z.literal('shared'),
    source: z.enum(['purchase', 'import']).default('purchase'),
    amount,
    ...importedTimes,
    purchasedAt: instant
      .optional()
      .describe(
        'Now by default, for imports when it was received. The lot expires 12 months later or with its contract.',
      ),
    reference: text(200).optional().describe('Order number or the like.'),
    reason,
  })
  .superRefine(checkTimes)
  .meta({ id: 'SharedLotRequest' });

export const courtesyLotRequest = z
  .strictObject({
    kind: z.literal('courtesy'),
    amount,
    expiresAt: instant,
    repay: z.boolean().default(false).describe('An advance: the next shared lots repay what was used of it.'),
    reason,
  })
  .meta({ id: 'CourtesyLotRequest' });

export const contractLotRequest = z
  .discriminatedUnion('kind', [sharedLotRequest, courtesyLotRequest])
  .meta({ id: 'ContractLotRequest' });

export const userLotRequest = z
  .strictObject({
    source: z.enum(['allocation', 'import']).default('allocation'),
    amount,
    ...importedTimes,
    reference: text(200).optional(),
    reason,
  })
  .superRefine((lot, context) => {
    checkTimes(lot, context);
    if (lot.source === 'import' || lot.purchasedAt === undefined) return;
    context.addIssue({ code: 'custom', path: ['purchasedAt'], message: 'only what is imported has such a time' });
  })
  .meta({ id: 'UserLotRequest', description: 'An individual lot: it never expires and nobody else can spend it.' });

/** The instants that a balance is asked for. */
export const asOfQuery = z.strictObject({
  bookedAt: instant.optional().describe('Count only what is booked not later than this.'),
  recordedAt: instant.optional().describe('Count only what was recorded not later than this: what was known then.'),
});

const amounts = {
  granted: amount,
  spendable: signedAmount.describe('What jobs can draw on: what is available of living lots.'),
  ...buckets,
};
const asked = {
  at: instant.describe('Whose lives decide what is spendable: bookedAt, else recordedAt, else now.'),
  bookedAt: instant.nullable(),
  recordedAt: instant.nullable(),
};

export const balance = z
  .object({ ...asked, ...amounts, byKind: z.array(z.object({ kind: z.enum(LOT_KINDS), ...amounts })) })
  .meta({ id: 'Balance', description: 'What lots hold: granted is always the sum of the five buckets.' });

export const lotBalance = z
  .object({
    lotId: uuid,
    kind: z.enum(LOT_KINDS),
    ...asked,
    ...amounts,
    effectiveAt: instant.nullable().describe('The life of the lot as of then; null when it was not granted yet.'),
    expiresAt: instant.nullable(),
    withdrawnAt: instant.nullable(),
  })
  .meta({ id: 'LotBalance' });

export const transfer = z
  .object({
    batchId: z.string().describe('The transaction of the ledger that it came with.'),
    kind: z.string(),
    subject: uuid.describe('What the operation is about: a job, a lot or a refund.'),
    act: z.string(),
    jobId: uuid.nullable(),
    lotId: uuid,
    from: z.enum(['granted', ...BUCKETS]),
    to: z.enum(BUCKETS),
    amount,
    bookedAt: instant,
    recordedAt: instant,
    actor: z.string(),
    reason: z.string(),
  })
  .meta({ id: 'Transfer', description: 'A positive amount of one lot from one bucket to another; never changed.' });

const percent = z.number().int().min(1).max(1000).nullable();
const ceiling = {
  amount,
  warnPercent: percent.default(80).describe('Jobs are told when they bring a period here; null warns nobody.'),
  refusePercent: percent.default(100).describe('Jobs that would go beyond are refused; null refuses none.'),
  reason: reason.optional(),
};

export const budgetRequest = z
  .strictObject({
    userId: uuid.optional(),
    project: projectName.optional(),
    period: z.enum(BUDGET_PERIODS).describe('By the calendar of the contract’s time zone.'),
    ...ceiling,
  })
  .refine(({ userId, project }) => (userId === undefined) !== (project === undefined), {
    message: 'say whose budget it is: give either userId or project',
  })
  .meta({ id: 'BudgetRequest' });

export const budgetCloseQuery = z.strictObject({ reason: reason.optional() });

export const budgetChange = z.strictObject(ceiling).meta({ id: 'BudgetChange' });

export const budget = z
  .object({
    id: uuid.describe('A change makes a new budget with a new id; the address of the old one leads to it.'),
    contractId: uuid,
    userId: uuid.nullable(),
    project: z.string().nullable(),
    period: z.enum(BUDGET_PERIODS),
    amount,
    warnPercent: percent,
    refusePercent: percent,
    current: z
      .object({
        startsAt: instant.nullable().describe('Null for a budget in total.'),
        endsAt: instant.nullable(),
        reserved: amount.describe('What open jobs of the period hold.'),
        charged: amount.describe('What its jobs were charged, less refunds.'),
        used: amount,
        remaining: amount.describe(
          'What jobs may still reserve before they are refused; up to the amount if none are.',
        ),
        warning: z.boolean(),
        refusing: z.boolean().describe('Whether nothing more can be reserved.'),
      })
      .describe('The period of now. A job counts in the period in which it was reserved.'),
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Budget', description: 'A ceiling on what jobs of a user or a project reserve and cost.' });

const refundReason = { reason: reason.describe('Why; the ledger and the customer see it.') };
export const refundRequest = z
  .union(
    [
      z.strictObject({
        amount: amount.refine((text) => /[1-9]/.test(text), 'more than zero').describe('What to give back.'),
        ...refundReason,
      }),
      z.strictObject({ actual: amount.describe('What the job should have cost: a correction.'), ...refundReason }),
    ],
    'send a reason and either amount, which is more than zero, or actual',
  )
  .meta({ id: 'RefundRequest' });

export const rejectionRequest = z.strictObject({ reason }).meta({ id: 'RejectionRequest' });

export const refund = z
  .object({
    id: uuid,
    chargeId: uuid,
    jobId: uuid,
    status: z.enum(REFUND_STATUSES),
    amount: amount.nullable().describe('What was to be given back; null for a correction.'),
    actual: amount.nullable().describe('What the job should have cost; null for a refund of an amount.'),
    reason: z.string(),
    requestedBy: z.string(),
    requestedAt: instant,
    needsApproval: z.boolean(),
    decidedBy: z.string().nullable(),
    decidedAt: instant.nullable(),
    decisionReason: z.string().nullable(),
    refunded: amount.nullable().describe('What was given back; null until it is booked.'),
    unwound: amount.nullable().describe('How much less the provider bears.'),
    returned: z.array(draw.extend({ to: z.string() })).describe('The lots that it went back to.'),
    bookedAt: instant.nullable(),
    recordedAt: instant.nullable(),
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Refund' });

export const charge = z
  .object({
    id: uuid,
    jobId: uuid,
    service: z.string(),
    userId: uuid,
    contractId: uuid.nullable(),
    rateCardVersion: count,
    end: z.enum(JOB_ENDS),
    lines: z.array(z.record(z.string(), z.string())),
    exact: z.string().describe('The exact sum of the lines before rounding.'),
    rounding: z.string(),
    rated: amount,
    charged: amount,
    absorbed: amount.describe('What the provider bears.'),
    maxCredits: amount,
    draws: z.array(draw),
    returned: z.array(draw.extend({ to: z.string() })),
    refunded: amount.describe('What refunds and corrections gave back of it.'),
    netCharged: amount.describe('What remains charged.'),
    netAbsorbed: amount.describe('What the provider still bears.'),
    refunds: z.array(refund),
    flags: z
      .array(
        z.object({
          attempt: count,
          counter: z.string(),
          counted: z.number(),
          stated: z.number(),
          message: z.string(),
        }),
      )
      .describe(
        'Where what was counted differs from what the program itself states. The charge stands on what was counted.',
      ),
    bookedAt: instant,
    recordedAt: instant,
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Charge', description: 'The immutable record of what a job cost and who paid, with its refunds.' });

export const dossier = z
  .object({ format: z.literal('holdfast-dossier/1') })
  .loose()
  .meta({ id: 'Dossier', description: 'Everything needed to recompute one charge offline.' });

export const notice = z
  .object({
    id: uuid,
    kind: z.enum(NOTICE_KINDS),
    required: z.boolean().describe('Told whatever the person prefers.'),
    subjectId: uuid.nullable().describe('What it is about, such as a withdrawal.'),
    about: z
      .object({ userId: uuid, name: z.string() })
      .describe('The person it is for: you, or somebody you administer.'),
    channel: z.enum(CHANNELS),
    subject: z.string(),
    text: z.string(),
    shownAt: instant,
    readAt: instant.nullable(),
    unread: z.boolean().describe('Whether it waits to be read here; what was mailed does not.'),
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Notice', description: 'What you were told, in the words in which you were told it.' });

export const noticeProof = z
  .object({
    notice: z.object({
      id: uuid,
      kind: z.enum(NOTICE_KINDS),
      userId: uuid,
      subjectId: uuid.nullable(),
      required: z.boolean(),
      at: instant,
    }),
    state: z.enum(['waiting', 'delivered', 'undeliverable']),
    nextAt: instant.nullable().describe('When it is tried again.'),
    attempts: z.array(
      z.object({
        number: count,
        channel: z.enum(CHANNELS),
        recipients: z.array(z.string()),
        messageId: z.string().nullable(),
        language: z.enum(LANGUAGES),
        subject: z.string(),
        text: z.string(),
        at: instant,
        result: z.enum(RESULTS).nullable().describe('Null while nothing is known of it.'),
        answer: z.string().nullable().describe('What the server said.'),
        answeredAt: instant.nullable(),
        bounced: z.boolean(),
      }),
    ),
    bounce: z.object({ messageId: z.string(), reason: z.string(), at: instant }).nullable(),
    readers: z.array(
      z.object({ userId: uuid, channel: z.enum(CHANNELS), shownAt: instant, readAt: instant.nullable() }),
    ),
  })
  .meta({ id: 'NoticeProof', description: 'Everything that proves what became of a notice.' });

export const bounceRequest = z
  .strictObject({
    messageId: text(400).min(1).describe('As the mail had it, with or without its angle brackets.'),
    reason: text(1000).min(1).describe('What the mail that came back says.'),
  })
  .meta({ id: 'BounceRequest' });

export const bounce = z
  .object({
    noticeId: uuid,
    userId: uuid,
    kind: z.enum(NOTICE_KINDS),
    subjectId: uuid.nullable(),
    reason: z.string(),
    at: instant,
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Bounce', description: 'Which notice came back, and what it is about.' });

const preferences = {
  language: z.enum(LANGUAGES),
  timeZone: text(60)
    .refine(isTimeZone, 'the name of a time zone such as Europe/Berlin')
    .describe('Whose clock times are given by, and whose morning digests wait for.'),
  digests: z.boolean().describe('Whether you get digests at all.'),
  entries: z
    .partialRecord(z.enum(DIGEST_ENTRY_KINDS), z.boolean())
    .describe('What digests tell: true or false for each kind of entry.'),
  thresholds: z
    .array(
      z.strictObject({
        contractId: uuid.nullable().describe('Null for your own credits.'),
        threshold: amount.nullable().describe('Below it you are warned; null never.'),
      }),
    )
    .max(200)
    .refine((all) => new Set(all.map(({ contractId }) => contractId)).size === all.length, {
      message: 'one threshold for a contract, and one for your own credits',
    })
    .describe('Without one, administrators are warned below 10 % of what was granted, and others never.'),
};

export const noticePreferencesRequest = z.strictObject(preferences).meta({
  id: 'NoticePreferencesRequest',
  description: 'All of your preferences; kinds of entries that are left out are told.',
});
export const noticePreferences = z.object(preferences).meta({
  id: 'NoticePreferences',
  description: 'What you want to be told where nothing requires it.',
});

export const jobEvent = z
  .object({
    kind: z.string(),
    message: z.string(),
    data: z.record(z.string(), z.unknown()),
    at: instant,
  })
  .meta({ id: 'JobEvent', description: 'Something that happened to a job.' });

export const health = z.object({ ready: z.boolean(), parts: z.record(z.string(), z.string()) }).meta({ id: 'Health' });

const someOf = (what: string) => z.array(uuid).min(1).max(WITHDRAWAL_NAMES_MAX).describe(what);
export const withdrawalSelection = z
  .union(
    [
      z.strictObject({ userIds: someOf('All individual lots of these users.') }),
      z.strictObject({ lotIds: someOf('These individual lots.') }),
      z.strictObject({ customerId: uuid.describe('All individual lots of a customer’s users.') }),
      z.strictObject({ grantedBefore: instant.describe('All individual lots granted before this instant.') }),
    ],
    'select by one of userIds, lotIds, customerId and grantedBefore',
  )
  .meta({ id: 'WithdrawalSelection', description: 'Of what is selected, the living lots that hold credits.' });

export const withdrawalPreviewRequest = z
  .strictObject({
    selection: withdrawalSelection,
    limit: z.number().int().min(1).max(200).default(50),
    cursor: uuid.optional().describe('The nextCursor of the page before.'),
  })
  .meta({ id: 'WithdrawalPreviewRequest' });

const selected = {
  users: count,
  lots: count,
  available: amount,
  reserved: amount.describe('What jobs hold of it: they keep it, and what they give back later is withdrawn.'),
};
export const withdrawalPreview = z
  .object({
    ...selected,
    items: z
      .array(
        z.object({
          userId: uuid,
          name: z.string(),
          email: z.string(),
          lots: count,
          available: amount,
          reserved: amount,
        }),
      )
      .describe('A page of the users.'),
    nextCursor: z.string().nullable(),
  })
  .meta({ id: 'WithdrawalPreview', description: 'Who and what a withdrawal would concern now.' });

export const withdrawalRequest = z
  .strictObject({
    selection: withdrawalSelection,
    reason: reason.describe('Why; every notice says it.'),
    noticesPerSecond: z.number().int().min(1).max(1_000).default(20).describe('How fast notices go out at most.'),
  })
  .meta({ id: 'WithdrawalRequest' });

export const withdrawal = z
  .object({
    id: uuid,
    reason: z.string(),
    selection: withdrawalSelection,
    selected: z.object(selected).describe('What was selected when it started.'),
    noticesPerSecond: count,
    createdBy: uuid,
    startedAt: instant,
    state: z.enum(WITHDRAWAL_STATES),
    endedAt: instant.nullable(),
    links: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Withdrawal', description: 'A campaign that takes individual credits back 90 days after a notice.' });

export const withdrawalWithCounts = withdrawal
  .extend({
    counts: z
      .object({ waiting: count, noticed: count, rescinded: count, withdrawn: count, undeliverable: count })
      .describe('How many users are where.'),
    nextAt: instant.nullable().describe('When something happens next; null when nothing does by itself.'),
    nextWhat: z.string().nullable(),
  })
  .meta({ id: 'WithdrawalWithCounts' });

export const withdrawalUser = z
  .object({
    userId: uuid,
    state: z.enum(WITHDRAWAL_USER_STATES),
    changedAt: instant.describe('Since when.'),
    deliveredAt: instant.nullable().describe('When the notice that counts was delivered.'),
    channel: z.string().nullable(),
    withdrawsAt: instant.nullable().describe('From when on the credits are gone: 90 days of 24 hours later.'),
    failure: z.string().nullable().describe('What went wrong last.'),
  })
  .meta({ id: 'WithdrawalUser', description: 'Where a withdrawal is with one user.' });

export const pendingWithdrawal = z
  .object({
    withdrawalId: uuid,
    reason: z.string(),
    deliveredAt: instant,
    channel: z.string(),
    withdrawsAt: instant,
    lots: z.array(z.object({ lotId: uuid, reference: z.string().nullable(), available: amount, reserved: amount })),
  })
  .meta({ id: 'PendingWithdrawal', description: 'A withdrawal that a user was told of and that is still to come.' });

export const rescindRequest = z
  .strictObject({
    userIds: z.union([z.literal('all'), someOf('These users.')], 'all, or a list of ids of users'),
    reason,
  })
  .meta({ id: 'RescindRequest' });

export const rescission = z
  .object({
    rescinded: count.describe('Users who keep their credits, those of earlier rescissions included.'),
    tookEffect: z.array(uuid).describe('Users whose credits are gone: nothing was changed for them.'),
    tookEffectCount: count,
  })
  .meta({ id: 'Rescission' });

export const jobsQuery = pageQuery.extend({ state: z.enum(JOB_STATES).optional() });
export const refundsQuery = pageQuery.extend({ status: z.enum(REFUND_STATUSES).optional() });
export const transfersQuery = pageQuery
  .extend({
    cursor: z
      .string()
      .regex(/^\d{1,19}(\.\d{1,9}){2}$/, 'the nextCursor of the page before')
      .optional(),
    lot: uuid.optional(),
    job: uuid.optional().describe('Its refunds too.'),
    contract: uuid.optional().describe('Transfers of the lots of a contract.'),
    user: uuid.optional().describe('Transfers of the lots of a user.'),
  })
  .refine(({ lot, job, contract, user }) => [lot, job, contract, user].filter(Boolean).length <= 1, {
    message: 'ask for one lot, job, contract or user at a time',
  });
export const noticesQuery = z.strictObject({
  limit: pageQuery.shape.limit,
  cursor: z
    .string()
    .regex(/^(unread|read)\.\d{1,18}$/, 'the nextCursor of the page before')
    .optional(),
  unread: z.enum(['true']).optional().describe('Only what waits to be read.'),
});
export const unsubscribeParams = z.strictObject({ token: text(100) });
export const withdrawalUsersQuery = pageQuery.extend({ state: z.enum(WITHDRAWAL_USER_STATES).optional() });
export const budgetParams = z.strictObject({ id: uuid, budgetId: uuid });

export const calendar = z
  .object({
    contractId: uuid,
    at: instant,
    phase: z.enum(CONTRACT_PHASES),
    items: z.array(
      z.object({
        key: z.string(),
        act: z.enum(CALENDAR_ACTS),
        at: instant,
        bookedAt: instant.describe('When it counts; earlier than `at` where a grace has to pass first.'),
        lotIds: z.array(uuid),
        credits: amount,
        because: z.string(),
        remindsOf: z
          .object({ subject: z.enum(['contract', 'lots']), at: instant, days: count })
          .nullable()
          .describe('Of a reminder: what it reminds of.'),
      }),
    ),
  })
  .meta({ id: 'Calendar' });

const matchedWord = z.string().max(100).nullable().default(null);
const ruleFields = {
  key: text(60).describe('Names the same allocation across versions: 1 to 60 lower-case letters, digits and hyphens.'),
  product: matchedWord.describe('Which product of a contract; null is any.'),
  type: matchedWord.describe('Such as annual; null is any.'),
  level: matchedWord.describe('Null is any.'),
  recipient: z
    .enum(ALLOCATION_RECIPIENTS)
    .describe('A shared lot for the contract, or an individual one for each named user.'),
  amount,
  per: z.enum(ALLOCATION_MEASURES).describe('For each seat, or once for all of them. For a named user it is flat.'),
  frequency: z.enum(ALLOCATION_FREQUENCIES).describe('Once ever, for a user or a contract, or once in each term.'),
};

export const allocationRule = z
  .object({
    ...ruleFields,
    inferred: z.array(z.string()).optional().describe('What the published source does not give.'),
  })
  .meta({
    id: 'AllocationRule',
    description: 'What a product, type and level of a contract grants, to whom, how often.',
  });

export const allocationRules = z
  .object({ version: count, title: z.string(), effectiveAt: instant, rules: z.array(allocationRule) })
  .meta({ id: 'AllocationRules', description: 'One published, immutable version of the allocation rules.' });

export const allocationRulesRequest = z
  .strictObject({
    title: z.string().min(1).max(200),
    effectiveAt: instant.optional().describe('Now unless given; never in the past.'),
    rules: z
      .array(z.strictObject(ruleFields))
      .max(200)
      .describe('The whole list: what is not in it is granted no more.'),
  })
  .meta({ id: 'AllocationRulesRequest' });

export const versionParams = z.strictObject({ version: z.coerce.number().int().nonnegative().max(1_000_000) });
export const inForceQuery = z.strictObject({
  at: instant.optional().describe('Only the version in force at this instant.'),
});

export const allocation = z
  .object({
    key: z.string().describe('The occasion: there is one allocation for it, ever.'),
    contractId: uuid,
    userId: uuid.nullable().describe('The named user whose occasion it was; null for what the contract got.'),
    kind: z.enum(['shared', 'individual']),
    lotId: uuid,
    amount,
    at: instant,
    ruleKey: z.string(),
    version: count.describe('Of the allocation rules.'),
    because: z.string(),
  })
  .meta({ id: 'Allocation', description: 'What was granted by an allocation rule.' });
