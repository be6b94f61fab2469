"""The cluster: what setup_cluster.sh installs, step by step, and takes away again.

Talks to Kubernetes through kubectl alone. What a step made is recorded in the cluster, in the
ConfigMap `setup` of the namespace `serin-system`, so that a second run changes nothing, a broken
one goes on, and --down removes what was added and nothing else.

steps, install       what is installed, in order; runs the steps
releases, kserve     release manifests of others; KServe's as Serin needs it
storage, models      the S3 store's keys; from manifests to served models
images, kind         the images that pods ask for; a kind cluster of our own
records, waiting     what setup made; waiting for workloads
kubectl, address     kubectl as functions; where the gateway answers
"""
