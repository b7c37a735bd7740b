#!/usr/bin/env node
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const main = join(__dirname, '..', 'dist', 'cli', 'main.js');
if (!existsSync(main)) {
  process.stderr.write('Holdfast is not built yet: run "npm ci", or "npm run build".\n');
  process.exit(2);
}
require(main);
