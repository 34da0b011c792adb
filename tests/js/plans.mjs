// What the programs beside this one have in common: plans come in on stdin and what came of them goes out on stdout, a
// line of JSON each. A plan has the `endpoint`, a `key`, and `calls`, which are made one after another or, `together`,
// all at once. Its outcome has one entry a call, an `answer` or an `error`, and how many HTTP requests were sent to the
// endpoint for them.

import { subscribe } from "node:diagnostics_channel";
import { createInterface } from "node:readline";

const sends = new Map();
subscribe("http.client.request.start", ({ request }) => {
  const to = `http://${request.getHeader("host")}`;
  sends.set(to, (sends.get(to) ?? 0) + 1);
});

/** Serves plans: `caller(plan)` is the SDK's client as a function of a call; `described(error)` is what it raises. */
export async function serve(caller, described) {
  for await (const line of createInterface({ input: process.stdin })) {
    const plan = JSON.parse(line);
    sends.clear();
    const outcomes = await made(plan, caller(plan), described);
    console.log(JSON.stringify({ outcomes, sends: sends.get(plan.endpoint) ?? 0 }));
  }
}

async function made(plan, call, described) {
  const one = async (each) => {
    try {
      return { answer: await call(each) };
    } catch (error) {
      return { error: { kind: error.constructor.name, message: error.message, ...described(error) } };
    }
  };
  if (plan.together) return Promise.all(plan.calls.map(one));
  const outcomes = [];
  for (const each of plan.calls) outcomes.push(await one(each));
  return outcomes;
}
