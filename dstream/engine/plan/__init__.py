"""Plan: compares desired and refreshed objects.

Takes both; hands on a `PlanResult` plan with all that apply needs, or the diagnostics that stand against it.
"""
