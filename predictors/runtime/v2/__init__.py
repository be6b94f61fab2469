"""The V2 protocol without a transport: a request's bytes to checked arrays, and arrays to bytes.

errors          what a request is refused for, with the HTTP and the gRPC status
datatypes       V2's datatypes, in numpy and on the wire
spec            TensorSpec: one declared tensor, and what is held to it
signature       a model's tensors by name, and Request: what both transports decode to
body/           REST's bodies: JSON with binary tensors behind it, both ways, and generate's
outline         a look at a large body before it is parsed
directives      what parameters ask for by the names of MLServer and Triton
protobuf        the same request as kserve's protobuf messages
model_config    a model as Triton's clients ask for it
record          what is noted of one infer call until it is answered
identity        the server's name, version and extensions

Every room may come in. This one knows kserve's messages and no other room.
"""
