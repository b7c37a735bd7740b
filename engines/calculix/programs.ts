/** The programs that the engine runs, one after the other, and a stop that ends the one that runs. */
import { type Program, type ProgramEnd, startProgram } from '../program';
import { Stopped } from '../protocol';

/** Behind the sandbox a signal is a code: 128 and its number. */
const KILLED = 128 + 9;
const TERMINATED = 128 + 15;

export class Programs {
  #running: Program | undefined;
  #isUp = false;
  #isStopped = false;

  /**
   * Runs a program to its end, with one thread.
   *
   * @throws Stopped after {@link stop}; Error when somebody else, or the memory, ended it. One that crashes (abort, segmentation
   * fault) does so because of its input: that is an end like others.
   */
  async run(command: string, args: readonly string[], onLine: (line: string) => void): Promise<ProgramEnd> {
    if (this.#isStopped) throw new Stopped();
    this.#isUp = false;
    this.#running = startProgram(command, args, {
      environment: { OMP_NUM_THREADS: '1' },
      onLine: (line) => {
        if (!this.#isUp && this.#isStopped) this.#running?.signal('SIGTERM');
        this.#isUp = true;
        onLine(line);
      },
    });
    const end = await this.#running.end;
    this.#running = undefined;
    if (this.#isStopped) throw new Stopped();
    const { code, signal, output } = end;
    if (signal !== null || code === null || code === KILLED || code === TERMINATED) {
      throw new Error(`${command} was killed (${signal ?? code}): ${output.slice(-2000)}`);
    }
    return end;
  }

  /**
   * Ends the program that runs. One that has said nothing yet is ended with its first line, which both say at once: a sandbox that is
   * ended while it is being set up was seen to leave a process behind that nobody waits for.
   */
  stop(): void {
    this.#isStopped = true;
    if (this.#isUp) this.#running?.signal('SIGTERM');
  }
}
