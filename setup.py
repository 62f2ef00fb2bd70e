"""What pyproject.toml cannot say: a wheel also carries the small weights of data/pretrained/."""

from pathlib import Path
from shutil import copytree

from setuptools import setup
from setuptools.command.build_py import build_py


class WithWeights(build_py):
    """Copies them to where `xmdpt.weights.load` finds them; a clone has them already."""

    def run(self):
        super().run()
        if not self.editable_mode:
            place = Path(self.build_lib) / "xmdpt/weights/bundled"
            copytree("data/pretrained/xmdpt-synthetic", place, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithWeights})
