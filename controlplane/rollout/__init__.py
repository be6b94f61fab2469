"""Guarded rollouts: a canary judged by sequential tests, on the Kubernetes API and PromQL alone."""
