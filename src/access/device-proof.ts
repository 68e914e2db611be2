/** What a device that proved itself over HTTP is. */
export interface ProvenDevice {
  readonly deviceId: string;
  readonly tenantId: string;
  readonly status: string;
  readonly credentialId: string;
}

/**
 * Port through which the global guard has a device's client secret checked. The room that keeps the secrets implements it; the
 * guard's room and that one are neighbours and do not know each other.
 */
export abstract class DeviceProof {
  /** `null` for an unknown device, a wrong or ended secret, or a device that may not act. Takes as long either way. */
  abstract prove(deviceId: string, secret: string): Promise<ProvenDevice | null>;
}

/**
 * As `DeviceProof`, for a device that came with a client certificate over a TLS connection that this program ends. The room that keeps
 * the certificates implements it.
 */
export abstract class CertificateProof {
  /** @param der as the handshake verified it. `null` unless it is good and its device may act. */
  abstract prove(der: Buffer): Promise<ProvenDevice | null>;
}
