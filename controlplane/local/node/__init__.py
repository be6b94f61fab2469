"""The node: what a kubelet is to a cluster. Every process of the platform starts here.

processes                       children that cannot outlive their parent; free ports
pauses                          waiting that a cancellation always ends
fleet, pods                     all predictors' pods; one of them
jobs, jobpods                   a Job's tries; each try's pod, as an object
containers                      what a container asks for, of the next line's
commands, environment, volumes  a container's command, variables and volumes on this machine
probes                          HTTP questions to processes on loopback
s3_server, prometheus_server    rclone's S3 server and Prometheus
console_server                  the console

The supervisor, gateway and metrics come in. It knows controllers' plans and the store.
"""
