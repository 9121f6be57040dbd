"""Pushes a file with one of the two clients that are Python libraries: `python.py oras|dxf FILE HOST REPOSITORY`."""

import sys

client, file, host, repository = sys.argv[1:]
if client == "oras":
    import oras.client  # type: ignore[import-not-found]

    target = f"{host}/{repository}:v1"
    oras.client.OrasClient(insecure=True).push(target=target, files=[file], disable_path_validation=True, quiet=True)
else:
    import dxf  # type: ignore[import-not-found]

    registry = dxf.DXF(host, repository, insecure=True)
    registry.set_alias("v1", registry.push_blob(file))
