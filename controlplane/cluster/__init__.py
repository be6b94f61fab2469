"""The cluster: what setup_cluster.sh installs, step by step, and takes away again.

Talks to Kubernetes through kubectl alone. What a step made is recorded in the cluster, in the
ConfigMap `setup` of the namespace `serin-system`, so that a second run changes nothing, a broken
one goes on, and --down removes what was added and nothing else.
"""
