"""The laptop: the cluster's manifests run as processes of one machine, behind a real Envoy.

A development tool for one machine; past one machine, the same manifests go to Kubernetes.

api/          the Kubernetes API: objects, admission, what kubectl asks
controllers/  from objects to objects: KServe, Deployments, KEDA and the HPA; and the plan
node/         processes: pods, Jobs, the S3 server, Prometheus, probes
gateway/      Envoy and what it is told
metrics/      what Prometheus scrapes of the platform, and the Pushgateway

supervisor is the one process that holds them all, statefile what it tells the verbs; intake, seeds
and manifests bring in what `serin up` asks for, published the models that came as files; client and
apiclient are the verbs' side. Each room knows those named before it; gateway and metrics do not
know each other.
"""
