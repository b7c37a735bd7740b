import { idOf } from '../test/builders/ids';
import { addMilliseconds, parseInstant } from './instant';
import {
  bounced,
  delivered,
  dueOf,
  letGo,
  postponed,
  reminded,
  rescinded,
  retried,
  startOf,
  stepsOf,
  told,
  tookEffect,
  undeliverable,
  withdrawalOf,
  withdrawn,
} from './withdrawal';

const START = parseInstant('2026-01-10T08:00:00Z');
const DELIVERED = parseInstant('2026-01-10T08:00:01.234567Z');
const END = parseInstant('2026-04-10T08:00:01.234567Z');
const JUST_BEFORE = parseInstant('2026-04-10T08:00:01.234566Z');
const daysBefore = (days: number) => addMilliseconds(END, -days * 86_400_000);

const waiting = startOf(idOf('user', 1), START);
const noticed = delivered(waiting, { at: DELIVERED, channel: 'mail' });

test('the 90 days are days of 24 hours, to the microsecond, whatever clocks change in between', () => {
  expect(withdrawalOf(DELIVERED)).toBe(END);
  expect(withdrawalOf(parseInstant('2028-02-28T23:30:00.000001+01:00'))).toBe('2028-05-28T22:30:00.000001Z');
});

test('a delivered notice is followed by reminders 30 and 7 days before the end, and by the end', () => {
  expect(noticed).toMatchObject({ state: 'noticed', changedAt: DELIVERED, withdrawsAt: END, nextAt: daysBefore(30) });
  expect(stepsOf(noticed)).toEqual([
    { what: 'remind', days: 30, at: daysBefore(30) },
    { what: 'remind', days: 7, at: daysBefore(7) },
    { what: 'withdraw', at: END },
  ]);
});

test.each([
  ['nothing before the first reminder', addMilliseconds(daysBefore(30), -1), null],
  ['the first reminder at its instant', daysBefore(30), { what: 'remind', days: 30 }],
  ['the first reminder as long as the second has not come', addMilliseconds(daysBefore(7), -1), { days: 30 }],
  ['the second alone when both were missed', daysBefore(7), { what: 'remind', days: 7 }],
  ['the second up to the last microsecond', JUST_BEFORE, { what: 'remind', days: 7 }],
  ['the withdrawal at the instant, and no reminder', END, { what: 'withdraw', at: END }],
  ['the withdrawal when everything was missed', addMilliseconds(END, 1e9), { what: 'withdraw', at: END }],
])('due is %s', (_what, at, due) => {
  if (due === null) expect(dueOf(noticed, at)).toBeNull();
  else expect(dueOf(noticed, at)).toMatchObject(due);
});

test('a reminder that is behind us is not sent again, nor one before it', () => {
  expect(dueOf(reminded(noticed, 30, null), daysBefore(8))).toBeNull();
  expect(reminded(noticed, 30, null).nextAt).toBe(daysBefore(7));
  const both = reminded(noticed, 7, 'no channel');
  expect(both).toMatchObject({ nextAt: END, failure: 'no channel' });
  expect(dueOf(both, JUST_BEFORE)).toBeNull();
});

test('what is tried again later keeps nothing else of the user’s waiting', () => {
  const retryAt = addMilliseconds(daysBefore(30), 10_000_000_000);
  expect(postponed(noticed, daysBefore(30), { retryAt, failure: null }).nextAt).toBe(daysBefore(7));
  expect(postponed(waiting, START, { retryAt, failure: 'busy' })).toMatchObject({ nextAt: retryAt, failure: 'busy' });
});

test('the withdrawal counts from its instant, whenever it is noticed, and not a microsecond before', () => {
  expect(withdrawn(noticed, JUST_BEFORE)).toBe(noticed);
  const gone = withdrawn(noticed, addMilliseconds(END, 1e9));
  expect(gone).toMatchObject({ state: 'withdrawn', changedAt: END, nextAt: END });
  expect(stepsOf(gone)).toEqual([{ what: 'tell', kind: 'withdrawal-final', at: END }]);
  expect(told(gone, END, null)).toMatchObject({ toldAt: END, nextAt: null });
});

describe('a rescission', () => {
  test('lets the user keep the credits up to the last microsecond', () => {
    expect(tookEffect(noticed, JUST_BEFORE)).toBe(false);
    expect(rescinded(noticed, JUST_BEFORE)).toMatchObject({ state: 'rescinded', changedAt: JUST_BEFORE });
  });

  test('changes nothing from the instant on, booked or not', () => {
    expect(tookEffect(noticed, END)).toBe(true);
    expect(rescinded(noticed, END)).toBe(noticed);
    const gone = withdrawn(noticed, END);
    expect(rescinded(gone, END)).toBe(gone);
  });

  test('is told to those who had a notice alone, once', () => {
    expect(stepsOf(rescinded(waiting, DELIVERED))).toEqual([]);
    const spared = rescinded(noticed, JUST_BEFORE);
    expect(stepsOf(spared)).toMatchObject([{ what: 'tell', kind: 'withdrawal-rescinded' }]);
    expect(stepsOf(told(spared, END, null))).toEqual([]);
    expect(rescinded(told(spared, END, null), END).toldAt).toBe(END);
  });

  test('in the moment of the delivery stands, and is told', () => {
    const spared = delivered(rescinded(waiting, START), { at: DELIVERED, channel: 'mail' });
    expect(spared.state).toBe('rescinded');
    expect(stepsOf(spared)).toMatchObject([{ what: 'tell', kind: 'withdrawal-rescinded' }]);
  });
});

describe('a notice that came back', () => {
  test('leaves the user without one, to be delivered at once', () => {
    const back = bounced(reminded(noticed, 30, null), daysBefore(20));
    expect(back).toMatchObject({ state: 'waiting', deliveredAt: null, withdrawsAt: null, reminded: null });
    expect(back).toMatchObject({ nextAt: daysBefore(20), failure: expect.stringContaining('came back') });
    expect(delivered(back, { at: END, channel: 'administrator' }).withdrawsAt).toBe(withdrawalOf(END));
  });

  test('changes nothing when it took effect, or when it is an older delivery’s', () => {
    expect(bounced(noticed, END)).toBe(noticed);
    expect(bounced(noticed, START)).toBe(noticed);
    expect(bounced(waiting, END)).toBe(waiting);
  });
});

test('a user without a living lot is let go before a notice, and never after', () => {
  const gone = letGo(waiting, DELIVERED);
  expect(gone).toMatchObject({ state: 'rescinded', nextAt: null });
  expect(stepsOf(gone)).toEqual([]);
  expect(letGo(noticed, DELIVERED)).toBe(noticed);
});

test('an undeliverable notice is tried again as another, when somebody asks', () => {
  const unreached = undeliverable(waiting, DELIVERED, 'no channel');
  expect(unreached).toMatchObject({ state: 'undeliverable', nextAt: null, failure: 'no channel' });
  expect(stepsOf(unreached)).toEqual([]);
  expect(retried(unreached, END)).toMatchObject({ state: 'waiting', round: 2, nextAt: END });
  expect(retried(noticed, END)).toBe(noticed);
  expect(rescinded(unreached, END).state).toBe('rescinded');
});
