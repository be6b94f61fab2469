"""The command line: `./serin VERB`.

cli             the front door: finds the verb, and turns every failure into one sentence
verbs/          the verbs, one module each, found by file name
client          a V2 client for people: infer, chat
loadtest        load; benchmark is bench's; simulation is simulate's; rollouts is rollout's
boards          Grafana's dashboards, and their queries for top
channels        channel's; runs is for runs and train
show            how state looks on a terminal and in a log
checks          check's; new_model is new's

Nobody imports scripts. It uses the control plane, and starts predictors and trainings as processes.
"""
