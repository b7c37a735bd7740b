import { join } from 'node:path';
import { makeValley } from '../../dev/samples/makeValley';
import { readGround } from '../../engines/road-profile/ground';
import { service } from '.';
import { readProfile } from './profile';

const codeOf = (text: string) => {
  try {
    readProfile(text);
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'accepted';
};

test.each([
  ['comma', 'chainage,level\n0,100\n5000.0001,101.5\n', 5_000_001],
  ['semicolon and decimal comma', 'Nr;Station (m);Height [m]\r\n1;-0,5;100\r\n2;10,25;99,5\r\n', 10_750],
  ['tab, quotes and a byte order mark', '\uFEFF"Distance"\t"Elevation"\n1000\t3\n2000\t4\n', 1_000_000],
])('a profile is read exactly, alike by the service and the engine: %s', (_, text, length) => {
  expect(readProfile(text).lengthMillimetres).toBe(length);
  expect(readGround(text).lengthMillimetres).toBe(length);
});

test.each([
  ['profile_columns_missing', 'a,b\n1,2\n'],
  ['profile_columns_missing', ''],
  ['profile_number_invalid', 'chainage,level\n0,1\n1e9,2\n'],
  ['profile_number_invalid', 'chainage,level\n0,1\n10,NaN\n'],
  ['profile_number_invalid', 'chainage,level\n0,1\n10\n'],
  ['profile_not_increasing', 'chainage,level\n0,1\n10,2\n10,3\n'],
  ['profile_too_short', 'chainage,level\n0,1\n'],
  ['profile_too_short', 'chainage,level\n0,1\n0.5,1\n'],
  ['profile_too_large', 'chainage,level\n0,1\n100000.001,1\n'],
])('a profile that cannot be run is refused as %s: %j', (code, text) => {
  expect(codeOf(text)).toBe(code);
});

test('the sample is estimated by its exact length, and its maker makes it again', async () => {
  const path = join(__dirname, '../../samples/valley.csv');
  const facts = await service.inspect({ path, size: 0 });
  const estimate = service.estimate(facts, service.parameters.parse({}));
  expect(estimate.high).toEqual([{ meter: 'kilometres', quantity: 5_236_000n }]);
  expect(estimate.reason).toMatch(/5236 m/);
  expect(service.usageOf({ millimetres: 5_236_000 })[0]).toEqual(estimate.expected[0]);
  expect(readProfile(makeValley(20))).toEqual(facts);
});

test('more stations than can be solved and control points off the road are refused', () => {
  const facts = readProfile('chainage,level\n0,1\n20000,1\n');
  const estimate = (parameters: object) => () => service.estimate(facts, service.parameters.parse(parameters));
  expect(estimate({ stationSpacing: 1 })).toThrow(/more than 10000 stations/);
  expect(estimate({ controlPoints: [{ chainage: 20001, level: 0, kind: 'through' }] })).toThrow(/not on the road/);
});
