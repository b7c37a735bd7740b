/** Whether what is generated and committed says what would be generated now. Needs compiled code. */
const { readFileSync } = require('node:fs');
const { OPENAPI_FILE, openApiText } = require('../dist/dev/writeOpenApi');

if (readFileSync(OPENAPI_FILE, 'utf8') !== openApiText()) {
  console.log('docs/openapi.json is not what the routes say: run "npm run openapi"');
  process.exitCode = 1;
}
