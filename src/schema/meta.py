# SPDX-License-Identifier: Apache-2.0
"""Writes the metaschemas (meta/*.json) as C text: meta.py OUTPUT INPUT..."""
import json
import sys

with open(sys.argv[1], "w", encoding="ascii") as out:
    out.write('#include "schema/internal.h"\n\nconst struct meta_document ms_meta_documents[] = {\n')
    for name in sys.argv[2:]:
        with open(name, encoding="utf-8") as file:
            document = json.load(file)
        uri = document.get("$id", document.get("id")).rstrip("#")
        text = json.dumps(document, separators=(",", ":"))
        pieces = [text[i : i + 1000] for i in range(0, len(text), 1000)]
        out.write("\t{%s,\n%s},\n" % (json.dumps(uri), "\n".join("\t " + json.dumps(piece) for piece in pieces)))
    out.write("};\nconst size_t ms_meta_document_count = sizeof(ms_meta_documents) / sizeof(ms_meta_documents[0]);\n")
