"""Plan: compares desired and refreshed objects, and returns a plan.

Planning is a fold over the blocks in the order of their dependencies, because the attributes of a block may be made of
the planned values of the blocks before it. Everything that can wait for a process is started before the fold begins.

    context     PlanContext: what is fixed while a plan is made
    prefetch    finds and starts providers, requests a refresh of prior objects, asks tasks what they require
    for each block, each stage a function of the frozen result of the one before:
      evaluated   block -> EvaluatedBlock: its desired objects, grouped by provider and type
      refreshed   ObjectGroup -> RefreshedGroup: each desired object beside its prior and its refreshed object
      planned     RefreshedGroup -> PlannedGroup: the change of each object
    removals    what becomes of prior objects that nothing declares
    planner     the fold; collects all of it into a PlanResult, or raises the diagnostics that prevent a plan

A saved plan is made again from its recorded answers: the same fold, without conversations with providers.
"""
