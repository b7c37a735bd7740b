/**
 * Makes a supervised process end when its launcher does, however the launcher ended: the channel between them closes.
 * Ending goes the way of SIGTERM, so a process has one way to shut down; should that hang, the process ends all the
 * same. Call it before anything else; without a launcher it does nothing.
 */
export function exitWithParent(graceMs = 20_000): void {
  if (!process.channel) return;
  process.once('disconnect', () => {
    setTimeout(() => process.exit(1), graceMs).unref();
    process.kill(process.pid, 'SIGTERM');
  });
  // The channel is watched, but it is no reason to stay alive.
  process.channel.unref();
}
