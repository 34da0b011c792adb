// Azure Image Analysis' client, which raises nothing but hands over status and body. A call has the photo as base64 in
// `data`, or its `url`, and the query's `parameters`; a plan's `retries` is how often the SDK may send a call again.

import analysis from "@azure-rest/ai-vision-image-analysis";
import { AzureKeyCredential } from "@azure/core-auth";

import { serve } from "./plans.mjs";

function caller({ endpoint, key, retries: maxRetries }) {
  const client = analysis.default(endpoint, new AzureKeyCredential(key), {
    allowInsecureConnection: true,
    retryOptions: { maxRetries, retryDelayInMs: 10 },
  });
  return async ({ data, url, parameters: queryParameters }) => {
    const photo = data
      ? { body: Buffer.from(data, "base64"), contentType: "application/octet-stream" }
      : { body: { url }, contentType: "application/json" };
    const { status, body } = await client.path("/imageanalysis:analyze").post({ ...photo, queryParameters });
    return { status: Number(status), body };
  };
}

await serve(caller, () => ({}));
