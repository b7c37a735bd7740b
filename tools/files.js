/** The files that belong to this repository: all that lie here and are not ignored. */
const { execFileSync } = require('node:child_process');
const { existsSync, readdirSync } = require('node:fs');
const { join, relative } = require('node:path');

const ROOT = join(__dirname, '..');

/** Paths relative to the root, with forward slashes, sorted. */
function repositoryFiles() {
  // An unpacked archive has no history: what git would ignore is left out by name then.
  const found = existsSync(join(ROOT, '.git'))
    ? execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT })
        .toString()
        .split('\0')
    : walk(ROOT);
  return [...new Set(found)].filter((path) => path !== '' && existsSync(join(ROOT, path))).sort();
}

const IGNORED = new Set(['node_modules', 'dist', '.holdfast', 'coverage', '.git']);

function walk(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (IGNORED.has(entry.name)) return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? walk(path) : [relative(ROOT, path)];
  });
}

module.exports = { ROOT, repositoryFiles };
