"""The laptop's KEDA and HPA controller.

scaling        every ScaledObject, in the periods of a cluster
horizontal     every HorizontalPodAutoscaler that was written by hand
measures       what triggers read: Prometheus, the time of day, processor time and memory of pods
autoscalers    what KEDA and the HPA would write of it: status, and a HorizontalPodAutoscaler

The supervisor comes in at `scaling`. What follows from a reading, controlplane/autoscale says; the
room knows that, the API's objects, Prometheus' client, fences and events.
"""
