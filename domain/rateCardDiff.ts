/** What changes from one rate card to another, for whoever publishes it and whoever pays by it. */
import { canonical } from './canonical';
import { JOB_ENDS, type Payment, type Rate, type RateCard, type ServiceRates } from './rateCard';
import { sayPayment, sayRate } from './sayRate';

export type ChangeKind = 'added' | 'removed' | 'changed';

/** What there was and will be; null where it is added or removed. */
export interface Change<Value> {
  readonly before: Value | null;
  readonly after: Value | null;
}

export interface ServiceChange {
  readonly service: string;
  readonly change: ChangeKind;
  readonly rates: readonly (Change<Rate> & { readonly meter: string; readonly change: ChangeKind })[];
  readonly rounding: Change<string> | null;
  readonly reserves: Change<string> | null;
  readonly policy: readonly (Change<Payment> & { readonly end: string })[];
  /** The same in words, one sentence for each. */
  readonly sentences: readonly string[];
}

/** Services in the order of the later card, those that it drops last. Nothing where both cards charge the same. */
export function diffCards(from: Pick<RateCard, 'services'>, to: Pick<RateCard, 'services'>): readonly ServiceChange[] {
  const names = [...to.services, ...from.services].map(({ service }) => service);
  return [...new Set(names)].flatMap((name) => {
    const [before, after] = [from, to].map(({ services }) => services.find(({ service }) => service === name));
    const change = diffService(name, before, after);
    return change.sentences.length === 0 ? [] : [change];
  });
}

function diffService(
  service: string,
  before: ServiceRates | undefined,
  after: ServiceRates | undefined,
): ServiceChange {
  const rates = diffRates(before?.rates ?? [], after?.rates ?? []);
  const rounding = changeOf(before?.rounding, after?.rounding);
  const reserves = changeOf(before?.reserves, after?.reserves);
  const policy = JOB_ENDS.flatMap((end) => {
    const change = changeOf(before?.policy[end], after?.policy[end]);
    return change ? [{ end, ...change }] : [];
  });
  const change = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
  const sentences = [
    ...(change === 'added' ? [`${service} is sold from now on.`] : []),
    ...(change === 'removed' ? [`${service} is not sold any more.`] : []),
    ...rates.map((rate) => `${service} ${rate.meter}: ${sayChange(rate, sayRate)}.`),
    ...(rounding ? [`${service} rounding: ${sayChange(rounding, String)}.`] : []),
    ...(reserves ? [`${service} reserves: ${sayChange(reserves, String)}.`] : []),
    ...policy.map((one) => `${service} ${one.end} pays: ${sayChange(one, sayPayment)}.`),
  ];
  return { service, change, rates, rounding, reserves, policy, sentences };
}

function diffRates(before: readonly Rate[], after: readonly Rate[]): ServiceChange['rates'] {
  const meters = new Set([...after, ...before].map(({ meter }) => meter));
  return [...meters].flatMap((meter) => {
    const [old, next] = [before, after].map((rates) => rates.find((one) => one.meter === meter));
    const change = changeOf(old, next);
    if (!change) return [];
    return [{ meter, change: old === undefined ? 'added' : next === undefined ? 'removed' : 'changed', ...change }];
  });
}

function changeOf<Value>(before: Value | undefined, after: Value | undefined): Change<Value> | null {
  if (canonical(before) === canonical(after)) return null;
  return { before: before ?? null, after: after ?? null };
}

function sayChange<Value>({ before, after }: Change<Value>, say: (value: Value) => string): string {
  if (before === null) return after === null ? '' : say(after);
  return `${say(before)} → ${after === null ? 'nothing' : say(after)}`;
}
