"""What nli learns from, and the T5 that learns it.

options               what a run can be told, by the environment or by flags
pairs                 premises and hypotheses from MultiNLI's files
sentences, rewrites   pairs that rules write, where no data is at hand or before it is read
pretrained, t5        a T5 by its name: its scores of label words, and its export
small_t5              the T5 that is made where none is named
lessons               learning by steps that can be counted, so that a killed run continues
calibration           how far the probabilities can be believed

The script nli comes in, and nobody else. It knows `publish`, `export`, and no other room.
"""
