"""The Kubernetes REST API of this laptop, on the objects that it keeps.

server, access      TLS, the kubeconfig and the token
app, paths, verbs   from HTTP to a verb; bodies and watching are parts of it
resources           the verbs on objects, without HTTP
views               kinds that are made when they are asked for
writes/             from a write's body to an object: admission, patches, ownership
objects             the store: what etcd is to a cluster
rules/              what admission webhooks refuse
schemas/            the schemas of the served kinds, validation and strategic merge by them
kubectl/            what kubectl reads: discovery, OpenAPI, Tables, logs, protobuf

Controllers come in through `objects`, `serin up` through `resources`. It knows no controller.
"""
