/** The API's answers as people read them. Every amount and quantity is shown with the API's own digits. */
import type { Balance, Charge, Draw, Job, JobUsage, Lot, Me, Preview, Quote, Result, Service } from './client';
import { refundsView } from './ledgerViews';
import { amountCell, type Column, formatPairs, formatTable, inCredits, instantCell, type Paint } from './output';

const LEFT = (title: string): Column => ({ title });
const RIGHT = (title: string): Column => ({ title, align: 'right' });

export function quoteView(quote: Quote, paint: Paint): string {
  const { payers } = quote;
  const parts = [
    formatPairs(
      [
        ['quote', quote.id],
        ['service', quote.service],
        ['valid until', instantCell(quote.validUntil)],
        ['rate card', `version ${quote.rateCardVersion}`],
      ],
      paint,
    ),
    quoteForecastView(quote, paint),
  ];
  if (payers.shortfall !== '0') {
    parts.push(
      paint.yellow(
        `${inCredits(payers.available)} can be spent now: ${inCredits(payers.shortfall)} short of what is expected.`,
      ),
    );
  } else if (payers.draws.length > 0) {
    parts.push(`Would be paid by:\n${drawsView(payers.draws, paint)}\n${inCredits(payers.remaining)} would remain.`);
  } else {
    parts.push(`Nothing would be drawn; ${inCredits(payers.available)} can be spent now.`);
  }
  return parts.join('\n\n');
}

/** Variants side by side; what is wrong with one stands beneath. */
export function previewView({ variants, rateCardVersion }: Preview, paint: Paint): string {
  const priced = variants.flatMap((one) => ('problem' in one ? [] : [one]));
  const refused = variants.flatMap((one) => ('problem' in one ? [one] : []));
  const rows = priced.map(({ name, low, expected, high, payers }) => [
    name,
    amountCell(low),
    amountCell(expected),
    amountCell(high),
    payers.shortfall === '0' ? amountCell(payers.remaining) : paint.yellow(`${payers.shortfall} short`),
  ]);
  const columns = [LEFT('variant'), RIGHT('low'), RIGHT('expected'), RIGHT('high'), RIGHT('would remain')];
  return [
    ...(priced.length > 0 ? [formatTable(columns, rows, paint)] : []),
    ...refused.map(({ name, problem }) => paint.yellow(`${name}: ${problem.detail}`)),
    ...(priced.length > 0 ? [`At the rates of version ${rateCardVersion}; nothing is kept of this.`] : []),
  ].join('\n');
}

export function quoteForecastView({ low, expected, high, maxCredits, reason }: Quote, paint: Paint): string {
  const table = formatTable(
    [RIGHT('low'), RIGHT('expected'), RIGHT('high'), RIGHT('not to exceed')],
    [[amountCell(low), amountCell(expected), amountCell(high), amountCell(maxCredits)]],
    paint,
  );
  return `${table}\n${reason}`;
}

export function drawsView(draws: readonly (Draw & { readonly to?: string })[], paint: Paint): string {
  if (draws.length === 0) return '(no lot)';
  const goes = draws.some(({ to }) => to !== undefined);
  return formatTable(
    [LEFT('lot'), LEFT('kind'), RIGHT('amount'), ...(goes ? [LEFT('to')] : [])],
    draws.map(({ lotId, kind, amount, to }) => [lotId, kind, amountCell(amount), ...(goes ? [to ?? ''] : [])]),
    paint,
  );
}

export function jobView(job: Job, paint: Paint, url: string): string {
  const pairs: [string, string][] = [
    ['job', job.id],
    ['service', `${job.service} of ${job.input.name}`],
    ['state', stateText(job, paint)],
    ['progress', `${Math.floor(Number(job.progress) * 100)} %`],
    ['expected', inCredits(job.expected)],
    ['not to exceed', inCredits(job.maxCredits)],
    ['reserved', inCredits(job.reserved)],
    ['charged', job.charged === null ? 'not yet' : inCredits(job.charged)],
    ['submitted', instantCell(job.submittedAt)],
  ];
  if (job.endedAt) pairs.push(['ended', instantCell(job.endedAt)]);
  if (job.message && job.reason !== 'completed') pairs.push(['because', job.message]);
  if (job.project) pairs.push(['project', job.project]);
  if (job.comment) pairs.push(['comment', job.comment]);
  pairs.push(...linksOf(job.links, url, ['self', 'charge', 'workflow']));
  const view = formatPairs(pairs, paint);
  return job.draws.length > 0 ? `${view}\n\nReserved from:\n${drawsView(job.draws, paint)}` : view;
}

export function jobsView(jobs: readonly Job[], paint: Paint): string {
  if (jobs.length === 0) return 'No jobs.';
  return formatTable(
    [
      LEFT('job'),
      LEFT('service'),
      LEFT('input'),
      LEFT('state'),
      RIGHT('reserved'),
      RIGHT('charged'),
      LEFT('submitted'),
    ],
    jobs.map((job) => [
      job.id,
      job.service,
      job.input.name,
      stateText(job, paint),
      amountCell(job.reserved),
      job.charged === null ? '–' : amountCell(job.charged),
      instantCell(job.submittedAt),
    ]),
    paint,
  );
}

export function usageView(usage: JobUsage, paint: Paint): string {
  if (usage.usage.length === 0) return '(nothing was metered)';
  return formatTable(
    [LEFT('meter'), RIGHT('quantity'), LEFT('measured in'), LEFT('attempt'), LEFT('')],
    usage.usage.map((used) => [
      used.meter,
      used.quantity,
      used.unit,
      String(used.attempt),
      used.charged ? (used.rated ? 'decides the charge' : 'evidence') : 'lost attempt, not charged',
    ]),
    paint,
  );
}

export function chargeView(charge: Charge, paint: Paint, url: string): string {
  const parts = [
    formatPairs(
      [
        ['charge', charge.id],
        ['job', `${charge.jobId}, ${charge.end}`],
        ['rate card', `version ${charge.rateCardVersion}`],
        ['booked at', instantCell(charge.bookedAt)],
      ],
      paint,
    ),
    chargeLinesView(charge, paint),
    formatPairs(
      [
        ['exact sum', inCredits(charge.exact)],
        ['rounding', charge.rounding],
        ['rated', inCredits(charge.rated)],
        ['not to exceed', inCredits(charge.maxCredits)],
        ['absorbed', inCredits(charge.absorbed)],
        ['charged', paint.bold(inCredits(charge.charged))],
        ...(charge.refunds.length > 0 ? netPairs(charge, paint) : []),
      ],
      paint,
    ),
    `Paid by:\n${drawsView(charge.draws, paint)}`,
  ];
  if (charge.returned.length > 0) parts.push(`Released:\n${drawsView(charge.returned, paint)}`);
  if (charge.refunds.length > 0) parts.push(`Refunds:\n${refundsView(charge.refunds, paint)}`);
  parts.push(formatPairs(linksOf(charge.links, url, ['self', 'dossier', 'job']), paint));
  return parts.join('\n\n');
}

function netPairs({ refunded, netCharged, netAbsorbed }: Charge, paint: Paint): [string, string][] {
  return [
    ['refunded', inCredits(refunded)],
    ['remains charged', paint.bold(inCredits(netCharged))],
    ['remains absorbed', inCredits(netAbsorbed)],
  ];
}

export function chargeLinesView({ lines }: Pick<Charge, 'lines'>, paint: Paint): string {
  return formatTable(
    [LEFT('meter'), RIGHT('quantity'), LEFT('measured in'), LEFT('class'), RIGHT('price'), RIGHT('amount'), LEFT('')],
    lines.map(({ meter = '', quantity = '', unit = '', price = '', amount = '', note = '', ...line }) => [
      meter,
      quantity,
      unit,
      line.class ?? line.tier ?? (line.blocks === undefined ? '' : `${line.blocks} x ${line.block}`),
      amountCell(price),
      amountCell(amount),
      note,
    ]),
    paint,
  );
}

export function chargesView(charges: readonly Charge[], paint: Paint): string {
  if (charges.length === 0) return 'No charges.';
  return formatTable(
    [LEFT('charge'), LEFT('job'), LEFT('service'), LEFT('end'), RIGHT('charged'), RIGHT('absorbed'), LEFT('booked at')],
    charges.map(({ id, jobId, service, end, charged, absorbed, bookedAt }) => [
      id,
      jobId,
      service,
      end,
      amountCell(charged),
      amountCell(absorbed),
      instantCell(bookedAt),
    ]),
    paint,
  );
}

export function lotsView(lots: readonly Lot[], paint: Paint): string {
  if (lots.length === 0) return '(no lots)';
  return formatTable(
    [
      LEFT('lot'),
      LEFT('kind'),
      RIGHT('granted'),
      RIGHT('available'),
      RIGHT('reserved'),
      RIGHT('consumed'),
      LEFT('effective'),
      LEFT('expires'),
      LEFT(''),
    ],
    lots.map((lot) => [
      lot.id,
      lot.kind,
      amountCell(lot.granted),
      amountCell(lot.available),
      amountCell(lot.reserved),
      amountCell(lot.consumed),
      dayOf(lot.effectiveAt),
      lot.expiresAt === null ? 'never' : dayOf(lot.expiresAt),
      lotNote(lot),
    ]),
    paint,
  );
}

export function balanceView(balance: Balance, paint: Paint): string {
  const rows: [string, string][] = [
    ...balance.byKind
      .filter(({ spendable }) => spendable !== '0')
      .map(({ kind, spendable }): [string, string] => [`spendable, ${kind}`, spendable]),
    ['spendable', balance.spendable],
    // What is there and cannot be spent: not effective yet, or over and not booked.
    ...(balance.available === balance.spendable ? [] : [['available', balance.available] as [string, string]]),
    ['reserved', balance.reserved],
    ['consumed', balance.consumed],
    ['expired', balance.expired],
    ['withdrawn', balance.withdrawn],
  ];
  return formatTable(
    [LEFT('bucket'), RIGHT('amount')],
    rows.map(([bucket, amount]) => [bucket, amountCell(amount)]),
    paint,
  );
}

export function servicesView(services: readonly Service[], paint: Paint): string {
  return services
    .map(({ name, title, description, accepts, parameters }) => {
      const fields = propertiesOf(parameters);
      const required = Array.isArray(parameters.required) ? parameters.required : [];
      return [
        `${paint.bold(name)}  ${title}`,
        description,
        `accepts ${[...new Set(accepts.map(({ extension }) => extension))].join(', ')}`,
        formatTable(
          [LEFT('parameter'), LEFT('default'), LEFT('')],
          Object.entries(fields).map(([field, { default: otherwise, description: what = '' }]) => [
            field,
            otherwise === undefined ? (required.includes(field) ? 'required' : '') : JSON.stringify(otherwise),
            what,
          ]),
          paint,
        ),
      ].join('\n');
    })
    .join('\n\n');
}

export function resultsView(results: readonly Result[], paint: Paint): string {
  if (results.length === 0) return 'No results.';
  return formatTable(
    [LEFT('name'), LEFT('type'), RIGHT('size')],
    results.map(({ name, mediaType, size }) => [name, mediaType, `${size} bytes`]),
    paint,
  );
}

export function meView({ userId, name, email, roles, contractIds }: Me, paint: Paint): string {
  return formatPairs(
    [
      ['name', name],
      ['email', email],
      ['user', userId],
      ['roles', roles.join(', ')],
      ['contracts', contractIds.join(', ') || 'none'],
    ],
    paint,
  );
}

export interface ParameterSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
}

/** The parameters of a service by name, as its JSON Schema describes them. */
export function propertiesOf(parameters: Service['parameters']): Record<string, ParameterSchema> {
  return (parameters.properties ?? {}) as Record<string, ParameterSchema>;
}

/** The links that a person may want to open, as whole addresses. */
export function linksOf(
  links: Readonly<Record<string, string>>,
  url: string,
  names: readonly string[],
): [string, string][] {
  return names.flatMap((name) => {
    const link = links[name];
    if (link === undefined) return [];
    return [[name === 'self' ? 'address' : name, link.startsWith('/') ? `${url}${link}` : link]];
  });
}

function stateText({ state, reason }: Job, paint: Paint): string {
  const text = reason === null ? state : `${state} (${reason})`;
  if (state === 'settled') return reason === 'completed' ? paint.green(state) : paint.yellow(text);
  if (state === 'rejected') return paint.red(text);
  return state === 'parked' || state === 'released' ? paint.yellow(text) : state;
}

function lotNote({ spendable, withdrawnAt, graceUntil, endedAs, available, expired, owed }: Lot): string {
  if (owed !== '0') return `to be repaid: ${inCredits(owed)}`;
  if (spendable) return '';
  if (withdrawnAt !== null) return 'withdrawn';
  if (graceUntil !== null && endedAs === null && available !== '0') return `grace until ${dayOf(graceUntil)}`;
  return expired === '0' ? 'nothing to spend' : 'expired';
}

function dayOf(instant: string): string {
  return instant.slice(0, 10);
}
