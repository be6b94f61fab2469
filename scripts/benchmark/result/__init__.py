"""From loads to what a person reads: nothing in here starts or asks a server.

summary       medians over rounds, and ratios taken within a round
report        tables, and one JSON file for whoever checks a figure
chart         the picture: ratios to stock KServe
provenance    when, how, of which code and on which machine

session and the text models come in. It knows what measure and overload found.
"""
