"""V2 over gRPC, on the HTTP/2 of the room beside.

server          accepts connections and routes calls to methods
head            a call's header block: method, deadline, metadata
call            a unary call: message in, message or status out
streaming_call  a call of many messages each way
status          gRPC's status codes, as trailers
methods         every method of a predictor, by path
infer           ModelInfer: calls for the coalescer
stream_infer    ModelStreamInfer
model_config    ModelConfig, and its messages
health          grpc.health.v1

Comes in: process. It knows http2, dataplane and what is below, and nothing of REST.
"""
