#!/usr/bin/env bash
# Spark: in a POSIX locale a folder's files whose names aren't ASCII are passed over, without a word.
#
# Versions: pyspark 4.1.1 with Java 17. Needs Java 17 and Python 3.10 or newer; Linux.
# Behaviour: Java decides by the locale how it writes the names of files. With LC_ALL=C, which scripts set for the
# order of sort, that is ASCII. Spark lists the folder, and what can't be named is neither read nor refused:
# read.text(folder) returns the rows of the other files only, and says nothing at log level WARN. Without any locale
# Python starts the JVM with LC_CTYPE=C.UTF-8 (PEP 538), and all rows come; LC_ALL=C switches that off.
# Consequence: a data set that is complete on a developer's machine is silently smaller in a job.
# Exits with 1 if all rows are read in a POSIX locale, or some are missing in a UTF-8 one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyspark==4.1.1
mkdir "$folder/rows"
printf '1\n2\n' > "$folder/rows/plain.txt"
printf '3\n4\n5\n' > "$folder/rows/$(printf '\303\251').txt"
cat > "$folder/count.py" <<'PROGRAM'
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
print(spark.read.text(sys.argv[1]).count())
PROGRAM
count() { env -u LC_ALL -u LC_CTYPE -u LANG "$@" PYSPARK_PYTHON="$folder/venv/bin/python" \
  "$folder/venv/bin/python" "$folder/count.py" "$folder/rows" 2> "$folder/log" | tail -1; }
posix=$(count env LC_ALL=C)
grep -iE "$(printf '\303\251')|skip|ignor|unmappable" "$folder/log" && { echo "it is said now"; exit 1; }
utf8=$(count env LC_ALL=C.UTF-8)
echo "rows read with LC_ALL=C: $posix of 5; with LC_ALL=C.UTF-8: $utf8 of 5"
[ "$posix" = 2 ] && [ "$utf8" = 5 ]
