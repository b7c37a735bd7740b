/**
 * An engine that does what its parameters say, step by step, to try the runner: the good, the careless and the
 * hostile. Plain JavaScript, so that it runs without a build.
 */

const { spawn } = require('node:child_process');
const { mkdirSync, readFileSync, symlinkSync, writeFileSync, writeSync } = require('node:fs');
const { dirname } = require('node:path');

const { steps, outlivesItsWatcher } = JSON.parse(readFileSync('parameters.json', 'utf8'));
const hoard = [];

process.stdin.resume();
if (!outlivesItsWatcher) process.stdin.on('end', () => process.exit(1));

/** Pipes are asynchronous for Node; everything here is written before the next step. */
function write(fd, text) {
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

const actions = {
  report: ({ report }) => write(1, `${JSON.stringify(report)}\n`),
  write: ({ text, times = 1, fd = 1 }) => {
    for (let i = 0; i < times; i++) write(fd, text);
  },
  file: ({ path, text }) => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  },
  link: ({ path, target }) => {
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(target, path);
  },
  /** Says everything it can see of its surroundings. */
  look: () => {
    const seen = {
      environment: Object.keys(process.env).sort(),
      home: process.env.HOME,
      folder: process.cwd(),
      input: readFileSync('input', 'utf8'),
    };
    mkdirSync('out', { recursive: true });
    writeFileSync('out/seen.json', JSON.stringify(seen));
  },
  onTerm: ({ steps: answer }) => process.on('SIGTERM', () => answer.forEach(run)),
  child: ({ program, leaves }) => {
    const child = spawn(process.execPath, ['-e', program], { stdio: 'ignore', detached: leaves === true });
    write(1, `${JSON.stringify({ type: 'progress', fraction: 0, counters: { child: child.pid } })}\n`);
  },
  /** Uses CPU and reports ten times a second, for ever or so many milliseconds of its own CPU time. */
  work: ({ cpuMs = Number.POSITIVE_INFINITY }) => {
    const usedMs = () => process.cpuUsage().user / 1000;
    const until = usedMs() + cpuMs;
    let rounds = 0;
    const round = () => {
      const stopAt = performance.now() + 100;
      while (performance.now() < stopAt);
      write(1, `${JSON.stringify({ type: 'progress', fraction: 0.5, counters: { rounds: ++rounds } })}\n`);
      if (usedMs() < until) setImmediate(round);
      else next();
    };
    round();
    return true;
  },
  hoard: ({ mebibytes }) => {
    for (let i = 0; i < mebibytes; i++) hoard.push(Buffer.alloc(2 ** 20, 1));
  },
  wait: () => true,
  exit: ({ code }) => process.exit(code),
  die: ({ signal }) => {
    process.kill(process.pid, signal);
    return true;
  },
};

function run(step) {
  return actions[step.do](step) === true;
}

function next() {
  while (steps.length > 0) if (run(steps.shift())) return;
}

setInterval(() => {}, 1000);
next();
