"""What judges pairs of texts: an encoder with an adapter, a T5 or a DeBERTa, and how they learn.

options              what a run can be told, by the environment or by flags
pairs                premises and hypotheses from MultiNLI's files, or from a data set of a hub
encoder              an encoder of BERT's form by its name, read as arrays
adapter, minilm/     what an encoder has learnt; the default's, with its model card
tiny                 an encoder of random weights, for --smoke
tuning               what learns, as the script needs it; needs torch, as the next ones do
bert                 an encoder that learns an adapter
whole, t5, deberta   models of transformers that learn as a whole: found, exported; their scores
lessons              learning by steps that can be counted, so that a killed run continues
judged, calibration  what a graph answers to pairs; how far its probabilities can be believed
temperature          the shipped adapter's, fitted anew

The script nli comes in, and nobody else. It knows `publish`, `export`, and no other room.
"""
