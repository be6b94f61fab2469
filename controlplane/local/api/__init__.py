"""The Kubernetes REST API of this laptop."""
