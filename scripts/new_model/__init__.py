"""What `serin new model` writes: templates of Python, and manifests after the example of iris.

files  all of them, as texts
"""
