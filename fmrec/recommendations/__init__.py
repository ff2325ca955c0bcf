"""Top-N recommendations: from k-NN's answers to what is published, fetched and asked for.

`neighbours` reads what SageMaker's k-NN batch transform wrote, `feature_index` turns columns back into
ids, `publish` joins both and writes DynamoDB and Parquet, `table` reads and writes the DynamoDB items,
`endpoint` asks the k-NN endpoint the same question, `command` is ``fmrec recommend``.
"""
