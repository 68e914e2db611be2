import { OpenSsl } from './openssl.js';

const ROOT = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign', 'subjectKeyIdentifier=hash'];
const ISSUING = ['basicConstraints=critical,CA:TRUE,pathlen:0', 'keyUsage=critical,digitalSignature,keyCertSign,cRLSign', 'subjectKeyIdentifier=hash', 'authorityKeyIdentifier=keyid:always'];

/** A root whose key the application never sees: openssl signs with it, as at somebody's ceremony. */
export class OfflineRoot {
  private constructor(
    private readonly openssl: OpenSsl,
    readonly name: string,
    readonly certificate: string,
  ) {}

  static async make(openssl: OpenSsl, name: string, { extensions = ROOT, algorithm = ['EC', '-pkeyopt', 'ec_paramgen_curve:P-384'], days = 7300 } = {}): Promise<OfflineRoot> {
    await openssl.must('genpkey', '-algorithm', ...algorithm, '-out', `${name}.key`);
    // openssl adds extensions of its own configuration unless that is empty.
    await openssl.write('empty.cnf', '[req]\ndistinguished_name = dn\n[dn]\n');
    await openssl.must('req', '-x509', '-config', 'empty.cnf', '-new', '-sha384', '-key', `${name}.key`, '-days', String(days), '-subj', `/O=Acme/CN=${name}`,
      ...extensions.flatMap((extension) => ['-addext', extension]), '-out', `${name}.pem`);
    return new OfflineRoot(openssl, name, await openssl.read(`${name}.pem`));
  }

  /** Signs a request; `extensions` are the signer's own. */
  async sign(csr: string, { extensions = ISSUING, days = 1825, digest = 'sha384', subject = '' } = {}): Promise<string> {
    await this.openssl.write('wanted.csr', csr);
    await this.openssl.write('wanted.ext', extensions.join('\n'));
    await this.openssl.must('x509', '-req', '-in', 'wanted.csr', '-CA', `${this.name}.pem`, '-CAkey', `${this.name}.key`, '-CAcreateserial', `-${digest}`,
      '-days', String(days), '-extfile', 'wanted.ext', ...(subject === '' ? [] : ['-subj', subject]), '-out', 'signed.pem');
    return this.openssl.read('signed.pem');
  }
}

export const ISSUING_EXTENSIONS: readonly string[] = ISSUING;
