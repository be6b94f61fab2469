"""The platform's own library: what the verbs use, and nothing a pod needs.

console                         pages for people
channels                        all replicas from one version to another at one instant
local, cluster                  the two places where models are served
rollout, simulation             from one version to another; a scaling rule on trial
activator, autoscale            scale to zero in a cluster; what KEDA and the HPA decide
store, trainingjobs             published versions; Jobs that train
prometheus                      questions to a Prometheus
kubernetes                      the vocabulary of Kubernetes' objects
statefolder, parts, settings    the state folder; packages of a model; environment variables
differences, errors             two documents, leaf by leaf; errors for people

A room knows those below it, as pyproject.toml orders them.
"""
