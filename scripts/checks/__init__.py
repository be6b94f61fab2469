"""What `serin check` runs, one module a group: tools of others, and rules of this repository.

tools       ruff, mypy and their like, with their arguments
rules       what no tool knows
monitoring  Prometheus' rules, and the dashboards against their code
repository  which files are looked at
"""
