import { Injectable } from '@nestjs/common';
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import { logger } from '../platform/telemetry/logger.js';
import type { SigningProperties } from './signed-message.js';

/** Shorter than the lease of a nonce: what was not acknowledged by then is tried again. */
const PUBLISH_TIMEOUT_MS = 5_000;

/** The connection by which the gateway speaks: verified copies and commands, QoS 1. */
@Injectable()
export class GatewayPublisher {
  private client: MqttClient | undefined;

  /** Connects, and goes on trying by itself. */
  open(url: string, options: IClientOptions): void {
    const client = connect(url, { ...options, clean: true, reconnectPeriod: 1_000 });
    client.on('error', (error) => logger.warn({ err: error.message }, 'the publishing connection of the message gateway failed'));
    this.client = client;
  }

  get connected(): boolean {
    return this.client?.connected ?? false;
  }

  async close(): Promise<void> {
    await this.client?.endAsync(true);
    this.client = undefined;
  }

  /** Resolves with the broker's acknowledgement. @throws when there is none in time: it may have been published or not. */
  async publish(topic: string, payload: Buffer, properties?: SigningProperties): Promise<void> {
    const { client } = this;
    if (!client?.connected) throw new Error('the message gateway has no connection to the broker');
    const v5 = client.options.protocolVersion === 5 && properties !== undefined;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('the broker has not acknowledged in time')), PUBLISH_TIMEOUT_MS);
    });
    try {
      const sent = client.publishAsync(topic, payload, { qos: 1, ...(v5 ? { properties: { userProperties: { ...properties } } } : {}) });
      await Promise.race([sent, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
