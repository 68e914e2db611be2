const { spawn } = require('node:child_process');
const path = require('node:path');
const readline = require('node:readline');

/**
 * Starts the real services once for all test projects and names them to the workers: TEST_POSTGRES_URL (owner, may
 * create databases), TEST_REDIS_URL (empty where there is no redis-server). Plain CommonJS: the server's binaries
 * are started from a child, as Jest's module loader is not Node's.
 */
module.exports = async () => {
  if (globalThis.__portcullisTestServices) return;
  const script = path.join(__dirname, '..', 'scripts', 'test-services.mjs');
  const services = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  globalThis.__portcullisTestServices = services;
  const line = await new Promise((resolve, reject) => {
    readline.createInterface({ input: services.stdout }).once('line', resolve);
    services.once('error', reject);
    services.once('exit', (code) => reject(new Error(`The test services did not start (exit ${code}), see above.`)));
  });
  const { postgresUrl, redisUrl } = JSON.parse(line);
  process.env.TEST_POSTGRES_URL = postgresUrl;
  process.env.TEST_REDIS_URL = redisUrl ?? '';
};
