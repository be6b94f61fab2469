"""The Kubernetes REST API of this laptop, on the objects that it keeps.

server, access      TLS, the kubeconfig and the token
app, paths, verbs   from HTTP to a verb; bodies, watching and scale are parts of it
resources           the verbs on objects, without HTTP: patches, ownership, admission
deployments, views  what of a Deployment can be patched; kinds that are made when they are asked for
objects             the store: what etcd is to a cluster
rules/              what admission webhooks refuse
schemas/            the schemas of the served kinds, validation and strategic merge by them
kubectl/            what kubectl reads: discovery, OpenAPI, Tables, logs, protobuf

Controllers come in through `objects`, `serin up` through `resources`. It knows no controller.
"""
