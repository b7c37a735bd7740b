/**
 * Instants as canonical RFC 3339 strings in UTC with six decimals, `2026-01-31T12:00:00.000000Z`. Written so, instants
 * compare as strings, cross JSON and SQL unchanged and keep Postgres's microseconds, which a `Date` would drop.
 */
import { Temporal } from 'temporal-polyfill';

declare const brand: unique symbol;
export type Instant = string & { readonly [brand]: 'Instant' };

/**
 * Reads any RFC 3339 instant with an offset.
 *
 * @throws RangeError with a sentence when the text is not one.
 */
export function parseInstant(text: string): Instant {
  let instant: Temporal.Instant;
  try {
    instant = Temporal.Instant.from(text);
  } catch (cause) {
    throw new RangeError('an instant is written in RFC 3339 with an offset, such as "2026-01-31T12:00:00Z"', { cause });
  }
  return canonical(instant);
}

/** The instant of a count of milliseconds since 1970, as clocks give it. */
export function instantOfMilliseconds(milliseconds: number): Instant {
  return canonical(Temporal.Instant.fromEpochMilliseconds(Math.trunc(milliseconds)));
}

export function millisecondsOf(instant: Instant): number {
  return Temporal.Instant.from(instant).epochMilliseconds;
}

export function addMilliseconds(instant: Instant, milliseconds: number): Instant {
  return canonical(Temporal.Instant.from(instant).add({ milliseconds }));
}

/** The next instant that there is, a microsecond later. */
export function nextInstant(instant: Instant): Instant {
  return canonical(Temporal.Instant.from(instant).add({ microseconds: 1 }));
}

/**
 * Calendar months later in a time zone (R7): 29 February + 12 months is 28 February. A wall-clock time that a
 * daylight-saving change skips or repeats is read as the earlier offset says, like calendars do.
 */
export function addMonths(instant: Instant, months: number, timeZone: string): Instant {
  const there = Temporal.Instant.from(instant).toZonedDateTimeISO(timeZone);
  return canonical(there.add({ months }).toInstant());
}

/** Calendar days later, or earlier where negative, at the same time on the wall; read as {@link addMonths} does. */
export function addDays(instant: Instant, days: number, timeZone: string): Instant {
  const there = Temporal.Instant.from(instant).toZonedDateTimeISO(timeZone);
  return canonical(there.add({ days }).toInstant());
}

/** A day of a calendar. */
export interface CalendarDay {
  readonly year: number;
  /** From 1 for January. Beyond 12 it counts into the next years. */
  readonly month: number;
  /** From 1. Beyond the month's last day it counts into the next months. */
  readonly day: number;
}

/** The day that a calendar on the wall shows at an instant in a time zone. */
export function calendarDayOf(instant: Instant, timeZone: string): CalendarDay {
  const { year, month, day } = Temporal.Instant.from(instant).toZonedDateTimeISO(timeZone);
  return { year, month, day };
}

/** The first instant of a calendar day in a time zone: midnight, or what follows where a change of clocks skips that. */
export function startOfDay({ year, month, day }: CalendarDay, timeZone: string): Instant {
  const date = Temporal.PlainDate.from({ year, month: 1, day: 1 })
    .add({ months: month - 1 })
    .add({ days: day - 1 });
  return canonical(date.toZonedDateTime(timeZone).toInstant());
}

export function earlierOf(a: Instant, b: Instant): Instant {
  return a < b ? a : b;
}

export function laterOf(a: Instant, b: Instant): Instant {
  return a < b ? b : a;
}

function canonical(instant: Temporal.Instant): Instant {
  const text = instant.toString({ fractionalSecondDigits: 6 });
  // Other years are written with a sign, and would not compare as strings.
  if (!/^[0-9]{4}-/.test(text)) throw new RangeError('an instant lies in the years 0000 to 9999');
  return text as Instant;
}
