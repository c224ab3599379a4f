"""Operations on a configuration, its state and its providers, as a pipeline of packages.

Lowest first; none imports from one that stands after it:

    setup        opens what every operation stands on: configuration, values, backend, block graph
    evaluate     turns blocks into desired objects
    providers    says who serves which block, and what each provider reports about itself
    refresh      brings the prior state up to date with reality
    plan         compares desired and refreshed objects, and makes a plan
    apply        carries a plan out, each step recorded before and after
    commands     the operations that stand beside plan and apply: drift, validate, import, state edits
    runs         what runs: flows, detached runs, status, replay of dead letters
"""
