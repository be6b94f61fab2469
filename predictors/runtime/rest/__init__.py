"""V2 over HTTP/1.1, on uvicorn.

protocol  uvicorn's protocol, with a short cut for plain infer requests
app       the ASGI application: every other request
guard     what a connection may send, and how long it may take
caller    an infer request: its headers and body, and its answer's
generate  generate and generate_stream
dialect   a second API of a streaming model, in its own form
files     an infer request made of files
pages     health, metadata, and what is refused by name
bodies    a request's body, read within its limits
pieces    a streamed answer, as it is made
asgi      the types of ASGI

Comes in: process. It knows dataplane and what is below, and nothing of gRPC.
"""
