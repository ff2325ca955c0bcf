#!/usr/bin/env bash
# PySpark: F.col("a") asks the JVM thirteen times, and three times where the session starts with another setting.
#
# Versions: pyspark 4.1.1 with the py4j it brings. Needs Java 17.
# Behaviour: for its error messages PySpark tells the JVM the line of each call that makes a column. To do so, it
# asks for the active session, for a class, for a setting, for two methods and calls them: ten questions. The other
# three look the class of functions up, then the function, and call it. F.lit("a"), which tells no line, has these
# three alone. spark.python.sql.dataFrameDebugging.enabled=false does without the ten. It is a static setting, which
# a session that runs keeps as it is, and Python remembers it for the process.
# Seen: 13 questions, then 3; some 1.0 ms and 0.4 ms for each F.col.
# Exits with 1 if it takes another number of questions with one of the settings.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyspark==4.1.1
cat > "$folder/program.py" <<'PROGRAM'
import sys, time
import py4j.version, pyspark
from py4j.java_gateway import GatewayClient
from pyspark.sql import SparkSession, functions as F

told = sys.argv[1]
spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
         .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
         .config("spark.python.sql.dataFrameDebugging.enabled", told).getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
for _ in range(200):
    F.col("a")
start = time.perf_counter()
for _ in range(200):
    F.col("a")
milliseconds = (time.perf_counter() - start) * 5
questions = []
send = GatewayClient.send_command
def counted(self, command, *rest, **options):
    questions.append(command)
    return send(self, command, *rest, **options)
GatewayClient.send_command = counted
column = F.col("a")
number = len(questions)
GatewayClient.send_command = send
print(f"pyspark {pyspark.__version__}, py4j {py4j.version.__version__}, dataFrameDebugging {told}: "
      f"{number} questions for F.col, {milliseconds:.2f} ms")
spark.stop()
sys.exit(number != int(sys.argv[2]))
PROGRAM
for case in "true 13" "false 3"; do
  read -r told number <<< "$case"
  "$folder/venv/bin/python" "$folder/program.py" "$told" "$number" 2>"$folder/log" \
    || { tail -5 "$folder/log" >&2; echo "behaviour changed" >&2; exit 1; }
done
