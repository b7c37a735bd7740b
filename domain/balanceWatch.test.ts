import { balanceNews, defaultThreshold } from './balanceWatch';
import { parseCredits } from './credits';

const balance = (spendable: string, granted = '1000') => ({
  spendable: parseCredits(spendable),
  granted: parseCredits(granted),
});

it('a balance is told of once when it falls below the threshold, and once when it is back', () => {
  const threshold = parseCredits('50');
  const told: (string | null)[] = [];
  let isLow = false;
  for (const spendable of ['100', '50', '49.999999', '10', '0', '50', '60', '49']) {
    const news = balanceNews(balance(spendable), threshold, isLow);
    if (news !== null) isLow = news === 'low-balance';
    told.push(news);
  }
  expect(told).toEqual([null, null, 'low-balance', null, null, 'balance-recovered', null, 'low-balance']);
});

it('by default a tenth of what was granted is low, and of nothing there is no tenth', () => {
  expect(defaultThreshold(balance('0', '1000'))).toBe(parseCredits('100'));
  expect(defaultThreshold(balance('0', '0'))).toBeNull();
});
