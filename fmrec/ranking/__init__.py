"""How good top-N is: exact ranking of all items, the field's metrics, baselines, intervals, the gate.

Only NumPy and PyArrow are needed, so that it also runs where SciPy isn't installed.
"""
