"""``fmrec inspect``: from a look at files to the data set document that describes them."""
