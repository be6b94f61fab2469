"""What `serin load` is made of.

The engine is a process of its own, so that nothing else takes its core: it sends at times that were
fixed before, and hands every answer to the process that counts and draws.

target     which address is asked, and whether it may be
inputs     the rows that are asked: typed, from a file, or the golden sample
wire       a request's bytes, made once
plan       what the engine is told
clock      a timer that is not a millisecond late
connection what the engine and its connections ask of each other
rest grpc  connections: one request at a time, or many streams
engine     departures and answers
process    starts the engine and reads what it records
tally      counts, histograms and seconds
view       the same on a terminal, while it runs
report     the result as text and JSON, and as a picture
"""
