import type { Runtime } from './runtime.js';

/** What a developer sees after `npm start`: where everything is, and three commands to try. */
export function welcome({ config, addresses, firstAdmin }: Runtime): string {
  const rest = `http://localhost:${config.http.port}`;
  const lines = [
    '',
    'Portcullis is up (development).',
    '',
    `  REST and OpenAPI   ${rest}/docs`,
    `  Broker callbacks   http://${config.internal.host}:${addresses.internal ?? '-'}  (also /metrics, /health/ready)`,
    ...(addresses.mqtt === null ? [] : [`  MQTT 3.1.1         mqtt://localhost:${addresses.mqtt}  (embedded broker; TLS: ${config.mqtt.external.mtls} by certificate, ${config.mqtt.external.tls} by secret or token)`]),
    `  Data directory     ${config.dataDir}`,
    '',
  ];
  if (firstAdmin) {
    lines.push(
      'First admin, created now:',
      `  e-mail    ${firstAdmin.email}`,
      firstAdmin.password === null ? '  password  as given in ADMIN_PASSWORD' : `  password  ${firstAdmin.password}   (shown this once)`,
      '',
    );
  }
  const email = firstAdmin?.email ?? config.bootstrap.email;
  // On the first start the commands can be copied as they stand.
  const password = firstAdmin?.password ?? '…';
  lines.push(
    'Try:',
    `  TOKEN=$(curl -s ${rest}/api/v1/auth/login -H 'content-type: application/json' \\`,
    `    -d '{"email":"${email}","password":"${password}"}' | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')`,
    `  curl -s ${rest}/api/v1/devices -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d '{"slug":"pump-17"}'`,
    `  curl -s ${rest}/api/v1/audit/logs -H "authorization: Bearer $TOKEN"`,
    '',
    '',
  );
  return lines.join('\n');
}
