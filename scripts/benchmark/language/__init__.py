"""causal-lm as it is by default, measured: beside llama.cpp, and beside its own weights in float32.

speed       python -m scripts.benchmark.language.speed ARTIFACT
greedy      python -m scripts.benchmark.language.greedy ARTIFACT
llama_cpp   the peer: a Node process that reads the same GGUF file
predictor   the predictor, as a process that is asked and measured
"""
