"""A server of the run, and the machine that it runs on.

server          started on its core, asked until it answers rightly, measured, stopped
environments    the peers' own virtual environments, kept until their pins change
machine         what the machine is, which cores are whose, and how quiet it was

Whatever runs or measures comes in. It knows what is asked (traffic), and no result.
"""
