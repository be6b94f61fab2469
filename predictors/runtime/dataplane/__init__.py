"""From a checked request to its answer, whatever the transport.

model         V2Model: what a predictor subclasses
streaming     StreamingModel: one that schedules requests itself and answers in pieces
job           a request that waits for a thread, and the piece-wise kind
batcher       gathers jobs into calls of the model
service       one loaded model: readiness, records, metrics and log around each request
shadow        log lines that compare two versions' answers
class_counts  answers counted by class

Comes in: rest, grpc and process; models by `predictors.runtime`. It knows artifact, observe and v2,
and neither HTTP nor gRPC.
"""
