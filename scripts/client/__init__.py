"""A V2 client for people: REST and gRPC, numbers and images in, a table out.

asked                 which platform and model is meant: this checkout's, or a named gateway
gateway, errors       where it is, and what it may refuse
question, sample      what is asked: numbers, texts, images, a file; the golden sample
rest, rpc, stream     how it is sent
messages              V2's protobuf messages and raw tensors, for benchmark and loadtest too
table, chat           answers as a person reads them

The verbs come in, and loadtest and benchmark for single calls. It knows no other room of scripts.
"""
