"""Benchmarks: lambdalab's layers and networks against others, in time and memory, beside what the machine can do.

``layer``, ``model``, ``training`` and ``scaling`` are the benchmarks, each of which returns rows (dictionaries) that
``report`` makes tables of. ``shapes`` says what is measured, ``sides`` who competes, ``rounds`` how time is taken,
``memory`` how peak memory is, and ``machine`` what the machine's limits are. `lambdalab bench --help` is the way in.
"""
