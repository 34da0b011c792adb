// Google Cloud Vision's client, over REST or gRPC as a plan's `transport` says. A call has the `method` and its `input`;
// photos are base64.

import vision from "@google-cloud/vision";
import gax from "google-gax";

import { serve } from "./plans.mjs";

process.env.METADATA_SERVER_DETECTION = "none"; // or it looks for one on the network, for seconds

const clients = new Map(); // by what they are made of, for each takes a second to read what the service's messages are

function caller({ endpoint, key, transport }) {
  const made = [endpoint, key, transport].join();
  if (!clients.has(made)) clients.set(made, client(endpoint, key, transport));
  return clients.get(made);
}

function client(endpoint, key, transport) {
  const { hostname, port } = new URL(endpoint);
  const place = { apiEndpoint: hostname, port: Number(port) };
  const rest = { ...place, fallback: true, protocol: "http", apiKey: key };
  const plain = { ...place, sslCreds: gax.grpc.credentials.createInsecure() };
  const sdk = new vision.ImageAnnotatorClient(transport === "grpc" ? plain : rest);
  const options = transport === "grpc" ? { otherArgs: { headers: { "x-goog-api-key": key } } } : {};
  return async ({ method, input }) => (await sdk[method](input, options))[0];
}

await serve(caller, (error) => ({ code: error.code }));
