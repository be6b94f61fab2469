// llama.cpp on one thread: node llama_cpp.mjs MODEL.gguf. Each line of stdin is {"prompts": […], "tokens": n}, each of stdout
// what became of it. The prompts are sequences of one context, which llama.cpp computes as one batch.
import {createInterface} from "node:readline";
import {getLlama} from "node-llama-cpp";

const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: "error"});
const model = await llama.loadModel({modelPath: process.argv[2]});
let context, sequences = [];

async function continued(sequence, prompt, most) {
    const tokens = [];
    for await (const token of sequence.evaluate(model.tokenize(prompt), {temperature: 0})) {
        tokens.push(token);
        if (tokens.length >= most) break;
    }
    return tokens;
}

console.log(JSON.stringify({ready: true, flags: llama.systemInfo}));
for await (const line of createInterface({input: process.stdin})) {
    const {prompts, tokens} = JSON.parse(line);
    if (sequences.length !== prompts.length) {
        await context?.dispose();
        context = await model.createContext({sequences: prompts.length, contextSize: 256, threads: 1, batchSize: 512});
        sequences = prompts.map(() => context.getSequence());
    }
    await Promise.all(sequences.map((sequence) => sequence.clearHistory()));
    const before = process.cpuUsage(), started = performance.now();
    const answers = await Promise.all(prompts.map((prompt, at) => continued(sequences[at], prompt, tokens)));
    const spent = process.cpuUsage(before);
    console.log(JSON.stringify({
        tokens: answers.reduce((sum, answer) => sum + answer.length, 0),
        cpu_seconds: (spent.user + spent.system) / 1e6,
        seconds: (performance.now() - started) / 1e3,
        first: model.detokenize(answers[0]),
    }));
}
process.exit(0);
