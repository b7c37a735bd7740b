/**
 * The facts around the journal: jobs, quotes, usage and charges, each against what the journal and the others say. A job's
 * rows come together, behind the batch that closed it.
 */
import { type AttemptUsage, type Dossier, type DossierDraw, recomputeDossier } from '../../domain/charge';
import { formatCredits, parseCredits } from '../../domain/credits';
import { amountToReserve, rateEstimate } from '../../domain/quote';
import type { RateCard, ServiceRates } from '../../domain/rateCard';
import { type Dimensions, type Estimate, formatQuantity, quantity } from '../../domain/usage';
import type { JobAccount, Slice } from './accounts';
import { amountOf, instantOf, NULL, nullableInstantOf, nullableTextOf, textOf } from './fields';
import { type Findings, mustBe, Wrong } from './findings';
import type { Journal } from './journal';
import { FACTS, NO_BATCH, STATE } from './sections';

/** A row by its columns. */
type Row = Readonly<Record<string, string>>;

const COLUMNS = new Map([...STATE, ...FACTS].map(({ letter, columns }) => [letter, columns]));
const TABLES = new Map(FACTS.map(({ letter, table }) => [letter, table]));

/** Ends of attempts that are the platform's: their usage is metered and not charged. */
const NOT_CHARGED = new Set(['engine-failed', 'lost']);

/** The rows of one job. */
interface JobFacts {
  readonly jobId: string;
  readonly batchId: string;
  job: Row | undefined;
  charge: Row | undefined;
  readonly quotes: Row[];
  readonly attempts: Map<string, Row>;
  /** What was used, by attempt and meter. */
  readonly usage: Map<
    string,
    { readonly attempt: string; readonly meter: string; readonly unit: string; quantity: bigint }
  >;
}

export class Facts {
  private readonly cards = new Map<string, RateCard>();
  private present: JobFacts | null = null;

  constructor(
    private readonly journal: Journal,
    private readonly findings: Findings,
  ) {
    journal.onBatchEnd = () => this.finishJob();
  }

  /** A row of `rate_cards`. */
  addRateCard(fields: readonly string[]): void {
    const row = rowOf('v', fields);
    const version = row.version ?? '';
    this.findings.check([], { table: 'rate_cards', row: version }, () => {
      const card = JSON.parse(textOf(row.card ?? '')) as RateCard;
      this.cards.set(version, card);
      mustBe('version', version, String(card.version));
      mustBe('effective_at', instantOf(row.effective_at ?? ''), card.effectiveAt);
    });
  }

  /** A row of one of the tables around the journal. */
  add(letter: string, fields: readonly string[]): void {
    const row = rowOf(letter, fields);
    const jobId = row.closing_job_id ?? '';
    if (this.present?.jobId !== jobId || this.present.batchId !== row.closing_batch_id)
      this.begin(jobId, row.closing_batch_id ?? '');
    const facts = this.present as unknown as JobFacts;
    const place = {
      table: TABLES.get(letter) ?? 'export',
      row: row.id ?? `${jobId} ${row.number ?? row.attempt ?? ''}`,
    };
    const owner = ownerOf(row);
    this.findings.check(owner === undefined ? [] : [owner], place, () => {
      // A database joins them by that; an export could say anything.
      if (letter !== 'q') mustBe('it stands among the rows of another job', row.job_id ?? row.id ?? null, jobId);
      this.keep(letter, row, facts);
    });
  }

  private keep(letter: string, row: Row, facts: JobFacts): void {
    switch (letter) {
      case 'j':
        if (facts.job) throw new Wrong('it stands there twice');
        facts.job = row;
        return;
      case 'q':
        if (facts.jobId === NULL) this.checkQuote(row, undefined, []);
        else facts.quotes.push(row);
        return;
      case 'a':
        if (facts.attempts.has(row.number ?? '')) throw new Wrong('it stands there twice');
        facts.attempts.set(row.number ?? '', row);
        return;
      case 'm':
        addUsage(facts, row);
        return;
      case 'c':
        if (facts.charge) throw new Wrong('it stands there twice');
        facts.charge = row;
        return;
      default:
        throw new Wrong('there is no such section', undefined, letter);
    }
  }

  /** Looks at the rows of a job as a whole: nothing of it follows any more. */
  finishJob(): void {
    const facts = this.present;
    if (!facts || facts.jobId === NULL) return;
    this.present = null;
    const { jobId, batchId, job, charge } = facts;
    const account =
      batchId === NO_BATCH ? this.journal.ledger.jobs.open.get(jobId) : this.journal.closed(batchId, jobId);
    const home = account?.home.id ?? ownerOf(job ?? charge);
    const pools = home === undefined ? [] : [home];
    this.findings.check(pools, { table: 'jobs', row: jobId }, () => {
      if (!job) throw new Wrong('the job does not exist, and something was noted of it');
      checkJob(job, account, facts);
      const [quote, ...more] = facts.quotes;
      if (more.length > 0) throw new Wrong('it has several quotes');
      mustBe('its quote does not exist', quote?.id ?? NULL, job.quote_id ?? NULL);
    });
    for (const quote of facts.quotes) this.checkQuote(quote, job, pools, account);
    if (charge) {
      if (account?.closing) account.closing.chargeId = charge.id ?? null;
      this.findings.check(pools, { table: 'charges', row: charge.id ?? '' }, () =>
        this.checkCharge(charge, account, facts),
      );
    }
    for (const used of facts.usage.values()) this.checkUsage(used, facts, pools);
  }

  private begin(jobId: string, batchId: string): void {
    this.finishJob();
    this.present = {
      jobId,
      batchId,
      job: undefined,
      charge: undefined,
      quotes: [],
      attempts: new Map(),
      usage: new Map(),
    };
  }

  /** A quote against the rates that it froze, and against the job that was submitted with it (R10, R11). */
  private checkQuote(quote: Row, job: Row | undefined, pools: readonly string[], account?: JobAccount): void {
    const place = { table: 'quotes', row: quote.id ?? '' };
    const owner = ownerOf(quote);
    this.findings.check(pools.length > 0 || owner === undefined ? pools : [owner], place, () => {
      const rates = this.ratesOf(quote.rate_card_version ?? '', textOf(quote.service ?? ''));
      const dimensions = jsonOf<Dimensions>(quote.dimensions);
      const { low, expected, high } = rateEstimate(rates, dimensions, estimateOf(jsonOf(quote.estimate)));
      mustBe('low', amountOf(quote.low ?? ''), low);
      mustBe('expected', amountOf(quote.expected ?? ''), expected);
      mustBe('high', amountOf(quote.high ?? ''), high);
      mustBe('max_credits', amountOf(quote.max_credits ?? ''), high);
      if (!job) return;
      for (const column of ['user_id', 'contract_id', 'service', 'input_digest', 'rate_card_version'] as const) {
        mustBe(`${column} is not that of job ${job.id}`, quote[column] ?? null, job[column] ?? null);
      }
      for (const column of ['parameters', 'dimensions'] as const) {
        mustBe(`${column} are not those of job ${job.id}`, quote[column] ?? null, job[column] ?? null);
      }
      const reserves = amountToReserve(rates, { low, expected, high });
      mustBe(`job ${job.id} reserves something else than quoted`, amountOf(job.expected ?? ''), reserves);
      if (!account?.isReserved) return;
      const began = account.isMigrated && account.firstCap > high ? high : account.firstCap;
      mustBe(`job ${job.id} began with another not-to-exceed amount`, began, high);
    });
  }

  /** A charge against its settlement, its dossier, the frozen rates and what was metered (R10, R11, R14). */
  private checkCharge(charge: Row, account: JobAccount | undefined, { job, usage, attempts }: JobFacts): void {
    const closing = account?.closing;
    if (!account || closing?.state !== 'settled') throw new Wrong('no operation settled the job of the charge');
    const captured = sumOf(closing.captured);
    mustBe('charged is not what was captured', amountOf(charge.charged ?? ''), captured);
    mustBe('absorbed is not that of the settlement', amountOf(charge.absorbed ?? ''), closing.absorbed);
    mustBe('max_credits is not the not-to-exceed amount', amountOf(charge.max_credits ?? ''), account.cap);
    mustBe('booked_at is not that of the settlement', instantOf(charge.booked_at ?? ''), closing.at);
    mustBe('user_id is not that of the settlement', nullableTextOf(charge.user_id ?? NULL), account.userId);
    mustBe('contract_id is not that of the settlement', nullableTextOf(charge.contract_id ?? NULL), account.contractId);
    const dossier = jsonOf<Dossier>(charge.dossier);
    mustBe('the format of the dossier', dossier.format, 'holdfast-dossier/1');
    const [first] = recomputeDossier(dossier);
    if (first !== undefined) throw new Wrong(`the dossier does not explain itself: ${first}`);
    const dossierSays = (what: string, said: string | null, expected: string | null) =>
      mustBe(`the dossier says another ${what}`, said, expected);
    dossierSays('charge', dossier.chargeId, charge.id ?? null);
    dossierSays('job', dossier.jobId, account.id);
    dossierSays('user', dossier.userId, account.userId);
    dossierSays('contract', dossier.contractId, account.contractId);
    dossierSays('instant', dossier.bookedAt, closing.at);
    dossierSays('charged amount', dossier.charged, formatCredits(captured));
    dossierSays('absorbed amount', dossier.absorbed, formatCredits(closing.absorbed));
    dossierSays('not-to-exceed amount', dossier.maxCredits, formatCredits(account.cap));
    dossierSays('rated amount', dossier.rating.total, formatCredits(amountOf(charge.rated ?? '')));
    dossierSays('end', dossier.end, textOf(charge.job_end ?? ''));
    dossierSays('service', dossier.service, textOf(charge.service ?? ''));
    dossierSays('version of the rate card', String(dossier.terms.rateCardVersion), charge.rate_card_version ?? null);
    const rates = this.ratesOf(charge.rate_card_version ?? '', textOf(charge.service ?? ''));
    dossierSays('price than the rate card', canonical(dossier.terms.rates), canonical(rates));
    dossierSays('captured draw', canonical(dossier.draws), canonical(closing.captured.map(drawOf)));
    const returned = closing.returned.map((slice) => ({ ...drawOf(slice), to: slice.to }));
    dossierSays('returned slice', canonical(dossier.returned), canonical(returned));
    const drawn = account.drawn.map(({ kind, at, slices }) => ({ at, kind, draws: slices.map(drawOf) }));
    dossierSays('reserved draw', canonical(dossier.reserved), canonical(drawn));
    const metered = [...usage.values()].map((one) => meteredOf(one, attempts));
    dossierSays(
      'usage than was metered',
      canonical([...dossier.usage].sort(byMeter)),
      canonical(metered.sort(byMeter)),
    );
    if (!job) throw new Wrong('the job of the charge does not exist');
    dossierSays('service than its job', dossier.service, textOf(job.service ?? ''));
    dossierSays('quote than its job', dossier.quoteId, nullableTextOf(job.quote_id ?? NULL));
    dossierSays('input than its job', dossier.inputDigest, textOf(job.input_digest ?? ''));
    dossierSays(
      'version of the rate card than its job',
      String(dossier.terms.rateCardVersion),
      job.rate_card_version ?? null,
    );
    dossierSays('parameters than its job', canonical(dossier.parameters), canonical(jsonOf(job.parameters)));
    dossierSays('dimensions than its job', canonical(dossier.terms.dimensions), canonical(jsonOf(job.dimensions)));
    dossierSays('end than its job', dossier.end, nullableTextOf(job.reason ?? NULL));
  }

  /** What was metered on a rated meter has the unit of its rate. */
  private checkUsage(
    { meter, unit }: { meter: string; unit: string },
    { jobId, job }: JobFacts,
    pools: readonly string[],
  ): void {
    if (!job) return;
    const card = this.cards.get(job.rate_card_version ?? '');
    const service = card?.services.find((one) => one.service === textOf(job.service ?? ''));
    const rate = service?.rates.find((one) => one.meter === meter);
    if (!rate) return;
    const place = { table: 'usage_records', row: `${jobId} ${meter}` };
    this.findings.check(pools, place, () => mustBe('unit is not that of the rate', unit, rate.unit));
  }

  private ratesOf(version: string, service: string): ServiceRates {
    const rates = this.cards.get(version)?.services.find((one) => one.service === service);
    if (!rates) throw new Wrong(`rate card ${version} has no rates for ${service}`);
    return rates;
  }
}

/** The states of a job whose reservation is open. */
const OPEN_STATES = new Set(['reserved', 'running', 'parked', 'settling']);
/** The states of a job of which the journal knows nothing. */
const UNRESERVED_STATES = new Set(['reserving', 'rejected']);

/** A job's row against its operations. */
function checkJob(job: Row, account: JobAccount | undefined, { charge }: JobFacts): void {
  const state = textOf(job.state ?? '');
  if (!account) {
    if (!UNRESERVED_STATES.has(state))
      throw new Wrong('no operation brought the job to its state', 'reserving or rejected', state);
    return;
  }
  const { closing } = account;
  if (closing ? state !== closing.state : !OPEN_STATES.has(state)) {
    throw new Wrong('the job is in another state than its billing', closing?.state ?? 'open', state);
  }
  if (state === 'settled' && !charge) throw new Wrong('the charge of the settled job does not exist');
  mustBe('user_id is not that of its operations', nullableTextOf(job.user_id ?? NULL), account.userId);
  mustBe('contract_id is not that of its operations', nullableTextOf(job.contract_id ?? NULL), account.contractId);
  mustBe('ended_at is not that of its closing', nullableInstantOf(job.ended_at ?? NULL), closing?.at ?? null);
  if (closing) mustBe('message is not that of its closing', nullableTextOf(job.message ?? NULL), closing.reason);
  if (!account.isReserved) return;
  mustBe('project is not that of its reservation', nullableTextOf(job.project ?? NULL), account.project);
  mustBe('max_credits is not the not-to-exceed amount', amountOf(job.max_credits ?? ''), account.cap);
  const [first] = account.drawn;
  const reserved = first?.kind === 'reserve' ? sumOf(first.slices) : 0n;
  mustBe('expected is not what was reserved', amountOf(job.expected ?? ''), reserved);
}

function rowOf(letter: string, fields: readonly string[]): Row {
  const columns = COLUMNS.get(letter) ?? [];
  return Object.fromEntries(columns.map((column, index) => [column, fields[index + 1] ?? NULL]));
}

function addUsage({ usage }: JobFacts, { attempt = '', meter = '', unit = '', quantity: used = '' }: Row): void {
  const amount = amountOf(used);
  if (amount <= 0n) throw new Wrong('quantity', 'more than 0', `${amount}`);
  const key = `${attempt}\t${meter}`;
  const known = usage.get(key);
  if (!known) {
    usage.set(key, { attempt, meter: textOf(meter), unit: textOf(unit), quantity: amount });
    return;
  }
  known.quantity += amount;
  mustBe('the unit of a meter changes', textOf(unit), known.unit);
}

/** To whose pool a row belongs by its own account. */
function ownerOf(row: Row | undefined): string | undefined {
  if (!row) return undefined;
  const owner = nullableTextOf(row.contract_id ?? NULL) ?? nullableTextOf(row.user_id ?? NULL);
  return owner ?? undefined;
}

function jsonOf<T>(field: string | undefined): T {
  return JSON.parse(textOf(field ?? '')) as T;
}

function sumOf(slices: readonly Pick<Slice, 'amount'>[]): bigint {
  return slices.reduce((sum, { amount }) => sum + amount, 0n);
}

function drawOf({ lot, amount }: Slice): DossierDraw {
  return { lotId: lot.id, kind: lot.kind, amount: formatCredits(amount) };
}

function meteredOf(
  { attempt, meter, quantity: used }: { attempt: string; meter: string; quantity: bigint },
  attempts: ReadonlyMap<string, Row>,
): AttemptUsage {
  const outcome = nullableTextOf(attempts.get(attempt)?.outcome ?? NULL);
  const charged = outcome === null || !NOT_CHARGED.has(outcome);
  return { attempt: Number(attempt), charged, meter, quantity: formatQuantity(quantity(used)) };
}

function byMeter(a: AttemptUsage, b: AttemptUsage): number {
  return a.attempt - b.attempt || (a.meter < b.meter ? -1 : Number(a.meter > b.meter));
}

/** An estimate as a quote keeps it: quantities in decimal strings. */
function estimateOf(quoted: Record<'low' | 'expected' | 'high', { meter: string; quantity: string }[]>): Estimate {
  const scenario = (usage: readonly { meter: string; quantity: string }[]) =>
    usage.map(({ meter, quantity: used }) => ({ meter, quantity: quantity(parseCredits(used)) }));
  return { low: scenario(quoted.low), expected: scenario(quoted.expected), high: scenario(quoted.high), reason: '' };
}

/** JSON with sorted keys: a database's `jsonb` keeps them in an order of its own. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
