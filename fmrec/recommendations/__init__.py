"""Top-N recommendations: from k-NN's answers to what is published, served and asked for.

`neighbours` reads what SageMaker's k-NN batch transform wrote; `encoded` and `run` read a run's other
files, `feature_index` turning columns back into ids; `selection` and `filters` say what a user may get;
`publish` joins them all and writes DynamoDB and Parquet; `table` reads and writes the DynamoDB items;
`cold_start` is for users whom the model doesn't know; `endpoint` asks the k-NN endpoint the same question;
`command` is ``fmrec recommend``.
"""
