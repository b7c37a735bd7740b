/**
 * Whether going ahead is worth trying. Where other processes work on the same pools it is refused more often than not, and a
 * refused batch has to be loaded after all: with four processes on a thousand pools a fifth to a third of the throughput went
 * that way.
 */

/** How many batches are loaded at most before the next is tried ahead. */
const REST_MAX = 64;

export class Caution {
  private rest = 0;
  private next = 1;

  /** Whether a batch may go ahead now. */
  get isTrying(): boolean {
    return this.rest === 0;
  }

  /** A batch that went ahead was applied. */
  applied(): void {
    this.next = Math.max(1, this.next / 2);
  }

  /**
   * A batch that went ahead was refused: some are loaded before another goes ahead, after every refusal twice as many, after
   * every success half as many. What was on its way behind it is refused with it, and counts as one.
   */
  refused(): void {
    if (!this.isTrying) return;
    this.rest = this.next;
    this.next = Math.min(REST_MAX, this.next * 2);
  }

  /** A batch was loaded. */
  loaded(): void {
    this.rest = Math.max(0, this.rest - 1);
  }
}
