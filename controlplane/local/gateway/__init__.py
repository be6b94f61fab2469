"""The gateway: Envoy on one port, as a cluster's Gateway carries out HTTPRoutes.

process    Envoy's process: writes its files and asks what it made of them
envoy      its configuration as dictionaries: listener, routes, mirrors
trial      which routes Envoy has and which it refuses
anyhost    the same as one V2 server, for clients that know the address and no model's host
policies   which models a policy is about, and what became of it
keys       which API keys open which route, from SecurityPolicies and Secrets
limits     how many requests a client may send a model, from BackendTrafficPolicies
upstreams  its upstream side: clusters, endpoints, health checks, retries
holding    requests for a Deployment that sleeps, held until a pod is ready

The supervisor comes in. It knows plans and the node's processes.
"""
