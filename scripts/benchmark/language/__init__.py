"""causal-lm as it is by default, measured: beside llama.cpp, and beside its own weights in float32.

speed       serin bench --models causal-lm --peers llama.cpp
greedy      serin bench --models causal-lm --peers float32
llama_cpp   the peer: a Node process that reads the same GGUF file
predictor   the predictor, as a process that is asked and measured
"""
