"""What kubectl reads, in the forms that it asks for. Pure, but for what processes use.

discovery, openapi   which kinds there are and what is in them
tables, cells        objects as `kubectl get` shows them; ages and jsonpath are used there
answers              which of those forms a request wants
selectors            -l and --field-selector
protobuf             bodies of `kubectl create configmap` and its like
reviews              `kubectl auth can-i` and `whoami`
podlogs, usage       `kubectl logs` and `kubectl top`
swagger              OpenAPI v2, as much of it as kubectl asks for
instead              what is said of what a laptop does not do

The API's verbs come in; it knows schemas and Kubernetes' vocabulary.
"""
