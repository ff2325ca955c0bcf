"""The public Spark data source ``recordio-protobuf``; docs/recordio-data-source.md has its options."""

from fmrec.spark_source.data_source import RecordIOProtobuf

__all__ = ["RecordIOProtobuf"]
