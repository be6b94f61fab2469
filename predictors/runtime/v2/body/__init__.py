"""The bodies of REST: JSON with binary tensors behind it, to a checked Request and back.

decode, encode    an infer body, both ways
json_data         the `data` of a tensor in JSON
long_data         the same of a large body, in pieces
parameters        inputs that come as bare values: parameters, or fields of generate
generate_codec    the bodies of generate and generate_stream

REST comes in, and v2's protobuf for what both transports hold to: the id of a request, and inputs
as parameters. It knows the rest of v2 but protobuf.
"""
