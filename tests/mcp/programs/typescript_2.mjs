// The SDK for TypeScript, 2.x, which asks for the newest revision when it is told to.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { headers, url, work } from "./task.mjs";

const client = new Client(
  { name: "tests", version: "1" },
  { versionNegotiation: { mode: "auto" } },
);
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
await work(client, client.getNegotiatedProtocolVersion());
