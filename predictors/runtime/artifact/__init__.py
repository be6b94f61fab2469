"""A model's folder on disk: its manifest, its version, and the sample it is checked with at load.

artifact  manifest.json: what is in the folder, with hashes; a version is its hash
golden    a request and its answer, kept in the manifest, as V2 writes them

Comes in: dataplane, process, and trainings by `predictors.runtime`. It knows v2.
"""
