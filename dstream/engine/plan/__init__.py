"""Plan: compares desired and refreshed objects, and returns a plan.

Planning is a fold over the blocks in the order of their dependencies, because the attributes of a block may depend on
the planned values of the blocks before it. All provider processes and requests start before the fold.

    context     PlanContext: what is fixed while a plan is made
    prefetch    finds and starts providers, requests a refresh of prior objects, asks tasks what they require
    for each block, each stage a function of the frozen result of the one before:
      evaluated   block -> EvaluatedBlock: its desired objects, grouped by provider and type
      refreshed   ObjectGroup -> RefreshedGroup: each desired object with its prior and its refreshed object
      planned     RefreshedGroup -> PlannedGroup: the change of each object
    removals    the changes of prior objects that are no longer declared
    planner     the fold; returns a PlanResult, or raises the diagnostics of all blocks

A saved plan is made again from its recorded answers: the same fold, without requests to providers.
"""
