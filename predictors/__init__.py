"""What runs in the serving pod: one module a model, all on `predictors.runtime`.

`digits` is no model: it is what the two digit models share.
"""
