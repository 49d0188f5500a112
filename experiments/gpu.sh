#!/usr/bin/env bash
# All that needs a GPU, in one go of at most eight minutes: bash experiments/gpu.sh [SECONDS].
# Needs Python with torch, numpy, scipy and tqdm (pytest for the tests); no network. What it writes
# stands in experiments/results/*_gpu.json and resumes; it goes to $OUT, too, where that is set.
# Without a GPU the same parts run with narrow nets, so that the script can be tried anywhere.
set -uo pipefail
cd "$(dirname "$0")/.."
total=${1:-480}
python=${PYTHON:-python3}
export NVIDIA_TF32_OVERRIDE=0 TQDM_MININTERVAL=10
device=$("$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")') || exit 1
name=$([ "$device" = cuda ] && "$python" -c 'import torch; print(torch.cuda.get_device_name(0))' || echo "no GPU")
echo "== $name, at most $total s"

part() {  # part SECONDS COMMAND...: run a command for at most so long, and for what is left of the whole
    local most=$1 left=$((total - SECONDS))
    shift
    [ "$left" -lt 5 ] && echo "== no time left for: $*" && return
    [ "$left" -lt "$most" ] && most=$left
    echo "== $* (at most $most s)"
    timeout -k 10 "$most" "$@" || echo "== ended with status $?"
}

if [ "$device" = cuda ]; then
    least=65536 widest=1048576 wide=4194304 results=experiments/results
else
    least=256 widest=256 wide=256 results=$(mktemp -d)
fi
if "$python" -c 'import pytest, hypothesis' 2>/dev/null; then
    part 90 "$python" -m pytest -q -p no:cacheprovider tests/test_devices.py tests/nets/test_two_layer.py
else
    echo "== pytest or hypothesis is missing: the tests do not run"
fi
part 60 "$python" -m experiments.speed.gpu --device "$device" --results "$results"
pair=(-m experiments.trained_pair --device "$device" --least "$least" --most "$widest" --results "$results")
part $((total * 45 / 100)) "$python" "${pair[@]}" --only "three points" ring "five points"
part $((total * 30 / 100)) "$python" "${pair[@]}" --only "sphere 3" "sphere 5" "sphere 10" digits
part "$total" "$python" -m experiments.wide --device "$device" --most "$wide" --seeds 3 --results "$results"
[ -z "${OUT:-}" ] || cp -f experiments/results/*_gpu.json "$OUT"/ 2>/dev/null || true
echo "== $SECONDS s in all"
