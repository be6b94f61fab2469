"""From a checked request to its answer, whatever the transport.

coalescer     every infer request, from its admission to its answer, a turn of the loop at a time
budget        the bytes that a process holds for its clients
allocator     lets the system have what large requests took, once they are answered
unpacking     compressed requests, unpacked within limits
model         V2Model: what a predictor subclasses
streaming     StreamingModel: one that schedules requests itself and answers in pieces
job           a request that waits for a thread, and the piece-wise kind
aside         does what a job needs and others should not wait for, before it is queued
batcher       gathers jobs into calls of the model, and bounds what waits in time
service       one loaded model: readiness, records, metrics and log around each request
shadow        log lines that compare two versions' answers
dialect       a second HTTP API of a streaming model
class_counts  answers counted by class

Comes in: rest, grpc and process; models by `predictors.runtime`. It knows artifact, observe and v2,
and neither HTTP nor gRPC.
"""
