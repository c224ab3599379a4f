"""Apply: carries a plan out, each step recorded before and after.

    apply_state    ApplyState: the lock, the providers and the observer that all parts share
    recovery       resolves the changes that an interrupted operation left pending
    task_leases    stops the runners of tasks that the plan disturbs
    executor       performs the steps of the plan through their providers
      step_graph     plan -> steps and their order
      step_request   step -> intent and request
      step_result    answer -> what is recorded
      live_objects   the objects as the steps leave them
    finalize       records everything besides objects: tasks, outputs, unused providers

Takes a `PlanResult`; returns an `Outcome` and the new state. However an apply ends, it first waits for the changes in
progress and records them.
"""
