import { disagreementsOf } from './disagreement';

it('names the counters that a program states otherwise, and no others', () => {
  const counted = { pixels: 100, rays: 7, samples: 3 };
  expect(disagreementsOf(counted, { pixels: 100, rays: 8 })).toEqual([{ counter: 'rays', counted: 7, stated: 8 }]);
  expect(disagreementsOf(counted, {})).toEqual([]);
});

it('what was never counted was counted as nothing', () => {
  expect(disagreementsOf({}, { pixels: 1, rays: 0 })).toEqual([{ counter: 'pixels', counted: 0, stated: 1 }]);
});
