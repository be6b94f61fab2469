"""The controllers of a cluster: from objects to objects, one step at a time.

reconciler             the step itself: InferenceServices, Deployments, ReplicaSets, Pods
fence                  keeps what one object does to the code from the others; holds every step
inference              KServe's rules: Deployments and HTTPRoutes of an InferenceService
servicestatus          an InferenceService's status
rolling, workloads     a rolling update as a decision; Deployments, ReplicaSets, Pods as objects
routing                HTTPRoutes' status: what the gateway made of them
jobstatus, jobreport   a Job's status, and its row of `serin status`
autoscaling/           KEDA and the HPA: what they read, what they write
plan                   what should run and where requests go: for node and gateway
events, report         what is told: Events, and the rows of `serin status`

The supervisor, node, gateway and metrics come in. It knows the API's objects, never a process.
"""
