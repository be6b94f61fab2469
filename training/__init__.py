"""What runs in a training Job: one linear script a model, and the registry they publish to."""
