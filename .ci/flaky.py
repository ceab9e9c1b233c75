"""Tests that failed and then passed alone: counted in a file that outlives the run.

python .ci/flaky.py FILE add < ids       one more for each
python .ci/flaky.py FILE                 what is known
"""

import json
import sys
from collections import Counter
from pathlib import Path

file = Path(sys.argv[1])
known = Counter(json.loads(file.read_text(encoding="utf-8")) if file.exists() else {})
if sys.argv[2:] == ["add"]:
    known.update(line.strip() for line in sys.stdin if line.strip())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
elif known:
    print("failed, and then passed alone, in this run and those before it:")
    for name, times in known.most_common():
        print(f"  {times} x {name}")
else:
    print("no test has failed and then passed alone")
