"""What KEDA 2.20 and Kubernetes' HorizontalPodAutoscaler (autoscaling/v2) would decide, exactly.

Pure: no clock, network, files or chance; a decision is a function of a rule, a state, readings and
a time in seconds. Metrics are integers in thousandths, as the two controllers compute them.

rule         a ScaledObject as values            parsing      its manifest, read with clear errors
horizontal   an HPA's manifest, as a rule        cron         when a cron trigger is active
readings     what a trigger's metric says now
proposals    replicas for one HPA metric         limits       stabilisation windows and policies
hpa          the HPA's decision                  keda         0 ↔ 1, pauses and fallback
scaler       both together, tick by tick         decision     the answer and its explanation
admission    what KEDA's webhook refuses          fields   single fields of a manifest, or an error

Sources: kubernetes pkg/controller/podautoscaler (horizontal.go, replica_calculator.go), keda
pkg/scaling, pkg/fallback, pkg/scalers/prometheus_scaler.go, pkg/scalers/cron_scaler.go.
"""
