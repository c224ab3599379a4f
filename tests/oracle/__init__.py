"""The oracle: random schemas and workloads in PostgreSQL, followed by its own replication and by dstream.

    values       literals of every type of the server's catalogue, extremes among them
    schema       a random schema out of a seed
    workload     random transactions over it
    alterations  DDL between the transactions
    following    the two databases that follow: a native subscription, and `dstream run`
    connections  one connection for each database of a trial
    compare      what differs, row by row, in SQL
    trial        one seed from beginning to end
    mutants      providers that are wrong in one way, which seeds have to find

Run one seed: `python -m tests.oracle SEED`; many: `python -m tests.oracle FIRST LAST`.
"""
