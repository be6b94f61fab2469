"""What admission refuses beyond the schemas, as pure functions with their messages.

builtin   what the API server itself fills into built-in kinds, and refuses of them
gateway   which HTTPRoutes of other people's the laptop's gateway carries out
kserve    KServe's admission webhook
fields    which fields the laptop follows, and which it reports or refuses

Only the API's admission comes in; KEDA's webhook is controlplane/autoscale/admission.py.
"""
