"""A differential test of the language: expressions, with the values that OpenTofu gives them.

    inputs    the names that expressions use: unknown, sensitive and typed values, and files
    cases     expressions by system: each function with typical and odd arguments, each construct of the language
    grammar   random expressions by seed
    fact      what an expression gives: value, type, which parts are sensitive and unknown; or an error
    opentofu  the facts of OpenTofu, many with one plan
    engine    the facts of dstream, in this process
    compare   the differences, with the rules for those that are meant
    table     the recorded facts of OpenTofu, which the quick tests hold dstream to

Compare random expressions: `python -m tests.tofu.language FIRST [LAST]`. Renew the table: `python -m
tests.tofu.language --table`. See what both give an expression: `python -m tests.tofu.language -e EXPRESSION`.
"""
