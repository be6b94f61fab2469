"""The console: pages on what is served, drawn from what every other client may ask.

__main__   the process: flags, the token, uvicorn on loopback
settings   where to ask, and what is allowed
app        routes: a page each, and what forms send
fields     what a form sends, within limits
render     templates, with everything in them escaped
guard      who may come in: Host, token, cookie, Origin; the headers of every answer
live       server-sent events: something changed, ask again
trainings  their pages: a form of a script's own flags, two runs beside each other
replayform what their form says, within limits
replays    a ScaledObject's rule against what was recorded, or a load
swaps      the page of channels: a next version for all replicas, and back
runs       /api/runs: trainings, for programs
rights     what of that Kubernetes allows to the console's credentials
actions    what a person may change, each with the command line that does the same
sources/   Kubernetes' API, Prometheus, S3 and V2, each read with a limit of bytes and seconds
pages/     what a page shows, as plain values; templates/ and static/ draw them

It runs on a laptop and in a cluster, so it speaks only the protocols that are the same in both.
Every answer is hostile until it is read: what cannot be read spoils its own row or box and nothing
else.
Nobody imports it: it is a process (python -m controlplane.console).
"""
