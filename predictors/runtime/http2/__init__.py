"""HTTP/2's server side on an asyncio transport (RFC 9113), as far as gRPC needs it."""
