/**
 * The REST API as typed functions. A request that got no answer, or a 503, is sent again a few times with the same
 * idempotency key, so that nothing is ever done twice.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { z } from 'zod';
import type * as schemas from '../api/schemas';
import { readEvents, type ServerEvent } from './eventStream';

export type Me = z.output<typeof schemas.me>;
export type Service = z.output<typeof schemas.service>;
export type Input = z.output<typeof schemas.input>;
export type Quote = z.output<typeof schemas.quote>;
export type Preview = z.output<typeof schemas.preview>;
export type Session = z.output<typeof schemas.session>;
export type SessionRequest = z.input<typeof schemas.sessionRequest>;
export type Job = z.output<typeof schemas.job>;
export type JobUsage = z.output<typeof schemas.usage>;
export type Result = z.output<typeof schemas.result>;
export type Contract = z.output<typeof schemas.contract>;
export type Calendar = z.output<typeof schemas.calendar>;
export type Allocation = z.output<typeof schemas.allocation>;
export type AllocationRules = z.output<typeof schemas.allocationRules>;
export type AllocationRulesRequest = z.input<typeof schemas.allocationRulesRequest>;
export type RateCard = z.output<typeof schemas.rateCard>;
export type RateCardDraft = z.output<typeof schemas.rateCardDraft>;
export type RateCardDraftRequest = z.input<typeof schemas.rateCardDraftRequest>;
export type RateCardDiff = z.output<typeof schemas.rateCardDiff>;
export type RateRequest = z.input<typeof schemas.rateRequest>;
export type Rated = z.output<typeof schemas.rated>;
export type Replayed = z.output<typeof schemas.replay>;
export type Customer = z.output<typeof schemas.customer>;
export type User = z.output<typeof schemas.user>;
export type UserRequest = z.input<typeof schemas.userRequest>;
export type UserChange = z.input<typeof schemas.userChange>;
export type ContractRequest = z.input<typeof schemas.contractRequest>;
export type ContractChange = z.output<typeof schemas.contractChange>;
export type Authorisation = z.output<typeof schemas.authorisation>;
export type AuthorisationRequest = z.input<typeof schemas.authorisationRequest>;
export type Spenders = z.output<typeof schemas.spenders>;
export type Pack = z.output<typeof schemas.pack>;
export type Purchase = z.output<typeof schemas.purchase>;
export type PurchaseRequest = z.input<typeof schemas.purchaseRequest>;
export type Lot = z.output<typeof schemas.lot>;
export type Balance = z.output<typeof schemas.balance>;
export type Charge = z.output<typeof schemas.charge>;
export type Refund = z.output<typeof schemas.refund>;
export type Budget = z.output<typeof schemas.budget>;
export type Transfer = z.output<typeof schemas.transfer>;
export type Notice = z.output<typeof schemas.notice>;
export type Draw = z.output<typeof schemas.draw>;
export type QuoteRequest = z.input<typeof schemas.quoteRequest>;
export type PreviewRequest = z.input<typeof schemas.previewRequest>;
export type JobRequest = z.input<typeof schemas.jobRequest>;
export type ContractLotRequest = z.input<typeof schemas.contractLotRequest>;
export type UserLotRequest = z.input<typeof schemas.userLotRequest>;
export type BudgetRequest = z.input<typeof schemas.budgetRequest>;
export type BudgetChange = z.input<typeof schemas.budgetChange>;
export type RefundRequest = z.input<typeof schemas.refundRequest>;
export type WithdrawalSelection = z.input<typeof schemas.withdrawalSelection>;
export type WithdrawalPreviewRequest = z.input<typeof schemas.withdrawalPreviewRequest>;
export type WithdrawalPreview = z.output<typeof schemas.withdrawalPreview>;
export type WithdrawalRequest = z.input<typeof schemas.withdrawalRequest>;
export type Withdrawal = z.output<typeof schemas.withdrawal>;
export type WithdrawalWithCounts = z.output<typeof schemas.withdrawalWithCounts>;
export type WithdrawalUser = z.output<typeof schemas.withdrawalUser>;
export type PendingWithdrawal = z.output<typeof schemas.pendingWithdrawal>;
export type RescindRequest = z.input<typeof schemas.rescindRequest>;
export type Rescission = z.output<typeof schemas.rescission>;
export type Problem = z.output<typeof schemas.problem> & Partial<z.output<typeof schemas.insufficientCredits>>;

export interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
}

/** An answer of the API, read and as it was written. */
export interface Answer<T> {
  readonly status: number;
  readonly body: T;
  readonly text: string;
  /** Names the state that was read, for changes to it. */
  readonly etag: string | null;
}

/** The API said no, with a problem that says why. */
export class Refused extends Error {
  override readonly name = 'Refused';
  constructor(
    readonly problem: Problem,
    /** The problem exactly as it was sent. */
    readonly text: string,
  ) {
    super(problem.detail);
  }
}

/** Nobody answered, or not as the API would. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
}

export interface ClientOptions {
  readonly url: string;
  readonly key: string;
  /** Waits before a request is sent again. */
  readonly pause?: (milliseconds: number) => Promise<unknown>;
}

export type Client = ReturnType<typeof createClient>;

/** Makes a client for one person of one installation. */
export function createClient({ url, key, pause = delay }: ClientOptions) {
  const base = url.replace(/\/+$/, '');
  const authorization = `Bearer ${key}`;

  async function send(path: string, request: () => RequestInit): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await fetch(`${base}${path}`, request()).catch((error: unknown) => error as Error);
      const answered = outcome instanceof Response ? outcome : undefined;
      if (answered && !BUSY.includes(answered.status)) return answered;
      const waitMs = answered ? waitAsTold(answered, attempt) : backoffMs(attempt);
      if (attempt === ATTEMPTS_MAX || waitMs > WAIT_MAX_MS) {
        if (answered) return answered;
        throw new Unreachable(`${base} does not answer: ${reasonOf(outcome as Error)}.`, { cause: outcome });
      }
      await answered?.body?.cancel();
      await pause(waitMs);
    }
  }

  async function answerOf<T>(response: Response): Promise<Answer<T>> {
    const text = await response.text().catch((cause: unknown) => {
      throw new Unreachable(`${base} broke off in the middle of an answer.`, { cause });
    });
    const body = parseJson(text);
    if (response.ok && body !== undefined) {
      return { status: response.status, body: body as T, text, etag: response.headers.get('etag') };
    }
    throw isProblem(body)
      ? new Refused(body, text)
      : new Unreachable(`${base} answered ${response.status} and not as Holdfast does; is the address right?`);
  }

  async function get<T>(path: string): Promise<Answer<T>> {
    const headers = { authorization, accept: 'application/json' };
    return answerOf<T>(await send(path, () => ({ headers, signal: AbortSignal.timeout(ANSWER_LIMIT_MS) })));
  }

  async function write<T>(path: string, { method, body, etag }: Write): Promise<Answer<T>> {
    const headers = {
      authorization,
      accept: 'application/json',
      // Made once: every repeat of this request carries the same.
      'idempotency-key': randomUUID(),
      ...(etag !== undefined && { 'if-match': etag }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    };
    const text = body === undefined ? null : JSON.stringify(body);
    const request = () => ({
      method,
      headers,
      body: text,
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    return answerOf<T>(await send(path, request));
  }

  const post = <T>(path: string, body: unknown) => write<T>(path, { method: 'POST', body });

  /** Uploads a file. The store keeps contents once, so sending it again is harmless. */
  async function upload(file: { path: string; name: string; mediaType: string }): Promise<Answer<Input>> {
    const headers = { authorization, accept: 'application/json', 'content-type': file.mediaType };
    const request = (): RequestInit => ({
      method: 'POST',
      headers,
      // Streamed: a scene may be larger than what memory should hold.
      body: Readable.toWeb(createReadStream(file.path)) as NonNullable<RequestInit['body']>,
      duplex: 'half',
    });
    return answerOf<Input>(await send(`/v1/inputs?${new URLSearchParams({ name: file.name })}`, request));
  }

  /** Downloads a result into a file that appears only once it is whole. */
  async function download(jobId: string, name: string, path: string): Promise<void> {
    const address = `/v1/jobs/${encodeURIComponent(jobId)}/results/${encodeURIComponent(name)}`;
    const response = await send(address, () => ({ headers: { authorization } }));
    if (!response.ok || !response.body) {
      await answerOf(response);
      return;
    }
    const unfinished = `${path}.part`;
    try {
      await pipeline(Readable.fromWeb(response.body as never), createWriteStream(unfinished));
      await rename(unfinished, path);
    } finally {
      await rm(unfinished, { force: true });
    }
  }

  /**
   * Follows a job until its last event, `end`. A stream that breaks, or is silent for too long, is taken up again after
   * the last event that had an id.
   */
  async function* events(jobId: string): AsyncGenerator<ServerEvent> {
    let lastId = '';
    for (let failures = 0; failures < STREAM_FAILURES_MAX; failures++) {
      if (failures > 0) await pause(backoffMs(failures));
      const silence = watchSilence();
      try {
        for await (const event of readEvents(await streamOf(jobId, lastId, silence))) {
          failures = 0;
          if (event.id) lastId = event.id;
          yield event;
          if (event.event === 'end') return;
        }
      } catch (error) {
        // Refusals are final; what broke off may be taken up again.
        if (error instanceof Refused || error instanceof Unreachable) throw error;
      } finally {
        silence.end();
      }
    }
    throw new Unreachable(`${base} broke off the events of the job again and again.`);
  }

  async function streamOf(jobId: string, lastId: string, silence: Silence): Promise<AsyncIterable<Uint8Array>> {
    const headers = { authorization, accept: 'text/event-stream', ...(lastId && { 'last-event-id': lastId }) };
    const response = await send(`/v1/jobs/${encodeURIComponent(jobId)}/events`, () => {
      silence.heard();
      return { headers, signal: silence.signal };
    });
    if (response.ok && response.body) return silence.over(response.body as unknown as AsyncIterable<Uint8Array>);
    await answerOf(response);
    throw new Unreachable(`${base} sent no events.`);
  }

  const job = (id: string) => `/v1/jobs/${encodeURIComponent(id)}`;
  const session = (id: string) => `/v1/sessions/${encodeURIComponent(id)}`;
  const contract = (id: string) => `/v1/contracts/${encodeURIComponent(id)}`;
  const user = (id: string) => `/v1/users/${encodeURIComponent(id)}`;
  const charge = (id: string) => `/v1/charges/${encodeURIComponent(id)}`;
  const refund = (id: string) => `/v1/refunds/${encodeURIComponent(id)}`;
  const rateCard = (version: string) => `/v1/rate-cards/${encodeURIComponent(version)}`;
  const draft = (id: string) => `/v1/rate-card-drafts/${encodeURIComponent(id)}`;
  const purchase = (id: string) => `/v1/purchases/${encodeURIComponent(id)}`;
  const withdrawal = (id: string) => `/v1/withdrawals/${encodeURIComponent(id)}`;
  const budgets = (contractId: string) => `${contract(contractId)}/budgets`;
  const budget = (contractId: string, id: string) => `${budgets(contractId)}/${encodeURIComponent(id)}`;

  return {
    url: base,
    upload,
    download,
    events,
    me: () => get<Me>('/v1/me'),
    services: () => get<Page<Service>>('/v1/services'),
    service: (name: string) => get<Service>(`/v1/services/${encodeURIComponent(name)}`),
    quote: (body: QuoteRequest) => post<Quote>('/v1/quotes', body),
    preview: (body: PreviewRequest) => post<Preview>('/v1/quotes/preview', body),
    findQuote: (id: string) => get<Quote>(`/v1/quotes/${encodeURIComponent(id)}`),
    openSession: (body: SessionRequest) => post<Session>('/v1/sessions', body),
    session: (id: string) => get<Session>(session(id)),
    goOnWithSession: (id: string, choices: Readonly<Record<string, string>>) =>
      post<Session>(`${session(id)}/activity`, { choices }),
    closeSession: (id: string) => post<Session>(`${session(id)}/close`, undefined),
    submit: (body: JobRequest) => post<Job>('/v1/jobs', body),
    jobs: (query: Query = {}) => get<Page<Job>>(`/v1/jobs${queryOf(query)}`),
    job: (id: string) => get<Job>(job(id)),
    usage: (id: string) => get<JobUsage>(`${job(id)}/usage`),
    cancel: (id: string) => post<Job>(`${job(id)}/cancel`, undefined),
    raiseCap: (id: string, maxCredits: string) => post<Job>(`${job(id)}/raise-cap`, { maxCredits }),
    chargeOfJob: (id: string) => get<Charge>(`${job(id)}/charge`),
    results: (id: string) => get<Page<Result>>(`${job(id)}/results`),
    contracts: (query: Query = {}) => get<Page<Contract>>(`/v1/contracts${queryOf({ limit: '200', ...query })}`),
    contract: (id: string) => get<Contract>(contract(id)),
    makeContract: (body: ContractRequest) => post<Contract>('/v1/contracts', body),
    /** Renews, extends, terminates, … by the last part of the route's path. */
    changeContract: (id: string, what: string, body: unknown) => post<Contract>(`${contract(id)}/${what}`, body),
    /** Replaces a part of a contract that is as it was read. */
    replaceInContract: (id: string, what: string, body: unknown, etag: string) =>
      write<Contract>(`${contract(id)}/${what}`, { method: 'PUT', body, etag }),
    contractChanges: (id: string, query: Query = {}) =>
      get<Page<ContractChange>>(`${contract(id)}/changes${queryOf(query)}`),
    contractUsers: (id: string) => get<Page<Authorisation>>(`${contract(id)}/users`),
    authorise: (id: string, body: AuthorisationRequest) => post<Authorisation>(`${contract(id)}/users`, body),
    removeFromContract: (id: string, userId: string, query: Query) =>
      write<Authorisation>(`${contract(id)}/users/${encodeURIComponent(userId)}${queryOf(query)}`, {
        method: 'DELETE',
      }),
    customers: (query: Query = {}) => get<Page<Customer>>(`/v1/customers${queryOf(query)}`),
    makeCustomer: (name: string) => post<Customer>('/v1/customers', { name }),
    renameCustomer: (id: string, name: string) =>
      write<Customer>(`/v1/customers/${encodeURIComponent(id)}`, { method: 'PUT', body: { name } }),
    user: (id: string) => get<User>(user(id)),
    makeUser: (body: UserRequest) => post<User>('/v1/users', body),
    changeUser: (id: string, body: UserChange) => write<User>(user(id), { method: 'PUT', body }),
    spenders: (lotId: string, query: Query = {}) =>
      get<Spenders>(`/v1/lots/${encodeURIComponent(lotId)}/spenders${queryOf(query)}`),
    packs: () => get<Page<Pack>>('/v1/packs'),
    purchases: (query: Query = {}) => get<Page<Purchase>>(`/v1/purchases${queryOf(query)}`),
    purchase: (id: string) => get<Purchase>(purchase(id)),
    recordPurchase: (body: PurchaseRequest) => post<Purchase>('/v1/purchases', body),
    allocatePurchase: (id: string, contractId: string) => post<Purchase>(`${purchase(id)}/allocate`, { contractId }),
    rateCards: (query: Query = {}) => get<Page<RateCard>>(`/v1/rate-cards${queryOf(query)}`),
    rateCard: (version: string) => get<RateCard>(rateCard(version)),
    diffRateCards: (a: string, b: string) => get<RateCardDiff>(`${rateCard(a)}/diff/${encodeURIComponent(b)}`),
    /** By a published version or a draft. */
    rateBy: (card: { version: string } | { draftId: string }, body: RateRequest) =>
      post<Rated>(`${'version' in card ? rateCard(card.version) : draft(card.draftId)}/rate`, body),
    rateCardDrafts: (query: Query = {}) => get<Page<RateCardDraft>>(`/v1/rate-card-drafts${queryOf(query)}`),
    rateCardDraft: (id: string) => get<RateCardDraft>(draft(id)),
    draftRateCard: (body: RateCardDraftRequest) => post<RateCardDraft>('/v1/rate-card-drafts', body),
    changeRateCardDraft: (id: string, body: RateCardDraftRequest, etag: string) =>
      write<RateCardDraft>(draft(id), { method: 'PUT', body, etag }),
    deleteRateCardDraft: (id: string, etag: string) => write<{ id: string }>(draft(id), { method: 'DELETE', etag }),
    publishRateCardDraft: (id: string, etag: string) =>
      write<RateCard>(`${draft(id)}/publish`, { method: 'POST', etag }),
    replayRateCardDraft: (id: string, period: { from: string; to: string }) =>
      post<Replayed>(`${draft(id)}/replay`, period),
    calendar: (id: string) => get<Calendar>(`${contract(id)}/calendar`),
    contractLots: (id: string, asOf: Query = {}) => get<Page<Lot>>(`${contract(id)}/lots${queryOf(asOf)}`),
    contractBalance: (id: string, asOf: Query = {}) => get<Balance>(`${contract(id)}/balance${queryOf(asOf)}`),
    grantToContract: (id: string, body: ContractLotRequest) => post<Lot>(`${contract(id)}/lots`, body),
    userLots: (id: string, asOf: Query = {}) => get<Page<Lot>>(`${user(id)}/lots${queryOf(asOf)}`),
    userBalance: (id: string, asOf: Query = {}) => get<Balance>(`${user(id)}/balance${queryOf(asOf)}`),
    grantToUser: (id: string, body: UserLotRequest) => post<Lot>(`${user(id)}/lots`, body),
    allocationRules: (query: Query = {}) => get<Page<AllocationRules>>(`/v1/allocation-rules${queryOf(query)}`),
    publishAllocationRules: (body: AllocationRulesRequest) => post<AllocationRules>('/v1/allocation-rules', body),
    contractAllocations: (id: string) => get<Page<Allocation>>(`${contract(id)}/allocations`),
    userAllocations: (id: string) => get<Page<Allocation>>(`${user(id)}/allocations`),
    charges: (query: Query = {}) => get<Page<Charge>>(`/v1/charges${queryOf(query)}`),
    charge: (id: string) => get<Charge>(charge(id)),
    dossier: (id: string) => get<Record<string, unknown>>(`${charge(id)}/dossier`),
    budgets: (contractId: string) => get<Page<Budget>>(budgets(contractId)),
    budget: (contractId: string, id: string) => get<Budget>(budget(contractId, id)),
    setBudget: (contractId: string, body: BudgetRequest) => post<Budget>(budgets(contractId), body),
    /** Changes a budget that is as it was read. */
    changeBudget: (contractId: string, id: string, body: BudgetChange, etag: string) =>
      write<Budget>(budget(contractId, id), { method: 'PUT', body, etag }),
    closeBudget: (contractId: string, id: string, query: Query, etag: string) =>
      write<Budget>(`${budget(contractId, id)}${queryOf(query)}`, { method: 'DELETE', etag }),
    askForRefund: (chargeId: string, body: RefundRequest) => post<Refund>(`${charge(chargeId)}/refunds`, body),
    refunds: (query: Query = {}) => get<Page<Refund>>(`/v1/refunds${queryOf(query)}`),
    refund: (id: string) => get<Refund>(refund(id)),
    approveRefund: (id: string) => post<Refund>(`${refund(id)}/approve`, undefined),
    rejectRefund: (id: string, reason: string) => post<Refund>(`${refund(id)}/reject`, { reason }),
    notices: (query: Query = {}) => get<Page<Notice>>(`/v1/notices${queryOf(query)}`),
    readNotice: (id: string) => post<Notice>(`/v1/notices/${encodeURIComponent(id)}/read`, undefined),
    previewWithdrawal: (body: WithdrawalPreviewRequest) => post<WithdrawalPreview>('/v1/withdrawals/preview', body),
    startWithdrawal: (body: WithdrawalRequest) => post<WithdrawalWithCounts>('/v1/withdrawals', body),
    withdrawals: (query: Query = {}) => get<Page<Withdrawal>>(`/v1/withdrawals${queryOf(query)}`),
    withdrawal: (id: string) => get<WithdrawalWithCounts>(withdrawal(id)),
    withdrawalUsers: (id: string, query: Query = {}) =>
      get<Page<WithdrawalUser>>(`${withdrawal(id)}/users${queryOf(query)}`),
    /** Answers with the withdrawal where it takes longer. */
    rescindWithdrawal: (id: string, body: RescindRequest) =>
      post<Rescission | Withdrawal>(`${withdrawal(id)}/rescind`, body),
    pendingWithdrawals: (userId: string) => get<Page<PendingWithdrawal>>(`${user(userId)}/withdrawals`),
    transfers: (query: Query = {}) => get<Page<Transfer>>(`/v1/ledger/transfers${queryOf(query)}`),
  };
}

type Query = Readonly<Record<string, string>>;

interface Write {
  readonly method: 'POST' | 'PUT' | 'DELETE';
  readonly body?: unknown;
  /** What is to be changed, as it was read. */
  readonly etag?: string;
}

/** Statuses that say "not now" of the whole server, whatever was asked. */
const BUSY: readonly number[] = [429, 502, 503, 504];
const ATTEMPTS_MAX = 5;
const FIRST_WAIT_MS = 250;
const LATER_WAIT_MAX_MS = 5_000;
/** Told to wait longer than this, a person would rather know. */
const WAIT_MAX_MS = 30_000;
const ANSWER_LIMIT_MS = 60_000;
/** A living stream says something every 15 s. */
const SILENCE_MAX_MS = 50_000;
const STREAM_FAILURES_MAX = 8;

function backoffMs(attempt: number): number {
  return Math.min(FIRST_WAIT_MS * 2 ** (attempt - 1), LATER_WAIT_MAX_MS);
}

/** As long as `Retry-After` says, in seconds or as a date; our own wait otherwise. */
function waitAsTold(response: Response, attempt: number): number {
  const told = response.headers.get('retry-after')?.trim() ?? '';
  if (/^\d{1,9}$/.test(told)) return Number(told) * 1_000;
  const until = told === '' ? Number.NaN : Date.parse(told);
  return Number.isNaN(until) ? backoffMs(attempt) : Math.max(0, until - Date.now());
}

type Silence = ReturnType<typeof watchSilence>;

/** Aborts a stream that says nothing for too long, as one does whose other end vanished without a word. */
function watchSilence() {
  const abort = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(new Error('the stream fell silent')), SILENCE_MAX_MS);
  };
  return {
    signal: abort.signal,
    heard,
    async *over(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks) {
        heard();
        yield chunk;
      }
    },
    end: () => clearTimeout(timer),
  };
}

/** `fetch` hides why it failed in causes of causes. */
function reasonOf(error: Error): string {
  const { cause } = error;
  if (error.name === 'TimeoutError') return 'it took too long';
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0].message;
  return cause instanceof Error ? cause.message : error.message;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && 'code' in body && 'detail' in body;
}

function queryOf(query: Query): string {
  const text = new URLSearchParams(query).toString();
  return text && `?${text}`;
}
