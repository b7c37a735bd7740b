import { addMilliseconds, type Instant } from './instant';
import { type Attempt, nextStep, type ResultKind } from './noticeDelivery';
import { CHANNELS, type ChannelName, dueDigestDay } from './notices';

const START = '2027-01-01T00:00:00.000000Z' as Instant;
const MINUTE_MS = 60_000;
const DAY_MS = 1_440 * MINUTE_MS;

function tried(number: number, channel: ChannelName, kind: ResultKind, at = START, bounced = false): Attempt {
  return { number, channel, at, result: { kind, answer: `${kind} by ${channel}`, at }, bounced };
}

describe('the next step of a delivery', () => {
  it('begins with the first channel', () => {
    expect(nextStep(CHANNELS, [], START)).toEqual({ kind: 'try', channel: 'mail', number: 1 });
    expect(nextStep(['in-service', 'mail'], [], START)).toMatchObject({ channel: 'in-service' });
  });

  it('is the next channel at once when one has failed, and no further than the last', () => {
    const failures = CHANNELS.map((channel, index) => tried(index + 1, channel, 'failed'));
    expect(nextStep(CHANNELS, failures.slice(0, 1), START)).toEqual({
      kind: 'try',
      channel: 'administrator',
      number: 2,
    });
    expect(nextStep(CHANNELS, failures.slice(0, 2), START)).toEqual({ kind: 'try', channel: 'in-service', number: 3 });
    expect(nextStep(CHANNELS, failures, START)).toEqual({
      kind: 'exhausted',
      reason: 'mail: failed by mail; administrator: failed by administrator; in-service: failed by in-service',
    });
  });

  it('stays with what was delivered, until that comes back', () => {
    const delivered = [tried(1, 'mail', 'delivered')];
    expect(nextStep(CHANNELS, delivered, START)).toEqual({ kind: 'delivered', channel: 'mail', at: START });
    const bounced = [tried(1, 'mail', 'delivered', START, true)];
    expect(nextStep(CHANNELS, bounced, START)).toEqual({ kind: 'try', channel: 'administrator', number: 2 });
    expect(nextStep(['mail'], bounced, START)).toMatchObject({
      kind: 'exhausted',
      reason: expect.stringMatching(/came back/),
    });
  });

  it('is not before the pause that a channel asked for, which grows, and after three days the next channel', () => {
    const attempts: Attempt[] = [];
    const pauses: number[] = [];
    let at = START;
    for (;;) {
      const step = nextStep(CHANNELS, attempts, at);
      if (step.kind !== 'try' || step.channel !== 'mail') {
        expect(step).toEqual({ kind: 'try', channel: 'administrator', number: attempts.length + 1 });
        break;
      }
      attempts.push(tried(step.number, 'mail', 'deferred', at));
      const wait = nextStep(CHANNELS, attempts, at);
      if (wait.kind !== 'wait') continue;
      expect(nextStep(CHANNELS, attempts, addMilliseconds(wait.until, -1))).toEqual(wait);
      pauses.push((Date.parse(wait.until) - Date.parse(at)) / MINUTE_MS);
      at = wait.until;
    }
    expect(pauses).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 720, 720, 720, 720]);
    expect(at <= addMilliseconds(START, 3 * DAY_MS)).toBe(true);
  });

  it('repeats an attempt whose answer nobody heard at once, and the next such one later', () => {
    const once = [tried(1, 'mail', 'unknown')];
    expect(nextStep(CHANNELS, once, START)).toEqual({ kind: 'try', channel: 'mail', number: 2 });
    const twice = [...once, tried(2, 'mail', 'unknown')];
    expect(nextStep(CHANNELS, twice, START)).toEqual({ kind: 'wait', until: addMilliseconds(START, 10 * MINUTE_MS) });
  });
});

describe('the day of a digest', () => {
  const due = (at: string, timeZone: string, lastDay: string | null = null) =>
    dueDigestDay({ timeZone, lastDay }, at as Instant);

  it.each([
    ['2027-06-01T05:59:59.999999Z', 'Europe/Berlin', null],
    ['2027-06-01T06:00:00.000000Z', 'Europe/Berlin', '2027-06-01'],
    // Either side of the date line: the same instant is in the morning of two days.
    ['2027-06-01T18:00:00.000000Z', 'Pacific/Kiritimati', '2027-06-02'],
    ['2027-06-01T19:00:00.000000Z', 'Pacific/Pago_Pago', '2027-06-01'],
    // Clocks go forward at two: eight comes an hour earlier than the day before, and back an hour later.
    ['2027-03-27T07:00:00.000000Z', 'Europe/Berlin', '2027-03-27'],
    ['2027-03-28T06:00:00.000000Z', 'Europe/Berlin', '2027-03-28'],
    ['2027-10-31T06:59:00.000000Z', 'Europe/Berlin', null],
    ['2027-10-31T07:00:00.000000Z', 'Europe/Berlin', '2027-10-31'],
    ['2027-06-01T08:00:00.000000Z', 'no such zone', '2027-06-01'],
  ])('at %s in %s is %s', (at, timeZone, day) => {
    expect(due(at, timeZone)).toBe(day);
  });

  it('comes once, also for who travels back over the date line', () => {
    const at = '2027-06-01T20:00:00.000000Z';
    expect(due(at, 'Pacific/Kiritimati', '2027-06-02')).toBeNull();
    expect(due(at, 'Pacific/Pago_Pago', '2027-06-02')).toBeNull();
    expect(due(at, 'Pacific/Pago_Pago', '2027-05-31')).toBe('2027-06-01');
  });
});
