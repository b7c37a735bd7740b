import { Caution } from './caution';

/** How many batches are loaded before the next is tried ahead. */
function restOf(caution: Caution): number {
  let loaded = 0;
  for (; !caution.isTrying; loaded++) caution.loaded();
  return loaded;
}

function refusedTimes(times: number): number[] {
  const caution = new Caution();
  return Array.from({ length: times }, () => {
    caution.refused();
    return restOf(caution);
  });
}

describe('caution', () => {
  it('tries at first, and again after one batch that was loaded', () => {
    const caution = new Caution();
    expect(caution.isTrying).toBe(true);
    caution.refused();
    expect(caution.isTrying).toBe(false);
    caution.loaded();
    expect(caution.isTrying).toBe(true);
  });

  it('rests longer after every refusal, and never for ever', () => {
    expect(refusedTimes(9)).toEqual([1, 2, 4, 8, 16, 32, 64, 64, 64]);
  });

  it('rests half as long after a success', () => {
    const caution = new Caution();
    for (let n = 0; n < 6; n++) {
      caution.refused();
      restOf(caution);
    }
    caution.applied();
    caution.applied();
    caution.refused();
    expect(restOf(caution)).toBe(16);
    for (let n = 0; n < 10; n++) caution.applied();
    caution.refused();
    expect(restOf(caution)).toBe(1);
  });

  it('counts as one refusal what was on its way behind another, and is refused with it', () => {
    const caution = new Caution();
    caution.refused();
    caution.refused();
    expect(restOf(caution)).toBe(1);
    caution.refused();
    expect(restOf(caution)).toBe(2);
  });

  it('does not save up what is loaded while it is trying', () => {
    const caution = new Caution();
    for (let n = 0; n < 5; n++) caution.loaded();
    caution.refused();
    expect(caution.isTrying).toBe(false);
  });
});
