"""The laptop: the cluster's manifests run as processes of one machine, behind a real Envoy.

A development tool for one machine; past one machine, the same manifests go to Kubernetes.
"""
