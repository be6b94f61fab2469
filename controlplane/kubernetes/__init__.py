"""The vocabulary of Kubernetes' objects, for every part of the platform.

client       the Kubernetes API, as far as verbs, rollouts and the console ask it
meta         what every object has: its key, its system fields, what an update may change
conditions   conditions of a status
kinds        the kinds that are served on a laptop, as discovery describes them
names        labels and annotations of KServe's that several parts read
patchtypes   the media types of patches
autoscalers  HorizontalPodAutoscalers of autoscaling/v1 as v2, and back
trainings    what a Job says of the training in it
refusals     what the API refuses with: reason, status code, causes

All is pure but the client. Everybody may come in. It knows nobody but controlplane.errors.
"""
