import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runCert } from './cert-cli.js';

describe('portcullis cert', () => {
  let folder: string;
  let printed = '';
  const cert = (...args: string[]): Promise<number> => runCert(args, (text) => (printed += text));
  const at = (name: string): string => path.join(folder, name);
  const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8' });

  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'cert-'));
    printed = '';
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it.each(['EC', 'RSA'])('makes an authority (%s), a broker and a device that openssl accepts, keys for their owner alone', async (type) => {
    const id = '0f0e0d0c-0b0a-4908-8706-050403020100';
    const by = ['--ca', at('ca.pem'), '--key', at('ca-key.pem'), '--out', folder];
    expect(await cert('ca', '--out', folder, '--type', type)).toBe(0);
    expect(await cert('broker', ...by, '--host', 'mqtt.example.test,192.0.2.7,2001:db8::7')).toBe(0);
    expect(await cert('device', ...by, '--device-id', id)).toBe(0);
    expect(openssl('verify', '-x509_strict', '-CAfile', at('ca.pem'), '-purpose', 'sslserver', '-verify_hostname', 'mqtt.example.test', at('broker.pem'))).toContain('OK');
    expect(openssl('verify', '-x509_strict', '-CAfile', at('ca.pem'), '-verify_ip', '2001:db8::7', at('broker.pem'))).toContain('OK');
    expect(openssl('verify', '-x509_strict', '-CAfile', at('ca.pem'), '-purpose', 'sslclient', at('client.pem'))).toContain('OK');
    for (const name of ['ca-key.pem', 'broker-key.pem', 'client-key.pem']) expect(statSync(at(name)).mode & 0o777).toBe(0o600);
    expect(await cert('verify', '--ca', at('ca.pem'), at('client.pem'))).toBe(0);
    expect(await cert('show', at('client.pem'))).toBe(0);
    expect(printed).toContain(`CN=${id}`);
  });

  it('refuses what it cannot do, and overwrites nothing', async () => {
    expect(await cert('ca')).toBe(2);
    expect(await cert('conjure')).toBe(2);
    expect(await cert('ca', '--out', folder)).toBe(0);
    await expect(cert('ca', '--out', folder)).rejects.toThrow(/EEXIST/);
    expect(await cert('device', '--ca', at('ca.pem'), '--key', at('ca-key.pem'), '--out', folder, '--device-id', 'PUMP')).toBe(2);
    expect(await cert('device', '--ca', at('ca.pem'), '--key', at('ca-key.pem'), '--out', folder, '--device-id', '0f0e0d0c-0b0a-4908-8706-050403020100', '--days', '9999')).toBe(2);
  });
});
