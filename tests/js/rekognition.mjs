// Amazon Rekognition's client. A call has an `operation` and its `input`, whose Image.Bytes are base64; a plan's `key` is
// a key pair, and `timeout_ms` is how long it waits for each try.

import * as rekognition from "@aws-sdk/client-rekognition";

import { serve } from "./plans.mjs";

function caller({ endpoint, key, timeout_ms: requestTimeout }) {
  const [accessKeyId, secretAccessKey] = key;
  const client = new rekognition.RekognitionClient({
    endpoint,
    region: "eu-west-1",
    credentials: { accessKeyId, secretAccessKey },
    requestHandler: { requestTimeout, throwOnRequestTimeout: true },
  });
  return async ({ operation, input }) => {
    if (input.Image?.Bytes) input.Image.Bytes = Buffer.from(input.Image.Bytes, "base64");
    const { $metadata, ...answer } = await client.send(new rekognition[`${operation}Command`](input));
    return answer;
  };
}

await serve(caller, (error) => ({ name: error.name, status: error.$metadata?.httpStatusCode }));
