"""Programs of peers that have none of their own; each runs alone, in the peer's environment.

echo                   sends the request's body back
stock_kserve           scikit-learn or PyTorch on kserve's own server
stock_kserve_nli       nli's encoder there
stock_kserve_generate  a causal language model there
"""
