/** Amounts and instants as people of a language read them. Amounts keep every digit: no number of credits is a `number`. */
import type { Instant } from '../domain/instant';
import { type Language, timeZoneOrUtc } from '../domain/notices';

/** How a language writes, and whose clock it shows. */
export interface Reader {
  readonly language: Language;
  readonly timeZone: string;
}

const LOCALES: Readonly<Record<Language, string>> = { en: 'en-GB', de: 'de-DE' };
const MARKS: Readonly<Record<Language, { readonly group: string; readonly decimal: string }>> = {
  en: { group: ',', decimal: '.' },
  de: { group: '.', decimal: ',' },
};
const WORDS: Readonly<Record<Language, readonly [one: string, many: string]>> = {
  en: ['credit', 'credits'],
  de: ['Credit', 'Credits'],
};

/** An amount with its exact digits, such as `1,234.5 credits`. */
export function sayAmount(amount: string, { language }: Pick<Reader, 'language'>): string {
  const [whole = '', fraction] = amount.split('.');
  const { group, decimal } = MARKS[language];
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, group);
  const [one, many] = WORDS[language];
  return `${grouped}${fraction === undefined ? '' : `${decimal}${fraction}`} ${amount === '1' ? one : many}`;
}

/** An instant to the minute by the reader's own clock, with the zone's name: `Thursday, 25 February 2027 at 14:03 CET (Europe/Berlin)`. */
export function sayInstant(instant: Instant, { language, timeZone }: Reader): string {
  const zone = timeZoneOrUtc(timeZone);
  const text = new Intl.DateTimeFormat(LOCALES[language], {
    weekday: 'long',
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    timeZoneName: 'short',
    timeZone: zone,
  }).format(new Date(instant));
  return text.endsWith(zone) ? text : `${text} (${zone})`;
}

/** The day of an instant by the reader's own calendar, for subjects: `25 February 2027`. */
export function sayDayOf(instant: Instant, { language, timeZone }: Reader): string {
  return new Intl.DateTimeFormat(LOCALES[language], { dateStyle: 'long', timeZone: timeZoneOrUtc(timeZone) }).format(
    new Date(instant),
  );
}

/** A day of a calendar, given as `2026-01-31`. */
export function sayDay(day: string, { language }: Pick<Reader, 'language'>): string {
  return new Intl.DateTimeFormat(LOCALES[language], { dateStyle: 'long', timeZone: 'UTC' }).format(
    new Date(`${day}T00:00:00Z`),
  );
}

/** Names in a row: `Ann, Bo and Cy`. */
export function sayList(names: readonly string[], { language }: Pick<Reader, 'language'>): string {
  return new Intl.ListFormat(LOCALES[language], { type: 'conjunction' }).format(names);
}
