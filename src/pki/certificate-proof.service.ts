import { X509Certificate } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { CertificateProof, type ProvenDevice } from '../access/device-proof.js';
import { DevicesGate } from '../devices/devices.gate.js';
import { Clock } from '../platform/clock/clock.js';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import { PkiGate } from './pki.gate.js';

/** States in which a device may speak for itself over HTTP. */
const SPEAKING: readonly string[] = ['PENDING', 'ACTIVE', 'QUARANTINED'];
const COMMON_NAME = /^CN=(.{36})$/;

/** A device by its certificate: the same judgement as at the broker's door. */
@Injectable()
export class CertificateProofService extends CertificateProof {
  constructor(
    private readonly devices: DevicesGate,
    private readonly gate: PkiGate,
    private readonly clock: Clock,
  ) {
    super();
  }

  override async prove(der: Buffer): Promise<ProvenDevice | null> {
    const id = COMMON_NAME.exec(new X509Certificate(der).subject)?.[1] ?? '';
    if (!isCanonicalUuid(id)) return null;
    const { facts } = this.devices.peek('device', id) ?? (await this.devices.facts('device', id));
    if (facts === null || facts.tenantStatus !== 'ACTIVE' || !SPEAKING.includes(facts.status)) return null;
    const verdict = await this.gate.check({ kind: 'certificate', certificate: der.toString('base64') }, facts, this.clock.now());
    return verdict.ok ? { deviceId: id, tenantId: facts.tenantId, status: facts.status, credentialId: verdict.credentialId } : null;
  }
}
