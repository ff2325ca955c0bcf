"""Raw interactions to recordIO-protobuf, on Spark. Everything that needs Spark lies here."""
