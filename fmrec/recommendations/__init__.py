"""Top-N recommendations: from k-NN's answers to what is published, served and asked for.

`neighbours` says how many of them k-NN is asked for, `knn_output` reads what its batch transform wrote;
`rule_document`, `id_files` and `filters` are the business rules, and `selection` says what a user may get;
`publish` joins them all and writes Parquet and, by `table` and `table_keys`, DynamoDB, from where `departed`
removes who is gone; `cold_start` is for users whom the model doesn't know; `knn_endpoint` asks the k-NN
endpoint the same question, and `knn_smoke_test` compares its answer.
"""
