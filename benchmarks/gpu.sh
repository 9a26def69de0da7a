#!/usr/bin/env bash
# All checks that need an NVIDIA GPU: environment, tests, benchmarks, exported models, a short training, and one table
# with date and GPU in benchmarks/gpu/. Requires only a driver and PyPI.
#
#   benchmarks/gpu.sh               run all steps; about half an hour
#   benchmarks/gpu.sh --dry-run     list the steps and missing requirements; needs no GPU
#   benchmarks/gpu.sh --frames 20   pairs per benchmark (default 10)
#   benchmarks/gpu.sh --out DIR     folder of logs and JSON (default out/gpu)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,9s/^# \{0,1\}//p' "benchmarks/gpu.sh"; }

dry=0 frames=10 out=out/gpu
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry=1 ;;
    --frames) frames=${2:?--frames wants a number} && shift ;;
    --out) out=${2:?--out wants a folder} && shift ;;
    -h | --help) usage && exit 0 ;;
    *) echo "benchmarks/gpu.sh: there is no option $1" >&2 && usage >&2 && exit 2 ;;
  esac
  shift
done
[[ $frames =~ ^[1-9][0-9]*$ ]] || { echo "benchmarks/gpu.sh: --frames must be a positive number, not $frames" >&2; exit 2; }

if [ "$dry" = 0 ] && ! command -v nvidia-smi >/dev/null; then
  echo "benchmarks/gpu.sh: no NVIDIA driver here (nvidia-smi is absent); --dry-run lists the steps" >&2
  exit 3
fi
if [ "$dry" = 0 ] && ! nvidia-smi -L >/dev/null 2>&1; then
  echo "benchmarks/gpu.sh: nvidia-smi finds no usable GPU; repair the driver first" >&2
  exit 3
fi

if [ "$dry" = 0 ]; then
  make --no-print-directory env
  exec .venv/bin/python -m benchmarks.gpu_run --out "$out" --frames "$frames"
fi
# any Python can list the steps, which need no library
python=.venv/bin/python
[ -x "$python" ] || python=${PYTHON:-python3}
echo "make env"
exec "$python" benchmarks/gpu_steps.py --out "$out" --frames "$frames"
