"""The verbs for people who change this repository; one module each.

new, remove    write a new model; take one away
check, test    every static check; the tests
bench          Serin beside other servers
install        adds the packages of a part

cli finds them by file name. They need no platform that runs, and import none of each other.
"""
