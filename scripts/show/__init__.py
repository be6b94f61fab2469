"""How the platform's state looks on a terminal, and in a log.

table               what runs, a line a model, canary or Job
versions            published versions
columns, lines      tables on stdout; sentences that wrap between words
durations           times as people read them
document, records   JSON for eyes; a log's JSON records as lines
progress            waits until models are served, and shows how far it is
curl                a request to paste
curves              an SVG of curves over time
"""
