#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Has schemathesis make requests from a server's /openapi.json: schema.py PROGRAM [EXAMPLES]

No answer may have a status of 500 or more, and answers must be what the schema says.
"""

import os
import subprocess
import sys
import tempfile

from server import TEMPLATE, Checks, serving

EXAMPLES = sys.argv[2] if len(sys.argv) > 2 else "50"
checks = Checks()

with serving(sys.argv[1], "--chat-template", TEMPLATE, "--request-timeout", "5") as server, \
        tempfile.TemporaryDirectory() as folder:
    def conforms():
        done = subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "schemathesis"), "run",
             server.url + "/openapi.json", "--mode", "positive", "--phases", "fuzzing",
             "--max-examples", EXAMPLES, "--seed", "1", "--request-timeout", "30",
             "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
             "response_schema_conformance"],
            cwd=folder, timeout=1500, check=False)
        checks.equal(done.returncode, 0, "schemathesis")

    checks.run(conforms)
    checks.that(server.is_alive and server.idle(), "works afterwards")
sys.exit(checks.close())
