"""What runs in the serving pod: one module a model, all on `predictors.runtime`."""
