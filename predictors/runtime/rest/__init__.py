"""V2 over HTTP/1.1, on uvicorn.

protocol  uvicorn's protocol, which answers plain infer requests a turn of the event loop at a time
app       the ASGI application: every other request
guard     what a connection may send, and how long it may take
endpoint  an infer request from its headers and body to its answer
generate  generate and generate_stream
pages     health, metadata, and what is refused by name
bodies    a request's body: read, limited, unpacked
asgi      the types of ASGI

Comes in: process. It knows dataplane and what is below, and nothing of gRPC.
"""
