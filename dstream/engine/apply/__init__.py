"""Apply: carries a plan out, each step recorded before and after.

    apply_state    ApplyState: the lock, the providers and the observer that all parts share
    recovery       finds out what became of the changes that an earlier operation left open
    task_leases    stops the runners of tasks that the plan disturbs
    executor       takes the steps of the plan through their providers
      step_graph     plan -> steps and their order
      step_request   step -> intent and request
      step_result    answer -> what is recorded
      live_objects   the objects as the steps leave them
    finalize       records what is no change of an object: tasks, outputs, providers out of use

Takes a `PlanResult`; hands on an `Outcome` and the new state. Whatever ends an apply, the changes in progress are
awaited and recorded.
"""
