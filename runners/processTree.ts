/**
 * The processes of one run: the engine, its group, and whatever they started, remembered by pid and start time so that
 * a child that outlives its parent or leaves the group is still known.
 */
import type { RunCgroup } from './cgroups';
import { isAlive, type ProcessTable, readMemory, readProcess, readProcessTable, sendSignal } from './processes';

/** Follows the tree of the process `root`, which leads its own group and session. */
export class ProcessTree {
  #members: Map<number, string>;
  #cpuSeconds = 0;
  #peakMemoryBytes = 0;
  readonly #startedAt = performance.now();
  #scannedAt = 0;

  /** @param cgroup the control group that everything of the run is in, where there is one. */
  constructor(
    readonly root: number,
    private readonly cgroup?: RunCgroup,
  ) {
    const row = readProcess(root);
    this.#members = new Map(row ? [[root, row.startTime]] : []);
  }

  get cpuSeconds(): number {
    return this.#cpuSeconds;
  }

  get peakMemoryBytes(): number {
    return this.#peakMemoryBytes;
  }

  /** How many processes the last look found. */
  get size(): number {
    return this.#members.size;
  }

  /**
   * Measures the tree and returns its resident memory in bytes, or 0 where the kernel's own account tells all. The maximum is kept of both figures, because a process
   * that ends takes its own with it. New members are looked for once a second, more often at first: reading every process
   * of the host is the dear part.
   */
  sample({ look = false }: { look?: boolean } = {}): number {
    const now = performance.now();
    const { cpuSeconds: told, peakMemoryBytes: peak } = this.cgroup ?? {};
    if (told !== undefined && peak !== undefined && this.cgroup?.limitsProcesses) {
      // The kernel's own account misses nobody, and costs two reads however many there are.
      this.#cpuSeconds = Math.max(this.#cpuSeconds, told);
      this.#peakMemoryBytes = Math.max(this.#peakMemoryBytes, peak);
      return 0;
    }
    if (look || now - this.#scannedAt >= Math.min(SCAN_EVERY_MS, (now - this.#startedAt) / 2)) {
      this.#scannedAt = now;
      this.#scan();
    }
    let cpuSeconds = 0;
    let memory = 0;
    for (const [pid, startTime] of this.#members) {
      const row = readProcess(pid);
      if (row?.startTime !== startTime) {
        this.#members.delete(pid);
        continue;
      }
      const resident = readMemory(pid);
      cpuSeconds += row.cpuSeconds;
      memory += resident.now;
      this.#peakMemoryBytes = Math.max(this.#peakMemoryBytes, resident.peak);
    }
    this.#cpuSeconds = Math.max(this.#cpuSeconds, told ?? cpuSeconds);
    this.#peakMemoryBytes = Math.max(this.#peakMemoryBytes, memory, peak ?? 0);
    return memory;
  }

  /** The process `depth` generations below the root, the eldest where there are several. */
  descendant(depth: number): number | undefined {
    const table = this.#scan();
    let pid = this.root;
    for (let generation = 0; generation < depth; generation++) {
      const children = [...(table?.values() ?? [])].filter((row) => row.parent === pid && isAlive(row));
      const eldest = children.sort((a, b) => Number(a.startTime) - Number(b.startTime) || a.pid - b.pid)[0];
      if (!eldest) return undefined;
      pid = eldest.pid;
    }
    return pid;
  }

  /** Signals the group and every member that left it. */
  signal(signal: NodeJS.Signals): void {
    if (signal === 'SIGKILL') this.cgroup?.kill();
    const table = this.#scan();
    sendSignal(-this.root, signal);
    for (const pid of this.#members.keys()) {
      if (table?.get(pid)?.group !== this.root) sendSignal(pid, signal);
    }
  }

  /** Whether any process of the run is left. Without `/proc` the group is asked. */
  isEmpty(): boolean {
    const table = this.#scan();
    if (!table) return !groupExists(this.root);
    return ![...this.#members.keys()].some((pid) => isAlive(table.get(pid)));
  }

  /** Whether every process of the run is stopped (true where it cannot be seen). */
  isStopped(): boolean {
    const table = this.#scan();
    if (!table) return true;
    return [...this.#members.keys()].every((pid) => {
      const row = table.get(pid);
      return !isAlive(row) || row.state === 'T' || row.state === 't';
    });
  }

  #scan(): ProcessTable | undefined {
    const table = readProcessTable();
    if (!table) return undefined;
    for (const [pid, startTime] of this.#members) {
      if (table.get(pid)?.startTime !== startTime) this.#members.delete(pid);
    }
    for (const pid of this.cgroup?.processes() ?? []) {
      const row = table.get(pid) ?? readProcess(pid);
      if (!row) continue;
      table.set(pid, row);
      this.#members.set(pid, row.startTime);
    }
    for (let found = true; found; ) {
      found = false;
      for (const row of table.values()) {
        if (this.#members.has(row.pid)) continue;
        if (row.group === this.root || row.session === this.root || this.#members.has(row.parent)) {
          this.#members.set(row.pid, row.startTime);
          found = true;
        }
      }
    }
    return table;
  }
}

const SCAN_EVERY_MS = 1000;

function groupExists(group: number): boolean {
  try {
    return process.kill(-group, 0);
  } catch {
    return false;
  }
}
