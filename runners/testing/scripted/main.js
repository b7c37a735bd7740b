/**
 * An engine that does what its parameters say, step by step, to try the runner: the good, the careless and the
 * hostile. Plain JavaScript, so that it runs without a build.
 */

const { spawn, spawnSync } = require('node:child_process');
const {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} = require('node:fs');
const { connect } = require('node:net');
const { dirname } = require('node:path');

const { steps, outlivesItsWatcher, title } = JSON.parse(readFileSync('parameters.json', 'utf8'));
// So that it is found among the machine's processes, whatever stands around it.
if (title) process.title = title;
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
  file: ({ path, text, times = 1 }) => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text.repeat(times));
  },
  /** Many files with the same text. */
  fill: ({ folder, files, text = '', times = 1 }) => {
    mkdirSync(folder, { recursive: true });
    for (let i = 0; i < files; i++) writeFileSync(`${folder}/${i}`, text.repeat(times));
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
    const child = spawn(process.execPath, ['-e', `/* ${title} */ ${program}`], {
      stdio: 'ignore',
      detached: leaves === true,
    });
    write(1, `${JSON.stringify({ type: 'progress', fraction: 0, counters: { child: child.pid } })}\n`);
  },
  /** Uses CPU and reports ten times a second, for ever or so many milliseconds of its own CPU time. */
  work: ({ beats = false, cpuMs = Number.POSITIVE_INFINITY }) => {
    const usedMs = () => process.cpuUsage().user / 1000;
    const until = usedMs() + cpuMs;
    let rounds = 0;
    mkdirSync('out', { recursive: true });
    const round = () => {
      const stopAt = performance.now() + 100;
      while (performance.now() < stopAt) if (beats) appendFileSync('out/beats', '.');
      write(1, `${JSON.stringify({ type: 'progress', fraction: 0.5, counters: { rounds: ++rounds } })}\n`);
      if (usedMs() < until) setImmediate(round);
      else next();
    };
    round();
    return true;
  },
  /** Uses CPU itself and in a child, and counts in microseconds what both say that they used. */
  burn: ({ cpuMs }) => {
    const burn = `const used = () => process.cpuUsage().user + process.cpuUsage().system;
      while (used() < ${cpuMs * 1000}); used()`;
    const child = spawnSync(process.execPath, ['-p', burn], { encoding: 'utf8' });
    while (process.cpuUsage().user < cpuMs * 1000);
    const { user, system } = process.cpuUsage();
    write(
      1,
      `${JSON.stringify({ type: 'progress', fraction: 0, counters: { used: user + system + Number(child.stdout) } })}\n`,
    );
  },
  /** Writes a sign of life ten times a second, from a process that has left its parent, group and session. */
  daemon: () => {
    const beat = `/* ${title} */ const beat = () => require('fs').appendFileSync('out/beats', '.'); beat(); setInterval(beat, 20)`;
    const leave = `require('child_process').spawn(process.execPath, ['-e', process.argv[1]], { detached: true, stdio: 'ignore' }).unref()`;
    mkdirSync('out', { recursive: true });
    spawnSync(process.execPath, ['-e', leave, beat], { stdio: 'ignore' });
    while (!existsSync('out/beats'));
  },
  /** Drives a program behind the walls that the runner gave, and counts how it ended when it has. */
  drive: ({ command, stopsIt = false }) => {
    const [walls, ...rest] = JSON.parse(process.env.HOLDFAST_SANDBOX);
    const named = command.map((word) => word.replace('TITLE', title));
    const program = spawn(walls, [...rest, '--', ...named], { stdio: 'ignore' });
    if (stopsIt) process.on('SIGTERM', () => program.kill('SIGTERM'));
    program.on('exit', (code) => {
      write(1, `${JSON.stringify({ type: 'progress', fraction: 0, counters: { ended: code ?? 255 } })}\n`);
      next();
    });
    return true;
  },
  /** Starts processes that do nothing, many at once. */
  multiply: ({ processes }) => {
    for (let i = 0; i < processes; i++) spawn('sleep', ['60'], { stdio: 'ignore' }).on('error', () => {});
  },
  /** Tries to get at things, and counts those that it could. */
  reach: ({ reads = [], writes = [], port }) => {
    const could = (attempt) => (path) => {
      try {
        attempt(path);
        return true;
      } catch {
        return false;
      }
    };
    const read = reads.filter(could((path) => readFileSync(path))).length;
    const written = writes.filter(could((path) => writeFileSync(path, 'here'))).length;
    const tell = (connected) => {
      write(1, `${JSON.stringify({ type: 'progress', fraction: 0, counters: { read, written, connected } })}\n`);
      next();
    };
    connect({ host: '127.0.0.1', port }, () => tell(1)).on('error', () => tell(0));
    return true;
  },
  hoard: ({ mebibytes }) => {
    for (let i = 0; i < mebibytes; i++) hoard.push(Buffer.alloc(2 ** 20, 1));
  },
  /** Long enough for somebody who looks four times a second. */
  linger: () => {
    setTimeout(next, 600);
    return true;
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
