"""Measures what the laboratory costs: side by side in one run, because machines differ.

``python -m benchmarks`` measures all subjects, ``python -m benchmarks start figures`` two of them;
``--write`` puts the table into docs/benchmarks.md. A subject is a module with ``measure(quick)``,
which returns rows; whatever could disturb a measurement runs in a process of its own (`apart`).
"""
