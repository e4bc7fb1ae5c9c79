// Loaded before a program of a card, which stays as it is: where the model comes from, an empty
// cache, and answers that another program can read.
import { env } from "@huggingface/transformers";

env.allowLocalModels = false;
env.cacheDir = process.env.HUBKIT_TEST_CACHE;
if (process.env.HUBKIT_TEST_HUB) env.remoteHost = process.env.HUBKIT_TEST_HUB;
console.log = (...values) => {
  for (const value of values) process.stdout.write(`${JSON.stringify(value)}\n`);
};
