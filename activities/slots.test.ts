import { createSlots } from './slots';

const never = new AbortController().signal;

async function isWaiting(acquired: Promise<void>): Promise<boolean> {
  const waiting = Symbol();
  return (await Promise.race([acquired, new Promise((resolve) => setImmediate(resolve, waiting))])) === waiting;
}

it('lets as many work at once as there are slots, and the next in the order they came', async () => {
  const slots = createSlots(2);
  await slots.acquire(never);
  await slots.acquire(never);
  const third = slots.acquire(never);
  const fourth = slots.acquire(never);
  expect(await isWaiting(third)).toBe(true);
  slots.release();
  expect(await isWaiting(third)).toBe(false);
  expect(await isWaiting(fourth)).toBe(true);
  slots.release();
  expect(await isWaiting(fourth)).toBe(false);
});

it('does not lose a slot to somebody who gave up waiting', async () => {
  const slots = createSlots(1);
  await slots.acquire(never);
  const patience = new AbortController();
  const impatient = slots.acquire(patience.signal);
  const patient = slots.acquire(never);
  patience.abort(new Error('enough'));
  await expect(impatient).rejects.toThrow('enough');
  slots.release();
  await patient;
  slots.release();
  await slots.acquire(never);
});

it('gives nothing to somebody who had given up before', async () => {
  const slots = createSlots(1);
  await expect(slots.acquire(AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
  await slots.acquire(never);
});
