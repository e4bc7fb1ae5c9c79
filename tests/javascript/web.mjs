// The largest difference between what a browser's runtime (WebAssembly) and that of Node.js make of
// each ONNX model named: what runs here runs in a browser, where no test goes.
import fs from "node:fs";
import * as node from "onnxruntime-node";
import * as web from "onnxruntime-web";

const TOKENS = [2, 20, 30, 3];
const VALUES = { input_ids: TOKENS, attention_mask: [1, 1, 1, 1], token_type_ids: [0, 0, 0, 0] };

async function outputs(runtime, model, options) {
  const session = await runtime.InferenceSession.create(model, options);
  const inputs = {};
  for (const name of session.inputNames) {
    const data = BigInt64Array.from(VALUES[name].map(BigInt));
    inputs[name] = new runtime.Tensor("int64", data, [1, TOKENS.length]);
  }
  const found = await session.run(inputs);
  return session.outputNames.flatMap((name) => Array.from(found[name].data));
}

for (const path of process.argv.slice(2)) {
  const model = fs.readFileSync(path);
  const there = await outputs(web, model, { executionProviders: ["wasm"] });
  const here = await outputs(node, model, {});
  console.log(Math.max(...here.map((value, i) => Math.abs(value - there[i]))));
}
process.exit(0); // its threads would go on waiting
