/** After the `servers` tests: what `start.ts` started ends, and its folder goes. */
export default async function stop(): Promise<void> {
  await globalThis.stopTestServers?.();
}
