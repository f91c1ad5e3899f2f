// A process that runs inside a namespace of the lab: a server that says who it is, or a client that asks.
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

const TIMEOUT_MS = 3000;
const [role, ...args] = process.argv.slice(2);

async function serve(name: string, address: string, port: number): Promise<void> {
  await new Promise<void>((resolve) => {
    createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(JSON.stringify({ from: name, source: socket.remoteAddress }));
    }).listen(port, address, resolve);
  });
  await new Promise<void>((resolve) => {
    const socket = createSocket('udp4');
    socket.on('message', (_, client) => {
      socket.send(JSON.stringify({ from: name, source: client.address }), client.port, client.address);
    });
    socket.bind(port, address, resolve);
  });
  process.stdout.write('ready\n');
}

function askTcp(address: string, port: number): Promise<object> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: address, timeout: TIMEOUT_MS });
    let said = '';
    socket.on('data', (chunk) => {
      said += chunk;
    });
    socket.on('end', () => resolve(JSON.parse(said)));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve({ from: '', error: error.code }));
    socket.on('timeout', () => {
      socket.destroy();
      resolve({ from: '', error: 'TIMEOUT' });
    });
  });
}

function udpAsker(address: string, port: number): () => Promise<object> {
  const socket = createSocket('udp4');
  const connected = new Promise<void>((resolve) => socket.connect(port, address, resolve));
  return async () => {
    await connected;
    return new Promise((resolve) => {
      const timer = setTimeout(() => finish({ from: '', error: 'TIMEOUT' }), TIMEOUT_MS);
      const onMessage = (message: Buffer): void => finish(JSON.parse(message.toString()));
      const onError = (error: NodeJS.ErrnoException): void => finish({ from: '', error: error.code });
      const finish = (reply: object): void => {
        clearTimeout(timer);
        socket.off('message', onMessage).off('error', onError);
        resolve(reply);
      };
      socket.on('message', onMessage).on('error', onError);
      socket.send('?');
    });
  };
}

if (role === 'serve') {
  const [name, address, port] = args;
  await serve(name!, address!, Number(port));
} else if (role === 'ask') {
  const [protocol, address, port, count] = args;
  const askUdp = protocol === 'udp' ? udpAsker(address!, Number(port)) : undefined;
  const replies: object[] = [];
  for (let i = 0; Number(count) > i; i++) replies.push(await (askUdp ? askUdp() : askTcp(address!, Number(port))));
  process.stdout.write(JSON.stringify(replies), () => process.exit(0));
} else if (role === 'udp-client') {
  const [address, port] = args;
  const ask = udpAsker(address!, Number(port));
  for await (const _ of createInterface({ input: process.stdin }))
    process.stdout.write(`${JSON.stringify(await ask())}\n`);
}
