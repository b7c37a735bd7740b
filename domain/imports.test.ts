import { importedTimes, objectionToImport } from './imports';
import { type Instant, parseInstant } from './instant';

const AT = parseInstant('2026-01-31T12:00:00Z');
const times = (receivedAt: string, more: { effectiveAt?: string; purchasedAt?: string } = {}) =>
  importedTimes({
    receivedAt: parseInstant(receivedAt),
    effectiveAt: more.effectiveAt === undefined ? undefined : parseInstant(more.effectiveAt),
    purchasedAt: more.purchasedAt === undefined ? undefined : parseInstant(more.purchasedAt),
  });

test('what was received in the last microsecond before 2013-12-13 is shared, and individual from then on (R5)', () => {
  const before = times('2013-12-12T23:59:59.999999Z');
  expect(objectionToImport('individual', before, AT)).toMatch(
    /^receivedAt: .* is a shared lot, whatever it was called/,
  );
  expect(objectionToImport('shared', before, AT)).toBeNull();
  expect(objectionToImport('individual', times('2013-12-13T00:00:00Z'), AT)).toBeNull();
});

test('the instant of receipt counts, in whatever zone it is written', () => {
  expect(objectionToImport('individual', times('2013-12-13T00:30:00+01:00'), AT)).toMatch(/shared/);
  expect(objectionToImport('individual', times('2013-12-12T23:30:00-01:00'), AT)).toBeNull();
});

test('a later effect does not make an early allocation individual', () => {
  expect(
    objectionToImport('individual', times('2013-06-01T00:00:00Z', { effectiveAt: '2014-06-01T00:00:00Z' }), AT),
  ).toMatch(/shared/);
});

test('nothing is received or purchased in the future, nor effective before its purchase', () => {
  const later = '2026-01-31T12:00:00.000001Z';
  expect(objectionToImport('shared', times(later), AT)).toMatch(/^receivedAt: .* is in the future/);
  const at: Instant = AT;
  expect(objectionToImport('shared', times(at), AT)).toBeNull();
  expect(objectionToImport('shared', times(at, { effectiveAt: later, purchasedAt: later }), AT)).toMatch(
    /^purchasedAt/,
  );
  expect(objectionToImport('shared', times(at, { purchasedAt: at, effectiveAt: '2020-01-01T00:00:00Z' }), AT)).toMatch(
    /^effectiveAt: a lot that was purchased/,
  );
});

test('what is not known of its times follows from when it was received', () => {
  const receivedAt = parseInstant('2020-05-01T00:00:00Z');
  expect(importedTimes({ receivedAt })).toEqual({ receivedAt, effectiveAt: receivedAt, purchasedAt: receivedAt });
  const effectiveAt = parseInstant('2020-04-01T00:00:00Z');
  expect(importedTimes({ receivedAt, effectiveAt })).toEqual({ receivedAt, effectiveAt, purchasedAt: effectiveAt });
});
