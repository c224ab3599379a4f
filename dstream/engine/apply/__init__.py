"""Apply: carries a plan out.

Takes a prepared plan under the state's lock; hands on the new state. Each step is recorded before and after it.
"""
