"""What the trainings of the two digit models share.

data      28×28 digits: real MNIST from files, or scikit-learn's drawn anew in that form
models    the flags, the measure and the artifact of a model that reads digits

mnist_forest and mnist_cnn come in. It knows `publish` and what the digit predictors share, and no
kind of model: what is learnt, and how it is exported, stands in the two scripts.
"""
