"""What each page shows, as plain values; templates only place them.

words      text that is safe to show, numbers with units, ages
charts     lines over time, as a picture without scripts and as numbers for one with
logs       a log, line by line
services   an InferenceService with its Deployments and pods: state and why
models     every model, a line each
model      one model: versions, charts, pods, Events, log
form       a request from V2 metadata, and its answer
lines      the same request for curl and Python, the same look for kubectl
rollout    a rollout: steps, guards, history
channels   channels: replicas, generations, window
training   Jobs
scaling    triggers against thresholds, decisions
alerts     what fires, and what to do
versions   what is published

Pages read sources. A page knows the parts above `models`, and no other page but alerts. The
application comes in.
"""
