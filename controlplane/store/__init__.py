"""The S3 store of models, from the platform's side: read, compared, checked and thinned out.

s3          where the store is, and the keys
artifacts   s3:// URI to local folder, as KServe's storage initializer does it
catalog     the published versions of all models
integrity   whether the store still has what was published
retention   which versions may go
channels    the documents that replicas follow to swap versions in step; pure
followed    the same, in the store
runs        records of trainings: who, which flags, which version came of it
served      what a Deployment served before

training/publish/registry.py publishes; here nothing does. The node and the verbs come in; it knows
Kubernetes' vocabulary and the state folder.
"""
