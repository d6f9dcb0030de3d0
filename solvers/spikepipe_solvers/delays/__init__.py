"""Small gradient delays at a fixed period: compiled list scheduling and annealing of the packing.

`tables` turns a problem into arrays, `energy` values a packing, `packing` changes it, `greedy` builds
one by list scheduling, `anneal` improves one, and `search` drives them within a budget.
"""
