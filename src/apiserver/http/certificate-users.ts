import type { TLSSocket } from 'node:tls';
import { type Credentials, userOfCertificate } from '../auth/authenticate.ts';
import type { UserInfo } from '../contract.ts';
import type { Exchange } from './exchange.ts';

/** The user of each connection's client certificate, read from it once. */
export class CertificateUsers {
  readonly #known = new WeakMap<TLSSocket, UserInfo | Error | 'none'>();

  /** Undefined: no certificate was sent. Throws when it is not one of ours. */
  of(socket: TLSSocket): UserInfo | undefined {
    let user = this.#known.get(socket);
    if (user === undefined) {
      user = read(socket);
      this.#known.set(socket, user);
    }
    if (user instanceof Error) throw user;
    return user === 'none' ? undefined : user;
  }
}

function read(socket: TLSSocket): UserInfo | Error | 'none' {
  const certificate = socket.getPeerCertificate?.();
  if (!certificate || Object.keys(certificate).length === 0) return 'none';
  if (!socket.authorized) return new Error(`client certificate: ${String(socket.authorizationError)}`);
  try {
    return userOfCertificate(certificate);
  } catch (error) {
    return error as Error;
  }
}

/** What authentication sees of an exchange. */
export class ExchangeCredentials implements Credentials {
  readonly #exchange: Exchange;
  readonly #certificates: CertificateUsers;

  constructor(exchange: Exchange, certificates: CertificateUsers) {
    this.#exchange = exchange;
    this.#certificates = certificates;
  }

  headers(name: string): readonly string[] {
    return this.#exchange.headers(name);
  }

  headerNames(): readonly string[] {
    return this.#exchange.headerNames();
  }

  certificateUser(): UserInfo | undefined {
    return this.#certificates.of(this.#exchange.socket);
  }
}
