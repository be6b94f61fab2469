"""All of a rollout that touches a cluster.

cluster       one model: its objects are read, and acts are carried out
podlogs       what both versions answered, from the logs of their pods
record        the Lease: who acts, where the rollout is, and those before it
metrics       the latest verdict, pushed to a Pushgateway

`start`, the engine and the verb come in. What is to be done, `steps` says; here nothing is decided.
"""
