/** Rate cards as people read them. Every amount is shown with the API's own digits. */
import { JOB_ENDS, type Rate, type ServiceRates } from '../domain/rateCard';
import { sayPayment, sayRate } from '../domain/sayRate';
import type { RateCard, RateCardDiff, RateCardDraft, Rated, Replayed } from './client';
import { amountCell, formatPairs, formatTable, inCredits, instantCell, type Paint } from './output';
import { chargeLinesView } from './views';

export function rateCardsView(cards: readonly RateCard[], paint: Paint): string {
  if (cards.length === 0) return 'No rates are published.';
  return formatTable(
    [
      { title: 'version', align: 'right' },
      { title: '' },
      { title: 'from' },
      { title: 'services', align: 'right' },
      { title: 'title' },
    ],
    cards.map(({ version, status, effectiveAt, services, title }) => [
      String(version),
      status === 'in-force' ? paint.green('in force') : status,
      instantCell(effectiveAt),
      String(services.length),
      title,
    ]),
    paint,
  );
}

export function draftsView(drafts: readonly RateCardDraft[], paint: Paint): string {
  if (drafts.length === 0) return 'No drafts.';
  return formatTable(
    [{ title: 'draft' }, { title: 'changed at' }, { title: 'from' }, { title: 'published as' }, { title: 'title' }],
    drafts.map(({ id, changedAt, effectiveAt, publishedVersion, title }) => [
      id,
      instantCell(changedAt),
      effectiveAt === null ? 'when published' : instantCell(effectiveAt),
      publishedVersion === null ? '–' : `version ${publishedVersion}`,
      title,
    ]),
    paint,
  );
}

/** A version or a draft, service by service. */
export function rateCardView(card: RateCard | RateCardDraft, paint: Paint): string {
  const services = card.services as unknown as ServiceRates[];
  const rows = services.flatMap((one) =>
    one.rates.map((rate: Rate, index) => [
      index === 0 ? one.service : '',
      rate.meter,
      sayRate(rate),
      index === 0 ? one.rounding : '',
    ]),
  );
  const table = formatTable(
    [{ title: 'service' }, { title: 'meter' }, { title: 'credits' }, { title: 'rounding' }],
    rows,
    paint,
  );
  const policies = formatTable(
    [{ title: 'who pays' }, ...JOB_ENDS.map((title) => ({ title }))],
    services.map(({ service, policy }) => [service, ...JOB_ENDS.map((end) => sayPayment(policy[end]))]),
    paint,
  );
  return `${headOf(card, paint)}\n\n${table}\n\n${policies}`;
}

function headOf(card: RateCard | RateCardDraft, paint: Paint): string {
  if ('version' in card) {
    return `${paint.bold(`Version ${card.version}`)}, ${card.status}, from ${instantCell(card.effectiveAt)}: ${card.title}`;
  }
  const from = card.effectiveAt === null ? 'when it is published' : `from ${instantCell(card.effectiveAt)}`;
  const published = card.publishedVersion === null ? '' : `, published as version ${card.publishedVersion}`;
  return `${paint.bold(`Draft ${card.id}`)}, ${from}${published}: ${card.title}`;
}

export function rateCardDiffView({ services }: RateCardDiff): string {
  if (services.length === 0) return 'Both charge the same.';
  return services.flatMap(({ sentences }) => sentences).join('\n');
}

export function ratedView(rated: Rated, paint: Paint): string {
  const { exact, rounding, total, payment, charged, unrated } = rated;
  const pairs: [string, string][] = [
    ['exact sum', inCredits(exact)],
    ['rounding', rounding],
    ['rated', inCredits(total)],
    ['pays', payment.upTo === undefined ? payment.pays : `${payment.pays} up to ${payment.upTo}`],
    ['charged', paint.bold(inCredits(charged))],
  ];
  if (unrated.length > 0) pairs.push(['without a rate', unrated.join(', ')]);
  return `${chargeLinesView(rated, paint)}\n\n${formatPairs(pairs, paint)}`;
}

export function replayView({ services, unratedJobs, unrated }: Replayed, paint: Paint): string {
  const table =
    services.length === 0
      ? 'No job was booked in that time that the draft can rate.'
      : formatTable(
          [
            { title: 'service' },
            { title: 'jobs', align: 'right' },
            { title: 'charged', align: 'right' },
            { title: 'absorbed', align: 'right' },
            { title: 'under the draft', align: 'right' },
            { title: 'difference', align: 'right' },
          ],
          services.map(({ service, jobs, charged, absorbed, underDraft, difference }) => [
            service,
            String(jobs),
            ...[charged, absorbed, underDraft, difference].map(amountCell),
          ]),
          paint,
        );
  if (unratedJobs === 0) return table;
  const list = formatTable(
    [{ title: 'job' }, { title: 'service' }, { title: 'charged', align: 'right' }, { title: 'why not' }],
    unrated.map(({ jobId, service, charged, reason }) => [jobId, service, amountCell(charged), reason]),
    paint,
  );
  return `${table}\n\n${unratedJobs} ${unratedJobs === 1 ? 'job' : 'jobs'} could not be rated:\n${list}`;
}
