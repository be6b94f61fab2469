"""From the body of a write to an object that may be stored.

versions       an object in the version that is stored, without unknown fields
admission      a whole object: pruned, defaulted, checked
patches        the patches that kubectl sends, applied to an object
ownership      who set which field: managedFields and server-side apply
deployments    what of a Deployment may be patched: annotations, a restart
scale          the scale subresource of a Deployment

resources comes in, and verbs for the forms of patches and scales. It knows rules, schemas and the
stored objects; no HTTP.
"""
