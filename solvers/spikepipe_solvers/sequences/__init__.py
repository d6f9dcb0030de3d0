"""Finite schedules as sequences: placed one copy after the other, under memory limits, and improved by local search."""
