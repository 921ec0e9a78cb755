"""Has the backend declared to mmengine or mmcv at the moment that one is first imported.

Nothing is imported for it before: `import ffrfs.mm` need not wait seconds for a framework. `ffrfs install-mm` writes
the text of this module into an environment, where it runs at every start of Python: it uses the standard library only,
and of that only what Python itself has imported by then.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["FRAMEWORKS", "FrameworkFinder"]

FRAMEWORKS = ("mmengine", "mmcv")


class FrameworkFinder:
    """A finder for `sys.meta_path` that finds what those behind it find, and declares once that has been imported."""

    def find_spec(self, name: str, path: "Any" = None, target: "ModuleType | None" = None) -> "ModuleSpec | None":
        """A framework's spec, whose loader declares the backend when it has run; None for any other module."""
        if name not in FRAMEWORKS:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        if hasattr(spec.loader, "exec_module"):
            loader: Any = spec.loader
            loader.exec_module = self._then_declare(loader.exec_module)
        return spec

    def _then_declare(self, run: "Callable[[ModuleType], None]") -> "Callable[[ModuleType], None]":
        def exec_module(module: "ModuleType") -> None:
            run(module)
            try:
                from ffrfs.mm.registration import declare

                declare(module.__name__)
            except (ImportError, AttributeError) as error:
                import warnings

                warnings.warn(
                    f"ffrfs could not declare the backend 'ffrecord' to {module.__name__}: {error}; if ffrfs is no"
                    " longer installed here, remove ffrfs-mm.pth from site-packages",
                    RuntimeWarning,
                    stacklevel=2,
                )

        return exec_module


if not any(type(finder).__name__ == "FrameworkFinder" for finder in sys.meta_path):
    sys.meta_path.insert(0, FrameworkFinder())
