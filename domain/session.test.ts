import { addMilliseconds, parseInstant } from './instant';
import { lookAtSession, type Session } from './session';

const OPENED = parseInstant('2026-03-02T09:00:00Z');
const minutes = (count: number) => addMilliseconds(OPENED, count * 60_000);
const session = (parts: Partial<Session> = {}): Session => ({
  openedAt: OPENED,
  activeAt: OPENED,
  leftAt: null,
  closedAt: null,
  closedFor: null,
  ...parts,
});

describe('a session', () => {
  it('warns ten minutes and ends thirty minutes after the last activity', () => {
    expect(lookAtSession(session(), minutes(29.99))).toEqual({
      state: 'open',
      warnAt: minutes(10),
      endsAt: minutes(30),
    });
    expect(lookAtSession(session(), minutes(30))).toEqual({ state: 'ended', at: minutes(30), reason: 'idle' });
  });

  it('lives on with every activity', () => {
    const active = session({ activeAt: minutes(29) });
    expect(lookAtSession(active, minutes(58))).toMatchObject({
      state: 'open',
      warnAt: minutes(39),
      endsAt: minutes(59),
    });
  });

  it('outlives a page that is loaded anew, and ends two minutes after one that was left', () => {
    const left = session({ activeAt: minutes(5), leftAt: minutes(5) });
    expect(lookAtSession(left, minutes(6.9))).toMatchObject({ state: 'open', endsAt: minutes(7) });
    expect(lookAtSession(left, minutes(7))).toEqual({ state: 'ended', at: minutes(7), reason: 'left' });
  });

  it('ended when it did, however late somebody looks', () => {
    const both = session({ leftAt: minutes(1), closedAt: minutes(9), closedFor: 'closed' });
    expect(lookAtSession(both, minutes(600))).toEqual({ state: 'ended', at: minutes(3), reason: 'left' });
  });

  it.each(['closed', 'another-design'] as const)('ends at once when it is ended as %s', (closedFor) => {
    const closed = session({ closedAt: minutes(3), closedFor });
    expect(lookAtSession(closed, minutes(3))).toEqual({ state: 'ended', at: minutes(3), reason: closedFor });
  });
});
