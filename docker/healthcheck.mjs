/**
 * The image's health check: exit code 0 if this container's internal listener answers /health/live. Where the listener demands a
 * client certificate the process shows its own, which must then be good as one (`clientAuth`, signed by INTERNAL_TLS_CLIENT_CA).
 */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const { INTERNAL_HOST = '127.0.0.1', INTERNAL_PORT = '3001', INTERNAL_TLS_CERT, INTERNAL_TLS_KEY } = process.env;
const host = ['0.0.0.0', '::'].includes(INTERNAL_HOST) ? '127.0.0.1' : INTERNAL_HOST;
const target = { host, port: Number(INTERNAL_PORT), path: '/health/live', timeout: 2_500 };

const request = INTERNAL_TLS_CERT
  ? https.get({
    ...target,
    cert: readFileSync(INTERNAL_TLS_CERT),
    key: readFileSync(INTERNAL_TLS_KEY ?? ''),
    // It talks to itself and sends nothing secret: whose name stands in the certificate does not matter here.
    rejectUnauthorized: false,
  })
  : http.get(target);

request.on('response', (response) => process.exit(response.statusCode === 200 ? 0 : 1));
request.on('timeout', () => process.exit(1));
request.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
