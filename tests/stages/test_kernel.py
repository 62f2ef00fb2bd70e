"""A stage's kernel imports without looking for garbage, and only imports."""

import gc
import sys

from IPython.core.interactiveshell import InteractiveShell

from xmdpt.stages.kernel import import_fast

PROBE = "import gc\nENABLED = gc.isenabled()\n"


def test_only_cells_of_imports_are_executed_without_looking_for_garbage(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # a shell is another
    for name in ("first", "second"):
        (tmp_path / f"probe_{name}.py").write_text(PROBE)
    shell = InteractiveShell()
    import_fast(shell)

    def run(code: str) -> bool:
        """Whether garbage was looked for in the module that the cell imports."""
        done = shell.run_cell(code)
        assert gc.isenabled(), "again after each cell"
        return done.success and shell.user_ns["looked"].ENABLED

    try:
        assert not run("# of a test\nimport json\nimport probe_first as looked")
        assert run("size = 1\nimport probe_second as looked")
        assert not shell.run_cell("import probe_third").success and gc.isenabled()
        assert not shell.run_cell("import (").success and gc.isenabled()
    finally:
        gc.unfreeze()
