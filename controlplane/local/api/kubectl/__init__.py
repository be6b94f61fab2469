"""What kubectl reads, in the forms that it asks for. Pure.

discovery, openapi   which kinds there are and what is in them
tables, cells        objects as `kubectl get` shows them; ages and jsonpath are used there
answers              which of those forms a request wants
selectors            -l and --field-selector
protobuf             bodies of `kubectl create configmap` and its like
podlogs              `kubectl logs`

The API's verbs come in; it knows schemas and Kubernetes' vocabulary.
"""
