/**
 * Calendar periods in a few time zones, found by walking: an hour belongs to the same day as the half hour before it when
 * both carry the same date there. The offsets are written down, so that nothing is shared with the calendars of `domain/`.
 */

/** Hours after 2026-01-01T00:00:00Z from which on a zone's clocks are so many hours ahead of UTC. */
const OFFSETS = {
  UTC: [[Number.NEGATIVE_INFINITY, 0]],
  'Europe/Berlin': [
    [Number.NEGATIVE_INFINITY, 1],
    [-6647, 2],
    [-1607, 1],
    [2089, 2],
    [7129, 1],
  ],
  // Its clocks change at midnight: one day has no midnight, and another's last hour comes twice.
  'Asia/Beirut': [
    [Number.NEGATIVE_INFINITY, 2],
    [-6650, 3],
    [-1611, 2],
    [2086, 3],
    [7125, 2],
  ],
  'Asia/Kolkata': [[Number.NEGATIVE_INFINITY, 5.5]],
} as const satisfies Record<string, readonly (readonly [from: number, ahead: number])[]>;

export type UnitZone = keyof typeof OFFSETS;
export const UNIT_ZONES = Object.keys(OFFSETS) as readonly UnitZone[];

export type UnitPeriod = 'day' | 'month' | 'quarter' | 'year' | 'total';

const YEAR_2026 = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;
const HALF = 0.5;

type Calendar = Exclude<UnitPeriod, 'total'>;

interface Period {
  readonly startsAt: number;
  readonly endsAt: number;
}

/** Those that were walked once. */
const walked = new Map<string, Period[]>();

/** The half hours between which the period lies that an hour lies in; everything is in the one period `total`. */
export function periodAround(zone: UnitZone, period: UnitPeriod, hour: number): Period {
  if (period === 'total') return { startsAt: Number.NEGATIVE_INFINITY, endsAt: Number.POSITIVE_INFINITY };
  const key = `${zone} ${period}`;
  const known = walked.get(key) ?? [];
  const found = known.find(({ startsAt, endsAt }) => startsAt <= hour && hour < endsAt);
  if (found) return found;
  const around = { startsAt: walk(zone, period, hour, -HALF), endsAt: walk(zone, period, hour, HALF) + HALF };
  walked.set(key, [...known, around]);
  return around;
}

/** The last half hour in a direction that has the same name. */
function walk(zone: UnitZone, period: Calendar, hour: number, step: number): number {
  const name = nameOf(zone, period, hour);
  let at = hour;
  while (nameOf(zone, period, at + step) === name) at += step;
  return at;
}

/** What the calendar on the wall there says: `2026-03-29`, `2026-03`, `2026 Q1` or `2026`. */
function nameOf(zone: UnitZone, period: Calendar, hour: number): string {
  let ahead = 0;
  for (const [from, hours] of OFFSETS[zone]) if (hour >= from) ahead = hours;
  const date = new Date(YEAR_2026 + (hour + ahead) * HOUR_MS).toISOString().slice(0, 10);
  const [year, month] = date.split('-');
  switch (period) {
    case 'day':
      return date;
    case 'month':
      return `${year}-${month}`;
    case 'quarter':
      return `${year} Q${Math.ceil(Number(month) / 3)}`;
    case 'year':
      return `${year}`;
  }
}
