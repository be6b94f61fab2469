"""HTTP/2's server side on an asyncio transport (RFC 9113), as far as gRPC needs it.

connection     what a client's frames do: streams opened, fed and ended
session        its begin, its turns, its time and its end
sender         the half that writes, within the client's windows
stream         one request and its answer, with flow control both ways
application    what a connection asks of those who answer
frame_reader   bytes to frames
frames         frame types, flags, error codes, as bytes
header_blocks  HPACK
fields         what a request's fields and trailers may be
peer_settings  the client's SETTINGS, checked
limits         what a client may do, each with its CVE

Comes in: grpc. It knows no other room and no line of V2.
"""
