"""What every server is asked, and the programs that ask it.

question      one row of the golden sample, and what must be answered
transports    the three ways to ask it: REST JSON, REST binary, gRPC; each one's check
wrk, h2load   the generators, for REST and for gRPC
load          what a load was: the same few figures whichever of them made it

Whatever runs or measures comes in. It knows artifacts, and no server.
"""
