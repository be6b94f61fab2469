"""Scale to zero in a cluster: who answers while a Deployment has no pod.

KServe in Standard mode and the Gateway API hold nothing: with no endpoint Envoy answers 503. As
Knative's activator does, this one stands in. For every ScaledObject of its namespace with
`minReplicaCount: 0` it watches the Deployment and the EndpointSlices of the Service of that name:

    asleep   no pod is ready, or none is wanted: an EndpointSlice of its own makes the activator an
             endpoint of the Service. What connects is held; bytes are not looked at, so REST and
             gRPC are the same.
    awake    a pod is ready: what is held is passed on to it, and the slice goes.

KServe's objects, its routes and a canary's weights stay as they are. Nothing is lost on the way:
the slice is there as soon as no pod is wanted, while the last one still serves in its preStop, and
goes only when a pod's endpoint is there, in the same stream of changes that a gateway watches.

What wakes the Deployment is KEDA. While it sleeps the activator reports what it holds as requests
in flight of that Deployment, which they are, under the predictors' own name: the same trigger query
has one sample from a pod or from here, and has none, a failure, only where neither is seen.

A slice belongs to the Pod that made it, and goes with it. Replicas of the activator need not know
of each other: each publishes its own slices. One that is told to end waits for its successor's.

    holder      the connections, nothing of Kubernetes in it: the laptop's platform uses it too
    slices      what sleeps, and the EndpointSlice, from objects; pure
    api         the Kubernetes API: list, watch, apply, delete
    __main__    what runs
"""
