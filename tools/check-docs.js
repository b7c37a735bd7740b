/**
 * What the documents say must exist: files and headings that are linked, files that are named in `code`, scripts that are
 * run with npm. Documents drift in silence; this makes it loud.
 */
const { existsSync, readFileSync } = require('node:fs');
const { basename, dirname, join, normalize } = require('node:path');
const { ROOT, repositoryFiles } = require('./files');

const files = repositoryFiles();
const known = new Set(files);
const names = new Set(files.map((path) => basename(path)));
const rooms = new Set(files.filter((path) => path.includes('/')).map((path) => path.split('/')[0]));
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

/** Made when the product is built or run: named in documents, never part of the repository. */
const MADE = /^(dist|node_modules|\.holdfast|coverage)(\/|$)/;
const EXTENSION = /\.(ts|js|mjs|json|md|sql|yml|yaml|sh|cir|glb)$/;

const findings = files.filter((path) => path.endsWith('.md')).flatMap(check);
for (const finding of findings) console.log(finding);
process.exitCode = findings.length === 0 ? 0 : 1;

function check(path) {
  const lines = readFileSync(join(ROOT, path), 'utf8').split('\n');
  const found = [];
  let isCode = false;
  lines.forEach((line, index) => {
    const say = (sentence) => found.push(`${path}:${index + 1}: ${sentence}`);
    for (const [, script] of line.matchAll(/npm run (?:--silent )?([\w:-]+)/g)) {
      if (!(script in scripts)) say(`there is no script "${script}"`);
    }
    if (/^\s*```/.test(line)) isCode = !isCode;
    if (isCode) return;
    const text = line.replace(/`[^`]*`/g, (code) => ' '.repeat(code.length));
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) checkLink(path, target, say);
    for (const [, code] of line.matchAll(/`([^`]+)`/g)) checkNamed(path, code, say);
  });
  return found;
}

function checkLink(path, target, say) {
  if (/^[a-z]+:/.test(target)) return;
  const [file, anchor] = target.split('#');
  const linked = file === '' ? path : normalize(join(dirname(path), file)).replace(/\/$/, '');
  if (!exists(linked)) say(`the link to ${target} leads nowhere`);
  else if (anchor && linked.endsWith('.md') && !headingsOf(linked).has(anchor))
    say(`${linked} has no heading #${anchor}`);
}

/** A file or folder in backticks, from the root or from where the document lies. */
function checkNamed(path, code, say) {
  const named = code.replace(/^\.\//, '').replace(/\/$/, '');
  if (!/^[\w.@-]+(\/[\w.@*<>-]+)*$/.test(named) || /[*<>]/.test(named) || MADE.test(named)) return;
  const isPath = named.includes('/') && (rooms.has(named.split('/')[0]) || EXTENSION.test(named));
  const isFile = !named.includes('/') && /\.(ts|sql|md)$/.test(named);
  if (isPath && !exists(named) && !exists(normalize(join(dirname(path), named)))) say(`${code} does not exist`);
  if (isFile && !names.has(named)) say(`no file is called ${code}`);
}

function exists(path) {
  return (
    known.has(path) ||
    (path !== '' && files.some((file) => file.startsWith(`${path}/`))) ||
    (path === '.' && existsSync(ROOT))
  );
}

function headingsOf(path) {
  const headings = readFileSync(join(ROOT, path), 'utf8').match(/^#{1,6} .+$/gm) ?? [];
  return new Set(
    headings.map((heading) =>
      heading
        .replace(/^#+ /, '')
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}
