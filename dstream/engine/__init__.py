"""Operations on a configuration, its state and its providers, as a pipeline of packages.

Lowest first; a package imports only from those above it:

    setup        opens an operation: configuration, values, backend, block graph
    evaluate     turns blocks into desired objects
    providers    finds and starts providers, and reads their schemas
    refresh      updates the prior state from the real objects
    plan         compares desired with refreshed objects, and returns a plan
    apply        carries a plan out, each step recorded before and after
    commands     the other operations: drift, validate, import, state edits, dependency lock
    runs         running tasks: flows, detached runs, status, replay of dead letters
"""
