import type { SslOptions } from './reader.js';

export type ProcessRole = 'all' | 'api' | 'gate';
export type TopicProfile = 'directional' | 'namespace';
export type TokenProfile = 'topics' | 'publ-subs';

/** A master key: it only wraps the data keys that Postgres keeps. */
export interface MasterKey {
  readonly kid: string;
  /** Exactly 32 bytes. */
  readonly key: Buffer;
}

/** All that was configured, checked and frozen. Durations are milliseconds. */
export interface Config {
  readonly production: boolean;
  readonly role: ProcessRole;
  readonly dataDir: string;
  readonly logLevel: string;
  readonly http: {
    readonly port: number;
    readonly host: string;
    readonly publicUrl: string;
    readonly corsOrigins: readonly string[];
    /** CIDRs whose X-Forwarded-For is believed. */
    readonly trustProxy: readonly string[];
  };
  readonly internal: {
    readonly port: number;
    readonly host: string;
    /** One value, or two during a rotation. */
    readonly secrets: readonly string[];
    /** Paths of PEM files. */
    readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa: string };
  };
  readonly database: {
    readonly url?: string;
    readonly appUrl?: string;
    readonly gateUrl?: string;
    readonly readerUrl?: string;
    readonly migratorUrl?: string;
    readonly rolePrefix?: string;
    readonly ssl: SslOptions;
    readonly poolSize: number;
    readonly gatePoolSize: number;
  };
  readonly redis: { readonly url?: string };
  readonly mqtt: {
    readonly url?: string;
    /** What the broker speaks to the message gateway. */
    readonly version: '5' | '3.1.1';
    /** Embedded broker. */
    readonly port: number;
    readonly publicHost: string;
    /** Listeners of the external broker. */
    readonly external: { readonly mtls: number; readonly tls: number; readonly wss: number };
    /** Management API of EMQX. */
    readonly emqx?: { readonly url: string; readonly key: string; readonly secret: string };
    /** Findings of the broker linter that are borne; checked against the known ones by the linter. */
    readonly lintWaived: readonly string[];
    readonly topicPrefix: string;
    readonly topicProfile: TopicProfile;
  };
  readonly web: { readonly jwtSecret: string; readonly registration: 'locked' | 'open' };
  readonly mail: { readonly smtpUrl?: string; readonly from: string };
  readonly deviceTokens: { readonly hs256Secret?: string; readonly profiles: readonly TokenProfile[] };
  readonly masterKeys: readonly MasterKey[];
  readonly adminKey: string;
  readonly gate: {
    readonly brokerUnknown: 'deny' | 'ignore';
    readonly brokerCert: 'pem' | 'cn';
    readonly aclTerminal: 'callback' | 'deny';
    readonly authFailurePolicy: 'possession' | 'strict';
    readonly staleFactsMaxMs: number;
    readonly sessionMaxMs: number;
  };
  readonly pki: {
    /** Base of the URLs in certificates. */
    readonly publicUrl: string;
    /** Of authorities that are made here. */
    readonly keyType: 'EC' | 'RSA';
    /** Revoked certificates as one PEM file, for brokers that read no URL. */
    readonly crlFile?: string;
    /** Authorities that clients' certificates may rest on as one PEM file, for brokers. */
    readonly caFile?: string;
    /** Where devices renew with their certificate. */
    readonly deviceTlsPort?: number;
  };
  readonly messages: {
    /** False only in development: unsigned messages are let through, marked. */
    readonly requireSignatures: boolean;
    /** Name of this instance among those of one installation, the same after a restart. */
    readonly gatewayId: string;
  };
  readonly bootstrap: { readonly email: string; readonly password?: string };
}

/** Injection token of the `Config`. */
export const CONFIG = Symbol('CONFIG');
