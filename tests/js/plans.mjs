// What the programs beside this one have in common: plans come in on stdin and what came of them goes out on stdout, a
// line of JSON each. A plan has the `endpoint`, a `key`, and `calls`, which are made one after another or, `together`,
// all at once. A line tells of each HTTP request that is sent to the endpoint, `sends` so far; the last line of a plan
// has the `outcomes` as well, an `answer` or an `error` for each call.

import { subscribe } from "node:diagnostics_channel";
import { createInterface } from "node:readline";

let endpoint = "";
let sends = 0;
subscribe("http.client.request.start", ({ request }) => {
  if (`http://${request.getHeader("host")}` !== endpoint) return;
  sends += 1;
  console.log(JSON.stringify({ sends }));
});

/** Serves plans: `caller(plan)` is the SDK's client as a function of a call; `described(error)` is what it raises. */
export async function serve(caller, described) {
  for await (const line of createInterface({ input: process.stdin })) {
    const plan = JSON.parse(line);
    ({ endpoint } = plan);
    sends = 0;
    const outcomes = await made(plan, caller(plan), described);
    console.log(JSON.stringify({ outcomes, sends }));
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
