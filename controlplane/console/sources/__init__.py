"""Where the console reads: each source with a limit of bytes and of seconds.

answer    a value, or the sentence why there is none
bounded   one HTTP request that cannot be endless or huge
cluster   Kubernetes' API
metrics   Prometheus
promql    what is asked of it
registry  the versions and channels in S3
gateway   V2: a model's metadata, requests and streams
scripts   the flags of a training script
bundle    all of them, opened and closed together

The pages, the actions and the door come in. A source knows nothing of pages.
"""
