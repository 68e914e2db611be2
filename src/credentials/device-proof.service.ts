import { Injectable } from '@nestjs/common';
import { DeviceProof, type ProvenDevice } from '../access/device-proof.js';
import { DevicesGate } from '../devices/devices.gate.js';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { CredentialsGate } from './credentials.gate.js';

/** States in which a device may speak for itself over HTTP. */
const SPEAKING: readonly string[] = ['PENDING', 'ACTIVE', 'QUARANTINED'];

/**
 * HTTP Basic of a device: its client secret under its id. `allowedProofs` is about connections to the broker; a device that may
 * connect with tokens only still gets them with its secret.
 */
@Injectable()
export class DeviceProofService extends DeviceProof {
  constructor(
    private readonly devices: DevicesGate,
    private readonly credentials: CredentialsGate,
    private readonly clock: Clock,
  ) {
    super();
  }

  override async prove(deviceId: string, secret: string): Promise<ProvenDevice | null> {
    const { facts } = this.devices.peek('device', deviceId) ?? (await this.devices.facts('device', deviceId));
    if (facts === null || !maySpeak(facts)) {
      this.credentials.pretend(secret);
      return null;
    }
    const verdict = await this.credentials.checkSecret(secret, facts, this.clock.now());
    if (!verdict.ok) return null;
    return { deviceId: facts.id, tenantId: facts.tenantId, status: facts.status, credentialId: verdict.credentialId };
  }
}

function maySpeak({ tenantStatus, status, allowedProofs }: Facts): boolean {
  const bySecret = allowedProofs === null || allowedProofs.includes('secret') || allowedProofs.includes('token');
  return bySecret && tenantStatus === 'ACTIVE' && SPEAKING.includes(status);
}
