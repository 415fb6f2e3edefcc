"""Validation: every figure that a standard, a paper or a closed form gives, beside what the simulator gives for it.

``python -m tests.validation`` prints one table. Each section is one file here, whose functions yield rows; a new file
with a function under ``@section(...)`` adds its rows to the table, to ``results/reference/validation.json`` and to the
documentation. Expected values come from outside the code: tables of standards, papers, or arithmetic written out in the
row's own function, never from the function that is being checked.
"""
