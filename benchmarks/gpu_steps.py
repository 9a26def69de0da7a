"""The steps of `benchmarks/gpu.sh` as data; standard library only, so that any Python can list them."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

EXPORTED = ("occdepth-edge-sfa", "occdepth-b3")
RUNTIME = "onnxruntime-gpu"
ROOT = Path(__file__).resolve().parents[1]


def models() -> list[str]:
    """Return the models that `occdepth bench` supports, read from the text of the registry by predictor."""
    text = (ROOT / "occdepth_ros" / "models" / "registry.py").read_text(encoding="utf-8")
    return re.findall(r'^    "([\w-]+)": ModelEntry\(\s*(?:_OCCDEPTH|_EDGE|_EDGE_BEV),', text, re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """One command.

    Args:
        name: name of log and row; the part before a colon is the kind.
        command: the command line; `python` is that of the environment.
        needs: requirements besides the environment.
    """

    name: str
    command: tuple[str, ...]
    needs: str = "a CUDA GPU"

    @property
    def stem(self) -> str:
        """Name in file names."""
        return self.name.replace(":", "_")


def steps(out: Path, frames: int) -> list[Step]:
    """Return all steps in order; results are written below `out`."""
    python = ("python", "-m")
    cli = (*python, "occdepth_ros.cli")
    launcher = (*python, "torch.distributed.run", "--nproc-per-node", "1")
    runtime = out / "runtime"
    tiny = (*cli, "train", "--recipe", "tiny", "--dataset", "synthetic", "--sequences", "train:0:8", "--device", "cuda")
    found = [Step("tests", (*python, "pytest", "-m", "gpu", f"--junitxml={out / 'tests.xml'}"))]
    for model in models():
        result = str(out / f"bench_{model}.json")
        bench = (*cli, "bench", "--model", model, "--device", "cuda", "--frames", str(frames), "--json", result)
        found.append(Step(f"bench:{model}", bench))
        if not model.startswith("occdepth-edge"):
            compiled = (*bench[:-1], str(out / f"compiled_{model}.json"), "--compile")
            found.append(Step(f"compiled:{model}", compiled))
    found += [
        Step("network", (*python, "benchmarks", "network", "--json", str(out / "network.json"))),
        Step(
            "runtime",
            (*python, "pip", "install", "--no-deps", "--quiet", "--upgrade", "--target", str(runtime), RUNTIME),
            "the package index; it is installed in a separate environment",
        ),
    ]
    for model in EXPORTED:
        weights = () if model.startswith("occdepth-edge") else ("--weights", "random")
        export = (*cli, "export", "--model", model, *weights, "--device", "cuda", "--frames", str(frames), "--json")
        found.append(Step(f"export:{model}", (*export, str(out / f"{model}.onnx")), f"a CUDA GPU, {RUNTIME}"))
    engine = (*cli, "export", "--model", "occdepth-edge-sfa", "--device", "cuda", "--tensorrt", "--json")
    found += [
        Step("tensorrt", (*engine, str(out / "tensorrt.onnx")), "a CUDA GPU, TensorRT (left out without)"),
        Step("train", (*tiny, "--set", "epochs=4", "--out", str(out / "train"))),
        Step("nccl", ("python", "benchmarks/gpu_nccl.py")),
        Step("torchrun", (*launcher, "-m", *tiny[2:], "--set", "epochs=1", "--out", str(out / "torchrun"))),
    ]
    return found


def lacking() -> list[str]:
    """Return the missing requirements of this machine that the standard library can detect."""
    found = []
    if shutil.which("nvidia-smi") is None:
        found.append("an NVIDIA driver (nvidia-smi is absent): nothing below can run here")
    return found


def main() -> int:
    """Print the steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/gpu"))
    parser.add_argument("--frames", type=int, default=10)
    arguments = parser.parse_args()
    for what in lacking():
        print(f"# this machine lacks {what}")
    for step in steps(arguments.out, arguments.frames):
        print(f"{shlex.join(step.command)}  # {step.name}; needs {step.needs}")
    print("# then a table with date and card in benchmarks/gpu/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
