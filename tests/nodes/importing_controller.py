"""The controller, which tells at its end what it has imported since it was configured."""

from __future__ import annotations

import sys

from gac_ros.nodes import controller

if __name__ == "__main__":
    from gac_ros.nodes.node import GacController

    configure = GacController._configure
    known: set[str] = set()

    def watched(self: GacController) -> None:
        configure(self)
        known.update(sys.modules)

    GacController._configure = watched  # type: ignore[method-assign]
    code = controller.main()
    print("imported later:", sorted(set(sys.modules) - known), flush=True)
    sys.exit(code)
