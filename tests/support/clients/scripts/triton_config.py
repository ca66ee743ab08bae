"""Each ``config.pbtxt`` as Triton's own messages read it, as JSON; or why they refuse it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

found = []
for path in sys.argv[1:]:
    try:
        found.append(json_format.MessageToDict(text_format.Parse(Path(path).read_text(), model_config_pb2.ModelConfig())))
    except text_format.ParseError as problem:
        found.append({"refused": str(problem)})
print(json.dumps(found))
