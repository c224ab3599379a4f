"""Runs: what runs, and how it is doing.

Takes applied tasks; hands on their flows, the files in which runs report, their status, and replays of dead letters.
"""
