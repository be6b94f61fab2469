"""From a trained model to a version in the store.

gates          what a model must pass: accuracy, and the same answers from both of its forms
artifact       the folder of a version: manifest, code identity, and where it goes
registry       the bucket where a version, once published, never changes
records        what is kept of a run: who, which flags, what came of it
checkpoints    the last state of a long run, kept beside the versions

Every script and every room of training may come in. Of the rest of training it knows nothing; of
the predictors it knows the runtime's manifest.
"""
