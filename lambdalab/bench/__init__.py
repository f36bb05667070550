"""Benchmarks: lambdalab's layers and networks against others, in time and memory, beside what the machine can do.

``layer``, ``model`` and ``scaling`` are the three benchmarks, each of which returns rows (dictionaries) that ``report``
writes as CSV and prints. ``shapes`` says what is measured, ``sides`` who competes, ``rounds`` how time is taken,
``memory`` how peak memory is, and ``machine`` what the machine's limits are. `lambdalab bench --help` is the way in.
"""
