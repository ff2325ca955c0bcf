"""What a `predict-rating` model is used for: held-out pairs scored, a threshold chosen, pairs asked for.

``heldout`` reads the batch transform's scores with the rows that it scored, ``choice`` chooses where to
say yes and judges that, ``step`` does both for a run and writes ``predictions/<run>/``, ``endpoint`` asks the
FM endpoint, ``served`` says what that endpoint answers with, ``command`` is ``fmrec predict``.
"""
